"""The Milvus adapter against real servers: Milvus Lite and the engine, by the same tests."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
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
from embedloop.filters import And, Compare, Filter, Not, Or, expression
from embedloop.index import MilvusIndex
from embedloop.index_rows import MAX_MESSAGE_BYTES, as_row, passage_id
from embedloop.index_rows import messages as messages_of
from embedloop.policy import IndexSettings, IndexType
from embedloop.records.documents import Passage
from tests.conftest import MakeEngine
from tests.contract.conftest import connected
from tests.servers import Server, free_port, once_it_answers

DIMENSION = 8
SETTINGS = IndexSettings(ef_search=64)


def passage(
    document_id: str, *, rev: int = 1, ordinal: int = 0, text: str = "text", **metadata: Any
) -> Passage:
    key = passage_id(document_id, rev, ordinal)
    return Passage(key, document_id, rev, ordinal, f"title of {document_id}", text, metadata)


def unit_vectors(count: int, seed: int = 0, dimension: int = DIMENSION) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


Found = Callable[[Filter], list[str]]


@pytest.fixture(scope="module")
def find(index: MilvusIndex) -> Iterator[Found]:
    """Stores five documents and returns the ids that a filter lets through."""
    collection = f"filters{uuid.uuid4().hex[:8]}"
    index.create(collection, DIMENSION, IndexSettings())
    rows = [
        passage("plain", lang="en", year=2001),
        passage("quotes", lang="""it's "so" \\ odd""", year=2002),
        passage("unicode", lang="naïve 漢字 😀\u2028", year=2003.5),
        passage("control", lang="a\nb\tc\rd\x01\x7f", year=2004, checked=True),
        passage('id "with" quotes/ü', lang="en", year=-1, checked=False),
    ]
    index.upsert(collection, rows, unit_vectors(len(rows)))

    def find(node: Filter) -> list[str]:
        (hits,) = index.search(
            collection,
            unit_vectors(1, seed=9),
            10,
            settings=SETTINGS,
            filter_expression=expression(node),
            strong=True,
        )
        return sorted(hit.passage.document_id for hit in hits)

    yield find
    index.drop(collection)


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


def test_hits_come_nearest_first_with_their_cosine(index: MilvusIndex, collection: str) -> None:
    vectors = unit_vectors(40)
    index.upsert(collection, [passage(f"d{n}") for n in range(40)], vectors)
    queries = unit_vectors(3, seed=5)
    answers = index.search(collection, queries, 10, settings=SETTINGS, strong=True)
    exact = queries @ vectors.T
    for hits, scores in zip(answers, exact, strict=True):
        assert [hit.passage.document_id for hit in hits] == [f"d{n}" for n in np.argsort(-scores)[:10]]
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1][:10], atol=1e-5)


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


def test_filters_compare_strings_numbers_and_truth(find: Found) -> None:
    assert find(Compare(field="lang", op="eq", value="en")) == ['id "with" quotes/ü', "plain"]
    assert find(Compare(field="year", op="gt", value=2002)) == ["control", "unicode"]
    assert find(Compare(field="year", op="le", value=-1)) == ['id "with" quotes/ü']
    assert find(Compare(field="year", op="eq", value=2003.5)) == ["unicode"]
    assert find(Compare(field="checked", op="eq", value=True)) == ["control"]
    assert find(Compare(field="lang", op="eq", value="de")) == []


@pytest.mark.parametrize(
    ("value", "document_id"),
    [
        ("""it's "so" \\ odd""", "quotes"),
        ("naïve 漢字 😀\u2028", "unicode"),
        ("a\nb\tc\rd\x01\x7f", "control"),
    ],
)
def test_a_filter_value_of_odd_characters_matches_itself(find: Found, value: str, document_id: str) -> None:
    assert find(Compare(field="lang", op="eq", value=value)) == [document_id]


@pytest.mark.parametrize(
    "value", ['" or metadata["year"] > 0 or "', 'x" or true or "', "\\", '\\"', "en' or 'a' == 'a"]
)
def test_a_filter_value_never_becomes_grammar(find: Found, value: str) -> None:
    assert find(Compare(field="lang", op="eq", value=value)) == []


def test_filters_take_lists(find: Found) -> None:
    assert find(Compare(field="year", op="in", value=(2001, 2004, 9999))) == ["control", "plain"]
    assert find(Compare(field="lang", op="in", value=("en",))) == ['id "with" quotes/ü', "plain"]
    assert find(Compare(field="document_id", op="in", value=("plain", "unicode"))) == ["plain", "unicode"]


def test_filters_nest(find: Found) -> None:
    english = Compare(field="lang", op="eq", value="en")
    old = Compare(field="year", op="lt", value=2003)
    listed = Compare(field="year", op="in", value=(2001, 2002))
    assert find(And.model_validate({"and": [english, old]})) == ['id "with" quotes/ü', "plain"]
    assert find(And.model_validate({"and": [english, Not.model_validate({"not": listed})]})) == [
        'id "with" quotes/ü'
    ]
    either = Or.model_validate({"or": [Compare(field="checked", op="eq", value=True), listed]})
    assert find(either) == ["control", "plain", "quotes"]
    neither = Not.model_validate({"not": Or.model_validate({"or": [english, listed]})})
    assert find(neither) == ["control", "unicode"]


