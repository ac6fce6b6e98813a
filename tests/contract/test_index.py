"""The Milvus adapter against real servers: Milvus Lite and the engine, by the same tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pymilvus.exceptions import MilvusException

from embedloop.capabilities import AliasedDrop, ServerKind
from embedloop.errors import (
    CollectionNotFound,
    DeadlineExceeded,
    EmbedloopError,
    InvalidInput,
    Misconfigured,
    Unavailable,
)
from embedloop.index import MilvusIndex
from embedloop.index_rows import MAX_MESSAGE_BYTES, as_row, passage_id
from embedloop.index_rows import messages as messages_of
from embedloop.policy import IndexSettings
from tests.conftest import MakeEngine
from tests.contract.conftest import connected
from tests.contract.rows import DIMENSION, SETTINGS, passage, unit_vectors
from tests.servers import Server, free_port, once_it_answers


def test_create_makes_an_empty_collection_and_twice_is_once(index: MilvusIndex, collection: str) -> None:
    index.upsert(collection, [passage("a")], unit_vectors(1))
    index.create(collection, DIMENSION, IndexSettings())
    assert index.exists(collection)
    assert collection in index.collections()
    assert index.count(collection) == 1


def test_drop_takes_the_collection_away_and_twice_is_no_error(index: MilvusIndex, collection: str) -> None:
    index.drop(collection)
    index.drop(collection)
    assert not index.exists(collection)


def test_upsert_of_one_key_twice_keeps_one_row_with_the_later_content(
    index: MilvusIndex, collection: str
) -> None:
    first, second = unit_vectors(2)
    index.upsert(collection, [passage("a", text="old")], first[None])
    index.upsert(collection, [passage("a", text="new")], second[None])
    assert index.count(collection) == 1
    ((hit,),) = index.search(collection, second[None], 5, settings=SETTINGS, strong=True)
    assert hit.passage.text == "new"
    assert hit.score == pytest.approx(1.0, abs=1e-5)


def test_a_passage_comes_back_as_it_went_in(index: MilvusIndex, collection: str) -> None:
    stored = passage('ä/"1"', rev=7, ordinal=3, text="Zeile\n漢字 😀", tags=["a", "b"], n=1.5, ok=True)
    index.upsert(collection, [stored], unit_vectors(1))
    ((hit,),) = index.search(collection, unit_vectors(1), 1, settings=SETTINGS, strong=True)
    assert hit.passage == stored


def test_present_and_vectors_know_only_what_is_there(index: MilvusIndex, collection: str) -> None:
    rows, vectors = [passage("a"), passage("b")], unit_vectors(2)
    index.upsert(collection, rows, vectors)
    asked = [rows[0].passage_id, rows[1].passage_id, passage_id("c", 1, 0)]
    assert index.present(collection, asked) == set(asked[:2])
    found = index.vectors(collection, asked)
    assert set(found) == set(asked[:2])
    np.testing.assert_allclose(found[asked[1]], vectors[1], atol=1e-6)
    assert index.present(collection, []) == set()


def test_delete_takes_exactly_the_keys_given(index: MilvusIndex, collection: str) -> None:
    rows = [passage(f"d{n}") for n in range(5)]
    index.upsert(collection, rows, unit_vectors(5))
    index.delete(collection, [rows[1].passage_id, rows[3].passage_id, passage_id("never", 1, 0)])
    index.delete(collection, [])
    assert index.count(collection) == 3
    assert index.present(collection, [r.passage_id for r in rows]) == {rows[n].passage_id for n in (0, 2, 4)}


def test_an_alias_is_created_moved_and_dropped(index: MilvusIndex, collection: str, unique: str) -> None:
    alias, second = f"{unique}_alias", f"{unique}_second"
    index.create(second, DIMENSION, IndexSettings())
    assert index.alias_target(alias) is None
    index.point_alias(alias, collection)
    assert index.alias_target(alias) == collection
    index.point_alias(alias, collection)
    index.point_alias(alias, second)
    assert index.alias_target(alias) == second
    index.drop_alias(alias)
    index.drop_alias(alias)
    assert index.alias_target(alias) is None
    index.drop(second)


@pytest.mark.parametrize(
    "call",
    [
        lambda index, name: index.search(name, unit_vectors(1), 1, settings=SETTINGS),
        lambda index, name: index.upsert(name, [passage("a")], unit_vectors(1)),
        lambda index, name: index.delete(name, ["0" * 32]),
        lambda index, name: index.count(name),
        lambda index, name: index.present(name, ["0" * 32]),
        lambda index, name: list(index.scan(name)),
        lambda index, name: index.load(name),
    ],
    ids=["search", "upsert", "delete", "count", "present", "scan", "load"],
)
def test_a_missing_collection_is_named_as_such(
    index: MilvusIndex, unique: str, call: Callable[[MilvusIndex, str], object]
) -> None:
    with pytest.raises(CollectionNotFound, match=unique):
        call(index, unique)


def test_a_text_longer_than_milvus_stores_is_refused_by_name(index: MilvusIndex, collection: str) -> None:
    index.upsert(collection, [passage("fits", text="ü" * 32_767)], unit_vectors(1))
    with pytest.raises(InvalidInput, match="65535 bytes of text, got 65536") as refusal:
        index.upsert(collection, [passage("long", text="ü" * 32_768)], unit_vectors(1))
    assert refusal.value.field == "text"
    assert index.count(collection) == 1


def test_vectors_that_do_not_fit_are_refused(index: MilvusIndex, collection: str) -> None:
    with pytest.raises(InvalidInput, match="1 passages need as many vectors, got 2"):
        index.upsert(collection, [passage("a")], unit_vectors(2))
    with pytest.raises(InvalidInput, match="dim"):
        index.upsert(collection, [passage("a")], np.ones((1, 3), dtype=np.float32))
    with pytest.raises(InvalidInput, match="finite"):
        index.upsert(collection, [passage("a")], np.full((1, DIMENSION), np.nan, dtype=np.float32))
    assert index.count(collection) == 0


def test_rows_of_more_than_a_message_are_split_and_all_arrive(index: MilvusIndex, collection: str) -> None:
    rows = [passage(f"d{n}", text="x" * 60_000) for n in range(150)]
    messages = list(messages_of([as_row(r, unit_vectors(1)[0]) for r in rows], DIMENSION))
    assert len(messages) > 1
    assert all(sum(4 * len(row["text"]) for row in message) <= MAX_MESSAGE_BYTES for message in messages)
    index.upsert(collection, rows, unit_vectors(150))
    assert index.count(collection) == 150


def test_metadata_counts_towards_the_size_of_a_message() -> None:
    rows = [
        as_row(passage(f"d{n}", **{f"k{k}": "x" * 4000 for k in range(64)}), unit_vectors(1)[0])
        for n in range(100)
    ]
    messages = list(messages_of(rows, DIMENSION))
    assert sum(len(message) for message in messages) == 100
    assert all(256_000 * len(message) <= MAX_MESSAGE_BYTES for message in messages)


def test_acknowledged_rows_survive_a_kill_and_are_searched_without_being_loaded(own_server: Server) -> None:
    index = connected(own_server)
    vectors = unit_vectors(30)
    rows = [passage(f"d{n}") for n in range(30)]
    index.create("kept", DIMENSION, IndexSettings())
    index.upsert("kept", rows[:20], vectors[:20])
    index.flush("kept")
    index.upsert("kept", rows[20:], vectors[20:])
    index.delete("kept", [rows[0].passage_id])
    index.point_alias("kept_alias", "kept")
    own_server.kill()
    with pytest.raises((DeadlineExceeded, Unavailable)):
        index.search("kept", vectors[:1], 3, settings=SETTINGS, timeout_seconds=2)
    own_server.start()
    ((hit, *_),) = once_it_answers(
        lambda: index.search("kept", vectors[25:26], 3, settings=SETTINGS, strong=True)
    )
    assert hit.passage.document_id == "d25"
    assert once_it_answers(lambda: index.count("kept")) == 29
    assert index.present("kept", [r.passage_id for r in rows]) == {r.passage_id for r in rows[1:]}
    assert index.alias_target("kept_alias") == "kept"
    index.close()


def test_a_released_collection_is_loaded_by_each_operation_that_needs_it(
    index: MilvusIndex, collection: str
) -> None:
    """Milvus Lite releases every collection when it restarts, an operator may release one of the engine."""
    rows, vectors = [passage("a"), passage("b")], unit_vectors(2)
    index.upsert(collection, rows[:1], vectors[:1])

    def released() -> None:
        index._client.release_collection(collection)

    released()
    assert index.count(collection) == 1
    released()
    assert [row.document_id for page in index.scan(collection) for row in page] == ["a"]
    released()
    assert index.present(collection, [rows[0].passage_id]) == {rows[0].passage_id}
    released()
    ((hit,),) = index.search(collection, vectors[:1], 1, settings=SETTINGS, strong=True)
    assert hit.passage.document_id == "a"
    released()
    index.upsert(collection, rows[1:], vectors[1:])
    assert index.count(collection) == 2
    released()
    index.delete(collection, [rows[0].passage_id])
    assert index.count(collection) == 1


def test_a_server_that_hangs_is_given_up_by_every_call_after_its_timeout(own_server: Server) -> None:
    index = connected(own_server, timeout_seconds=1)
    once_it_answers(lambda: index.create("hung", DIMENSION, IndexSettings()))
    own_server.hang()
    calls: list[Callable[[], object]] = [
        lambda: index.search("hung", unit_vectors(1), 1, settings=SETTINGS),
        lambda: index.exists("hung"),
        lambda: index.collections(),
        lambda: index.alias_target("hung_alias"),
        lambda: index.point_alias("hung_alias", "hung"),
        lambda: index.capabilities(),
        lambda: index.drop("hung"),
        lambda: index.create("hung", DIMENSION, IndexSettings()),
    ]
    for call in calls:
        with pytest.raises((DeadlineExceeded, Unavailable)) as failure:
            call()
        assert failure.value.retryable
    own_server.resume()
    assert once_it_answers(lambda: index.exists("hung"))
    index.close()


def test_no_server_is_unavailable_at_once() -> None:
    with pytest.raises(Unavailable) as failure:
        MilvusIndex(f"http://127.0.0.1:{free_port()}", timeout_seconds=1)
    assert failure.value.retryable


def test_dropping_an_aliased_collection_does_to_the_alias_what_the_capabilities_say(
    index: MilvusIndex, collection: str, unique: str
) -> None:
    alias, second = f"{unique}_alias", f"{unique}_second"
    index.create(second, DIMENSION, IndexSettings())
    index.point_alias(alias, second)
    match index.capabilities().aliased_drop:
        case AliasedDrop.REFUSED:
            with pytest.raises(EmbedloopError):
                index.drop(second)
            assert index.alias_target(alias) == second
        case AliasedDrop.TAKES_THE_ALIAS:
            index.drop(second)
            index._client.create_alias(collection, alias)
        case AliasedDrop.LEAVES_THE_ALIAS:
            index.drop(second)
            with pytest.raises(MilvusException, match="alias already exist"):
                index._client.create_alias(collection, alias)
    index.point_alias(alias, collection)
    assert index.alias_target(alias) == collection
    index.drop_alias(alias)
    index.drop(second)


def test_a_creation_that_broke_off_is_taken_up_again(index: MilvusIndex, unique: str) -> None:
    index._create_bare(unique, DIMENSION, IndexSettings())
    index.create(unique, DIMENSION, IndexSettings())
    index.upsert(unique, [passage("a")], unit_vectors(1))
    ((hit,),) = index.search(unique, unit_vectors(1), 1, settings=SETTINGS, strong=True)
    index.drop(unique)
    assert hit.passage.document_id == "a"


def test_a_server_tells_its_kind_and_version(indexes: dict[str, MilvusIndex]) -> None:
    lite, engine = indexes["lite"].capabilities(), indexes["engine"].capabilities()
    assert (lite.kind, lite.version.split(".")[0]) == (ServerKind.LITE, "3")
    assert (engine.kind, engine.version) == (ServerKind.MILVUS, "2.3.5")


def test_a_wrong_token_is_told_as_such_and_a_denied_write_may_be_tried_again(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    settings = {
        "COMMON_SECURITY_AUTHORIZATIONENABLED": "true",
        "QUOTAANDLIMITS_LIMITWRITING_FORCEDENY": "true",
    }
    server = make_engine(tmp_path, settings)
    server.start()
    try:
        with pytest.raises(Misconfigured, match="EMBEDLOOP_MILVUS_TOKEN") as refusal:
            once_it_answers(lambda: connected(server, token="root:wrong", timeout_seconds=2))
        assert not refusal.value.retryable
        index = once_it_answers(lambda: connected(server, token="root:Milvus", timeout_seconds=2))
        once_it_answers(lambda: index.create("denied", DIMENSION, IndexSettings()))
        with pytest.raises(Unavailable) as denial:
            index.upsert("denied", [passage("a")], unit_vectors(1))
        assert denial.value.retryable
        index.close()
    finally:
        server.kill()
