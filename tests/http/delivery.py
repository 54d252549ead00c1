"""`flow.deliver` on the store of a test's gateway, with endpoints that fail or hang as asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from eventmill.core.signing import DeliverySigner
from eventmill.flow.aims import Aims
from eventmill.flow.attempt import Attempter
from eventmill.flow.deliver import Deliver
from eventmill.model import Lane
from eventmill.send.webhook import WebhookSender
from eventmill.store.base import Store
from eventmill.testing import Connection, receiving, response
from tests.http.world import DELIVERY_KEY, SEALER, WORKSPACE, World, key_pair, running

FAILED = "503 Service Unavailable"
REGISTRATIONS = f"{WORKSPACE}/registrations"


class Hook:
    """Holds requests to `/hang…` until `released`, answers `/fail…` with 503 and everything else with `status`."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.bodies: dict[str, list[bytes]] = {}
        self.released = asyncio.Event()
        self.arrived = asyncio.Condition()
        self.url = ""

    async def behave(self, connection: Connection) -> None:
        while (request := await connection.read_request()) is not None:
            async with self.arrived:
                self.bodies.setdefault(request.path, []).append(request.body)
                self.arrived.notify_all()
            if request.path.startswith("/hang"):
                await self.released.wait()
            await connection.send(response(status=FAILED if request.path.startswith("/fail") else self.status))

    async def until(self, path: str, count: int) -> list[bytes]:
        """The bodies at a path once there are `count`."""
        async with asyncio.timeout(20), self.arrived:
            await self.arrived.wait_for(lambda: len(self.bodies.get(path, ())) >= count)
        return self.bodies[path]


class Delivery:
    stage: asyncio.Task[None]
    """The running `deliver`."""

    def __init__(self, world: World, hook: Hook, deliver: Deliver) -> None:
        self.world = world
        self.hook = hook
        self.deliver = deliver

    def is_stalled(self) -> bool:
        """Whether a commit of progress was refused and waits to be repeated. Nothing outside shows it."""
        return self.deliver._checkpoints.stalled

    def holds_no_unit(self, lane: Lane) -> bool:
        """Whether no retry of the lane is under way, or ended without being committed. Nothing outside shows it."""
        found = self.deliver._lanes.get(lane)
        return found is not None and not found.busy_units

    async def has_read_all(self) -> bool:
        """Whether the lanes know of everything that was published. Nothing outside shows it."""
        return self.deliver._lanes.has_read(await self.world.store.heads())

    def held_bytes(self) -> int:
        """Bodies in memory. Nothing outside shows it."""
        return self.deliver._lanes.bodies.held_bytes

    async def register(self, topic: Any, path: str, **members: Any) -> dict[str, Any]:
        return await self.world.register(topic, name=path, webhook_url=self.hook.url + path, **members)


Prepare = Callable[[Delivery], Awaitable[None]]
See = Callable[[Store], Store]


@asynccontextmanager
async def delivering(
    tmp_path: Path, prepare: Prepare | None = None, see: See = lambda store: store, **settings: Any
) -> AsyncIterator[Delivery]:
    """Runs until the end of the block, then drains. `prepare` is awaited before delivery starts, which sees the store
    as `see` gives it."""
    hook = Hook()
    async with running(tmp_path, dev=True, **settings) as world, receiving(hook.behave) as receiver:
        hook.url = receiver.url.removesuffix("/hook")
        async with delivering_for(world, hook, prepare, see) as delivery:
            yield delivery


@asynccontextmanager
async def delivering_for(
    world: World, hook: Hook, prepare: Prepare | None = None, see: See = lambda store: store
) -> AsyncIterator[Delivery]:
    """Likewise, for a gateway that is there."""
    parts, store = world.parts, see(world.store)
    sender = WebhookSender(parts.config)
    await sender.start()
    private_pem, _ = key_pair()
    signer = DeliverySigner(((DELIVERY_KEY, private_pem), (DELIVERY_KEY, private_pem)))
    aims = Aims(store)
    await aims.load()
    attempter = Attempter(sender, signer, SEALER, parts.clock, parts.config)
    deliver = Deliver(store, aims, attempter, parts.clock, parts.config)
    delivery = Delivery(world, hook, deliver)
    if prepare is not None:
        await prepare(delivery)
    delivery.stage = asyncio.create_task(deliver.run())
    try:
        yield delivery
    finally:
        hook.released.set()
        deliver.stop()
        await delivery.stage
        await sender.close()
