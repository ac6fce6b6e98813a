"""Ranking metrics for queries with exactly one right document, and their bootstrap intervals.

Every metric is 0..1, greater is better, and follows trec_eval's definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from embedloop.errors import InvalidInput

SAMPLES = 2000
CONFIDENCE = 0.95

Rank = int | None
"""Position of the right document, from 1; None when it is not among the results."""

METRICS: Mapping[str, Callable[[int], float]] = {
    "hit@1": lambda rank: float(rank <= 1),
    "hit@5": lambda rank: float(rank <= 5),
    "ndcg@10": lambda rank: 1.0 / math.log2(rank + 1) if rank <= 10 else 0.0,
    "precision@5": lambda rank: float(rank <= 5) / 5,
    "recall@10": lambda rank: float(rank <= 10),
}


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the two ends of its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric before and after, and the uplift over the same queries."""

    before: Interval
    after: Interval
    uplift: Interval

    def to_json(self) -> dict[str, dict[str, float]]:
        return asdict(self)


def rank_of(document_ids: Sequence[str], right: str) -> Rank:
    """Count the distinct documents down to the right one.

    >>> rank_of(["a", "a", "b"], "b")
    2
    """
    distinct = list(dict.fromkeys(document_ids))
    return distinct.index(right) + 1 if right in distinct else None


def scores(ranks: Sequence[Rank], metric: str) -> list[float]:
    """Score each query; one whose right document was not found scores 0."""
    formula = METRICS[metric]
    return [0.0 if rank is None else formula(rank) for rank in ranks]


def interval(values: Sequence[float], seed: int) -> Interval:
    """Percentile bootstrap of the mean (Efron 1979): 2,000 resamples of the queries.

    Raises:
        InvalidInput: There are no values.
    """
    data: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise InvalidInput("an interval needs at least one value, got 0")
    drawn = np.random.default_rng(seed).integers(0, data.size, size=(SAMPLES, data.size))
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(data[drawn].mean(axis=1), [tail, 1.0 - tail])
    return Interval(float(data.mean()), float(low), float(high))


def compare(before: Sequence[Rank], after: Sequence[Rank], seed: int) -> dict[str, Comparison]:
    """Compare two runs over the same queries in the same order.

    The uplift's interval resamples both runs together, query by query, so that easy and hard queries
    cancel out.

    Raises:
        InvalidInput: The runs have different lengths, or are empty.
    """
    if len(before) != len(after):
        raise InvalidInput(f"both runs must answer the same queries, got {len(before)} and {len(after)}")
    compared = {}
    for metric in METRICS:
        old, new = scores(before, metric), scores(after, metric)
        gained = [later - earlier for earlier, later in zip(old, new, strict=True)]
        compared[metric] = Comparison(interval(old, seed), interval(new, seed), interval(gained, seed))
    return compared
