"""Publishes at full speed through the gateway's deaths, and keeps book of what was acknowledged and delivered."""

from __future__ import annotations

import asyncio
import json
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.e2e.harness.hook import Hook, Received, Reply
from tests.e2e.harness.tenant import Tenant, Topic, event_bytes

CONNECTIONS = 16
_DATA = b'{"sku":"A1","note":"' + b"x" * 500 + b'"}'


class Goal:
    """A count at which something is done, within the very call that counts."""

    def __init__(self) -> None:
        self._count: float = math.inf
        self._strike: Callable[[], None] = lambda: None
        self._reached = asyncio.Event()

    async def reach(self, count: int, strike: Callable[[], None]) -> None:
        self._count, self._strike = count, strike
        self._reached.clear()
        await self._reached.wait()

    def counted(self, count: int) -> None:
        if count >= self._count:
            self._count = math.inf
            self._strike()
            self._reached.set()


class Publishers:
    """Sixteen connections, each publishing one event after the other, every event with an id of its own."""

    def __init__(self, tenant: Tenant, topic: Topic) -> None:
        self._tenant = tenant
        self._topic = topic
        self._up = asyncio.Event()
        self._up.set()
        self._stopping = False
        self._sent = 0
        self._goal = Goal()
        self.acknowledged: set[str] = set()

    async def run(self) -> None:
        """Until `stop`."""
        async with asyncio.TaskGroup() as owner:
            for _ in range(CONNECTIONS):
                owner.create_task(self._publish())

    def stop(self) -> None:
        self._stopping = True

    def gateway_down(self) -> None:
        """From now on a lost connection is expected and waits for `gateway_up`."""
        self._up.clear()

    def gateway_up(self) -> None:
        self._up.set()

    async def strike_after(self, count: int, strike: Callable[[], None]) -> None:
        """After so many further acknowledgements, strike before anything else is done."""
        await self._goal.reach(len(self.acknowledged) + count, strike)

    async def _publish(self) -> None:
        while not self._stopping:
            await self._up.wait()
            self._sent += 1
            event_id = f"event-{self._sent}"
            try:
                answer = await self._tenant.post_event(event_bytes(self._topic, event_id, _DATA))
            except ConnectionError:
                assert not self._up.is_set(), "the gateway closed a connection although nobody had killed it"
                continue
            assert answer.status == 200, answer
            self.acknowledged.add(event_id)
            self._goal.counted(len(self.acknowledged))


class Arrival(NamedTuple):
    """One delivery, as little of it as is needed: there are many."""

    event_id: str
    at_s: float
    connected_s: float


@dataclass(frozen=True)
class Kill:
    """What one kill led to."""

    repeated: int
    """Deliveries made before the kill and again after it."""
    recent: int
    """Deliveries in the window before the kill whose progress may not have been committed."""


@dataclass
class Ledger:
    """Every delivery in order of arrival."""

    deliveries: list[Arrival] = field(default_factory=list)
    delivered: Counter[str] = field(default_factory=Counter)
    _goal: Goal = field(default_factory=Goal)

    async def answer(self, post: Received) -> Reply:
        event_id = json.loads(post.body)["id"]
        self.deliveries.append(Arrival(event_id, post.at_s, post.connected_s))
        self.delivered[event_id] += 1
        self._goal.counted(len(self.deliveries))
        return Reply(200)

    async def strike_after(self, count: int, strike: Callable[[], None]) -> None:
        """On receiving the last of so many further deliveries, strike before it is answered."""
        await self._goal.reach(len(self.deliveries) + count, strike)

    def kills(self, times_s: list[float], window_s: float) -> list[Kill]:
        """Attribute every repetition to the first kill after the delivery that it repeats.

        Who delivered is told by the connection: requests of the dead may still be read after the kill, and a connection
        of theirs may even be accepted then.
        """
        repeated: Counter[int] = Counter()
        last: dict[str, Arrival] = {}
        for post in self.deliveries:
            earlier = last.get(post.event_id)
            if earlier is not None:
                assert earlier.connected_s != post.connected_s, f"{post.event_id} came twice from the same process"
                newest = bisect_right(times_s, post.connected_s) - 1
                assert newest >= 0, f"{post.event_id} came twice before the first kill"
                repeated[min(bisect_left(times_s, earlier.connected_s), newest)] += 1
            last[post.event_id] = post
        return [
            Kill(repeated[index], sum(kill_s - window_s <= post.at_s <= kill_s for post in self.deliveries))
            for index, kill_s in enumerate(times_s)
        ]


def recording_hook(ledger: Ledger) -> Hook:
    """A webhook that writes into the ledger and keeps no requests."""
    return Hook(ledger.answer, keep=False)
