"""The stages of a job: kinds and their stages as tables, leases, progress, retries.

A stage is one Celery task that carries only the job's id. It holds a lease with a fencing token; the reaper
sends the stage again when the lease has run out, so that a job survives kill -9 of any worker.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from embedloop.catalog import jobs
from embedloop.catalog.database import Database, clock
from embedloop.catalog.jobs import Letter
from embedloop.errors import (
    EmbedloopError,
    InvalidInput,
    JobCancelled,
    LeaseLost,
    WorkerStopping,
    WorkInterrupted,
    is_outage,
)
from embedloop.leases import LOOK_SECONDS, Renewal
from embedloop.orders import obey
from embedloop.queue import RUN_STAGE
from embedloop.records.jobs import Job, JobKind, JobState

log = logging.getLogger(__name__)

MAX_STAGE_ATTEMPTS = 5
RETRY_SECONDS = 5.0
# Between two looks whether a part that was away is back.
OUTAGE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of a job: its name, and how much of the job's progress it stands for."""

    name: str
    weight: float


_CYCLE = (
    Stage("collect", 0.03),
    Stage("train", 0.55),
    Stage("gate", 0.12),
    Stage("build", 0.01),
    Stage("embed", 0.24),
    Stage("verify", 0.03),
    Stage("difference", 0.01),
    Stage("promote", 0.01),
)

STAGES: Mapping[JobKind, tuple[Stage, ...]] = {
    JobKind.CYCLE: _CYCLE,
    JobKind.TRAIN_FROM_SCRATCH: _CYCLE,
    JobKind.FINETUNE: (Stage("collect", 0.05), Stage("train", 0.8), Stage("gate", 0.15)),
    JobKind.EVALUATE: (Stage("evaluate", 1.0),),
    JobKind.HEADROOM: (Stage("headroom", 1.0),),
    JobKind.INDEX_TRIAL: (Stage("index_trial", 1.0),),
    JobKind.BRIDGE: (
        Stage("bridge", 0.4),
        Stage("gate", 0.3),
        Stage("build", 0.02),
        Stage("embed", 0.18),
        Stage("verify", 0.06),
        Stage("difference", 0.02),
        Stage("promote", 0.02),
    ),
    JobKind.COMPRESS: (
        Stage("compress", 0.5),
        Stage("gate", 0.2),
        Stage("build", 0.02),
        Stage("embed", 0.2),
        Stage("verify", 0.04),
        Stage("difference", 0.02),
        Stage("promote", 0.02),
    ),
    JobKind.RERANKER: (Stage("collect", 0.05), Stage("train_reranker", 0.75), Stage("gate_reranker", 0.2)),
    JobKind.REINDEX: (
        Stage("prepare", 0.1),
        Stage("build", 0.02),
        Stage("embed", 0.78),
        Stage("verify", 0.06),
        Stage("difference", 0.02),
        Stage("promote", 0.02),
    ),
}


@dataclass(frozen=True, slots=True)
class Advance:
    """The stage is done; `checkpoint` is what later stages read."""

    checkpoint: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AwaitApproval:
    """The stage is done; the next one begins when a person approves. `checkpoint` is as in `Advance`."""

    checkpoint: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """The stage goes on elsewhere (shards): look again when something tells."""

    progress: float


@dataclass(frozen=True, slots=True)
class End:
    """The job ends here: succeeded, or rejected by the gate, with a result."""

    state: JobState
    result: Mapping[str, Any]


Outcome = Advance | AwaitApproval | Wait | End
Body = Callable[["Job", "Lease"], Outcome]
Cleanup = Callable[[Connection, Job], None]


def submit(
    connection: Connection,
    kind: JobKind,
    corpus: str,
    params: Mapping[str, Any],
    idempotency_key: str | None = None,
) -> tuple[Job, list[Letter]]:
    """Writes a job and its outbox row in the caller's transaction.

    Returns:
        The job and the letters to deliver after the commit; with an idempotency key seen before, the job
        that it made and no letter.

    Raises:
        Conflict: another job is at work on the corpus.
        InvalidInput: the idempotency key was used for a different request.
    """
    if idempotency_key is not None:
        known = jobs.by_idempotency_key(connection, idempotency_key)
        if known is not None:
            if (known.kind, known.corpus, dict(known.params)) != (kind, corpus, dict(params)):
                raise InvalidInput("this Idempotency-Key was used for a different job", field="Idempotency-Key")
            return known, []
    # Time first, so that ids sort by age.
    job_id = f"j-{uuid.uuid1().time:016x}{uuid.uuid4().hex[:8]}"
    first = STAGES[kind][0].name
    jobs.add(
        connection,
        job_id=job_id,
        kind=kind,
        corpus=corpus,
        stage=first,
        params=params,
        idempotency_key=idempotency_key,
    )
    return jobs.get(connection, job_id), [jobs.post(connection, RUN_STAGE, job_id, first)]


