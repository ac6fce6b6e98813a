"""Runs jobs by plain calls on a catalog: no Celery, no broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, update

from embedloop import jobs
from embedloop.catalog import jobs as catalog
from embedloop.catalog.database import Database
from embedloop.catalog.jobs import Letter
from embedloop.catalog.tables import jobs as jobs_table
from embedloop.jobs import Lease, Outcome
from embedloop.orders import Order, give
from embedloop.records.jobs import Job, JobKind

CORPUS = "papers"
LEASE = 30.0


class Machine:
    """Submits and runs jobs; remembers whose remains were cleaned up."""

    def __init__(self, database: Database):
        self.database = database
        self.cleaned: list[str] = []

    def submit(
        self,
        kind: JobKind = JobKind.REINDEX,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        corpus: str = CORPUS,
    ) -> tuple[Job, list[Letter]]:
        with self.database.write() as connection:
            return jobs.submit(connection, kind, corpus, params or {}, key)

    def run(
        self,
        job_id: str,
        body: Callable[[Job, Lease], Outcome],
        stage: str | None = None,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> list[Letter]:
        return jobs.run_stage(
            self.database,
            job_id,
            stage or self.get(job_id).stage,
            body,
            lease_seconds=LEASE,
            on_failure=self._clean,
            is_stopping=is_stopping,
        )

    def give(self, job_id: str, order: Order) -> tuple[Job, list[Letter]]:
        with self.database.write() as connection:
            return give(connection, job_id, order)

    def cancel(self, job_id: str) -> tuple[Job, list[Letter]]:
        return self.give(job_id, Order.CANCEL)

    def get(self, job_id: str) -> Job:
        with self.database.read() as connection:
            return catalog.get(connection, job_id)

    def expire(self, job_id: str) -> None:
        """The lease ran out, as after kill -9 of the worker."""
        with self.database.write() as connection:
            connection.execute(update(jobs_table).where(jobs_table.c.job_id == job_id).values(lease_until=0))

    def _clean(self, connection: Connection, job: Job) -> None:
        self.cleaned.append(job.job_id)


def told(letters: Sequence[Letter]) -> list[tuple[str, ...]]:
    return [(letter.task, *letter.args) for letter in letters]
