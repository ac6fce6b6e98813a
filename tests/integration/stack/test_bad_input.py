"""Bad input gets a problem that names the field, and changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from embedloop.client import Client
from tests.integration.stack.conftest import make_corpus
from tests.integration.stack.refusals import refused

pytestmark = pytest.mark.usefixtures("nothing_changes")

CORPUS = "bad-input"
NDJSON = {"Content-Type": "application/x-ndjson"}
UNSHOWN = "d19"


@pytest.fixture(scope="module", autouse=True)
def corpus(client: Client, base_model: str) -> str:
    make_corpus(client, CORPUS, base_model)
    return CORPUS


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
