"""Short vectors of eight-bit arithmetic, and search in two stages, through the whole loop."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from embedloop.client import Client
from embedloop.encoder import INT8_FILE, OnnxEncoder
from embedloop.supervisor import Stack
from tests.integration.stack import clinic
from tests.integration.stack.conftest import NewCorpus, succeeded

RECIPE = {
    "matryoshka": [8, 16],
    "dimension": 16,
    "lora": {"rank": 4},
    "learning_rate": 5e-3,
    "merge_alphas": [],
}
# Three dev queries among twenty documents: one that moves by a rank would be too much.
EXPORT = {"precision": "int8", "min_overlap": 0.0, "max_ndcg_drop": 1.0}


@pytest.fixture
def cycled(client: Client, new_corpus: NewCorpus) -> tuple[str, dict[str, Any]]:
    name = new_corpus(training=RECIPE, export=EXPORT)
    lines = [*clinic.judged(0, "train"), *clinic.judged(1, "golden", 6), *clinic.judged(2, "dev", 3)]
    assert list(client.bulk_judgments(name, lines))[-1]["summary"]["refused"] == 0
    return name, succeeded(client, client.submit_job("cycle", name))["result"]


def test_short_int8_vectors_serve_queries_and_passages_alike(
    client: Client, http: httpx.Client, stack: Stack, cycled: tuple[str, dict[str, Any]]
) -> None:
    name, result = cycled
    assert result["promoted"] is True
    model = client.model(result["model_version"])
    assert (model["dimension"], model["backend"]) == (16, "onnx_int8")
    assert INT8_FILE in model["manifest"]
    measured = {one["graph"]: one for one in model["metrics"]["export"]["graphs"]}
    assert measured.keys() == {"fp32", "dynamic", "static"}
    assert measured[model["metrics"]["export"]["graph"]]["lowest_cosine"] >= 0.97

    found = client.search(name, "flu", top_k=5)
    assert found.index_version == result["index_version"]
    folder = stack.data_dir / "models" / model["id"]
    encoder = OnnxEncoder(folder, max_tokens=64, threads=1, graph=INT8_FILE)
    query = encoder.encode_queries(["flu"])[0]
    for hit in found.results:
        passage = encoder.encode_passages([f"{hit.title}\n{hit.text}"])[0]
        assert hit.score == pytest.approx(float(query @ passage), abs=0.01)
    answer = http.post("/v1/embeddings", json={"model": model["id"], "input": ["flu"], "input_type": "query"})
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(answer.json()["data"][0]["embedding"], query, atol=1e-5)


def test_static_version_of_what_serves_finds_and_the_model_it_was_made_of_orders(
    client: Client, new_corpus: NewCorpus, stack: Stack
) -> None:
    # No budget that a busy machine could miss.
    name = new_corpus(reranking={"depth": 20, "budget_ms": 10_000}, gate={"general": "packaged"})
    list(client.bulk_judgments(name, [*clinic.judged(1, "golden", 6), *clinic.judged(2, "dev", 3)]))
    before = client.search(name, "flu", top_k=5)
    params = {"to": "static", "static": {"dimension": 16}, "max_drop": 1.0}
    result = succeeded(client, client.submit_job("compress", name, params))["result"]
    assert (result["gate"]["verdict"], result["promoted"]) == ("passed", True)
    model = client.model(result["model_version"])
    assert (model["dimension"], model["parent"]) == (16, before.model_version)
    (told,) = model["metrics"]["course"]
    assert len(told["dev"]) == 2

    found = client.search(name, "flu", top_k=5)
    assert (found.index_version, found.model_version) == (result["index_version"], model["id"])
    assert found.raw["reranker"] == {"model_version": model["id"], "reranked": 5}
    tuned = OnnxEncoder(stack.data_dir / "models" / before.model_version, max_tokens=64, threads=1)
    query = tuned.encode_queries(["flu"])[0]
    for hit in found.results:
        cosine = float(query @ tuned.encode_passages([f"{hit.title}\n{hit.text}"])[0])
        assert hit.rerank_score == pytest.approx((1 + cosine) / 2, abs=1e-3)
    # Twenty documents, and all of them ordered again: what was found before is found now.
    assert [hit.document_id for hit in found.results] == [hit.document_id for hit in before.results]
    client.rollback(name)
    back = client.search(name, "flu", top_k=5)
    assert back.index_version == before.index_version
    assert "reranker" not in back.raw
