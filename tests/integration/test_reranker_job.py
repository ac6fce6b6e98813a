"""A re-ranker through its job: trained in a child process, exported, registered, gated, put into the policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedloop.catalog import corpora, models
from embedloop.errors import InvalidInput, ModelRefused
from embedloop.feedback import ImportedJudgment, import_judgments
from embedloop.policy import GateSettings, Policy, Trigger
from embedloop.recipe.reranking import RerankerTraining, Reranking
from embedloop.records import Job, JobKind, JobState, ModelVersion, Split
from embedloop.registry import CROSS_ENCODER, load_encoder
from embedloop.rerankers import load_reranker, require_gated
from tests.integration.bench import Bench
from tests.integration.conftest import CHUNKING
from tests.tiny_model import build_tiny_model

DOCUMENTS = 36
TRAINING = RerankerTraining(epochs=1.0, batch_size=16, threads=1, checkpoints=1)
# No budget that a busy machine could miss.
RERANKING = Reranking(depth=10, budget_ms=10_000.0, training=TRAINING)


@pytest.fixture
def labelled(bench: Bench, tiny: ModelVersion, tmp_path: Path) -> Bench:
    world = bench.world
    world.put({f"n{n:02}": f"condition number{n} of the body" for n in range(DOCUMENTS)})
    set_policy(bench, str(build_tiny_model(tmp_path / "base")), min_uplift=1.0)
    bench.finish(bench.submit(model_version=tiny.model_id))
    lines = [
        ImportedJudgment(f"what is number{n}", f"n{n:02}", 1, Split.GOLDEN if n % 3 == 0 else Split.TRAIN)
        for n in range(DOCUMENTS)
    ]
    assert import_judgments(world.database, world.corpus(), lines) == [None] * len(lines)
    return bench


def set_policy(bench: Bench, base_model: str, *, min_uplift: float, model: str | None = None) -> Policy:
    policy = Policy(
        chunking=CHUNKING,
        base_model=base_model,
        trigger=Trigger(new_feedback=None, min_pairs=10),
        gate=GateSettings(pool_size=30, min_uplift=min_uplift, min_queries=5, max_slice_drop=None),
        reranking=RERANKING.model_copy(update={"model": model}),
    )
    with bench.world.database.write() as connection:
        corpora.set_policy(connection, bench.world.name, policy)
    return policy


def to_the_end(bench: Bench) -> Job:
    job_id = bench.submit(JobKind.RERANKER)
    while not (job := bench.job(job_id)).state.ended:
        bench.run(job_id)
    return job


def test_a_reranker_serves_only_when_the_gate_lets_it_pass(labelled: Bench) -> None:
    world = labelled.world
    base = world.corpus().policy.base_model
    refused = to_the_end(labelled)
    assert refused.state is JobState.REJECTED, refused.error
    told = dict(refused.result or {})
    model_id = told["model_version"]
    assert (told["gate"]["verdict"], told["promoted"]) == ("failed", False)
    assert told["reranking"]["passages"] == RERANKING.depth
    assert world.corpus().policy.reranking.model is None
    with world.database.read() as connection:
        model = models.get(connection, model_id)
        wanted = world.corpus().policy
        named = wanted.model_copy(update={"reranking": wanted.reranking.model_copy(update={"model": model_id})})
        with pytest.raises(InvalidInput, match="not passed the gate") as refusal:
            require_gated(connection, world.name, named)
        assert refusal.value.field == "policy.reranking.model"
        with pytest.raises(InvalidInput, match="has no re-ranker"):
            require_gated(connection, "another", named)
    assert (model.backend, model.corpus, model.max_tokens) == (CROSS_ENCODER, world.name, 64)
    assert {"model.safetensors", "onnx/model.onnx", "tokenizer.json"} <= set(model.manifest)
    with pytest.raises(ModelRefused, match="cannot encode"):
        load_encoder(labelled.parts.store, model, threads=1, batch_size=8)
    scores = load_reranker(labelled.parts.store, model, threads=1).score(
        "what is number3", ["number3", "number4"]
    )
    assert ((scores > 0) & (scores < 1)).all()

    set_policy(labelled, base, min_uplift=-1.0)
    passed = to_the_end(labelled)
    assert passed.state is JobState.SUCCEEDED, passed.error
    # The same training set and recipe give the same weights, and so the same version.
    assert (passed.result or {})["model_version"] == model_id
    assert (passed.result or {})["promoted"] is True
    assert world.corpus().policy.reranking == RERANKING.model_copy(update={"model": model_id})
    with world.database.read() as connection:
        assert [gate.passed for gate in models.gates_of(connection, model_id)] == [True, False]
