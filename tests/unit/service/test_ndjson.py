"""NDJSON: lines are cut, counted and handed on whatever the pieces they come in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from embedloop.errors import InvalidInput
from service.ndjson import LINES_PER_CHUNK, Line, chunks


async def pieces(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)
        yield part


async def lines(parts: Sequence[bytes], max_line_bytes: int = 100) -> list[Line]:
    return [line async for chunk in chunks(pieces(parts), max_line_bytes) for line in chunk]


BODY = b'{"id":"a"}\n\n{"id":"b"}\r\nbroken\n[1]\n{"id":"\xff"}\n{"id":"' + b"x" * 200 + b'"}\n{"id":"c"}'


@pytest.mark.parametrize("size", [1, 3, 7, 64, 10_000])
async def test_lines_are_the_same_in_whatever_pieces_they_come(size: int) -> None:
    found = await lines([BODY[i : i + size] for i in range(0, len(BODY), size)])
    assert [(line.number, line.value) for line in found if line.error is None] == [
        (1, {"id": "a"}),
        (3, {"id": "b"}),
        (8, {"id": "c"}),
    ]
    assert [(line.number, line.error.code) for line in found if line.error is not None] == [
        (4, "invalid_input"),
        (5, "invalid_input"),
        (6, "invalid_input"),
        (7, "too_large"),
    ]


async def test_empty_body_has_no_lines() -> None:
    assert await lines([b"", b""]) == []


async def test_chunks_are_full_but_for_the_last() -> None:
    body = b"{}\n" * (2 * LINES_PER_CHUNK + 5)
    sizes = [len(chunk) async for chunk in chunks(pieces([body]), 100)]
    assert sizes == [LINES_PER_CHUNK, LINES_PER_CHUNK, 5]


async def test_caller_who_pauses_gets_the_lines_handled_so_far() -> None:
    more = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'{"n":1}\n'
        await more.wait()
        yield b'{"n":2}\n'

    seen = []
    async for chunk in chunks(body(), 100):
        seen.append([line.value for line in chunk])
        more.set()
    assert seen == [[{"n": 1}], [{"n": 2}]]


def test_refused_line_is_answered_by_number_and_id() -> None:
    told = Line(3, {"id": "a"}).refused(InvalidInput("no", field="text"))
    error = {"code": "invalid_input", "message": "no", "field": "text"}
    assert told == {"line": 3, "id": "a", "status": "refused", "error": error}
