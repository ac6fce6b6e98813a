"""What callers get, as the OpenAPI document tells it. Answers are not validated against these at run time."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from embedloop.policy import Chunking, IndexSettings, Policy
from embedloop.records.jobs import JobKind, JobState
from embedloop.records.versions import IndexState
from service.examples import (
    CORPUS,
    DIFFERENCE,
    EMBEDDINGS,
    INDEX_VERSION,
    JOB,
    MODEL,
    MODEL_CARD,
    MOVED,
    SEARCH,
)
from service.output import Absent, Out, example


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

    model_config = example(CORPUS)


class CorpusCreated(CorpusOut):
    """A new corpus, and the job that builds its first index version."""

    job: Annotated[str, Field(examples=[JOB["id"]])]

    model_config = example(CORPUS | {"serving": None, "documents": 0, "job": JOB["id"]})


class CorpusList(Out):
    model_config = example({"items": [CORPUS]})

    items: list[CorpusOut]


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
    rerank_score: Annotated[
        float | SkipJsonSchema[None],
        Field(description="The re-ranker's, 0..1, times the boosts; greater is more relevant."),
    ] = Absent
    explain: Explanation | SkipJsonSchema[None] = Absent


class RerankerOut(Out):
    """The re-ranker that serves, and how many of the results' first hits it scored within its budget.

    It is the search's own model version where that has a second stage.
    """

    model_version: str
    reranked: Annotated[int, Field(ge=0)]


class SearchOut(Out):
    """Passages of one index version; `retrieval_id` is what feedback refers to."""

    retrieval_id: str
    index_version: str
    model_version: str
    verified: Annotated[bool, Field(description="False when the catalog was away and could not confirm them.")]
    results: list[ResultOut]
    took_ms: Annotated[dict[str, float], Field(description="Milliseconds by stage, and in total.")]
    reranker: RerankerOut | SkipJsonSchema[None] = Absent

    model_config = example(SEARCH)


class FeedbackOut(Out):
    """Feedback that was taken."""

    feedback_id: str
    status: Annotated[
        Literal["stored", "pending"],
        Field(description="`pending` until it and its retrieval have reached the catalog."),
    ]

    model_config = example({"feedback_id": "f-0197d2c4a1b24f6d", "status": "stored"})


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

    model_config = example(JOB)


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

    model_config = example({"event": "progress", "data": json.dumps(JOB)})


class JobList(Out):
    model_config = example({"items": [JOB]})

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

    model_config = example(MODEL)


class GateOut(Out):
    """A gate's decision on the model version."""

    corpus: str
    serving: Annotated[str, Field(description="The model version that it was compared with.")]
    verdict: Literal["passed", "failed"]
    reasons: list[str]
    metrics: dict[str, Any]
    created_at: datetime


class CardData(Out):
    """What it was trained on."""

    training_set: str
    sha256: str
    counts: Annotated[dict[str, int], Field(description="Pairs by split, and by where they are from.")]
    sources: Annotated[dict[str, int], Field(description="Distinct sources by kind, as in `training-pairs`.")]
    created_at: datetime


class ModelCard(Out):
    """Where a model version comes from, how it was made, what was measured, and its limits."""

    model_version: str
    base: str
    parent: str | None
    corpus: str | None
    created_at: datetime
    dimension: Annotated[int, Field(ge=1)]
    max_tokens: Annotated[int, Field(ge=1)]
    backend: str
    prompts: Annotated[dict[str, str], Field(description="Put before a query and before a passage.")]
    files: Annotated[int, Field(ge=1)]
    data: Annotated[CardData | None, Field(description="Null for an untrained base.")]
    training: Annotated[
        dict[str, Any] | None, Field(description="Settings, environment and course of the training.")
    ]
    gates: Annotated[list[GateOut], Field(description="Every decision, the newest first.")]
    limits: Annotated[list[str], Field(description="What it was not shown to do.")]

    model_config = example(MODEL_CARD)


class ModelList(Out):
    model_config = example({"items": [MODEL]})

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

    model_config = example(INDEX_VERSION)


class IndexVersionList(Out):
    model_config = example({"items": [INDEX_VERSION]})

    items: list[IndexVersionOut]


class ComparedPassage(Out):
    document_id: str
    passage_id: str
    score: float
    title: Annotated[str | None, Field(description="As it is now; null for a document that is gone.")]


class ComparedQuery(Out):
    """One query before and after."""

    query: str
    critical: Annotated[bool, Field(description="Named by the policy or the job; else asked lately.")]
    change: Annotated[
        float,
        Field(ge=0, le=1, description="1 - average overlap of the documents: 0 for the same answer."),
    ]
    before: list[ComparedPassage]
    after: list[ComparedPassage]


class DifferenceOut(Out):
    """Every critical query, and of those asked lately the ones that change most."""

    index_version: str
    against: Annotated[str, Field(description="The index version that served then.")]
    created_at: datetime
    top_k: int
    critical: Annotated[int, Field(ge=0, description="Critical queries.")]
    recent: Annotated[int, Field(ge=0, description="Queries asked lately that were compared.")]
    recent_changed: Annotated[int, Field(ge=0, description="How many of them change.")]
    recent_mean_change: Annotated[float, Field(ge=0, le=1)]
    queries: list[ComparedQuery]

    model_config = example(DIFFERENCE)


class Moved(Out):
    """What serves the corpus after a promotion or a rollback."""

    corpus: str
    serving: str | None
    previous: str | None

    model_config = example(MOVED)


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

    model_config = example(EMBEDDINGS)
