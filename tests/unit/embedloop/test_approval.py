"""A person's word on a promotion, and what becomes of a job that waits for it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from embedloop.approval import decide
from embedloop.catalog import corpora, index_versions, models
from embedloop.catalog import jobs as catalog
from embedloop.catalog.database import now
from embedloop.catalog.jobs import Letter
from embedloop.catalog.tables import approvals
from embedloop.errors import Conflict, NotFound
from embedloop.jobs import Advance, AwaitApproval, Lease, Outcome
from embedloop.orders import Order
from embedloop.policy import Chunking, IndexSettings
from embedloop.queue import RUN_STAGE
from embedloop.records.jobs import Job, JobState
from embedloop.records.versions import IndexState, IndexVersion, ModelVersion
from tests.unit.embedloop.job_machine import CORPUS, Machine, told

CANDIDATE = "iv-new"


@pytest.fixture
def waiting(machine: Machine) -> str:
    """A job whose candidate is ready and waits for approval."""
    with machine.database.write() as connection:
        models.add(
            connection, ModelVersion("m-1", "base", None, None, None, 32, 64, "", "", "onnx", {}, {}, now())
        )
        version = IndexVersion(
            index_version_id=CANDIDATE,
            corpus=CORPUS,
            model_id="m-1",
            collection="c_new",
            state=IndexState.READY,
            chunking=Chunking(),
            index=IndexSettings(),
            head=0,
            applied_seq=0,
            backfilled=True,
            verification={"passed": True},
            served_at=None,
            retired_at=None,
            created_at=now(),
        )
        index_versions.add(connection, version)
    job, _ = machine.submit()
    for _ in range(4):
        machine.run(job.job_id, lambda *_: Advance({"index_version": CANDIDATE}))
    assert machine.get(job.job_id).stage == "difference"
    machine.run(job.job_id, lambda *_: AwaitApproval({"difference": {"critical": 2}}))
    return job.job_id


def say(
    machine: Machine, job_id: str, approved: bool, reason: str | None = "because"
) -> tuple[Job, list[Letter]]:
    with machine.database.write() as connection:
        return decide(connection, job_id, approved=approved, actor="k-7", reason=reason)


def kept(machine: Machine) -> list[Any]:
    with machine.database.read() as connection:
        return list(connection.execute(select(approvals)))


def candidate(machine: Machine) -> IndexState:
    with machine.database.read() as connection:
        return index_versions.get(connection, CANDIDATE).state


def never(*_: object) -> Outcome:
    raise AssertionError("this stage must not begin")


def test_a_job_that_waits_holds_no_lease_is_not_woken_and_keeps_others_off(
    machine: Machine, waiting: str
) -> None:
    job = machine.get(waiting)
    assert (job.state, job.stage, job.attempts) == (JobState.AWAITING_APPROVAL, "promote", 0)
    assert job.result == {"index_version": CANDIDATE, "difference": {"critical": 2}, "promoted": False}
    assert machine.run(waiting, never) == []
    with machine.database.write() as connection:
        assert catalog.nudge(connection, -1) == []
    with pytest.raises(Conflict, match=r"awaiting_approval.*approve, reject or cancel it"):
        machine.submit()


def test_an_approved_job_goes_on_to_promote_and_tells_by_whom(machine: Machine, waiting: str) -> None:
    job, letters = say(machine, waiting, True)
    assert told(letters) == [(RUN_STAGE, waiting, "promote")]
    assert (job.state, job.result) == (JobState.QUEUED, None)
    machine.run(waiting, lambda *_: Advance({"promoted": True}))
    ended = machine.get(waiting)
    assert ended.state is JobState.SUCCEEDED
    assert ended.result is not None
    assert (ended.result["promoted"], ended.result["approval"]["by"]) == (True, "k-7")
    (row,) = kept(machine)
    assert (row.job_id, row.index_version_id, row.approved, row.actor) == (waiting, CANDIDATE, True, "k-7")


def test_a_rejected_job_ends_and_its_candidate_can_never_serve(machine: Machine, waiting: str) -> None:
    job, letters = say(machine, waiting, False, "worse about leases")
    assert (job.state, letters, candidate(machine)) == (JobState.REJECTED, [], IndexState.RETIRED)
    assert job.result is not None
    assert job.result["promoted"] is False
    assert job.result["approval"]["reason"] == "worse about leases"
    assert [(row.approved, row.reason) for row in kept(machine)] == [(False, "worse about leases")]
    machine.submit()


@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_a_decision_is_given_once(machine: Machine, waiting: str, first: bool, second: bool) -> None:
    say(machine, waiting, first)
    before = machine.get(waiting)
    with pytest.raises(Conflict, match="there is nothing to"):
        say(machine, waiting, second)
    assert machine.get(waiting) == before
    assert len(kept(machine)) == 1


def test_a_decision_outlives_its_corpus(machine: Machine, waiting: str) -> None:
    say(machine, waiting, False)
    with machine.database.write() as connection:
        corpora.remove(connection, CORPUS)
    assert len(kept(machine)) == 1


def test_a_candidate_that_was_promoted_by_hand_is_not_rejected(machine: Machine, waiting: str) -> None:
    with machine.database.write() as connection:
        corpora.set_serving(connection, CORPUS, CANDIDATE, None)
    with pytest.raises(Conflict, match="serves already"):
        say(machine, waiting, False)
    assert (machine.get(waiting).state, kept(machine)) == (JobState.AWAITING_APPROVAL, [])


def test_a_cancel_ends_a_job_that_waits_and_no_decision_comes_after_it(machine: Machine, waiting: str) -> None:
    _, letters = machine.give(waiting, Order.CANCEL)
    assert told(letters) == [(RUN_STAGE, waiting, "promote")]
    with pytest.raises(Conflict):
        say(machine, waiting, True)
    machine.run(waiting, never)
    assert machine.get(waiting).state is JobState.CANCELLED


def test_a_cancel_that_the_stage_did_not_hear_of_is_not_left_waiting(machine: Machine) -> None:
    job, _ = machine.submit()

    def cancelled_meanwhile(job: Job, lease: Lease) -> Outcome:
        machine.cancel(job.job_id)
        return AwaitApproval()

    letters = machine.run(job.job_id, cancelled_meanwhile)
    assert told(letters) == [(RUN_STAGE, job.job_id, "build")]
    machine.run(job.job_id, never)
    assert machine.get(job.job_id).state is JobState.CANCELLED


@pytest.mark.parametrize("approved", [True, False])
def test_a_job_that_asks_for_nothing_is_refused(machine: Machine, approved: bool) -> None:
    job, _ = machine.submit()
    with pytest.raises(Conflict, match=f"{job.job_id} is queued"):
        say(machine, job.job_id, approved)
    with pytest.raises(NotFound):
        say(machine, "j-none", approved)
