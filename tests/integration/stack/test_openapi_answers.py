"""The life of one corpus over plain HTTP: each answer is of the kind that the OpenAPI document tells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import jsonschema_rs
import pytest

from embedloop.client import Client
from embedloop.supervisor import Stack
from tests.integration.stack import clinic
from tests.integration.stack.conftest import JOB_SECONDS, POLICY, lag
from tests.integration.stack.openapi import closed_document
from tests.patience import eventually

CORPUS = "told"
NDJSON = "application/x-ndjson"


DOCUMENT = closed_document()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


@dataclass
class Visitor:
    """Calls routes by their template and keeps every answer."""

    http: httpx.Client
    answers: list[tuple[str, httpx.Response]] = field(default_factory=list)

    def call(self, name: str, path: Mapping[str, str] = {}, **options: Any) -> httpx.Response:
        method, template = name.split()
        answer = self.http.request(method, template.format(corpus=CORPUS, **path), **options)
        self.answers.append((name, answer))
        return answer

    def submit(self, kind: str, headers: Mapping[str, str] = {}, **params: Any) -> dict[str, Any]:
        """Submits a job and follows it to its end."""
        body = {"kind": kind, "corpus": CORPUS, "params": params}
        submitted = self.call("POST /v1/jobs", json=body, headers=headers).json()
        return self.follow(submitted["id"])

    def follow(self, job_id: str) -> dict[str, Any]:
        self.call("GET /v1/jobs/{job_id}/events", {"job_id": job_id}, timeout=JOB_SECONDS)
        told: dict[str, Any] = self.call("GET /v1/jobs/{job_id}", {"job_id": job_id}).json()
        return told


@pytest.fixture(scope="module")
def stranger(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url) as connected:
        yield connected


@pytest.fixture(scope="module")
def visitor(http: httpx.Client, client: Client, base_model: str) -> Visitor:
    """Every route has been called with what it takes, and some with what they refuse."""
    visitor = Visitor(http)
    created = visitor.call(
        "POST /v1/corpora", json={"name": CORPUS, "base_model": base_model, "policy": POLICY}
    ).json()
    visitor.follow(created["job"])
    _write(visitor)
    eventually(lambda: lag(client, CORPUS) == 0, "the corpus to be level with its log")
    _ask(visitor)
    # Without golden queries this one fails, and the next one does not.
    assert visitor.submit("evaluate")["state"] == "failed"
    lines = [*clinic.judged(0, "golden"), {"query": "flu", "document_id": "d00", "grade": 9}]
    visitor.call(
        "POST /v1/corpora/{corpus}/judgments:bulk",
        content="\n".join(json.dumps(line) for line in lines),
        headers={"Content-Type": NDJSON},
    )
    assert visitor.submit("evaluate", headers={"Idempotency-Key": "told-once"})["state"] == "succeeded"
    _label_and_remove(visitor)
    _move(visitor)
    _decide(visitor)
    visitor.call("DELETE /v1/corpora/{corpus}")
    visitor.call("GET /v1/corpora/{corpus}")
    for name in ("GET /healthz", "GET /readyz", "GET /metrics"):
        visitor.call(name)
    return visitor


def _write(visitor: Visitor) -> None:
    lines = [*clinic.documents(), {"id": "d00", "colour": "red"}, {"id": "d19", "op": "delete"}]
    visitor.call(
        "POST /v1/corpora/{corpus}/documents:bulk",
        content="\n".join(json.dumps(line) for line in lines),
        headers={"Content-Type": NDJSON},
        params={"wait": "applied"},
    )
    one = {"document_id": "told/one"}
    document = "/v1/corpora/{corpus}/documents/{document_id}"
    body = {"title": "gout", "metadata": {"year": 2024, "tags": ["joints"]}}
    visitor.call(f"PUT {document}", one, json=body, params={"wait": "applied"})
    visitor.call(f"PUT {document}", one, json={"text": " "})
    visitor.call(f"GET {document}", one)
    visitor.call(f"DELETE {document}", one)
    visitor.call(f"GET {document}", one)


def _ask(visitor: Visitor) -> None:
    visitor.call("GET /v1/corpora")
    visitor.call("PATCH /v1/corpora/{corpus}", json={"policy": {"votes": {"click": 0.5}}})
    visitor.call("GET /v1/corpora/{corpus}")
    visitor.call("POST /v1/corpora/{corpus}/search", json={"query": " "})
    found = visitor.call(
        "POST /v1/corpora/{corpus}/search", json={"query": "flu", "session": "s", "explain": True}
    ).json()
    shown = {"retrieval_id": found["retrieval_id"], "document_id": found["results"][0]["document_id"]}
    given = visitor.call("POST /v1/feedback", json={"signal": "up", **shown}).json()
    visitor.call("DELETE /v1/feedback/{feedback_id}", given)
    visitor.call("DELETE /v1/feedback/{feedback_id}", given)
    for encoding in ("float", "base64"):
        body = {"input": ["flu", "a cold"], "model": CORPUS, "encoding_format": encoding}
        visitor.call("POST /v1/embeddings", json=body)
    visitor.call("GET /v1/models", params={"corpus": CORPUS})
    visitor.call("GET /v1/models/{model_id}", {"model_id": found["model_version"]})
    visitor.call("GET /v1/models/{model_id}/card", {"model_id": found["model_version"]})


def _label_and_remove(visitor: Visitor) -> None:
    lines = [
        {"anchor": "flu", "negatives": ["a cold"]},
        {"anchor": "reset it", "positive": "hold"},
        {"anchor": "x"},
    ]
    visitor.call(
        "POST /v1/corpora/{corpus}/pairs:bulk",
        content="\n".join(json.dumps(line) for line in lines),
        headers={"Content-Type": NDJSON},
        params={"import": "told", "first_line": "7"},
    )
    visitor.call("GET /v1/corpora/{corpus}/training-pairs", params={"query": "flu"})
    visitor.call("GET /v1/corpora/{corpus}/training-pairs", params={"limit": "0"})
    removal = visitor.call("POST /v1/removals", json={"person": "s", "corpus": CORPUS}).json()
    visitor.call("POST /v1/removals", json={"corpus": CORPUS, "document_id": "d18"})
    visitor.call("POST /v1/removals", json={})
    visitor.call("GET /v1/removals")
    visitor.call("GET /v1/removals/{removal_id}", {"removal_id": removal["id"]})
    visitor.call("GET /v1/removals/{removal_id}", {"removal_id": "rm-none"})


def _move(visitor: Visitor) -> None:
    built = visitor.submit("reindex", promote=False)
    visitor.call("POST /v1/jobs/{job_id}/cancel", {"job_id": built["id"]})
    visitor.call("GET /v1/jobs", params={"corpus": CORPUS, "limit": "1"})
    version = {"index_version": built["result"]["index_version"]}
    visitor.call("POST /v1/corpora/{corpus}/promote", json=version)
    visitor.call("POST /v1/corpora/{corpus}/promote", json=version)
    visitor.call("GET /v1/corpora/{corpus}/index-versions")
    visitor.call("GET /v1/corpora/{corpus}/index-versions/{index_version}/difference", version)
    visitor.call("POST /v1/corpora/{corpus}/rollback")


def _decide(visitor: Visitor) -> None:
    """One re-embed is approved and one rejected; both rest before, and wait for that."""
    visitor.call("PATCH /v1/corpora/{corpus}", json={"policy": {"require_approval": True}})
    for verb, body in (("approve", {}), ("reject", {"reason": "worse"})):
        asked = {"kind": "reindex", "corpus": CORPUS, "params": {"critical_queries": ["flu"]}}
        job = {"job_id": visitor.call("POST /v1/jobs", json=asked).json()["id"]}
        for order in ("pause", "resume"):
            visitor.call(f"POST /v1/jobs/{{job_id}}/{order}", job)
        eventually(partial(_waits, visitor, job), "a job that waits for approval")
        visitor.call(f"POST /v1/jobs/{{job_id}}/{verb}", job, json=body)
        visitor.follow(job["job_id"])
        visitor.call(f"POST /v1/jobs/{{job_id}}/{verb}", job, json={"reason": "again"})


def _waits(visitor: Visitor, job: Mapping[str, str]) -> bool:
    told = visitor.call("GET /v1/jobs/{job_id}", job).json()
    return bool(told["state"] == "awaiting_approval")


def _valid(schema: Mapping[str, Any], value: Any) -> None:
    jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def _events(text: str) -> Iterator[dict[str, str]]:
    for block in text.split("\n\n"):
        lines = [line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")]
        if lines:
            yield dict(lines)


def _check_body(kind: str, content: Mapping[str, Any], answer: httpx.Response) -> None:
    match kind:
        case "application/x-ndjson":
            for line in answer.text.splitlines():
                _valid(content["x-itemSchema"], json.loads(line))
        case "text/event-stream":
            for event in _events(answer.text):
                _valid(content["schema"], event)
                _valid({"$ref": "#/components/schemas/JobOut"}, json.loads(event["data"]))
        case "text/plain":
            _valid(content["schema"], answer.text)
        case _:
            _valid(content["schema"], answer.json())


def _check(name: str, answer: httpx.Response) -> None:
    told = OPERATIONS[name]["responses"][str(answer.status_code)]
    for header in told.get("headers", {}):
        assert header in answer.headers
    if "content" not in told:
        assert not answer.content
        return
    kind = answer.headers["content-type"].split(";")[0]
    _check_body(kind, told["content"][kind], answer)


@pytest.mark.parametrize("name", OPERATIONS)
def test_route_answers_well_and_as_it_is_told(visitor: Visitor, name: str) -> None:
    answers = [answer for called, answer in visitor.answers if called == name]
    assert any(answer.is_success for answer in answers), [answer.text for answer in answers]
    for answer in answers:
        _check(name, answer)


def test_some_of_these_answers_are_refusals(visitor: Visitor) -> None:
    assert {a.status_code for _, a in visitor.answers if not a.is_success} == {400, 404, 409}


@pytest.mark.parametrize("name", [name for name in OPERATIONS if " /v1/" in name])
def test_route_asks_for_a_key_as_it_is_told(stranger: httpx.Client, name: str) -> None:
    method, template = name.split()
    answer = stranger.request(method, re.sub(r"{\w+}", "x", template))
    assert answer.status_code == 401
    _check(name, answer)
