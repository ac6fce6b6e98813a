"""`policy.reranking`: a second model that looks at the best hits of an answer again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from embedloop.frozen import Frozen
from embedloop.recipe.settings import Precision


class RerankerTraining(Frozen):
    """How a re-ranker is trained.

    `base` is the absolute path of a folder on the server, a CrossEncoder or a sentence-transformers model with
    a transformer; None starts from the corpus' base model. Each relevant passage is told from `negatives`
    others: the training set's hard ones first, then random ones. `max_tokens` of query and passage together
    are read, also when it serves.
    """

    base: Annotated[str | None, Field(min_length=1, max_length=1024, pattern=r"^/.+")] = None
    negatives: Annotated[int, Field(ge=1, le=16)] = 4
    epochs: Annotated[float, Field(gt=0, le=20)] = 2.0
    batch_size: Annotated[int, Field(ge=2, le=1024)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=1e-2)] = 5e-5
    warmup_ratio: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    max_tokens: Annotated[int, Field(ge=16, le=512)] = 128
    precision: Precision = "auto"
    time_budget_seconds: Annotated[float, Field(gt=0, le=7 * 86400)] = 3600.0
    checkpoints: Annotated[int, Field(ge=1, le=100)] = 4
    threads: Annotated[int | None, Field(ge=1, le=256)] = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 13


class Reranking(Frozen):
    """What re-ranks, how many hits, and for how long.

    `model` is a re-ranker that passed its gate on this corpus; None leaves it to the second stage of a static
    model version, and re-ranks nothing where there is none. Of the best `depth` live
    hits as many are scored as fit into `budget_ms` at the measured speed; the rest, or all of them, keep their
    order. Those that are scored stand where the re-ranker's order and the search's, fused by their ranks, put
    them: the re-ranker's counts `weight`, and 1 is its order alone. The job that trains one chooses the weight;
    a model version's own second stage orders alone. All but `training` counts at once.
    """

    model: Annotated[str | None, Field(pattern=r"^[!-~]{1,64}$")] = None
    depth: Annotated[int, Field(ge=2, le=200)] = 20
    budget_ms: Annotated[float, Field(gt=0, le=10_000)] = 100.0
    weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    training: RerankerTraining = RerankerTraining()
