"""A re-ranker through its job: trained in a child process, exported, registered, gated, put into the policy."""

from __future__ import annotations

import pytest

from embedloop.catalog import corpora, models
from embedloop.catalog.database import Database
from embedloop.errors import InvalidInput, ModelRefused
from embedloop.policy import Policy
from embedloop.records.jobs import Job, JobKind, JobState
from embedloop.registry import CROSS_ENCODER, load_encoder
from embedloop.rerankers import load_reranker, require_gated
from tests.unit.workers.conftest import NAME, RERANKING, policy, run_job
from workers import collect, gate_reranker, train_reranker
from workers.parts import Parts

BODIES = {
    "collect": collect.collect,
    "train_reranker": train_reranker.train_reranker,
    "gate_reranker": gate_reranker.gate_reranker,
}


def run(parts: Parts) -> Job:
    return run_job(parts, JobKind.RERANKER, {}, BODIES)


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
    weight = (passed.result or {})["reranking"]["weight"]
    assert 0 < weight <= 1
    assert present(parts.database).reranking == RERANKING.model_copy(
        update={"model": model_id, "weight": weight}
    )
    with parts.database.read() as connection:
        assert [gate.passed for gate in models.gates_of(connection, model_id)] == [True, False]
        require_gated(connection, NAME, present(parts.database))
    assert not list((parts.settings.data_dir / "work").iterdir())
