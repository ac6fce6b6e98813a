"""What is dropped from Milvus, and what is not, whoever else lives there."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update

from embedloop import garbage, reembed
from embedloop.applier import View
from embedloop.catalog import corpora, index_versions, promotions
from embedloop.catalog import garbage as rows
from embedloop.catalog.database import Database, now
from embedloop.catalog.tables import garbage as garbage_table
from embedloop.catalog.tables import replicas as replicas_table
from embedloop.policy import IndexSettings, Policy
from embedloop.promotion import alias_of
from embedloop.records.versions import IndexState, ModelVersion
from tests.integration.conftest import CHUNKING, TEXTS, World
from workers import upkeep
from workers.parts import Parts

DAY = 86_400.0


def stray(world: World, name: str) -> str:
    """A collection that no row knows."""
    world.index.create(name, 8, IndexSettings(index_type="FLAT"))
    world.collections.append(name)
    return name


def own(world: World, suffix: str) -> str:
    with world.database.write() as connection:
        return f"{rows.own_prefix(connection)}{world.name}_{suffix}"


def a_day_passes(database: Database) -> None:
    with database.write() as connection:
        connection.execute(update(garbage_table).values(due_at=garbage_table.c.due_at - DAY - 1))


def test_collections_carry_the_deployment_and_the_corpus_in_their_names(
    world: World, tiny: ModelVersion
) -> None:
    view = world.build(tiny)
    assert view.version.collection.startswith(own(world, ""))
    with world.database.write() as connection:
        assert rows.own_prefix(connection) == rows.own_prefix(connection)


def test_orphan_of_this_catalog_is_dropped_after_its_time_and_nothing_else(
    world: World, parts: Parts, tiny: ModelVersion
) -> None:
    view = world.serve(tiny)
    orphan = stray(world, own(world, "orphan"))
    strangers = [
        stray(world, f"elv_0123456789_{world.name}_x"),
        stray(world, f"elv_{world.name}_legacy"),
        stray(world, f"theirs_{world.name}"),
    ]
    upkeep.reconcile(parts)
    assert world.index.exists(orphan)
    a_day_passes(world.database)
    upkeep.reconcile(parts)
    assert not world.index.exists(orphan)
    for kept in (*strangers, view.version.collection):
        assert world.index.exists(kept)
    with world.database.read() as connection:
        assert rows.doomed(connection) == set()


def test_orphan_that_a_restored_catalog_knows_again_is_kept(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    collection = view.version.collection
    with world.database.write() as connection:
        index_versions.set_fields(connection, view.version.index_version_id, collection="lost")
    assert garbage.note_orphans(world.database, world.index, after_seconds=DAY) == [collection]
    with world.database.write() as connection:
        index_versions.set_fields(connection, view.version.index_version_id, collection=collection)
    a_day_passes(world.database)
    assert garbage.note_orphans(world.database, world.index, after_seconds=DAY) == []
    assert garbage.drop_due(world.database, world.index) == []
    assert world.index.count(collection) == len(TEXTS)


def test_collection_that_a_late_worker_made_again_is_an_orphan(world: World, tiny: ModelVersion) -> None:
    view = world.build(tiny)
    with world.database.write() as connection:
        index_versions.set_fields(connection, view.version.index_version_id, state=IndexState.RETIRED.value)
        index_versions.mark_dropped(connection, view.version.index_version_id)
    assert garbage.note_orphans(world.database, world.index, after_seconds=0) == [view.version.collection]
    assert garbage.drop_due(world.database, world.index) == [view.version.collection]
    assert not world.index.exists(view.version.collection)


def test_collections_of_a_deleted_corpus_go_with_their_alias_when_milvus_is_back(
    world: World, parts: Parts, tiny: ModelVersion
) -> None:
    view = world.serve(tiny)
    with world.database.write() as connection:
        rows.doom(connection, [view.version.collection], after_seconds=0)
        corpora.remove(connection, world.name)
    assert world.index.alias_target(alias_of(world.name)) == view.version.collection
    upkeep.reconcile(parts)
    assert not world.index.exists(view.version.collection)
    assert world.index.alias_target(alias_of(world.name)) is None


def test_nothing_is_dropped_that_an_alias_of_somebody_else_points_to(
    world: World, parts: Parts, tiny: ModelVersion
) -> None:
    orphan = stray(world, own(world, "orphan"))
    retired = world.build(tiny)
    aliases = {f"theirs_{world.name}_a": orphan, f"theirs_{world.name}_b": retired.version.collection}
    for alias, collection in aliases.items():
        world.index.point_alias(alias, collection)
    retire(world, retired)
    garbage.note_orphans(world.database, world.index, after_seconds=0)
    upkeep.reconcile(parts)
    for alias, collection in aliases.items():
        assert world.index.alias_target(alias) == collection
        world.index.drop_alias(alias)
    upkeep.reconcile(parts)
    for collection in aliases.values():
        assert not world.index.exists(collection)


def test_retired_version_stays_until_no_replica_holds_it(
    world: World, parts: Parts, tiny: ModelVersion
) -> None:
    first = world.serve(tiny)
    held = first.version.index_version_id
    with world.database.write() as connection:
        corpora.set_policy(connection, world.name, Policy(chunking=CHUNKING, rollback_window_seconds=0))
        promotions.hold(connection, "r-1", world.name, serving=None, prepared=held, lease_seconds=300)
        promotions.hold(connection, "r-2", world.name, serving=held, prepared=None, lease_seconds=300)
        # Silent for so long that the promotion goes on without them; their leases run.
        connection.execute(update(replicas_table).values(seen_at=0))
    world.serve(tiny)
    upkeep.reconcile(parts)
    assert world.version(held).state is IndexState.RETIRED
    with world.database.write() as connection:
        long_ago = now() - timedelta(days=7)
        index_versions.set_fields(connection, held, retired_at=long_ago)
    for replica in ("r-1", "r-2"):
        upkeep.reconcile(parts)
        assert world.index.exists(first.version.collection)
        with world.database.write() as connection:
            promotions.leave(connection, replica)
    upkeep.reconcile(parts)
    assert not world.index.exists(first.version.collection)


def retire(world: World, view: View) -> None:
    with world.database.write() as connection:
        reembed.retire(connection, view.version.index_version_id)
