"""uvicorn's HTTP protocol on the parser in C, with a bound on what it keeps of a message that never ends."""

from __future__ import annotations

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from embedloop.errors import InvalidInput
from service import problems

MAX_INCOMPLETE_BYTES = 64 * 1024


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes a connection that sends more than 64 KB without ending its head, its trailers or a chunk's size.

    httptools hands headers over one by one when each is complete, and keeps an unfinished one for as long as
    it grows. What cannot be parsed is answered as a problem, like every other error.
    `uvicorn --http service.http_protocol:BoundedHttpProtocol`.
    """

    _incomplete_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._incomplete_bytes += len(data)
        super().data_received(data)
        if self._incomplete_bytes > MAX_INCOMPLETE_BYTES and not self.transport.is_closing():
            detail = f"headers, and trailers, hold at most {MAX_INCOMPLETE_BYTES} bytes"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)

    def on_headers_complete(self) -> None:
        self._incomplete_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._incomplete_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._incomplete_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, "this is no HTTP request that can be parsed")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        refusal = problems.answer(status, InvalidInput.code, detail, headers={"connection": "close"})
        head = b"".join(name + b": " + value + b"\r\n" for name, value in refusal.raw_headers)
        status_line = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
        self.transport.write(status_line + head + b"\r\n" + bytes(refusal.body))
        self.transport.close()
