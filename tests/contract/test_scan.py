"""Scanning a collection: every row once, in pages of bounded size, on both kinds of servers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from embedloop.index import MilvusIndex
from embedloop.records.documents import Passage
from tests.contract.rows import passage, unit_vectors

SEGMENTS = 4
ROWS_OF_SEGMENT = 500
PAGE = 100


def keys_in_pages(index: MilvusIndex, collection: str, *, with_vectors: bool = False) -> list[list[str]]:
    pages = index.scan(collection, with_vectors=with_vectors)
    return [[row.passage_id for row in page] for page in pages]


@pytest.fixture
def segmented(index: MilvusIndex, collection: str) -> list[Passage]:
    """Rows in several segments; some of the first were written again and some deleted since."""
    rows = [passage(f"d{n}") for n in range(SEGMENTS * ROWS_OF_SEGMENT)]
    vectors = unit_vectors(len(rows))
    for start in range(0, len(rows), ROWS_OF_SEGMENT):
        part = slice(start, start + ROWS_OF_SEGMENT)
        index.upsert(collection, rows[part], vectors[part])
        index.upsert(collection, rows[:start:20], vectors[:start:20])
        index.flush(collection)
    index.delete(collection, [row.passage_id for row in rows[:50]])
    return rows[50:]


def test_a_scan_yields_every_row_once_with_its_vector(index: MilvusIndex, collection: str) -> None:
    rows = [passage(f"d{n}", rev=n) for n in range(2300)]
    vectors = unit_vectors(2300)
    index.upsert(collection, rows, vectors)
    index.delete(collection, [rows[0].passage_id])
    seen = [row for page in index.scan(collection, with_vectors=True) for row in page]
    assert sorted((row.document_id, row.rev) for row in seen) == sorted(
        (r.document_id, r.rev) for r in rows[1:]
    )
    by_key = {row.passage_id: row.vector for row in seen}
    np.testing.assert_allclose(by_key[rows[77].passage_id], vectors[77], atol=1e-6)


def test_a_scan_of_keys_yields_every_row_once_without_its_vector(
    index: MilvusIndex, collection: str, segmented: list[Passage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedloop.index.SCAN_KEYS", PAGE)
    seen = [row for page in index.scan(collection) for row in page]
    assert all(row.vector is None for row in seen)
    assert Counter(row.passage_id for row in seen) == Counter(row.passage_id for row in segmented)


@pytest.mark.parametrize(("setting", "with_vectors"), [("SCAN_KEYS", False), ("SCAN_ROWS", True)])
def test_pages_do_not_grow_with_the_number_of_segments(
    index: MilvusIndex,
    collection: str,
    segmented: list[Passage],
    setting: str,
    with_vectors: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"embedloop.index.{setting}", PAGE)
    sizes = [len(page) for page in keys_in_pages(index, collection, with_vectors=with_vectors)]
    assert sum(sizes) == len(segmented)
    assert max(sizes) <= 1.5 * PAGE


def test_a_scan_sees_what_was_acknowledged_just_before(index: MilvusIndex, collection: str) -> None:
    seen: list[int] = []
    for n in range(10):
        index.upsert(collection, [passage(f"d{n}")], unit_vectors(1, seed=n))
        seen.append(sum(map(len, keys_in_pages(index, collection))))
    assert seen == list(range(1, 11))


def test_a_scan_of_an_empty_collection_yields_nothing(index: MilvusIndex, collection: str) -> None:
    assert keys_in_pages(index, collection) == []
