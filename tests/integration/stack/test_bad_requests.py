"""Requests that are no good as HTTP, or that the key does not allow, get a problem and change nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable

import httpx
import pytest

from embedloop.client import Client
from embedloop.supervisor import Stack
from tests.integration.stack.conftest import NewCorpus, make_corpus
from tests.integration.stack.refusals import refused

pytestmark = pytest.mark.usefixtures("nothing_changes")

CORPUS = "bad-requests"


@pytest.fixture(scope="module", autouse=True)
def corpus(client: Client, base_model: str) -> str:
    make_corpus(client, CORPUS, base_model)
    return CORPUS


def test_feedback_on_a_corpus_that_the_key_may_not_see_is_not_found(
    http: httpx.Client, client: Client, new_key: Callable[..., str]
) -> None:
    found = client.search(CORPUS, "flu")
    stranger = {"Authorization": f"Bearer {new_key('reader', 'other-corpus')}"}
    body = {
        "retrieval_id": found.retrieval_id,
        "signal": "up",
        "document_id": found.results[0].document_id,
    }
    refused(http.post("/v1/feedback", json=body, headers=stranger), 404, "not_found", "retrieval_id")
    search = http.post(f"/v1/corpora/{CORPUS}/search", json={"query": "flu"}, headers=stranger)
    refused(search, 404, "not_found", "corpus")


def test_role_that_does_not_allow_it_is_forbidden(http: httpx.Client, new_key: Callable[..., str]) -> None:
    reader = {"Authorization": f"Bearer {new_key('reader', CORPUS)}"}
    put = http.put(f"/v1/corpora/{CORPUS}/documents/d", json={"text": "x"}, headers=reader)
    refused(put, 403, "forbidden")
    job = http.post("/v1/jobs", json={"kind": "reindex", "corpus": CORPUS}, headers=reader)
    refused(job, 403, "forbidden")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"query": "flu"', b'{"query": NaN}', b"\xff\xfe", b'{"query": "\\ud800"}', b"[" * 5000],
)
def test_body_that_is_no_json_is_refused(http: httpx.Client, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = http.post(f"/v1/corpora/{CORPUS}/search", content=content, headers=headers)
    refused(answer, 400, "invalid_input")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
def test_body_of_another_content_type_is_refused(http: httpx.Client, kind: str) -> None:
    answer = http.post(
        f"/v1/corpora/{CORPUS}/search", content=b'{"query": "flu"}', headers={"Content-Type": kind}
    )
    refused(answer, 400, "invalid_input")


def test_missing_and_wrong_keys_are_unauthorised(stack: Stack) -> None:
    with httpx.Client(base_url=stack.url) as stranger:
        for headers in (
            {},
            {"Authorization": "Bearer el_wrong"},
            {"Authorization": "Bearer"},
            {"Authorization": f"Basic {stack.admin_key}"},
            {"Authorization": stack.admin_key},
        ):
            answer = stranger.get("/v1/corpora", headers=headers)
            refused(answer, 401, "unauthorised", "Authorization")
            assert "www-authenticate" in answer.headers


def test_unknown_routes_and_methods_are_problems(http: httpx.Client) -> None:
    refused(http.get("/v1/nothing"), 404, "not_found")
    refused(http.get("/v2/corpora"), 404, "not_found")
    refused(http.request("BREW", "/v1/corpora"), 400, "invalid_input")
    refused(http.patch("/v1/corpora"), 405, "method_not_allowed")
    answer = http.delete("/v1/corpora")
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


def _raw(stack: Stack, request: bytes) -> tuple[int, bytes]:
    """Sends bytes as they are; the status of the answer and its beginning."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall(request)
        answer = connection.recv(65536)
    return int(answer.split(b" ", 2)[1]), answer


def _flood(connection: socket.socket) -> None:
    for _ in range(10_000):
        connection.sendall(b"a" * 10_000)


def test_body_beyond_the_limit_is_refused_before_it_is_read(stack: Stack) -> None:
    head = (
        f"POST /v1/corpora/{CORPUS}/search HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.admin_key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 700000000\r\nConnection: close\r\n\r\n"
    )
    status, answer = _raw(stack, head.encode() + b"[" * 1000)
    assert status == 413
    assert b"application/problem+json" in answer


def test_header_beyond_the_limit_is_refused(stack: Stack) -> None:
    status, _ = _raw(stack, b"GET /v1/corpora HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 70_000)
    assert status == 431


def test_trailer_that_does_not_end_is_cut_off(stack: Stack) -> None:
    head = (
        f"POST /v1/corpora/{CORPUS}/search HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.admin_key}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    body = b'{"query": "flu"}'
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall(head.encode() + chunk + b"0\r\nX-Big: ")
        with pytest.raises(ConnectionError):
            _flood(connection)


@pytest.mark.writes
def test_idempotency_key_makes_one_job_and_is_refused_for_another(
    http: httpx.Client, client: Client, new_corpus: NewCorpus
) -> None:
    name = new_corpus()
    headers = {"Idempotency-Key": "once"}
    body = {"kind": "reindex", "corpus": name, "params": {"promote": False}}
    first = http.post("/v1/jobs", json=body, headers=headers)
    again = http.post("/v1/jobs", json=body, headers=headers)
    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"]
    other = http.post("/v1/jobs", json={"kind": "reindex", "corpus": name}, headers=headers)
    refused(other, 400, "invalid_input", "Idempotency-Key")
    assert client.wait_for_job(first.json()["id"], 60)["state"] == "succeeded"
    blank = http.post("/v1/jobs", json=body, headers={"Idempotency-Key": ""})
    refused(blank, 400, "invalid_input")
