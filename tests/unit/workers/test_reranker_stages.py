"""A re-ranker through its job: trained in a child process, exported, registered, gated, put into the policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection

from embedloop import jobs, reembed
from embedloop.catalog import corpora, index_versions, models
from embedloop.catalog import jobs as job_rows
from embedloop.catalog.database import Database
from embedloop.corpus import put_documents
from embedloop.encoder import Vectors
from embedloop.errors import InvalidInput, ModelRefused
from embedloop.feedback import ImportedJudgment, import_judgments
from embedloop.policy import GateSettings, Policy, Trigger
from embedloop.recipe.reranking import RerankerTraining, Reranking
from embedloop.recipe.settings import TrainingSettings
from embedloop.records import IndexState, Job, JobKind, JobState, ModelVersion, NewDocument, Split
from embedloop.registry import CROSS_ENCODER, ModelStore, load_encoder
from embedloop.rerankers import load_reranker, require_gated
from embedloop.settings import Settings
from tests.tiny_model import build_tiny_model
from workers import collect, gate_reranker, train_reranker
from workers.parts import Parts

NAME = "c"
DOCUMENTS = 30
# No budget that a busy machine could miss.
RERANKING = Reranking(
    depth=10,
    budget_ms=10_000.0,
    training=RerankerTraining(epochs=1.0, batch_size=16, threads=1, checkpoints=1),
)
BODIES = {
    "collect": collect.collect,
    "train_reranker": train_reranker.train_reranker,
    "gate_reranker": gate_reranker.gate_reranker,
}


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
    lines = [
        ImportedJudgment(f"what is number{n}", f"n{n:02}", 1, Split.GOLDEN if n % 3 == 0 else Split.TRAIN)
        for n in range(DOCUMENTS)
    ]
    with made.database.read() as connection:
        corpus = corpora.get(connection, NAME)
    assert import_judgments(made.database, corpus, lines) == [None] * DOCUMENTS
    yield made
    made.database.dispose()


def policy(base_model: str, *, min_uplift: float) -> Policy:
    return Policy(
        base_model=base_model,
        trigger=Trigger(new_feedback=None, min_pairs=10),
        training=TrainingSettings(hard_negatives=0),
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


def run(parts: Parts) -> Job:
    with parts.database.write() as connection:
        job, _ = jobs.submit(connection, JobKind.RERANKER, NAME, {})
    while not job.state.ended:
        jobs.run_stage(
            parts.database,
            job.job_id,
            job.stage,
            lambda held, lease: BODIES[held.stage](parts, held, lease),
            lease_seconds=30,
            on_failure=lambda connection, failed: None,
        )
        with parts.database.read() as connection:
            job = job_rows.get(connection, job.job_id)
    return job


def present(database: Database) -> Policy:
    with database.read() as connection:
        return corpora.get(connection, NAME).policy


def test_a_reranker_serves_only_when_the_gate_lets_it_pass(parts: Parts) -> None:
    refused = run(parts)
    assert refused.state is JobState.REJECTED, refused.error
    told = dict(refused.result or {})
    model_id = told["model_version"]
    assert (told["gate"]["verdict"], told["promoted"]) == ("failed", False)
    assert told["reranking"]["passages"] == RERANKING.depth
    before = present(parts.database)
    assert before.reranking == RERANKING
    named = before.model_copy(update={"reranking": RERANKING.model_copy(update={"model": model_id})})
    with parts.database.read() as connection:
        model = models.get(connection, model_id)
        with pytest.raises(InvalidInput, match="not passed the gate") as refusal:
            require_gated(connection, NAME, named)
        assert refusal.value.field == "policy.reranking.model"
        with pytest.raises(InvalidInput, match="has no re-ranker"):
            require_gated(connection, "another", named)
    assert (model.backend, model.corpus, model.max_tokens) == (CROSS_ENCODER, NAME, 64)
    assert {"model.safetensors", "onnx/model.onnx", "tokenizer.json"} <= set(model.manifest)
    with pytest.raises(ModelRefused, match="cannot encode"):
        load_encoder(parts.store, model, threads=1, batch_size=8)
    scores = load_reranker(parts.store, model, threads=1).score("what is number3", ["number3", "number4"])
    assert ((scores > 0) & (scores < 1)).all()

    with parts.database.write() as connection:
        corpora.set_policy(connection, NAME, policy(before.base_model, min_uplift=-1.0))
    passed = run(parts)
    assert passed.state is JobState.SUCCEEDED, passed.error
    # The same training set and recipe give the same weights, and so the same version.
    assert (passed.result or {})["model_version"] == model_id
    assert (passed.result or {})["promoted"] is True
    assert present(parts.database).reranking == RERANKING.model_copy(update={"model": model_id})
    with parts.database.read() as connection:
        assert [gate.passed for gate in models.gates_of(connection, model_id)] == [True, False]
        require_gated(connection, NAME, present(parts.database))
    assert not list((parts.settings.data_dir / "work").iterdir())
