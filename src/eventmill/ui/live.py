"""A page's figures, sent anew whenever they change: Server-Sent Events that hold ready-made HTML."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from eventmill.core.sse import COMMENT, format_named, format_opening
from eventmill.errors import GatewayError
from eventmill.web.http import Reply
from eventmill.web.parts import Parts

EVERY_S = 2.0
LASTS_S = 60.0
"""Then the browser comes back, and is asked who it is once more."""
_HEARTBEAT_TURNS = 7
_RECONNECT_MS = 2000
_SSE = "text/event-stream"


def live_reply(parts: Parts, make: Callable[[], Awaitable[str]], left: Callable[[], None]) -> Reply:
    """`make`: the HTML as it is now. `left` is called once, when nobody listens any more."""
    headers = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))
    return Reply(200, content_type=_SSE, headers=headers, stream=_Live(parts, make, left))


class _Live:
    def __init__(self, parts: Parts, make: Callable[[], Awaitable[str]], left: Callable[[], None]) -> None:
        self._parts = parts
        self._make = make
        self._left = left

    async def chunks(self) -> AsyncIterator[bytes]:
        yield format_opening("", _RECONNECT_MS)
        shown = ""
        for turn in range(int(LASTS_S / EVERY_S)):
            try:
                html = await self._make()
            except GatewayError:  # what it shows is gone, or the store takes a break: the browser asks again
                return
            if html != shown:
                shown = html
                yield format_named("figures", html.encode())
            elif turn % _HEARTBEAT_TURNS == 0:
                yield COMMENT
            await asyncio.sleep(EVERY_S)
            if self._parts.unready() is not None:
                return

    def close(self) -> None:
        self._left()
