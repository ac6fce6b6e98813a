"""Bulk uploads cut into requests, and their answers put together again. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from embedloop.client.results import Json
from embedloop.client.wire import encoded
from embedloop.errors import InvalidInput, Unavailable

# The service answers while it reads. A request whose answer fits the socket's buffers cannot end with both
# sides writing and neither reading.
LINES_PER_REQUEST = 256
BYTES_PER_REQUEST = 4 * 1024 * 1024
# Near duplicates are looked for within a request too, and a dry run stores nothing that the next could be
# compared with. The service keeps the answers of a request until they are read.
DRY_RUN_LINES_PER_REQUEST = 10_000
DRY_RUN_BYTES_PER_REQUEST = 32 * 1024 * 1024


def batches(lines: Iterable[Mapping[str, Any]], *, dry_run: bool = False) -> Iterator[bytes]:
    """Write lines as NDJSON, in pieces that are each one request; those of a dry run are larger.

    Raises:
        InvalidInput: A line cannot be written as JSON; the message names its number, from 1.
    """
    most_lines = DRY_RUN_LINES_PER_REQUEST if dry_run else LINES_PER_REQUEST
    most_bytes = DRY_RUN_BYTES_PER_REQUEST if dry_run else BYTES_PER_REQUEST
    waiting: list[bytes] = []
    size = 0
    for number, line in enumerate(lines, 1):
        try:
            written = encoded(line) + b"\n"
        except InvalidInput as error:
            raise InvalidInput(f"line {number} {error.message}") from error
        if waiting and (len(waiting) == most_lines or size + len(written) > most_bytes):
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(written)
        size += len(written)
    if waiting:
        yield b"".join(waiting)


class Answers:
    """Renumbers the answers of consecutive requests and adds up their summaries."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._last_seq: int | None = None
        self._applied: bool | None = None
        self._dry_run: bool | None = None

    @property
    def next_line(self) -> int:
        """The number of the line that comes next, from 1."""
        return self._counts["lines"] + 1

    def take(self, answer: list[Json]) -> list[Json]:
        """Renumber the lines of one request's answer.

        Raises:
            Unavailable: The answer broke off before its summary, so some lines may not be stored.
        """
        if not answer or "summary" not in answer[-1]:
            raise Unavailable(f"a bulk answer broke off after {len(answer)} lines, without its summary")
        before = self._counts["lines"]
        summary = answer[-1]["summary"]
        for name, value in summary.items():
            if name == "last_seq":
                self._last_seq = value if value is not None else self._last_seq
            elif name == "applied":
                self._applied = value and self._applied is not False
            elif name == "dry_run":
                self._dry_run = value
            else:
                self._counts[name] += value
        return [{**line, "line": line["line"] + before} for line in answer[:-1]]

    def summary(self) -> Json:
        """Add up: `{"summary": {...}}` as the last line of one single request would be."""
        total: Json = {"lines": 0, "stored": 0, "refused": 0, **self._counts}
        if self._applied is not None:
            total |= {"last_seq": self._last_seq, "applied": self._applied}
        if self._dry_run is not None:
            total |= {"dry_run": self._dry_run}
        return {"summary": total}
