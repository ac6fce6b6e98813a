"""A replica's serving: one frozen value, whatever swaps, failures and outages happen around it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from embedloop.catalog import corpora, index_versions, promotions
from embedloop.catalog.database import Database
from embedloop.errors import (
    CollectionNotFound,
    NotFound,
    NotReady,
    PromotionRefused,
    Unavailable,
)
from embedloop.policy import Boost, IndexSettings
from embedloop.promotion import alias_of
from embedloop.records.versions import IndexState, ModelVersion
from embedloop.serving import Replica, Serving
from tests.integration.conftest import World, preparing
from tests.patience import PATIENCE_SECONDS, eventually


def test_a_corpus_without_a_version_is_not_ready(world: World) -> None:
    replica = world.replica()
    with pytest.raises(NotReady, match="being built") as refusal:
        replica.serving(world.name)
    assert refusal.value.retryable
    assert refusal.value.field == "corpus"


def test_an_unknown_corpus_is_named(world: World) -> None:
    with pytest.raises(NotFound, match="no-such"):
        world.replica().serving("no-such")


def test_a_corpus_that_is_new_since_the_last_look_is_found_at_once(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    replica = world.replica(start=False)
    replica.refresh()
    with world.database.write() as connection:
        corpora.add(connection, f"{world.name}-new", world.corpus().policy)
    with pytest.raises(NotReady):
        replica.serving(f"{world.name}-new")
    assert replica.serving(world.name).version.index_version_id == view.version.index_version_id


def test_new_boosts_take_effect_without_a_new_load(world: World, tiny: ModelVersion) -> None:
    world.serve(tiny)
    replica = world.replica(start=False)
    replica.refresh()
    before = replica.serving(world.name)
    boosts = (Boost(field="lang", value="en", factor=2.0),)
    with world.database.write() as connection:
        corpora.set_policy(connection, world.name, world.corpus().policy.model_copy(update={"boosts": boosts}))
    replica.refresh()
    after = replica.serving(world.name)
    assert (before.boosts, after.boosts) == ((), boosts)
    assert after.encoder is before.encoder


def test_two_versions_of_one_model_share_their_encoder(world: World, tiny: ModelVersion) -> None:
    world.serve(tiny)
    replica = world.replica()
    before = replica.serving(world.name)
    world.serve(tiny)
    after = replica.serving(world.name)
    assert after.version != before.version
    assert after.encoder is before.encoder


def test_a_replica_that_cannot_load_the_new_keeps_answering_with_the_old(
    world: World, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    first = world.serve(tiny)
    replica = world.replica()
    second = world.build(other_tiny)
    world.pass_gate(other_tiny)
    world.index.drop(second.version.collection)
    with pytest.raises(PromotionRefused, match=r"r-1.*not ready"):
        world.promote(second, timeout_seconds=1)
    assert replica.serving(world.name).version.index_version_id == first.version.index_version_id
    with world.database.write() as connection:
        corpora.set_serving(connection, world.name, second.version.index_version_id, None)
    eventually(lambda: replica.fault is not None and world.name in replica.fault, "the replica tells its fault")
    serving = replica.serving(world.name)
    assert serving.version.index_version_id == first.version.index_version_id
    vectors = serving.encoder.encode_queries(["nose"])
    assert world.index.search(serving.version.collection, vectors, 3, settings=IndexSettings())[0]


def test_one_corpus_that_cannot_be_loaded_does_not_hold_up_the_others(world: World, tiny: ModelVersion) -> None:
    first = world.serve(tiny)
    other = World(
        f"{world.name}-x", world.database, world.index, world.store, world.folder, encoders=world.encoders
    )
    with world.database.write() as connection:
        corpora.add(connection, other.name, world.corpus().policy)
    other.put({"a": "fever", "b": "cough"})
    view = other.serve(tiny)
    world.index.drop_alias(alias_of(other.name))
    world.index.drop(view.version.collection)
    replica = world.replica()
    assert replica.serving(world.name).version.index_version_id == first.version.index_version_id
    assert replica.fault is not None
    with pytest.raises(Unavailable, match="cannot be served here"):
        replica.serving(other.name)
    other.close()


def test_a_replica_whose_lease_ended_while_the_catalog_was_away_stops_answering(
    world: World, tiny: ModelVersion
) -> None:
    world.serve(tiny)
    replica = world.replica(start=False, lease_seconds=0.05)
    replica.refresh()
    eventually(lambda: _refused(replica, world.name), "the lease ends")
    with pytest.raises(Unavailable, match="lost touch"):
        replica.serving(world.name)


def test_a_replica_goes_on_while_its_lease_lasts_though_the_catalog_is_away(
    world: World, tiny: ModelVersion, tmp_path: Path
) -> None:
    view = world.serve(tiny)
    replica = world.replica(start=False)
    replica.refresh()
    replica._database = Database(f"sqlite:///{tmp_path / 'gone' / 'catalog.db'}")
    with pytest.raises(Unavailable):
        replica.refresh()
    assert replica.serving(world.name).version.index_version_id == view.version.index_version_id


def test_stopping_gives_the_leases_back(world: World, tiny: ModelVersion) -> None:
    world.serve(tiny)
    replica = world.replica()
    with world.database.read() as connection:
        assert [r.replica_id for r in promotions.holders(connection, world.name)] == ["r-1"]
    replica.stop()
    with world.database.read() as connection:
        assert promotions.holders(connection, world.name) == []


def test_a_serving_is_frozen(world: World, tiny: ModelVersion) -> None:
    world.serve(tiny)
    replica = world.replica(start=False)
    replica.refresh()
    with pytest.raises(AttributeError):
        replica.serving(world.name).boosts = ()  # type: ignore[misc]


def test_every_serving_during_swaps_is_wholly_of_one_version(
    world: World, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    first = world.serve(tiny)
    second = world.build(other_tiny)
    world.pass_gate(other_tiny)
    replicas = [world.replica("r-1"), world.replica("r-2")]
    probe = "nose bleeding"
    expected = {
        view.version.index_version_id: (model.model_id, view.encoder.encode_queries([probe]))
        for view, model in ((first, tiny), (second, other_tiny))
    }
    stop = threading.Event()
    wrong: list[str] = []
    seen: set[str] = set()

    def check(serving: Serving) -> None:
        model_id, vector = expected[serving.version.index_version_id]
        if serving.model.model_id != model_id or serving.version.model_id != model_id:
            wrong.append(f"{serving.version.index_version_id} with the model {serving.model.model_id}")
        encoded = serving.encoder.encode_queries([probe])
        if encoded.shape != vector.shape or not np.allclose(encoded, vector, atol=1e-5):
            wrong.append(f"{serving.version.index_version_id} with the encoder of another model")
        hits = world.index.search(serving.version.collection, encoded, 3, settings=IndexSettings())[0]
        if len(hits) != 3:
            wrong.append(f"{serving.version.index_version_id} answered {len(hits)} hits")
        seen.add(serving.version.index_version_id)

    def hammer(position: int) -> None:
        while not stop.is_set():
            try:
                check(replicas[position % 2].serving(world.name))
            except BaseException as error:
                wrong.append(repr(error))
                return

    threads = [threading.Thread(target=hammer, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        for target in (second, first, second, first):
            corpus = world.promote(target)
            assert corpus.serving == target.version.index_version_id
            for replica in replicas:
                assert replica.serving(world.name).version.index_version_id == corpus.serving
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=PATIENCE_SECONDS)
    assert wrong == []
    assert seen == set(expected)


def test_a_dropped_collection_is_told_so_that_a_request_can_refresh(world: World, tiny: ModelVersion) -> None:
    first = world.serve(tiny)
    replica = world.replica()
    old = replica.serving(world.name)
    second = world.serve(tiny)
    world.index.drop(first.version.collection)
    vectors = old.encoder.encode_queries(["nose"])
    with pytest.raises(CollectionNotFound):
        world.index.search(old.version.collection, vectors, 3, settings=IndexSettings())
    replica.refresh()
    serving = replica.serving(world.name)
    assert serving.version.index_version_id == second.version.index_version_id
    assert world.index.search(serving.version.collection, vectors, 3, settings=IndexSettings())[0]


def test_a_candidate_is_dropped_from_the_replica_when_its_promotion_is_called_off(
    world: World, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    first = world.serve(tiny)
    replica = world.replica()
    second = world.build(other_tiny)
    world.pass_gate(other_tiny)
    with world.database.write() as connection:
        promotions.hold(connection, "r-slow", world.name, serving="iv-x", prepared=None, lease_seconds=300)
    with pytest.raises(PromotionRefused, match="r-slow"):
        world.promote(second, timeout_seconds=1.5)

    def holds() -> tuple[str | None, str | None]:
        with world.database.read() as connection:
            (own,) = [r for r in promotions.heard(connection, world.name, 60) if r.replica_id == "r-1"]
        return own.serving, own.prepared

    eventually(lambda: holds() == (first.version.index_version_id, None), "the replica lets the candidate go")
    assert replica.serving(world.name).version.index_version_id == first.version.index_version_id
    assert preparing(world) is None


def _refused(replica: Replica, name: str) -> bool:
    try:
        replica.serving(name)
    except Unavailable:
        return True
    return False


def test_the_state_of_a_version_says_who_serves(world: World, tiny: ModelVersion) -> None:
    world.serve(tiny)
    world.serve(tiny)
    with world.database.read() as connection:
        states = [v.state for v in index_versions.of_corpus(connection, world.name)]
    assert sorted(states) == [IndexState.SERVING, IndexState.STANDBY]
