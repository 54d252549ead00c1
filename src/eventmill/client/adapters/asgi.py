"""A webhook as an ASGI application (ASGI 3.0), for any server or framework that mounts one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from eventmill.client.adapters.receive import AsyncHandler, receive_async
from eventmill.client.deduplication import Deduplicator
from eventmill.client.verifier import AsyncVerifier
from eventmill.client.webhook import BODY_BYTES_MAX, TOO_LARGE, WRONG_METHOD, WebhookAnswer, answer_challenge

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def asgi_webhook(
    verifier: AsyncVerifier, handler: AsyncHandler, deduplicator: Deduplicator | None = None
) -> Application:
    """Whatever the path: mount it at the webhook's. Has nothing to start or to end."""

    async def application(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        answer = await _answer(scope, receive, (verifier, handler, deduplicator))
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _live(receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    return application


async def _answer(
    scope: MutableMapping[str, Any],
    receive: Receive,
    webhook: tuple[AsyncVerifier, AsyncHandler, Deduplicator | None],
) -> WebhookAnswer:
    if scope["method"] == "GET":
        return answer_challenge(scope["query_string"].decode("latin-1"))
    if scope["method"] != "POST":
        return WRONG_METHOD
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            return TOO_LARGE
        if not message.get("more_body"):
            break
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return await receive_async(*webhook, body, headers)
