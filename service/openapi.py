"""The OpenAPI document: what FastAPI cannot know of the routes is added, what it guesses wrongly goes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import orjson
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from embedloop import errors
from embedloop.errors import EmbedloopError
from service.output import Out
from service.outputs import Problem
from service.problems import MEDIA_TYPE, problem, status_of
from service.schemas import ID_PATTERN, NAME_PATTERN, DocumentLine, JudgmentIn, PairIn

Responses = dict[int | str, dict[str, Any]]

NDJSON = "application/x-ndjson"
DESCRIPTION = """\
Embedloop stores a corpus, answers searches, takes feedback on what it showed, and keeps its embedding model
fitted to the corpus with it.

Every route under `/v1` needs `Authorization: Bearer <key>`. A key has a role (`reader`, `writer`, `admin`) and
may be limited to some corpora; what it may not see is answered as if it were not there.

Errors are RFC 9457 problems with `code`, `field` and `retryable`; `429`, `503` and `504` carry `Retry-After`.
A method that a path does not know is answered `405` with `Allow`.
"""
TAGS = [
    {"name": "corpora", "description": "Named sets of documents, each with its policy."},
    {"name": "documents", "description": "What is searched, and labels that people already have."},
    {"name": "search", "description": "Passages nearest to a query."},
    {"name": "feedback", "description": "Thumbs, clicks and corrections on what a search showed."},
    {"name": "jobs", "description": "Long work: training cycles, evaluations, new index versions."},
    {"name": "models", "description": "Model versions with their metrics."},
    {"name": "index versions", "description": "What serves a corpus, and the swap to another."},
    {"name": "lineage", "description": "What models were trained on, and how it is taken out of training."},
    {"name": "embeddings", "description": "Vectors in the shape of OpenAI's API."},
    {"name": "health", "description": "Alive, ready, measured; without a key."},
]

_PATH_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "corpus": {"description": "Name of a corpus.", "pattern": NAME_PATTERN, "example": "support"},
    "document_id": {
        "description": "1..256 characters without control characters; `/` may be among them.",
        "pattern": r"^[^\x00-\x1f\x7f-\x9f]{1,256}$",
        "example": "gout",
    },
    "feedback_id": {"description": "As it was answered.", "pattern": ID_PATTERN, "example": "f-0197d2c4"},
    "job_id": {"description": "As it was answered.", "pattern": ID_PATTERN, "example": "j-01f0c8b0f54a3e80"},
    "index_version": {"description": "Id of one.", "pattern": ID_PATTERN, "example": "iv-9b2f7d1c"},
    "removal_id": {"description": "As it was answered.", "pattern": ID_PATTERN, "example": "rm-4f6d0c9e"},
    "model_id": {"description": "Of a model version.", "pattern": ID_PATTERN, "example": "m-7d1c9b2f"},
}
_REFUSALS: Mapping[int, tuple[str, EmbedloopError]] = {
    status_of(error): (description, error)
    for description, error in (
        (
            "The request is wrong; `field` names where.",
            errors.InvalidInput("query must not be blank, got ' '", field="query"),
        ),
        (
            "No key, or one that is not known.",
            errors.Unauthorised("this key is not known", field="Authorization"),
        ),
        (
            "The key's role or its corpora do not allow this.",
            errors.Forbidden("this needs a key of role 'admin', yours is 'reader'"),
        ),
        (
            "What was named is not there, or the key may not see it.",
            errors.NotFound("there is no corpus 'support'", field="corpus"),
        ),
        (
            "The request contradicts the present state.",
            errors.Conflict("there is a corpus 'support' already", field="name"),
        ),
        (
            "The body, or a text in it, is too large.",
            errors.TooLarge("text holds at most 1000000 characters, got 1200000", field="text"),
        ),
        (
            "Too many requests wait already.",
            errors.QueueFull("48 searches wait already, for about 0.3 s", retry_after_seconds=1),
        ),
        (
            "A part that is needed does not answer, or nothing serves yet.",
            errors.Unavailable("the catalog does not answer", retry_after_seconds=2),
        ),
        (
            "It took too long; writes that were acknowledged stay so.",
            errors.DeadlineExceeded("no answer within 10 s", retry_after_seconds=1),
        ),
    )
}
_HEADERS: Mapping[str, dict[str, Any]] = {
    "Retry-After": {
        "description": "Seconds to wait before the next attempt.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "Always `Bearer`.",
        "required": True,
        "schema": {"type": "string"},
    },
}
RETRY_AFTER = {"Retry-After": _HEADERS["Retry-After"]}


class Api(FastAPI):
    """An app that completes its own document, once."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            _complete(super().openapi())
        return super().openapi()


