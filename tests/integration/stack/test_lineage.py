"""From an import and a vote to a model version, back to its sources, and out of all training that follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from embedloop.client import Client
from embedloop.errors import Forbidden, InvalidInput, NotFound
from embedloop.supervisor import Stack
from tests.integration.stack import clinic
from tests.integration.stack.conftest import JOB_SECONDS, NewCorpus, make_corpus

NDJSON = {"Content-Type": "application/x-ndjson"}


@dataclass
class Trained:
    """A corpus with a model version, and the feedback that a person gave for it."""

    corpus: str
    model: str
    feedback: str


def train(client: Client, corpus: str) -> dict[str, Any]:
    job = client.submit_job("finetune", corpus)
    return client.wait_for_job(job["id"], JOB_SECONDS)


@pytest.fixture(scope="module")
def trained(client: Client, base_model: str) -> Trained:
    name = "lineage"
    make_corpus(client, name, base_model, training={"transfer": None})
    list(client.bulk_judgments(name, clinic.judged(1, "golden", 8)))
    list(client.bulk_judgments(name, clinic.judged(0, "train", 8), import_name="terms"))
    pair = {"anchor": "how to stop a nose bleed", "positive": "Lean forward.", "negatives": ["Lean back."]}
    assert list(client.bulk_pairs(name, [pair], import_name="faq"))[-1]["summary"]["stored"] == 1
    found = client.search(name, "bad flu", top_k=20, session="anna")
    given = client.feedback(found.retrieval_id, "up", "d09")["feedback_id"]
    job = train(client, name)
    assert job["state"] == "succeeded", job
    return Trained(name, job["result"]["model_version"], given)


def test_model_tells_what_it_was_trained_on(client: Client, trained: Trained) -> None:
    told = client.model(trained.model)["lineage"]
    assert told["counts"]["train"] == 10
    assert told["sources"]["feedback"] == 1
    assert told["sources"]["import"] == 9
    assert told["report"]["votes"]["counted"] == 1
    assert told["report"]["coverage"]["golden"]["queries"] == 8


def test_feedback_is_traced_to_the_model_that_saw_it(client: Client, trained: Trained) -> None:
    (pair,) = client.training_pairs(trained.corpus, source=trained.feedback)
    assert (pair["query"], pair["document_id"], pair["split"]) == ("bad flu", "d09", "train")
    assert pair["model_versions"] == [trained.model]
    assert "person" not in pair["sources"]


def test_pair_is_traced_to_the_line_of_its_import(client: Client, trained: Trained) -> None:
    (labelled,) = client.training_pairs(trained.corpus, query="headache")
    (imported,) = client.training_pairs(trained.corpus, source="import:faq:1", model_version=trained.model)
    assert labelled["sources"]["import"] == ["import:terms:7"]
    assert imported["query"] == "how to stop a nose bleed"


def test_golden_queries_are_in_no_pair(client: Client, trained: Trained) -> None:
    assert all(
        client.training_pairs(trained.corpus, query=one["query"]) == [] for one in clinic.judged(1, "golden", 8)
    )


def test_removed_person_and_document_are_in_no_later_model(client: Client, trained: Trained) -> None:
    person = client.forget(person="anna")
    document = client.forget(document_id="d00", corpus=trained.corpus)
    assert person["removed"]["feedback"] == 1
    for removal in (person, document):
        assert trained.model in removal["model_versions"]
    refused, _ = client.bulk_judgments(trained.corpus, clinic.judged(0, "train", 1))
    assert (refused["status"], refused["error"]["field"]) == ("refused", "document_id")
    found = client.search(trained.corpus, "bad flu", top_k=20, session="anna")
    client.feedback(found.retrieval_id, "up", "d09")
    later = train(client, trained.corpus)["result"]["model_version"]
    pairs = client.training_pairs(trained.corpus, model_version=later)
    assert len(pairs) == 8
    assert "bad flu" not in {pair["query"] for pair in pairs}
    named = {
        one for pair in pairs for kind in ("document", "negative") for one in pair["sources"].get(kind, [])
    }
    assert "d00" not in named
    assert later not in client.removal(person["id"])["model_versions"]
    assert client.search(trained.corpus, "epistaxis", top_k=20).results


@pytest.mark.parametrize(
    "line",
    [
        b'{"anchor": "a"}',
        b'{"anchor": "a", "positive": " "}',
        b'{"anchor": "a", "positive": "p\\u0000"}',
        b'{"anchor": "a", "positive": "p", "split": "golden"}',
        b'{"anchor": "a", "positive": "p", "other": 1}',
        b'{"anchor": "a", "negatives": [1]}',
        b'{"anchor": ["a"], "positive": "p"}',
        b"[]",
        b"{",
    ],
)
def test_hostile_pair_is_refused_and_the_rest_is_stored(
    http: httpx.Client, trained: Trained, line: bytes
) -> None:
    body = line + b'\n{"anchor": "fine", "positive": "p"}\n'
    answer = http.post(f"/v1/corpora/{trained.corpus}/pairs:bulk", content=body, headers=NDJSON)
    first, second, summary = answer.text.splitlines()
    assert '"refused"' in first
    assert '"stored"' in second
    assert '"refused":1' in summary


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "person"),
        ({"person": "a", "document_id": "d", "corpus": "lineage"}, "person"),
        ({"document_id": "d"}, "corpus"),
        ({"document_id": "d", "corpus": "lineage", "key_id": "k"}, "key_id"),
        ({"person": ""}, "person"),
        ({"person": "a\0"}, "person"),
        ({"document_id": "d\n", "corpus": "lineage"}, "document_id"),
    ],
)
def test_removal_that_names_nobody_or_too_much_is_refused(
    http: httpx.Client, trained: Trained, body: dict[str, Any], field: str
) -> None:
    answer = http.post("/v1/removals", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_what_is_not_there_is_not_found(client: Client, trained: Trained, new_corpus: NewCorpus) -> None:
    with pytest.raises(NotFound):
        client.forget(document_id="d", corpus="no-such-corpus")
    with pytest.raises(NotFound):
        client.removal("rm-nothing")
    with pytest.raises(NotFound):
        client.training_pairs(trained.corpus, model_version="m-nothing")
    with pytest.raises(InvalidInput):
        client.training_pairs(trained.corpus, source="a\0")


def test_keys_trace_and_remove_only_what_they_may(
    stack: Stack, client: Client, new_key: Callable[..., str], trained: Trained
) -> None:
    everywhere = client.forget(person="nobody")["id"]
    with Client(stack.url, new_key("reader", trained.corpus)) as reader, pytest.raises(Forbidden):
        reader.training_pairs(trained.corpus)
    with Client(stack.url, new_key("writer", "other")) as writer, pytest.raises(NotFound):
        writer.training_pairs(trained.corpus)
    with Client(stack.url, new_key("writer", trained.corpus)) as writer:
        assert writer.training_pairs(trained.corpus, limit=1)
        with pytest.raises(Forbidden):
            writer.forget(person="anna", corpus=trained.corpus)
    with Client(stack.url, new_key("admin", trained.corpus)) as admin:
        with pytest.raises(Forbidden):
            admin.forget(person="nobody")
        with pytest.raises(NotFound):
            admin.forget(person="nobody", corpus="other")
        with pytest.raises(NotFound):
            admin.removal(everywhere)
        own = admin.forget(person="nobody", corpus=trained.corpus)["id"]
        assert own in {removal["id"] for removal in admin.removals()}
        assert everywhere not in {removal["id"] for removal in admin.removals()}
