"""What callers send, with every limit; unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    TypeAdapter,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from embedloop.filters import Filter
from embedloop.policy import Chunking, Policy
from embedloop.records.feedback import Signal
from embedloop.records.labels import Split
from embedloop.text.cleaned import ContentType

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
ID_PATTERN = r"^[!-~]{1,128}$"
IMPORT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
# What the validators below refuse, told in the schema as well.
_TEXT = r"^[^\x00]*$"
TEXT_NOT_BLANK = r"^[^\x00]*[^\s\x00][^\x00]*$"
_NOT_BLANK = r"\S"
_METADATA: dict[str, Any] = {
    "maxProperties": 64,
    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$"},
    "additionalProperties": {
        "anyOf": [
            {"type": "string", "maxLength": 4000, "pattern": _TEXT},
            {"type": "number"},
            {"type": "boolean"},
            {
                "type": "array",
                "items": {"type": "string", "maxLength": 4000, "pattern": _TEXT},
                "maxItems": 256,
            },
        ]
    },
}


class Described:
    """Tells in the schema what a field takes that is checked later, where an error can name its exact place."""

    def __init__(self, kind: Any):
        self._kind = kind

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(TypeAdapter(self._kind).core_schema)


def without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold NUL characters")
    return value


def not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


CorpusName = Annotated[str, Field(pattern=NAME_PATTERN)]
Id = Annotated[str, Field(pattern=ID_PATTERN)]
QueryText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=4000),
    AfterValidator(without_nul),
    Field(json_schema_extra={"pattern": TEXT_NOT_BLANK}),
]


def text(max_length: int, min_length: int = 0) -> Any:
    return Field(min_length=min_length or None, max_length=max_length, json_schema_extra={"pattern": _TEXT})


Short = Annotated[str, text(max_length=128), AfterValidator(without_nul)]
DocumentId = Annotated[str, text(min_length=1, max_length=256), AfterValidator(without_nul)]
RetrievalId = Annotated[str, text(min_length=1, max_length=64), AfterValidator(without_nul)]
Comment = Annotated[str, text(max_length=4000), AfterValidator(without_nul)]


class Body(BaseModel):
    """A request body: a typing error in a field's name is told instead of ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def example(*values: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(values)})


class CorpusIn(Body):
    """A new corpus; what its policy leaves out has a default."""

    model_config = example({"name": "support", "policy": {"trigger": {"min_pairs": 50}}})

    name: CorpusName
    base_model: Annotated[
        str | None,
        Field(description="Shorthand for `policy.base_model`: a known name, or the absolute path of a folder."),
    ] = None
    chunking: Annotated[Chunking | None, Field(description="Shorthand for `policy.chunking`.")] = None
    policy: Annotated[dict[str, Any], Described(Policy)] = {}


class PolicyPatch(Body):
    """A change of a policy."""

    model_config = example({"policy": {"gate": {"min_uplift": 0.01}}})

    policy: Annotated[
        dict[str, Any],
        Described(Policy),
        Field(description="Sections to change, each merged into the present one."),
    ]


