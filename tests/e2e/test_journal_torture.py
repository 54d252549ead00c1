"""A journal under everything at once: 8 publishers, 8 readers of different habits, crashes and restarts in the middle,
and days that pass until retention drops what all have read. Nothing accepted is missed, nothing is read twice,
positions ascend, and every `next` link works.

Short form 10 events of each publisher a day; 400 in full (`EVENTMILL_E2E=full`).
"""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.http_client import Answer, Client
from tests.e2e.harness.tenant import Registration, Tenant, Topic, event_bytes

pytestmark = pytest.mark.anyio

EVENTS_A_DAY = 400 if os.environ.get("EVENTMILL_E2E") == "full" else 10
PUBLISHERS = 8
DAYS = 11
RESTARTED = {2: "kill", 4: "stop", 7: "kill", 9: "stop"}
"""Days in whose midst the gateway goes down, and how."""
DAY_S = 86_400
HABITS = (
    "?limit=1",
    "?limit=7",
    "?limit=100",
    "",
    "?seek=-P1D&limit=13",
    "?latest=true",
    "?latest=true&limit=3",
    "wait",
)
SETTINGS = {"EVENTMILL_PUBLISH_REQUESTS_PER_5S": "0"}


class Torture:
    """What was accepted, and who has seen what of it."""

    def __init__(self, gateway: Gateway, tenant: Tenant, topic: Topic, registration: Registration) -> None:
        self.gateway = gateway
        self.tenant = tenant
        self.topic = topic
        self.journal = registration.link("rel:events")
        self.readers: list[Reader] = []
        self.accepted: set[str] = set()
        self.unsure: set[str] = set()
        """Sent, but nobody answered: stored or not."""
        self.over = False
        self._is_up = asyncio.Event()
        self._is_up.set()
        self._news = asyncio.Condition()

    async def call(self, url: str, **headers: str) -> Answer:
        """A read; again after a restart when the gateway went away under it."""
        while True:
            try:
                answer = await self.tenant.client.call("GET", url, {**self.tenant.headers, **headers})
            except ConnectionError:
                await self._is_up.wait()
                await asyncio.sleep(0)
                continue
            if answer.status != 503:
                return answer
            await self._is_up.wait()

    async def publish(self, name: str, count: int) -> None:
        for number in range(count):
            await self._is_up.wait()
            event_id = f"{name}-{number}"
            try:
                answer = await self.tenant.post_event(event_bytes(self.topic, event_id, b'{"sku":"A1"}'))
            except ConnectionError:
                self.unsure.add(event_id)
                continue
            if answer.status == 503:
                self.unsure.add(event_id)
                continue
            assert answer.status == 200, answer
            async with self._news:
                self.accepted.add(event_id)
                for reader in self.readers:
                    reader.note_accepted(event_id)
                self._news.notify_all()

    async def wait_for_news(self, reader: Reader) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self.over or bool(reader.missing))

    async def note(self) -> None:
        """Somebody has read something."""
        async with self._news:
            self._news.notify_all()

    async def until_read(self) -> None:
        """Until all readers have seen all that was accepted."""
        async with asyncio.timeout(60 + EVENTS_A_DAY), self._news:
            await self._news.wait_for(lambda: not any(reader.missing for reader in self.readers))

    async def finish(self) -> None:
        async with self._news:
            self.over = True
            self._news.notify_all()

    async def restart(self, how: str) -> None:
        """In the midst of whatever goes on."""
        self._is_up.clear()
        await asyncio.to_thread(self.gateway.kill if how == "kill" else self.gateway.stop)
        await asyncio.to_thread(self.gateway.start)
        self._is_up.set()

    async def pass_day(self) -> None:
        change = {"advance_seconds": DAY_S}
        headers = {"content-type": "application/json"}
        answer = await self.tenant.client.call("POST", "/_dev/clock", headers, change)
        assert answer.status == 200, answer.body


