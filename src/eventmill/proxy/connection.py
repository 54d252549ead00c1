"""HTTP on connections that the listener hands over: aiohttp's own, but for how it refuses what is no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from eventmill.proxy.forward import refuse
from eventmill.proxy.target import HEAD_BYTES_MAX

_KEEP_ALIVE_S = 75.0


class HttpServer(web.Server):
    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        note_refusal: Callable[[str], None],
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self.note_refusal = note_refusal

    def __call__(self) -> web.RequestHandler:
        return _HttpConnection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=_KEEP_ALIVE_S,
            max_line_size=HEAD_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
        )


class _HttpConnection(web.RequestHandler):
    def __init__(self, server: HttpServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._note_refusal = server.note_refusal

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP is the client's fault: a refusal like any other, not a traceback in the log."""
        if status != HTTPStatus.BAD_REQUEST:
            return super().handle_error(request, status, exc, message)
        cause = f"this is not an HTTP/1.1 request: {(message or '').partition(':')[0].strip()}"
        self._note_refusal(cause)
        return refuse(status, "bad_request", cause)
