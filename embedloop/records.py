"""The frozen records that pass between the parts; every word is that of the glossary in docs/concepts.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from embedloop.policy import Chunking, IndexSettings, Policy


class Op(StrEnum):
    UPSERT = "upsert"
    DELETE = "delete"


class IndexState(StrEnum):
    BUILDING = "building"
    READY = "ready"
    SERVING = "serving"
    STANDBY = "standby"
    RETIRED = "retired"


class Signal(StrEnum):
    UP = "up"
    DOWN = "down"
    CLICK = "click"
    NONE_RELEVANT = "none_relevant"
    CORRECT = "correct"


class Split(StrEnum):
    TRAIN = "train"
    DEV = "dev"
    GOLDEN = "golden"


class JudgmentSource(StrEnum):
    """Who said so: an import, people's thumbs and corrections, or nothing but their clicks."""

    IMPORT = "import"
    FEEDBACK = "feedback"
    CLICKS = "clicks"


class JobKind(StrEnum):
    CYCLE = "cycle"
    FINETUNE = "finetune"
    EVALUATE = "evaluate"
    REINDEX = "reindex"
    HEADROOM = "headroom"
    BRIDGE = "bridge"
    TRAIN_FROM_SCRATCH = "train_from_scratch"
    RERANKER = "reranker"
    COMPRESS = "compress"
    INDEX_TRIAL = "index_trial"

    @property
    def exclusive(self) -> bool:
        """Whether it keeps other jobs off its corpus; one that only measures does not."""
        return self not in MEASURING


MEASURING = (JobKind.EVALUATE, JobKind.HEADROOM, JobKind.INDEX_TRIAL)


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    AWAITING_APPROVAL = "awaiting_approval"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def ended(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.REJECTED)


# What a gate measured on: queries that people judged, or such as untrained documents ask by themselves.
Evidence = Literal["golden", "held_out_structure"]
HELD_OUT: Evidence = "held_out_structure"


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


@dataclass(frozen=True, slots=True)
class Judgment:
    """A label (query, document, grade); grade 0 is "judged not relevant". `sources` is its lineage."""

    query: str
    document_id: str
    grade: int
    split: Split
    source: str
    sources: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LabelledText:
    """An imported label on a text that is no document: relevant to the anchor, or a hard negative of it."""

    anchor: str
    text: str
    relevant: bool
    source: str
    split: Split = Split.TRAIN


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """Anchor, positive and any number of hard negatives (texts), with the lineage that they came from.

    Documents with the same `cluster` are near duplicates of each other; empty means that none is known.
    `negative_ids` names the documents of the negatives, as far as these are documents.
    """

    anchor: str
    positive: str
    negatives: Sequence[str]
    anchor_key: str
    document_id: str
    split: Split
    lineage: Sequence[str]
    cluster: str = ""
    negative_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A frozen, hashed snapshot of pairs with its splits; the pairs are a file in the model store.

    `report` tells how it came about: the votes that were counted and left out, and what the pairs cover.
    """

    training_set_id: str
    corpus: str
    sha256: str
    counts: Mapping[str, int]
    path: str
    created_at: datetime
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Removal:
    """A person's or a document's data taken out of all future training; `removed` counts what was deleted.

    `corpus` is None for a person who was removed from every corpus. `settled_at` is None until a later look has
    taken what was still on its way when it was asked for, and what a process that died had left.
    """

    removal_id: str
    kind: str
    corpus: str | None
    removed: Mapping[str, int]
    created_at: datetime
    updated_at: datetime
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """The decision whether a candidate may serve, with its numbers."""

    gate_id: str
    corpus: str
    job_id: str
    candidate: str
    serving: str
    passed: bool
    reasons: Sequence[str]
    metrics: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """A row with a state, a stage, progress and a lease; Celery carries only its id."""

    job_id: str
    kind: JobKind
    corpus: str
    state: JobState
    stage: str
    progress: float
    params: Mapping[str, Any]
    checkpoint: Mapping[str, Any]
    error: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    cancel_requested: bool
    attempts: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the catalog knows it: hashed, with its role and the corpora that it may see (None: all)."""

    key_id: str
    label: str
    role: str
    corpora: Sequence[str] | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Replica:
    """What one service process holds for one corpus, and until when its lease runs."""

    replica_id: str
    corpus: str
    serving: str | None
    prepared: str | None
    expires_at: datetime
