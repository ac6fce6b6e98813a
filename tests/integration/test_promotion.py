"""Promote and rollback with live replicas, real collections, and rivals."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from embedloop import promotion
from embedloop.applier import View, apply_changes
from embedloop.catalog import corpora, index_versions, promotions
from embedloop.corpus import wait_applied
from embedloop.errors import Conflict, EmbedloopError, NotFound, PromotionRefused, Unavailable
from embedloop.promotion import alias_of, promote, reassert_alias
from embedloop.records.versions import IndexState, ModelVersion
from tests.integration.conftest import LEASE, World, poisoned, preparing
from tests.patience import PATIENCE_SECONDS, eventually


def identity(view: View) -> str:
    return view.version.index_version_id


def test_the_first_version_needs_no_gate(world: World, tiny: ModelVersion) -> None:
    view = world.build(tiny)
    corpus = world.promote(view)
    assert (corpus.serving, corpus.previous) == (identity(view), None)
    assert world.version(identity(view)).state is IndexState.SERVING
    assert world.index.alias_target(alias_of(world.name)) == view.version.collection


def test_promotion_moves_catalog_alias_and_replica(
    world: World, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    first = world.serve(tiny)
    replica = world.replica()
    assert replica.serving(world.name).version.index_version_id == identity(first)
    second = world.build(other_tiny)
    world.pass_gate(other_tiny)
    corpus = world.promote(second)
    assert (corpus.serving, corpus.previous) == (identity(second), identity(first))
    assert world.version(identity(first)).state is IndexState.STANDBY
    assert world.version(identity(second)).state is IndexState.SERVING
    assert world.index.alias_target(alias_of(world.name)) == second.version.collection
    serving = replica.serving(world.name)
    assert serving.version.index_version_id == identity(second)
    assert serving.encoder.dimension == 48
    assert preparing(world) is None


def test_an_unverified_version_is_refused(world: World, tiny: ModelVersion) -> None:
    first = world.serve(tiny)
    second = world.build(tiny)
    for verification in (None, {"passed": False}):
        with world.database.write() as connection:
            index_versions.set_fields(connection, identity(second), verification=verification)
        with pytest.raises(PromotionRefused, match="not verified") as refusal:
            world.promote(second)
        assert refusal.value.field == "index_version"
    assert world.corpus().serving == identity(first)


@pytest.mark.parametrize("state", [IndexState.BUILDING, IndexState.RETIRED])
def test_a_version_that_is_not_ready_is_refused(world: World, tiny: ModelVersion, state: IndexState) -> None:
    world.serve(tiny)
    second = world.build(tiny)
    with world.database.write() as connection:
        index_versions.set_fields(connection, identity(second), state=state.value)
    with pytest.raises(PromotionRefused, match=f"ready or standby, it is {state.value}"):
        world.promote(second)


def test_what_serves_already_or_does_not_exist_is_refused(world: World, tiny: ModelVersion) -> None:
    first = world.serve(tiny)
    with pytest.raises(Conflict, match="serves already"):
        world.promote(first)
    with pytest.raises(NotFound, match="nobody"):
        promote(world.database, world.index, world.name, "nobody", actor="t", timeout_seconds=5)
    with pytest.raises(NotFound, match="no corpus"):
        promote(world.database, world.index, "no-such", identity(first), actor="t", timeout_seconds=5)


def test_another_model_needs_the_gate(world: World, tiny: ModelVersion, other_tiny: ModelVersion) -> None:
    first = world.serve(tiny)
    second = world.build(other_tiny)
    with pytest.raises(PromotionRefused, match="has not passed the gate"):
        world.promote(second)
    world.pass_gate(other_tiny, passed=False)
    with pytest.raises(PromotionRefused, match="has not passed the gate"):
        world.promote(second)
    assert world.corpus().serving == identity(first)
    world.pass_gate(other_tiny)
    assert world.promote(second).serving == identity(second)


def test_a_gate_that_failed_later_counts_more_than_one_that_passed(
    world: World, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    world.serve(tiny)
    second = world.build(other_tiny)
    world.pass_gate(other_tiny)
    world.pass_gate(other_tiny, passed=False)
    with pytest.raises(PromotionRefused, match="has not passed the gate"):
        world.promote(second)


def test_the_same_model_in_a_new_version_needs_no_gate(world: World, tiny: ModelVersion) -> None:
    world.serve(tiny)
    second = world.build(tiny)
    assert world.promote(second).serving == identity(second)


def test_a_candidate_that_is_behind_is_refused_in_time(world: World, tiny: ModelVersion) -> None:
    first = world.serve(tiny)
    second = world.build(tiny)
    world.put({"new": "fever"})
    world.apply(first)
    with pytest.raises(PromotionRefused, match="changes behind the serving one"):
        world.promote(second, timeout_seconds=0.3)
    assert world.corpus().serving == identity(first)
    assert preparing(world) is None
    world.apply(second)
    assert world.promote(second).serving == identity(second)


def test_a_candidate_catches_up_while_the_promotion_waits(world: World, tiny: ModelVersion) -> None:
    first = world.serve(tiny)
    second = world.build(tiny)
    world.put({"new": "fever"})
    world.apply(first)
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        world.apply(second)

    promote(
        world.database, world.index, world.name, identity(second), actor="t", timeout_seconds=20, pause=pause
    )
    assert len(waits) == 1
    assert world.corpus().serving == identity(second)


def test_a_candidate_that_lost_a_document_after_its_verification_is_refused_by_name(
    world: World, tiny: ModelVersion
) -> None:
    first = world.serve(tiny)
    second = world.build(tiny)
    world.put({"nose": "toxin"})
    world.apply(first)
    apply_changes(poisoned(second, "toxin"), lease_seconds=LEASE)
    with pytest.raises(PromotionRefused, match=r"lacks 1 documents that the serving one has, first .'nose'"):
        world.promote(second)


def test_a_replica_that_is_not_ready_in_time_calls_the_promotion_off(world: World, tiny: ModelVersion) -> None:
    first = world.serve(tiny)
    second = world.build(tiny)
    with world.database.write() as connection:
        promotions.hold(
            connection, "r-slow", world.name, serving=identity(first), prepared=None, lease_seconds=300
        )
    with pytest.raises(PromotionRefused, match=r"r-slow.* not ready for index version"):
        world.promote(second, timeout_seconds=0.3)
    assert world.corpus().serving == identity(first)
    assert world.version(identity(second)).state is IndexState.READY
    assert preparing(world) is None
    assert world.index.alias_target(alias_of(world.name)) == first.version.collection


def test_rollback_returns_to_the_version_before_and_keeps_later_writes(
    world: World, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    first = world.serve(tiny)
    replica = world.replica()
    second = world.serve(other_tiny)
    written = world.put({"later": "insulin", "nose": "red eye"})
    world.delete("tooth")
    world.apply(second)
    world.apply(first)
    corpus = world.rollback()
    assert (corpus.serving, corpus.previous) == (identity(first), identity(second))
    assert replica.serving(world.name).version.index_version_id == identity(first)
    wait_applied(world.database, world.index, first.version, written, timeout_seconds=PATIENCE_SECONDS)
    assert "later" in world.documents(first)
    assert "tooth" not in world.documents(first)
    assert world.rollback().serving == identity(second)


def test_a_rollback_waits_until_the_standby_has_the_writes(world: World, tiny: ModelVersion) -> None:
    first = world.serve(tiny)
    second = world.serve(tiny)
    world.put({"later": "insulin"})
    world.apply(second)
    with pytest.raises(PromotionRefused, match="behind"):
        world.rollback(timeout_seconds=0.3)
    world.apply(first)
    assert world.rollback().serving == identity(first)


def test_there_is_nothing_to_roll_back_to_before_a_second_version(world: World, tiny: ModelVersion) -> None:
    world.serve(tiny)
    with pytest.raises(PromotionRefused, match="no version to roll back to"):
        world.rollback()


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told_why(world: World, tiny: ModelVersion) -> None:
    first = world.serve(tiny)
    rivals = [world.build(tiny), world.build(tiny)]
    with world.database.write() as connection:
        # A replica that the test moves by hand keeps both promotions waiting.
        promotions.hold(
            connection, "r-1", world.name, serving=identity(first), prepared=None, lease_seconds=300
        )
    together = threading.Barrier(2)
    outcomes: dict[str, EmbedloopError | str] = {}

    def run(name: str) -> None:
        together.wait(timeout=PATIENCE_SECONDS)
        try:
            promote(world.database, world.index, world.name, name, actor="t", timeout_seconds=30)
            outcomes[name] = "promoted"
        except EmbedloopError as error:
            outcomes[name] = error

    threads = [threading.Thread(target=run, args=(identity(rival),)) for rival in rivals]
    for thread in threads:
        thread.start()
    eventually(lambda: len(outcomes) == 1, "one promotion is refused")
    (loser,) = outcomes
    winner = preparing(world)
    assert winner is not None
    with world.database.write() as connection:
        promotions.hold(connection, "r-1", world.name, serving=winner, prepared=None, lease_seconds=300)
    for thread in threads:
        thread.join(timeout=PATIENCE_SECONDS)
    assert isinstance(outcomes[loser], Conflict)
    assert winner in str(outcomes[loser])
    assert outcomes[winner] == "promoted"
    assert world.corpus().serving == winner


def test_a_promotion_whose_deadline_passed_in_the_catalog_publishes_nothing(
    world: World, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.serve(tiny)
    second = world.build(tiny)

    def called_off(*_arguments: object) -> None:
        with world.database.write() as connection:
            found = promotions.preparing(connection)[world.name]
            promotions.call_off(connection, found.promotion_id, "by the reaper")

    monkeypatch.setattr(promotion, "_wait_prepared", called_off)
    with pytest.raises(PromotionRefused, match="was called off: by the reaper"):
        world.promote(second)
    assert world.corpus().serving == identity(first)


def test_a_milvus_that_is_away_leaves_the_promotion_standing_and_the_alias_to_the_reconciler(
    world: World, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.serve(tiny)
    second = world.build(tiny)

    def away(*_arguments: object) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(world.index, "point_alias", away)
        assert world.promote(second).serving == identity(second)
    assert world.index.alias_target(alias_of(world.name)) == first.version.collection
    assert world.corpus().serving == identity(second)
    reassert_alias(world.database, world.index, world.name)
    assert world.index.alias_target(alias_of(world.name)) == second.version.collection


def test_the_alias_follows_the_catalog_that_moved_meanwhile(
    world: World, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.serve(tiny)
    second = world.build(tiny)
    point = world.index.point_alias
    moved: list[str] = []

    def moves_the_catalog_too(alias: str, collection: str) -> None:
        if not moved:
            moved.append(collection)
            with world.database.write() as connection:
                corpora.set_serving(connection, world.name, identity(first), identity(second))
        point(alias, collection)

    monkeypatch.setattr(world.index, "point_alias", moves_the_catalog_too)
    world.promote(second, timeout_seconds=5)
    assert moved == [second.version.collection]
    assert world.index.alias_target(alias_of(world.name)) == first.version.collection


def test_a_version_of_another_corpus_is_refused(world: World, tiny: ModelVersion) -> None:
    view = world.build(tiny)
    stranger = replace(view.version, corpus="other")
    with pytest.raises(PromotionRefused, match="another corpus"), world.database.read() as connection:
        promotion._check(connection, world.corpus(), stranger)
