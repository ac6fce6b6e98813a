"""Short vectors of eight-bit arithmetic through the whole loop: trained, gated, embedded, searched."""

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
