"""Jobs and their outbox in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, case, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from embedloop.catalog.database import clock, now
from embedloop.catalog.dialect import not_held
from embedloop.catalog.tables import jobs, outbox
from embedloop.errors import Conflict, LeaseLost, NotFound
from embedloop.records.jobs import MEASURING, Job, JobKind, JobState

ACTIVE = (JobState.QUEUED.value, JobState.RUNNING.value)
UNENDED = tuple(state.value for state in JobState if not state.ended)


@dataclass(frozen=True, slots=True)
class Letter:
    """A task name and its arguments, written in the transaction that needs it sent."""

    outbox_id: int
    task: str
    args: Sequence[Any]


def add(
    connection: Connection,
    *,
    job_id: str,
    kind: JobKind,
    corpus: str,
    stage: str,
    params: Mapping[str, Any],
    idempotency_key: str | None,
) -> None:
    """Raises Conflict, naming the job that runs, when the corpus has one that excludes this one."""
    running = active(connection, corpus) if kind.exclusive else None
    if running is not None:
        raise _excluded_by(running)
    statement = insert(jobs).values(
        job_id=job_id,
        kind=kind.value,
        corpus=corpus,
        state=JobState.QUEUED.value,
        stage=stage,
        progress=0.0,
        params=dict(params),
        checkpoint={},
        cancel_requested=False,
        attempts=0,
        idempotency_key=idempotency_key,
        created_at=now(),
        updated_at=now(),
    )
    try:
        # A savepoint, so that after the refusal the winner can still be read and named.
        with connection.begin_nested():
            connection.execute(statement)
    except IntegrityError as error:
        winner = active(connection, corpus) if kind.exclusive else None
        if winner is None:
            raise Conflict(
                f"another job of corpus {corpus!r} was submitted just now; repeat it", field="corpus"
            ) from error
        raise _excluded_by(winner) from error


_ADVICE = {
    JobState.PAUSED: "resume or cancel it",
    JobState.AWAITING_APPROVAL: "approve, reject or cancel it",
}


def _excluded_by(job: Job) -> Conflict:
    advice = _ADVICE.get(job.state, "wait for it or cancel it")
    return Conflict(
        f"job {job.job_id} ({job.kind.value}, {job.state.value}) is at work on corpus {job.corpus!r}; {advice}",
        field="corpus",
    )


def active(connection: Connection, corpus: str) -> Job | None:
    """The job that excludes others on this corpus: any that has not ended and does not only measure."""
    statement = select(jobs).where(
        jobs.c.corpus == corpus,
        jobs.c.state.in_(UNENDED),
        jobs.c.kind.not_in([kind.value for kind in MEASURING]),
    )
    row = connection.execute(statement).mappings().first()
    return None if row is None else _job(row)


def get(connection: Connection, job_id: str, *, lock: bool = False) -> Job:
    """A job; with `lock` nobody changes it until the transaction ends. Raises NotFound."""
    statement = select(jobs).where(jobs.c.job_id == job_id)
    row = connection.execute(statement.with_for_update() if lock else statement).mappings().first()
    if row is None:
        raise NotFound(f"there is no job {job_id!r}", field="job_id")
    return _job(row)


def by_idempotency_key(connection: Connection, key: str) -> Job | None:
    row = connection.execute(select(jobs).where(jobs.c.idempotency_key == key)).mappings().first()
    return None if row is None else _job(row)


def find(
    connection: Connection,
    *,
    corpora: Sequence[str] | None = None,
    state: JobState | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[Job]:
    """Jobs, the newest first; `before` is the last id of the page before (ids grow with time)."""
    statement = select(jobs).order_by(jobs.c.job_id.desc()).limit(limit)
    if corpora is not None:
        statement = statement.where(jobs.c.corpus.in_(corpora))
    if state is not None:
        statement = statement.where(jobs.c.state == state.value)
    if before is not None:
        statement = statement.where(jobs.c.job_id < before)
    return [_job(row) for row in connection.execute(statement).mappings()]


def claim(connection: Connection, job_id: str, stage: str, lease_seconds: float) -> tuple[Job, int] | None:
    """Takes the job's lease for one stage; None when it ended, moved on, or another worker is at it.

    A row that another transaction is changing is waited for, not passed over: it may be a mere nudge, and the
    letter that brought the caller here does not come twice.
    """
    statement = (
        update(jobs)
        .where(
            jobs.c.job_id == job_id,
            jobs.c.stage == stage,
            jobs.c.state.in_(ACTIVE),
            jobs.c.lease_until < clock(),
        )
        .values(
            state=JobState.RUNNING.value,
            attempts=jobs.c.attempts + 1,
            lease_token=jobs.c.lease_token + 1,
            lease_until=clock() + lease_seconds,
            updated_at=now(),
        )
        .returning(*jobs.c)
    )
    row = connection.execute(statement).mappings().first()
    return None if row is None else (_job(row), int(row["lease_token"]))


def change(connection: Connection, job_id: str, token: int, **values: Any) -> None:
    """Writes to a job under its lease. Raises LeaseLost when the lease is another's or the job ended."""
    statement = (
        update(jobs)
        .where(jobs.c.job_id == job_id, jobs.c.lease_token == token, jobs.c.state.in_(UNENDED))
        .values(updated_at=now(), **values)
    )
    if connection.execute(statement).rowcount != 1:
        raise LeaseLost(f"another worker holds job {job_id}")


