"""How much words should count beside vectors: the weight of a fused search, chosen on dev queries."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from embedloop.errors import InvalidInput
from embedloop.fusion import fuse
from training.evaluation import Difference, Interval, bootstrap_interval, paired_difference, score_run

METRIC = "ndcg@10"
WEIGHTS = tuple(step / 10 for step in range(11))
FOLDS = 5
# Means of the same numbers in two orders may differ in their last digit.
_EQUAL = 1e-9

Run = Mapping[str, Sequence[str]]
Values = Mapping[float, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Tuning:
    """Which weight is best, and whether it is worth changing.

    Attributes:
        present: The weight that counts now; 0 is vectors alone.
        best: The weight with the greatest mean on all queries.
        points: Weight -> mean nDCG@10 with its interval.
        gain: What tuning brings over `present` on queries that it has not seen (cross-fitted).
        queries: How many were used.
    """

    present: float
    best: float
    points: Mapping[float, Interval]
    gain: Difference
    queries: int

    @property
    def proposed(self) -> float:
        """`best` where the whole interval of the gain is above 0, else `present`."""
        return self.best if self.gain.low > 0 else self.present

    def to_json(self) -> dict[str, Any]:
        return {
            "metric": METRIC,
            "queries": self.queries,
            "present": self.present,
            "best": self.best,
            "proposed": self.proposed,
            "gain": asdict(self.gain),
            "points": [{"weight": weight} | asdict(point) for weight, point in self.points.items()],
        }


def tune_weight(
    near: Run,
    by_words: Run,
    qrels: Mapping[str, Mapping[str, int]],
    *,
    present: float,
    weights: Sequence[float] = WEIGHTS,
    confidence: float = 0.95,
    seed: int = 13,
) -> Tuning:
    """Chooses the weight of BM25, or of another second order, in a fused search by nDCG@10.

    The best of eleven weights looks better than it is on the queries that chose it. Therefore the gain is
    cross-fitted: the weight for a fifth of the queries is chosen on the other four fifths.

    Args:
        near: Query id -> distinct document ids by their vectors, as deep as a search fetches.
        by_words: The same by BM25.
        qrels: Query id -> document id -> grade, of dev queries: the golden ones stay for the gate.
        present: The weight that counts now, 0..1.
        weights: That are tried beside it.
        confidence: Of the intervals.
        seed: The same seed makes the same folds.

    Raises:
        InvalidInput: Fewer queries with a relevant document than folds, or `present` is no weight.
    """
    if not 0 <= present <= 1:
        raise InvalidInput(f"a weight must be 0..1, got {present}")
    values = {weight: _values(near, by_words, qrels, weight) for weight in sorted({*weights, present})}
    queries = sorted(values[present])
    if len(queries) < FOLDS:
        raise InvalidInput(f"tuning needs at least {FOLDS} queries, got {len(queries)}")
    return Tuning(
        present=present,
        best=_best(values, queries, present),
        points={w: bootstrap_interval(list(row.values()), confidence) for w, row in values.items()},
        gain=paired_difference(values[present], _cross_fitted(values, queries, present, seed), confidence),
        queries=len(queries),
    )


def fused_run(near: Run, by_words: Run, weight: float) -> dict[str, list[str]]:
    """Both runs as one, query by query.

    >>> fused_run({"q": ["a", "b"]}, {"q": ["b"]}, 0.5)
    {'q': ['b', 'a']}
    """
    return {query: [key for key, _ in fuse(near[query], by_words.get(query, ()), weight)] for query in near}


def _values(
    near: Run, by_words: Run, qrels: Mapping[str, Mapping[str, int]], weight: float
) -> Mapping[str, float]:
    return score_run(fused_run(near, by_words, weight), qrels, (METRIC,)).per_query[METRIC]


def _best(values: Values, queries: Sequence[str], present: float) -> float:
    """The weight with the greatest mean; of equals the one nearest to the present one, then the smaller."""
    means = {weight: sum(found[query] for query in queries) / len(queries) for weight, found in values.items()}
    top = max(means.values())
    equals = [weight for weight, mean in means.items() if mean >= top - _EQUAL]
    return min(equals, key=lambda weight: (abs(weight - present), weight))


def _cross_fitted(values: Values, queries: Sequence[str], present: float, seed: int) -> dict[str, float]:
    shuffled = list(queries)
    random.Random(seed).shuffle(shuffled)
    fitted = {}
    for fold in range(FOLDS):
        held_out = shuffled[fold::FOLDS]
        others = sorted(set(queries) - set(held_out))
        chosen = _best(values, others, present)
        fitted.update({query: values[chosen][query] for query in held_out})
    return fitted
