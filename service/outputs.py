"""What callers get, as the OpenAPI document tells it. Answers are not validated against these at run time."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from embedloop.capabilities import AliasedDrop, ServerKind
from embedloop.policy import Chunking, IndexSettings, Policy
from embedloop.records import IndexState, JobKind, JobState
from service.examples import (
    CORPUS,
    DOCUMENT,
    EMBEDDINGS,
    INDEX_VERSION,
    JOB,
    LINEAGE,
    MODEL,
    MOVED,
    READINESS,
    REMOVAL,
    SEARCH,
    TRACED,
    WRITTEN,
)


def _example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


def _may_be_absent(schema: dict[str, Any]) -> None:
    # An absent field is left out of the answer, it is not null.
    schema.pop("default", None)


Absent = Field(default=None, json_schema_extra=_may_be_absent)


class Out(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)


class FieldError(Out):
    """One of several faults of a request."""

    field: Annotated[str, Field(examples=["policy.gate.metric"])]
    message: str


class Problem(Out):
    """An error as in RFC 9457, with a stable `code`, the `field` at fault and whether to try again."""

    type: Annotated[str, Field(description="`urn:embedloop:error:` and the code.")]
    title: Annotated[str, Field(description="The phrase of the HTTP status.")]
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="What was wrong, with the value, and what would be right.")]
    code: Annotated[str, Field(description="Stable name of the error, for programs.")]
    retryable: Annotated[bool, Field(description="Whether the same call can succeed later, unchanged.")]
    field: Annotated[str | SkipJsonSchema[None], Field(description="As the caller would write it.")] = Absent
    errors: Annotated[
        list[FieldError] | SkipJsonSchema[None], Field(description="All faults of a body that was refused.")
    ] = Absent


class LineError(Out):
    """Why a line of a bulk request changed nothing."""

    code: str
    message: str
    field: str | SkipJsonSchema[None] = Absent


class CorpusOut(Out):
    """A corpus with its policy and what serves it."""

    name: str
    policy: Policy
    serving: Annotated[str | None, Field(description="The index version in charge; null while it is built.")]
    previous: Annotated[str | None, Field(description="The index version that a rollback returns to.")]
    documents: Annotated[int, Field(ge=0, description="Live documents.")]
    created_at: datetime

    model_config = _example(CORPUS)


class CorpusCreated(CorpusOut):
    """A new corpus, and the job that builds its first index version."""

    job: Annotated[str, Field(examples=[JOB["id"]])]

    model_config = _example(CORPUS | {"serving": None, "documents": 0, "job": JOB["id"]})


class CorpusList(Out):
    model_config = _example({"items": [CORPUS]})

    items: list[CorpusOut]


class DocumentOut(Out):
    """A document; `rev` is the number of the change that wrote its present content."""

    document_id: str
    title: str
    text: str
    metadata: Annotated[dict[str, Any], Field(description="Flat: texts, numbers, booleans, lists of texts.")]
    rev: int

    model_config = _example(DOCUMENT)


class RemovalOut(Out):
    """What one rule of cleaning took out."""

    rule: str
    items: Annotated[int, Field(ge=1, description="Pieces.")]
    chars: Annotated[int, Field(ge=1, description="Characters.")]
    example: Annotated[str, Field(description="The beginning of the first piece.")]


class RejectionOut(Out):
    """Why a document is not worth keeping, where the policy only tells."""

    code: str
    detail: str


class DuplicateOut(Out):
    """The live document that one repeats."""

    document_id: str
    similarity: Annotated[float, Field(ge=0, le=1, description="Share of runs of three words in common.")]


class CleaningOut(Out):
    """What was done to a document on its way in, and what was found; what does not apply is left out."""

    language: Annotated[str | SkipJsonSchema[None], Field(description="ISO 639-1.")] = Absent
    removed: list[RemovalOut] | SkipJsonSchema[None] = Absent
    redacted: Annotated[
        dict[str, int] | SkipJsonSchema[None], Field(description="Pieces of personal data by type.")
    ] = Absent
    rejection: RejectionOut | SkipJsonSchema[None] = Absent
    duplicate_of: DuplicateOut | SkipJsonSchema[None] = Absent


class WrittenOut(Out):
    """An acknowledged write: it is never lost."""

    document_id: str
    rev: Annotated[int, Field(description="The change that wrote the present content.")]
    seq: Annotated[int, Field(description="The change itself, a place in the log of all changes.")]
    changed: Annotated[bool, Field(description="False when exactly this content was there already.")]
    applied: Annotated[bool, Field(description="True once searches see it; told only for `wait=applied`.")]
    cleaning: CleaningOut | SkipJsonSchema[None] = Absent

    model_config = _example(WRITTEN)


class DocumentAnswer(Out):
    """The answer to one line of `documents:bulk`."""

    line: Annotated[int, Field(ge=1)]
    status: Literal["stored", "unchanged", "deleted", "refused"]
    id: str | SkipJsonSchema[None] = Absent
    seq: Annotated[int | SkipJsonSchema[None], Field(description="Left out in a dry run.")] = Absent
    error: LineError | SkipJsonSchema[None] = Absent
    cleaning: CleaningOut | SkipJsonSchema[None] = Absent


class DocumentTotals(Out):
    """What became of all lines."""

    lines: int
    stored: int
    unchanged: int
    deleted: int
    refused: int
    last_seq: int | None
    applied: bool
    dry_run: Annotated[bool, Field(description="True where nothing was stored.")]


class DocumentSummary(Out):
    """The last line of the answer."""

    summary: DocumentTotals


class JudgmentAnswer(Out):
    """The answer to one line of `judgments:bulk`."""

    line: Annotated[int, Field(ge=1)]
    status: Literal["stored", "refused"]
    id: str | SkipJsonSchema[None] = Absent
    error: LineError | SkipJsonSchema[None] = Absent


class JudgmentTotals(Out):
    """What became of all lines."""

    lines: int
    stored: int
    refused: int


class JudgmentSummary(Out):
    """The last line of the answer."""

    summary: JudgmentTotals


class DataRemovalOut(Out):
    """A removal: what was deleted, and what had been trained on it before."""

    id: str
    kind: Literal["person", "document"]
    corpus: Annotated[str | None, Field(description="Null for a person removed from every corpus.")]
    removed: Annotated[
        dict[str, int],
        Field(description="How many feedback, retrievals, judgments, pairs, and texts of queries."),
    ]
    training_sets: Annotated[list[str], Field(description="Frozen before; none frozen later has the data.")]
    model_versions: Annotated[list[str], Field(description="Trained on these sets.")]
    created_at: datetime
    updated_at: Annotated[datetime, Field(description="When it was asked for last.")]

    model_config = _example(REMOVAL)


class DataRemovalList(Out):
    model_config = _example({"items": [REMOVAL]})

    items: list[DataRemovalOut]


class TracedPairOut(Out):
    """A pair of a training set, and everything that it is made of."""

    id: Annotated[str, Field(description="The same in every training set that has the pair.")]
    training_set: str
    model_versions: Annotated[list[str], Field(description="Trained on this set.")]
    query: Annotated[str | None, Field(description="Empty when its text was removed.")]
    document_id: str
    split: Literal["train", "dev"]
    sources: Annotated[
        dict[str, list[str]],
        Field(
            description="By kind: `feedback` ids, `import` (name and line) and `transfer` are its labels; "
            "`document` and `negative` are in it."
        ),
    ]

    model_config = _example(TRACED)


class TracedPairList(Out):
    model_config = _example({"items": [TRACED]})

    items: list[TracedPairOut]
    next: Annotated[str | SkipJsonSchema[None], Field(description="Send it as `after` for the next page.")] = (
        Absent
    )


class Explanation(Out):
    """How a score came about."""

    cosine: float
    boost: Annotated[float, Field(description="The product of the boosts that applied.")]
    rev: int
    ordinal: Annotated[int, Field(ge=0, description="Which passage of its document this is.")]


class ResultOut(Out):
    """A passage that was found."""

    rank: Annotated[int, Field(ge=1)]
    score: Annotated[float, Field(description="The cosine times the boosts; greater is nearer.")]
    passage_id: str
    document_id: str
    title: str
    text: str
    metadata: dict[str, Any]
    explain: Explanation | SkipJsonSchema[None] = Absent


class SearchOut(Out):
    """Passages of one index version; `retrieval_id` is what feedback refers to."""

    retrieval_id: str
    index_version: str
    model_version: str
    verified: Annotated[bool, Field(description="False when the catalog was away and could not confirm them.")]
    results: list[ResultOut]
    took_ms: Annotated[dict[str, float], Field(description="Milliseconds by stage, and in total.")]

    model_config = _example(SEARCH)


class FeedbackOut(Out):
    """Feedback that was taken."""

    feedback_id: str
    status: Annotated[
        Literal["stored", "pending"],
        Field(description="`pending` until the retrieval itself has reached the catalog."),
    ]

    model_config = _example({"feedback_id": "f-0197d2c4a1b24f6d", "status": "stored"})


class JobError(Out):
    """Why a job failed or was cancelled."""

    code: str
    message: str
    stage: Annotated[str, Field(description="The stage that it happened in.")]
    field: str | SkipJsonSchema[None] = Absent


class JobOut(Out):
    """A job; `error` and `result` are there once there is one."""

    id: str
    kind: JobKind
    corpus: str
    state: JobState
    stage: str
    progress: Annotated[float, Field(ge=0, le=1)]
    params: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    error: JobError | SkipJsonSchema[None] = Absent
    result: Annotated[
        dict[str, Any] | SkipJsonSchema[None],
        Field(
            description="By kind; a cycle's holds `model_version`, `index_version`, `gate` (its verdict and "
            "metrics) and `promoted`."
        ),
    ] = Absent

    model_config = _example(JOB)


class JobEvent(Out):
    """One event of the stream."""

    event: Literal["progress"]
    data: Annotated[
        str,
        Field(
            description="The job, as JSON.",
            json_schema_extra={
                "contentMediaType": "application/json",
                "contentSchema": {"$ref": "#/components/schemas/JobOut"},
            },
        ),
    ]

    model_config = _example({"event": "progress", "data": json.dumps(JOB)})


class JobList(Out):
    model_config = _example({"items": [JOB]})

    items: list[JobOut]
    next: Annotated[str | SkipJsonSchema[None], Field(description="Send it as `before` for the next page.")] = (
        Absent
    )


class ModelOut(Out):
    """A model version: where it comes from, how good it is, and the SHA-256 of each of its files."""

    id: str
    base: str
    parent: str | None
    corpus: Annotated[str | None, Field(description="What it was trained for; null for an untrained base.")]
    training_set: str | None
    dimension: Annotated[int, Field(ge=1)]
    max_tokens: Annotated[int, Field(ge=1)]
    backend: str
    metrics: Annotated[dict[str, Any], Field(description="With the gate's verdict once there was one.")]
    manifest: Annotated[dict[str, str], Field(description="Path of each file -> its SHA-256.")]
    created_at: datetime

    model_config = _example(MODEL)


class ModelLineage(Out):
    """What a model version was trained on; all empty for an untrained base."""

    counts: Annotated[dict[str, int], Field(description="Pairs by split, and how negatives were found.")]
    sources: Annotated[dict[str, int], Field(description="Distinct sources by kind, as in `training-pairs`.")]
    report: Annotated[
        dict[str, Any],
        Field(description="Votes counted and left out, position bias, conflicts, leaks, coverage."),
    ]


class ModelDetail(ModelOut):
    """A model version with what it was trained on."""

    lineage: ModelLineage

    model_config = _example(MODEL | {"lineage": LINEAGE})


class ModelList(Out):
    model_config = _example({"items": [MODEL]})

    items: list[ModelOut]


class IndexVersionOut(Out):
    """An index version and how far behind the change log it is."""

    id: str
    state: IndexState
    model_version: str
    passages: Annotated[int, Field(ge=0)]
    applied_seq: int
    lag: Annotated[int, Field(ge=0, description="Distance from the head of the corpus' log, in `seq`.")]
    chunking: Chunking
    index: IndexSettings
    verification: Annotated[dict[str, Any] | None, Field(description="What was counted before it could serve.")]
    created_at: datetime

    model_config = _example(INDEX_VERSION)


class IndexVersionList(Out):
    model_config = _example({"items": [INDEX_VERSION]})

    items: list[IndexVersionOut]


class Moved(Out):
    """What serves the corpus after a promotion or a rollback."""

    corpus: str
    serving: str | None
    previous: str | None

    model_config = _example(MOVED)


class Embedding(Out):
    object: Literal["embedding"]
    index: Annotated[int, Field(ge=0)]
    embedding: Annotated[
        list[float] | str,
        Field(description="L2-normalised; as `base64`, the bytes of little-endian 32-bit floats."),
    ]


class Usage(Out):
    prompt_tokens: Annotated[int, Field(ge=0)]
    total_tokens: Annotated[int, Field(ge=0)]


class EmbeddingsOut(Out):
    """Vectors in the order of the input, in the shape of OpenAI's API."""

    object: Literal["list"]
    data: list[Embedding]
    model: Annotated[str, Field(description="The model version that encoded.")]
    usage: Usage

    model_config = _example(EMBEDDINGS)


class HealthOut(Out):
    model_config = _example({"status": "ok"})

    status: Literal["ok"]


class MilvusCapabilities(Out):
    """What the connected Milvus can do."""

    server: Annotated[str, Field(description="Its version.")]
    kind: ServerKind
    index_types: Annotated[list[str], Field(description="Values that `policy.index.index_type` may take.")]
    bm25: Annotated[bool, Field(description="Whether `policy.index.bm25` may be true.")]
    filter_templates: bool
    iterator_timestamps: bool
    max_dimension: int
    aliased_drop: AliasedDrop


class Capabilities(Out):
    """Parts that answered the check."""

    milvus: MilvusCapabilities | SkipJsonSchema[None] = Absent


class ReadinessOut(Out):
    """Each part with `ok`, or with what hinders it; and what the parts can do."""

    status: Literal["ready", "unready", "stopping"]
    checks: dict[str, str]
    capabilities: Capabilities

    model_config = _example(READINESS)
