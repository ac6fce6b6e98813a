"""A rollback is one call and keeps every write made since the promotion; so does going forwards again."""

from __future__ import annotations

from embedloop.applier import View
from embedloop.records.versions import IndexState, ModelVersion
from tests.integration.conftest import TEXTS, World
from workers import upkeep
from workers.parts import Parts


def test_rollback_and_promotion_forwards_keep_every_write_in_between(
    world: World, parts: Parts, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    old, new = world.serve(tiny), world.serve(other_tiny)
    replica = world.replica()
    expected = set(TEXTS)
    for turn, (target, standby) in enumerate([(old, new), (new, old), (old, new)]):
        world.put({f"since-{turn}": "fever", "nose": f"red eye {turn}"})
        gone = sorted(expected - {"nose"})[0]
        world.delete(gone)
        expected = expected - {gone} | {f"since-{turn}"}
        for view in (old, new):
            world.apply(view)
        assert world.rollback().serving == identity(target)
        assert replica.serving(world.name).version.index_version_id == identity(target)
        assert world.version(identity(standby)).state is IndexState.STANDBY
        assert world.documents(target) == expected
        assert world.ask(target, f"red eye {turn}", limit=10)
        assert texts(world, target)["nose"] == f"red eye {turn}"
        # The way back stays open.
        upkeep.reconcile(parts)
        assert world.index.exists(standby.version.collection)


def identity(view: View) -> str:
    return view.version.index_version_id


def texts(world: World, view: View) -> dict[str, str]:
    return {hit.passage.document_id: hit.passage.text for hit in world.ask(view, "nose", limit=50)}
