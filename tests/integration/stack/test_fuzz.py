"""No route answers 500, whatever JSON it is given; what it refuses, it refuses as a problem."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedloop.client import Client
from tests.integration.stack.conftest import make_corpus

CORPUS = "fuzzed"
# These wait for work, which random input cannot finish.
LEFT_OUT = {("delete", "/v1/corpora/{corpus}")}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["", "flu", CORPUS, "up", "correct", "reindex", "cycle", "eq", "\0", "١", "x" * 5000])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module", autouse=True)
def corpus(client: Client, base_model: str) -> None:
    make_corpus(client, CORPUS, base_model)


@pytest.fixture(scope="module")
def schema(http: httpx.Client) -> dict[str, Any]:
    told: dict[str, Any] = http.get("/openapi.json").raise_for_status().json()
    return told


def _operations(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1/") and (method, path) not in LEFT_OUT
    ]


def _properties(schema: dict[str, Any], operation: dict[str, Any]) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {})
    reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    named = schema["components"]["schemas"].get(reference.rsplit("/", 1)[-1], {})
    return list(named.get("properties", {}))


def _request(data: st.DataObject, schema: dict[str, Any]) -> dict[str, Any]:
    method, path, operation = data.draw(st.sampled_from(_operations(schema)))
    query: dict[str, str] = {}
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            usual = CORPUS if parameter["name"] == "corpus" else "d01"
            value = data.draw(st.just(usual) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
            path = path.replace(f"{{{parameter['name']}}}", quote(value, safe=""))
            path = path.replace(f"{{{parameter['name']}:path}}", quote(value, safe=""))
        elif parameter["in"] == "query" and data.draw(st.booleans()):
            query[parameter["name"]] = data.draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
    names = _properties(schema, operation)
    shaped = st.fixed_dictionaries({}, optional=dict.fromkeys(names, values))
    body = data.draw(shaped | values) if names else data.draw(values)
    return {"method": method.upper(), "url": path, "params": query, "json": body}


@settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(data=st.data())
def test_no_request_is_answered_with_500(
    http: httpx.Client, schema: dict[str, Any], data: st.DataObject
) -> None:
    request = _request(data, schema)
    answer = http.request(**request)
    assert answer.status_code < 500, (request, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"].startswith("application/problem+json"), request
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["detail"], request


def test_what_is_served_is_the_same_after_all_that(client: Client) -> None:
    assert client.ready().ready
    assert client.corpus(CORPUS)["serving"] is not None
    assert client.search(CORPUS, "flu", top_k=5).results
