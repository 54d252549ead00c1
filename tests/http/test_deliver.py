"""`flow.deliver` with a real store and real endpoints: fair shares of the cap, batches, units, deleted lanes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eventmill.core.signing import DeliverySigner
from eventmill.flow.attempt import Attempter
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.deliver import Deliver
from eventmill.model import Lane
from eventmill.send.webhook import WebhookSender
from tests.http.receivers import Connection, receiving, response
from tests.http.world import DELIVERY_KEY, SEALER, WORKSPACE, World, key_pair, running

pytestmark = pytest.mark.anyio

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
    def __init__(self, world: World, hook: Hook, deliver: Deliver) -> None:
        self.world = world
        self.hook = hook
        self.deliver = deliver

    async def register(self, topic: Any, path: str, **members: Any) -> dict[str, Any]:
        return await self.world.register(topic, name=path, webhook_url=self.hook.url + path, **members)


@asynccontextmanager
async def delivering(tmp_path: Path, **settings: Any) -> AsyncIterator[Delivery]:
    hook = Hook()
    async with running(tmp_path, dev=True, **settings) as world, receiving(hook.behave) as receiver:
        hook.url = receiver.url.removesuffix("/hook")
        parts = world.parts
        sender = WebhookSender(parts.config)
        await sender.start()
        private_pem, _ = key_pair()
        signer = DeliverySigner(((DELIVERY_KEY, private_pem), (DELIVERY_KEY, private_pem)))
        known = Catalogue(parts.store)
        await known.load()
        attempter = Attempter(sender, signer, SEALER, parts.clock, parts.config)
        deliver = Deliver(parts.store, known, attempter, parts.clock, parts.config)
        running_stage = asyncio.create_task(deliver.run())
        try:
            yield Delivery(world, hook, deliver)
        finally:
            hook.released.set()
            deliver.stop()
            await running_stage
            await sender.close()


async def test_hanging_endpoints_leave_a_place_for_others(tmp_path: Path) -> None:
    """Endpoints that hang fill their own shares of the cap; another registration's events still go out, all of them."""
    async with delivering(tmp_path, in_flight_max=8, lane_in_flight_max=4) as delivery:
        hanging = await delivery.world.topic("Hanging")
        healthy = await delivery.world.topic("Healthy")
        for number in range(6):
            await delivery.register(hanging, f"/hang-{number}")
        await delivery.register(healthy, "/healthy")
        for number in range(5):
            await delivery.world.publish(hanging, f"h{number}")
        for number in range(6):
            await delivery.hook.until(f"/hang-{number}", 1)
        for number in range(10):
            await delivery.world.publish(healthy, str(number))
        bodies = await delivery.hook.until("/healthy", 10)

        assert sorted(json.loads(body)["id"] for body in bodies) == sorted(map(str, range(10)))
        assert sum(len(at) for path, at in delivery.hook.bodies.items() if path.startswith("/hang")) <= 8


@pytest.mark.parametrize(("settings", "most"), [({}, 20), ({"webhook_batch_bytes_max": 1500}, 3)])
async def test_batches_are_bounded_and_lose_nothing(tmp_path: Path, settings: dict[str, Any], most: int) -> None:
    """A backlog goes out in arrays of at most 20 events and so many bytes; every event is in exactly one."""
    async with delivering(tmp_path, webhook_batch_flush_ms=20, **settings) as delivery:
        topic = await delivery.world.topic()
        await delivery.register(topic, "/batch", delivery_type="webhook_batch")
        for number in range(45):
            await delivery.world.publish(topic, str(number))
        await delivery.deliver.quiesce()
        batches = [[event["id"] for event in json.loads(body)] for body in delivery.hook.bodies["/batch"]]

        assert sorted(event_id for batch in batches for event_id in batch) == sorted(map(str, range(45)))
        assert max(map(len, batches)) <= most
        bytes_max = settings.get("webhook_batch_bytes_max", 1 << 21)
        assert all(len(body) <= bytes_max for body in delivery.hook.bodies["/batch"])


async def test_a_failure_is_a_stored_unit_and_the_mark_goes_on(tmp_path: Path) -> None:
    """What is to be retried is in the store, due a minute after its first attempt, and holds nothing up."""
    async with delivering(tmp_path) as delivery:
        topic = await delivery.world.topic()
        registration = await delivery.register(topic, "/fail")
        await delivery.world.publish(topic)
        await delivery.deliver.quiesce()
        store, lane = delivery.world.store, Lane(registration["id"])
        (unit,) = await store.due_units(lane, 1 << 62, 10)
        record = await store.lane(lane)

        assert (unit.positions, unit.retries, unit.cause, unit.due_ms - unit.first_ms) == ((1,), 1, 503, 60_000)
        assert record is not None
        assert (record.mark, record.done) == (1, ())


async def test_an_attempt_under_way_at_the_delete_is_still_retried(tmp_path: Path) -> None:
    """The tombstone waits for attempts under way; one that fails afterwards becomes a unit like any other."""
    async with delivering(tmp_path) as delivery:
        topic = await delivery.world.topic()
        registration = await delivery.register(topic, "/hang-and-fail")
        await delivery.world.publish(topic)
        await delivery.hook.until("/hang-and-fail", 1)
        path = f"{REGISTRATIONS}/{registration['registration_id']}"
        assert (await delivery.world.call("DELETE", path)).status == 204
        delivery.hook.status = FAILED
        delivery.hook.released.set()
        await delivery.deliver.quiesce()

        (unit,) = await delivery.world.store.due_units(Lane(registration["id"]), 1 << 62, 10)
        assert unit.positions == (1,)


async def test_a_deleted_lane_without_units_is_gone(tmp_path: Path) -> None:
    """Nothing stays behind of a registration whose events were all delivered."""
    async with delivering(tmp_path) as delivery:
        topic = await delivery.world.topic()
        registration = await delivery.register(topic, "/fine")
        await delivery.world.publish(topic)
        await delivery.hook.until("/fine", 1)
        assert (await delivery.world.call("DELETE", f"{REGISTRATIONS}/{registration['registration_id']}")).status == 204
        await delivery.deliver.quiesce()

        assert await delivery.world.store.lane(Lane(registration["id"])) is None
