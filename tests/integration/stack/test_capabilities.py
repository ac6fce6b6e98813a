"""What the connected Milvus can do is told, and what it cannot is refused before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from embedloop.client import Client
from embedloop.doctor import examine
from embedloop.supervisor import Stack
from tests.integration.stack.conftest import ChangesNothing, NewCorpus, make_corpus

CORPUS = "capable"


@pytest.fixture(scope="module", autouse=True)
def corpus(client: Client, base_model: str) -> None:
    make_corpus(client, CORPUS, base_model)


def test_a_ready_service_tells_what_its_milvus_can_do(http: httpx.Client) -> None:
    answer = http.get("/readyz").json()
    assert answer["checks"]["milvus"] == "ok"
    able = answer["capabilities"]["milvus"]
    assert able["kind"] == "lite"
    assert able["server"].startswith("3.")
    assert "HNSW" in able["index_types"]
    assert able["vector_types"] == ["float32"]
    assert able["bm25"] is True


def test_doctor_names_the_milvus_of_a_running_service(stack: Stack, tmp_path: Path) -> None:
    (service,) = [finding for finding in examine(tmp_path, stack.url) if finding.name == "service"]
    assert service.well
    assert "answers 200, on Milvus 3." in service.found


@pytest.mark.parametrize(
    ("field", "value", "able"),
    [
        ("index_type", "DISKANN", "AUTOINDEX, FLAT, HNSW"),
        ("index_type", "IVF_RABITQ", "AUTOINDEX, FLAT, HNSW"),
        ("vector_type", "int8", "float32"),
    ],
)
def test_what_the_server_cannot_do_is_refused_with_what_it_can(
    http: httpx.Client, changes_nothing: ChangesNothing, field: str, value: str, able: str
) -> None:
    policy = {"index": {"index_type": "HNSW", field: value}}
    with changes_nothing():
        answers = [
            http.post("/v1/corpora", json={"name": "never-made", "policy": policy}),
            http.patch(f"/v1/corpora/{CORPUS}", json={"policy": policy}),
        ]
    for answer in answers:
        problem: dict[str, Any] = answer.json()
        assert (answer.status_code, problem["code"]) == (400, "invalid_input")
        assert problem["field"] == f"policy.index.{field}"
        assert f"Milvus Lite 3.2.2 cannot do {value}; it can do {able}" in problem["detail"]


def test_a_corpus_with_bm25_finds_by_words_that_its_model_does_not_know(
    client: Client, new_corpus: NewCorpus
) -> None:
    corpus = new_corpus(index={"bm25": True})
    client.put_document(corpus, "part", title="Part", text="see ZX-81-Q for it", wait_applied=True)
    found = client.search(corpus, "ZX-81-Q", top_k=2).results
    assert "part" in {hit.document_id for hit in found}
    assert all(0 < hit.score <= 2 / 61 for hit in found)
