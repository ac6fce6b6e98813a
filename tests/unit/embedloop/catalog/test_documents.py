"""Documents and the change log."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from embedloop.catalog import documents
from embedloop.catalog.database import Database
from embedloop.corpus import content_hash, delete_document, get_document, put_documents
from embedloop.errors import NotFound
from embedloop.records.documents import NewDocument, Op
from tests.patience import PATIENCE_SECONDS
from tests.unit.embedloop.catalog.conftest import CORPUS


def new(document_id: str, text: str = "text", **metadata: object) -> NewDocument:
    return NewDocument(document_id, f"title of {document_id}", text, metadata)


def test_a_document_comes_back_as_it_was_put_with_its_rev(catalog: Database) -> None:
    (written,) = put_documents(catalog, CORPUS, [new("ä/1", "text 漢字", year=2001, tags=["a"])])
    found = get_document(catalog, CORPUS, "ä/1")
    assert (found.title, found.text, found.metadata) == (
        "title of ä/1",
        "text 漢字",
        {"year": 2001, "tags": ["a"]},
    )
    assert found.rev == written.rev == written.seq
    assert written.changed


@pytest.mark.parametrize(("count", "size", "found"), [(0, 5, 0), (3, 5, 3), (10, 5, 5), (11, 5, 5), (40, 1, 1)])
def test_a_spread_of_ids_is_even_over_the_live_ones(
    catalog: Database, count: int, size: int, found: int
) -> None:
    put_documents(catalog, CORPUS, [new(f"d{n:03}") for n in range(count)] + [new("z-dead")])
    delete_document(catalog, CORPUS, "z-dead")
    with catalog.read() as connection:
        ids = documents.spread(connection, CORPUS, size)
    assert len(ids) == found
    steps = {int(b[1:]) - int(a[1:]) for a, b in pairwise(ids)}
    assert len(steps) <= 1
    assert "z-dead" not in ids


def test_seq_grows_with_every_change_over_all_corpora(catalog: Database) -> None:
    seqs = [
        put_documents(catalog, name, [new("a", str(n))])[0].seq for n, name in enumerate([CORPUS, "other"] * 3)
    ]
    assert seqs == sorted(set(seqs))
    with catalog.read() as connection:
        assert documents.head(connection, CORPUS) == seqs[-2]
        assert documents.head(connection, "other") == seqs[-1]


def test_equal_content_is_no_change(catalog: Database) -> None:
    (first,) = put_documents(catalog, CORPUS, [new("a", year=1, lang="en")])
    (again,) = put_documents(catalog, CORPUS, [new("a", lang="en", year=1)])
    assert (again.changed, again.rev, again.seq) == (False, first.rev, first.seq)
    with catalog.read() as connection:
        assert len(documents.changes_after(connection, CORPUS, 0, 10)) == 1


@pytest.mark.parametrize(
    "other",
    [
        NewDocument("a", "other title", "text", {"n": 1}),
        NewDocument("a", "title of a", "other text", {"n": 1}),
        NewDocument("a", "title of a", "text", {"n": 2}),
        NewDocument("a", "title of a", "text", {"n": "1"}),
        NewDocument("a", "title of a", "text", {}),
    ],
)
def test_other_title_text_or_metadata_is_a_change(catalog: Database, other: NewDocument) -> None:
    put_documents(catalog, CORPUS, [new("a", n=1)])
    (written,) = put_documents(catalog, CORPUS, [other])
    assert written.changed
    assert get_document(catalog, CORPUS, "a").rev == written.rev


def test_of_one_id_twice_in_a_batch_the_last_wins(catalog: Database) -> None:
    first, second, third = put_documents(catalog, CORPUS, [new("a", "one"), new("a", "two"), new("a", "two")])
    assert first.seq < second.seq == third.seq
    assert (second.changed, third.changed) == (True, False)
    assert get_document(catalog, CORPUS, "a").text == "two"


def test_each_document_of_a_large_batch_gets_the_seq_of_its_own_change_in_turn(catalog: Database) -> None:
    put_documents(catalog, CORPUS, [new("d0007"), new("d0003")])
    ids = [f"d{(7 * n) % 2503:04}" for n in range(2503)]
    written = put_documents(catalog, CORPUS, [new(identity) for identity in ids])
    assert [w.document_id for w in written] == ids
    assert {w.document_id for w in written if not w.changed} == {"d0007", "d0003"}
    fresh = [w.seq for w in written if w.changed]
    assert fresh == sorted(set(fresh))
    with catalog.read() as connection:
        logged = documents.changes_after(connection, CORPUS, 0, 10_000)
        assert {(c.seq, c.document_id) for c in logged} == {(w.seq, w.document_id) for w in written}
        assert documents.live_revs(connection, CORPUS, ids) == {w.document_id: w.rev for w in written}


def test_empty_batch_changes_nothing(catalog: Database) -> None:
    assert put_documents(catalog, CORPUS, []) == []
    with catalog.read() as connection:
        assert documents.head(connection, CORPUS) == 0


def test_deleting_leaves_a_change_and_no_content(catalog: Database) -> None:
    (put,) = put_documents(catalog, CORPUS, [new("a")])
    gone = delete_document(catalog, CORPUS, "a")
    assert gone.seq > put.seq
    with pytest.raises(NotFound, match="'a'"):
        get_document(catalog, CORPUS, "a")
    with catalog.read() as connection:
        assert [c.op for c in documents.changes_after(connection, CORPUS, 0, 10)] == [Op.UPSERT, Op.DELETE]
        assert documents.live_ids(connection, CORPUS) == []
        assert documents.live_revs(connection, CORPUS, ["a"]) == {}


def test_deleting_what_is_not_there_is_named_and_leaves_no_change(catalog: Database) -> None:
    with pytest.raises(NotFound) as refusal:
        delete_document(catalog, CORPUS, "nobody")
    assert refusal.value.field == "document_id"
    with catalog.read() as connection:
        assert documents.head(connection, CORPUS) == 0


def test_the_same_content_after_a_delete_is_a_new_rev(catalog: Database) -> None:
    (first,) = put_documents(catalog, CORPUS, [new("a")])
    delete_document(catalog, CORPUS, "a")
    with pytest.raises(NotFound):
        delete_document(catalog, CORPUS, "a")
    (back,) = put_documents(catalog, CORPUS, [new("a")])
    assert back.changed
    assert back.rev > first.rev
    assert get_document(catalog, CORPUS, "a").rev == back.rev


def test_lookups_take_more_ids_than_one_statement(catalog: Database) -> None:
    put_documents(catalog, CORPUS, [new(f"d{n:04}") for n in range(1203)])
    ids = [f"d{n:04}" for n in range(1300)]
    with catalog.read() as connection:
        assert len(documents.live_revs(connection, CORPUS, ids)) == 1203
        assert len(documents.get_many(connection, CORPUS, ids)) == 1203
        assert len(documents.hashes(connection, CORPUS, ids)) == 1203
        assert documents.live_revs(connection, CORPUS, set()) == {}
        page = documents.lengths_after(connection, CORPUS, "d0009", 3)
        assert [identity for identity, _ in page] == ["d0010", "d0011", "d0012"]
        between = documents.ids_in_range(connection, CORPUS, "d0100", "d0104")
        assert between == ["d0100", "d0101", "d0102", "d0103", "d0104"]


def test_changes_are_read_in_order_from_a_cursor(catalog: Database) -> None:
    written = put_documents(catalog, CORPUS, [new(f"d{n}") for n in range(6)])
    put_documents(catalog, "other", [new("x")])
    with catalog.read() as connection:
        batch = documents.changes_after(connection, CORPUS, written[1].seq, 3)
        assert [change.document_id for change in batch] == ["d2", "d3", "d4"]
        assert documents.changed_after(connection, CORPUS, written[3].seq) == {"d4", "d5"}


def test_content_hash_does_not_depend_on_the_order_of_metadata() -> None:
    assert content_hash("t", "x", {"a": 1, "b": 2}) == content_hash("t", "x", {"b": 2, "a": 1})
    assert content_hash("t", "x", {}) != content_hash("tx", "", {})


def test_two_threads_that_write_at_once_get_distinct_growing_seqs(catalog: Database) -> None:
    together = threading.Barrier(2)
    seqs: dict[str, list[int]] = {"one": [], "two": []}
    failures: list[BaseException] = []

    def write(name: str) -> None:
        try:
            together.wait(timeout=PATIENCE_SECONDS)
            for n in range(40):
                seqs[name].append(put_documents(catalog, CORPUS, [new(f"{name}-{n}")])[0].seq)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in seqs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE_SECONDS)
    assert failures == []
    assert all(own == sorted(own) for own in seqs.values())
    assert len(set(seqs["one"] + seqs["two"])) == 80
    with catalog.read() as connection:
        logged = [change.seq for change in documents.changes_after(connection, CORPUS, 0, 100)]
    assert logged == sorted(seqs["one"] + seqs["two"])


def test_a_reader_sees_one_moment_while_others_write(catalog: Database) -> None:
    put_documents(catalog, CORPUS, [new("a")])
    with catalog.read() as connection:
        before = documents.head(connection, CORPUS)
        thread = threading.Thread(target=put_documents, args=(catalog, CORPUS, [new("b")]))
        thread.start()
        thread.join(timeout=PATIENCE_SECONDS)
        assert documents.head(connection, CORPUS) == before
    with catalog.read() as connection:
        assert documents.head(connection, CORPUS) > before