def test_filters_reach_the_document_id(find: Found) -> None:
    assert find(Compare(field="document_id", op="eq", value='id "with" quotes/ü')) == ['id "with" quotes/ü']
    assert find(Compare(field="document_id", op="ne", value="plain")) == [
        "control",
        'id "with" quotes/ü',
        "quotes",
        "unicode",
    ]


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


def test_a_filter_that_milvus_cannot_read_is_invalid_input(index: MilvusIndex, collection: str) -> None:
    index.upsert(collection, [passage("a")], unit_vectors(1))
    with pytest.raises(InvalidInput):
        index.search(collection, unit_vectors(1), 1, settings=SETTINGS, filter_expression="document_id > 5")


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


@pytest.mark.parametrize("kind", get_args(IndexType))
def test_a_server_builds_every_index_type_that_it_can_and_refuses_the_others_before_it_makes_anything(
    index: MilvusIndex, unique: str, kind: IndexType
) -> None:
    settings = IndexSettings(index_type=kind)
    able = index.capabilities()
    if kind in able.index_types:
        vectors = unit_vectors(300)
        index.create(unique, DIMENSION, settings)
        index.upsert(unique, [passage(f"d{n}") for n in range(300)], vectors)
        index.flush(unique)
        index.load(unique)
        answers = index.search(unique, vectors[:40], 10, settings=settings, strong=True)
        index.drop(unique)
        exact = np.argsort(-(vectors[:40] @ vectors.T), axis=1)[:, :10]
        found = sum(
            len({hit.passage.document_id for hit in hits} & {f"d{n}" for n in wanted})
            for hits, wanted in zip(answers, exact, strict=True)
        )
        assert found >= 0.99 * 400
    else:
        with pytest.raises(InvalidInput, match=f"{re.escape(able.server)} cannot do {kind}") as refusal:
            index.create(unique, DIMENSION, settings)
        assert refusal.value.field == "policy.index.index_type"
        assert not index.exists(unique)


def test_bm25_fuses_near_vectors_with_matching_words_where_the_server_can(
    index: MilvusIndex, unique: str
) -> None:
    settings = IndexSettings(bm25=True)
    if not index.capabilities().bm25:
        with pytest.raises(InvalidInput, match=r"2\.3\.5 cannot do BM25; Milvus can from 2\.5") as refusal:
            index.create(unique, DIMENSION, settings)
        assert refusal.value.field == "policy.index.bm25"
        return
    vectors = unit_vectors(40)
    rows = [passage(f"d{n}", text=f"common words {n}", year=n) for n in range(40)]
    exact = np.argsort(-(vectors @ vectors[0]))
    nearest, farthest = f"d{exact[0]}", int(exact[-1])
    rows[farthest] = passage(f"d{farthest}", text="tophaceous gout of the toe", year=farthest)
    index.create(unique, DIMENSION, settings)
    index.upsert(unique, rows, vectors)

    def found(**options: Any) -> list[list[str]]:
        answers = index.search(unique, vectors[[0, 0]], 5, settings=SETTINGS, strong=True, **options)
        return [[hit.passage.document_id for hit in hits] for hits in answers]

    words, other = found(words=["Tophaceous?", "nothing known"])
    assert {nearest, f"d{farthest}"} == set(words[:2])
    assert words.count(f"d{farthest}") == 1
    assert other[0] == nearest
    assert f"d{farthest}" not in other
    filtered, _ = found(words=["tophaceous", "x"], filter_expression=f'metadata["year"] != {farthest}')
    assert f"d{farthest}" not in filtered
    assert f"d{farthest}" not in found()[0]
    index.upsert(unique, [rows[0]], vectors[:1])
    assert index.count(unique) == 40
    assert len([row for page in index.scan(unique, with_vectors=True) for row in page]) == 40
    index.drop(unique)


def test_weights_move_a_fused_search_from_vectors_to_words(index: MilvusIndex, unique: str) -> None:
    settings = IndexSettings(bm25=True)
    if not index.capabilities().bm25:
        pytest.skip("test_bm25_fuses_near_vectors_with_matching_words_where_the_server_can covers the refusal")
    vectors = unit_vectors(12)
    rows = [passage(f"d{n}", text="gout " * (n + 1) + "of toes " * (12 - n)) for n in range(12)]
    index.create(unique, DIMENSION, settings)
    index.upsert(unique, rows, vectors)

    def found(weight: float, limit: int = 5) -> list[tuple[str, float]]:
        (hits,) = index.search(
            unique, vectors[[0]], limit, settings=settings, strong=True, words=["gout"], bm25_weight=weight
        )
        return [(hit.passage.document_id, hit.score) for hit in hits]

    near = [f"d{n}" for n in np.argsort(-(vectors @ vectors[0]))[:5]]
    assert [one for one, _ in found(0.0)] == near
    words = [one for one, _ in found(1.0)]
    assert words[0] == "d11"
    assert len(words) == 5
    # What is fused here with nearly equal shares is what Milvus fuses with equal ones.
    here, there = dict(found(0.5 + 1e-9)), dict(found(0.5))
    assert here == pytest.approx(there)
    index.drop(unique)


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
