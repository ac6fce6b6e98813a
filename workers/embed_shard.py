"""The shard task: embeds one shard of a re-embed under its lease, or hands it back."""

from __future__ import annotations

import logging
from dataclasses import replace

from embedloop import reembed
from embedloop.catalog import index_versions, jobs, shards
from embedloop.errors import EmbedloopError, JobCancelled, LeaseLost, WorkerStopping, WorkInterrupted, is_outage
from embedloop.jobs import OUTAGE_SECONDS, overall_progress
from embedloop.leases import LOOK_SECONDS, Renewal
from embedloop.orders import obey
from embedloop.queue import RUN_STAGE
from embedloop.records.jobs import Job, JobState
from embedloop.records.versions import IndexState, Shard
from workers.parts import Parts
from workers.stopping import is_stopping

log = logging.getLogger(__name__)

# Doubled with each attempt.
SHARD_RETRY_SECONDS = 5.0


class ShardLease(Renewal):
    """A shard's lease while it is embedded: how its worker learns that it must stop."""

    def __init__(self, parts: Parts, shard: Shard, job: Job):
        super().__init__(self._look, every_seconds=min(_lease_seconds(parts) / 3, LOOK_SECONDS))
        self._parts = parts
        self._shard = shard
        self._job = job

    def check(self) -> None:
        """Raises when the work must stop; cheap enough for every batch.

        Raises:
            LeaseLost: another worker has the shard.
            JobCancelled: nobody wants it any more.
            WorkInterrupted: the job is paused, or this worker was told to end.
        """
        super().check()
        obey(self._job)
        if is_stopping():
            raise WorkerStopping(f"the worker ends; another one goes on with shard {self._shard.shard_id}")

    def _look(self) -> None:
        with self._parts.database.write() as connection:
            shards.renew(connection, self._shard, _lease_seconds(self._parts))
            self._job = jobs.get(connection, self._job.job_id)


def embed_shard(parts: Parts, shard_id: int) -> None:
    """Embeds one shard under its lease; the last one to end lets the job go on."""
    with parts.database.write() as connection:
        shard = shards.claim(connection, shard_id, _lease_seconds(parts))
    if shard is None:
        return
    if shard.attempts > reembed.MAX_SHARD_ATTEMPTS:
        with parts.database.write() as connection:
            error = f"given up after {reembed.MAX_SHARD_ATTEMPTS} attempts that never ended"
            shards.give_back(connection, shard, error, failed=True)
        return
    with parts.database.read() as connection:
        version = index_versions.get(connection, shard.index_version_id)
        job = jobs.get(connection, shard.job_id)
    if version.state is not IndexState.BUILDING:
        log.info("shard %s is not wanted any more", shard_id)
        return
    try:
        with ShardLease(parts, shard, job) as lease:
            lease.check()
            view = replace(parts.view(version, check=lease.check), source=parts.source(version))
            rows = reembed.embed_shard(view, shard)
        with parts.database.write() as connection:
            shards.finish(connection, shard, rows)
    except LeaseLost:
        log.warning("shard %s went to another worker", shard_id)
        return
    except (WorkInterrupted, JobCancelled) as error:
        _hand_back(parts, shard, error)
        return
    except EmbedloopError as error:
        _give_back(parts, shard, error)
    _tell(parts, job, shard)


def _lease_seconds(parts: Parts) -> float:
    """Twice a job's, because encoding may hold the thread that renews."""
    return 2 * parts.settings.job_lease_seconds


def _hand_back(parts: Parts, shard: Shard, error: EmbedloopError) -> None:
    """Makes the shard the next one to be sent, and has it sent if the job goes on."""
    log.info("shard %s is handed back: %s", shard.shard_id, error)
    with parts.database.write() as connection:
        try:
            shards.hand_back(connection, shard)
        except LeaseLost:
            log.warning("shard %s went to another worker", shard.shard_id)
            return
        paused = jobs.get(connection, shard.job_id).state is JobState.PAUSED
    if not paused:
        parts.queue.wake(RUN_STAGE, shard.job_id, "embed")


def _give_back(parts: Parts, shard: Shard, error: EmbedloopError) -> None:
    log.warning("shard %s attempt %s: %s", shard.shard_id, shard.attempts, error)
    if is_outage(error):
        with parts.database.write() as connection:
            shards.wait(connection, shard, f"{error.code}: {error.message}", OUTAGE_SECONDS)
        return
    failed = not error.retryable or shard.attempts >= reembed.MAX_SHARD_ATTEMPTS
    with parts.database.write() as connection:
        shards.give_back(
            connection,
            shard,
            f"{error.code}: {error.message}",
            failed=failed,
            retry_seconds=SHARD_RETRY_SECONDS * 2 ** (shard.attempts - 1),
        )


def _tell(parts: Parts, job: Job, shard: Shard) -> None:
    with parts.database.write() as connection:
        counts = shards.counts(connection, shard.index_version_id)
        fraction = counts.done / counts.total
        jobs.set_progress(connection, job.job_id, "embed", overall_progress(job.kind, "embed", fraction))
    if counts.done + counts.failed == counts.total:
        parts.queue.wake(RUN_STAGE, job.job_id, "embed")
