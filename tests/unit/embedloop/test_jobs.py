"""The job state machine, run by plain calls on a SQLite catalog."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from embedloop.catalog import jobs as catalog
from embedloop.catalog.jobs import Letter
from embedloop.errors import Conflict, DeadlineExceeded, InvalidInput, JobCancelled, LeaseLost, Unavailable
from embedloop.jobs import (
    MAX_STAGE_ATTEMPTS,
    STAGES,
    Advance,
    End,
    Lease,
    Outcome,
    Wait,
    next_stage,
    overall_progress,
)
from embedloop.queue import RUN_STAGE
from embedloop.records.jobs import Job, JobKind, JobState
from tests.unit.embedloop.job_machine import Machine, told


def test_a_submitted_job_waits_in_its_first_stage_with_a_letter(machine: Machine) -> None:
    job, letters = machine.submit(JobKind.CYCLE)
    assert (job.state, job.stage) == (JobState.QUEUED, "collect")
    assert told(letters) == [(RUN_STAGE, job.job_id, "collect")]
    with machine.database.write() as connection:
        assert [letter.outbox_id for letter in catalog.take_unsent(connection, -1)] == [letters[0].outbox_id]


@pytest.mark.parametrize("kind", list(JobKind))
def test_a_job_goes_through_all_its_stages_to_its_end(machine: Machine, kind: JobKind) -> None:
    job, letters = machine.submit(kind)
    walked, progress = [], []
    while letters:
        ((_, _, stage),) = told(letters)
        letters = machine.run(job.job_id, lambda job, _: Advance({job.stage: len(job.checkpoint)}), stage)
        walked.append(stage)
        progress.append(machine.get(job.job_id).progress)
    ended = machine.get(job.job_id)
    assert walked == [stage.name for stage in STAGES[kind]]
    assert ended.state is JobState.SUCCEEDED
    assert ended.result == {name: position for position, name in enumerate(walked)}
    assert progress == sorted(progress)
    assert progress[-1] == 1.0


@pytest.mark.parametrize("kind", list(JobKind))
def test_the_weights_of_a_kind_make_one_whole(kind: JobKind) -> None:
    assert sum(stage.weight for stage in STAGES[kind]) == pytest.approx(1.0)
    assert overall_progress(kind, STAGES[kind][-1].name, 1.0) == pytest.approx(1.0)
    assert overall_progress(kind, STAGES[kind][0].name, -5) == 0.0
    assert next_stage(kind, STAGES[kind][-1].name) is None


def test_a_stage_that_waits_can_be_looked_at_again_at_once(machine: Machine) -> None:
    job, _ = machine.submit()
    assert machine.run(job.job_id, lambda *_: Wait(0.5)) == []
    waiting = machine.get(job.job_id)
    assert (waiting.state, waiting.stage, waiting.attempts) == (JobState.RUNNING, "prepare", 0)
    assert waiting.progress == pytest.approx(0.05)
    assert len(machine.run(job.job_id, lambda *_: Advance())) == 1


def test_an_end_ends_the_job_with_its_result(machine: Machine) -> None:
    job, _ = machine.submit(JobKind.CYCLE)
    assert machine.run(job.job_id, lambda *_: End(JobState.REJECTED, {"reason": "too little"})) == []
    ended = machine.get(job.job_id)
    assert (ended.state, ended.result, ended.error) == (JobState.REJECTED, {"reason": "too little"}, None)
    assert machine.cleaned == []
    machine.submit(JobKind.CYCLE)


def test_a_letter_for_another_stage_or_an_ended_job_is_ignored(machine: Machine) -> None:
    job, _ = machine.submit(JobKind.EVALUATE)
    calls: list[str] = []

    def body(job: Job, _: Lease) -> Outcome:
        calls.append(job.stage)
        return Advance()

    assert machine.run(job.job_id, body, "train") == []
    assert machine.run(job.job_id, body, "evaluate") == []
    assert machine.run(job.job_id, body, "evaluate") == []
    assert calls == ["evaluate"]


def test_a_stage_runs_in_one_worker_at_a_time(machine: Machine) -> None:
    job, _ = machine.submit()
    inner: list[list[Letter]] = []

    def body(job: Job, _: Lease) -> Outcome:
        inner.append(machine.run(job.job_id, lambda *_: Advance({"wrong": True})))
        return Advance()

    machine.run(job.job_id, body)
    assert inner == [[]]
    assert machine.get(job.job_id).checkpoint == {}


def test_cancel_before_a_worker_came_ends_the_job_and_cleans_up(machine: Machine) -> None:
    job, _ = machine.submit()
    asked, letters = machine.cancel(job.job_id)
    assert (asked.cancel_requested, asked.state) == (True, JobState.QUEUED)
    assert told(letters) == [(RUN_STAGE, job.job_id, "prepare")]

    def body(*_: object) -> Outcome:
        raise AssertionError("a cancelled stage must not begin")

    assert machine.run(job.job_id, body) == []
    ended = machine.get(job.job_id)
    assert ended.state is JobState.CANCELLED
    assert ended.error is not None
    assert ended.error["code"] == "cancelled"
    assert machine.cleaned == [job.job_id]


def test_cancel_during_a_stage_reaches_the_worker(machine: Machine) -> None:
    job, _ = machine.submit()

    def body(job: Job, lease: Lease) -> Outcome:
        machine.cancel(job.job_id)
        for _ in range(3000):
            lease.check()
            threading.Event().wait(0.02)
        raise AssertionError("the lease never told of the cancel")

    machine.run(job.job_id, body)
    assert machine.get(job.job_id).state is JobState.CANCELLED
    assert machine.cleaned == [job.job_id]


def test_cancelling_an_ended_job_changes_nothing(machine: Machine) -> None:
    job, _ = machine.submit(JobKind.EVALUATE)
    machine.run(job.job_id, lambda *_: End(JobState.SUCCEEDED, {}))
    asked, letters = machine.cancel(job.job_id)
    assert (asked.state, asked.cancel_requested, letters) == (JobState.SUCCEEDED, False, [])


def test_what_may_pass_is_tried_again_and_given_up_in_the_end(machine: Machine) -> None:
    job, _ = machine.submit()

    def body(*_: object) -> Outcome:
        raise DeadlineExceeded("Milvus was too slow", retry_after_seconds=60)

    for attempt in range(1, MAX_STAGE_ATTEMPTS):
        assert machine.run(job.job_id, body) == []
        waiting = machine.get(job.job_id)
        assert (waiting.state, waiting.attempts, machine.cleaned) == (JobState.RUNNING, attempt, [])
        calls: list[int] = []
        machine.run(job.job_id, lambda *_, calls=calls: calls.append(1) or Advance())
        assert calls == [], "the next attempt waits for its time"
        machine.expire(job.job_id)
    machine.run(job.job_id, body)
    failed = machine.get(job.job_id)
    assert failed.state is JobState.FAILED
    assert failed.error == {
        "code": "deadline_exceeded",
        "message": "Milvus was too slow",
        "field": None,
        "stage": "prepare",
    }
    assert machine.cleaned == [job.job_id]


def test_a_part_that_is_away_is_waited_for_and_no_attempt_is_used_up(machine: Machine) -> None:
    job, _ = machine.submit()

    def body(*_: object) -> Outcome:
        raise Unavailable("Milvus does not answer", retry_after_seconds=60)

    for _ in range(MAX_STAGE_ATTEMPTS + 1):
        assert machine.run(job.job_id, body) == []
        waiting = machine.get(job.job_id)
        assert (waiting.state, waiting.attempts, machine.cleaned) == (JobState.RUNNING, 0, [])
        machine.expire(job.job_id)
    assert len(machine.run(job.job_id, lambda *_: Advance())) == 1


def test_what_cannot_pass_fails_at_once_with_its_field(machine: Machine) -> None:
    job, _ = machine.submit()

    def body(*_: object) -> Outcome:
        raise InvalidInput("no such model", field="params.model_version")

    machine.run(job.job_id, body)
    failed = machine.get(job.job_id)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert (failed.error["code"], failed.error["field"]) == ("invalid_input", "params.model_version")


def test_an_unexpected_error_fails_the_job_without_its_text(machine: Machine) -> None:
    job, _ = machine.submit()

    def body(*_: object) -> Outcome:
        raise ValueError("secret of the machine")

    machine.run(job.job_id, body)
    failed = machine.get(job.job_id)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert (failed.error["code"], failed.error["message"]) == ("internal", "ValueError")
    assert machine.cleaned == [job.job_id]


class FakeKill(BaseException):
    """The worker is gone: nothing of it runs any more."""


def test_a_job_survives_a_killed_worker_and_goes_on(machine: Machine) -> None:
    job, _ = machine.submit()

    def killed(*_: object) -> Outcome:
        raise FakeKill

    with pytest.raises(FakeKill):
        machine.run(job.job_id, killed)
    with machine.database.write() as connection:
        assert catalog.nudge(connection, -1) == [], "the dead worker's lease still runs"
    machine.expire(job.job_id)
    with machine.database.write() as connection:
        assert catalog.nudge(connection, -1) == [(job.job_id, "prepare")]
    assert len(machine.run(job.job_id, lambda *_: Advance())) == 1
    assert machine.get(job.job_id).attempts == 0


def test_a_stage_that_kills_every_worker_is_given_up(machine: Machine) -> None:
    job, _ = machine.submit()

    def killed(*_: object) -> Outcome:
        raise FakeKill

    for _ in range(MAX_STAGE_ATTEMPTS):
        with pytest.raises(FakeKill):
            machine.run(job.job_id, killed)
        machine.expire(job.job_id)
    assert machine.run(job.job_id, killed) == []
    failed = machine.get(job.job_id)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert "given up" in failed.error["message"]


@pytest.mark.parametrize(
    "ending",
    [
        Advance({"mine": True}),
        Wait(0.9),
        End(JobState.SUCCEEDED, {"mine": True}),
        InvalidInput("bad"),
        Unavailable("away"),
        ValueError("odd"),
    ],
    ids=["advance", "wait", "end", "fails", "retries", "breaks"],
)
def test_a_worker_that_was_overtaken_writes_nothing(machine: Machine, ending: Outcome | Exception) -> None:
    job, _ = machine.submit()

    def overtaken(job: Job, _: Lease) -> Outcome:
        machine.expire(job.job_id)
        machine.run(job.job_id, lambda *_: Advance({"theirs": True}))
        if isinstance(ending, Exception):
            raise ending
        return ending

    assert machine.run(job.job_id, overtaken) == []
    after = machine.get(job.job_id)
    assert (after.state, after.stage, after.checkpoint) == (JobState.RUNNING, "build", {"theirs": True})
    assert machine.cleaned == []


def test_progress_tells_an_overtaken_worker_to_stop(machine: Machine) -> None:
    job, _ = machine.submit()
    raised: list[type[Exception]] = []

    def body(job: Job, lease: Lease) -> Outcome:
        lease.progress(0.5)
        assert machine.get(job.job_id).progress == pytest.approx(0.05)
        machine.expire(job.job_id)
        machine.run(job.job_id, lambda *_: Advance())
        try:
            lease.progress(0.6)
        except (LeaseLost, JobCancelled) as error:
            raised.append(type(error))
            raise
        return Advance()

    machine.run(job.job_id, body)
    assert raised == [LeaseLost]


def test_what_a_killed_worker_kept_is_what_the_next_one_goes_on_from(machine: Machine) -> None:
    job, _ = machine.submit(JobKind.INDEX_TRIAL)

    def killed(job: Job, lease: Lease) -> Outcome:
        lease.keep({"rows": 1, "scratch": "a"})
        lease.keep({"scratch": "b"})
        raise FakeKill

    with pytest.raises(FakeKill):
        machine.run(job.job_id, killed)
    machine.expire(job.job_id)
    machine.run(job.job_id, lambda job, _: End(JobState.SUCCEEDED, {"found": dict(job.checkpoint)}))
    assert machine.get(job.job_id).result == {"found": {"rows": 1, "scratch": "b"}}


def test_a_worker_that_was_overtaken_keeps_nothing(machine: Machine) -> None:
    job, _ = machine.submit(JobKind.INDEX_TRIAL)

    def overtaken(job: Job, lease: Lease) -> Outcome:
        machine.expire(job.job_id)
        machine.run(job.job_id, lambda *_: Wait(0.5))
        lease.keep({"late": True})
        return Advance()

    assert machine.run(job.job_id, overtaken) == []
    after = machine.get(job.job_id)
    assert (after.state, after.checkpoint) == (JobState.RUNNING, {})


def test_an_idempotency_key_makes_one_job(machine: Machine) -> None:
    first, letters = machine.submit(params={"promote": False}, key="k-1")
    again, none = machine.submit(params={"promote": False}, key="k-1")
    assert again.job_id == first.job_id
    assert (len(letters), none) == (1, [])
    machine.run(first.job_id, lambda *_: End(JobState.SUCCEEDED, {}))
    ended, none = machine.submit(params={"promote": False}, key="k-1")
    assert (ended.job_id, ended.state, none) == (first.job_id, JobState.SUCCEEDED, [])


@pytest.mark.parametrize(
    "other",
    [{"params": {"promote": True}}, {"kind": JobKind.EVALUATE}, {"corpus": "other"}],
    ids=["params", "kind", "corpus"],
)
def test_an_idempotency_key_is_not_used_for_another_request(machine: Machine, other: dict[str, Any]) -> None:
    machine.submit(key="k-1")
    with pytest.raises(InvalidInput, match="used for a different job") as refusal:
        machine.submit(key="k-1", **other)
    assert refusal.value.field == "Idempotency-Key"


def test_a_corpus_has_one_job_at_work(machine: Machine) -> None:
    first, _ = machine.submit(JobKind.FINETUNE)
    with pytest.raises(Conflict, match=first.job_id):
        machine.submit(JobKind.CYCLE)
    machine.submit(JobKind.EVALUATE)
    machine.submit(JobKind.CYCLE, corpus="other")


def test_ids_sort_by_age(machine: Machine) -> None:
    made = [machine.submit(JobKind.EVALUATE)[0].job_id for _ in range(20)]
    assert made == sorted(made)
