"""Several workers at once, each a real thread with a transaction of its own: who gets the job."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import text

from embedloop import jobs as job_rules
from embedloop.catalog import corpora, index_versions, jobs, shards
from embedloop.catalog.database import Database
from embedloop.records.jobs import JobKind, JobState
from embedloop.records.versions import IndexVersion
from tests.patience import PATIENCE_SECONDS
from tests.unit.embedloop.catalog.conftest import CORPUS
from tests.unit.embedloop.catalog.threads import at_once, until_one_waits

WORKERS = 4


DAY = 86_400.0


def add_job(catalog: Database, job_id: str, kind: JobKind = JobKind.EVALUATE, corpus: str = CORPUS) -> None:
    with catalog.write() as connection:
        jobs.add(
            connection, job_id=job_id, kind=kind, corpus=corpus, stage="build", params={}, idempotency_key=None
        )


@pytest.mark.parametrize("round_", range(5))
def test_one_of_several_workers_gets_the_job(catalog: Database, round_: int) -> None:
    add_job(catalog, "j-1")

    def claim() -> object:
        with catalog.write() as connection:
            return jobs.claim(connection, "j-1", "build", 60)

    won = [claimed for claimed in at_once(*[claim] * WORKERS) if claimed is not None]
    assert len(won) == 1
    with catalog.read() as connection:
        assert jobs.get(connection, "j-1").attempts == 1


@pytest.mark.parametrize("round_", range(5))
def test_one_of_several_workers_gets_the_shard(
    catalog: Database, add_version: Callable[..., IndexVersion], round_: int
) -> None:
    add_version("one")
    with catalog.write() as connection:
        shards.add(connection, "one", "j-1", [("a", "b")])
        (shard_id,) = shards.take_unsent(connection, "one", DAY)

    def claim() -> object:
        with catalog.write() as connection:
            return shards.claim(connection, shard_id, 60)

    assert len([claimed for claimed in at_once(*[claim] * WORKERS) if claimed is not None]) == 1


def test_one_of_several_appliers_gets_the_lease(
    catalog: Database, add_version: Callable[..., IndexVersion]
) -> None:
    add_version("one", backfilled=True)

    def claim() -> int | None:
        with catalog.write() as connection:
            return index_versions.claim_applier(connection, "one", 60)

    assert sorted(at_once(*[claim] * WORKERS), key=str) == [1, None, None, None]


def test_shards_letters_and_nudges_are_taken_once_by_several_workers(
    catalog: Database, add_version: Callable[..., IndexVersion]
) -> None:
    add_version("one")
    with catalog.write() as connection:
        shards.add(connection, "one", "j-1", [(f"{n:03}", f"{n:03}") for n in range(60)])
        for n in range(60):
            jobs.post(connection, "task", n)
    for n in range(60):
        add_job(catalog, f"j-{n}")
    with catalog.write() as connection:
        connection.execute(text("UPDATE outbox SET taken_at = 0"))

    def take() -> tuple[list[int], list[int], list[str]]:
        sent: list[int] = []
        letters: list[int] = []
        nudged: list[str] = []
        for _ in range(4):
            with catalog.write() as connection:
                letters += [letter.outbox_id for letter in jobs.take_unsent(connection, DAY, limit=10)]
            with catalog.write() as connection:
                sent += shards.take_unsent(connection, "one", DAY)
            with catalog.write() as connection:
                nudged += [job_id for job_id, _ in jobs.nudge(connection, DAY)]
        return sent, letters, nudged

    taken = at_once(*[take] * WORKERS)
    for kind in range(3):
        together = [row for worker in taken for row in worker[kind]]
        assert len(together) == len(set(together)) == 60


def test_workers_on_postgresql_pass_over_what_another_is_taking(on_postgresql: Database) -> None:
    with on_postgresql.write() as connection:
        shards.add(connection, "one", "j-1", [("a", "b"), ("c", "d")])
        for n in range(5):
            jobs.post(connection, "task", n)
        connection.execute(text("UPDATE outbox SET taken_at = 0"))
    for name in ("j-1", "j-2"):
        add_job(on_postgresql, name)
    with on_postgresql.write() as one, on_postgresql.write() as other:
        # Waiting for the first transaction, which stays open, would end in its lock timeout.
        first = jobs.take_unsent(one, DAY, limit=2)
        rest = jobs.take_unsent(other, DAY)
        assert [[letter.args[0] for letter in taken] for taken in (first, rest)] == [[0, 1], [2, 3, 4]]
        assert len(shards.take_unsent(one, "one", DAY)) == 2
        assert shards.take_unsent(other, "one", DAY) == []
        jobs.order(one, "j-1", JobState.QUEUED, cancel=True)
        assert jobs.nudge(other, DAY) == [("j-2", "build")]
    with on_postgresql.write() as connection:
        assert jobs.take_unsent(connection, DAY) == []
        assert shards.take_unsent(connection, "one", DAY) == []
        assert jobs.nudge(connection, DAY) == [("j-1", "build")]


def test_a_claim_on_postgresql_waits_for_a_nudge_instead_of_giving_up(on_postgresql: Database) -> None:
    add_job(on_postgresql, "j-1")

    def claim() -> object:
        with on_postgresql.write() as connection:
            return jobs.claim(connection, "j-1", "build", 60)

    with ThreadPoolExecutor(1) as pool:
        with on_postgresql.write() as connection:
            assert jobs.nudge(connection, 5) == [("j-1", "build")]
            claimed: Future[object] = pool.submit(claim)
            until_one_waits(on_postgresql, claimed)
        assert claimed.result(timeout=PATIENCE_SECONDS) is not None


def test_equal_submits_at_once_make_one_job(catalog: Database) -> None:
    def submit() -> str:
        with catalog.write() as connection:
            corpora.get(connection, CORPUS, lock=True)
            return job_rules.submit(connection, JobKind.CYCLE, CORPUS, {}, "key")[0].job_id

    assert len(set(at_once(*[submit] * WORKERS))) == 1


def test_progress_told_late_does_not_go_back(catalog: Database) -> None:
    add_job(catalog, "j-1")
    with catalog.write() as connection:
        jobs.set_progress(connection, "j-1", "build", 0.6)
        jobs.set_progress(connection, "j-1", "build", 0.4)
        assert jobs.get(connection, "j-1").progress == 0.6
