"""Jobs in SQL: one at work on a corpus, leases, nudges, the outbox."""

from __future__ import annotations

import threading

import pytest

from embedloop.catalog import jobs
from embedloop.catalog.database import Database
from embedloop.errors import Conflict, LeaseLost, NotFound
from embedloop.records.jobs import Job, JobKind, JobState
from tests.patience import PATIENCE_SECONDS
from tests.unit.embedloop.catalog.conftest import CORPUS


def add(catalog: Database, job_id: str, kind: JobKind = JobKind.REINDEX, corpus: str = CORPUS) -> Job:
    with catalog.write() as connection:
        jobs.add(
            connection,
            job_id=job_id,
            kind=kind,
            corpus=corpus,
            stage="build",
            params={"promote": True},
            idempotency_key=None,
        )
        return jobs.get(connection, job_id)


def test_a_new_job_is_queued(catalog: Database) -> None:
    job = add(catalog, "j-1")
    assert (job.state, job.stage, job.progress, job.attempts) == (JobState.QUEUED, "build", 0.0, 0)
    assert (job.params, job.error, job.result) == ({"promote": True}, None, None)
    with catalog.read() as connection, pytest.raises(NotFound, match="j-9"):
        jobs.get(connection, "j-9")


def test_a_second_job_on_the_corpus_is_refused_by_the_name_of_the_first(catalog: Database) -> None:
    add(catalog, "j-1", JobKind.CYCLE)
    with pytest.raises(Conflict, match=r"j-1 \(cycle, queued\)") as refusal:
        add(catalog, "j-2", JobKind.REINDEX)
    assert refusal.value.field == "corpus"
    add(catalog, "j-3", JobKind.EVALUATE)
    add(catalog, "j-4", JobKind.CYCLE, corpus="other")
    with catalog.read() as connection:
        active = jobs.active(connection, CORPUS)
        assert active is not None
        assert active.job_id == "j-1"


def test_an_ended_job_makes_room(catalog: Database) -> None:
    add(catalog, "j-1")
    with catalog.write() as connection:
        claimed = jobs.claim(connection, "j-1", "build", 30)
        assert claimed is not None
        jobs.change(connection, "j-1", claimed[1], state=JobState.FAILED.value)
        assert jobs.active(connection, CORPUS) is None
    add(catalog, "j-2")


def test_of_two_submits_at_once_one_wins(catalog: Database) -> None:
    together = threading.Barrier(2)
    added: list[str] = []
    told: list[str] = []

    def submit(job_id: str) -> None:
        together.wait(timeout=PATIENCE_SECONDS)
        try:
            add(catalog, job_id)
            added.append(job_id)
        except Conflict as conflict:
            told.append(conflict.message)

    threads = [threading.Thread(target=submit, args=(f"j-{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE_SECONDS)
    assert len(added) == len(told) == 1
    assert f"job {added[0]} (reindex, queued) is at work" in told[0]


def test_a_stage_is_claimed_by_one_worker_and_only_where_the_job_stands(catalog: Database) -> None:
    add(catalog, "j-1")
    with catalog.write() as connection:
        assert jobs.claim(connection, "j-1", "embed", 30) is None
        claimed = jobs.claim(connection, "j-1", "build", 30)
        assert claimed is not None
        job, _ = claimed
        assert (job.state, job.attempts) == (JobState.RUNNING, 1)
        assert jobs.claim(connection, "j-1", "build", 30) is None


def test_a_lease_that_was_taken_over_writes_nothing_more(catalog: Database) -> None:
    add(catalog, "j-1")
    with catalog.write() as connection:
        paused = jobs.claim(connection, "j-1", "build", -1)
        taken = jobs.claim(connection, "j-1", "build", 30)
        assert paused is not None
        assert taken is not None
        assert taken[1] > paused[1]
        jobs.change(connection, "j-1", taken[1], progress=0.5)
    with pytest.raises(LeaseLost), catalog.write() as connection:
        jobs.change(connection, "j-1", paused[1], progress=0.9)
    with catalog.read() as connection:
        assert jobs.get(connection, "j-1").progress == 0.5


def test_an_ended_job_is_not_written_to_again(catalog: Database) -> None:
    add(catalog, "j-1")
    with catalog.write() as connection:
        claimed = jobs.claim(connection, "j-1", "build", 30)
        assert claimed is not None
        jobs.change(connection, "j-1", claimed[1], state=JobState.SUCCEEDED.value)
        jobs.order(connection, "j-1", JobState.QUEUED, cancel=True)
        jobs.set_progress(connection, "j-1", "build", 0.1)
        assert jobs.claim(connection, "j-1", "build", 30) is None
        assert not jobs.get(connection, "j-1").cancel_requested
        assert jobs.get(connection, "j-1").progress == 0.0
        with pytest.raises(LeaseLost):
            jobs.change(connection, "j-1", claimed[1], progress=0.9)


def test_what_nobody_holds_is_nudged_once_in_a_while(catalog: Database) -> None:
    add(catalog, "j-1")
    add(catalog, "j-2", corpus="other")
    with catalog.write() as connection:
        held = jobs.claim(connection, "j-2", "build", 30)
        assert jobs.nudge(connection, 5) == [("j-1", "build")]
        assert jobs.nudge(connection, 5) == []
        assert jobs.nudge(connection, -1) == [("j-1", "build")]
        assert held is not None
        jobs.change(connection, "j-2", held[1], lease_until=0)
        assert jobs.nudge(connection, 5) == [("j-2", "build")]


def test_progress_from_shards_counts_only_in_their_stage(catalog: Database) -> None:
    add(catalog, "j-1")
    with catalog.write() as connection:
        jobs.set_progress(connection, "j-1", "embed", 0.7)
        assert jobs.get(connection, "j-1").progress == 0.0
        jobs.set_progress(connection, "j-1", "build", 0.7)
        assert jobs.get(connection, "j-1").progress == 0.7


def test_letters_stay_in_the_outbox_until_they_are_sent(catalog: Database) -> None:
    with catalog.write() as connection:
        first = jobs.post(connection, "task.a", "x", 1)
        second = jobs.post(connection, "task.b")
        assert jobs.take_unsent(connection, 60) == []
        waiting = jobs.take_unsent(connection, -1)
        assert [(w.outbox_id, w.task, list(w.args)) for w in waiting] == [
            (first.outbox_id, "task.a", ["x", 1]),
            (second.outbox_id, "task.b", []),
        ]
        jobs.mark_sent(connection, [first.outbox_id])
        assert [w.task for w in jobs.take_unsent(connection, -1)] == ["task.b"]


def test_a_letter_of_a_transaction_that_failed_is_never_sent(catalog: Database) -> None:
    def post_and_fail() -> None:
        with catalog.write() as connection:
            jobs.post(connection, "task.a")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        post_and_fail()
    with catalog.write() as connection:
        assert jobs.take_unsent(connection, -1) == []


def test_jobs_are_listed_newest_first_in_pages(catalog: Database) -> None:
    for n in range(4):
        add(catalog, f"j-{n}", JobKind.EVALUATE)
    add(catalog, "j-9", JobKind.EVALUATE, corpus="other")
    with catalog.read() as connection:
        page = jobs.find(connection, corpora=[CORPUS], limit=2)
        assert [job.job_id for job in page] == ["j-3", "j-2"]
        rest = jobs.find(connection, corpora=[CORPUS], before="j-2")
        assert [job.job_id for job in rest] == ["j-1", "j-0"]
        assert jobs.find(connection, corpora=[]) == []
        assert jobs.find(connection, state=JobState.RUNNING) == []
