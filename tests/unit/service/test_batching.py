"""Micro-batching over a fake Milvus and a fake encoder, with the catalog's last word."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from typing import Any

import pytest

from embedloop.catalog.database import Database
from embedloop.corpus import delete_document, get_document
from embedloop.errors import CollectionNotFound, InvalidInput, QueueFull, Unavailable
from embedloop.policy import Boost
from embedloop.records.documents import Corpus
from service.batching import Batcher
from service.metrics import Metrics
from service.queries import Answer, Query
from tests.unit.service.conftest import FakeEncoder, FakeIndex, passage, serving_of

Make = Callable[..., Batcher]


@pytest.fixture
def index(database: Database, corpus: Corpus) -> FakeIndex:
    fake = FakeIndex()
    for i in range(5):
        fake.put("one", passage(f"d{i}", get_document(database, "c", f"d{i}").rev, f"text {i}", year=2020 + i))
    return fake


@pytest.fixture
def make(database: Database, index: FakeIndex) -> Iterator[Make]:
    made: list[Batcher] = []

    def start(**changed: Any) -> Batcher:
        options: dict[str, Any] = {
            "max_batch": 8,
            "max_wait_ms": 1.0,
            "max_queue": 64,
            "max_queue_ms": 60_000.0,
            "timeout_seconds": 5.0,
        }
        batcher = Batcher(database, index, Metrics(), **(options | changed))
        batcher.start()
        made.append(batcher)
        return batcher

    yield start
    for batcher in made:
        batcher.stop()


def ask(batcher: Batcher, *queries: Query) -> list[Answer]:
    return [batcher.submit(query).result(timeout=10) for query in queries]


def documents(answer: Answer) -> list[str]:
    return [hit.passage.document_id for hit in answer.hits]


def test_nearest_passage_comes_first_and_answer_names_its_version(make: Make) -> None:
    serving = serving_of("c", FakeEncoder())
    answer = ask(make(), Query(serving, "text 3", 2))[0]
    assert documents(answer)[0] == "d3"
    assert len(answer.hits) == 2
    assert answer.verified
    assert answer.serving is serving
    assert set(answer.took_ms) == {"queue", "encode", "search", "verify", "total"}


def test_words_of_the_query_are_searched_only_in_an_index_with_bm25(make: Make, index: FakeIndex) -> None:
    encoder = FakeEncoder()
    ask(make(), Query(serving_of("c", encoder), "text 3", 2))
    ask(make(), Query(serving_of("c", encoder, bm25=True), "text 4", 2))
    assert index.words == [None, ["text 4"]]


def test_queries_of_one_collection_under_two_weights_are_searched_apart(make: Make, index: FakeIndex) -> None:
    encoder = FakeEncoder(gate=threading.Event())
    servings = [serving_of("c", encoder, bm25=True, bm25_weight=weight) for weight in (0.5, 0.2)]
    batcher = make(max_wait_ms=0)
    first = batcher.submit(Query(servings[0], "first", 1))
    assert encoder.entered.wait(10)
    later = [batcher.submit(Query(serving, "text 1", 1)) for serving in servings]
    assert encoder.gate is not None
    encoder.gate.set()
    wait([first, *later], timeout=10)
    # Two threads may search at once; what must not happen is one search for both weights.
    assert sorted(index.weights) == [0.2, 0.5, 0.5]


def test_deleted_document_is_never_shown_though_milvus_still_has_it(make: Make, database: Database) -> None:
    delete_document(database, "c", "d3")
    answer = ask(make(), Query(serving_of("c", FakeEncoder()), "text 3", 5))[0]
    assert sorted(documents(answer)) == ["d0", "d1", "d2", "d4"]


def test_dropped_hits_do_not_shorten_an_answer(make: Make, index: FakeIndex) -> None:
    index.put("one", *(passage("d1", 900 + i, "text 1") for i in range(30)))
    answer = ask(make(), Query(serving_of("c", FakeEncoder()), "text 1", 5))[0]
    assert documents(answer)[0] == "d1"
    assert sorted(documents(answer)) == ["d0", "d1", "d2", "d3", "d4"]
    assert [limit for _, _, limit, _, _ in index.calls] == [7, 64]


def test_boost_multiplies_the_score_and_sorts_again(make: Make) -> None:
    boosted = serving_of("c", FakeEncoder(), boosts=(Boost(field="year", value=2024, factor=0.001),))
    answer = ask(make(), Query(boosted, "text 4", 1))[0]
    assert documents(answer) != ["d4"]
    assert answer.hits[0].score == answer.cosines[0]


def test_without_the_catalog_answers_go_out_unverified(make: Make, database: Database, tmp_path: Any) -> None:
    batcher = make()
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE documents RENAME TO away")
    answer = ask(batcher, Query(serving_of("c", FakeEncoder()), "text 2", 3))[0]
    assert not answer.verified
    assert documents(answer)[0] == "d2"


def test_queries_that_wait_together_are_encoded_and_searched_together(make: Make, index: FakeIndex) -> None:
    encoder = FakeEncoder(gate=threading.Event())
    serving = serving_of("c", encoder)
    batcher = make(max_wait_ms=0)
    first = batcher.submit(Query(serving, "first", 1))
    assert encoder.entered.wait(10)
    later = [batcher.submit(Query(serving, f"text {i}", 1)) for i in range(4)]
    assert encoder.gate is not None
    encoder.gate.set()
    wait([first, *later], timeout=10)
    assert [documents(f.result())[0] for f in later] == ["d0", "d1", "d2", "d3"]
    assert encoder.batches == [["first"], ["text 0", "text 1", "text 2", "text 3"]]
    # The second is searched by whoever encoded it, perhaps beside the first.
    assert sorted(count for _, count, _, _, _ in index.calls) == [1, 4]


def test_queries_of_different_versions_never_share_a_search(make: Make, index: FakeIndex) -> None:
    index.put("two", passage("d0", 1, "text 0"))
    old, new = FakeEncoder(), FakeEncoder()
    batcher = make(max_wait_ms=200)
    a = batcher.submit(Query(serving_of("c", old), "text 0", 1))
    b = batcher.submit(Query(serving_of("c", new, version="iv-2", collection="two"), "text 0", 1))
    assert a.result(10).serving.version.index_version_id == "iv-1"
    assert b.result(10).serving.version.index_version_id == "iv-2"
    assert (old.batches, new.batches) == ([["text 0"]], [["text 0"]])
    assert {call[0] for call in index.calls} == {"one", "two"}


def test_full_queue_refuses_with_a_time_to_come_back(make: Make) -> None:
    encoder = FakeEncoder(gate=threading.Event())
    serving = serving_of("c", encoder)
    batcher = make(max_queue=2, max_wait_ms=0)
    waiting = [batcher.submit(Query(serving, "text 0", 1))]
    assert encoder.entered.wait(10)
    waiting += [batcher.submit(Query(serving, "text 0", 1)) for _ in range(2)]
    with pytest.raises(QueueFull) as full:
        batcher.submit(Query(serving, "text 0", 1))
    assert full.value.retry_after_seconds
    assert encoder.gate is not None
    encoder.gate.set()
    assert [documents(f.result(10)) for f in waiting] == [["d0"]] * 3


def test_cancelled_query_is_not_encoded(make: Make) -> None:
    encoder = FakeEncoder(gate=threading.Event())
    serving = serving_of("c", encoder)
    batcher = make(max_wait_ms=0)
    first = batcher.submit(Query(serving, "first", 1))
    assert encoder.entered.wait(10)
    gone, stays = (batcher.submit(Query(serving, text, 1)) for text in ("gone", "stays"))
    gone.cancel()
    assert encoder.gate is not None
    encoder.gate.set()
    wait([first, stays], timeout=10)
    assert encoder.batches == [["first"], ["stays"]]


def test_query_that_cannot_be_encoded_fails_alone_and_by_name(make: Make) -> None:
    serving = serving_of("c", FakeEncoder(refuses=frozenset({"bad"})))
    batcher = make(max_wait_ms=200)
    bad, good = (batcher.submit(Query(serving, text, 1)) for text in ("bad", "text 2"))
    assert documents(good.result(10)) == ["d2"]
    with pytest.raises(InvalidInput) as refused:
        bad.result(10)
    assert refused.value.field == "query"


def test_broken_encoder_is_not_blamed_on_the_query(make: Make) -> None:
    serving = serving_of("c", FakeEncoder(refuses=frozenset({"text 1", "a probe"})))
    with pytest.raises(Unavailable):
        ask(make(), Query(serving, "text 1", 1))


def test_filter_that_milvus_refuses_fails_alone_and_by_name(make: Make) -> None:
    serving = serving_of("c", FakeEncoder())
    batcher = make(max_wait_ms=200)
    bad = batcher.submit(Query(serving, "text 1", 1, filter_expression="nonsense"))
    good = batcher.submit(Query(serving, "text 1", 1, filter_expression="known", strong=True))
    assert documents(good.result(10)) == ["d1"]
    with pytest.raises(InvalidInput) as refused:
        bad.result(10)
    assert refused.value.field == "filter"


def test_missing_collection_is_told_to_the_caller_who_tries_again(make: Make) -> None:
    with pytest.raises(CollectionNotFound):
        ask(make(), Query(serving_of("c", FakeEncoder(), collection="gone"), "text 1", 1))


def test_unforeseen_failure_ends_one_batch_and_not_the_stage(make: Make, index: FakeIndex) -> None:
    batcher = make()
    serving = serving_of("c", FakeEncoder())
    index.error = ZeroDivisionError("unforeseen")
    with pytest.raises(ZeroDivisionError):
        ask(batcher, Query(serving, "text 1", 1))
    index.error = None
    assert documents(ask(batcher, Query(serving, "text 1", 1))[0]) == ["d1"]
    assert batcher.fault is None


def test_dead_stage_turns_the_batcher_unready_and_refuses_queries(
    make: Make, index: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stage before the dead one is told by nobody that it may end.
    monkeypatch.setattr("service.batching.JOIN_SECONDS", 0.1)
    batcher = make()
    serving = serving_of("c", FakeEncoder())
    index.error = SystemExit("killed")
    with pytest.raises(Unavailable):
        ask(batcher, Query(serving, "text 1", 1))
    assert batcher.fault == "a search stage died: SystemExit"
    with pytest.raises(Unavailable):
        batcher.submit(Query(serving, "text 1", 1))


def test_stopping_answers_what_was_accepted_and_refuses_the_rest(make: Make) -> None:
    batcher = make()
    serving = serving_of("c", FakeEncoder())
    accepted = [batcher.submit(Query(serving, "text 2", 1)) for _ in range(20)]
    batcher.stop()
    assert [documents(f.result(0)) for f in accepted] == [["d2"]] * 20
    with pytest.raises(Unavailable):
        batcher.submit(Query(serving, "text 2", 1))
