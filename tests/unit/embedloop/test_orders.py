"""Pause, resume and cancel: the whole table, and what they do to work under way."""

from __future__ import annotations

import threading

import pytest

from embedloop.catalog import jobs as catalog
from embedloop.errors import Conflict, InvalidInput, NotFound
from embedloop.jobs import MAX_STAGE_ATTEMPTS, Advance, AwaitApproval, End, Lease, Outcome
from embedloop.orders import AFTER, Order
from embedloop.queue import RUN_STAGE
from embedloop.records.jobs import Job, JobKind, JobState
from tests.unit.embedloop.job_machine import LEASE, Machine, told


def in_state(machine: Machine, state: JobState) -> str:
    """A job that came into this state by itself."""
    job, _ = machine.submit()
    match state:
        case JobState.QUEUED:
            pass
        case JobState.RUNNING:
            machine.run(job.job_id, lambda *_: Advance())
        case JobState.PAUSED:
            machine.give(job.job_id, Order.PAUSE)
        case JobState.AWAITING_APPROVAL:
            machine.run(job.job_id, lambda *_: AwaitApproval())
        case JobState.CANCELLED:
            machine.cancel(job.job_id)
            machine.run(job.job_id, lambda *_: Advance())
        case JobState.FAILED:
            machine.run(job.job_id, broken)
        case ended:
            machine.run(job.job_id, lambda *_: End(ended, {}))
    assert machine.get(job.job_id).state is state
    return job.job_id


def broken(*_: object) -> Outcome:
    raise InvalidInput("bad")


def until_told(lease: Lease) -> Outcome:
    """A body that works until its lease tells it to stop."""
    for _ in range(3000):
        lease.check()
        threading.Event().wait(0.02)
    raise AssertionError("the lease never told of the order")


def never(*_: object) -> Outcome:
    raise AssertionError("this stage must not begin")


@pytest.mark.parametrize("state", list(JobState))
@pytest.mark.parametrize("order", list(Order))
def test_an_order_moves_a_job_as_the_table_says_or_is_refused(
    machine: Machine, state: JobState, order: Order
) -> None:
    job_id = in_state(machine, state)
    before = machine.get(job_id)
    after = AFTER.get((state, order))
    if after is None:
        with pytest.raises(Conflict, match=rf"{job_id} is {state.value}: there is nothing to {order.value}"):
            machine.give(job_id, order)
        assert machine.get(job_id) == before
        return
    job, _ = machine.give(job_id, order)
    assert job.state is after
    assert job.cancel_requested is ((order is Order.CANCEL and not state.ended) or before.cancel_requested)
    assert (job.stage, job.checkpoint, job.progress) == (before.stage, before.checkpoint, before.progress)


def test_an_order_for_no_job_is_told(machine: Machine) -> None:
    with pytest.raises(NotFound, match="j-none"):
        machine.give("j-none", Order.PAUSE)


@pytest.mark.parametrize("order", [Order.PAUSE, Order.RESUME])
def test_a_job_that_is_being_cancelled_is_neither_paused_nor_resumed(machine: Machine, order: Order) -> None:
    job, _ = machine.submit()
    machine.cancel(job.job_id)
    with pytest.raises(Conflict, match="being cancelled"):
        machine.give(job.job_id, order)


def test_a_paused_job_takes_no_lease_and_is_not_nudged_until_it_is_resumed(machine: Machine) -> None:
    job, _ = machine.submit()
    machine.run(job.job_id, lambda *_: Advance({"model": "m-1"}))
    machine.give(job.job_id, Order.PAUSE)
    assert machine.run(job.job_id, never) == []
    with machine.database.write() as connection:
        assert catalog.nudge(connection, -1) == []
    resumed, letters = machine.give(job.job_id, Order.RESUME)
    assert (resumed.state, resumed.checkpoint) == (JobState.QUEUED, {"model": "m-1"})
    assert told(letters) == [(RUN_STAGE, job.job_id, "build")]
    machine.run(job.job_id, lambda *_: Advance())
    assert machine.get(job.job_id).stage == "embed"


def test_a_pause_reaches_a_stage_under_way_which_uses_up_no_attempt(machine: Machine) -> None:
    job, _ = machine.submit()

    def body(job: Job, lease: Lease) -> Outcome:
        machine.give(job.job_id, Order.PAUSE)
        return until_told(lease)

    for _ in range(MAX_STAGE_ATTEMPTS + 1):
        assert machine.run(job.job_id, body) == []
        rests = machine.get(job.job_id)
        assert (rests.state, rests.attempts, rests.error) == (JobState.PAUSED, 0, None)
        _, letters = machine.give(job.job_id, Order.RESUME)
        assert told(letters) == [(RUN_STAGE, job.job_id, "prepare")]
    assert machine.cleaned == []
    assert len(machine.run(job.job_id, lambda *_: Advance())) == 1


def test_what_a_stage_ended_with_before_it_heard_of_the_pause_is_kept(machine: Machine) -> None:
    job, _ = machine.submit()

    def body(job: Job, _: Lease) -> Outcome:
        machine.give(job.job_id, Order.PAUSE)
        return Advance({"model": "m-1"})

    machine.run(job.job_id, body)
    rests = machine.get(job.job_id)
    assert (rests.state, rests.stage, rests.checkpoint) == (JobState.PAUSED, "build", {"model": "m-1"})
    assert machine.run(job.job_id, never) == []
    machine.give(job.job_id, Order.RESUME)
    assert len(machine.run(job.job_id, lambda *_: Advance())) == 1


