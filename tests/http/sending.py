"""A started sender, and requests for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp.abc import AbstractResolver

from eventmill.config import Config
from eventmill.send.webhook import Request, Response, WebhookSender
from eventmill.testing import Behaviour, receiving

LONG_S = 10.0
SHORT_S = 0.3


@asynccontextmanager
async def sending(resolver: AbstractResolver | None = None, **settings: Any) -> AsyncIterator[WebhookSender]:
    """Dev mode, so that loopback and plain http are open, unless told otherwise."""
    sender = WebhookSender(Config(**{"dev": True, **settings}), resolver=resolver)
    await sender.start()
    try:
        yield sender
    finally:
        await sender.close()


def post(url: str, body: bytes = b'{"a":1}', timeout_s: float = LONG_S, ca_bundle: str = "") -> Request:
    headers = (("content-type", "application/json"), ("x-adobe-event-id", "e1"))
    return Request("POST", url, headers, body, timeout_s, ca_bundle)


async def outcome(behaviour: Behaviour, timeout_s: float = LONG_S, **settings: Any) -> Response:
    """What one POST to a fresh endpoint of that behaviour comes to."""
    async with sending(**settings) as sender, receiving(behaviour) as receiver:
        return await sender.send(post(receiver.url, timeout_s=timeout_s))
