"""Puts the console beside the API: below `/ui/`, and where a browser opens `/`. All else goes to the API as it came.

What the console is made of is imported when somebody first asks for it, so that a start does not wait for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from eventmill.ui.cookies import ROOT
from eventmill.ui.figures import Figures
from eventmill.web.http import ASGIApp, Receive, Reply, Request, Scope, Send, send_reply
from eventmill.web.parts import Parts
from eventmill.web.streaming import send_stream

if TYPE_CHECKING:
    from eventmill.ui.console import Console

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_SECURITY = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_BELOW = ROOT + "/"
_TO_CONSOLE = Reply(303, headers=((b"location", _BELOW.encode()), (b"vary", b"accept")))


class ConsoleApp:
    """An ASGI application around that of the API."""

    def __init__(self, parts: Parts, api: ASGIApp) -> None:
        self._parts = parts
        self._api = api
        self._figures = Figures(parts)
        self._console: Console | None = None
        self._making = asyncio.Lock()

    async def run(self) -> None:
        """Keeps count of what the overview draws, until cancelled."""
        await self._figures.run()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path == "/" or path.startswith(_BELOW) or path == ROOT):
            await self._api(scope, receive, send)
        elif path != "/":
            await self._answer(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD") and _is_browser(Request(scope, receive, {})):
            await send_reply(scope, send, _TO_CONSOLE, ())
        else:
            await self._api(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        console = self._console or await self._made()
        request_id = self._parts.ids.request_id()
        reply = await console.answer(scope, receive, request_id)
        extra = [*_SECURITY, (b"x-request-id", request_id.encode())]
        if reply.stream is not None:
            await send_stream((scope, receive, send), reply, extra)
        else:
            await send_reply(scope, send, reply, extra)

    async def _made(self) -> Console:
        """In a thread: importing and compiling would hold up publishing."""
        async with self._making:
            if self._console is None:
                self._console = await asyncio.to_thread(_make_console, self._parts, self._figures)
            return self._console


def _make_console(parts: Parts, figures: Figures) -> Console:
    from eventmill.ui.console import Console

    return Console(parts, figures)


def _is_browser(request: Request) -> bool:
    """Programs that take anything, or JSON, get what they always got."""
    accept = request.header(b"accept")
    return "text/html" in accept and "json" not in accept
