"""Index versions: one building at a time, the cursor, the applier's lease, placements, failures."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from embedloop.catalog import index_versions
from embedloop.catalog.database import Database
from embedloop.corpus import delete_document, put_documents
from embedloop.errors import Conflict, LeaseLost, NotFound
from embedloop.records.documents import NewDocument
from embedloop.records.versions import FailedDocument, IndexState, IndexVersion, Placement
from tests.unit.embedloop.catalog.conftest import CORPUS

AddVersion = Callable[..., IndexVersion]


def test_a_version_comes_back_as_it_was_added(catalog: Database, add_version: AddVersion) -> None:
    version = add_version("one", head=7, applied_seq=7)
    with catalog.read() as connection:
        assert index_versions.get(connection, "one") == version
        with pytest.raises(NotFound, match="nobody"):
            index_versions.get(connection, "nobody")


def test_a_corpus_builds_one_version_at_a_time(catalog: Database, add_version: AddVersion) -> None:
    add_version("one")
    with pytest.raises(Conflict, match="in building"):
        add_version("two")
    add_version("elsewhere", corpus="other")
    with catalog.write() as connection:
        index_versions.set_fields(connection, "one", state=IndexState.READY.value)
    add_version("two")
    with catalog.read() as connection:
        assert [v.index_version_id for v in index_versions.of_corpus(connection, CORPUS)] == ["two", "one"]
        assert [v.index_version_id for v in index_versions.in_state(connection, IndexState.READY)] == ["one"]


@pytest.mark.parametrize(
    ("state", "backfilled", "follows"),
    [
        (IndexState.BUILDING, False, False),
        (IndexState.BUILDING, True, True),
        (IndexState.READY, True, True),
        (IndexState.SERVING, True, True),
        (IndexState.STANDBY, True, True),
        (IndexState.RETIRED, True, False),
    ],
)
def test_who_follows_the_log_may_be_applied_to(
    catalog: Database, add_version: AddVersion, state: IndexState, backfilled: bool, follows: bool
) -> None:
    add_version("one", state=state, backfilled=backfilled)
    with catalog.write() as connection:
        assert bool(index_versions.followers(connection, CORPUS)) is follows
        assert (index_versions.claim_applier(connection, "one", 30) is not None) is follows


def test_the_cursor_moves_by_compare_and_set(catalog: Database, add_version: AddVersion) -> None:
    add_version("one", backfilled=True, applied_seq=5)
    with catalog.write() as connection:
        token = index_versions.claim_applier(connection, "one", 30)
        assert token is not None
        index_versions.advance(connection, "one", token, 5, 9)
    with pytest.raises(LeaseLost), catalog.write() as connection:
        index_versions.advance(connection, "one", token, 5, 12)
    with pytest.raises(LeaseLost), catalog.write() as connection:
        index_versions.advance(connection, "one", token + 1, 9, 12)
    with catalog.read() as connection:
        assert index_versions.get(connection, "one").applied_seq == 9


def test_one_applier_holds_the_lease_until_it_ends(catalog: Database, add_version: AddVersion) -> None:
    add_version("one", backfilled=True)
    with catalog.write() as connection:
        first = index_versions.claim_applier(connection, "one", 30)
        assert first is not None
        assert index_versions.claim_applier(connection, "one", 30) is None
        index_versions.renew_applier(connection, "one", first, 0)
        second = index_versions.claim_applier(connection, "one", 30)
    assert second is not None
    assert second > first


def test_an_applier_whose_lease_was_taken_over_can_neither_renew_nor_advance(
    catalog: Database, add_version: AddVersion
) -> None:
    add_version("one", backfilled=True)
    with catalog.write() as connection:
        paused = index_versions.claim_applier(connection, "one", -1)
        index_versions.claim_applier(connection, "one", 30)
    assert paused is not None
    with pytest.raises(LeaseLost), catalog.write() as connection:
        index_versions.renew_applier(connection, "one", paused, 30)
    with pytest.raises(LeaseLost), catalog.write() as connection:
        index_versions.advance(connection, "one", paused, 0, 1)


@pytest.mark.parametrize(("size", "count"), [(1, 5), (2, 3), (3, 2), (9, 1)])
def test_placements_are_told_with_whether_they_are_live(
    catalog: Database, add_version: AddVersion, size: int, count: int
) -> None:
    add_version("one")
    a, b, c = put_documents(catalog, CORPUS, [NewDocument(i, "t", "x") for i in "abc"])
    delete_document(catalog, CORPUS, "b")
    (again,) = put_documents(catalog, CORPUS, [NewDocument("c", "t", "y")])
    placed = [
        Placement("a", a.rev, 2, True),
        Placement("b", b.rev, 1, True),
        Placement("c", c.rev, 3, True),
        Placement("c", again.rev, 4, False),
        Placement("never", 99, 1, True),
    ]
    with catalog.write() as connection:
        index_versions.place(connection, "one", placed)
    with catalog.read() as connection:
        pages = list(index_versions.iterate_placements(connection, "one", size=size))
        found = {(p.document_id, p.rev): (p, live) for page in pages for p, live in page}
        assert len(pages) == count
        assert index_versions.passages(connection, "one") == 11
        assert index_versions.placements_of(connection, "one", ["a", "c"]) == {
            "a": placed[:1],
            "c": placed[2:4],
        }
    assert {key for key, (_, live) in found.items() if live} == {("a", a.rev), ("c", again.rev)}
    assert sorted((p for p, _ in found.values()), key=lambda p: (p.document_id, p.rev)) == placed


def test_a_written_placement_is_not_taken_back_by_a_slower_worker(
    catalog: Database, add_version: AddVersion
) -> None:
    add_version("one")
    with catalog.write() as connection:
        index_versions.place(connection, "one", [Placement("a", 1, 2, False)])
        index_versions.place(connection, "one", [Placement("a", 1, 2, True)])
        index_versions.place(connection, "one", [Placement("a", 1, 2, False)])
    with catalog.read() as connection:
        assert index_versions.placements_of(connection, "one", ["a"])["a"] == [Placement("a", 1, 2, True)]


def test_placements_are_forgotten_by_document_and_rev(catalog: Database, add_version: AddVersion) -> None:
    add_version("one")
    placed = [Placement(f"d{n % 700}", 1 + n // 700, 1, True) for n in range(1400)]
    with catalog.write() as connection:
        index_versions.place(connection, "one", placed)
        index_versions.unplace(connection, "one", placed[:700])
        left = index_versions.placements_of(connection, "one", [f"d{n}" for n in range(700)])
    assert {p.rev for group in left.values() for p in group} == {2}
    assert len(left) == 700


def test_failures_are_kept_by_document_and_cleared(catalog: Database, add_version: AddVersion) -> None:
    add_version("one")
    with catalog.write() as connection:
        index_versions.record_failure(connection, "one", "a", 1, "first")
        index_versions.record_failure(connection, "one", "a", 2, "x" * 5000)
        index_versions.record_failure(connection, "one", "b", 3, "other")
        assert index_versions.failures(connection, "one") == {"a": "x" * 2000, "b": "other"}
        index_versions.clear_failures(connection, "one", ["a", "nobody"])
        assert index_versions.failures(connection, "one") == {"b": "other"}


def test_a_retired_version_is_listed_until_its_collection_is_dropped(
    catalog: Database, add_version: AddVersion
) -> None:
    add_version("one")
    with catalog.write() as connection:
        index_versions.place(connection, "one", [Placement("a", 1, 1, True)])
        index_versions.record_failure(connection, "one", "b", 1, "no")
        index_versions.set_fields(connection, "one", state=IndexState.RETIRED.value)
        corpus = index_versions.get(connection, "one").corpus
        assert [v.index_version_id for v in index_versions.retired(connection, corpus)] == ["one"]
        index_versions.mark_dropped(connection, "one")
        assert index_versions.retired(connection, corpus) == []
        assert index_versions.placements_of(connection, "one", ["a"]) == {}
        assert index_versions.failures(connection, "one") == {}
        assert index_versions.get(connection, "one").index_version_id == "one"


def test_failures_tell_their_passages_and_only_those_asked_for(
    catalog: Database, add_version: AddVersion
) -> None:
    add_version("one")
    with catalog.write() as connection:
        index_versions.record_failure(connection, "one", "a", 1, "broke", attempts=3, passage_ids=["p1", "p2"])
        index_versions.record_failure(connection, "one", "b", 2, "other")
        assert index_versions.failed_documents(connection, "one", ["b", "a", "c"]) == [
            FailedDocument("a", ("p1", "p2"), "broke"),
            FailedDocument("b", (), "other"),
        ]
        assert index_versions.failed_documents(connection, "one", []) == []


def test_absent_are_live_documents_that_are_neither_held_nor_failed_nor_changed_since(
    catalog: Database, add_version: AddVersion
) -> None:
    names = ("held", "half-written", "failed", "older-rev", "absent", "dead")
    written = put_documents(catalog, CORPUS, [NewDocument(name, "", "text") for name in names])
    put_documents(catalog, "other", [NewDocument("of-another-corpus", "", "text")])
    revs = {one.document_id: one.rev for one in written}
    (changed,) = put_documents(catalog, CORPUS, [NewDocument("older-rev", "", "newer")])
    dead = delete_document(catalog, CORPUS, "dead")
    put_documents(
        catalog, CORPUS, [NewDocument("since", "", "text"), NewDocument("held-then-changed", "", "t")]
    )
    add_version("one")
    with catalog.write() as connection:
        placed = [("held", True), ("half-written", False), ("older-rev", True)]
        index_versions.place(connection, "one", [Placement(n, revs[n], 1, w) for n, w in placed])
        index_versions.record_failure(connection, "one", "failed", revs["failed"], "broke")

        def absent(up_to_seq: int, named: int = 9) -> tuple[int, list[str]]:
            return index_versions.absent_documents(connection, "one", up_to_seq=up_to_seq, named=named)

        assert absent(dead.seq) == (3, ["absent", "half-written", "older-rev"])
        assert absent(dead.seq, named=1) == (3, ["absent"])
        assert absent(changed.seq - 1) == (2, ["absent", "half-written"])


def test_a_version_that_is_still_embedded_is_a_view_but_follows_nothing_yet(
    catalog: Database, add_version: AddVersion
) -> None:
    add_version("building")
    for state in (IndexState.READY, IndexState.SERVING, IndexState.STANDBY, IndexState.RETIRED):
        add_version(state.value, state=state, backfilled=True)
    with catalog.read() as connection:
        views = {v.index_version_id for v in index_versions.views(connection, CORPUS)}
        following = {v.index_version_id for v in index_versions.followers(connection, CORPUS)}
    assert views == {"building", "ready", "serving", "standby"}
    assert following == views - {"building"}
