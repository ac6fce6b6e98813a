"""Replicas that are slow, away, or cut off while a promotion runs: each answers wholly from one version."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from embedloop import promotion, serving
from embedloop.applier import View
from embedloop.catalog import corpora, promotions
from embedloop.catalog.database import Database
from embedloop.catalog.tables import replicas as replicas_table
from embedloop.encoder import Encoder
from embedloop.errors import NotReady, PromotionRefused, Unavailable
from embedloop.policy import Policy
from embedloop.records.versions import IndexState, ModelVersion
from embedloop.serving import EncoderCache, Replica
from tests.integration.conftest import CHUNKING, TEXTS, World, preparing
from tests.patience import eventually
from workers import upkeep
from workers.parts import Parts

LEASE_SECONDS = 3.0


def identity(view: View) -> str:
    return view.version.index_version_id


@dataclass
class SlowCache(EncoderCache):
    """Encoders from a store that takes its time with one model."""

    slow_model: str = ""
    asked: threading.Event = field(default_factory=threading.Event)
    delivered: threading.Event = field(default_factory=threading.Event)

    def get(self, model: ModelVersion) -> Encoder:
        if model.model_id == self.slow_model:
            self.asked.set()
            assert self.delivered.wait(60)
        return super().get(model)


@pytest.fixture
def quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that is silent for a second counts as away."""
    monkeypatch.setattr(promotion, "HEARD_WITHIN_SECONDS", 1.0)
    monkeypatch.setattr(serving, "HEARTBEAT_SECONDS", 0.2)


@pytest.fixture
def slow(world: World, other_tiny: ModelVersion) -> Iterator[SlowCache]:
    cache = SlowCache(world.store, threads=1, batch_size=32, slow_model=other_tiny.model_id)
    yield cache
    cache.delivered.set()


def slow_replica(world: World, cache: SlowCache) -> Replica:
    replica = world.replica("r-slow", start=False)
    replica._encoders = cache
    replica.start()
    world.replicas.append(replica)
    return replica


@pytest.mark.usefixtures("quick_heartbeats")
def test_promotion_waits_for_a_replica_that_loads_for_longer_than_it_may_be_silent(
    world: World, slow: SlowCache, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    first = world.serve(tiny)
    replica = slow_replica(world, slow)
    second = world.build(other_tiny)
    world.pass_gate(other_tiny)
    promoted = threading.Thread(target=world.promote, args=(second, 60))
    promoted.start()
    assert slow.asked.wait(30)
    beats = [seen_at(world)]
    eventually(lambda: later(beats, seen_at(world)) >= 10, "the replica's heart beats on")
    assert preparing(world) == identity(second)
    assert replica.serving(world.name).version.index_version_id == identity(first)
    slow.delivered.set()
    promoted.join(60)
    assert world.corpus().serving == identity(second)
    assert replica.serving(world.name).version.index_version_id == identity(second)


@pytest.mark.usefixtures("quick_heartbeats")
def test_promotion_is_called_off_when_a_replica_loads_for_too_long(
    world: World, slow: SlowCache, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    first = world.serve(tiny)
    replica = slow_replica(world, slow)
    second = world.build(other_tiny)
    world.pass_gate(other_tiny)
    with pytest.raises(PromotionRefused, match=r"r-slow.*not ready"):
        world.promote(second, timeout_seconds=3)
    assert slow.asked.is_set()
    assert world.corpus().serving == identity(first)
    assert replica.serving(world.name).version.index_version_id == identity(first)
    assert replica.fault is None


def test_slow_load_of_one_corpus_delays_no_other(
    world: World, slow: SlowCache, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    world.serve(tiny)
    other = World(f"{world.name}-x", world.database, world.index, world.store, world.folder)
    with world.database.write() as connection:
        corpora.add(connection, other.name, Policy(chunking=CHUNKING))
    other.put(TEXTS)
    other.serve(tiny)
    replica = slow_replica(world, slow)
    second = world.build(other_tiny)
    world.pass_gate(other_tiny)
    promoted = threading.Thread(target=world.promote, args=(second, 60))
    promoted.start()
    assert slow.asked.wait(30)
    newer = other.serve(tiny)
    assert replica.serving(other.name).version.index_version_id == identity(newer)
    assert preparing(world) == identity(second)
    slow.delivered.set()
    promoted.join(60)
    other.close()


def test_replica_cut_off_from_the_catalog_answers_by_the_old_version_until_its_lease_ends(
    world: World,
    parts: Parts,
    tiny: ModelVersion,
    other_tiny: ModelVersion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(promotion, "HEARD_WITHIN_SECONDS", 0.5)
    monkeypatch.setattr(upkeep, "LONGEST_REQUEST_SECONDS", -parts.settings.replica_lease_seconds)
    with world.database.write() as connection:
        corpora.set_policy(connection, world.name, Policy(chunking=CHUNKING, rollback_window_seconds=0))
    first = world.serve(tiny)
    second = world.build(other_tiny)
    world.pass_gate(other_tiny)
    # It has no broker at all: what it learns, it learns by polling the catalog.
    near = world.replica("r-near")
    cut_off = world.replica("r-cut-off", start=False, lease_seconds=LEASE_SECONDS)
    cut_off.start()
    cut_off._database = Database(f"sqlite:///{tmp_path / 'gone' / 'catalog.db'}")
    eventually(lambda: cut_off.fault is not None, "the replica tells that it is cut off")

    world.promote(second)

    assert near.serving(world.name).version.index_version_id == identity(second)
    answers = 0
    while holds(world, "r-cut-off"):
        answers += answered_by(world, cut_off, first)
        upkeep.reconcile(parts)
        kept = world.index.exists(first.version.collection)
        assert kept or not holds(world, "r-cut-off")
    assert answers > 0
    eventually(lambda: refuses(cut_off, world.name), "its lease ends")
    eventually(lambda: not holds(world, "r-cut-off"), "its lease ends in the catalog")
    upkeep.reconcile(parts)
    assert world.version(identity(first)).state is IndexState.RETIRED
    assert not world.index.exists(first.version.collection)
    # Back again, it serves the new version without a restart.
    cut_off._database.dispose()
    cut_off._database = world.database
    eventually(lambda: not refuses(cut_off, world.name), "it is back")
    # Not for a moment by the old one, whose collection is gone.
    assert cut_off.serving(world.name).version.index_version_id == identity(second)
    assert cut_off.fault is None
    cut_off.stop()


def seen_at(world: World) -> float:
    with world.database.read() as connection:
        return float(connection.execute(select(replicas_table.c.seen_at)).scalar_one())


def later(beats: list[float], beat: float) -> int:
    """How many different heartbeats were seen."""
    if beat != beats[-1]:
        beats.append(beat)
    return len(beats)


def holds(world: World, replica_id: str) -> bool:
    with world.database.read() as connection:
        return replica_id in {r.replica_id for r in promotions.holders(connection, world.name)}


def answered_by(world: World, replica: Replica, view: View) -> bool:
    """Whether it answered, which must be wholly by this version; not, when its lease has ended."""
    try:
        found = replica.serving(world.name)
    except Unavailable:
        return False
    assert found.version.index_version_id == identity(view)
    vectors = found.encoder.encode_queries(["nose"])
    return len(world.index.search(view.version.collection, vectors, 3, settings=view.version.index)[0]) == 3


def refuses(replica: Replica, corpus: str) -> bool:
    try:
        replica.serving(corpus)
    except (NotReady, Unavailable):
        return True
    return False
