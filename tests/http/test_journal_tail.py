"""The live tail (`Accept: text/event-stream`): events as they come, where it starts and goes on, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.event_stream import parse
from tests.http.world import BASE, WORKSPACE, World, running
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

DAY_MS = 86_400_000


class Stream:
    """One request, by a client that takes as many pieces as it is allowed to, and leaves when told."""

    def __init__(self, world: World, path: str, method: str = "GET", **headers: str) -> None:
        self._left = asyncio.Event()
        self._may_take = asyncio.Semaphore(1000)
        self.pieces: list[bytes] = []
        self.start: dict[str, Any] = {}
        self.complete = False
        path, _, query = path.partition("?")
        sent = {**world.auth(), "accept": "text/event-stream", **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 50000),
        }
        self.task = asyncio.get_running_loop().create_task(self._run(world.app(scope, self._receive, self._send)))

    async def _run(self, request: Awaitable[None]) -> None:
        await request

    async def _receive(self) -> Any:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        if message["body"]:
            await self._may_take.acquire()
            self.pieces.append(message["body"])
        self.complete = not message.get("more_body", False)

    @property
    def status(self) -> int:
        return int(self.start["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.start["headers"]}

    def messages(self) -> list[tuple[str, str, str]]:
        return parse(b"".join(self.pieces))

    def ids(self) -> list[str]:
        return [json.loads(data)["id"] for _, _, data in self.messages()]

    async def until(self, count: int) -> list[str]:
        """The ids of the events, once there are that many."""
        return await eventually(lambda: self.ids() if len(self.messages()) >= count else None, f"{count} events")

    def pause(self) -> None:
        """Takes nothing more from now on."""
        self._may_take = asyncio.Semaphore(0)

    def take(self, pieces: int) -> None:
        for _ in range(pieces):
            self._may_take.release()

    async def leave(self) -> None:
        self._left.set()
        await self.task


class Tailed:
    def __init__(self, world: World, topic: dict[str, Any], registration: dict[str, Any]) -> None:
        self.world = world
        self.topic = topic
        self.registration = registration
        self.path = registration["_links"]["rel:events"]["href"].removeprefix(BASE)
        self.streams: list[Stream] = []

    def open(self, query: str = "", **headers: str) -> Stream:
        stream = Stream(self.world, self.path + query, **headers)
        self.streams.append(stream)
        return stream

    async def opened(self, query: str = "", **headers: str) -> Stream:
        """Once it waits."""
        before = self.world.parts.journal.waiting
        stream = self.open(query, **headers)
        await eventually(lambda: self.world.parts.journal.waiting > before and stream.pieces, "no stream")
        return stream

    async def publish(self, *ids: str) -> None:
        for id in ids:
            await self.world.publish(self.topic, id)


@asynccontextmanager
async def tailed(directory: Path, **settings: Any) -> AsyncIterator[Tailed]:
    async with running(directory, **settings) as world:
        topic = await world.topic()
        made = Tailed(world, topic, await world.register(topic, delivery_type="journal"))
        yield made
        for stream in made.streams:
            await stream.leave()


async def test_events_as_they_come(tmp_path: Path) -> None:
    """What is there already, then each event; its id is its position, its data the event of a journal page."""
    async with tailed(tmp_path) as journal:
        await journal.publish("0", "1")
        stream = await journal.opened()
        await journal.publish("2")

        assert await stream.until(3) == ["0", "1", "2"]
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-store", "no")
        assert {"x-request-id", "access-control-allow-origin"} <= stream.headers.keys()
        page = (await journal.world.call("GET", journal.path)).json()["events"]
        assert [(each["position"], each["event"]) for each in page] == [
            (id, json.loads(data)) for _, id, data in stream.messages()
        ]


@pytest.mark.parametrize(
    ("query", "seen"), [("?latest=true", ["2"]), ("?seek=-PT1H", ["0", "1", "2"]), ("", ["0", "1", "2"])]
)
async def test_where_it_starts(tmp_path: Path, query: str, seen: list[str]) -> None:
    """The parameters mean what they mean for a page."""
    async with tailed(tmp_path) as journal:
        await journal.publish("0", "1")
        stream = await journal.opened(query)
        await journal.publish("2")
        assert await stream.until(len(seen)) == seen


async def test_last_event_id(tmp_path: Path) -> None:
    """A reader that comes back goes on behind the last event it got, whatever its address says; also if it got none."""
    async with tailed(tmp_path) as journal:
        idle = await journal.opened("?latest=true")
        place = parse(b"".join(idle.pieces) + b"data: x\n\n")[0][1]
        await idle.leave()
        await journal.publish("0", "1")
        again = await journal.opened("?latest=true", **{"last-event-id": place})
        assert await again.until(2) == ["0", "1"]
        last = again.messages()[0][1]
        assert await (await journal.opened("?latest=true", **{"last-event-id": last})).until(1) == ["1"]


async def test_refusals(tmp_path: Path) -> None:
    """Bad places are refused as for a page, expired ones with the way back; HEAD gets the head alone."""
    async with tailed(tmp_path, journal_waiters_max=1) as journal:
        for query, id, status in (("?limit=0", "", 400), ("", "rabbit", 400), ("?since=a&seek=-PT1H", "", 400)):
            stream = journal.open(query, **{"last-event-id": id})
            await stream.task
            assert (stream.status, stream.headers["content-type"]) == (status, "application/json")
        head = Stream(journal.world, journal.path, "HEAD")
        await head.task
        assert (head.status, head.pieces, journal.world.parts.journal.waiting) == (200, [], 0)
        await journal.opened()
        beyond = journal.open()
        await beyond.task
        assert (beyond.status, json.loads(beyond.pieces[0])["reason"]) == (429, "too_many_readers")
        assert beyond.headers["retry-after"] == "10"


async def test_expired_place(tmp_path: Path) -> None:
    """410 before the stream, so that a browser does not come back; within it, a message that says so ends it."""
    async with tailed(tmp_path) as journal:
        world = journal.world
        await journal.publish("0", "1")
        first = (await world.call("GET", f"{journal.path}?limit=1")).json()["_page"]["last"]
        slow = await journal.opened("?limit=1")
        await slow.until(2)
        await slow.leave()
        slow = journal.open(f"?since={first}&limit=1")
        slow.pause()
        slow.take(1)
        await eventually(lambda: world.parts.journal.waiting == 1, "no stream")
        await journal.publish("2")
        world.parts.clock.advance(3 * DAY_MS)  # type: ignore[attr-defined]
        await journal.publish("3")
        assert await world.store.expire(world.parts.clock.now_ms() - DAY_MS) > 0
        slow.take(9)
        await slow.task

        kind, _, data = slow.messages()[-1]
        assert (kind, json.loads(data)["reason"], slow.complete) == ("end", "position_expired", True)
        gone = journal.open(**{"last-event-id": first})
        await gone.task
        assert gone.status == 410


async def test_reading_at_the_readers_pace(tmp_path: Path) -> None:
    """While a reader takes nothing, nothing is read for it: one page waits, and the rest when it goes on."""
    async with tailed(tmp_path) as journal:
        stream = await journal.opened("?limit=2")
        stream.pause()
        await journal.publish(*map(str, range(10)))
        stream.take(1)
        assert len(await stream.until(1)) <= 2
        stream.take(20)
        assert await stream.until(10) == [str(number) for number in range(10)]


async def test_heartbeats_and_the_end(tmp_path: Path) -> None:
    """Without events it shows that it is there; it ends in time, whole, and its place in the queue is free again."""
    async with tailed(tmp_path, journal_heartbeat_s=0.01, journal_tail_s_max=1) as journal:
        stream = await journal.opened()
        await stream.task
        assert b":\n\n" in b"".join(stream.pieces)
        assert (stream.complete, stream.messages(), journal.world.parts.journal.waiting) == (True, [], 0)


async def test_reader_leaves(tmp_path: Path) -> None:
    """Its place is free at once."""
    async with tailed(tmp_path) as journal:
        stream = await journal.opened()
        await stream.leave()
        assert (journal.world.parts.journal.waiting, stream.complete) == (0, False)


async def test_registration_is_deleted(tmp_path: Path) -> None:
    """The stream says so and ends."""
    async with tailed(tmp_path) as journal:
        stream = await journal.opened()
        path = f"{WORKSPACE}/registrations/{journal.registration['registration_id']}"
        assert (await journal.world.call("DELETE", path)).status == 204
        await stream.task
        assert [(kind, json.loads(data)["reason"]) for kind, _, data in stream.messages()] == [("end", "not_found")]


async def test_the_gateway_is_reset(tmp_path: Path) -> None:
    """The stream says that what it has not sent is gone, and ends."""
    async with tailed(tmp_path, dev=True) as journal:
        stream = await journal.opened()
        assert (await journal.world.call("POST", "/_dev/reset", headers={})).status == 204
        await stream.task
        assert [(kind, json.loads(data)["reason"]) for kind, _, data in stream.messages()] == [
            ("end", "position_expired")
        ]


async def test_shutting_down(tmp_path: Path) -> None:
    """Streams end, whole."""
    async with tailed(tmp_path) as journal:
        stream = await journal.opened()
        journal.world.parts.journal.stop()
        await stream.task
        assert stream.complete


async def test_no_tails(tmp_path: Path) -> None:
    """`EVENTMILL_JOURNAL_TAIL_S_MAX=0` turns them off; pages are read as ever."""
    async with tailed(tmp_path, journal_tail_s_max=0) as journal:
        stream = journal.open()
        await stream.task
        assert stream.status == 429
