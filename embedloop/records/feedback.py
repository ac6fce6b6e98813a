"""Logged searches, and what people said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Signal(StrEnum):
    UP = "up"
    DOWN = "down"
    CLICK = "click"
    NONE_RELEVANT = "none_relevant"
    CORRECT = "correct"


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage as one answer showed it; `rank` counts from 1."""

    rank: int
    document_id: str
    passage_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Retrieval:
    """One logged search; `query` is redacted, `person` is who asked (key and session)."""

    retrieval_id: str
    corpus: str
    query: str
    person: str
    index_version_id: str
    model_id: str
    shown: Sequence[Shown]
    at: datetime


@dataclass(frozen=True, slots=True)
class Feedback:
    """A signal on a retrieval; `pending` while its retrieval has not reached the catalog yet."""

    feedback_id: str
    retrieval_id: str
    corpus: str
    signal: Signal
    document_id: str | None
    person: str
    comment: str | None
    pending: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Vote:
    """Feedback joined with its retrieval, as aggregation into judgments reads it."""

    feedback_id: str
    query: str
    document_id: str
    signal: Signal
    person: str
    rank: int | None
    at: datetime
    retrieval_id: str = ""
