"""A person's word on a promotion: asked for by policy, given once, kept for ever."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, insert

from embedloop import reembed
from embedloop.catalog import corpora, jobs
from embedloop.catalog.database import now
from embedloop.catalog.jobs import Letter
from embedloop.catalog.tables import approvals
from embedloop.errors import Conflict
from embedloop.policy import Policy
from embedloop.queue import RUN_STAGE
from embedloop.records.gate import HELD_OUT, Gate
from embedloop.records.jobs import Job, JobState


def needs_person(policy: Policy, gate: Gate | None) -> bool:
    """Whether a person must decide on a promotion: the policy says so, or the evidence is weak.

    >>> needs_person(Policy(require_approval=True), None), needs_person(Policy(), None)
    (True, False)
    """
    return policy.require_approval or (gate is not None and gate.metrics.get("evidence") == HELD_OUT)


def decide(
    connection: Connection, job_id: str, *, approved: bool, actor: str, reason: str | None
) -> tuple[Job, list[Letter]]:
    """Lets a job that waits go on to promote, or ends it and retires what it built.

    Args:
        connection: The caller's transaction.
        job_id: The job.
        approved: The decision.
        actor: Who decides, for the record.
        reason: Why, for the record.

    Returns:
        The job as it is now, and the letters to deliver after the commit.

    Raises:
        NotFound: There is no such job.
        Conflict: The job waits for no decision, or its candidate was promoted by hand and serves.
    """
    job = jobs.get(connection, job_id, lock=True)
    verb = "approve" if approved else "reject"
    if job.state is not JobState.AWAITING_APPROVAL or job.cancel_requested:
        state = "being cancelled" if job.cancel_requested and not job.state.ended else job.state.value
        raise Conflict(f"job {job_id} is {state}: there is nothing to {verb}", field="job_id")
    candidate = job.checkpoint["index_version"]
    if not approved and corpora.get(connection, job.corpus, lock=True).serving == candidate:
        raise Conflict(f"index version {candidate} serves already; roll it back instead", field="job_id")
    told = {"approved": approved, "by": actor, "reason": reason, "at": now().isoformat()}
    _keep(connection, job, candidate, approved, actor, reason)
    settled = {**job.checkpoint, "approval": told}
    if approved:
        jobs.settle(connection, job_id, JobState.QUEUED, checkpoint=settled, result=None)
        letters = [jobs.post(connection, RUN_STAGE, job_id, job.stage)]
        return jobs.get(connection, job_id), letters
    reembed.retire(connection, candidate)
    result = {**settled, "promoted": False}
    jobs.settle(connection, job_id, JobState.REJECTED, checkpoint=settled, result=result)
    return jobs.get(connection, job_id), []


def _keep(
    connection: Connection, job: Job, candidate: Any, approved: bool, actor: str, reason: str | None
) -> None:
    connection.execute(
        insert(approvals).values(
            approval_id=f"a-{uuid.uuid4().hex[:20]}",
            job_id=job.job_id,
            corpus=job.corpus,
            index_version_id=candidate,
            approved=approved,
            actor=actor,
            reason=reason,
            created_at=now(),
        )
    )