def run_stage(
    database: Database,
    job_id: str,
    stage: str,
    body: Body,
    *,
    lease_seconds: float,
    on_failure: Cleanup,
    is_stopping: Callable[[], bool] = lambda: False,
) -> list[Letter]:
    """Runs one stage under a lease and writes what came of it.

    Args:
        database: The catalog.
        job_id: The job.
        stage: The stage that the letter named; a job that has moved on ignores it.
        body: Does the work; told of a pause, of cancel and of a stop of this worker through `Lease.check`.
        lease_seconds: Renewed three times in that span while the body works.
        on_failure: Undoes what a failed or cancelled job left, in the transaction that ends it.
        is_stopping: Whether this worker was told to end.

    Returns:
        Letters to deliver: the next stage's, or this one's again when another worker is to go on.
    """
    with database.write() as connection:
        claimed = jobs.claim(connection, job_id, stage, lease_seconds)
    if claimed is None:
        return []
    job, token = claimed
    try:
        lease = Lease(database, job, token, lease_seconds, is_stopping)
        return _run_claimed(database, job, token, body, lease, on_failure)
    except LeaseLost:
        log.warning("job %s stage %s: the lease went to another worker", job_id, stage)
        return []


def _run_claimed(
    database: Database, job: Job, token: int, body: Body, lease: Lease, on_failure: Cleanup
) -> list[Letter]:
    """Raises LeaseLost when another worker took the job; whatever it writes is not this one's to undo."""
    try:
        with lease:
            lease.check()
            if job.attempts > MAX_STAGE_ATTEMPTS:
                raise InvalidInput(f"stage {job.stage!r} was given up after {MAX_STAGE_ATTEMPTS} attempts")
            outcome = body(job, lease)
        return _write_outcome(database, job, token, outcome)
    except LeaseLost:
        raise
    except WorkInterrupted as error:
        return _put_back(database, job, token, error)
    except EmbedloopError as error:
        if is_outage(error) or (error.retryable and job.attempts < MAX_STAGE_ATTEMPTS):
            return _retry_later(database, job, token, error)
        _end_badly(database, job, token, error, on_failure)
        return []
    except Exception as error:
        log.exception("job %s stage %s failed", job.job_id, job.stage)
        _end_badly(database, job, token, error, on_failure)
        return []


class Lease(Renewal):
    """A job's lease while a stage works: how the stage tells its progress and learns that it must stop."""

    def __init__(
        self,
        database: Database,
        job: Job,
        token: int,
        lease_seconds: float,
        is_stopping: Callable[[], bool] = lambda: False,
    ):
        super().__init__(self._look, every_seconds=min(lease_seconds / 3, LOOK_SECONDS))
        self._database = database
        self._job = job
        self._token = token
        self._lease_seconds = lease_seconds
        self._is_stopping = is_stopping

    def check(self) -> None:
        """Raises when the work must stop; cheap enough for every batch.

        Raises:
            LeaseLost: another worker has the job.
            JobCancelled: somebody cancelled it.
            WorkInterrupted: somebody paused it, or this worker was told to end.
        """
        super().check()
        obey(self._job)
        if self._is_stopping():
            raise WorkerStopping(f"the worker ends; another one goes on with job {self._job.job_id}")

    def progress(self, fraction: float) -> None:
        """Tells how far the stage is, 0..1; raises like `check`."""
        self.check()
        overall = overall_progress(self._job.kind, self._job.stage, fraction)
        with self._database.write() as connection:
            jobs.change(connection, self._job.job_id, self._token, progress=overall)

    def keep(self, checkpoint: Mapping[str, Any]) -> None:
        """Adds to the job's checkpoint what a later attempt at this stage goes on from; raises like `check`."""
        self.check()
        with self._database.write() as connection:
            merged = {**jobs.get(connection, self._job.job_id).checkpoint, **checkpoint}
            jobs.change(connection, self._job.job_id, self._token, checkpoint=merged)

    def _look(self) -> None:
        with self._database.write() as connection:
            jobs.change(connection, self._job.job_id, self._token, lease_until=clock() + self._lease_seconds)
            self._job = jobs.get(connection, self._job.job_id)


