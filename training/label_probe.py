"""What a linear map learns from some of the labels, told by its gain on queries that it never saw."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedloop.recipe.query_map import QueryMapSettings
from embedloop.records.labels import Split
from training.evaluation import Scores, rank_by_cosine, score_run
from training.learning_curve import LearningCurve, measure_curve
from training.map_kinds import Matrix, Pairs
from training.query_map import fit_query_map

METRIC = "ndcg@10"
MIN_HELD_OUT = 20
_EVERY = 3


@dataclass(frozen=True)
class Space:
    """Judged queries and passages as vectors, L2-normalised.

    Attributes:
        keys: n ids of queries.
        queries: (n, dim) float32.
        document_ids: m ids; the document of each passage.
        passages: (m, dim) float32.
        qrels: Query id -> document id -> grade.
    """

    keys: Sequence[str]
    queries: Matrix
    document_ids: Sequence[str]
    passages: Matrix
    qrels: Mapping[str, Mapping[str, int]]

    def run(self, keys: Sequence[str], queries: Matrix, depth: int) -> dict[str, list[str]]:
        """Query id -> document ids, nearest first."""
        ranked = rank_by_cosine(queries, self.passages, self.document_ids, depth)
        return dict(zip(keys, ranked, strict=True))

    def rows(self, keys: Collection[str]) -> list[int]:
        return [row for row, key in enumerate(self.keys) if key in keys]


def parted(
    splits: Mapping[str, Split], qrels: Mapping[str, Mapping[str, int]]
) -> tuple[frozenset[str], frozenset[str]]:
    """Queries to learn from and queries to test on; no golden query is among either.

    Dev queries test where there are twenty; else a third of the training queries does, chosen by the document
    that answers them, so that queries of one document are on one side.
    """
    train = {key for key, split in splits.items() if split is Split.TRAIN and key in qrels}
    dev = {key for key, split in splits.items() if split is Split.DEV and key in qrels}
    if len(dev) >= MIN_HELD_OUT:
        return frozenset(train), frozenset(dev)
    held_out = {key for key in train if _is_held_out(qrels[key])}
    return frozenset(train - held_out), frozenset(held_out | dev)


def probe_labels(
    space: Space,
    splits: Mapping[str, Split],
    *,
    at: Sequence[int],
    most: float,
    seed: int = 13,
) -> LearningCurve | None:
    """The learning curve of a linear map; None when there are too few labels, or queries to test them on.

    Args:
        space: Vectors and labels.
        splits: Query id -> split.
        at: Numbers of labels to extrapolate to.
        most: The greatest gain that can be.
        seed: The same seed gives the same curve.
    """
    learnt, held_out = parted(splits, space.qrels)
    if len(held_out) < MIN_HELD_OUT:
        return None
    tested = space.rows(held_out)
    keys = [space.keys[row] for row in tested]
    qrels = {key: space.qrels[key] for key in keys}
    pairs = _pairs(space, learnt)

    def scores(moved: Matrix) -> Scores:
        return score_run(space.run(keys, moved, 10), qrels, (METRIC,))

    before = _values(scores(space.queries[tested]))

    def gains_of(rows: NDArray[np.int64], own_seed: int) -> NDArray[np.float64]:
        fitted = fit_query_map(pairs.take(rows), QueryMapSettings(), seed=own_seed)
        return _values(scores(fitted.query_map.apply(space.queries[tested]))) - before

    return measure_curve(len(pairs), gains_of, at=at, most=most, seed=seed)


def _pairs(space: Space, keys: Collection[str]) -> Pairs:
    """Query, first passage and document of each label; documents without a passage are left out."""
    first = {document: row for row, document in reversed(list(enumerate(space.document_ids)))}
    pairs = [
        (row, document)
        for row in space.rows(keys)
        for document, grade in sorted(space.qrels[space.keys[row]].items())
        if grade > 0 and document in first
    ]
    queries = space.queries[[row for row, _ in pairs]]
    return Pairs(queries, space.passages[[first[one] for _, one in pairs]], [one for _, one in pairs])


def _values(scores: Scores) -> NDArray[np.float64]:
    return np.array([scores.per_query[METRIC][query] for query in scores.queries], dtype=np.float64)


def _is_held_out(grades: Mapping[str, int]) -> bool:
    document = min(one for one, grade in grades.items() if grade > 0)
    return hashlib.blake2b(document.encode(), digest_size=8).digest()[0] % _EVERY == 0
