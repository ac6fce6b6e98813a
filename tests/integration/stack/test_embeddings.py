"""`/v1/embeddings` in the shape of OpenAI's, as any client of it sends and reads it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from embedloop.client import Client
from embedloop.encoder import OnnxEncoder
from embedloop.supervisor import Stack
from tests.integration.stack.conftest import make_corpus

CORPUS = "embeddings"
TEXTS = ["nose bleed", "x", "high blood pressure and a very long story about it " * 5]


@pytest.fixture(scope="module")
def model(client: Client, base_model: str) -> str:
    make_corpus(client, CORPUS, base_model)
    version: str = client.search(CORPUS, "flu").model_version
    return version


def embed(http: httpx.Client, **body: Any) -> dict[str, Any]:
    told: dict[str, Any] = http.post("/v1/embeddings", json=body).raise_for_status().json()
    return told


def vectors(answer: dict[str, Any]) -> np.ndarray[Any, Any]:
    assert [row["index"] for row in answer["data"]] == list(range(len(answer["data"])))
    return np.array([row["embedding"] for row in answer["data"]], dtype=np.float32)


def test_answer_has_the_shape_of_openais(http: httpx.Client, model: str) -> None:
    answer = embed(http, input=TEXTS, model=CORPUS)
    assert answer["object"] == "list"
    assert answer["model"] == model
    assert {row["object"] for row in answer["data"]} == {"embedding"}
    found = vectors(answer)
    assert found.shape == (3, 32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)


def test_vectors_are_those_of_the_models_own_encoder(http: httpx.Client, stack: Stack, model: str) -> None:
    folder: Path = stack.data_dir / "models" / model
    encoder = OnnxEncoder(folder, max_tokens=64)
    np.testing.assert_allclose(
        vectors(embed(http, input=TEXTS, model=model)), encoder.encode_queries(TEXTS), atol=1e-5
    )


def test_base64_holds_the_same_floats(http: httpx.Client, model: str) -> None:
    plain = vectors(embed(http, input=TEXTS, model=CORPUS))
    packed = embed(http, input=TEXTS, model=CORPUS, encoding_format="base64")["data"]
    read = np.stack([np.frombuffer(base64.b64decode(row["embedding"]), dtype="<f4") for row in packed])
    np.testing.assert_allclose(read, plain, atol=1e-7)


def test_usage_counts_the_tokens_that_the_model_read(http: httpx.Client, model: str) -> None:
    def tokens(text: str) -> int:
        usage = embed(http, input=text, model=CORPUS)["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"]
        return int(usage["prompt_tokens"])

    assert tokens("nose") == 3  # with [CLS] and [SEP]
    assert tokens("nose nose") == 4
    assert tokens("nose " * 500) == 64
    both = embed(http, input=["nose", "nose nose"], model=CORPUS)["usage"]["total_tokens"]
    assert both == 7


def test_one_text_may_stand_alone(http: httpx.Client, model: str) -> None:
    alone = vectors(embed(http, input="flu", model=CORPUS))
    listed = vectors(embed(http, input=["flu"], model=CORPUS))
    np.testing.assert_allclose(alone, listed, atol=1e-6)


def test_dimensions_may_be_given_if_they_are_the_models_own(http: httpx.Client, model: str) -> None:
    assert vectors(embed(http, input="flu", model=CORPUS, dimensions=32, user="me")).shape == (1, 32)


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"dimensions": 16}, 400, "dimensions"),
        ({"input": []}, 400, "input"),
        ({"input": ""}, 400, "input.0"),
        ({"input": ["flu", " "]}, 400, "input.1"),
        ({"input": ["flu"] * 2049}, 400, "input"),
        ({"input": [[1, 2, 3]]}, 400, "input.0"),
        ({"model": "text-embedding-3-small"}, 404, "model"),
        ({"encoding_format": "int8"}, 400, "encoding_format"),
        ({"input_type": "title"}, 400, "input_type"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_request_is_refused_by_the_name_of_its_field(
    http: httpx.Client, model: str, change: dict[str, Any], status: int, field: str
) -> None:
    answer = http.post("/v1/embeddings", json={"input": "flu", "model": CORPUS, **change})
    assert answer.status_code == status, answer.text
    assert answer.json()["field"] == field
