"""kill -9 at every step of a promotion: one version is wholly in charge, and upkeep settles the rest."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from embedloop.applier import View
from embedloop.catalog import index_versions, promotions
from embedloop.catalog.tables import promotions as promotions_table
from embedloop.promotion import alias_of
from embedloop.records.versions import IndexState, ModelVersion
from embedloop.serving import Replica
from tests.integration.conftest import TEXTS, World, preparing
from tests.integration.promotion.conftest import StartPromoter
from tests.integration.promotion.promoter import Promoter
from tests.integration.promotion.steps import REPLICAS, STEPS, InCharge, Step
from tests.patience import PATIENCE_SECONDS, eventually
from workers import upkeep
from workers.parts import Parts


def identity(view: View) -> str:
    return view.version.index_version_id


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name.replace(",", "").replace(" ", "-"))
def test_promotion_killed_at_a_step_leaves_one_version_in_charge_and_is_settled(
    world: World,
    parts: Parts,
    start_promoter: StartPromoter,
    tiny: ModelVersion,
    other_tiny: ModelVersion,
    step: Step,
) -> None:
    promoter = start_promoter()
    old = world.serve(tiny)
    new = world.build(other_tiny)
    world.pass_gate(other_tiny)
    promoter.wait_ready()
    replicas = [world.replica(f"r-{number}", start=False) for number in range(1, REPLICAS + 1)]
    for replica in replicas:
        replica.refresh()

    die_at(promoter, world, replicas, new, step)

    in_charge, other = (old, new) if step.in_charge is InCharge.OLD else (new, old)
    assert world.corpus().serving == identity(in_charge)
    serving_alone(world, in_charge)
    for replica in replicas:
        answers_wholly(world, replica, {identity(old), identity(in_charge)})

    a_minute_passes(world)
    upkeep.reap(parts)
    upkeep.reconcile(parts)
    agreed(world, replicas, in_charge, other)

    # Nothing is left in the way of the next one.
    for replica in replicas:
        replica.start()
    world.replicas.extend(replicas)
    world.promote(other)
    agreed(world, replicas, other, in_charge)


def die_at(promoter: Promoter, world: World, replicas: list[Replica], new: View, step: Step) -> None:
    """Lets it promote until it dies, with as many replicas that follow as the step wants."""
    is_called_off = step.name.startswith("call off")
    if is_called_off:
        hold(world, "r-slow")
    promoter.ask(identity(new), timeout_seconds=2 if is_called_off else PATIENCE_SECONDS, die_at=step.name)
    eventually(lambda: promoter.is_gone or preparing(world) is not None, "the promotion prepares")
    for replica in replicas[: step.acknowledge]:
        eventually(lambda replica=replica: acknowledged(world, replica, new), "the replica acknowledges")  # type: ignore[misc]
    eventually(
        lambda: promoter.is_gone or world.corpus().serving == identity(new), "the promotion is published"
    )
    for replica in replicas[: step.follow]:
        replica.refresh()
    eventually(lambda: promoter.is_gone, f"the process dies at {step.name!r}")
    assert promoter.was_killed
    with world.database.write() as connection:
        promotions.leave(connection, "r-slow")


def acknowledged(world: World, replica: Replica, new: View) -> bool:
    """Looks once; a candidate is loaded beside that, and told at a later look."""
    replica.refresh()
    with world.database.read() as connection:
        held = {r.replica_id: r.prepared for r in promotions.holders(connection, world.name)}
    return held[replica.replica_id] == identity(new)


def hold(world: World, replica_id: str) -> None:
    """A replica that is heard and never acknowledges."""
    with world.database.write() as connection:
        serving = world.corpus().serving
        promotions.hold(connection, replica_id, world.name, serving=serving, prepared=None, lease_seconds=300)


def a_minute_passes(world: World) -> None:
    """The deadline of what still prepares is over."""
    with world.database.write() as connection:
        connection.execute(update(promotions_table).values(deadline=0))


def serving_alone(world: World, view: View) -> None:
    """The states of the versions agree with the corpus."""
    with world.database.read() as connection:
        states = {v.index_version_id: v.state for v in index_versions.of_corpus(connection, world.name)}
    assert states.pop(identity(view)) is IndexState.SERVING
    assert set(states.values()) <= {IndexState.READY, IndexState.STANDBY}


def answers_wholly(world: World, replica: Replica, allowed: set[str]) -> None:
    """One version's encoder and collection; they differ in dimension, so that a mixture would fail."""
    serving = replica.serving(world.name)
    assert serving.version.index_version_id in allowed
    assert serving.model.model_id == serving.version.model_id
    vectors = serving.encoder.encode_queries(["nose"])
    hits = world.index.search(serving.version.collection, vectors, 3, settings=serving.version.index)[0]
    assert len(hits) == 3


def agreed(world: World, replicas: list[Replica], in_charge: View, other: View) -> None:
    """Catalog, alias, replicas and collections say the same, and nothing is left of the promotion."""
    assert preparing(world) is None
    assert world.corpus().serving == identity(in_charge)
    serving_alone(world, in_charge)
    assert world.index.alias_target(alias_of(world.name)) == in_charge.version.collection
    for replica in replicas:
        replica.refresh()
        answers_wholly(world, replica, {identity(in_charge)})
    with world.database.read() as connection:
        held = {(r.replica_id, r.serving, r.prepared) for r in promotions.holders(connection, world.name)}
    assert held == {(r.replica_id, identity(in_charge), None) for r in replicas}
    for view in (in_charge, other):
        assert world.index.count(view.version.collection) == len(TEXTS)
