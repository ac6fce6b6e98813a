"""A keep-alive HTTP/1.1 connection that costs little, so that the generator leaves the CPU to the service."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

from embedloop.errors import InvalidInput

MOST_HEADER_BYTES = 65_536


class Connection:
    """One connection to a search route; it connects at the first search and after a failure."""

    def __init__(self, url: str, path: str, key: str, top_k: int):
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or not parts.port:
            raise InvalidInput(f"url must be like http://127.0.0.1:8080, got {url!r}", field="url")
        self._address = (parts.hostname, parts.port)
        self._top_k = top_k
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: "
        )
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def search(self, query: str) -> tuple[int, bytes]:
        """One search: the status and the body.

        Raises:
            OSError: The connection cannot be made or broke.
            EOFError: The service closed it before the answer was whole.
            ValueError: The answer is no HTTP with a length.
        """
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._address, limit=MOST_HEADER_BYTES)
            reader, writer = self._streams
            body = json.dumps({"query": query, "top_k": self._top_k}).encode()
            writer.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
            return await _answer(reader)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drops the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    status = int(head[0].split(b" ", 2)[1])
    for line in head[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return status, await reader.readexactly(int(value))
    raise ValueError(f"the answer has no Content-Length: {head[0]!r}")
