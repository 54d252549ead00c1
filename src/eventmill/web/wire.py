"""The HTTP server's protocol, with what it lacks: a bound on the size of a request's head, an end of connections that
take nothing of their answer, bodies beside an offered upgrade, refusals of malformed requests in the form of all
others, and an answer in one piece.

uvicorn keeps URL and header fields in memory for as long as they go on, and so does the parser with a single one. And
it waits for ever for a peer to take what was written, even when it has closed the connection.
"""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from eventmill.errors import GatewayError, Reason
from eventmill.flow.answers import WHOLE_ANSWER, error_answer
from eventmill.ids import IdSource

HEAD_BYTES_MAX = 64 * 1024
"""Of request line and header fields; also of trailers and of all else that comes without a byte of a body."""
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class BoundedHttp(HttpToolsProtocol):
    stalled_s = 60.0
    """A connection that takes nothing of its answer for this long is cut off."""
    _stall: asyncio.TimerHandle | None = None
    _unsent_bytes = 0
    """When `_stall` was set."""
    _without_progress_bytes = 0
    """Received since the last head, body part or message was complete."""
    _framing = b""
    """Header fields that frame the body of a request that offers an upgrade: the parser skips such bodies."""
    _resumes = False
    """While the parser is made to read on at such a body."""

    def data_received(self, data: bytes) -> None:
        self._without_progress_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(GatewayError(Reason.MALFORMED_REQUEST, "this is not an HTTP/1.1 request (RFC 9112)"))
            return
        if self._without_progress_bytes > HEAD_BYTES_MAX:
            message = f"the request's head is larger than {HEAD_BYTES_MAX} bytes"
            self._refuse(GatewayError(Reason.HEADERS_TOO_LARGE, message))

    def _parse(self, data: bytes) -> None:
        """An offered upgrade (RFC 9110 §7.8) is passed over, as java.net.http expects that offers HTTP/2 each time."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if self._framing:
                    self._resume_body()
            else:
                return

    def _resume_body(self) -> None:
        """The parser took the message for complete and waits for the next: give it a head with the same body."""
        head, self._framing = b"POST / HTTP/1.1\r\n%b\r\n" % self._framing, b""
        self._resumes = True
        try:
            self.parser.feed_data(head)
        finally:
            self._resumes = False

    def on_headers_complete(self) -> None:
        self._without_progress_bytes = 0
        if self._resumes:
            return
        super().on_headers_complete()
        cast(dict[str, object], self.scope)[WHOLE_ANSWER] = partial(_write_whole, self.cycle)
        if self.parser.should_upgrade():
            fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] in _FRAMING]
            self._framing = b"".join(fields)

    def on_body(self, body: bytes) -> None:
        self._without_progress_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._without_progress_bytes = 0
        if not self._framing:
            super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_progress()

    def resume_writing(self) -> None:
        self._forget_stall()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_stall()
        super().connection_lost(exc)

    def _await_progress(self) -> None:
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self.stalled_s, self._check_progress)

    def _check_progress(self) -> None:
        if self.transport.get_write_buffer_size() < self._unsent_bytes:
            self._await_progress()
        else:
            self.transport.abort()

    def _forget_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def timeout_keep_alive_handler(self) -> None:
        """A close would wait for ever until the last of an answer is taken."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _refuse(self, error: GatewayError) -> None:
        """The rest of the request is not read: the connection ends with the answer (RFC 6585 §5)."""
        if self.transport.is_closing():
            return
        status, headers, body = error_answer(error, IdSource().request_id())
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
        lines += [name + b": " + value for name, value in (*headers, (b"connection", b"close"))]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.transport.close()


def _write_whole(cycle: RequestResponseCycle, rest: bytes) -> bool:
    """Write a 200 of which `rest` is what follows the server's own header fields: the two messages of an answer are a
    tenth of what publishing costs. False when it must go the ordinary way, as nothing was written."""
    if cycle.response_started or cycle.disconnected or not cycle.keep_alive or cycle.flow.write_paused:
        return False
    fields = [b"%b: %b\r\n" % field for field in cycle.default_headers]
    cycle.transport.write(b"".join((STATUS_LINE[200], *fields, rest)))
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    cycle.on_response()
    return True
