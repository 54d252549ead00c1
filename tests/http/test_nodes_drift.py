"""A node whose wall clock goes wrong while it runs: it says so, deletes nothing by it, and ends nobody's lease."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventmill.flow.upkeep import Upkeep
from eventmill.ui.app import ConsoleApp
from tests.http.test_console_pages import ORG, PASSWORD, Visitor, signed_in
from tests.http.test_cursors import DAY_S, Reader, reason
from tests.http.test_metrics import read_series
from tests.http.world import CLIENT, World, nodes
from tests.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clocks are compared all the time."""
    monkeypatch.setattr("eventmill.store.postgres.feed._CHORES_S", 0.05)


@asynccontextmanager
async def two_nodes(tmp_path: Path) -> AsyncIterator[tuple[World, World, Reader]]:
    """And a journal, as a reader of the first node sees it."""
    async with nodes(tmp_path) as (one, two):
        topic = await one.topic()
        registration = await one.register(topic, delivery_type="journal", webhook_url=...)
        yield one, two, Reader(one, topic, registration)


async def set_clock(world: World, ahead_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the machine; returns once its node has noticed."""
    wrong_ms = int(ahead_s * 1000)
    monkeypatch.setattr(world.parts.clock, "machine_ms", lambda: time.time_ns() // 1_000_000 + wrong_ms)
    await eventually(lambda: abs(world.store.clock_ahead_ms() - wrong_ms) < 1000, "the drift is known")


async def readiness(world: World) -> tuple[int, str]:
    """Status, and what is said of the clock."""
    answer = await world.call("GET", "/readyz", headers={})
    body = answer.json()
    return answer.status, " ".join(body.get("warnings", [body.get("message", "")]))


async def test_a_wrong_clock_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the node whose clock it is, and by no other, until it is right again; it takes events meanwhile."""
    async with two_nodes(tmp_path) as (one, two, reader):
        assert await readiness(one) == (200, "")
        await set_clock(one, 90, monkeypatch)
        status, warning = await readiness(one)
        assert status == 200
        assert "this machine's clock is 90 s ahead of that of database" in warning
        assert await readiness(two) == (200, "")
        series = read_series(await one.call("GET", "/metrics", headers={}))
        assert 89 < series["eventmill_clock_ahead_seconds", ""] < 91
        assert await one.publish(reader.topic) == 200
        await set_clock(one, 0, monkeypatch)
        assert await readiness(one) == (200, "")


async def test_a_clock_far_ahead_dates_no_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From tomorrow, it would date all later events of other nodes too: 503, and not ready; the others go on."""
    async with two_nodes(tmp_path) as (one, two, reader):
        await set_clock(one, DAY_S, monkeypatch)
        status, message = await readiness(one)
        assert (status, "s ahead of that of database" in message) == (503, True)
        headers = {"authorization": f"Bearer {one.token()}", "x-api-key": CLIENT}
        refused = await one.call("POST", "/", {}, headers={**headers, "content-type": "application/cloudevents+json"})
        assert (reason(refused), "ahead of" in refused.json()["message"]) == ((503, "store_unavailable"), True)
        assert await two.publish(reader.topic) == 200
        await set_clock(one, 0, monkeypatch)
        assert await readiness(one) == (200, "")
        assert await one.publish(reader.topic) == 200


@pytest.mark.parametrize("ahead_s", [600, -600])
async def test_leases_of_cursors_run_on_the_common_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_s: int
) -> None:
    """A reader on a node whose clock is ten minutes off gets no lease that another one holds, and holds its own no
    longer and no shorter than the others."""
    async with two_nodes(tmp_path) as (_one, two, first):
        second = Reader(two, first.topic, first.registration)
        (position,) = await first.publish(1)
        assert (await first.put(position)).status == 201
        await set_clock(two, ahead_s, monkeypatch)
        fence = (await first.lease(holder="a", ttl_seconds=60)).json()["lease"]["fence"]
        refused = await second.lease(holder="b", ttl_seconds=60)
        assert reason(refused) == (409, "lease_held")
        assert 50 <= int(refused.header("retry-after") or 0) <= 60
        assert (await first.lease(fence=fence, ttl_seconds=0)).status == 200
        assert (await second.lease(holder="b", ttl_seconds=60)).status == 200
        refused = await first.lease(holder="a", ttl_seconds=60)
        assert reason(refused) == (409, "lease_held")
        assert 50 <= int(refused.header("retry-after") or 0) <= 60


async def test_nothing_expires_by_a_wrong_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A month ahead, nothing is dropped; with the clock right again, what is a month old is."""
    async with two_nodes(tmp_path) as (one, two, reader):
        await reader.publish(1)
        upkeep = Upkeep(one.store, one.parts.clock, one.parts.config)
        await set_clock(one, 30 * DAY_S, monkeypatch)
        reader.advance(30 * DAY_S * 1000)
        assert await upkeep.step() == 0
        assert len(await two.journal(reader.registration)) == 1
        await set_clock(one, 0, monkeypatch)
        assert await upkeep.step() == 1


async def test_the_console_tells_of_a_wrong_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators see on the page of nodes what the log says."""
    async with nodes(tmp_path) as (one, two):
        await set_clock(one, 90, monkeypatch)
        admin = await signed_in(one, "admin")
        again = Visitor(ConsoleApp(two.parts, two.app))
        assert await again.get("/ui/sign-in") == 200
        assert await again.post("/ui/sign-in", name="admin", password=PASSWORD, next=ORG) == 303
        pages = []
        for visitor in (admin, again):
            assert await visitor.get(f"{ORG}/operations") == 200
            assert "Slots held" in visitor.body
            pages.append(visitor.body)
        assert ["clock is 90 s ahead of" in page for page in pages] == [True, False]
