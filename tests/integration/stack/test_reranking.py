"""A re-ranker over the real stack: its job, its gate, the answers that it orders, and off again."""

from __future__ import annotations

import pytest

from embedloop.client import Client
from embedloop.errors import InvalidInput
from tests.integration.stack import clinic
from tests.integration.stack.conftest import JOB_SECONDS, NewCorpus
from tests.integration.stack.test_training import judge
from tests.patience import eventually

# No budget that a busy machine could miss.
RERANKING = {"depth": 10, "budget_ms": 10_000, "training": {"epochs": 1, "batch_size": 16, "threads": 1}}


def test_a_reranker_that_passed_its_gate_orders_answers_until_it_is_turned_off(
    client: Client, new_corpus: NewCorpus
) -> None:
    name = new_corpus(reranking=RERANKING, gate={"min_uplift": -1})
    judge(client, name, [*clinic.judged(0, "train"), *clinic.judged(1, "golden", 6)])
    job = client.wait_for_job(client.submit_job("reranker", name)["id"], JOB_SECONDS)
    assert job["state"] == "succeeded", job
    assert job["result"]["gate"]["verdict"] == "passed"
    model = job["result"]["model_version"]
    assert client.corpus(name)["policy"]["reranking"]["model"] == model
    assert client.model(model)["backend"] == "cross_encoder"

    def answer() -> dict[str, object]:
        return dict(client.search(name, "nose bleed", top_k=5).raw)

    eventually(lambda: "reranker" in answer(), "the replica to re-rank")
    found = client.search(name, "nose bleed", top_k=5)
    assert found.raw["reranker"] == {"model_version": model, "reranked": 5}
    scores = [hit.rerank_score or 0.0 for hit in found.results]
    assert scores == sorted(scores, reverse=True)
    assert found.took_ms["rerank"] > 0
    with pytest.raises(InvalidInput) as refusal:
        client.submit_job("evaluate", name, {"model_version": model})
    assert refusal.value.field == "params.model_version"

    client.update_policy(name, {"reranking": {"model": None}})
    eventually(lambda: "reranker" not in answer(), "the replica to stop re-ranking")
    client.update_policy(name, {"reranking": {"model": model}})


def test_a_reranker_without_a_passed_gate_is_refused_by_its_field(
    client: Client, new_corpus: NewCorpus
) -> None:
    name = new_corpus(wait=False, filled=False)
    with pytest.raises(InvalidInput, match="has no re-ranker") as refusal:
        client.update_policy(name, {"reranking": {"model": "m-nowhere"}})
    assert refusal.value.field == "policy.reranking.model"
    assert client.corpus(name)["policy"]["reranking"]["model"] is None