def overall_progress(kind: JobKind, stage: str, fraction: float) -> float:
    """Progress of the whole job, 0..1, from that of one stage.

    >>> overall_progress(JobKind.EVALUATE, "evaluate", 0.5)
    0.5
    """
    done = 0.0
    for entry in STAGES[kind]:
        if entry.name == stage:
            return round(done + entry.weight * min(1.0, max(0.0, fraction)), 4)
        done += entry.weight
    return 1.0


def next_stage(kind: JobKind, stage: str) -> str | None:
    """The stage after this one, None after the last."""
    names = [entry.name for entry in STAGES[kind]]
    position = names.index(stage) + 1
    return names[position] if position < len(names) else None


def _write_outcome(database: Database, job: Job, token: int, outcome: Outcome) -> list[Letter]:
    with database.write() as connection:
        match outcome:
            case Wait(progress):
                overall = overall_progress(job.kind, job.stage, progress)
                jobs.change(connection, job.job_id, token, lease_until=0, attempts=0, progress=overall)
                return []
            case End(state, result):
                jobs.change(connection, job.job_id, token, state=state.value, result=dict(result), progress=1.0)
                return []
            case AwaitApproval(checkpoint) if not jobs.get(connection, job.job_id, lock=True).cancel_requested:
                merged = {**job.checkpoint, **checkpoint}
                jobs.change(
                    connection,
                    job.job_id,
                    token,
                    state=JobState.AWAITING_APPROVAL.value,
                    stage=next_stage(job.kind, job.stage),
                    checkpoint=merged,
                    # Who decides sees by it what waits.
                    result={**merged, "promoted": False},
                    attempts=0,
                    lease_until=0,
                )
                return []
            case Advance(checkpoint) | AwaitApproval(checkpoint):
                following = next_stage(job.kind, job.stage)
                merged = {**job.checkpoint, **checkpoint}
                if following is None:
                    jobs.change(
                        connection,
                        job.job_id,
                        token,
                        state=JobState.SUCCEEDED.value,
                        checkpoint=merged,
                        result=merged,
                        progress=1.0,
                    )
                    return []
                jobs.change(
                    connection,
                    job.job_id,
                    token,
                    stage=following,
                    checkpoint=merged,
                    attempts=0,
                    lease_until=0,
                    progress=overall_progress(job.kind, following, 0.0),
                )
                return [jobs.post(connection, RUN_STAGE, job.job_id, following)]


def _retry_later(database: Database, job: Job, token: int, error: EmbedloopError) -> list[Letter]:
    """Leaves the job to the reaper, which sends the stage again when this short lease has run out.

    While a part is away no attempt is used up; of what else may pass, the pauses double (5, 10, 20, 40 s).
    """
    log.warning("job %s stage %s will be tried again: %s", job.job_id, job.stage, error)
    pause = OUTAGE_SECONDS if is_outage(error) else RETRY_SECONDS * 2 ** (job.attempts - 1)
    attempts = job.attempts - 1 if is_outage(error) else job.attempts
    until = clock() + max(error.retry_after_seconds or 0.0, pause)
    with database.write() as connection:
        jobs.change(connection, job.job_id, token, lease_until=until, attempts=attempts)
    return []


def _put_back(database: Database, job: Job, token: int, error: WorkInterrupted) -> list[Letter]:
    """Leaves the stage as it was before its claim: to the next worker, or paused until it is resumed."""
    log.info("job %s stage %s stops here: %s", job.job_id, job.stage, error)
    with database.write() as connection:
        jobs.change(connection, job.job_id, token, lease_until=0, attempts=job.attempts - 1)
        if jobs.get(connection, job.job_id).state is JobState.PAUSED:
            return []
        return [jobs.post(connection, RUN_STAGE, job.job_id, job.stage)]


def _end_badly(database: Database, job: Job, token: int, error: Exception, on_failure: Cleanup) -> None:
    state = JobState.CANCELLED if isinstance(error, JobCancelled) else JobState.FAILED
    told = {
        "code": error.code if isinstance(error, EmbedloopError) else "internal",
        "message": error.message if isinstance(error, EmbedloopError) else type(error).__name__,
        "field": error.field if isinstance(error, EmbedloopError) else None,
        "stage": job.stage,
    }
    with database.write() as connection:
        jobs.change(connection, job.job_id, token, state=state.value, error=told, lease_until=0)
        on_failure(connection, jobs.get(connection, job.job_id))