def operation_id(route: APIRoute) -> str:
    """The name of the route's function: what a generated client calls its method."""
    return route.name


def answers(
    description: str, model: type[BaseModel] | None = None, *, status: int = 200, markdown: bool = False
) -> Responses:
    """The answer when all is well; with `markdown` a caller may ask for that instead."""
    told: dict[str, Any] = {"description": description} | ({} if model is None else {"model": model})
    shown = {"markdown": {"value": "# Model version m-7d1c9b2f\n"}}
    text = {"text/markdown": {"schema": {"type": "string"}, "examples": shown}}
    return {status: told | ({"content": text} if markdown else {})}


def lines(description: str, *kinds: type[BaseModel], example: list[dict[str, Any]]) -> Responses:
    """An answer of lines, each of one of these kinds."""
    return {200: {"description": description, "content": _ndjson(kinds, example)}}


def line_body(kind: type[BaseModel], example: list[dict[str, Any]]) -> dict[str, Any]:
    """A body of lines of this kind, for `openapi_extra`."""
    return {"requestBody": {"required": True, "content": _ndjson((kind,), example)}}


def refusals(*statuses: int, **told: str) -> Responses:
    """Problems that a route with a key can answer: 400, 401, 503 and these.

    Args:
        statuses: Further ones, with what they usually mean.
        told: What one means on this route: `_409="The name is taken."`.
    """
    special = {int(name.lstrip("_")): text for name, text in told.items()}
    every = sorted({400, 401, 503, *statuses, *special})
    return {status: _refusal(status, special.get(status)) for status in every}


def _refusal(status: int, told: str | None) -> dict[str, Any]:
    usual, error = _REFUSALS[status]
    rendered = problem(error)
    headers = {name: known for name, known in _HEADERS.items() if name in rendered.headers}
    content = {
        MEDIA_TYPE: {
            "schema": {"$ref": f"#/components/schemas/{Problem.__name__}"},
            "examples": {error.code: {"value": orjson.loads(bytes(rendered.body))}},
        }
    }
    return {"description": told or usual, "content": content} | ({"headers": headers} if headers else {})


def _ndjson(kinds: tuple[type[BaseModel], ...], example: list[dict[str, Any]]) -> dict[str, Any]:
    item = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in kinds]
    return {
        NDJSON: {
            "schema": {"type": "string", "description": "One JSON object in each line."},
            # OpenAPI has a word for this from 3.2 on.
            "x-itemSchema": item[0] if len(item) == 1 else {"anyOf": item},
            "examples": {"lines": {"value": "".join(f"{json.dumps(line)}\n" for line in example)}},
        }
    }


def _complete(document: dict[str, Any]) -> None:
    schemas: dict[str, Any] = document["components"]["schemas"]
    # The service answers 400 where FastAPI would answer 422.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas.update(_line_and_answer_schemas())
    for operation in _operations(document):
        if "HTTPValidationError" in json.dumps(operation["responses"].get("422", {})):
            del operation["responses"]["422"]
        for parameter in operation.get("parameters", ()):
            _describe(parameter)
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                _name_one_schema(content)


def _line_and_answer_schemas() -> dict[str, Any]:
    """What FastAPI does not know of, and answers with the nulls in their examples, which it drops."""
    kinds: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (DocumentLine, "validation"),
        (JudgmentIn, "validation"),
        (PairIn, "validation"),
    ]
    kinds += [(kind, "serialization") for kind in _outputs(Out)]
    _, defined = models_json_schema(kinds, ref_template="#/components/schemas/{model}")
    found: dict[str, Any] = defined["$defs"]
    return found


def _outputs(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _outputs(kind)


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def _describe(parameter: dict[str, Any]) -> None:
    known = _PATH_PARAMETERS.get(parameter["name"]) if parameter["in"] == "path" else None
    if known is not None:
        parameter["description"] = known["description"]
        parameter["example"] = known["example"]
        parameter["schema"]["pattern"] = known["pattern"]


def _name_one_schema(content: dict[str, Any]) -> None:
    """Leaves of two descriptions of an answer the one that a route named."""
    schema = content.get("schema", {})
    if "$ref" in schema:
        content["schema"] = {"$ref": schema["$ref"]}
        content.pop("itemSchema", None)
