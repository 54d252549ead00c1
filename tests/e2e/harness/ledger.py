"""Publishes at full speed through the gateway's deaths, and keeps book of what was acknowledged and delivered."""

from __future__ import annotations

import asyncio
import json
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class Kill:
    """What one kill led to."""

    repeated: int
    """Deliveries made before the kill and again after it."""
    recent: int
    """Deliveries in the window before the kill whose progress may not have been committed."""


@dataclass
class Ledger:
    """Every delivery, in order of arrival: when, and of which event."""

    deliveries: list[tuple[float, str]] = field(default_factory=list)
    delivered: Counter[str] = field(default_factory=Counter)
    _goal: Goal = field(default_factory=Goal)

    async def answer(self, post: Received) -> Reply:
        event_id = json.loads(post.body)["id"]
        self.deliveries.append((post.at_s, event_id))
        self.delivered[event_id] += 1
        self._goal.counted(len(self.deliveries))
        return Reply(200)

    async def strike_after(self, count: int, strike: Callable[[], None]) -> None:
        """On receiving the last of so many further deliveries, strike before it is answered."""
        await self._goal.reach(len(self.deliveries) + count, strike)

    def kills(self, times_s: list[float], window_s: float) -> list[Kill]:
        """Attribute every repetition to the first kill after the delivery that it repeats; all must have one."""
        repeated: Counter[int] = Counter()
        last_s: dict[str, float] = {}
        for at_s, event_id in self.deliveries:
            if event_id in last_s:
                kill = bisect_left(times_s, last_s[event_id])
                assert kill < len(times_s) and times_s[kill] <= at_s, f"{event_id} came twice without a kill between"
                repeated[kill] += 1
            last_s[event_id] = at_s
        return [
            Kill(repeated[index], sum(kill_s - window_s <= at_s <= kill_s for at_s, _ in self.deliveries))
            for index, kill_s in enumerate(times_s)
        ]


def recording_hook(ledger: Ledger) -> Hook:
    """A webhook that writes into the ledger and keeps no requests."""
    return Hook(ledger.answer, keep=False)
