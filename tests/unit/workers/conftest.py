"""A corpus that serves a tiny model, for stages that are run by plain calls: no Celery, no Milvus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from embedloop import jobs, reembed
from embedloop.catalog import corpora, index_versions, models
from embedloop.catalog import jobs as job_rows
from embedloop.corpus import put_documents
from embedloop.encoder import Vectors
from embedloop.feedback import ImportedJudgment, import_judgments
from embedloop.policy import GateSettings, Policy, Trigger
from embedloop.recipe.compression import ExportSettings
from embedloop.recipe.reranking import RerankerTraining, Reranking
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.documents import NewDocument
from embedloop.records.jobs import Job, JobKind
from embedloop.records.labels import Split
from embedloop.records.versions import IndexState, ModelVersion
from embedloop.registry import ModelStore
from embedloop.settings import Settings
from tests.tiny_model import build_tiny_model
from workers.parts import Parts

NAME = "c"
DOCUMENTS = 30
# No budget that a busy machine could miss.
RERANKING = Reranking(
    depth=10,
    budget_ms=10_000.0,
    training=RerankerTraining(epochs=1.0, batch_size=16, threads=1, checkpoints=1),
)
SPLITS = (Split.GOLDEN, Split.TRAIN, Split.DEV)


class FakeEmptyIndex:
    """A Milvus that holds no vector, so that every passage is encoded anew."""

    def vectors(self, collection: str, passage_ids: Sequence[str]) -> dict[str, Vectors]:
        return {}


@pytest.fixture
def parts(sqlite_url: str, model_store: ModelStore, tiny: ModelVersion, tmp_path: Path) -> Iterator[Parts]:
    """A corpus that serves the tiny model, with a judged query for each document."""
    made = Parts(
        Settings(
            data_dir=tmp_path,
            database_url=sqlite_url,
            model_store=str(model_store.fetch(tiny.model_id).parent),
            embed_threads=1,
        )
    )
    made.__dict__["index"] = FakeEmptyIndex()
    base = str(build_tiny_model(tmp_path / "base"))
    with made.database.write() as connection:
        models.add(connection, tiny)
        corpora.add(connection, NAME, policy(base, min_uplift=1.0))
    documents = [NewDocument(f"n{n:02}", "", f"condition number{n} of the body") for n in range(DOCUMENTS)]
    put_documents(made.database, NAME, documents)
    with made.database.write() as connection:
        serve(connection, tiny)
    lines = [ImportedJudgment(f"what is number{n}", f"n{n:02}", 1, SPLITS[n % 3]) for n in range(DOCUMENTS)]
    with made.database.read() as connection:
        corpus = corpora.get(connection, NAME)
    assert import_judgments(made.database, corpus, lines) == [None] * DOCUMENTS
    yield made
    made.database.dispose()


def policy(base_model: str, *, min_uplift: float) -> Policy:
    return Policy(
        base_model=base_model,
        trigger=Trigger(new_feedback=None, min_pairs=5),
        training=TrainingSettings(hard_negatives=0),
        # A tiny model ranks close to chance: any change of arithmetic may move its answers.
        export=ExportSettings(min_overlap=0.0, max_ndcg_drop=1.0),
        gate=GateSettings(pool_size=30, min_uplift=min_uplift, min_queries=5, max_slice_drop=None),
        reranking=RERANKING,
    )


def serve(connection: Connection, model: ModelVersion) -> None:
    version = reembed.plan(
        connection,
        corpus=NAME,
        model=model,
        chunking=Policy().chunking,
        index=Policy().index,
        job_id="j-test",
        shard_chars=10_000,
        shard_documents=100,
    )
    index_versions.set_fields(connection, version.index_version_id, state=IndexState.SERVING.value)
    corpora.set_serving(connection, NAME, version.index_version_id, None)


StageBody = Callable[[Parts, Job, jobs.Lease], jobs.Outcome]


def run_job(parts: Parts, kind: JobKind, params: Mapping[str, Any], bodies: Mapping[str, StageBody]) -> Job:
    """A job, submitted and run stage by stage to its end."""
    with parts.database.write() as connection:
        job, _ = jobs.submit(connection, kind, NAME, params)
    while not job.state.ended:
        jobs.run_stage(
            parts.database,
            job.job_id,
            job.stage,
            lambda held, lease: bodies[held.stage](parts, held, lease),
            lease_seconds=30,
            on_failure=lambda connection, failed: None,
        )
        with parts.database.read() as connection:
            job = job_rows.get(connection, job.job_id)
    return job