class DocumentIn(Body):
    """A document with a title or a text that is not blank."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "Gout",
                    "text": "Gout is an inflammatory arthritis.",
                    "metadata": {"year": 2024, "tags": ["joints"]},
                }
            ],
            "anyOf": [
                {"required": [field], "properties": {field: {"type": "string", "pattern": _NOT_BLANK}}}
                for field in ("title", "text")
            ],
        }
    )

    title: Annotated[
        Annotated[str, Field(json_schema_extra={"maxLength": 2000, "pattern": _TEXT})] | None,
        Field(description="Left out, it is taken from the page's heading or the mail's subject."),
    ] = None
    text: Annotated[str, Field(json_schema_extra={"pattern": _TEXT})] | None = None
    content_type: Annotated[
        ContentType,
        Field(description="How `text` is written; `policy.cleaning` says what is made of it."),
    ] = ContentType.TEXT
    metadata: Annotated[
        Annotated[dict[str, Any], Field(json_schema_extra=_METADATA)] | None,
        Field(description="Flat: texts, numbers, booleans, lists of texts."),
    ] = None


class DocumentLine(DocumentIn):
    """One line of `documents:bulk`; a delete has an id alone."""

    model_config = example({"id": "gout", "title": "Gout"}, {"id": "flu", "op": "delete"})

    id: DocumentId
    op: Literal["upsert", "delete"] = "upsert"


class SearchIn(Body):
    """A search."""

    model_config = example(
        {"query": "painful big toe", "top_k": 5},
        {
            "query": "painful big toe",
            "filter": {"and": [{"field": "year", "op": "ge", "value": 2020}]},
            "session": "anna",
            "explain": True,
        },
    )

    query: QueryText
    top_k: Annotated[int, Field(ge=1, le=1000, strict=True)] = 10
    filter: Annotated[
        Any,
        Described(Filter | None),
        Field(
            description="A tree of `{field, op, value}`, `{and: [...]}`, `{or: [...]}`, `{not: {...}}`, at "
            "most 8 levels deep; `in` takes a list of values, every other op a single one."
        ),
    ] = None
    session: Annotated[Short | None, Field(description="One person's session: it reads its own writes.")] = None
    explain: Annotated[
        bool, Field(strict=True, description="Tells of each result how its score came about.")
    ] = False


class FeedbackIn(Body):
    """A signal on a retrieval.

    `up`, `down` and `click` name a passage that was shown, or its document; `correct` names the right document,
    shown or not; `none_relevant` names nothing.
    """

    model_config = example(
        {
            "retrieval_id": "0197d2c4a1b24f6d0c9e8b7a6f5e4d3c2b1a0f9e.Q2l0cnVzZnJ1aXQx",
            "signal": "up",
            "document_id": "gout",
        }
    )

    retrieval_id: Annotated[RetrievalId, Field(description="Of a search's answer.")]
    signal: Signal
    document_id: DocumentId | None = None
    passage_id: RetrievalId | None = None
    comment: Annotated[Comment | None, Field(description="Stored without personal data.")] = None


class JudgmentIn(Body):
    """One line of `judgments:bulk`: how relevant a document is to a query, 0 for not at all."""

    model_config = example({"query": "painful big toe", "document_id": "gout", "grade": 3})

    query: QueryText
    document_id: DocumentId
    grade: Annotated[int, Field(ge=0, le=3, strict=True)]
    split: Split | None = None


PairText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=32_000),
    AfterValidator(without_nul),
    Field(json_schema_extra={"pattern": TEXT_NOT_BLANK}),
]
ImportName = Annotated[str, Field(pattern=IMPORT_PATTERN)]


class PairIn(Body):
    """One line of `pairs:bulk`: a text that answers the anchor, texts that do not, or both."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "anchor": "how do I reset it?",
                    "positive": "Hold the button for ten seconds.",
                    "negatives": ["The button is red."],
                }
            ],
            "anyOf": [
                {"required": ["positive"], "properties": {"positive": {"type": "string"}}},
                {"required": ["negatives"], "properties": {"negatives": {"minItems": 1}}},
            ],
        }
    )

    anchor: QueryText
    positive: PairText | None = None
    negatives: Annotated[list[PairText], Field(max_length=32)] = []
    split: Annotated[
        Literal["train", "dev"] | None,
        Field(description="The golden set is measured on documents: label those with `judgments:bulk`."),
    ] = None


class RemovalIn(Body):
    """Whose data is taken out of all future training: a person's, or a document's."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"person": "anna"}, {"corpus": "support", "document_id": "gout"}],
            "oneOf": [
                {
                    "required": ["person"],
                    "properties": {"person": {"type": "string"}, "document_id": {"type": "null"}},
                },
                {
                    "required": ["corpus", "document_id"],
                    "properties": {
                        "corpus": {"type": "string"},
                        "document_id": {"type": "string"},
                        "person": {"type": "null"},
                        "key_id": {"type": "null"},
                    },
                },
            ],
        }
    )

    person: Annotated[
        Annotated[str, text(min_length=1, max_length=128), AfterValidator(without_nul)] | None,
        Field(description="The session that the person searches under."),
    ] = None
    key_id: Annotated[Id | None, Field(description="Only where the session came with this key.")] = None
    corpus: Annotated[
        CorpusName | None, Field(description="Of the document; of a person, all corpora without it.")
    ] = None
    document_id: DocumentId | None = None


class PromoteIn(Body):
    """What is to serve."""

    model_config = example({"index_version": "iv-9b2f7d1c"})

    index_version: Id


EmbeddingText = Annotated[
    str,
    Field(min_length=1, max_length=32_000, json_schema_extra={"pattern": _NOT_BLANK}),
    AfterValidator(not_blank),
]


EmbeddingTexts = Annotated[list[EmbeddingText], Field(min_length=1, max_length=2048)]


class EmbeddingsIn(Body):
    """Texts to encode."""

    model_config = example({"input": ["painful big toe", "gout"], "model": "support"})

    input: Annotated[
        EmbeddingTexts,
        BeforeValidator(_as_list, json_schema_input_type=EmbeddingText | EmbeddingTexts),
    ]
    model: Annotated[Id, Field(description="A corpus, or a model version that some corpus serves.")]
    encoding_format: Literal["float", "base64"] = "float"
    input_type: Literal["query", "passage"] = "query"
    dimensions: Annotated[int | None, Field(strict=True, description="Must be the model's own, if given.")] = (
        None
    )
    user: Annotated[str | None, Field(description="Taken for compatibility, not used.", max_length=1000)] = None
