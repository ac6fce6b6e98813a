"""The stage after a search: the best live hits are scored again, each answer within its own budget.

It has a thread of its own, so that searches of corpora without a re-ranker never wait for it. Time in its queue
counts as spent: past saturation answers keep the order that the search gave them, and none waits for longer.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from embedloop.records.documents import Hit
from embedloop.reranker import order_of
from embedloop.reranking import ServingReranker
from embedloop.text.chunking import embedding_text
from service.metrics import Metrics
from service.queries import Query
from service.ranking import boost_of

log = logging.getLogger(__name__)

Ranked = Sequence[tuple[Hit, float]]


@dataclass(frozen=True, slots=True)
class _Found:
    """A query with its live hits, boosted, the best first, each with its cosine."""

    query: Query
    best: Ranked
    verified: bool
    at: float = field(default_factory=time.perf_counter)


class RerankStage:
    """Takes found hits from any thread and answers their queries."""

    def __init__(self, metrics: Metrics):
        self._metrics = metrics
        self._found: queue.SimpleQueue[_Found | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="rerank", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Answers what was given, then ends; call it when nothing more is given."""
        self._found.put(None)
        self._thread.join(timeout=timeout_seconds)

    def submit(self, query: Query, best: Ranked, *, verified: bool) -> None:
        """Answers a query of a serving with a re-ranker, within that one's budget."""
        self._found.put(_Found(query, best, verified))

    def _run(self) -> None:
        while (found := self._found.get()) is not None:
            try:
                self._answer(found)
            # Anything can go wrong inside a tokenizer or a graph; the search's own order is an answer as well.
            except Exception:
                log.exception("an answer could not be re-ranked")
                self._told("failed")
                found.query.answer(found.best, verified=found.verified)

    def _answer(self, found: _Found) -> None:
        query, reranking = found.query, found.query.serving.reranking
        if reranking is None or query.future.cancelled():
            query.answer(found.best, verified=found.verified)
            return
        budget_seconds = reranking.budget_ms / 1000 - (time.perf_counter() - found.at)
        best, scores = reranked(query, found.best, reranking, budget_seconds)
        wanted = min(reranking.depth, len(found.best))
        self._told("whole" if len(scores) >= wanted else "part" if scores else "none")
        seconds = time.perf_counter() - found.at
        self._metrics.stages.labels("rerank").observe(seconds)
        query.took_ms["rerank"] = 1000 * seconds
        query.answer(best, verified=found.verified, rerank_scores=scores)

    def _told(self, outcome: str) -> None:
        self._metrics.reranked.labels(outcome).inc()


def reranked(
    query: Query, best: Ranked, reranking: ServingReranker, budget_seconds: float
) -> tuple[Ranked, list[float]]:
    """The hits that fit the budget in the re-ranker's order, by its weight, then the others as they were.

    Returns:
        The hits, and for the first of them the re-ranker's score: 0..1 times the boosts, greater is more
        relevant. Where nothing fits, the hits as they were and no scores.
    """
    texts = [embedding_text(hit.passage.title, hit.passage.text) for hit, _ in best[: reranking.depth]]
    scores = reranking.reranker.score(query.text, texts, budget_seconds=budget_seconds)
    boosts = query.serving.boosts
    boosted = [
        float(score) * boost_of(hit.passage, boosts) for score, (hit, _) in zip(scores, best, strict=False)
    ]
    order = order_of(boosted, reranking.weight)
    return [*(best[place] for place in order), *best[len(order) :]], [boosted[place] for place in order]
