"""`policy.training`: how a candidate is trained. One module of this package for each road to a better one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from embedloop.frozen import Frozen

Loss = Literal["mnrl", "cached_mnrl", "triplet", "contrastive", "cosent"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


class Transfer(Frozen):
    """Pairs from outside the corpus that train beside its own.

    `path` is `general` (the pairs from WordNet that come with Embedloop) or the absolute path of a JSONL file
    on the server, one `{"anchor": ..., "positive": ...}` a line. `ratio` is their number over that of the
    corpus' own.
    """

    path: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^(general|/.+\.jsonl)$")] = "general"
    ratio: Annotated[float, Field(gt=0, le=10)] = 0.1


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
    last step, the learning rate has fallen to zero by then.
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
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    hard_negatives: Annotated[int, Field(ge=0, le=5)] = 1
    relative_margin: Annotated[float, Field(ge=0, le=1)] = 0.05
    mining: Mining = Mining()
    transfer: Transfer | None = None
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
