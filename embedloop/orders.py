"""What people may ask of a job, as a table, and how its workers learn of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy import Connection

from embedloop.catalog import jobs
from embedloop.catalog.jobs import Letter
from embedloop.errors import Conflict, JobCancelled, JobPaused
from embedloop.queue import RUN_STAGE
from embedloop.records.jobs import Job, JobState


class Order(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


# (state, order) -> state. What is not here is refused; a cancelled job is ended by its next stage, which cleans
# up, so that one which rests must be woken for it.
AFTER: Mapping[tuple[JobState, Order], JobState] = {
    (JobState.QUEUED, Order.PAUSE): JobState.PAUSED,
    (JobState.RUNNING, Order.PAUSE): JobState.PAUSED,
    (JobState.PAUSED, Order.PAUSE): JobState.PAUSED,
    (JobState.QUEUED, Order.RESUME): JobState.QUEUED,
    (JobState.RUNNING, Order.RESUME): JobState.RUNNING,
    (JobState.PAUSED, Order.RESUME): JobState.QUEUED,
    (JobState.QUEUED, Order.CANCEL): JobState.QUEUED,
    (JobState.RUNNING, Order.CANCEL): JobState.RUNNING,
    (JobState.PAUSED, Order.CANCEL): JobState.QUEUED,
    (JobState.AWAITING_APPROVAL, Order.CANCEL): JobState.QUEUED,
} | {(state, Order.CANCEL): state for state in JobState if state.ended}


def give(connection: Connection, job_id: str, order: Order) -> tuple[Job, list[Letter]]:
    """Writes an order in the caller's transaction; a job that stands so already, or has been cancelled, stays.

    Returns:
        The job as it is now, and the letters to deliver after the commit.

    Raises:
        NotFound: there is no such job.
        Conflict: the job has ended, is being cancelled, or waits for approval: it can be neither paused nor
            resumed.
    """
    job = jobs.get(connection, job_id, lock=True)
    after = AFTER.get((job.state, order))
    if after is None or (job.cancel_requested and order is not Order.CANCEL):
        state = "being cancelled" if job.cancel_requested and not job.state.ended else job.state.value
        raise Conflict(f"job {job_id} is {state}: there is nothing to {order.value}", field="job_id")
    if job.state.ended or (after is job.state and order is not Order.CANCEL):
        return job, []
    jobs.order(connection, job_id, after, cancel=order is Order.CANCEL)
    letters = [] if order is Order.PAUSE else [jobs.post(connection, RUN_STAGE, job_id, job.stage)]
    return jobs.get(connection, job_id), letters


def obey(job: Job) -> None:
    """Raises JobCancelled or JobPaused when whoever works for this job must stop."""
    if job.cancel_requested or job.state.ended:
        raise JobCancelled(f"job {job.job_id} was cancelled")
    if job.state is JobState.PAUSED:
        raise JobPaused(f"job {job.job_id} is paused")
