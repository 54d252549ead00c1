"""`flow.deliver` with a real store and real endpoints: fair shares of the cap, batches, units, deleted lanes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eventmill.model import Lane
from tests.http.delivery import FAILED, REGISTRATIONS, delivering

pytestmark = pytest.mark.anyio


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
