"""Reads that wait for an event (`Prefer: wait=N`): woken by it, bounded in number and time, gone with their reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.http.client import Answer
from tests.http.world import BASE, WORKSPACE, World, running
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

WAIT = {"prefer": "wait=30"}


class Waiting:
    """A registration, and those who wait for its events."""

    def __init__(self, world: World, topic: dict[str, Any], registration: dict[str, Any]) -> None:
        self.world = world
        self.topic = topic
        self.registration = registration
        self.path = registration["_links"]["rel:events"]["href"].removeprefix(BASE)

    async def read(self, query: str = "", **headers: str) -> Answer:
        return await self.world.call("GET", self.path + query, headers={**self.world.auth(), **headers})

    async def start(self, query: str = "", count: int = 1, **headers: str) -> asyncio.Task[Answer]:
        """A read that waits, once `count` of them do."""
        task = asyncio.get_running_loop().create_task(self.read(query, **(headers or WAIT)))
        await eventually(lambda: task.done() or self.world.parts.journal.waiting == count, "nobody waits")
        return task


@asynccontextmanager
async def waiting(directory: Path, **settings: Any) -> AsyncIterator[Waiting]:
    async with running(directory, **settings) as world:
        topic = await world.topic()
        yield Waiting(world, topic, await world.register(topic, delivery_type="journal"))


def ids(answer: Answer) -> list[str]:
    return [entry["event"]["id"] for entry in answer.json()["events"]]


async def test_an_event_ends_the_wait(tmp_path: Path) -> None:
    """The read is answered with the event as soon as it is stored, and says that it waited; nobody waits any more."""
    async with waiting(tmp_path) as journal:
        read = await journal.start("?limit=5")
        assert not read.done()
        await journal.world.publish(journal.topic, "first")
        answer = await read

        assert (answer.status, ids(answer)) == (200, ["first"])
        assert answer.header("preference-applied") == "wait=30"
        assert "limit=5" in [value for name, value in answer.headers if name == "link"][1]
        assert journal.world.parts.journal.waiting == 0


async def test_only_who_asks_waits(tmp_path: Path) -> None:
    """Without the preference, with one that is not understood, or where events are there already: an answer at once."""
    async with waiting(tmp_path) as journal:
        for prefer in ("", "wait=0", "wait", "respond-async"):
            answer = await journal.read(prefer=prefer)
            assert (answer.status, answer.header("retry-after")) == (204, "10")
            assert answer.header("preference-applied") is None
        await journal.world.publish(journal.topic, "first")
        answer = await journal.read(**WAIT)
        assert (answer.status, answer.header("preference-applied")) == (200, "wait=30")


@pytest.mark.parametrize("query", ["", "?latest=true", "?seek=-PT1H", "?latest=true&limit=1"])
async def test_from_every_place(tmp_path: Path, query: str) -> None:
    """However the place is told, what comes after the request is what ends the wait; the next link leads on."""
    async with waiting(tmp_path) as journal:
        read = await journal.start(query)
        await journal.world.publish(journal.topic, "first")
        assert ids(await read) == ["first"]


async def test_time_runs_out(tmp_path: Path) -> None:
    """204 with links as ever; who has waited may ask again at once. The setting bounds what was asked for."""
    async with waiting(tmp_path, journal_wait_s_max=1) as journal:
        answer = await journal.read("?latest=true", **WAIT)

        assert (answer.status, answer.header("retry-after")) == (204, "0")
        assert answer.header("preference-applied") == "wait=1"
        assert len([name for name, _ in answer.headers if name == "link"]) == 7


async def test_waiting_switched_off(tmp_path: Path) -> None:
    """`EVENTMILL_JOURNAL_WAIT_S_MAX=0`: nobody waits."""
    async with waiting(tmp_path, journal_wait_s_max=0) as journal:
        assert (await journal.read(**WAIT)).header("preference-applied") is None


async def test_events_of_others_wake_nobody(tmp_path: Path) -> None:
    """Only an event of its own journal ends a wait."""
    async with waiting(tmp_path) as journal:
        world = journal.world
        other = await world.topic("Other")
        await world.register(other, delivery_type="journal", name="Other")
        read = await journal.start()
        for number in range(20):
            await world.publish(other, str(number))
        await asyncio.sleep(0)
        assert not read.done()
        await world.publish(journal.topic, "own")
        assert ids(await read) == ["own"]


@pytest.mark.parametrize(
    "settings", [{"journal_waiters_per_registration": 2}, {"journal_waiters_max": 2}], ids=["registration", "overall"]
)
async def test_number_of_waiters(tmp_path: Path, settings: dict[str, int]) -> None:
    """Beyond the limit a wish is not granted: an answer at once, which does not say that it waited."""
    async with waiting(tmp_path, **settings) as journal:
        reads = [await journal.start(count=1), await journal.start(count=2)]
        beyond = await journal.read(**WAIT)
        assert (beyond.status, beyond.header("retry-after"), beyond.header("preference-applied")) == (204, "10", None)
        await journal.world.publish(journal.topic, "first")
        assert [ids(await read) for read in reads] == [["first"], ["first"]]
        assert not (await journal.start("?latest=true")).done()
        journal.world.parts.journal.stop()


async def test_shutting_down(tmp_path: Path) -> None:
    """Whoever waits is answered at once, and told to come back later; nobody can wait any more."""
    async with waiting(tmp_path) as journal:
        read = await journal.start()
        journal.world.parts.journal.stop()
        answers = [await read, await journal.read(**WAIT)]
        for answer in answers:
            assert (answer.status, answer.header("retry-after")) == (204, "10")
            assert answer.header("preference-applied") is None


async def test_registration_is_deleted(tmp_path: Path) -> None:
    """404 for who waits, at once."""
    async with waiting(tmp_path) as journal:
        read = await journal.start()
        path = f"{WORKSPACE}/registrations/{journal.registration['registration_id']}"
        assert (await journal.world.call("DELETE", path)).status == 204
        assert (await read).status == 404


async def test_the_gateway_is_reset(tmp_path: Path) -> None:
    """The registration is gone with everything, and who waits is told at once."""
    async with waiting(tmp_path, dev=True) as journal:
        read = await journal.start()
        assert (await journal.world.call("POST", "/_dev/reset", headers={})).status == 204
        assert (await read).status == 404


async def test_disabled_meanwhile(tmp_path: Path) -> None:
    """The journal of a disabled registration goes on, and so does the wait."""
    async with waiting(tmp_path) as journal:
        read = await journal.start()
        path = f"{WORKSPACE}/registrations/{journal.registration['registration_id']}"
        changed = await journal.world.call("PATCH", path, [{"op": "replace", "path": "/enabled", "value": False}])
        assert changed.json()["enabled"] is False
        await journal.world.publish(journal.topic, "first")
        assert ids(await read) == ["first"]


async def test_many_wait_and_none_is_missed(tmp_path: Path) -> None:
    """Readers that wait, are woken and wait again, while events come: each sees every event, in order."""
    async with waiting(tmp_path) as journal:

        async def drain() -> list[str]:
            seen: list[str] = []
            query = ""
            while len(seen) < 60:
                answer = await journal.read(query, **WAIT)
                if answer.status == 200:
                    seen += ids(answer)
                    query = f"?since={answer.json()['_page']['last']}"
            return seen

        async def publish() -> None:
            for number in range(60):
                await journal.world.publish(journal.topic, str(number))

        *drained, _ = await asyncio.gather(*(drain() for _ in range(10)), publish())
        assert drained == [[str(number) for number in range(60)]] * 10
        assert journal.world.parts.journal.waiting == 0


async def test_a_log_that_cannot_be_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits goes on waiting, and the events after that wake it as ever."""
    async with waiting(tmp_path) as journal:
        store = journal.world.store
        whole, failed = store.read_log, asyncio.Event()

        async def fail(*_: object) -> Any:
            monkeypatch.setattr(store, "read_log", whole)
            failed.set()
            raise OSError("no more file descriptors")

        other = await journal.world.topic("com.acme.stock.high")
        await journal.world.register(other, delivery_type="journal", name="Other")
        read = await journal.start()
        monkeypatch.setattr(store, "read_log", fail)
        await journal.world.publish(other, "other")
        await failed.wait()
        await journal.world.publish(journal.topic, "first")
        assert ids(await read) == ["first"]
