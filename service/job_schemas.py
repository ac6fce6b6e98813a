"""What callers send about jobs: their kinds, their params, and a person's word on them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from embedloop.policy import Chunking, MetadataField
from embedloop.recipe.compression import StaticTier
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.jobs import JobKind
from service.schemas import (
    TEXT_NOT_BLANK,
    Body,
    CorpusName,
    Described,
    Id,
    QueryText,
    example,
    not_blank,
    text,
    without_nul,
)

Reason = Annotated[
    str,
    Field(min_length=1, max_length=2000, json_schema_extra={"pattern": TEXT_NOT_BLANK}),
    AfterValidator(without_nul),
    AfterValidator(not_blank),
]
CriticalQueries = Annotated[
    list[QueryText],
    Field(max_length=200, description="Compared before the promotion, beside `policy.critical_queries`."),
]


OwnTraining = Annotated[
    dict[str, Any],
    Described(TrainingSettings),
    Field(description="Fields of `policy.training` that count for this job alone, in place of the policy's."),
]


class CycleParams(Body):
    """Trains, builds and, if the gate allows it, promotes."""

    training: OwnTraining | None = None
    critical_queries: CriticalQueries | None = None
    promote: Annotated[bool, Field(strict=True)] = True


class FromScratchParams(CycleParams):
    """As a cycle, with a model made of the corpus alone: FastText unless `training.from_scratch` says."""


class FinetuneParams(Body):
    """Trains and asks the gate."""

    training: OwnTraining | None = None


class RerankerParams(Body):
    """Trains a re-ranker as the policy says and asks the gate."""

    promote: Annotated[
        bool, Field(strict=True, description="Whether one that passes goes into `policy.reranking.model`.")
    ] = True


class QuestionIn(Body):
    """A question with the answers that are right."""

    question: QueryText
    answers: Annotated[
        list[Annotated[str, text(min_length=1, max_length=500), AfterValidator(without_nul)]],
        Field(min_length=1, max_length=20),
    ]


class EvaluateParams(Body):
    """Scores a model version, by default the serving one, on the golden set."""

    model_version: Id | None = None
    k: Annotated[
        list[Annotated[int, Field(ge=1, le=100, strict=True)]] | None,
        Field(min_length=1, max_length=8, description="Ranks of the metrics; 1, 5 and 10 by default."),
    ] = None
    label_field: Annotated[
        MetadataField | None,
        Field(description="Metadata field that labels documents; by default `policy.gate.slice_field`."),
    ] = None
    questions: Annotated[
        list[QuestionIn] | None,
        Field(min_length=1, max_length=500, description="Asked with the passages found as context."),
    ] = None


class HeadroomParams(Body):
    """Measures what training could bring and would cost; trains nothing that is kept."""


class IndexTrialParams(Body):
    """Tells which `policy.index` is fastest here, among those that find enough; changes nothing."""

    rows: Annotated[
        int, Field(ge=100, le=100_000, strict=True, description="Passages at most, spread over the corpus.")
    ] = 20_000
    queries: Annotated[
        int,
        Field(ge=10, le=1000, strict=True, description="Queries at most: asked lately, judged, then titles."),
    ] = 100


class BridgeParams(Body):
    """Lets a new model version encode queries, for the passages as they are: its re-embed may come later."""

    model_version: Annotated[Id, Field(description="Encodes queries; the serving one's passages stay.")]
    promote: Annotated[bool, Field(strict=True)] = True
    critical_queries: CriticalQueries | None = None


class CompressParams(Body):
    """Makes a cheaper version of the serving model without training, and promotes it if it keeps enough."""

    to: Annotated[
        Literal["int8", "static"],
        Field(description="int8 arithmetic, or a vector for each token; the model then orders the first hits."),
    ]
    model_version: Annotated[
        Id | None, Field(description="What is made cheaper, in place of the serving one.")
    ] = None
    static: Annotated[
        StaticTier | None, Field(description="In place of `policy.training.static`, for this job alone.")
    ] = None
    max_drop: Annotated[
        float,
        Field(ge=0, le=1, strict=True, description="How much of the gate's metric it may lose at most."),
    ] = 0.01
    promote: Annotated[bool, Field(strict=True)] = True
    critical_queries: CriticalQueries | None = None

    @model_validator(mode="after")
    def _static_is_asked_for(self) -> CompressParams:
        if self.static is not None and self.to != "static":
            raise ValueError("static says how a static model is made: to must be static")
        return self


class ReindexParams(Body):
    """Builds an index version anew, and promotes it when it is verified."""

    model_version: Id | None = None
    chunking: Chunking | None = None
    promote: Annotated[bool, Field(strict=True)] = True
    critical_queries: CriticalQueries | None = None


class ApproveIn(Body):
    """A person's yes."""

    model_config = example({"reason": "The answers about leases are right now."})

    reason: Reason | None = None


class RejectIn(Body):
    """A person's no; what was built is given up."""

    model_config = example({"reason": "The answer about notice periods is gone."})

    reason: Reason


class JobIn(Body):
    """A job to be done."""

    model_config = example(
        {"kind": "evaluate", "corpus": "support"},
        {"kind": "reindex", "corpus": "support", "params": {"promote": False}},
    )

    kind: JobKind
    corpus: CorpusName
    params: Annotated[
        dict[str, Any],
        Described(
            CycleParams
            | FinetuneParams
            | EvaluateParams
            | HeadroomParams
            | IndexTrialParams
            | BridgeParams
            | CompressParams
            | RerankerParams
            | ReindexParams
        ),
        Field(description="Those of the kind."),
    ] = Field(default_factory=dict)


PARAMS_OF_KIND: dict[JobKind, type[Body]] = {
    JobKind.CYCLE: CycleParams,
    JobKind.FINETUNE: FinetuneParams,
    JobKind.EVALUATE: EvaluateParams,
    JobKind.HEADROOM: HeadroomParams,
    JobKind.INDEX_TRIAL: IndexTrialParams,
    JobKind.BRIDGE: BridgeParams,
    JobKind.COMPRESS: CompressParams,
    JobKind.RERANKER: RerankerParams,
    JobKind.REINDEX: ReindexParams,
    JobKind.TRAIN_FROM_SCRATCH: FromScratchParams,
}
