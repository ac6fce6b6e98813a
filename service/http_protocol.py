"""uvicorn's HTTP protocol on the parser in C, with an end to what it keeps of a message that never completes."""

from __future__ import annotations

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_INCOMPLETE_BYTES = 64 * 1024
_STATUS = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
_REFUSAL = (
    f"HTTP/1.1 {_STATUS.value} {_STATUS.phrase}\r\n"
    "content-length: 0\r\nconnection: close\r\n\r\n"
).encode()


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes a connection that sends more than 64 KB without ending its head, its trailers or a chunk's size.

    httptools hands headers over one by one when each is complete, and keeps an unfinished one for as long as
    it grows. `uvicorn --http service.http_protocol:BoundedHttpProtocol`.
    """

    _incomplete_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._incomplete_bytes += len(data)
        super().data_received(data)
        if self._incomplete_bytes > MAX_INCOMPLETE_BYTES and not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._incomplete_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._incomplete_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._incomplete_bytes = 0
        super().on_message_complete()
