"""The exact nearest of a query, whatever a version stores: the truth that an index is measured against.

What is stored in float32 is the truth itself. Of coarser vectors every row is scored, and each that may be
among the nearest, as far as the rounding can tell, is encoded once more by the version's own model and scored
in float32: filter and refine, as in Weber, Schek and Blott 1998, "A Quantitative Analysis and Performance Study
for Similarity-Search Methods in High-Dimensional Spaces".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from embedloop.applier import View
from embedloop.encoder import Vectors
from embedloop.policy import VectorType
from embedloop.records.documents import Hit, Passage
from embedloop.text.chunking import embedding_text
from embedloop.vector_types import error_bounds

# Encoding is what costs; more rows than that within the rounding of one another are equally right answers.
MOST_REFINED = 64


@dataclass(frozen=True, slots=True)
class Nearest:
    """A query's exact nearest: how many there are, and the cosine of the last of them."""

    count: int
    lowest: float


@dataclass
class Candidates:
    """The rows that may be among each query's nearest, found in one pass over all rows.

    Attributes:
        queries: (q, dim) float32, L2-normalised.
        nearest: How many nearest of each are wanted.
        vector_type: Of the stored vectors: its rounding says how sure a score is.
    """

    queries: Vectors
    nearest: int
    vector_type: VectorType
    _keys: NDArray[np.object_] = field(init=False)
    _upper: Vectors = field(init=False)
    _lower: Vectors = field(init=False)

    def __post_init__(self) -> None:
        self._keys = np.empty((len(self.queries), 0), dtype=object)
        self._upper = np.empty((len(self.queries), 0), dtype=np.float32)
        self._lower = np.empty((len(self.queries), 0), dtype=np.float32)

    def add(self, keys: Sequence[str], vectors: Vectors) -> None:
        """Looks at n more rows, their vectors (n, dim) as they are stored."""
        scores = self.queries @ vectors.T
        bounds = error_bounds(vectors, self.vector_type)
        lower = np.hstack([self._lower, scores - bounds])
        self._lower = -np.sort(-lower, axis=1)[:, : self.nearest]
        if self.vector_type == "float32":
            return
        upper = np.hstack([self._upper, scores + bounds])
        names = np.hstack([self._keys, np.tile(np.array(keys, dtype=object), (len(self.queries), 1))])
        best = np.argsort(-upper, axis=1, kind="stable")[:, : max(self.nearest, MOST_REFINED)]
        self._upper = np.take_along_axis(upper, best, axis=1)
        self._keys = np.take_along_axis(names, best, axis=1)

    def in_question(self) -> list[list[str]]:
        """For each query the keys whose score may be as great as that of its last nearest."""
        return [
            [str(key) for key in keys[upper >= lower.min(initial=np.inf)]]
            for keys, upper, lower in zip(self._keys, self._upper, self._lower, strict=True)
        ]

    def as_stored(self) -> list[Nearest]:
        """Each query's nearest by what is stored; of float32 the exact ones."""
        return [_of(scores) for scores in self._lower]

    def truth(self, view: View) -> Truth:
        """Each query's exact nearest; encodes the passages in question where vectors are coarse."""
        truth = Truth(view, self.queries)
        if truth.is_stored:
            truth.nearest = self.as_stored()
            return truth
        in_question = self.in_question()
        wanted = sorted({key for keys in in_question for key in keys})
        truth.learn(view.index.passages(view.version.collection, wanted).values())
        for query, keys in zip(self.queries, in_question, strict=True):
            scores = [float(query @ truth.exact[key]) for key in keys if key in truth.exact]
            truth.nearest.append(_of(sorted(scores, reverse=True)[: self.nearest]))
        return truth


@dataclass
class Truth:
    """Scores in float32, by the version's own model.

    Attributes:
        view: The version.
        queries: (q, dim) float32, L2-normalised.
        nearest: Of each query.
        exact: Passage id -> vector `(dim,)` of what was encoded once more.
    """

    view: View
    queries: Vectors
    nearest: list[Nearest] = field(default_factory=list)
    exact: dict[str, Vectors] = field(default_factory=dict)

    @property
    def is_stored(self) -> bool:
        """Whether the version stores the truth itself."""
        return self.view.version.index.vector_type == "float32"

    def learn(self, passages: Iterable[Passage]) -> None:
        """Encodes the passages that are not known yet; stops between batches when the view says so."""
        new = {p.passage_id: p for p in passages if p.passage_id not in self.exact}
        if new:
            texts = [embedding_text(p.title, p.text) for p in new.values()]
            self.exact.update(
                zip(new, self.view.encoder.encode_passages(texts, check=self.view.check), strict=True)
            )

    def scores(self, answers: Sequence[Sequence[Hit]]) -> list[list[float]]:
        """The true cosine of every hit of each query."""
        if self.is_stored:
            return [[hit.score for hit in hits] for hits in answers]
        self.learn(hit.passage for hits in answers for hit in hits)
        return [
            [float(query @ self.exact[hit.passage.passage_id]) for hit in hits]
            for query, hits in zip(self.queries, answers, strict=True)
        ]


def _of(scores: Sequence[float] | Vectors) -> Nearest:
    return Nearest(len(scores), float(scores[-1]) if len(scores) else 0.0)
