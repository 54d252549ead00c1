"""The demo's webhooks: answers challenges, verifies each delivery, and keeps what came of it. On loopback only."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import msgspec
from aiohttp import web

from eventmill.demo.verify import NotVerifiedError, Verifier

SINGLE, BATCH = "/single", "/batch"
_BODY_BYTES_MAX = 4 * 1024 * 1024


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One POST, and how it was answered."""

    path: str
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes
    status: int
    events: list[dict[str, Any]]
    """Empty unless verified."""
    refusal: str = ""

    @property
    def is_verified(self) -> bool:
        return self.status == 200

    @property
    def retry_count(self) -> int:
        return int(self.headers.get("x-adobe-retry-count", "0"))


class Receiver:
    """Listens between `async with` and its end."""

    def __init__(self) -> None:
        self.verifier: Verifier | None = None
        """None: nothing is accepted yet."""
        self.challenges: list[str] = []
        """Paths that were challenged."""
        self.arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        self.down_for = 0
        """How many of the next deliveries to `SINGLE` are answered with 503."""
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.router.add_get("/{name}", self._answer_challenge)
        app.router.add_post("/{name}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        self.url = ""

    async def __aenter__(self) -> Receiver:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self._runner.cleanup()

    async def _answer_challenge(self, request: web.Request) -> web.Response:
        self.challenges.append(request.path)
        return web.Response(text=request.query.get("challenge", ""))

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        delivery = await self._judge(request.path, headers, body)
        self.arrived.put_nowait(delivery)
        return web.Response(status=delivery.status, text=delivery.refusal)

    async def _judge(self, path: str, headers: dict[str, str], body: bytes) -> Delivery:
        status, events, refusal = 200, [], ""
        if self.verifier is None or (path == SINGLE and self.down_for):
            self.down_for = max(0, self.down_for - 1)
            status, refusal = 503, "down"
        else:
            try:
                events = await self.verifier.verify(headers, body)
            except NotVerifiedError as error:
                status, refusal = 401, str(error)
        return Delivery(path=path, headers=headers, body=body, status=status, events=events, refusal=refusal)
