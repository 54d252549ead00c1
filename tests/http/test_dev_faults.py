"""/_dev/faults: what deliveries suffer, each kind, as a webhook and the gateway see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventmill.config import Config
from eventmill.core.faults import Fault
from eventmill.errors import TraceCode
from eventmill.send.faults import Faults, FaultySender
from eventmill.send.webhook import Request
from eventmill.testing import Receiver, answering, receiving, response
from tests.http.world import World, running

pytestmark = pytest.mark.anyio


async def add(world: World, **form: object) -> tuple[int, object]:
    answer = await world.call("POST", "/_dev/faults", form)
    return answer.status, answer.json()


async def test_faults_are_set_listed_and_cleared(tmp_path: Path) -> None:
    """Of existing registrations only, each with what its kind needs and no more."""
    async with running(tmp_path, dev=True) as world:
        registration = (await world.register(await world.topic()))["registration_id"]
        status, made = await add(world, registration_id=registration, kind="status", times=3)
        told = {"registration_id": registration, "kind": "status", "times": 3, "status": 500, "latency_ms": None}
        assert (status, made) == (201, told)
        assert (await world.call("GET", "/_dev/faults")).json() == [told]
        for wrong in (
            {"kind": "status", "status": 100},
            {"kind": "drop", "status": 500},
            {"kind": "latency"},
            {"kind": "drop", "latency_ms": 5},
            {"kind": "drop", "times": 0},
            {"kind": "explode"},
        ):
            assert (await add(world, registration_id=registration, **wrong))[0] == 400, wrong
        assert (await add(world, registration_id="nobodys", kind="drop"))[0] == 404
        assert (await world.call("DELETE", "/_dev/faults?registration=another")).status == 204
        assert (await world.call("GET", "/_dev/faults")).json() == [told]
        assert (await world.call("DELETE", "/_dev/faults")).status == 204
        assert (await world.call("GET", "/_dev/faults")).json() == []


# --- What they do ---


@asynccontextmanager
async def faulty(*faults: Fault) -> AsyncIterator[tuple[FaultySender, Receiver]]:
    """With these faults set for the registration `r`."""
    held = Faults()
    for each in faults:
        held.add("r", each)
    sender = FaultySender(Config(dev=True), held)
    await sender.start()
    try:
        async with receiving(answering(response())) as receiver:
            yield sender, receiver
    finally:
        await sender.close()


def delivery(url: str, body: bytes = b"1", *, registration: str = "r", timeout_s: float = 10.0) -> Request:
    headers = (("x-adobe-event-code", "challenge" if body == b"challenge" else "low"),)
    return Request("POST", url, headers, body, timeout_s, registration_id=registration)


async def test_a_status_is_answered_in_the_webhooks_place() -> None:
    """It sees nothing of the attempt; the next one is its own. Others and challenges are spared."""
    async with faulty(Fault("status", 1, 503)) as (sender, receiver):
        for spared in (delivery(receiver.url, registration="other"), delivery(receiver.url, b"challenge")):
            assert (await sender.send(spared)).status == 200
        assert (await sender.send(delivery(receiver.url))).status == 503
        assert len(receiver.requests) == 2
        assert (await sender.send(delivery(receiver.url))).status == 200
        assert len(receiver.requests) == 3


async def test_a_drop_counts_as_delivered() -> None:
    """And says in its trace that it was one."""
    async with faulty(Fault("drop", 1)) as (sender, receiver):
        answer = await sender.send(delivery(receiver.url))
        assert (answer.status, receiver.requests) == (200, [])
        assert b"dropped" in answer.body


async def test_a_duplicate_arrives_twice() -> None:
    """The same bytes."""
    async with faulty(Fault("duplicate", 1)) as (sender, receiver):
        assert (await sender.send(delivery(receiver.url, b"once"))).status == 200
        assert [each.body for each in receiver.requests] == [b"once", b"once"]


async def test_latency_beyond_the_limit_is_a_timeout() -> None:
    """Less of it only comes late."""
    async with faulty(Fault("latency", 1, latency_ms=5000), Fault("latency", 1, latency_ms=1)) as (sender, receiver):
        answer = await sender.send(delivery(receiver.url, timeout_s=0.01))
        assert (answer.status, receiver.requests) == (TraceCode.TIMEOUT, [])
        assert (await sender.send(delivery(receiver.url))).status == 200


async def test_reordered_events_arrive_after_the_next() -> None:
    """The one behind overtakes the one that is held."""
    async with faulty(Fault("reorder", 1)) as (sender, receiver):
        first = asyncio.create_task(sender.send(delivery(receiver.url, b"first")))
        await asyncio.sleep(0)
        second = await sender.send(delivery(receiver.url, b"second"))
        assert (second.status, (await first).status) == (200, 200)
        assert [each.body for each in receiver.requests] == [b"second", b"first"]
