"""Every error class has a status, and every problem says what a client needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import orjson
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from pydantic import ValidationError

from embedloop import errors
from embedloop.errors import EmbedloopError
from embedloop.policy import Policy
from service.problems import STATUS, add_handlers, field_errors, invalid_input, problem, status_of
from service.schemas import EmbeddingsIn, SearchIn


def subclasses(kind: type[EmbedloopError]) -> Iterator[type[EmbedloopError]]:
    for sub in kind.__subclasses__():
        yield sub
        yield from subclasses(sub)


@pytest.mark.parametrize("kind", sorted(set(subclasses(EmbedloopError)), key=lambda kind: kind.__name__))
def test_every_error_has_a_status_that_is_not_500(kind: type[EmbedloopError]) -> None:
    assert status_of(kind("x")) != 500


def test_every_listed_class_has_its_own_code() -> None:
    assert len({kind.code for kind in STATUS}) == len(STATUS)


def test_problem_carries_code_field_and_time_to_come_back() -> None:
    answer = problem(errors.QueueFull("full", field="query", retry_after_seconds=1.2))
    body = orjson.loads(bytes(answer.body))
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"
    assert answer.media_type == "application/problem+json"
    assert body == {
        "type": "urn:embedloop:error:queue_full",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "full",
        "code": "queue_full",
        "retryable": True,
        "field": "query",
    }


def test_missing_key_is_asked_for() -> None:
    assert problem(errors.Unauthorised("x")).headers["www-authenticate"] == "Bearer"


def app() -> FastAPI:
    made = FastAPI()
    add_handlers(made)

    @made.post("/search")
    async def search(body: SearchIn) -> str:
        await asyncio.sleep(0)
        if body.query == "crash":
            raise ZeroDivisionError("a secret detail")
        return body.query

    return made


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b'{"query": " "}', "query"),
        (b'{"query": "a", "top_k": 0}', "top_k"),
        (b'{"query": "a", "top_k": 1001}', "top_k"),
        (b'{"query": "a", "top_k": 1.5}', "top_k"),
        (b'{"query": "a", "topk": 3}', "topk"),
        (b'{"query": "a\\u0000"}', "query"),
        (b"{}", "query"),
        (b"[]", "body"),
        (b"{", "body"),
        (b"", "body"),
    ],
)
def test_bad_body_is_400_and_names_the_field(content: bytes, field: str) -> None:
    headers = {"content-type": "application/json"}
    answer = TestClient(app()).post("/search", content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid_input"
    assert answer.json()["field"] == field


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/search", 405)])
def test_unknown_routes_are_problems_too(method: str, path: str, status: int) -> None:
    answer = TestClient(app()).request(method, path)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_method_that_is_not_allowed_is_answered_with_all_that_are() -> None:
    made = app()
    parts = APIRouter(prefix="/parts")
    for method in ("PUT", "GET", "DELETE"):
        parts.add_api_route("/{name:path}", lambda name: name, methods=[method])
    made.include_router(parts)
    answer = TestClient(made).post("/parts/one")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, PUT, DELETE")
    assert TestClient(made).get("/search").headers["allow"] == "POST"


def test_unforeseen_error_tells_no_details() -> None:
    answer = TestClient(app(), raise_server_exceptions=False).post("/search", json={"query": "crash"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "secret" not in answer.text


def test_nested_field_is_named_as_the_caller_wrote_it() -> None:
    with pytest.raises(ValidationError) as wrong:
        Policy.model_validate({"gate": {"metric": "accuracy"}})
    assert invalid_input(wrong.value.errors(), "policy").field == "policy.gate.metric"


def test_names_of_types_do_not_leak_into_fields() -> None:
    with pytest.raises(ValidationError) as wrong:
        Policy.model_validate({"boosts": [{"field": "year", "value": [], "factor": 1}]})
    assert {one["field"] for one in field_errors(wrong.value.errors())} == {"boosts.0.value"}
    with pytest.raises(ValidationError) as wrong:
        EmbeddingsIn.model_validate({"input": ["a", ""], "model": "m"})
    assert [one["field"] for one in field_errors(wrong.value.errors())] == ["input.1"]
