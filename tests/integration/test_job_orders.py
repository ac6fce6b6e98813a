"""Pause, resume, cancel and the stop of a worker in the middle of a shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis

from embedloop import jobs
from embedloop.applier import apply_changes
from embedloop.catalog import shards as shard_rows
from embedloop.encoder import Encoder, Vectors, go_on
from embedloop.errors import Conflict, WorkerStopping
from embedloop.orders import Order
from embedloop.records.jobs import JobState
from embedloop.records.versions import IndexState, ModelVersion
from embedloop.reembed import MAX_SHARD_ATTEMPTS
from tests.integration.bench import Bench
from tests.integration.conftest import LEASE, TEXTS, World
from tests.patience import eventually
from tests.servers import Server
from workers import embed_shard as shard_task
from workers import reembed as reembed_stages

# Its id sorts first and it fills a shard by itself, of far more passages than a batch.
HUGE = "a-huge"
HUGE_TEXT = "fever " * 12_000


@dataclass
class WatchedEncoder:
    """The real encoder; `between` is called after its first batch."""

    real: Encoder
    between: Callable[[], None]
    batches: int = 0

    @property
    def dimension(self) -> int:
        return self.real.dimension

    @property
    def max_tokens(self) -> int:
        return self.real.max_tokens

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self.real.encode_queries(texts)

    def encode_passages(self, texts: Sequence[str], *, check: Callable[[], None] = go_on) -> Vectors:
        def counted() -> None:
            if self.batches == 1:
                self.between()
            check()
            self.batches += 1

        return self.real.encode_passages(texts, check=counted)


@dataclass
class MidShard:
    """A re-embed whose first shard, of one huge document, is told something after its first batch."""

    bench: Bench
    job_id: str
    monkeypatch: pytest.MonkeyPatch

    def run(self, between: Callable[[], None]) -> int:
        """Runs the shard; returns how many batches were encoded."""
        cache = self.bench.parts.encoders
        seen: list[WatchedEncoder] = []
        real = cache.get

        def watched(model: ModelVersion) -> WatchedEncoder:
            seen.append(WatchedEncoder(real(model), between))
            return seen[-1]

        with self.monkeypatch.context() as patched:
            patched.setattr(cache, "get", watched)
            shard_task.embed_shard(self.bench.parts, self.first())
        return sum(encoder.batches for encoder in seen)

    def first(self) -> int:
        return int(self.bench.shards(self.job_id)[0].shard_id)

    def order(self, order: Order) -> Callable[[], None]:
        """Gives the order and returns once the worker's lease has looked again, as it does each second."""

        def give() -> None:
            looks: list[None] = []
            renew = shard_rows.renew

            def counted(*arguments: Any) -> None:
                renew(*arguments)
                looks.append(None)

            with self.monkeypatch.context() as patched:
                self.bench.give(self.job_id, order)
                patched.setattr(shard_rows, "renew", counted)
                # The first of two may have begun before the order.
                eventually(lambda: len(looks) >= 2, "the lease to look again")

        return give


@pytest.fixture
def mid_shard(bench: Bench, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> MidShard:
    bench.world.put({HUGE: HUGE_TEXT})
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "embed")
    bench.run(job_id)
    return MidShard(bench, job_id, monkeypatch)


def only_version(bench: Bench) -> IndexState:
    (version,) = bench.versions()
    return version.state


def test_a_cancel_in_the_middle_of_a_shard_stops_it_within_a_batch_and_leaves_no_building_version(
    mid_shard: MidShard,
) -> None:
    bench = mid_shard.bench
    assert mid_shard.run(mid_shard.order(Order.CANCEL)) == 1
    assert bench.run(mid_shard.job_id).state is JobState.CANCELLED
    assert only_version(bench) is IndexState.RETIRED
    assert mid_shard.run(mid_shard.order(Order.CANCEL)) == 0


