"""The route class of every keyed route: path, key and size are checked before a body is read."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from embedloop.errors import InvalidInput
from service.auth import Caller
from service.state import Service, caller_of, service_of

BodyT = TypeVar("BodyT", bound=BaseModel)
Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_bearer = HTTPBearer(auto_error=False, description="An API key, `el_...`")


class JsonRequest(Request):
    """Reads JSON strictly: valid UTF-8, no NaN, no half surrogate pairs, bounded depth."""

    async def json(self) -> Any:
        return orjson.loads(await self.body())


class KeyedRoute(APIRoute):
    """Asks for the key first, then lets in at most `max_request_bytes`."""

    limited = True

    def check_room(self, service: Service) -> None:
        """Refuses a request that cannot be answered now, before anything is done for it."""

    def handler(self) -> Handler:
        """Answers a request that was let in: FastAPI's own handler."""
        return super().get_route_handler()

    def get_route_handler(self) -> Handler:
        handler = self.handler()

        async def keyed(request: Request) -> Response:
            check_path(request)
            service = service_of(request)
            self.check_room(service)
            receive = request.receive
            if self.limited:
                receive = limit_body(request, service.settings.max_request_bytes)
            request = JsonRequest(request.scope, receive)
            request.state.caller = await service.keyring.caller(request.headers.get("authorization"))
            return await handler(request)

        return keyed


class StreamedRoute(KeyedRoute):
    """For bodies that are read line by line: each line is limited, the whole is not."""

    limited = False


def keyed_router(tag: str, route_class: type[KeyedRoute] = KeyedRoute) -> APIRouter:
    """A router whose routes need a key."""
    return APIRouter(
        prefix="/v1",
        tags=[tag],
        route_class=route_class,
        dependencies=[Depends(_bearer)],
        strict_content_type=False,
    )


async def read_body(request: Request, model: type[BodyT]) -> BodyT:
    """The body, validated as FastAPI does it, without the time that it takes to look at everything else.

    Raises:
        RequestValidationError: it is missing, no JSON, or not what the model wants.
    """
    try:
        raw = await request.body()
    except ClientDisconnect as error:
        raise HTTPException(400, "the connection was closed in the middle of the body") from error
    if not raw:
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
    try:
        return model.model_validate(orjson.loads(raw) if _is_json(request) else raw, from_attributes=True)
    except orjson.JSONDecodeError as error:
        told = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "", "ctx": {"error": error.msg}}
        raise RequestValidationError([told]) from error
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from error


def _is_json(request: Request) -> bool:
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    return media_type.startswith("application/") and media_type.endswith(("/json", "+json"))


async def _running(request: Request) -> Service:
    # Async, because FastAPI calls any other dependency in a thread of its own.
    return service_of(request)


def _caller_with(role: str) -> Any:
    """A dependency that yields the caller if the key's role is at least `role`."""

    async def caller(request: Request) -> Caller:
        known = caller_of(request)
        known.require_role(role)
        return known

    return Depends(caller)


Reader = Annotated[Caller, _caller_with("reader")]
Writer = Annotated[Caller, _caller_with("writer")]
Admin = Annotated[Caller, _caller_with("admin")]
Running = Annotated[Service, Depends(_running)]


def check_path(request: Request) -> None:
    """Raises InvalidInput for bytes that are no UTF-8, and for control characters.

    The server would replace the first by one and the same character, and a router cuts an id at a line end.
    """
    path = request.scope["path"]
    raw = request.scope.get("raw_path", b"")
    try:
        unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"a path must be UTF-8 when unquoted, got {raw!r}", field="path") from error
    if any(unicodedata.category(char) == "Cc" for char in path):
        raise InvalidInput(f"a path must not hold control characters, got {path!r}", field="path")


def limit_body(request: Request, max_bytes: int) -> Receive:
    """A `receive` that refuses bodies longer than `max_bytes`, by what is announced and by what comes."""
    announced = request.headers.get("content-length", "")
    receive = request.receive
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
        if seen > max_bytes or (announced.isdecimal() and int(announced) > max_bytes):
            # FastAPI lets no other exception through while it reads a body.
            raise HTTPException(413, f"a request body holds at most {max_bytes} bytes")
        return message

    return limited
