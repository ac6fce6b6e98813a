"""Errors as RFC 9457 problem details; the one table from error class to HTTP status."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from embedloop import errors
from embedloop.errors import EmbedloopError
from service.routing import check_path

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
DEFAULT_RETRY_AFTER = 1
SHOWN_INPUT_CHARS = 80
_TYPE_TAGS = frozenset({"str", "int", "float", "bool"})

STATUS: Mapping[type[EmbedloopError], int] = {
    errors.InvalidInput: 400,
    errors.ModelRefused: 400,
    errors.Unauthorised: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLittleFeedback: 409,
    errors.PromotionRefused: 409,
    errors.VerificationFailed: 409,
    errors.TrainingFailed: 409,
    errors.JobCancelled: 409,
    errors.LeaseLost: 409,
    errors.DocumentRejected: 409,
    errors.NearDuplicate: 409,
    errors.TooLarge: 413,
    errors.QueueFull: 429,
    errors.NotReady: 503,
    errors.Unavailable: 503,
    errors.CollectionNotFound: 503,
    errors.MissingExtra: 503,
    errors.Misconfigured: 503,
    errors.DeadlineExceeded: 504,
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_CODE_OF_STATUS = {
    401: "unauthorised",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
}


# Constraints in the catalog stop what the checks before could not see.
RACED = errors.Conflict("this contradicts a change made at the same moment; look again, then repeat it")


def status_of(error: EmbedloopError) -> int:
    """HTTP status of an error; that of its nearest listed base class, 500 for none."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem(error: EmbedloopError) -> Response:
    """Renders one of Embedloop's own errors."""
    status = status_of(error)
    headers = {}
    if status in (429, 503, 504):
        wait = error.retry_after_seconds or DEFAULT_RETRY_AFTER
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return answer(
        status, error.code, error.message, field=error.field, retryable=error.retryable, headers=headers
    )


def line_error(error: EmbedloopError) -> dict[str, Any]:
    """The same error as one line of a bulk answer tells it."""
    told: dict[str, Any] = {"code": error.code, "message": error.message}
    return told | ({"field": error.field} if error.field else {})


def add_handlers(app: FastAPI) -> None:
    """Makes every error of the app a problem."""
    app.add_exception_handler(EmbedloopError, _embedloop_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(IntegrityError, _raced)
    app.add_exception_handler(Exception, _unexpected_error)


def field_errors(found: Sequence[Mapping[str, Any]], prefix: str = "") -> list[dict[str, str]]:
    """Pydantic's errors, with fields as the caller wrote them (`policy.gate.metric`) and the wrong value."""
    return [_field_error(one, prefix) for one in found]


def invalid_input(found: Sequence[Mapping[str, Any]], prefix: str = "") -> errors.InvalidInput:
    """The first of pydantic's errors as one of Embedloop's own."""
    first = field_errors(found, prefix)[0]
    return errors.InvalidInput(first["message"], field=first["field"])


def _field_error(one: Mapping[str, Any], prefix: str) -> dict[str, str]:
    location = _location(one["loc"])
    if one["type"] == "json_invalid":
        return {"field": "body", "message": f"the body is not valid JSON: {one['ctx']['error']}"}
    field = ".".join([prefix, *location] if prefix else location) or "body"
    match one["type"], one.get("input"):
        case "missing", _:
            message = f"{field} is required"
        case "extra_forbidden", _:
            message = f"{field} is not a known field"
        case _, bytes():
            message = "the body must be JSON, sent with Content-Type: application/json"
        case _, value:
            reason = str(one["msg"]).removeprefix("Value error, ")
            message = f"{field}: {reason[:1].lower()}{reason[1:]}, got {_shown(value)}"
    return {"field": field, "message": message}


def _location(parts: Sequence[object]) -> list[str]:
    """The place of an error without the names of types that Pydantic puts where several are allowed."""
    location = [str(part) for part in parts]
    for position, part in enumerate(location):
        if "[" in part:
            location = location[:position]
            break
    while location and location[-1] in _TYPE_TAGS:
        location.pop()
    return location


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_INPUT_CHARS else f"{text[:SHOWN_INPUT_CHARS]}..."


def answer(
    status: int,
    code: str,
    detail: str,
    *,
    field: str | None = None,
    retryable: bool = False,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    """An error as RFC 9457 tells it, whatever found it."""
    body: dict[str, Any] = {
        "type": f"urn:embedloop:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": retryable,
    }
    if field is not None:
        body["field"] = field
    # Text from outside may hold half a surrogate pair, which UTF-8 cannot.
    body["detail"] = detail.encode("utf-8", "replace").decode()
    return Response(
        orjson.dumps(body | dict(extra or {})), status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


async def _embedloop_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, EmbedloopError):
        raise error
    if status_of(error) >= 500:
        log.warning("%s %s: %s: %s", request.method, request.url.path, error.code, error)
    return problem(error)


async def _validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    # FastAPI puts first where the value was: body, query, path or header.
    told = field_errors([{**one, "loc": one["loc"][1:]} for one in error.errors()])
    return answer(
        400, errors.InvalidInput.code, told[0]["message"], field=told[0]["field"], extra={"errors": told}
    )


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    status = error.status_code
    code = _CODE_OF_STATUS.get(status, "invalid_input" if status < 500 else "unavailable")
    detail = str(error.detail)
    headers = error.headers
    if status == 404:
        try:
            # A route takes no id with a line end, so that its own check is not reached.
            check_path(request)
        except errors.InvalidInput as refused:
            return problem(refused)
        detail = f"there is nothing at {request.url.path}"
    if status == 405:
        detail = f"{request.method} is not allowed at {request.url.path}"
        headers = {"Allow": ", ".join(_allowed(request))}
    return answer(status, code, detail, headers=headers)


def _allowed(request: Request) -> list[str]:
    """The methods of every route at this path; the framework tells those of the first one only."""
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes
        )
    ]


async def _raced(request: Request, error: Exception) -> Response:
    log.warning("%s %s met a change made at the same moment: %s", request.method, request.url.path, error)
    return problem(RACED)


async def _unexpected_error(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(500, EmbedloopError.code, "an error inside the service; it has been logged")