def test_a_pause_in_the_middle_of_a_shard_stops_it_within_a_batch_and_resume_ends_the_job(
    mid_shard: MidShard,
) -> None:
    bench, job_id = mid_shard.bench, mid_shard.job_id
    for _ in range(MAX_SHARD_ATTEMPTS + 1):
        assert mid_shard.run(mid_shard.order(Order.PAUSE)) == 1
        shard = bench.shards(job_id)[0]
        assert (shard.state, shard.lease_until, shard.sent_at, shard.attempts) == ("queued", 0, 0, 0)
        bench.embed_shards(job_id)
        assert {row.attempts for row in bench.shards(job_id)} == {0}, "no shard is embedded while the job rests"
        assert bench.run(job_id).state is JobState.PAUSED
        assert only_version(bench) is IndexState.BUILDING
        bench.give(job_id, Order.RESUME)
        bench.run(job_id)
    job = bench.finish(job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    version = bench.world.version(job.checkpoint["index_version"])
    assert bench.world.documents(bench.world.view(version)) == {*TEXTS, HUGE}


def test_shards_that_were_done_before_a_pause_are_not_embedded_again(mid_shard: MidShard) -> None:
    bench, job_id = mid_shard.bench, mid_shard.job_id
    done = bench.shards(job_id)[1]
    shard_task.embed_shard(bench.parts, done.shard_id)
    mid_shard.run(mid_shard.order(Order.PAUSE))
    bench.give(job_id, Order.RESUME)
    bench.finish(job_id)
    by_id = {row.shard_id: row for row in bench.shards(job_id)}
    assert by_id[done.shard_id].attempts == 1
    assert {row.state for row in by_id.values()} == {"done"}


def test_a_worker_that_is_told_to_end_hands_its_shard_back_and_has_it_sent(
    mid_shard: MidShard, valkey_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, job_id = mid_shard.bench, mid_shard.job_id
    with redis.Redis(port=valkey_server.port, db=3) as broker:
        broker.delete("default", "embed")
        told: list[bool] = []
        monkeypatch.setattr(shard_task, "is_stopping", lambda: bool(told))
        assert mid_shard.run(lambda: told.append(True)) == 1
        shard = bench.shards(job_id)[0]
        assert (shard.state, shard.lease_until, shard.sent_at, shard.attempts) == ("queued", 0, 0, 0)
        assert broker.llen("default") == 1, "the stage that sends shards is woken"
        bench.run(job_id)
        assert broker.llen("embed") == 1
    told.clear()
    assert bench.finish(job_id).state is JobState.SUCCEEDED


def test_a_paused_re_embed_keeps_other_jobs_off_and_is_named(bench: Bench, tiny: ModelVersion) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "embed")
    bench.give(job_id, Order.PAUSE)
    with pytest.raises(Conflict, match=rf"{job_id} \(reindex, paused\)"):
        bench.submit(model_version=tiny.model_id)


def test_a_cancelled_pause_leaves_no_building_version(bench: Bench, tiny: ModelVersion) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "embed")
    bench.give(job_id, Order.PAUSE)
    bench.give(job_id, Order.CANCEL)
    assert bench.run(job_id).state is JobState.CANCELLED
    assert only_version(bench) is IndexState.RETIRED
    bench.submit(model_version=tiny.model_id)


@pytest.mark.parametrize("order", [Order.PAUSE, Order.CANCEL])
def test_a_verification_under_way_hears_of_an_order(
    bench: Bench, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch, order: Order
) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "verify")
    sweep = reembed_stages.reembed.sweep

    def sweep_after_the_order(view: Any) -> int:
        bench.give(job_id, order)
        eventually(lambda: raises(view.check), "the lease to hear of the order")
        return sweep(view)

    with monkeypatch.context() as patched:
        patched.setattr(reembed_stages.reembed, "sweep", sweep_after_the_order)
        job = bench.run(job_id)
    if order is Order.CANCEL:
        assert (job.state, only_version(bench)) == (JobState.CANCELLED, IndexState.RETIRED)
        return
    assert (job.state, job.stage, job.attempts) == (JobState.PAUSED, "verify", 0)
    bench.give(job_id, Order.RESUME)
    assert bench.finish(job_id).state is JobState.SUCCEEDED


def raises(check: Callable[[], None]) -> bool:
    try:
        check()
    except (jobs.JobCancelled, jobs.WorkInterrupted):
        return True
    return False


def test_an_applier_that_is_told_to_end_lets_go_and_the_next_one_goes_on(
    world: World, tiny: ModelVersion
) -> None:
    view = world.serve(tiny)
    world.put({"new": "fever", "nose": "changed"})

    def stop() -> None:
        raise WorkerStopping("the worker ends")

    with pytest.raises(WorkerStopping):
        apply_changes(replace(view, check=stop), lease_seconds=LEASE)
    assert "new" not in world.documents(view)
    assert world.failures(view) == {}
    assert world.apply(view) == 2
