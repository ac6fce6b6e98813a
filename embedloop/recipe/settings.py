"""`policy.training`: how a candidate is trained. One module of this package for each road to a better one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from embedloop.frozen import Frozen
from embedloop.recipe.adaptation import Adaptation
from embedloop.recipe.augmentation import Augmentation
from embedloop.recipe.compression import Dimension, Lora, StaticTier, Student
from embedloop.recipe.query_map import QueryMapSettings
from embedloop.recipe.scratch import FromScratch
from embedloop.recipe.sources import Generated, GlossaryPath, PairSource, Structure

Loss = Literal["mnrl", "cached_mnrl", "triplet", "contrastive", "cosent"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


class Transfer(Frozen):
    """Pairs from outside the corpus that train beside its own, so that less is forgotten.

    `path` is `general` (the pairs from WordNet that come with Embedloop) or the absolute path of a JSONL file
    on the server, one `{"anchor": ..., "positive": ...}` a line. `ratio` is their number over that of the
    corpus' own.
    """

    path: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^(general|/.+\.jsonl)$")] = "general"
    ratio: Annotated[float, Field(gt=0, le=10)] = 0.15


class Mining(Frozen):
    """Where hard negatives are looked for, and what else must agree that they are wrong.

    `index` asks the serving index, `bm25` the words of the whole corpus. With `cross_encoder`, the absolute
    path of a sentence-transformers CrossEncoder folder on the server, a candidate that it scores within
    `training.relative_margin` of the positive is dropped.
    """

    sources: Annotated[tuple[Literal["index", "bm25"], ...], Field(min_length=1, max_length=2)] = ("index",)
    depth: Annotated[int, Field(ge=5, le=200)] = 30
    cross_encoder: Annotated[str | None, Field(min_length=1, max_length=1024, pattern=r"^/.+")] = None


class TrainingSettings(Frozen):
    """The recipe of a fine-tune; docs/training.md says when to use what.

    With `symmetric`, `mnrl` and `cached_mnrl` also tell each document's query from the other queries. `epochs`
    None goes through few pairs more often than through many. `dropout` replaces the base model's own; None
    keeps that. `merge_alphas` are the shares of the tuned weights that are tried beside the tuned model itself;
    none means that nothing is merged. `precision: auto` is mixed precision where a GPU has it and fp32
    elsewhere. `max_tokens` cuts texts in training only. Where `time_budget_seconds` ends a training before its
    last step, the learning rate has fallen to zero by then. `lora` trains low-rank matrices and keeps all else.
    `matryoshka` also teaches the first so many numbers of a vector to be a vector of their own; `dimension`
    cuts vectors to their first so many numbers and normalises them again. A `student` learns from the tuned
    model and is registered instead of it; so is the `static` model that is made of the tuned one's vectors of
    single tokens.

    `sources` says where pairs come from: `judgments` (feedback and imports), the `structure` of the documents,
    a `glossary` (the absolute path of a JSONL or CSV file on the server with `term`, `definition` and, if there
    are any, `synonyms`), or queries that a language model writes (`generated`). None is enough where another
    step of the recipe needs no pairs.

    `from_scratch` makes a model out of the corpus alone, instead of the base model, before it is tuned on what
    pairs there are.
    """

    loss: Loss = "mnrl"
    mini_batch_size: Annotated[int, Field(ge=1, le=1024)] = 32
    symmetric: bool = True
    epochs: Annotated[float, Field(gt=0, le=10)] | None = None
    batch_size: Annotated[int, Field(ge=2, le=1024)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=1e-2)] = 2e-4
    warmup_ratio: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    max_tokens: Annotated[int, Field(ge=8, le=512)] = 64
    dropout: Annotated[float | None, Field(ge=0, le=0.5)] = 0.0
    freeze_embeddings: bool = False
    freeze_layers: Annotated[int, Field(ge=0, le=256)] = 0
    lora: Lora | None = None
    matryoshka: Annotated[tuple[Dimension, ...], Field(max_length=16)] = ()
    dimension: Dimension | None = None
    student: Student | None = None
    static: StaticTier | None = None
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    hard_negatives: Annotated[int, Field(ge=0, le=5)] = 1
    relative_margin: Annotated[float, Field(ge=0, le=1)] = 0.05
    mining: Mining = Mining()
    transfer: Transfer | None = Transfer()
    query_map: QueryMapSettings | None = None
    merge_alphas: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(max_length=16)] = (
        0.25,
        0.5,
        0.75,
    )
    max_steps: Annotated[int | None, Field(ge=1)] = None
    time_budget_seconds: Annotated[float, Field(gt=0, le=7 * 86400)] = 3600.0
    evaluations: Annotated[int, Field(ge=1, le=100)] = 4
    patience: Annotated[int, Field(ge=1, le=100)] = 2
    threads: Annotated[int | None, Field(ge=1, le=256)] = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 13
    sources: Annotated[tuple[PairSource, ...], Field(max_length=4)] = ("judgments",)
    structure: Structure = Structure()
    glossary: GlossaryPath | None = None
    generated: Generated = Generated()
    augmentation: Augmentation | None = None
    from_scratch: FromScratch | None = None
    adaptation: Adaptation | None = None

    @model_validator(mode="after")
    def _glossary_is_named(self) -> TrainingSettings:
        if "glossary" in self.sources and self.glossary is None:
            raise ValueError("glossary must be the path of a file where sources name glossary, got none")
        return self

    @model_validator(mode="after")
    def _synonyms_come_from_somewhere(self) -> TrainingSettings:
        wanted = self.augmentation
        if wanted and "synonyms" in wanted.kinds and wanted.wordnet is None and self.glossary is None:
            raise ValueError("synonyms need a glossary where augmentation.wordnet is null, got none")
        return self

    @model_validator(mode="after")
    def _passages_are_learnt_in_one_process(self) -> TrainingSettings:
        if self.learns_from_passages and self.processes > 1:
            step = "adaptation" if self.from_scratch is None else "from_scratch"
            raise ValueError(f"{step} runs in one process: processes must be 1, got {self.processes}")
        return self

    @model_validator(mode="after")
    def _lora_freezes_by_itself(self) -> TrainingSettings:
        if self.lora is not None and (self.freeze_embeddings or self.freeze_layers):
            raise ValueError("lora freezes every other weight: freeze_embeddings and freeze_layers must be off")
        return self

    @model_validator(mode="after")
    def _one_model_is_made_of_the_tuned_one(self) -> TrainingSettings:
        if self.static is not None and self.student is not None:
            raise ValueError("give either static or student: one model is made of the tuned one")
        if self.static is not None and self.from_scratch is not None:
            raise ValueError("static needs a transformer: what from_scratch makes is static already")
        return self

    @property
    def mixed_in(self) -> Transfer | None:
        """What trains beside the corpus' own pairs; nothing where a model or a map knows the corpus alone."""
        return None if self.from_scratch is not None or self.query_map is not None else self.transfer

    @property
    def judgments_only(self) -> bool:
        """Whether people's judgments and imports are the only source of pairs."""
        return set(self.sources) == {"judgments"}

    @property
    def learns_from_passages(self) -> bool:
        """Whether there is something to learn without any pair."""
        return self.from_scratch is not None or self.adaptation is not None

    @property
    def needs_judgments(self) -> bool:
        """Whether there is nothing to learn from without people's judgments and imports."""
        return self.judgments_only and not self.learns_from_passages
