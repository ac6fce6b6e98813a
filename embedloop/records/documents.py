"""A corpus, its documents and their passages, and the log of their changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from embedloop.policy import Policy


class Op(StrEnum):
    UPSERT = "upsert"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Corpus:
    """A named set of documents with one policy and one Milvus alias.

    `serving` is the index version in charge, `previous` the one that a rollback returns to.
    """

    name: str
    policy: Policy
    serving: str | None
    previous: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Document:
    """What a user adds; `rev` is the `seq` of the change that wrote this content."""

    corpus: str
    document_id: str
    title: str
    text: str
    metadata: Mapping[str, Any]
    rev: int


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document on its way in, already validated."""

    document_id: str
    title: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the append-only change log; `seq` is global."""

    seq: int
    corpus: str
    document_id: str
    op: Op


@dataclass(frozen=True, slots=True)
class Passage:
    """The chunk of a document that is embedded and returned; `passage_id` is its primary key in Milvus."""

    passage_id: str
    document_id: str
    rev: int
    ordinal: int
    title: str
    text: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found by a search; `score` is the cosine (of fused ranks with BM25), greater is nearer."""

    passage: Passage
    score: float
