"""The Celery app: its settings and its tasks. The one place where a worker process chooses its adapters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module

from celery import Celery
from sqlalchemy import Connection

from embedloop import applier, jobs, queue, reembed
from embedloop.catalog import garbage, index_versions
from embedloop.errors import EmbedloopError, WorkerStopping
from embedloop.jobs import Lease, Outcome
from embedloop.queue import deliver
from embedloop.records.jobs import Job, JobState
from embedloop.records.versions import IndexState
from embedloop.settings import Settings
from workers import embed_shard as shard_task
from workers import heartbeat, stopping, upkeep
from workers.parts import Parts

log = logging.getLogger(__name__)

StageBody = Callable[[Parts, Job, Lease], Outcome]
# By name, so that a worker that never trains never loads torch.
STAGE_BODIES: Mapping[str, str] = {
    "collect": "workers.collect",
    "train": "workers.train",
    "gate": "workers.gate",
    "evaluate": "workers.evaluate",
    "headroom": "workers.headroom",
    "index_trial": "workers.index_trial",
    "bridge": "workers.bridge",
    "compress": "workers.compress",
    "train_reranker": "workers.train_reranker",
    "gate_reranker": "workers.gate_reranker",
    "prepare": "workers.reembed",
    "build": "workers.reembed",
    "embed": "workers.reembed",
    "verify": "workers.reembed",
    "difference": "workers.difference",
    "promote": "workers.promote",
}

settings = Settings()
app = Celery("embedloop", broker=settings.broker_url)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=False,
    task_default_queue="default",
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    # torch or gRPC in a forked child hangs: the pool is spawned.
    worker_pool="prefork",
    worker_pool_start_method="spawn",
    worker_concurrency=1,
    worker_soft_shutdown_timeout=20,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 3600, "socket_timeout": 10, "socket_connect_timeout": 5},
    beat_schedule={
        "reap": {
            "task": queue.REAP,
            "schedule": settings.beat_seconds,
            # Not behind the stages of the default queue: one of them may be what has to be found dead.
            "options": {"queue": "apply", "expires": 5 * settings.beat_seconds},
        },
        "check-triggers": {
            "task": queue.CHECK_TRIGGERS,
            "schedule": settings.beat_seconds,
            "options": {"queue": "default", "expires": 5 * settings.beat_seconds},
        },
        "reconcile": {
            "task": queue.RECONCILE,
            "schedule": 10 * settings.beat_seconds,
            "options": {"queue": "default", "expires": 20 * settings.beat_seconds},
        },
        "settle-removals": {
            "task": queue.SETTLE_REMOVALS,
            "schedule": 10 * settings.beat_seconds,
            "options": {"queue": "default", "expires": 20 * settings.beat_seconds},
        },
        "sweep": {
            "task": queue.SWEEP,
            "schedule": settings.sweep_seconds,
            "options": {"queue": "default", "expires": settings.sweep_seconds},
        },
    },
    beat_scheduler="workers.beat:LeasedScheduler",
    # The lease is renewed at every turn, also when nothing is due.
    beat_max_loop_interval=settings.beat_seconds,
)
heartbeat.install(app, settings.heartbeat_file)
stopping.install(app)


@cache
def parts() -> Parts:
    """This process' adapters, made at its first task and so after the spawn."""
    return Parts(settings)


@app.task(name=queue.RUN_STAGE)
def run_stage(job_id: str, stage: str) -> None:
    """One stage of a job, wherever the job is."""
    own = parts()
    letters = jobs.run_stage(
        own.database,
        job_id,
        stage,
        lambda job, lease: _body(stage)(own, job, lease),
        lease_seconds=settings.job_lease_seconds,
        on_failure=_retire_unfinished,
        is_stopping=stopping.is_stopping,
    )
    deliver(own.database, own.queue, letters)


@app.task(name=queue.EMBED_SHARD, acks_late=True)
def embed_shard(shard_id: int) -> None:
    """One shard of a re-embed."""
    shard_task.embed_shard(parts(), shard_id)


@app.task(name=queue.APPLY_CHANGES)
def apply_changes(index_version_id: str) -> None:
    """Follows the change log for one index version to where it ends now; a longer log gets another turn."""
    own = parts()
    own.queue.take_wake_up(index_version_id)
    with own.database.read() as connection:
        version = index_versions.get(connection, index_version_id)
    try:
        view = own.view(version, check=_check_stopping)
        rows = applier.apply_changes(view, lease_seconds=settings.job_lease_seconds)
        if rows is not None and applier.lags(view):
            # At the end of the queue: no other version waits until writers pause.
            own.queue.wake_applier(index_version_id)
    except EmbedloopError as error:
        # The cursor stands where it stood: the reaper sees the lag and wakes the applier again.
        log.warning("index version %s lags: %s", index_version_id, error)


@app.task(name=queue.REAP)
def reap() -> None:
    upkeep.reap(parts())


@app.task(name=queue.CHECK_TRIGGERS)
def check_triggers() -> None:
    upkeep.check_triggers(parts())


@app.task(name=queue.RECONCILE)
def reconcile() -> None:
    upkeep.reconcile(parts())


@app.task(name=queue.SETTLE_REMOVALS)
def settle_removals() -> None:
    upkeep.settle_removals(parts())


@app.task(name=queue.SWEEP)
def sweep() -> None:
    upkeep.sweep(parts())


def _check_stopping() -> None:
    if stopping.is_stopping():
        raise WorkerStopping("the worker ends; another one follows the log")


def _body(stage: str) -> StageBody:
    body: StageBody = getattr(import_module(STAGE_BODIES[stage]), stage)
    return body


def _retire_unfinished(connection: Connection, job: Job) -> None:
    """A failed or cancelled job leaves no building version behind, a cancelled one no ready one either.

    What a failed job had ready may still be promoted by hand. A scratch collection that is still there is
    dropped by the next reconciliation.
    """
    if scratch := job.checkpoint.get("scratch"):
        garbage.doom(connection, [scratch], after_seconds=0)
    if not job.kind.exclusive:
        return
    given_up = job.checkpoint.get("index_version") if job.state is JobState.CANCELLED else None
    for version in index_versions.of_corpus(connection, job.corpus):
        ready = version.state is IndexState.READY and version.index_version_id == given_up
        if ready or version.state is IndexState.BUILDING:
            reembed.retire(connection, version.index_version_id)
