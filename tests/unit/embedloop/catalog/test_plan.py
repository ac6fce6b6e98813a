"""Shards are sized by the volume of their text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from sqlalchemy import select

from embedloop import reembed
from embedloop.catalog import index_versions, models
from embedloop.catalog.database import Database
from embedloop.catalog.tables import shards
from embedloop.corpus import delete_document, put_documents
from embedloop.errors import Conflict
from embedloop.policy import Chunking, IndexSettings
from embedloop.records.documents import NewDocument
from embedloop.records.versions import IndexState
from tests.unit.embedloop.catalog.conftest import CORPUS

CHARS, DOCUMENTS = 1000, 50


def plan(catalog: Database) -> str:
    with catalog.write() as connection:
        version = reembed.plan(
            connection,
            corpus=CORPUS,
            model=models.get(connection, "m-1"),
            chunking=Chunking(),
            index=IndexSettings(),
            job_id="j-1",
            shard_chars=CHARS,
            shard_documents=DOCUMENTS,
        )
    return version.index_version_id


def cut(catalog: Database, lengths: list[int], *, dead: int | None = None) -> list[list[int]]:
    """Plans over documents of these lengths; returns the lengths in each shard."""
    names = [f"d{n:05}" for n in range(len(lengths))]
    put_documents(
        catalog,
        CORPUS,
        [
            NewDocument(n, "t" * (size // 4), "x" * (size - size // 4))
            for n, size in zip(names, lengths, strict=True)
        ],
    )
    if dead is not None:
        delete_document(catalog, CORPUS, names[dead])
    plan(catalog)
    with catalog.read() as connection:
        rows = connection.execute(select(shards).order_by(shards.c.first_document_id)).all()
    assert all(before.last_document_id < after.first_document_id for before, after in pairwise(rows))
    kept = [(n, size) for i, (n, size) in enumerate(zip(names, lengths, strict=True)) if i != dead]
    return [[s for n, s in kept if r.first_document_id <= n <= r.last_document_id] for r in rows]


@pytest.mark.parametrize(
    ("lengths", "shards_of"),
    [
        ([], []),
        ([10], [[10]]),
        ([CHARS * 50], [[CHARS * 50]]),
        ([10, CHARS * 50, 10], [[10], [CHARS * 50], [10]]),
        ([CHARS, CHARS, CHARS], [[CHARS], [CHARS], [CHARS]]),
        ([400, 400, 400, 400], [[400, 400], [400, 400]]),
        ([600, 600, 300], [[600], [600, 300]]),
        ([1] * (2 * DOCUMENTS + 1), [[1] * DOCUMENTS, [1] * DOCUMENTS, [1]]),
    ],
    ids=["empty", "one", "huge", "huge between", "just fits", "two by two", "does not fit", "many tiny"],
)
def test_shards_are_cut_where_the_volume_is_reached(
    catalog: Database, lengths: list[int], shards_of: list[list[int]]
) -> None:
    assert cut(catalog, lengths) == shards_of


def test_many_documents_are_cut_over_pages_without_gaps(
    catalog: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembed, "_LENGTHS_PAGE", 7)
    lengths = [1 + 37 * n % 300 for n in range(200)]
    found = cut(catalog, lengths)
    assert [size for shard in found for size in shard] == lengths
    assert max(map(sum, found)) <= CHARS
    # The next document would not have fitted.
    assert all(sum(before) + after[0] > CHARS for before, after in pairwise(found))


def test_a_deleted_document_weighs_nothing(catalog: Database) -> None:
    assert cut(catalog, [600, 600, 300], dead=1) == [[600, 300]]


def test_a_second_plan_is_refused_and_leaves_no_shards(catalog: Database) -> None:
    first = cut(catalog, [10, 10])
    assert first == [[10, 10]]
    with pytest.raises(Conflict, match="in building"):
        plan(catalog)
    with catalog.read() as connection:
        assert len(connection.execute(select(shards)).all()) == 1
        assert [v.state for v in index_versions.of_corpus(connection, CORPUS)] == [IndexState.BUILDING]
