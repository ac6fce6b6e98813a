"""What callers send, with every limit; unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from embedloop.policy import Chunking
from embedloop.records import JobKind, Signal, Split

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold NUL characters")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


CorpusName = Annotated[str, Field(pattern=NAME_PATTERN)]
Id = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]
QueryText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=4000),
    AfterValidator(_without_nul),
]
Short = Annotated[str, Field(max_length=128), AfterValidator(_without_nul)]
DocumentId = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_without_nul)]


class Body(BaseModel):
    """A request body: a typing error in a field's name is told instead of ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusIn(Body):
    name: Annotated[CorpusName, Field(examples=["support"])]
    base_model: Annotated[str | None, Field(description="Shorthand for `policy.base_model`.")] = None
    chunking: Annotated[Chunking | None, Field(description="Shorthand for `policy.chunking`.")] = None
    policy: Annotated[dict[str, Any], Field(examples=[{"trigger": {"min_pairs": 50}}])] = {}


class PolicyPatch(Body):
    policy: Annotated[
        dict[str, Any],
        Field(
            description="Sections to change, each merged into the present one.",
            examples=[{"gate": {"min_uplift": 0.01}}],
        ),
    ]


class DocumentIn(Body):
    title: Annotated[str | None, Field(examples=["Gout"])] = None
    text: Annotated[str | None, Field(examples=["Gout is an inflammatory arthritis."])] = None
    metadata: Annotated[dict[str, Any] | None, Field(examples=[{"year": 2024, "tags": ["joints"]}])] = None


class SearchIn(Body):
    query: Annotated[QueryText, Field(examples=["painful big toe"])]
    top_k: Annotated[int, Field(ge=1, le=1000, strict=True)] = 10
    filter: Annotated[
        Any,
        Field(
            description="A tree of `{field, op, value}`, `{and: [...]}`, `{or: [...]}`, `{not: {...}}`.",
            examples=[{"field": "year", "op": "ge", "value": 2020}],
        ),
    ] = None
    session: Annotated[Short | None, Field(description="One person's session: it reads its own writes.")] = None
    explain: Annotated[bool, Field(strict=True)] = False


class FeedbackIn(Body):
    retrieval_id: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_without_nul)]
    signal: Signal
    document_id: DocumentId | None = None
    passage_id: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_without_nul)] | None = None
    comment: Annotated[str, Field(max_length=4000), AfterValidator(_without_nul)] | None = None


class JudgmentIn(Body):
    query: QueryText
    document_id: DocumentId
    grade: Annotated[int, Field(ge=0, le=3, strict=True)]
    split: Split | None = None


class CycleParams(Body):
    promote: Annotated[bool, Field(strict=True)] = True


class FinetuneParams(Body):
    pass


class EvaluateParams(Body):
    model_version: Id | None = None


class ReindexParams(Body):
    model_version: Id | None = None
    chunking: Chunking | None = None
    promote: Annotated[bool, Field(strict=True)] = True


class JobIn(Body):
    kind: JobKind
    corpus: CorpusName
    params: dict[str, Any] = {}


class PromoteIn(Body):
    index_version: Id


EmbeddingText = Annotated[str, Field(min_length=1, max_length=32_000), AfterValidator(_not_blank)]


class EmbeddingsIn(Body):
    input: Annotated[
        list[EmbeddingText],
        Field(min_length=1, max_length=2048, examples=[["painful big toe"]]),
        BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
    ]
    model: Annotated[Id, Field(description="A corpus, or a model version that some corpus serves.")]
    encoding_format: Literal["float", "base64"] = "float"
    input_type: Literal["query", "passage"] = "query"
    dimensions: Annotated[int | None, Field(description="Must be the model's own, if given.")] = None
    user: Annotated[str | None, Field(description="Taken for compatibility, not used.", max_length=1000)] = None


PARAMS_OF_KIND: dict[JobKind, type[Body]] = {
    JobKind.CYCLE: CycleParams,
    JobKind.FINETUNE: FinetuneParams,
    JobKind.EVALUATE: EvaluateParams,
    JobKind.REINDEX: ReindexParams,
}
