"""Real Celery workers on one re-embed: they share it, and one that is told to end hands its shard back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import redis

from embedloop.records.jobs import JobState
from embedloop.records.versions import ModelVersion
from tests.integration.bench import Bench
from tests.patience import PATIENCE_SECONDS, eventually
from tests.servers import Server

ROOT = Path(__file__).parents[2]
SHARDS = 24
# Its id sorts first, it fills a shard by itself, and its passages make a hundred batches.
HUGE, HUGE_TEXT = "a-huge", "fever " * 45_000

StartWorker = Callable[..., Server]


@pytest.fixture
def start_worker(bench: Bench, valkey_server: Server, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts a worker of the queue `embed`, by the name of its log."""
    settings = bench.parts.settings
    named = ("database_url", "milvus_uri", "broker_url", "model_store", "embed_threads", "data_dir")
    environment = {f"EMBEDLOOP_{name.upper()}": str(getattr(settings, name)) for name in named}
    started: list[Server] = []
    with redis.Redis(port=valkey_server.port, db=3) as broker:
        broker.flushdb()

    def start(name: str, more: Mapping[str, str] | None = None) -> Server:
        log = tmp_path / f"{name}.log"
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]
        command = ["-m", "celery", "-A", "workers.app", "worker", "-Q", "embed", "-n", f"{name}@%h", *quiet]
        worker = Server(
            [sys.executable, *command],
            0,
            log,
            environment={"PYTHONPATH": str(ROOT), **environment, **(more or {})},
            folder=ROOT,
            is_ready=lambda: f"{name}@" in (told := log.read_text()) and " ready." in told,
        )
        worker.start()
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.kill()


def embedded_by(worker: Server) -> int:
    return worker.log.read_text().count("] succeeded in ")


def held_shards(bench: Bench, job_id: str) -> list[int]:
    return [row.shard_id for row in bench.shards(job_id) if row.lease_until > 0]


def shards_are_done(bench: Bench, job_id: str) -> bool:
    return all(row.state == "done" for row in bench.shards(job_id))


def test_two_workers_share_a_re_embed_and_embed_each_shard_once(
    bench: Bench, tiny: ModelVersion, start_worker: StartWorker
) -> None:
    bench.world.put({f"d{n:03}": "fever cough " * 2000 for n in range(2 * SHARDS)})
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "embed")
    both = [start_worker("first"), start_worker("second")]
    bench.run(job_id)
    eventually(lambda: len(held_shards(bench, job_id)) == 2, "both to be at work at once, each on one shard")
    eventually(lambda: shards_are_done(bench, job_id), "every shard to be done")
    rows = bench.shards(job_id)
    assert len(rows) >= SHARDS
    assert {row.attempts for row in rows} == {1}
    eventually(lambda: sum(map(embedded_by, both)) == len(rows), "the logs to tell of every shard")
    assert min(map(embedded_by, both)) >= 1
    assert bench.finish(job_id).state is JobState.SUCCEEDED


# Production sends SIGTERM to workers that take it for SIGQUIT.
@pytest.mark.parametrize("environment", [{}, {"REMAP_SIGTERM": "SIGQUIT"}], ids=["sigterm", "remapped"])
def test_a_worker_that_gets_sigterm_hands_its_shard_back_at_once_and_another_ends_the_job(
    bench: Bench,
    tiny: ModelVersion,
    start_worker: StartWorker,
    valkey_server: Server,
    environment: Mapping[str, str],
) -> None:
    bench.world.put({HUGE: HUGE_TEXT})
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "embed")
    worker = start_worker("first", environment)
    bench.run(job_id)
    eventually(lambda: bench.shards(job_id)[0].attempts == 1, "the worker to claim the huge shard")
    assert worker.process is not None
    worker.process.terminate()
    # Its lease has most of a minute to run, and the job's next look is this test's to make.
    eventually(lambda: bench.shards(job_id)[0].attempts == 0, "the shard to be handed back")
    shard = bench.shards(job_id)[0]
    assert (shard.state, shard.lease_until, shard.sent_at) == ("queued", 0, 0)
    # Celery calls an end by SIGQUIT a failure.
    assert worker.process.wait(timeout=PATIENCE_SECONDS) == 0 or environment, worker.log.read_text()[-3000:]
    with redis.Redis(port=valkey_server.port, db=3) as broker:
        assert broker.llen("default") >= 1, "the stage that sends shards is woken"

    bench.world.put({HUGE: "not so huge any more"})
    start_worker("second")
    bench.run(job_id)
    eventually(lambda: shards_are_done(bench, job_id), "another worker to embed the rest")
    assert bench.finish(job_id).state is JobState.SUCCEEDED
