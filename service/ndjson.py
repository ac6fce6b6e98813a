"""NDJSON both ways: lines are read, handled in chunks and answered while the body still comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy.exc import IntegrityError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from embedloop.errors import EmbedloopError, InvalidInput, TooLarge
from service.problems import RACED, line_error

log = logging.getLogger(__name__)

LINES_PER_CHUNK = 200
BYTES_PER_CHUNK = 8 * 1024 * 1024
# A caller that pauses gets its answers; a caller that reads late gets them from this buffer.
PAUSE_SECONDS = 0.1
CHUNKS_BUFFERED = 2000


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the body, counted from 1: parsed, or refused."""

    number: int
    value: dict[str, Any] | None
    error: EmbedloopError | None = None

    def refused(self, error: EmbedloopError) -> dict[str, Any]:
        """The answer to a line that changed nothing."""
        told: dict[str, Any] = {"line": self.number, "status": "refused", "error": line_error(error)}
        identity = (self.value or {}).get("id")
        return told | ({"id": identity} if isinstance(identity, str) else {})


Handle = Callable[[Sequence[Line]], Awaitable[list[dict[str, Any]]]]
Summarise = Callable[[], Awaitable[dict[str, Any]]]


class NdjsonAnswer(Response):
    """Streams the answer to a streamed body.

    Starlette's own streaming response reads from the request to notice a caller that left, and would take
    the body away from us.
    """

    media_type = "application/x-ndjson"

    def __init__(self, request: Request, handle: Handle, summarise: Summarise, *, max_line_bytes: int):
        super().__init__()
        del self.headers["content-length"]
        self._request = request
        self._handle = handle
        self._summarise = summarise
        self._max_line_bytes = max_line_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answers: asyncio.Queue[bytes | None] = asyncio.Queue(CHUNKS_BUFFERED)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        working = asyncio.create_task(self._work(answers))
        try:
            while (answer := await answers.get()) is not None:
                await send({"type": "http.response.body", "body": answer, "more_body": True})
            await working
        finally:
            working.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _work(self, answers: asyncio.Queue[bytes | None]) -> None:
        try:
            async for chunk in chunks(self._request.stream(), self._max_line_bytes):
                await answers.put(_lines_of(await self._handled(chunk)))
            await answers.put(_lines_of([{"summary": await self._summarise()}]))
        except ClientDisconnect:
            log.info("a bulk request broke off; the lines answered so far are stored")
        finally:
            await answers.put(None)

    async def _handled(self, chunk: Sequence[Line]) -> list[dict[str, Any]]:
        """A chunk that cannot be stored is refused line by line, and the rest goes on."""
        try:
            return await self._handle(chunk)
        except EmbedloopError as error:
            return [line.refused(line.error or error) for line in chunk]
        except IntegrityError as error:
            log.warning("a chunk met a change made at the same moment: %s", error)
            return [line.refused(line.error or RACED) for line in chunk]


async def chunks(body: AsyncIterator[bytes], max_line_bytes: int) -> AsyncIterator[list[Line]]:
    """Cuts a body into chunks of parsed lines; blank lines are counted and skipped.

    A chunk ends when it is full, and when the caller pauses.
    """
    cutter = _Cutter(max_line_bytes)
    pending: list[Line] = []
    size = 0
    incoming = asyncio.ensure_future(anext(body, None))
    try:
        while True:
            done, _ = await asyncio.wait({incoming}, timeout=PAUSE_SECONDS if pending else None)
            if not done:
                yield pending
                pending, size = [], 0
                continue
            data = incoming.result()
            for raw in cutter.cut(data) if data is not None else cutter.rest():
                line = parsed(raw, cutter.number, max_line_bytes)
                if line is None:
                    continue
                pending.append(line)
                size += len(raw or b"")
                if len(pending) >= LINES_PER_CHUNK or size >= BYTES_PER_CHUNK:
                    yield pending
                    pending, size = [], 0
            if data is None:
                break
            incoming = asyncio.ensure_future(anext(body, None))
        if pending:
            yield pending
    finally:
        incoming.cancel()


class _Cutter:
    """Cuts bytes at line ends; a line that is too long comes out as None."""

    def __init__(self, max_line_bytes: int):
        self.number = 0
        self._max = max_line_bytes
        self._parts: list[bytes] = []
        self._size = 0

    def cut(self, data: bytes) -> Any:
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._take(part)
            yield self._line()
        self._take(rest)

    def rest(self) -> Any:
        if self._size:
            yield self._line()

    def _take(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._max:
            self._parts.append(part)
        else:
            self._parts.clear()

    def _line(self) -> bytes | None:
        self.number += 1
        line = b"".join(self._parts) if self._size <= self._max else None
        self._parts, self._size = [], 0
        return line


def parsed(raw: bytes | None, number: int, max_line_bytes: int) -> Line | None:
    """One line as JSON; None for a blank one."""
    if raw is None:
        return Line(number, None, TooLarge(f"a line holds at most {max_line_bytes} bytes"))
    if not raw.strip():
        return None
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return Line(number, None, InvalidInput(f"this line is not valid JSON: {error}"))
    if not isinstance(value, dict):
        return Line(number, None, InvalidInput(f"a line must be an object, got {raw[:80]!r}"))
    return Line(number, value)


def _lines_of(answers: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(answer) + b"\n" for answer in answers)
