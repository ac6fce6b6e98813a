"""Ranking metrics, their confidence intervals, and exact ranking by cosine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import ir_measures
import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

from embedloop.errors import InvalidInput
from embedloop.policy import GateMetric

METRICS: tuple[GateMetric, ...] = get_args(GateMetric)

_FAMILIES = {
    "ndcg": ir_measures.nDCG,
    "recall": ir_measures.R,
    "precision": ir_measures.P,
    "mrr": ir_measures.RR,
    "map": ir_measures.AP,
    "hit": ir_measures.Success,
}
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Scores:
    """Metrics of one run, each 0..1, greater is better.

    Attributes:
        queries: Ids of the scored queries, sorted.
        per_query: Metric -> query id -> value.
        mean: Metric -> mean over the queries.
    """

    queries: tuple[str, ...]
    per_query: Mapping[str, Mapping[str, float]]
    mean: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the two ends of its confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference(Interval):
    """A mean difference with its interval, and `p`: how often chance alone makes one at least as large."""

    p: float


def metrics_at(cutoffs: Sequence[int]) -> tuple[str, ...]:
    """The names of all metrics at these ranks.

    >>> metrics_at([5])
    ('ndcg@5', 'recall@5', 'precision@5', 'mrr@5', 'map@5', 'hit@5')
    """
    return tuple(f"{family}@{cutoff}" for cutoff in sorted(set(cutoffs)) for family in _FAMILIES)


def score_run(
    run: Mapping[str, Sequence[str]],
    qrels: Mapping[str, Mapping[str, int]],
    metrics: Sequence[str] = METRICS,
) -> Scores:
    """Scores ranked document ids against judgments, with trec_eval's definitions.

    Args:
        run: Query id -> distinct document ids, best first; a query without an answer scores 0.
        qrels: Query id -> document id -> grade; grade 0 is not relevant. Queries without a relevant document
            are left out, since no ranking of theirs can be right or wrong.
        metrics: Names such as `ndcg@10`; families are ndcg, recall, precision, mrr, map and hit.

    Raises:
        InvalidInput: No query has a relevant document, or a metric is not known.
    """
    measures = {name: _measure(name) for name in metrics}
    queries = tuple(sorted(query for query, grades in qrels.items() if any(one > 0 for one in grades.values())))
    if not queries:
        raise InvalidInput(f"scoring needs a query with a relevant document, got {len(qrels)} without any")
    judged = [
        ir_measures.Qrel(query, document_id, grade)
        for query in queries
        for document_id, grade in qrels[query].items()
    ]
    ranked = [
        ir_measures.ScoredDoc(query, document_id, -float(rank))
        for query in queries
        for rank, document_id in enumerate(run.get(query, ()))
    ]
    names = {str(measure): name for name, measure in measures.items()}
    per_query: dict[str, dict[str, float]] = {name: dict.fromkeys(queries, 0.0) for name in metrics}
    for value in ir_measures.iter_calc(list(measures.values()), judged, ranked):
        per_query[names[str(value.measure)]][value.query_id] = float(value.value)
    mean = {name: float(np.mean(list(values.values()))) for name, values in per_query.items()}
    return Scores(queries, per_query, mean)


def _measure(name: str) -> Any:
    family, _, cutoff = name.partition("@")
    if family not in _FAMILIES or not cutoff.isdecimal() or int(cutoff) < 1:
        raise InvalidInput(f"a metric is one of {sorted(_FAMILIES)}, `@` and a rank, got {name!r}")
    return _FAMILIES[family] @ int(cutoff)


def bootstrap_interval(
    values: Sequence[float], confidence: float = 0.95, samples: int = 2000, seed: int = 13
) -> Interval:
    """Percentile bootstrap of a mean (Efron 1979), resampling queries.

    Args:
        values: One value per query.
        confidence: Share of resampled means between the two ends.
        samples: Number of resamples.
        seed: The same seed gives the same interval.

    Raises:
        InvalidInput: There are no values.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise InvalidInput("an interval needs at least one value, got 0")
    generator = np.random.default_rng(seed)
    means = data[generator.integers(0, data.size, size=(samples, data.size))].mean(axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(data.mean()), float(low), float(high))


def paired_bootstrap(
    before: Mapping[str, float],
    after: Mapping[str, float],
    confidence: float = 0.95,
    samples: int = 2000,
    seed: int = 13,
) -> Interval:
    """Interval of the mean difference `after - before` over the same queries.

    Both systems are resampled together, query by query (Efron 1979; for retrieval, Sakai 2006, "Evaluating
    evaluation metrics based on the bootstrap"), so that easy and hard queries cancel out.

    Args:
        before: Query id -> value.
        after: Query id -> value, for the same queries.

    Raises:
        InvalidInput: The queries differ, or there are none.
    """
    return bootstrap_interval(_differences(before, after), confidence, samples, seed)


def paired_difference(
    before: Mapping[str, float],
    after: Mapping[str, float],
    confidence: float = 0.95,
    samples: int = 2000,
    seed: int = 13,
) -> Difference:
    """`paired_bootstrap` with the p-value of a paired, two-sided randomisation test (Fisher 1935; for
    retrieval, Smucker et al. 2007, "A comparison of statistical significance tests").

    Raises:
        InvalidInput: The queries differ, or there are none.
    """
    differences = _differences(before, after)
    found = bootstrap_interval(differences, confidence, samples, seed)
    if len(differences) < 2 or not any(differences):
        return Difference(found.mean, found.low, found.high, 1.0)
    test = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=samples,
        rng=np.random.default_rng(seed),
    )
    return Difference(found.mean, found.low, found.high, float(test.pvalue))


def _differences(before: Mapping[str, float], after: Mapping[str, float]) -> list[float]:
    if before.keys() != after.keys():
        odd = sorted(before.keys() ^ after.keys())
        raise InvalidInput(f"both runs must score the same queries, {len(odd)} are in one only: {odd[:3]}")
    return [after[one] - before[one] for one in sorted(before)]


def rank_by_cosine(
    query_vectors: NDArray[np.float32],
    passage_vectors: NDArray[np.float32],
    document_ids: Sequence[str],
    k: int,
) -> list[list[str]]:
    """Ranks documents exactly, by brute force; a document is as near as its nearest passage.

    Args:
        query_vectors: (q, d) float32, L2-normalised.
        passage_vectors: (n, d) float32, L2-normalised.
        document_ids: n ids; the document that each passage belongs to.
        k: Most documents per query.

    Returns:
        q lists of distinct document ids, nearest first; equals are ordered by id.

    Raises:
        InvalidInput: The number of ids is not the number of passages.
    """
    if len(document_ids) != len(passage_vectors):
        raise InvalidInput(f"need one id per passage ({len(passage_vectors)}), got {len(document_ids)}")
    names = sorted(set(document_ids))
    position = {name: index for index, name in enumerate(names)}
    # Passages of a document are laid side by side, so that one reduceat takes each document's maximum.
    owner = np.array([position[one] for one in document_ids], dtype=np.int64)
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(names)))
    passages = np.asarray(passage_vectors)[order]
    ranked: list[list[str]] = []
    for first in range(0, len(query_vectors), _CHUNK):
        if not names:
            ranked += [[] for _ in query_vectors[first : first + _CHUNK]]
            continue
        cosines = query_vectors[first : first + _CHUNK] @ passages.T
        best = np.maximum.reduceat(cosines, starts, axis=1)
        nearest = np.argsort(-best, axis=1, kind="stable")[:, :k]
        ranked += [[names[index] for index in row] for row in nearest]
    return ranked
