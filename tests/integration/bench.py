"""Runs a re-embed stage by stage, as the workers do: real broker, Milvus and catalog, no Celery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import update

from embedloop import jobs
from embedloop.catalog import index_versions
from embedloop.catalog import jobs as job_rows
from embedloop.catalog.tables import jobs as jobs_table
from embedloop.catalog.tables import shards as shards_table
from embedloop.orders import Order, give
from embedloop.records.jobs import Job, JobKind
from embedloop.records.versions import IndexVersion
from tests.integration.conftest import LEASE, World
from workers import difference as difference_stage
from workers import embed_shard as shard_task
from workers import evaluate as evaluate_stage
from workers import gate as gate_stage
from workers import headroom as headroom_stage
from workers import index_trial as index_trial_stage
from workers import promote as promote_stage
from workers import reembed as reembed_stages
from workers.parts import Parts

BODIES: dict[str, Callable[..., jobs.Outcome]] = {
    "prepare": reembed_stages.prepare,
    "build": reembed_stages.build,
    "embed": reembed_stages.embed,
    "verify": reembed_stages.verify,
    "difference": difference_stage.difference,
    "promote": promote_stage.promote,
    "gate": gate_stage.gate,
    "evaluate": evaluate_stage.evaluate,
    "headroom": headroom_stage.headroom,
    "index_trial": index_trial_stage.index_trial,
}


class Bench:
    """Runs a job stage by stage; the shards are embedded when the test says so."""

    def __init__(self, world: World, parts: Parts):
        self.world = world
        self.parts = parts

    def submit(self, kind: JobKind = JobKind.REINDEX, **params: Any) -> str:
        with self.world.database.write() as connection:
            job, _ = jobs.submit(connection, kind, self.world.name, params)
        return job.job_id

    def job(self, job_id: str) -> Job:
        with self.world.database.read() as connection:
            return job_rows.get(connection, job_id)

    def run(self, job_id: str, body: Callable[..., jobs.Outcome] | None = None) -> Job:
        """The stage where the job stands."""
        from workers.app import _retire_unfinished

        stage = self.job(job_id).stage
        jobs.run_stage(
            self.world.database,
            job_id,
            stage,
            lambda job, lease: (body or BODIES[stage])(self.parts, job, lease),
            lease_seconds=LEASE,
            on_failure=_retire_unfinished,
        )
        return self.job(job_id)

    def run_until(self, job_id: str, stage: str) -> Job:
        while (job := self.job(job_id)).stage != stage:
            before = job.stage
            if self.run(job_id).stage == before == "embed":
                self.embed_shards(job_id)
            assert not self.job(job_id).state.ended, self.job(job_id).error
        return job

    def finish(self, job_id: str) -> Job:
        self.run_until(job_id, "promote")
        return self.run(job_id)

    def shard_ids(self, job_id: str) -> list[int]:
        with self.world.database.read() as connection:
            rows = connection.execute(
                shards_table.select().where(shards_table.c.job_id == job_id, shards_table.c.state == "queued")
            )
            return [row.shard_id for row in rows]

    def embed_shards(self, job_id: str) -> None:
        for shard_id in self.shard_ids(job_id):
            shard_task.embed_shard(self.parts, shard_id)

    def versions(self) -> list[IndexVersion]:
        with self.world.database.read() as connection:
            found = index_versions.of_corpus(connection, self.world.name)
        self.world.collections.extend(version.collection for version in found)
        return found

    def give(self, job_id: str, order: Order) -> Job:
        with self.world.database.write() as connection:
            return give(connection, job_id, order)[0]

    def shards(self, job_id: str) -> list[Any]:
        """Rows of its shards, in order of id."""
        with self.world.database.read() as connection:
            mine = shards_table.c.job_id == job_id
            return list(connection.execute(shards_table.select().where(mine).order_by(shards_table.c.shard_id)))

    def expire(self, job_id: str) -> None:
        with self.world.database.write() as connection:
            connection.execute(update(jobs_table).where(jobs_table.c.job_id == job_id).values(lease_until=0))
