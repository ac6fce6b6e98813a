"""The applier on a real Milvus Lite: live writes, crashes, poison, leases."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from embedloop import applier as applier_module
from embedloop.applier import apply_changes, following, lags
from embedloop.catalog import documents, index_versions
from embedloop.corpus import passages_of, wait_applied
from embedloop.encoder import Vectors
from embedloop.errors import DeadlineExceeded, InvalidInput, LeaseLost, Misconfigured, Unavailable
from embedloop.records.documents import Document, Passage
from embedloop.records.versions import ModelVersion, Placement
from embedloop.reembed import sweep
from embedloop.text.chunking import Chunker
from tests.integration.conftest import LEASE, TEXTS, ProcessGone, World, faulty, poisoned
from tests.patience import PATIENCE_SECONDS, eventually

LONG = "kidney stone and liver pain with fever headache and cough " * 8


def test_a_live_write_appears(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    (written,) = world.put({"new": "broken bone fracture"})
    assert world.apply(view) == 1
    assert ("new", written.rev) in world.rows(view)
    assert world.ask(view, "broken bone fracture")[0].passage.document_id == "new"
    assert world.version(view.version.index_version_id).applied_seq == written.seq


def test_a_replaced_document_leaves_no_older_row(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    world.put({"kidney": LONG})
    assert world.apply(view) > 1
    (written,) = world.put({"kidney": "short text"})
    world.apply(view)
    assert [row for row in world.rows(view) if row[0] == "kidney"] == [("kidney", written.rev)]


def test_a_deleted_document_is_gone(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    world.put({"nose": LONG})
    world.apply(view)
    world.delete("nose")
    world.apply(view)
    assert world.documents(view) == set(TEXTS) - {"nose"}
    with world.database.read() as connection:
        assert index_versions.placements_of(connection, view.version.index_version_id, ["nose"]) == {}


def test_many_changes_of_one_document_are_applied_once(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    for n in range(7):
        world.put({"nose": f"fever number {n}"})
    assert world.apply(view) == 1
    assert world.apply(view) == 0


def test_more_changes_than_a_round_are_all_applied(
    world: World, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applier_module, "CHANGES_PER_ROUND", 5)
    monkeypatch.setattr(applier_module, "PASSAGES_PER_ROUND", 3)
    view = world.serve(tiny)
    world.put({f"d{n:02}": f"fever number {n}" for n in range(23)})
    world.delete("nose")
    assert world.apply(view) == 23
    assert world.documents(view) == {*TEXTS, *(f"d{n:02}" for n in range(23))} - {"nose"}


def test_the_next_round_and_no_more_is_cut_while_one_is_encoded(
    world: World, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applier_module, "PASSAGES_OF_FIRST_ROUND", 1)
    monkeypatch.setattr(applier_module, "PASSAGES_PER_ROUND", 3)
    view = world.serve(tiny)
    world.put({f"d{n:02}": f"fever number {n}" for n in range(12)})
    cut: list[str] = []
    ahead = threading.Event()

    def counted(document: Document, chunker: Chunker) -> list[Passage]:
        cut.append(document.document_id)
        # The round of three is known to be whole when the document after it is cut.
        if len(cut) == 5:
            ahead.set()
        return passages_of(document, chunker)

    encode = view.encoder.encode_passages
    rounds: list[tuple[int, int]] = []

    def waiting(texts: Sequence[str], **options: Any) -> Vectors:
        assert ahead.wait(60), "the next round is not cut"
        vectors = encode(texts, **options)
        rounds.append((len(texts), len(cut)))
        return vectors

    monkeypatch.setattr(applier_module, "passages_of", counted)
    monkeypatch.setattr(view.encoder, "encode_passages", waiting)
    assert world.apply(view) == 12
    assert [texts for texts, _ in rounds] == [1, 3, 3, 3, 2]
    encoded = 0
    for texts, known in rounds:
        encoded += texts
        assert known <= encoded + 3 + 1


@pytest.mark.parametrize(
    ("operation", "after_effect"), [("upsert", False), ("upsert", True), ("delete", False), ("delete", True)]
)
def test_a_crash_in_the_middle_of_a_replacement_leaves_nothing_wrong(
    world: World, tiny: ModelVersion, operation: str, after_effect: bool
) -> None:
    view = world.serve(tiny)
    before = world.version(view.version.index_version_id).applied_seq
    written = {w.document_id: w.rev for w in world.put({"nose": LONG, "heart": "headache"})}
    with pytest.raises(ProcessGone):
        apply_changes(faulty(view, operation, after_effect=after_effect), lease_seconds=LEASE)
    assert world.version(view.version.index_version_id).applied_seq == before
    world.apply(view)
    revs = {
        row[0]: {rev for document_id, rev in world.rows(view) if document_id == row[0]}
        for row in world.rows(view)
    }
    assert revs["nose"] == {written["nose"]}
    assert revs["heart"] == {written["heart"]}
    assert world.verify(view).passed


def test_a_crash_before_the_upsert_of_a_document_that_is_then_deleted_leaves_nothing(
    world: World, tiny: ModelVersion
) -> None:
    view = world.serve(tiny)
    world.put({"nose": LONG})
    with pytest.raises(ProcessGone):
        apply_changes(faulty(view, "upsert", after_effect=True), lease_seconds=LEASE)
    world.delete("nose")
    world.apply(view)
    assert "nose" not in world.documents(view)


def test_a_milvus_that_is_away_keeps_the_cursor_and_is_no_poison(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    before = world.version(view.version.index_version_id).applied_seq
    world.put({"new": "fever"})
    with pytest.raises(Unavailable):
        apply_changes(faulty(view, "upsert", Unavailable("away")), lease_seconds=LEASE)
    assert world.version(view.version.index_version_id).applied_seq == before
    assert world.failures(view) == {}
    assert world.apply(view) == 1


def test_poison_is_isolated_recorded_and_passed(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    written = world.put({f"d{n}": f"fever number {n}" for n in range(9)} | {"nose": "toxin", "d5": "toxin too"})
    world.apply(poisoned(view, "toxin"))
    assert set(world.failures(view)) == {"nose", "d5"}
    assert "RuntimeError: the graph broke on toxin" in world.failures(view)["nose"]
    assert world.documents(view) == {*TEXTS, *(f"d{n}" for n in range(9))} - {"nose", "d5"}
    assert world.version(view.version.index_version_id).applied_seq == max(w.seq for w in written)


def test_a_delete_is_never_passed_by_poison(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    world.put({"heart": "toxin"})
    world.delete("nose")
    world.apply(poisoned(view, "toxin"))
    assert world.documents(view) == set(TEXTS) - {"nose", "heart"}


def test_poison_that_is_cured_or_deleted_is_forgotten(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    world.put({"nose": "toxin", "heart": "toxin"})
    world.apply(poisoned(view, "toxin"))
    world.put({"nose": "harmless"})
    world.delete("heart")
    world.apply(poisoned(view, "toxin"))
    assert world.failures(view) == {}
    assert world.documents(view) == set(TEXTS) - {"heart"}


def test_wait_applied_tells_of_poison_with_its_reason(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    written = world.put({"nose": "toxin", "heart": "headache"})
    world.apply(poisoned(view, "toxin"))
    with pytest.raises(InvalidInput, match="'nose' is stored but cannot be embedded: RuntimeError") as failure:
        wait_applied(world.database, world.index, view.version, written, timeout_seconds=PATIENCE_SECONDS)
    assert failure.value.field == "text"
    wait_applied(world.database, world.index, view.version, written[1:], timeout_seconds=PATIENCE_SECONDS)


def test_wait_applied_returns_when_the_applier_has_passed_the_write(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    written = world.put({"nose": LONG, "new": "fever"})
    waiter_done = threading.Event()

    def wait() -> None:
        wait_applied(world.database, world.index, view.version, written, timeout_seconds=PATIENCE_SECONDS)
        waiter_done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not waiter_done.wait(0.2)
    world.apply(view)
    thread.join(timeout=PATIENCE_SECONDS)
    assert waiter_done.is_set()


def test_wait_applied_gives_up_in_time_and_says_that_the_write_is_stored(
    world: World, tiny: ModelVersion
) -> None:
    view = world.serve(tiny)
    written = world.put({"nose": "fever"})
    with pytest.raises(DeadlineExceeded, match="the writes are stored") as failure:
        wait_applied(world.database, world.index, view.version, written, timeout_seconds=0.1)
    assert failure.value.retryable


def test_wait_applied_is_content_when_a_later_write_took_over(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    written = world.put({"nose": "fever", "heart": "headache"})
    world.put({"nose": "cough"})
    world.delete("heart")
    world.apply(view)
    wait_applied(world.database, world.index, view.version, written, timeout_seconds=PATIENCE_SECONDS)


def test_wait_applied_misses_a_row_that_is_not_readable(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    written = world.put({"nose": "fever", "heart": "headache"})
    world.put({"heart": "cough"})
    world.apply(view)
    lost = [
        row.passage_id
        for page in world.index.scan(view.version.collection)
        for row in page
        if row.document_id == "nose"
    ]
    world.index.delete(view.version.collection, lost)
    with pytest.raises(DeadlineExceeded, match=r"1 documents are not readable yet, first .'nose'"):
        wait_applied(world.database, world.index, view.version, written, timeout_seconds=1)


def test_two_appliers_never_work_on_one_version(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    world.put({"new": "fever"})
    with following(view, lease_seconds=LEASE) as holder:
        assert holder is not None
        assert apply_changes(view, lease_seconds=LEASE) is None
        assert "new" not in world.documents(view)
        holder.catch_up()
    assert world.apply(view) == 0
    assert "new" in world.documents(view)


def test_a_change_that_came_while_the_lease_was_held_is_left_to_another_turn(
    world: World, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = world.serve(tiny)
    world.put({"new": "fever"})
    flush = applier_module.MilvusIndex.flush

    def refused_wake_up(index: object, collection: str) -> None:
        world.put({"late": "cough"})
        assert apply_changes(view, lease_seconds=LEASE) is None
        monkeypatch.setattr(applier_module.MilvusIndex, "flush", flush)

    monkeypatch.setattr(applier_module, "FLUSH_AFTER_ROWS", 1)
    monkeypatch.setattr(applier_module.MilvusIndex, "flush", refused_wake_up)
    world.apply(view)
    assert "late" not in world.documents(view)
    assert lags(view)
    world.apply(view)
    assert {"new", "late"} <= world.documents(view)
    assert not lags(view)


def test_writer_who_never_pauses_does_not_keep_an_applier_at_one_version(
    world: World, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = world.serve(tiny)
    world.put({"new": "fever"})
    upsert = applier_module.MilvusIndex.upsert
    written = 0

    def write_another(index: Any, *rows: Any) -> None:
        nonlocal written
        written += 1
        world.put({f"next{written}": "cough"})
        upsert(index, *rows)

    monkeypatch.setattr(applier_module, "CHANGES_PER_ROUND", 1)
    monkeypatch.setattr(applier_module.MilvusIndex, "upsert", write_another)
    assert world.apply(view) == 1
    assert written == 1
    assert lags(view)


def test_an_applier_that_lost_its_lease_does_not_move_the_cursor(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    identity = view.version.index_version_id
    before = world.version(identity).applied_seq
    world.put({"new": "fever"})
    with following(view, lease_seconds=LEASE) as paused:
        assert paused is not None
        with world.database.write() as connection:
            index_versions.set_fields(connection, identity, applier_lease_until=0)
            index_versions.claim_applier(connection, identity, LEASE)
        with pytest.raises(LeaseLost):
            paused.catch_up()
    assert world.version(identity).applied_seq == before


def test_a_lease_that_is_taken_over_is_told_by_the_renewal(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    identity = view.version.index_version_id
    with following(view, lease_seconds=0.3) as holder:
        assert holder is not None
        with world.database.write() as connection:
            index_versions.set_fields(connection, identity, applier_lease_until=0)
            index_versions.claim_applier(connection, identity, LEASE)

        def lost() -> bool:
            try:
                holder.renewal.check()
            except LeaseLost:
                return True
            return False

        eventually(lost, "the renewal tells that the lease is lost")


def test_the_sweep_removes_rows_that_a_paused_worker_wrote_late(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    with world.database.read() as connection:
        stale = documents.get_many(connection, world.name, ["nose"])["nose"]
    world.delete("nose")
    world.put({"heart": "headache"})
    world.apply(view)
    late = passages_of(stale, view.chunker)
    vectors = view.encoder.encode_passages([p.text for p in late])
    world.index.upsert(view.version.collection, late, vectors)
    with world.database.write() as connection:
        placed = [Placement("nose", stale.rev, len(late), True)]
        index_versions.place(connection, view.version.index_version_id, placed)
    ghost = [replace(p, passage_id="f" * 32, document_id="ghost") for p in late[:1]]
    world.index.upsert(view.version.collection, ghost, vectors[:1])
    assert {"nose", "ghost"} <= world.documents(view)
    assert sweep(view) == len(late) + 1
    assert world.documents(view) == set(TEXTS) - {"nose"}
    assert sweep(view) == 0
    assert world.verify(view).passed


@pytest.mark.parametrize("error", [MemoryError, OSError, Misconfigured])
def test_a_process_that_is_short_of_something_or_let_in_nowhere_poisons_nothing(
    world: World, tiny: ModelVersion, error: type[Exception]
) -> None:
    view = world.serve(tiny)
    world.put({"nose": "toxin"})
    with pytest.raises(error):
        world.apply(poisoned(view, "toxin", error))
    assert world.failures(view) == {}
    assert "nose" in world.documents(view)