class Reader:
    """Follows `next` from a place of its own, for as long as events come."""

    def __init__(self, torture: Torture, habit: str) -> None:
        self.torture = torture
        self.waits = habit == "wait"
        self.link = torture.journal + ("?latest=true&limit=11" if self.waits else habit)
        self.polls_latest = "latest" in habit
        self.ids: list[str] = []
        self.seen: set[str] = set()
        self.missing: set[str] = set()
        """Accepted, but not seen yet."""
        self.positions: list[str] = []

    def note_accepted(self, event_id: str) -> None:
        if event_id not in self.seen:
            self.missing.add(event_id)

    async def begin(self) -> None:
        """The first request: what is latest is so from here on."""
        await self.take(await self.torture.call(self.link))

    async def run(self) -> None:
        while not self.torture.over:
            headers = {"prefer": "wait=2"} if self.waits else {}
            more = "&latest=true" if self.polls_latest else ""  # as the official JavaScript client does
            answer = await self.torture.call(self.link + more, **headers)
            await self.take(answer)
            if answer.status == 204 and not self.waits:
                await self.torture.wait_for_news(self)

    async def take(self, answer: Answer) -> None:
        assert answer.status in (200, 204), (self.link, answer)
        self.link = answer.link("next")
        if answer.status == 204:
            return
        page = answer.json()
        self.positions += [entry["position"] for entry in page["events"]]
        ids = [entry["event"]["id"] for entry in page["events"]]
        self.ids += ids
        self.seen.update(ids)
        self.missing.difference_update(ids)
        assert page["_page"] == {"last": self.positions[-1], "count": len(page["events"])}
        await self.torture.note()


async def read_to_end(torture: Torture, query: str) -> list[str]:
    """Ids from there to the end, by one who comes for the first time."""
    reader = Reader(torture, query)
    answer = await torture.call(reader.link)
    while answer.status == 200:
        await reader.take(answer)
        answer = await torture.call(reader.link)
    return reader.ids


def sequence(position: str) -> int:
    return int(position.rpartition(".")[2])


@pytest.mark.slow
async def test_torture(start_gateway: StartGateway) -> None:
    """Everything above, and at the end: who slept through the retention is told so, with a way back that works."""
    gateway = start_gateway("--dev", variables=SETTINGS)
    async with Client(gateway.port) as client:
        tenant = Tenant(client, gateway.env())
        topic = await tenant.topic()
        torture = Torture(gateway, tenant, topic, await tenant.register(topic))
        readers = torture.readers = [Reader(torture, habit) for habit in HABITS]
        for reader in readers:
            await reader.begin()
        running = [asyncio.get_running_loop().create_task(reader.run()) for reader in readers]
        sleeper = ""
        for day in range(DAYS):
            before = set(torture.accepted)
            await live_through(torture, day)
            await torture.until_read()
            today = await read_to_end(torture, "?seek=-PT12H&limit=17")
            assert torture.accepted - before <= set(today)
            assert today == readers[0].ids[-len(today) :] or set(today) - set(readers[0].ids) <= torture.unsure
            sleeper = sleeper or readers[0].positions[0]
            await torture.pass_day()
        await torture.finish()
        await asyncio.gather(*running)

        for reader in readers:
            check(torture, reader)
        await check_sleeper(torture, sleeper)


async def live_through(torture: Torture, day: int) -> None:
    async with asyncio.TaskGroup() as publishing:
        for number in range(PUBLISHERS):
            publishing.create_task(torture.publish(f"{day}-{number}", EVENTS_A_DAY // 2))
        if day in RESTARTED:
            publishing.create_task(torture.restart(RESTARTED[day]))
    async with asyncio.TaskGroup() as publishing:
        for number in range(PUBLISHERS):
            publishing.create_task(torture.publish(f"{day}-{number}-later", EVENTS_A_DAY // 2))


def check(torture: Torture, reader: Reader) -> None:
    habit = reader.link
    assert torture.accepted <= reader.seen, (habit, torture.accepted - reader.seen)
    assert reader.seen - torture.accepted <= torture.unsure, habit
    assert len(reader.ids) == len(reader.seen), f"{habit} read some twice"
    sequences = [sequence(position) for position in reader.positions]
    assert sequences == sorted(set(sequences)), f"{habit} went back"


async def check_sleeper(torture: Torture, position: str) -> None:
    gone = await torture.call(f"{torture.journal}?since={position}")
    assert gone.status == 410, gone
    oldest = await torture.call(gone.link("events"))
    assert oldest.status == 200
    assert not {entry["event"]["id"].partition("-")[0] for entry in oldest.json()["events"]} & {"0", "1"}