def settle(
    connection: Connection,
    job_id: str,
    state: JobState,
    *,
    checkpoint: Mapping[str, Any],
    result: Mapping[str, Any] | None,
) -> None:
    """Writes what a person decided about a job that waits for it; nobody holds a lease on it."""
    values = {"state": state.value, "checkpoint": dict(checkpoint), "updated_at": now()}
    ended = {"progress": 1.0} if state.ended else {}
    statement = update(jobs).where(jobs.c.job_id == job_id, jobs.c.state == JobState.AWAITING_APPROVAL.value)
    connection.execute(statement.values(**values, **ended, result=None if result is None else dict(result)))


def order(connection: Connection, job_id: str, state: JobState, *, cancel: bool = False) -> None:
    """Writes what somebody asked of a job that has not ended; `cancel` is never taken back."""
    values: dict[str, Any] = {"state": state.value, "updated_at": now()}
    if state is JobState.QUEUED:
        # Its worker may not even have noticed a pause that is over already.
        held = jobs.c.lease_until > clock()
        values["state"] = case((held, JobState.RUNNING.value), else_=JobState.QUEUED.value)
    if cancel:
        values["cancel_requested"] = True
    connection.execute(update(jobs).where(jobs.c.job_id == job_id, jobs.c.state.in_(UNENDED)).values(**values))


def set_progress(connection: Connection, job_id: str, stage: str, progress: float) -> None:
    """Progress told by shards, which hold no lease on the job; told late, it does not go back."""
    connection.execute(
        update(jobs)
        .where(
            jobs.c.job_id == job_id,
            jobs.c.stage == stage,
            jobs.c.state.in_(UNENDED),
            jobs.c.progress < progress,
        )
        .values(progress=progress, updated_at=now())
    )


def nudge(connection: Connection, every_seconds: float) -> list[tuple[str, str]]:
    """Active jobs that nobody holds, as (id, stage), each at most once in `every_seconds`.

    Their stage is to be sent again: its worker died, the broker lost it, or it waits for its shards.
    """
    idle = not_held(
        jobs.c.job_id,
        jobs.c.state.in_(ACTIVE),
        jobs.c.lease_until < clock(),
        jobs.c.nudged_at < clock() - every_seconds,
    )
    statement = (
        update(jobs)
        .where(jobs.c.job_id.in_(idle))
        .values(nudged_at=clock())
        .returning(jobs.c.job_id, jobs.c.stage)
    )
    return [(row.job_id, row.stage) for row in connection.execute(statement)]


def post(connection: Connection, task: str, *args: Any) -> Letter:
    """Writes a letter into the outbox of this transaction."""
    result = connection.execute(insert(outbox).values(task=task, args=list(args), taken_at=clock()))
    return Letter(int(result.inserted_primary_key[0]), task, args)  # type: ignore[index]


def take_unsent(connection: Connection, older_than_seconds: float, limit: int = 500) -> list[Letter]:
    """Letters that whoever took them last should have sent by now: first the process that wrote them.

    They are the caller's to send from now on; if it does not, they are taken again.
    """
    late = not_held(outbox.c.outbox_id, outbox.c.taken_at < clock() - older_than_seconds, limit=limit)
    statement = (
        update(outbox)
        .where(outbox.c.outbox_id.in_(late))
        .values(taken_at=clock())
        .returning(outbox.c.outbox_id, outbox.c.task, outbox.c.args)
    )
    taken = [Letter(row.outbox_id, row.task, row.args) for row in connection.execute(statement)]
    return sorted(taken, key=lambda letter: letter.outbox_id)


def mark_sent(connection: Connection, outbox_ids: Sequence[int]) -> None:
    connection.execute(delete(outbox).where(outbox.c.outbox_id.in_(outbox_ids)))


def _job(row: RowMapping) -> Job:
    return Job(
        job_id=row["job_id"],
        kind=JobKind(row["kind"]),
        corpus=row["corpus"],
        state=JobState(row["state"]),
        stage=row["stage"],
        progress=row["progress"],
        params=row["params"],
        checkpoint=row["checkpoint"],
        error=row["error"],
        result=row["result"],
        cancel_requested=row["cancel_requested"],
        attempts=row["attempts"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
