"""The HTTP server's protocol, with a bound on what it lacks: the size of a request's head.

uvicorn keeps URL and header fields in memory for as long as they go on, and so does the parser with a single one.
"""

from __future__ import annotations

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from eventmill.errors import GatewayError, Reason
from eventmill.flow.answers import error_answer
from eventmill.ids import IdSource

HEAD_BYTES_MAX = 64 * 1024
"""Of request line and header fields; also of trailers and of all else that comes without a byte of a body."""


class BoundedHttp(HttpToolsProtocol):
    _without_progress_bytes = 0
    """Received since the last head, body part or message was complete."""

    def data_received(self, data: bytes) -> None:
        self._without_progress_bytes += len(data)
        super().data_received(data)
        if self._without_progress_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse()

    def on_headers_complete(self) -> None:
        self._without_progress_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._without_progress_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._without_progress_bytes = 0
        super().on_message_complete()

    def _refuse(self) -> None:
        """The rest of the request is not read: the connection ends with the answer (RFC 6585 §5)."""
        error = GatewayError(Reason.HEADERS_TOO_LARGE, f"the request's head is larger than {HEAD_BYTES_MAX} bytes")
        status, headers, body = error_answer(error, IdSource().request_id())
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
        lines += [name + b": " + value for name, value in (*headers, (b"connection", b"close"))]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.transport.close()
