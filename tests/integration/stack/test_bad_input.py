"""Bad input gets a problem that names the field, and changes nothing."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from embedloop.client import Client
from embedloop.supervisor import Stack
from tests.integration.stack.conftest import NewCorpus, make_corpus

ChangesNothing = Callable[[], AbstractContextManager[None]]

CORPUS = "bad-input"
NDJSON = {"Content-Type": "application/x-ndjson"}
UNSHOWN = "d19"


@pytest.fixture(scope="module", autouse=True)
def corpus(client: Client, base_model: str) -> str:
    make_corpus(client, CORPUS, base_model)
    return CORPUS


@pytest.fixture(autouse=True)
def nothing_changes(request: pytest.FixtureRequest, changes_nothing: ChangesNothing) -> Iterator[None]:
    """Every test here must leave the catalog as it was, unless it says that it writes."""
    if request.node.get_closest_marker("writes"):
        yield
        return
    with changes_nothing():
        yield


def refused(response: httpx.Response, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """The problem, which must be of this kind and name this field."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/problem+json")
    problem: dict[str, Any] = response.json()
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["type"] == f"urn:embedloop:error:{code}"
    assert isinstance(problem["retryable"], bool)
    assert problem["detail"]
    if field is not None:
        assert problem["field"] == field, problem
    return problem


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/corpora/nobody", None),
        ("PATCH", "/v1/corpora/nobody", {"policy": {}}),
        ("DELETE", "/v1/corpora/nobody", None),
        ("POST", "/v1/corpora/nobody/search", {"query": "flu"}),
        ("PUT", "/v1/corpora/nobody/documents/d", {"text": "flu"}),
        ("GET", "/v1/corpora/nobody/documents/d", None),
        ("DELETE", "/v1/corpora/nobody/documents/d", None),
        ("POST", "/v1/corpora/nobody/documents:bulk", None),
        ("POST", "/v1/corpora/nobody/judgments:bulk", None),
        ("GET", "/v1/corpora/nobody/index-versions", None),
        ("POST", "/v1/corpora/nobody/promote", {"index_version": "iv-1"}),
        ("POST", "/v1/corpora/nobody/rollback", None),
        ("POST", "/v1/jobs", {"kind": "cycle", "corpus": "nobody"}),
        ("GET", "/v1/models?corpus=nobody", None),
    ],
)
def test_unknown_corpus_is_not_found(http: httpx.Client, method: str, path: str, body: Any) -> None:
    refused(http.request(method, path, json=body), 404, "not_found", "corpus")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": ""}, "query"),
        ({"query": " \n\t"}, "query"),
        ({"query": "x" * 4001}, "query"),
        ({"query": "a\0b"}, "query"),
        ({"query": 7}, "query"),
        ({}, "query"),
        ({"query": "flu", "top_k": 0}, "top_k"),
        ({"query": "flu", "top_k": 100000}, "top_k"),
        ({"query": "flu", "top_k": "10"}, "top_k"),
        ({"query": "flu", "topk": 3}, "topk"),
        ({"query": "flu", "session": "s" * 129}, "session"),
        ({"query": "flu", "filter": {"field": "year", "op": "like", "value": 1}}, "filter.op"),
        ({"query": "flu", "filter": {"and": [{"field": "a b", "op": "eq", "value": 1}]}}, "filter.and.0.field"),
        ({"query": "flu", "filter": "year = 1"}, "filter"),
    ],
)
def test_bad_search_is_refused_by_the_name_of_its_field(http: httpx.Client, body: Any, field: str) -> None:
    problem = refused(http.post(f"/v1/corpora/{CORPUS}/search", json=body), 400, "invalid_input", field)
    assert any(one["field"] == field for one in problem.get("errors", [problem]))


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"text": "x" * 10_000_000}, 413, "too_large", "text"),
        ({"text": ""}, 400, "invalid_input", "text"),
        ({"title": "t" * 2001, "text": "x"}, 400, "invalid_input", "title"),
        ({"text": "a\0b"}, 400, "invalid_input", "text"),
        ({"text": ["x"]}, 400, "invalid_input", "text"),
        ({"text": "x", "metadata": {"a b": 1}}, 400, "invalid_input", "metadata"),
        ({"text": "x", "metadata": {"a": {"b": 1}}}, 400, "invalid_input", "metadata.a"),
        ({"text": "x", "metadata": {"a": None}}, 400, "invalid_input", "metadata.a"),
        ({"text": "x", "body": "y"}, 400, "invalid_input", "body"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_document_is_refused_by_the_name_of_its_field(
    http: httpx.Client, body: Any, status: int, code: str, field: str
) -> None:
    refused(http.put(f"/v1/corpora/{CORPUS}/documents/new", json=body), status, code, field)


@pytest.mark.parametrize("identity", ["a\nb", "tab\t", "\x1b[31m", "nul\0", "\x85", "x" * 257])
def test_id_with_control_characters_or_too_long_is_refused(http: httpx.Client, identity: str) -> None:
    path = f"/v1/corpora/{CORPUS}/documents/{quote(identity, safe='')}"
    for method, body in (("PUT", {"text": "x"}), ("GET", None), ("DELETE", None)):
        problem = refused(http.request(method, path, json=body), 400, "invalid_input")
        assert problem["field"] in ("document_id", "path")


ODD_IDS = (
    "a/b",
    "/",
    "a//b/",
    "é ü",
    "..",
    ".",
    "%2F",
    "100%",
    "🩺👩‍⚕️",
    "x" * 256,
    "a?b#c&d=e",
    "a:b",
    "'\"\\",
)


@pytest.mark.writes
@pytest.mark.parametrize("identity", ODD_IDS)
def test_id_of_any_printable_characters_makes_the_round_trip(client: Client, identity: str) -> None:
    stored = client.put_document(CORPUS, identity, text="gout of the big toe")
    assert stored["document_id"] == identity
    assert client.get_document(CORPUS, identity)["document_id"] == identity
    assert client.delete_document(CORPUS, identity)["document_id"] == identity


@pytest.mark.writes
def test_bulk_stores_each_line_or_refuses_it_by_its_number(http: httpx.Client, client: Client) -> None:
    lines = [
        b'{"id": "b1", "text": "first"}',
        b'{"id": "b2", "text": "caf\xe9"}',
        b'{"id": "b3", "text": ',
        b'["b4", "text"]',
        b'{"text": "no id"}',
        b'{"id": "b6", "text": "x", "colour": "red"}',
        b'{"id": "b7\\n", "text": "x"}',
        b'{"id": "b8", "op": "destroy"}',
        b'{"id": "absent", "op": "delete"}',
        b'{"id": "half", "text": "\\ud800"}',
        b'{"id": "b11", "text": "last"}',
    ]
    body = b"\n".join(lines)
    answer = http.post(f"/v1/corpora/{CORPUS}/documents:bulk", content=body, headers=NDJSON)
    assert answer.status_code == 200
    *told, summary = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["line"] for one in told] == list(range(1, 12))
    assert [one["line"] for one in told if one["status"] == "stored"] == [1, 11]
    fields = {one["line"]: one["error"].get("field") for one in told if one["status"] == "refused"}
    assert fields == {2: None, 3: None, 4: None, 5: "id", 6: "colour", 7: "id", 8: "op", 9: "id", 10: None}
    assert all(one["error"]["message"] for one in told if one["status"] == "refused")
    counted = summary["summary"]
    assert (counted["lines"], counted["stored"], counted["refused"]) == (11, 2, 9)
    assert client.get_document(CORPUS, "b1")["text"] == "first"
    assert client.get_document(CORPUS, "b11")["text"] == "last"


