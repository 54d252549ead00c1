"""How fast deliveries go to one registration: its own settings, its cap among many, what it asks for, memory.

2,000 retries are due at once in short form, 10,000 in full (`EVENTMILL_E2E=full`).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from eventmill.clock import VirtualClock
from eventmill.model import Lane
from eventmill.store.work import RetryUnit
from eventmill.testing import Connection, receiving, response
from tests.http.delivery import REGISTRATIONS, Delivery, delivering
from tests.http.test_registration_ca_bundle import patch, put
from tests.http.world import registration_form, running
from tests.store.builders import commit, progress

pytestmark = pytest.mark.anyio

EVENTS = 500 if os.environ.get("EVENTMILL_E2E") == "full" else 100
SHOWN = ("max_in_flight", "events_per_second")


class Counting:
    """Answers nothing until `wanted` requests are under way at once; from then on, each as it comes."""

    def __init__(self, wanted: int) -> None:
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self._wanted = wanted
        self._reached = asyncio.Event()
        self._changed = asyncio.Condition()

    async def behave(self, connection: Connection) -> None:
        while (request := await connection.read_request()) is not None:
            path = request.path
            self.under_way[path] += 1
            self.most[path] = max(self.most[path], self.under_way[path])
            if self.under_way.total() >= self._wanted:
                self._reached.set()
            await self._reached.wait()
            await asyncio.sleep(0)
            self.under_way[path] -= 1
            async with self._changed:
                self.events[path] += 1
                self._changed.notify_all()
            await connection.send(response())

    async def until(self, total: int) -> None:
        async with asyncio.timeout(300), self._changed:
            await self._changed.wait_for(lambda: self.events.total() >= total)


async def test_thousands_of_retries_at_once_keep_to_every_cap(tmp_path: Path) -> None:
    """All of them are due in the same second; each registration reaches its cap, none exceeds it, nothing is lost."""
    lanes, events = 20, EVENTS
    caps = {f"/own-{number}" if number % 2 else f"/usual-{number}": 3 if number % 2 else 4 for number in range(lanes)}
    counting = Counting(sum(caps.values()))

    async def prepare(delivery: Delivery) -> None:
        """Every event has failed once on every lane, and is due now."""
        topic = await delivery.world.topic()
        registered = []
        for path, cap in caps.items():
            own = {"max_in_flight": cap} if path.startswith("/own") else {}
            url = receiver.url.removesuffix("/hook") + path
            registered.append(await delivery.world.register(topic, name=path, webhook_url=url, **own))
        for number in range(events):
            await delivery.world.publish(topic, str(number))
        now_ms = delivery.world.parts.clock.now_ms()
        for each in registered:
            lane = Lane(each["id"])
            units = tuple(
                RetryUnit(lane.to_bytes(8, "big") + seq.to_bytes(8, "big"), lane, (seq,), False, now_ms, 1, now_ms, 503)
                for seq in range(1, events + 1)
            )
            await commit(delivery.world.store, progress(lane, events, put_units=units))

    async with (
        receiving(counting.behave) as receiver,
        delivering(tmp_path, prepare, lane_in_flight_max=4) as delivery,
    ):
        await counting.until(lanes * events)
        await delivery.deliver.quiesce()
        assert counting.most == caps
        assert counting.events == dict.fromkeys(caps, events)


async def test_rate_holds_events_back_until_it_is_lifted(tmp_path: Path) -> None:
    """One event in a thousand seconds: one goes, the others wait. Without the limit, from the next delivery on, all."""
    async with delivering(tmp_path) as delivery:
        topic = await delivery.world.topic()
        slow = await delivery.register(topic, "/slow", events_per_second=0.001)
        await delivery.register(topic, "/other")
        for number in range(5):
            await delivery.world.publish(topic, str(number))
        await delivery.hook.until("/other", 5)
        assert len(await delivery.hook.until("/slow", 1)) == 1
        changed = await put(delivery.world, slow)
        assert "events_per_second" not in changed
        await delivery.deliver.quiesce()
        assert sorted(json.loads(body)["id"] for body in delivery.hook.bodies["/slow"]) == list("01234")


async def test_rate_counts_retries(tmp_path: Path) -> None:
    """What is due waits for the rate like anything else."""
    async with delivering(tmp_path) as delivery:
        clock = delivery.world.parts.clock
        assert isinstance(clock, VirtualClock)
        topic = await delivery.world.topic()
        registration = await delivery.register(topic, "/fail")
        await delivery.register(topic, "/other")
        await delivery.world.publish(topic)
        await delivery.world.publish(topic)
        await delivery.deliver.quiesce()
        await put(delivery.world, registration, events_per_second=0.001)
        clock.advance(60_000)
        delivery.deliver.wake()
        assert len(await delivery.hook.until("/fail", 3)) == 3
        await delivery.world.publish(topic)
        await delivery.hook.until("/other", 3)
        assert len(delivery.hook.bodies["/fail"]) == 3
        await put(delivery.world, registration)
        await delivery.deliver.quiesce()
        assert len(delivery.hook.bodies["/fail"]) == 5


async def test_settings_are_stored_shown_and_taken_away(tmp_path: Path) -> None:
    """PUT replaces them, or takes them away when it has none; PATCH sets and removes them like any member."""
    async with running(tmp_path) as world:
        created = await world.register(await world.topic(), max_in_flight=2, events_per_second=12.5)
        read = await world.call("GET", f"{REGISTRATIONS}/{created['registration_id']}")
        replaced = await put(world, created, max_in_flight=3)
        patched = await patch(world, created, {"op": "replace", "path": "/events_per_second", "value": 7})
        removed = await put(world, created)
    shown = [[body.get(name) for name in SHOWN] for body in (created, read.json(), replaced, patched, removed)]
    assert shown == [[2, 12.5], [2, 12.5], [3, None], [3, 7], [None, None]]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        pytest.param({"max_in_flight": 0}, "max_in_flight", id="no place at all"),
        pytest.param(
            {"max_in_flight": 17}, "max_in_flight: must be at most 16 here, but is 17", id="above the setting"
        ),
        pytest.param({"max_in_flight": 5000}, "max_in_flight", id="beyond any"),
        pytest.param({"max_in_flight": 1.5}, "max_in_flight", id="no number of attempts"),
        pytest.param({"events_per_second": 0}, "events_per_second", id="no rate"),
        pytest.param({"events_per_second": -1}, "events_per_second", id="negative"),
        pytest.param({"events_per_second": "fast"}, "events_per_second", id="text"),
    ],
)
async def test_unusable_setting_is_refused_by_name(tmp_path: Path, members: dict[str, Any], says: str) -> None:
    """400 before anybody is asked."""
    async with running(tmp_path) as world:
        answer = await world.call("POST", REGISTRATIONS, registration_form(await world.topic(), **members))
    assert answer.status == 400
    assert says in answer.json()["message"]
    assert world.hooks.asked == []


@pytest.mark.parametrize(
    ("status", "header", "settings", "due_min"),
    [
        pytest.param("429 Too Many Requests", "Retry-After: 200\r\n", {"retry_after_max_s": 900}, 7, id="429"),
        pytest.param("503 Service Unavailable", "retry-after: 100\r\n", {"retry_after_max_s": 900}, 3, id="503"),
        pytest.param("503 Service Unavailable", "Retry-After: soon\r\n", {"retry_after_max_s": 900}, 1, id="garbage"),
        pytest.param("503 Service Unavailable", "Retry-After: 999999\r\n", {"retry_after_max_s": 100}, 3, id="capped"),
        pytest.param("500 Broken", "Retry-After: 200\r\n", {"retry_after_max_s": 900}, 1, id="another status"),
        pytest.param("503 Service Unavailable", "Retry-After: 200\r\n", {}, 1, id="not by default"),
    ],
)
async def test_retry_after_is_heeded_by_setting(
    tmp_path: Path, status: str, header: str, settings: dict[str, Any], due_min: int
) -> None:
    """The next attempt is at the first point of the schedule that is not before it."""

    async def behave(connection: Connection) -> None:
        while await connection.read_request() is not None:
            await connection.send(response(status=status, headers=header))

    async with delivering(tmp_path, **settings) as delivery, receiving(behave) as receiver:
        topic = await delivery.world.topic()
        registration = await delivery.world.register(topic, webhook_url=receiver.url)
        await delivery.world.publish(topic)
        await delivery.deliver.quiesce()
        (unit,) = await delivery.world.store.due_units(Lane(registration["id"]), 1 << 62, 10)
        assert unit.due_ms - unit.first_ms == due_min * 60_000


async def test_jitter_stays_before_the_next_retry(tmp_path: Path) -> None:
    """Due times of one moment's failures lie apart, each between its own point of the schedule and the share."""
    async with delivering(tmp_path, retry_jitter_share=0.5) as delivery:
        topic = await delivery.world.topic()
        registration = await delivery.register(topic, "/fail")
        for number in range(8):
            await delivery.world.publish(topic, str(number))
        await delivery.deliver.quiesce()
        units = await delivery.world.store.due_units(Lane(registration["id"]), 1 << 62, 10)
        waits = {unit.due_ms - unit.first_ms for unit in units}
        assert len(units) == 8
        assert len(waits) > 1
        assert all(60_000 <= wait < 120_000 for wait in waits)


@pytest.mark.parametrize("delivery_type", ["webhook", "webhook_batch"])
async def test_bodies_beyond_the_limit_go_one_by_one(tmp_path: Path, delivery_type: str) -> None:
    """Every body is larger than what may be held: one attempt at a time, no batch waits, and all is delivered."""
    counting = Counting(1)
    async with (
        receiving(counting.behave) as receiver,
        delivering(tmp_path, in_flight_bytes_max=1, webhook_batch_flush_ms=3_600_000) as delivery,
    ):
        topic = await delivery.world.topic()
        for number in range(4):
            url = receiver.url.removesuffix("/hook") + f"/{number}"
            await delivery.world.register(topic, name=f"Number {number}", webhook_url=url, delivery_type=delivery_type)
        for number in range(5):
            await delivery.world.publish(topic, str(number))
        await delivery.deliver.quiesce()
        assert len(counting.events) == 4
        assert set(counting.most.values()) == {1}
        assert delivery.held_bytes() == 0