def test_a_job_that_ends_before_it_hears_of_the_pause_has_ended(machine: Machine) -> None:
    job, _ = machine.submit()

    def body(job: Job, _: Lease) -> Outcome:
        machine.give(job.job_id, Order.PAUSE)
        return End(JobState.SUCCEEDED, {"done": True})

    machine.run(job.job_id, body)
    assert machine.get(job.job_id).state is JobState.SUCCEEDED
    machine.submit()


def test_a_pause_that_is_over_before_its_worker_noticed_starts_no_second_worker(machine: Machine) -> None:
    job, _ = machine.submit()
    states: list[JobState] = []

    def body(job: Job, lease: Lease) -> Outcome:
        machine.give(job.job_id, Order.PAUSE)
        resumed, letters = machine.give(job.job_id, Order.RESUME)
        states.append(resumed.state)
        assert len(letters) == 1
        assert machine.run(job.job_id, never) == []
        lease.progress(0.5)
        return Advance()

    machine.run(job.job_id, body)
    assert states == [JobState.RUNNING]
    assert machine.get(job.job_id).stage == "build"


def test_a_job_resumed_while_its_worker_still_stops_is_sent_again_by_that_worker(machine: Machine) -> None:
    job, _ = machine.submit()

    def body(job: Job, lease: Lease) -> Outcome:
        machine.give(job.job_id, Order.PAUSE)
        try:
            return until_told(lease)
        finally:
            machine.give(job.job_id, Order.RESUME)
            assert machine.run(job.job_id, never) == [], "its letter comes while the lease is held"

    assert told(machine.run(job.job_id, body)) == [(RUN_STAGE, job.job_id, "prepare")]
    assert len(machine.run(job.job_id, lambda *_: Advance())) == 1


def test_a_paused_job_that_is_cancelled_ends_and_cleans_up(machine: Machine) -> None:
    job, _ = machine.submit()
    machine.give(job.job_id, Order.PAUSE)
    _, letters = machine.cancel(job.job_id)
    assert told(letters) == [(RUN_STAGE, job.job_id, "prepare")]
    machine.run(job.job_id, never)
    assert machine.get(job.job_id).state is JobState.CANCELLED
    assert machine.cleaned == [job.job_id]


def test_a_paused_job_keeps_others_off_its_corpus_and_is_named_with_its_state(machine: Machine) -> None:
    job, _ = machine.submit(JobKind.FINETUNE)
    machine.give(job.job_id, Order.PAUSE)
    with pytest.raises(Conflict, match=rf"job {job.job_id} \(finetune, paused\).*; resume or cancel it"):
        machine.submit(JobKind.CYCLE)
    machine.submit(JobKind.EVALUATE)
    machine.submit(JobKind.CYCLE, corpus="other")


def test_a_worker_that_ends_hands_its_stage_to_the_next_at_once(machine: Machine) -> None:
    job, _ = machine.submit()
    stopping = threading.Event()

    def body(_: Job, lease: Lease) -> Outcome:
        stopping.set()
        return until_told(lease)

    for _ in range(MAX_STAGE_ATTEMPTS + 1):
        stopping.clear()
        letters = machine.run(job.job_id, body, is_stopping=stopping.is_set)
        assert told(letters) == [(RUN_STAGE, job.job_id, "prepare")]
    assert machine.get(job.job_id).attempts == 0
    assert machine.cleaned == []
    assert len(machine.run(job.job_id, lambda *_: Advance())) == 1


@pytest.mark.parametrize("order", [Order.PAUSE, Order.CANCEL])
def test_a_worker_that_was_overtaken_does_not_stop_the_job_of_the_next(machine: Machine, order: Order) -> None:
    job, _ = machine.submit()

    def next_worker(job: Job, lease: Lease) -> Outcome:
        return Advance({"theirs": True})

    def overtaken(job: Job, lease: Lease) -> Outcome:
        machine.expire(job.job_id)
        machine.run(job.job_id, next_worker)
        machine.give(job.job_id, order)
        return until_told(lease)

    assert machine.run(job.job_id, overtaken) == []
    after = machine.get(job.job_id)
    assert (after.stage, after.checkpoint) == ("build", {"theirs": True})
    assert not after.state.ended
    assert machine.cleaned == []


def test_of_a_pause_and_a_claim_at_once_neither_is_lost(machine: Machine) -> None:
    for _ in range(5):
        job, _ = machine.submit()
        together = threading.Barrier(2)

        def pause(job_id: str = job.job_id, together: threading.Barrier = together) -> None:
            together.wait(30)
            machine.give(job_id, Order.PAUSE)

        other = threading.Thread(target=pause)
        other.start()
        together.wait(30)
        with machine.database.write() as connection:
            claimed = catalog.claim(connection, job.job_id, "prepare", LEASE)
        other.join(60)
        assert machine.get(job.job_id).state is JobState.PAUSED
        if claimed is not None:
            with machine.database.write() as connection:
                catalog.change(connection, job.job_id, claimed[1], lease_until=0)
        machine.cancel(job.job_id)
        machine.run(job.job_id, never)
