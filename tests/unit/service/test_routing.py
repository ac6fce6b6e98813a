"""Path, key and size are checked before a body is read; and the whole app describes itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from embedloop.catalog import keys
from embedloop.catalog.database import Database
from embedloop.settings import Settings
from service.app import create_app, replica_id
from service.auth import KeyRing
from service.keyfiles import key_hash
from service.problems import add_handlers
from service.routing import Admin, Reader, keyed_router, read_body
from service.schemas import SearchIn

HEADERS = {"Authorization": "Bearer el_reader"}


@pytest.fixture
def client(database: Database, tmp_path: Path) -> TestClient:
    with database.write() as connection:
        keys.add(connection, key_id="k", key_hash=key_hash("el_reader"), label="", role="reader", corpora=None)
    app = FastAPI(redirect_slashes=False)
    add_handlers(app)
    router = keyed_router("test")

    @router.post("/echo/{identity:path}")
    async def echo(identity: str, body: SearchIn, caller: Reader) -> dict[str, Any]:
        return {"id": identity, "query": body.query, "key": caller.key.key_id}

    @router.post("/read")
    async def read(request: Request) -> dict[str, Any]:
        return {"query": (await read_body(request, SearchIn)).query}

    @router.post("/admin")
    async def admin(caller: Admin) -> str:
        return caller.key.role

    app.include_router(router)
    app.state.service = SimpleNamespace(
        settings=Settings(data_dir=tmp_path, max_request_bytes=2000),
        keyring=KeyRing(database, grace_seconds=1),
    )
    return TestClient(app)


def test_id_with_slashes_and_a_body_without_content_type_arrive(client: TestClient) -> None:
    answer = client.post("/v1/echo/a%2Fb//c", content=b'{"query": " q "}', headers=HEADERS)
    assert answer.json() == {"id": "a/b//c", "query": "q", "key": "k"}


@pytest.mark.parametrize(
    "kind", [None, "application/json; charset=utf-8", "application/problem+json", "text/plain"]
)
@pytest.mark.parametrize(
    "content",
    [
        b'{"query": "q"}',
        b"",
        b"null",
        b"[]",
        b'{"query": ',
        b'{"query": "\xff"}',
        b'{"query": 1, "top_k": "1", "other": 2}',
        b'{"query": "q", "top_k": 0}',
    ],
)
def test_body_that_is_read_without_fastapi_is_taken_and_refused_as_by_fastapi(
    client: TestClient, content: bytes, kind: str | None
) -> None:
    headers = HEADERS | ({"Content-Type": kind} if kind else {})
    ours = client.post("/v1/read", content=content, headers=headers)
    theirs = client.post("/v1/echo/a", content=content, headers=headers)
    assert ours.status_code == theirs.status_code
    if not theirs.is_success:
        assert ours.json() == theirs.json()


@pytest.mark.parametrize("path", ["a%0A", "%00", "a%7F", "%FF"])
def test_path_with_control_characters_or_broken_utf8_is_refused(client: TestClient, path: str) -> None:
    answer = client.post(f"/v1/echo/{path}", json={"query": "q"}, headers=HEADERS)
    assert (answer.status_code, answer.json()["field"]) == (400, "path")


def test_without_a_key_a_body_is_not_even_looked_at(client: TestClient) -> None:
    answer = client.post("/v1/echo/a", content=b"{" + b"x" * 9000)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_role_below_the_routes_is_forbidden(client: TestClient) -> None:
    assert client.post("/v1/admin", headers=HEADERS).json()["code"] == "forbidden"


@pytest.mark.parametrize("announced", [True, False])
def test_body_over_the_limit_is_413(client: TestClient, announced: bool) -> None:
    body = b'{"query": "' + b"x" * 3000 + b'"}'
    content: Any = body if announced else iter([body[:1000], body[1000:]])
    answer = client.post("/v1/echo/a", content=content, headers=HEADERS)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "body", [b'{"query": "\xff"}', b'{"query": "\\ud800"}', b'{"query": NaN}', b"[" * 1500]
)
def test_json_is_read_strictly(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/echo/a", content=body, headers=HEADERS)
    assert (answer.status_code, answer.json()["field"]) == (400, "body")
    assert answer.json()["detail"].startswith("the body is not valid JSON")


def test_app_describes_every_route_of_the_contract(tmp_path: Path) -> None:
    described = create_app(Settings(data_dir=tmp_path)).openapi()["paths"]
    corpus = "/v1/corpora/{corpus}"
    assert set(described) >= {
        "/v1/corpora",
        corpus,
        f"{corpus}/documents/{{document_id}}",
        f"{corpus}/documents:bulk",
        f"{corpus}/search",
        f"{corpus}/judgments:bulk",
        f"{corpus}/index-versions",
        f"{corpus}/promote",
        f"{corpus}/rollback",
        "/v1/feedback",
        "/v1/feedback/{feedback_id}",
        "/v1/jobs",
        "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/cancel",
        "/v1/jobs/{job_id}/events",
        "/v1/models",
        "/v1/models/{model_id}",
        "/v1/embeddings",
        "/healthz",
        "/readyz",
        "/metrics",
    }


def test_replica_keeps_its_name_over_restarts_and_differs_by_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EMBEDLOOP_REPLICA_ID", raising=False)
    one = replica_id(Settings(data_dir=tmp_path / "one"))
    assert one == replica_id(Settings(data_dir=tmp_path / "one"))
    assert one != replica_id(Settings(data_dir=tmp_path / "two"))
    assert len(one) <= 64
    monkeypatch.setenv("EMBEDLOOP_REPLICA_ID", "mine")
    assert replica_id(Settings(data_dir=tmp_path)) == "mine"
