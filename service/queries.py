"""An accepted search on its way through the stages, and the answer that ends it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from embedloop.records.documents import Hit
from embedloop.serving import Serving
from service.ranking import fetch_limit


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits of one query, all of `serving`'s version, the best first.

    `verified` is false when the catalog could not be asked whether the hits are live; `took_ms` is by stage.
    `rerank_scores` are those of the first hits, as far as a re-ranker scored any: 0..1 times the boosts,
    greater is more relevant.
    """

    serving: Serving
    hits: Sequence[Hit]
    cosines: Sequence[float]
    verified: bool
    took_ms: dict[str, float]
    rerank_scores: Sequence[float] = ()


@dataclass(slots=True, eq=False)
class Query:
    """One accepted search."""

    serving: Serving
    text: str
    top_k: int
    filter_expression: str = ""
    strong: bool = False
    future: Future[Answer] = field(default_factory=Future)
    accepted_at: float = field(default_factory=time.perf_counter)
    took_ms: dict[str, float] = field(default_factory=dict)

    @property
    def wanted(self) -> int:
        """How many hits to ask Milvus for, before any are dropped."""
        reranking = self.serving.reranking
        shown = self.top_k if reranking is None else max(self.top_k, reranking.depth)
        return fetch_limit(shown, boosted=bool(self.serving.boosts))

    def answer(
        self, best: Sequence[tuple[Hit, float]], *, verified: bool, rerank_scores: Sequence[float] = ()
    ) -> None:
        """Answers with the first `top_k` of these hits, each with its cosine, unless the caller has gone."""
        shown = best[: self.top_k]
        self.took_ms["total"] = 1000 * (time.perf_counter() - self.accepted_at)
        found = Answer(
            self.serving,
            [hit for hit, _ in shown],
            [cosine for _, cosine in shown],
            verified,
            {stage: round(ms, 3) for stage, ms in self.took_ms.items()},
            rerank_scores[: self.top_k],
        )
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(found)


def fail(query: Query, error: Exception) -> None:
    """Ends a query with an error, unless it has ended already or its caller has gone."""
    if not query.future.done() and query.future.set_running_or_notify_cancel():
        query.future.set_exception(error)