@pytest.mark.writes
def test_bulk_refuses_a_document_of_ten_megabytes_and_stores_its_neighbours(client: Client) -> None:
    lines = [{"id": "n1", "text": "a"}, {"id": "n2", "text": "x" * 10_000_000}, {"id": "n3", "text": "b"}]
    *told, _ = client.bulk_documents(CORPUS, lines)
    assert [one["status"] for one in told] == ["stored", "refused", "stored"]
    assert told[1]["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"retrieval_id": "0" * 57}, "retrieval_id"),
        ({"retrieval_id": ""}, "retrieval_id"),
        ({"retrieval_id": "é.ü"}, "retrieval_id"),
        ({"signal": "like"}, "signal"),
        ({"document_id": UNSHOWN}, "document_id"),
        ({"document_id": None, "passage_id": "f" * 32}, "passage_id"),
        ({"document_id": None}, "document_id"),
        ({"passage_id": "f" * 32}, "passage_id"),
        ({"signal": "none_relevant"}, "document_id"),
        ({"signal": "correct", "document_id": "no-such-document"}, "document_id"),
        ({"signal": "correct", "document_id": None}, "document_id"),
        ({"comment": "c" * 4001}, "comment"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_feedback_is_refused_by_the_name_of_its_field(
    http: httpx.Client, client: Client, change: dict[str, Any], field: str
) -> None:
    where = {"field": "document_id", "op": "ne", "value": UNSHOWN}
    found = client.search(CORPUS, "flu and fever", top_k=3, filter=where)
    body = {
        "retrieval_id": found.retrieval_id,
        "signal": "up",
        "document_id": found.results[0].document_id,
        **change,
    }
    sent = {name: value for name, value in body.items() if value is not None}
    refused(http.post("/v1/feedback", json=sent), 400, "invalid_input", field)


def test_retrieval_id_with_one_character_changed_is_refused(http: httpx.Client, client: Client) -> None:
    found = client.search(CORPUS, "flu")
    document = found.results[0].document_id
    for position in (0, 20, len(found.retrieval_id) // 2, len(found.retrieval_id) - 1):
        old = found.retrieval_id[position]
        forged = (
            f"{found.retrieval_id[:position]}{'A' if old != 'A' else 'B'}{found.retrieval_id[position + 1 :]}"
        )
        body = {"retrieval_id": forged, "signal": "up", "document_id": document}
        refused(http.post("/v1/feedback", json=body), 400, "invalid_input", "retrieval_id")


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


def _without_safetensors(folder: Path) -> None:
    for weights in folder.glob("*.safetensors"):
        weights.rename(folder / "pytorch_model.bin")


def _with_auto_map(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))


@pytest.mark.parametrize("spoil", [_without_safetensors, _with_auto_map])
def test_model_folder_that_may_not_be_loaded_is_refused(
    http: httpx.Client, base_model: str, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    folder = Path(shutil.copytree(base_model, tmp_path / "spoilt"))
    spoil(folder)
    answer = http.post("/v1/corpora", json={"name": "spoilt", "base_model": str(folder)})
    refused(answer, 400, "model_refused", "base_model")


@pytest.mark.parametrize("path", ["models/minilm", "../models", "no-such-name", "/no/such/folder"])
def test_base_model_that_is_no_absolute_folder_is_refused(http: httpx.Client, path: str) -> None:
    answer = http.post("/v1/corpora", json={"name": "relative", "base_model": path})
    refused(answer, 400, "model_refused", "base_model")
    change = http.patch(f"/v1/corpora/{CORPUS}", json={"policy": {"base_model": path}})
    refused(change, 400, "model_refused", "policy.base_model")


@pytest.mark.parametrize("kind", ["cycle", "finetune"])
def test_job_with_too_little_feedback_is_refused(http: httpx.Client, kind: str) -> None:
    answer = http.post("/v1/jobs", json={"kind": kind, "corpus": CORPUS})
    refused(answer, 409, "too_little_feedback", "corpus")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"kind": "headache", "corpus": CORPUS}, 400, "kind"),
        ({"corpus": CORPUS}, 400, "kind"),
        ({"kind": "reindex", "corpus": "Not A Name"}, 400, "corpus"),
        ({"kind": "reindex", "corpus": CORPUS, "params": {"promote": "yes"}}, 400, "params.promote"),
        ({"kind": "reindex", "corpus": CORPUS, "params": {"speed": 1}}, 400, "params.speed"),
        (
            {"kind": "reindex", "corpus": CORPUS, "params": {"chunking": {"max_tokens": 1}}},
            400,
            "params.chunking.max_tokens",
        ),
        (
            {"kind": "evaluate", "corpus": CORPUS, "params": {"model_version": "m-0"}},
            404,
            "params.model_version",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_job_is_refused_by_the_name_of_its_field(
    http: httpx.Client, body: Any, status: int, field: str
) -> None:
    refused(http.post("/v1/jobs", json=body), status, "not_found" if status == 404 else "invalid_input", field)


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"gate": {"metrik": "ndcg@10"}}, "policy.gate.metrik"),
        ({"gate": {"metric": "accuracy"}}, "policy.gate.metric"),
        ({"colour": "red"}, "policy.colour"),
        ({"training": {"epochs": 0}}, "policy.training.epochs"),
        ({"training": "fast"}, "policy.training"),
        ({"chunking": {"max_tokens": "64"}}, "policy.chunking.max_tokens"),
        ({"votes": {"up": True}}, "policy.votes.up"),
        ({"boosts": [{"field": "a b", "value": 1, "factor": 2}]}, "policy.boosts.0.field"),
        ({"boosts": [{"field": "a", "value": [], "factor": 2}]}, "policy.boosts.0.value"),
        ({"chunking": {"max_tokens": 20, "overlap_tokens": 30}}, "policy.chunking"),
    ],
)
def test_bad_policy_is_refused_by_its_dotted_path(http: httpx.Client, policy: Any, field: str) -> None:
    created = http.post("/v1/corpora", json={"name": "bad-policy", "policy": policy})
    refused(created, 400, "invalid_input", field)
    patched = http.patch(f"/v1/corpora/{CORPUS}", json={"policy": policy})
    refused(patched, 400, "invalid_input", field)


def test_corpus_name_that_is_taken_or_wrong_is_refused(http: httpx.Client) -> None:
    refused(http.post("/v1/corpora", json={"name": CORPUS}), 409, "conflict", "name")
    for name in ("", "A", "-a", "a b", "ä", "a" * 64):
        refused(http.post("/v1/corpora", json={"name": name}), 400, "invalid_input", "name")


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
