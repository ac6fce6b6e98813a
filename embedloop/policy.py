"""A corpus' policy: how it is chunked, trained, gated, promoted. Validated where it enters, frozen after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from embedloop.frozen import Frozen
from embedloop.fusion import EVEN
from embedloop.recipe.compression import ExportSettings
from embedloop.recipe.reranking import Reranking
from embedloop.recipe.settings import TrainingSettings

DEFAULT_BASE_MODEL = "all-MiniLM-L6-v2"

IndexType = Literal["HNSW", "HNSW_SQ", "FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_RABITQ", "DISKANN", "AUTOINDEX"]
MetricType = Literal["COSINE", "IP", "L2"]
VectorType = Literal["float32", "float16", "bfloat16", "int8", "binary"]
# Of the others Milvus builds every index type, by every metric. Of bits FLAT and IVF_FLAT are its BIN_FLAT and
# BIN_IVF_FLAT, and int8 has a scale for each vector, which only the cosine does not see.
INDEX_TYPES_OF: Mapping[VectorType, tuple[IndexType, ...]] = {"int8": ("HNSW",), "binary": ("FLAT", "IVF_FLAT")}
COSINE_ONLY: frozenset[VectorType] = frozenset({"int8", "binary"})
LanguageCode = Annotated[str, Field(pattern="^[a-z]{2,3}$")]
Redaction = Literal["off", "placeholder", "mask", "pseudonym"]
GateMetric = Literal["ndcg@10", "recall@10", "precision@5", "mrr@10", "hit@1", "hit@5"]
MetadataField = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class Chunking(Frozen):
    """How a document becomes passages; tokens are those of the model's own tokenizer.

    A passage ends at a paragraph, sentence or word end, the highest that fits; `by: markdown` puts headings,
    lists, tables and code blocks above these.
    """

    by: Literal["text", "markdown"] = "text"
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 192
    overlap_tokens: Annotated[int, Field(ge=0, le=1024)] = 0

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> Chunking:
        if self.overlap_tokens >= self.max_tokens:
            raise ValueError(
                f"overlap_tokens must be below max_tokens ({self.max_tokens}), got {self.overlap_tokens}"
            )
        return self


class Cleaning(Frozen):
    """What happens to documents on their way in.

    `markup` cleans HTML, mail and Markdown and stores plain text as it was sent; `all` cleans plain text too;
    `off` stores every text as it was sent, whatever its `content_type`. What is not worth keeping (an error
    page, filler, garbled text, fewer than `min_words` words, a language that is not among `languages`) is
    refused, or stored and only told. A near duplicate shares at least `similarity` of its runs of three words
    with a live document of another id; an update is never refused as one.
    """

    documents: Literal["off", "markup", "all"] = "markup"
    rejects: Literal["tell", "refuse"] = "refuse"
    near_duplicates: Literal["off", "tell", "refuse"] = "off"
    similarity: Annotated[float, Field(ge=0.5, le=1)] = 0.9
    languages: Annotated[tuple[LanguageCode, ...], Field(max_length=100)] = ()
    min_words: Annotated[int, Field(ge=0, le=1000)] = 3


class IndexSettings(Frozen):
    """Parameters of the Milvus index, and the numbers that vectors are stored in.

    Not every server can do everything: `/readyz` tells what the connected one can. Vectors are L2-normalised:
    the values of `metric_type` rank alike, and the score is the cosine whichever it is. With `bm25`, a search
    fuses the nearest vectors with the best matches of the query's words, by their ranks (RRF, weighted by
    `policy.bm25_weight`), and scores are those of the fusion.

    `vector_type` other than `float32` takes less memory and ranks more coarsely. `int8` needs HNSW; `binary`
    keeps the signs, needs FLAT or IVF_FLAT, and is searched by the Hamming distance; both need COSINE. Their
    hits, and those of IVF_SQ8, are taken `rescore_factor` times as many (at most 2,000), scored again with the
    query in float32 and the finest numbers that the row has, and cut. Null is 16 for `binary`, else 4.

    What is changed here counts from the next build.
    """

    index_type: IndexType = "HNSW"
    metric_type: MetricType = "COSINE"
    vector_type: VectorType = "float32"
    rescore_factor: Annotated[int | None, Field(ge=1, le=64)] = None
    bm25: bool = False
    m: Annotated[int, Field(ge=4, le=64)] = 16
    ef_construction: Annotated[int, Field(ge=8, le=1024)] = 200
    ef_search: Annotated[int, Field(ge=16, le=4096)] = 128

    @model_validator(mode="after")
    def _the_index_is_one_of_the_vector_type(self) -> IndexSettings:
        able = INDEX_TYPES_OF.get(self.vector_type)
        if able is not None and self.index_type not in able:
            either = " or ".join(able)
            raise ValueError(
                f"index_type must be {either} with vector_type {self.vector_type}, got {self.index_type}"
            )
        if self.vector_type in COSINE_ONLY and self.metric_type != "COSINE":
            raise ValueError(
                f"metric_type must be COSINE with vector_type {self.vector_type}, got {self.metric_type}"
            )
        return self


class Votes(Frozen):
    """What one person's signal on one (query, document) weighs when judgments are made from feedback.

    A judgment is positive from `min_weight` upwards and negative from `-min_weight` downwards. With the default
    weights one thumb is enough and clicks alone need four distinct people: a click is weak evidence.

    - `min_people` must agree, and hold `min_agreement` of the weight that was given either way.
    - Of one person the newest `max_per_person` signals count, and `max_per_session` of one visit, clicks apart
      from the others; a visit ends with a silence of `session_gap_seconds`.
    - A signal older than `max_age_days` does not count; with `half_life_days` its weight halves each time. A
      lone thumb then counts until it has decayed to `min_weight`: set that to 0.5 to have it for one half-life.
    - Clicks count once the document was shown `min_impressions` times for the query. With `position_bias:
      estimate` a click far down weighs more, as people look there less; `off` takes every rank alike. No click
      weighs more than `max_click_boost` times `click`.
    """

    up: Annotated[float, Field(ge=0, le=10)] = 1.0
    correct: Annotated[float, Field(ge=0, le=10)] = 1.0
    click: Annotated[float, Field(ge=0, le=10)] = 0.25
    down: Annotated[float, Field(ge=0, le=10)] = 1.0
    min_weight: Annotated[float, Field(gt=0, le=100)] = 1.0
    min_people: Annotated[int, Field(ge=1, le=1000)] = 1
    min_agreement: Annotated[float, Field(ge=0.5, le=1)] = 0.5
    max_per_person: Annotated[int, Field(ge=1, le=1_000_000)] = 5000
    max_per_session: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    session_gap_seconds: Annotated[float, Field(ge=1, le=86400)] = 1800.0
    half_life_days: Annotated[float | None, Field(gt=0, le=36500)] = None
    max_age_days: Annotated[float | None, Field(gt=0, le=36500)] = None
    min_impressions: Annotated[int, Field(ge=1, le=10000)] = 1
    position_bias: Literal["estimate", "off"] = "estimate"
    max_click_boost: Annotated[float, Field(ge=1, le=10)] = 2.0


class Splits(Frozen):
    """Shares of new queries that go to the golden and dev sets at first sight; the rest trains.

    Queries about one document go together, and so do near duplicates. Each stratum (the document's value in
    the metadata field `topic`, its length, the form of the query) gets these shares of its documents. A query
    that shares at least `similarity` of its runs of three words with a golden or dev query never trains.
    """

    golden: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    dev: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    topic: Annotated[str | None, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")] = None
    similarity: Annotated[float, Field(ge=0.8, le=1)] = 0.8


class Balance(Frozen):
    """What keeps a few documents from filling a training set: most training pairs of one document."""

    max_pairs_per_document: Annotated[int, Field(ge=1, le=1_000_000)] = 200


class Trigger(Frozen):
    """When a cycle starts by itself."""

    new_feedback: Annotated[int | None, Field(ge=1)] = 500
    min_pairs: Annotated[int, Field(ge=2)] = 50


class GateSettings(Frozen):
    """What a candidate must prove on the golden set before it may serve.

    `min_uplift` is absolute; the lower end of the paired-bootstrap interval at `confidence` must lie above it.
    No slice of at least `min_slice_queries` golden queries may lose more than `max_slice_drop` beyond chance
    (null: slices are told and decide nothing); slices are by length, script, how often a query is asked, and
    the values of the metadata field `slice_field`. `max_query_ms` bounds the median time to encode one query
    where the gate is measured, `max_model_mb` the size of the model's files.
    On the general set the candidate may lose at most `max_general_drop` nDCG@10 against its untrained base.
    `general` says what that set is: `packaged` queries built from WordNet, those and the golden sets of the
    service's `other_corpora`, or `none`.
    With fewer than `min_queries` golden queries a candidate is refused. `without_labels: held_out` measures it
    then on pairs from the structure of documents that train nothing (a share of `splits.golden`), and the job
    waits for a person's approval: such pairs are weak evidence.
    """

    metric: GateMetric = "ndcg@10"
    min_uplift: Annotated[float, Field(ge=-1, le=1)] = 0.0
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    min_queries: Annotated[int, Field(ge=5)] = 30
    pool_size: Annotated[int, Field(ge=10)] = 2000
    general: Literal["packaged", "other_corpora", "none"] = "packaged"
    max_general_drop: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_slice_drop: Annotated[float | None, Field(ge=0, le=1)] = 0.05
    min_slice_queries: Annotated[int, Field(ge=5)] = 20
    slice_field: MetadataField | None = None
    max_query_ms: Annotated[float | None, Field(gt=0, le=60_000)] = None
    max_model_mb: Annotated[float | None, Field(gt=0, le=1_000_000)] = None
    without_labels: Literal["refuse", "held_out"] = "refuse"

    def losing_at_most(self, drop: float) -> GateSettings:
        """The gate of a model that is wanted for its speed: it need not be better, and may lose so much.

        >>> GateSettings(min_uplift=0.02, max_slice_drop=0.05).losing_at_most(0.1).min_uplift
        -0.1
        """
        slices = None if self.max_slice_drop is None else max(self.max_slice_drop, drop)
        general = min(1.0, self.max_general_drop + drop)
        return self.model_copy(
            update={"min_uplift": -drop, "max_slice_drop": slices, "max_general_drop": general}
        )


CriticalQuery = Annotated[str, Field(min_length=1, max_length=4000, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]


class Boost(Frozen):
    """Multiplies the score of hits whose metadata has this value."""

    field: MetadataField
    value: str | int | float | bool
    factor: Annotated[float, Field(gt=0, le=10)]


class Policy(Frozen):
    """Everything that a corpus lets its owner decide.

    `redaction` is what becomes of personal data in documents; queries in the log and training text never hold
    it. With `redact_names`, names of persons are redacted in documents and training text, where Presidio is
    installed. `bm25_weight` is the share of the words in a search with `index.bm25`: at 0.5 words and vectors
    count alike, at 0 vectors alone; like boosts, it counts at once. Before a promotion, answers to
    `critical_queries` are told before and after; with `require_approval` the job then waits for a person's
    word.
    """

    base_model: Annotated[str, Field(min_length=1, max_length=1024)] = DEFAULT_BASE_MODEL
    query_prompt: Annotated[str, Field(max_length=512)] = ""
    passage_prompt: Annotated[str, Field(max_length=512)] = ""
    chunking: Chunking = Chunking()
    cleaning: Cleaning = Cleaning()
    redaction: Redaction = "off"
    redact_names: bool = False
    index: IndexSettings = IndexSettings()
    votes: Votes = Votes()
    splits: Splits = Splits()
    balance: Balance = Balance()
    trigger: Trigger = Trigger()
    training: TrainingSettings = TrainingSettings()
    export: ExportSettings = ExportSettings()
    gate: GateSettings = GateSettings()
    boosts: Annotated[tuple[Boost, ...], Field(max_length=32)] = ()
    bm25_weight: Annotated[float, Field(ge=0, le=1)] = EVEN
    reranking: Reranking = Reranking()
    critical_queries: Annotated[tuple[CriticalQuery, ...], Field(max_length=200)] = ()
    require_approval: bool = False
    rollback_window_seconds: Annotated[float, Field(ge=0)] = 7 * 86400.0

    @model_validator(mode="after")
    def _nothing_general_is_asked_of_a_model_from_scratch(self) -> Policy:
        if self.training.from_scratch is not None and self.gate.general != "none":
            raise ValueError(
                "training.from_scratch needs gate.general none: a model made of the corpus alone has nothing "
                f"general to forget and would always be refused, got {self.gate.general}"
            )
        return self
