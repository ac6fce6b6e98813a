"""What a search through the Milvus adapter finds, on Milvus Lite and on the engine."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any, get_args

import numpy as np
import pytest

from embedloop.errors import (
    InvalidInput,
)
from embedloop.filters import And, Compare, Filter, Not, Or, expression
from embedloop.index import MilvusIndex
from embedloop.policy import IndexSettings, IndexType
from tests.contract.rows import DIMENSION, SETTINGS, passage, unit_vectors

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


def test_hits_come_nearest_first_with_their_cosine(index: MilvusIndex, collection: str) -> None:
    vectors = unit_vectors(40)
    index.upsert(collection, [passage(f"d{n}") for n in range(40)], vectors)
    queries = unit_vectors(3, seed=5)
    answers = index.search(collection, queries, 10, settings=SETTINGS, strong=True)
    exact = queries @ vectors.T
    for hits, scores in zip(answers, exact, strict=True):
        assert [hit.passage.document_id for hit in hits] == [f"d{n}" for n in np.argsort(-scores)[:10]]
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1][:10], atol=1e-5)


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


def test_a_filter_that_milvus_cannot_read_is_invalid_input(index: MilvusIndex, collection: str) -> None:
    index.upsert(collection, [passage("a")], unit_vectors(1))
    with pytest.raises(InvalidInput):
        index.search(collection, unit_vectors(1), 1, settings=SETTINGS, filter_expression="document_id > 5")


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
