"""The OpenAPI document tells everything that a caller needs, and docs/api.md tells of the same routes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from embedloop.settings import Settings
from service import outputs, outputs_documents, outputs_lineage
from service.app import create_app
from service.problems import MEDIA_TYPE, STATUS

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
API_PAGE = Path(__file__).parents[3] / "docs" / "api.md"
DOCUMENT: dict[str, Any] = create_app(Settings(data_dir=Path("unused"))).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
KEYED = {name: operation for name, operation in OPERATIONS.items() if " /v1/" in name}

every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
every_keyed_operation = pytest.mark.parametrize("operation", KEYED.values(), ids=KEYED)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][name] if name else schema
    return found


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Status (`body` for the request's), media type and description of everything sent and answered."""
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield "body", kind, content
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {}).items():
            yield status, kind, content


def examples(content: dict[str, Any]) -> list[Any]:
    told = [one["value"] for one in content.get("examples", {}).values()]
    return told + resolved(content["schema"]).get("examples", [])


def validator(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


@every_operation
def test_operation_says_what_it_is_and_does(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"])
    assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    for parameter in operation.get("parameters", []):
        assert parameter["description"], parameter["name"]


def test_no_two_operations_share_an_id() -> None:
    assert len({operation["operationId"] for operation in OPERATIONS.values()}) == len(OPERATIONS)


@every_operation
def test_every_body_and_every_answer_has_a_schema_with_a_true_example(operation: dict[str, Any]) -> None:
    for status, kind, content in contents(operation):
        assert content["schema"], status
        if kind == "text/plain":
            continue
        assert examples(content) or "List" in content["schema"]["$ref"], (status, kind)
        for example in examples(content):
            validator(content["schema"]).validate(example)


@every_operation
def test_every_line_of_an_example_is_of_the_kind_that_is_told(operation: dict[str, Any]) -> None:
    for _, kind, content in contents(operation):
        if kind == "application/x-ndjson":
            for example in examples(content):
                for line in example.splitlines():
                    validator(content["x-itemSchema"]).validate(json.loads(line))


@every_operation
def test_refusals_are_problems_with_the_headers_that_are_sent(operation: dict[str, Any]) -> None:
    refusals = {int(status): told for status, told in operation["responses"].items() if int(status) >= 400}
    assert set(refusals) <= set(STATUS.values())
    for status, told in refusals.items():
        assert told["description"]
        assert ("Retry-After" in told.get("headers", {})) == (status in (429, 503, 504))
        assert ("WWW-Authenticate" in told.get("headers", {})) == (status == 401)
        if operation in KEYED.values():
            assert list(told["content"]) == [MEDIA_TYPE]
            assert all(example["status"] == status for example in examples(told["content"][MEDIA_TYPE]))


@every_keyed_operation
def test_operation_with_a_key_tells_what_can_go_wrong(operation: dict[str, Any]) -> None:
    assert operation["security"]
    assert {"400", "401", "503"} <= set(operation["responses"])
    parameters = {parameter["name"] for parameter in operation.get("parameters", [])}
    if any(parameter["in"] == "path" for parameter in operation.get("parameters", [])):
        assert "404" in operation["responses"]
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        assert "413" in operation["responses"]
    if "wait" in parameters and "application/json" in operation["responses"]["200"]["content"]:
        assert "504" in operation["responses"]


def test_nothing_is_told_of_an_answer_that_is_never_given() -> None:
    assert not any("422" in operation["responses"] for operation in OPERATIONS.values())
    assert "HTTPValidationError" not in DOCUMENT["components"]["schemas"]


def test_every_reference_leads_somewhere() -> None:
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(DOCUMENT)))
    assert named <= set(DOCUMENT["components"]["schemas"])


def test_every_answer_of_the_modules_is_told_of() -> None:
    kinds = {
        name
        for name, kind in (vars(outputs) | vars(outputs_documents) | vars(outputs_lineage)).items()
        if isinstance(kind, type) and issubclass(kind, outputs.Out) and kind is not outputs.Out
    }
    assert kinds <= set(DOCUMENT["components"]["schemas"])


def test_idempotency_key_is_told_by_the_name_that_is_sent() -> None:
    headers = [p for p in OPERATIONS["POST /v1/jobs"]["parameters"] if p["in"] == "header"]
    assert [header["name"] for header in headers] == ["Idempotency-Key"]


def test_api_page_names_every_route_and_no_other() -> None:
    table = [line for line in API_PAGE.read_text().splitlines() if line.startswith("| `")]
    named = set()
    for row in table:
        for methods, path in re.findall(r"`((?:[A-Z]+ )+)(/[^`]*)`", row.split("|")[1]):
            named |= {f"{method} {path}" for method in methods.split()}
    assert named == set(OPERATIONS)
    assert all(name.split()[0] in METHODS for name in named)
