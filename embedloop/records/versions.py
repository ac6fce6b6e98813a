"""Model versions, index versions, and what an index version holds or still has to embed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from embedloop.policy import Chunking, IndexSettings


class IndexState(StrEnum):
    BUILDING = "building"
    READY = "ready"
    SERVING = "serving"
    STANDBY = "standby"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """An immutable encoder: files + manifest (path -> SHA-256)."""

    model_id: str
    base: str
    parent: str | None
    corpus: str | None
    training_set_id: str | None
    dimension: int
    max_tokens: int
    query_prompt: str
    passage_prompt: str
    backend: str
    manifest: Mapping[str, str]
    metrics: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class IndexVersion:
    """One physical Milvus collection, built by one model version and one chunking, with its log cursor.

    `backfilled` is false until every shard is embedded; the applier follows the log only from then on.
    """

    index_version_id: str
    corpus: str
    model_id: str
    collection: str
    state: IndexState
    chunking: Chunking
    index: IndexSettings
    head: int
    applied_seq: int
    backfilled: bool
    verification: Mapping[str, Any] | None
    served_at: datetime | None
    retired_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Difference:
    """Answers of a candidate beside those of the version that served; `report` names passages by id."""

    index_version_id: str
    against: str
    report: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Placement:
    """What an index version holds of a document: rows of `rev`, ordinals 0..passages-1.

    While not `written` the rows may be there, in part or wholly: enough to delete them, not to rely on them.
    """

    document_id: str
    rev: int
    passages: int
    written: bool


@dataclass(frozen=True, slots=True)
class FailedDocument:
    """A document that an index version could not embed, with those of its passages that are at fault alone."""

    document_id: str
    passage_ids: Sequence[str]
    reason: str


@dataclass(frozen=True, slots=True)
class Shard:
    """A contiguous range of document ids (both ends included) to embed into one index version."""

    shard_id: int
    index_version_id: str
    job_id: str
    first_document_id: str
    last_document_id: str
    token: int
    attempts: int
