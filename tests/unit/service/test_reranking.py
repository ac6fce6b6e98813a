"""Re-ranking after the search: its order, its budget, and what it must never hold up."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from embedloop.catalog.database import Database
from embedloop.corpus import delete_document, get_document
from embedloop.policy import Boost
from embedloop.records.documents import Corpus
from embedloop.reranker import Scores
from embedloop.reranking import ServingReranker
from embedloop.serving import Serving
from service.batching import Batcher
from service.metrics import Metrics
from service.outputs import SearchOut
from service.queries import Answer, Query
from service.searching import _told
from tests.unit.service.conftest import FakeEncoder, FakeIndex, passage, serving_of


@dataclass
class FakeReranker:
    """Scores texts by the number in them, `fits` of them at most; waits at its gate, fails when told to."""

    fits: int = 100
    gate: threading.Event | None = None
    fails: bool = False
    entered: threading.Event = field(default_factory=threading.Event)
    budgets: list[float] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)

    def score(self, query: str, passages: Sequence[str], *, budget_seconds: float = math.inf) -> Scores:
        self.entered.set()
        self.budgets.append(budget_seconds)
        self.asked.append(list(passages))
        if self.gate is not None:
            self.gate.wait(10)
        if self.fails:
            raise RuntimeError("hostile text")
        fitting = passages[: self.fits] if budget_seconds > 0 else ()
        return np.array([int(text[-1]) / 10 for text in fitting], dtype=np.float32)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def batcher(database: Database, corpus: Corpus, metrics: Metrics) -> Iterator[Batcher]:
    index = FakeIndex()
    for n in range(5):
        index.put("one", passage(f"d{n}", get_document(database, "c", f"d{n}").rev, f"text {n}", year=2020 + n))
    started = Batcher(
        database,
        index,
        metrics,
        max_batch=8,
        max_wait_ms=0,
        max_queue=64,
        max_queue_ms=60_000,
        timeout_seconds=5,
    )
    started.start()
    yield started
    started.stop()


def with_reranker(
    reranker: FakeReranker, *, depth: int = 5, budget_ms: float = 10_000, weight: float = 1.0
) -> Serving:
    ordering = ServingReranker("m-rerank", reranker, depth, budget_ms, weight)
    return replace(serving_of("c", FakeEncoder()), reranking=ordering)


def ask(batcher: Batcher, serving: Serving, top_k: int = 5) -> Answer:
    return batcher.submit(Query(serving, "text 1", top_k)).result(timeout=10)


def documents(answer: Answer) -> list[str]:
    return [hit.passage.document_id for hit in answer.hits]


def count(metrics: Metrics, outcome: str) -> float:
    return metrics.registry.get_sample_value("embedloop_reranked_answers_total", {"outcome": outcome}) or 0.0


def test_hits_are_ordered_by_the_reranker_and_keep_their_own_cosines(
    batcher: Batcher, metrics: Metrics
) -> None:
    plain = ask(batcher, serving_of("c", FakeEncoder()))
    found = ask(batcher, with_reranker(FakeReranker()))
    assert documents(found) == ["d4", "d3", "d2", "d1", "d0"]
    assert found.rerank_scores == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0])
    assert dict(zip(documents(found), found.cosines, strict=True)) == dict(
        zip(documents(plain), plain.cosines, strict=True)
    )
    assert found.took_ms["rerank"] <= found.took_ms["total"]
    assert count(metrics, "whole") == 1
    assert (plain.rerank_scores, "rerank" in plain.took_ms) == ((), False)


def test_a_reranker_of_little_weight_moves_hits_less_and_each_keeps_its_score(batcher: Batcher) -> None:
    plain = documents(ask(batcher, serving_of("c", FakeEncoder())))
    found = ask(batcher, with_reranker(FakeReranker(), weight=0.1))
    assert documents(found) == plain
    assert found.rerank_scores == pytest.approx([int(document[1]) / 10 for document in plain])


def test_the_best_of_the_depth_reach_a_shorter_answer(batcher: Batcher) -> None:
    found = ask(batcher, with_reranker(FakeReranker()), top_k=2)
    assert documents(found) == ["d4", "d3"]
    assert len(found.rerank_scores) == 2


def test_what_does_not_fit_follows_in_the_order_of_the_search(batcher: Batcher, metrics: Metrics) -> None:
    before = documents(ask(batcher, serving_of("c", FakeEncoder())))
    found = ask(batcher, with_reranker(FakeReranker(fits=2)))
    assert documents(found)[2:] == before[2:]
    assert sorted(documents(found)[:2]) == sorted(before[:2])
    assert len(found.rerank_scores) == 2
    assert count(metrics, "part") == 1


def test_only_the_depth_is_read(batcher: Batcher) -> None:
    reranker = FakeReranker()
    ask(batcher, with_reranker(reranker, depth=3))
    assert [len(texts) for texts in reranker.asked] == [3]


def test_time_in_the_queue_is_spent_budget_and_a_late_answer_keeps_its_order(
    batcher: Batcher, metrics: Metrics
) -> None:
    slow = FakeReranker(gate=threading.Event())
    first = batcher.submit(Query(with_reranker(slow), "text 1", 5))
    assert slow.entered.wait(10)
    late = FakeReranker()
    # No wait is needed: what waits behind another one has waited for longer than a microsecond.
    second = batcher.submit(Query(with_reranker(late, budget_ms=0.001), "text 1", 5))
    plain = ask(batcher, serving_of("c", FakeEncoder()))
    assert slow.gate is not None
    slow.gate.set()
    assert first.result(timeout=10).rerank_scores
    answer = second.result(timeout=10)
    assert documents(answer) == documents(plain)
    assert answer.rerank_scores == []
    assert "rerank" in answer.took_ms
    assert late.budgets[0] < 0
    assert count(metrics, "none") == 1


def test_a_search_without_a_reranker_does_not_wait_for_one(batcher: Batcher) -> None:
    slow = FakeReranker(gate=threading.Event())
    first = batcher.submit(Query(with_reranker(slow), "text 1", 5))
    assert slow.entered.wait(10)
    assert documents(ask(batcher, serving_of("c", FakeEncoder())))
    assert not first.done()
    assert slow.gate is not None
    slow.gate.set()
    assert first.result(timeout=10).rerank_scores


def test_a_reranker_that_fails_leaves_the_order_of_the_search(batcher: Batcher, metrics: Metrics) -> None:
    plain = ask(batcher, serving_of("c", FakeEncoder()))
    assert documents(ask(batcher, with_reranker(FakeReranker(fails=True)))) == documents(plain)
    assert count(metrics, "failed") == 1
    assert ask(batcher, with_reranker(FakeReranker())).rerank_scores


def test_a_deleted_document_is_neither_read_nor_shown(batcher: Batcher, database: Database) -> None:
    delete_document(database, "c", "d4")
    reranker = FakeReranker()
    assert documents(ask(batcher, with_reranker(reranker))) == ["d3", "d2", "d1", "d0"]
    assert not any("text 4" in text for text in reranker.asked[-1])


def test_boosts_count_after_re_ranking_too(batcher: Batcher) -> None:
    boosted = replace(with_reranker(FakeReranker()), boosts=(Boost(field="year", value=2022, factor=3.0),))
    found = ask(batcher, boosted)
    assert documents(found)[0] == "d2"
    assert found.rerank_scores[0] == pytest.approx(0.6)


def test_queries_that_wait_when_the_service_stops_are_answered(
    database: Database, batcher: Batcher, start_thread: Callable[[Callable[[], None]], threading.Thread]
) -> None:
    slow = FakeReranker(gate=threading.Event())
    waiting = [batcher.submit(Query(with_reranker(slow), "text 1", 5)) for _ in range(3)]
    assert slow.entered.wait(10)
    stopping = start_thread(batcher.stop)
    assert slow.gate is not None
    slow.gate.set()
    stopping.join(timeout=10)
    assert all(documents(one.result(timeout=10))[0] == "d4" for one in waiting)


@pytest.fixture
def start_thread() -> Callable[[Callable[[], None]], threading.Thread]:
    def start(target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target)
        thread.start()
        return thread

    return start


def test_the_answer_tells_the_reranker_and_what_it_scored_and_nothing_of_it_without_one(
    batcher: Batcher,
) -> None:
    found = _told(ask(batcher, with_reranker(FakeReranker(fits=2))), "r-1", explain=False)
    assert found["reranker"] == {"model_version": "m-rerank", "reranked": 2}
    assert [("rerank_score" in result) for result in found["results"]] == [True, True, False, False, False]
    assert SearchOut.model_validate(found).results[0].rerank_score == found["results"][0]["rerank_score"]
    plain = _told(ask(batcher, serving_of("c", FakeEncoder())), "r-1", explain=False)
    assert "reranker" not in plain
    assert not any("rerank_score" in result for result in plain["results"])
