"""Sends a body in pieces for as long as its reader takes them, and works for a reader only while it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from eventmill.web.http import ClientGoneError, Receive, Reply, Request, Scope, Send

T = TypeVar("T")


async def send_stream(asgi: tuple[Scope, Receive, Send], reply: Reply, extra: Sequence[tuple[bytes, bytes]]) -> None:
    """The server waits within `send` until the connection takes more, and ends one that takes nothing (`web.wire`)."""
    scope, receive, send = asgi
    assert reply.stream is not None
    try:
        headers = [(b"content-type", reply.content_type.encode()), *reply.headers, *extra]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if scope["method"] != "HEAD":
            await while_there(Request(scope, receive, {}), _send_chunks(send, reply))
        await send({"type": "http.response.body", "body": b""})
    except ClientGoneError:
        return
    finally:
        reply.stream.close()


async def _send_chunks(send: Send, reply: Reply) -> None:
    assert reply.stream is not None
    async for chunk in reply.stream.chunks():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work returns or raises; `ClientGoneError` when nobody is there to hear of it any more."""
    loop = asyncio.get_running_loop()
    working, leaving = loop.create_task(work), loop.create_task(request.gone())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGoneError
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
