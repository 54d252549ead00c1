"""Publishing's way into the database: takes whatever has queued and appends it as one batch, in one commit.

No timers: the next batch forms while the last one is committed. Two connections take turns, so that one batch travels
while another syncs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

import asyncpg
import msgspec
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import MIB
from eventmill.errors import Reason, RoutingStale, StoreUnavailable
from eventmill.model import Lane, OrgId
from eventmill.store.log import Appended, NewEvent
from eventmill.store.postgres.channel import Channel
from eventmill.store.postgres.connect import Connection, refusal
from eventmill.store.postgres.days import DAY_MS, written_day
from eventmill.store.postgres.facts import Facts
from eventmill.store.postgres.packing import pack_lanes, pack_rest
from eventmill.store.postgres.partitions import Partitions
from eventmill.store.postgres.queries import load_queries

_log = structlog.get_logger()
_APPEND = load_queries("log")["append"]
_BATCH_EVENTS = 256
_BATCH_BYTES = 4 * MIB
_QUEUE_CALLS = 16_384
_WAIT_S = 10.0
"""A publish that has waited so long for its turn is refused: what holds up others may hold it up as long."""
_FULL_S = 5.0
"""After the disk was found full; then one more batch finds out whether it still is."""


class AppendCall(msgspec.Struct):
    """A publish that waits for its commit."""

    events: Sequence[NewEvent]
    future: asyncio.Future[Appended]
    epoch: int
    """Routing epoch of the event that was matched first."""
    since_s: float = 0.0
    """When it came, by the event loop's clock."""


class Batch:
    """Calls as the columns that the database takes. The shard of each organization is known by now."""

    def __init__(self, calls: Sequence[AppendCall], facts: Facts) -> None:
        self.calls = calls
        self._facts = facts
        self.shards = sorted({facts.shards[call.events[0].org] for call in calls})
        self._place = {shard: place for place, shard in enumerate(self.shards, 1)}
        self._counts = [0] * len(self.shards)
        self.firsts: list[tuple[int, int]] = []
        """Per call: place of its shard, distance of its first position from the shard's head."""
        self._orgs: dict[OrgId, list[int]] = {}
        """Organization -> its lowest epoch, place of its shard, bytes."""
        self._events: list[tuple[int, int, bytes, int, bytes, bytes]] = []
        self._postings: dict[tuple[int, Lane], list[int]] = {}
        self._audited: list[tuple[int, int, str, bytes, bytes, bytes, bytes, bytes]] = []
        for call in calls:
            self._add(call)

    def _add(self, call: AppendCall) -> None:
        org = call.events[0].org
        place = self._place[self._facts.shards[org]]
        distance = self._counts[place - 1] + 1
        self.firsts.append((place, distance))
        size = 0
        origins, postings = self._facts.origins, self._postings
        for event in call.events:
            size += len(event.body)
            lanes = pack_lanes(event.lanes)
            self._events.append((place, distance, event.event_id, origins[event.origin], lanes, event.body))
            for lane in event.lanes:
                postings.setdefault((place, lane), []).append(distance)
            if event.audit_id:
                self._audited.append(_audited(place, distance, event))
            distance += 1
        self._counts[place - 1] = distance - 1
        known = self._orgs.setdefault(org, [call.epoch, place, 0])
        known[0] = min(known[0], call.epoch)
        known[2] += size

    async def send(self, connection: Connection, channel: UUID, number: int, now_ms: int) -> list[int]:
        epochs, org_ats, org_bytes = zip(*self._orgs.values(), strict=True)
        postings = [(place, lane, seqs[0], seqs[-1], pack_rest(seqs)) for (place, lane), seqs in self._postings.items()]
        return list(
            await connection.fetchval(
                _APPEND,
                channel,
                number,
                now_ms,
                list(self._orgs),
                epochs,
                org_ats,
                org_bytes,
                self.shards,
                self._counts,
                *zip(*self._events, strict=True),
                *_columns(postings, 5),
                *_columns(self._audited, 8),
            )
        )

    def stale(self, places: Sequence[int]) -> list[AppendCall]:
        """Calls whose organization is among those at these places, and which matched first of them."""
        orgs = list(self._orgs)
        lowest = {orgs[place - 1]: self._orgs[orgs[place - 1]][0] for place in places}
        return [call for call in self.calls if lowest.get(call.events[0].org) == call.epoch]

    def settle(self, answer: Sequence[int], noted: Callable[[OrgId, int], None]) -> dict[int, int]:
        """Answer the callers. Returns the new heads of the shards."""
        count = len(self.shards)
        heads, days = answer[:count], answer[count:]
        for call, (place, distance) in zip(self.calls, self.firsts, strict=True):
            if not call.future.done():
                call.future.set_result(Appended(heads[place - 1] + distance, written_day(days[place - 1])))
        for org, (_, _, size) in self._orgs.items():
            noted(org, size)
        return {shard: head + added for shard, head, added in zip(self.shards, heads, self._counts, strict=True)}


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> Sequence[Sequence[object]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _audited(place: int, distance: int, event: NewEvent) -> tuple[int, int, str, bytes, bytes, bytes, bytes, bytes]:
    origin = event.origin
    texts = (event.audit_id, origin.provider_id, origin.event_code, origin.client_id)
    audit_id, provider_id, event_code, client_id = (text.encode() for text in texts)
    return place, distance, event.org, event.event_id, audit_id, provider_id, event_code, client_id


class Appends:
    """The queue of a process, and the tasks that empty it."""

    def __init__(self, channels: Sequence[Channel], facts: Facts, partitions: Partitions, clock: Clock) -> None:
        self._channels = channels
        self._facts = facts
        self._partitions = partitions
        self._clock = clock
        self._queue: deque[AppendCall] = deque()
        self._kick = asyncio.Event()
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self._full_until_s = 0.0
        self.appended = 0
        """Events, since the start."""
        self.on_appended: Callable[[dict[int, int]], None] = lambda _heads: None

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run(channel)) for channel in self._channels]

    async def stop(self) -> None:
        """After everything that is queued."""
        self._closing = True
        self._kick.set()
        await asyncio.gather(*self._tasks)

    def refusal(self) -> StoreUnavailable | None:
        """Why nothing can be put at the moment."""
        if self._full_until_s and self._full_until_s > asyncio.get_running_loop().time():
            return StoreUnavailable("the database's disk is full", Reason.DISK_RESERVE_REACHED)
        if len(self._queue) >= _QUEUE_CALLS:
            return StoreUnavailable("too many publishes wait for the database")
        return None

    def put(self, events: Sequence[NewEvent], future: asyncio.Future[Appended]) -> None:
        now_s = future.get_loop().time()
        self._queue.append(AppendCall(events, future, min([event.routing_epoch for event in events]), now_s))
        self._kick.set()

    async def _run(self, channel: Channel) -> None:
        while True:
            await self._kick.wait()
            calls = self._take()
            if calls:
                try:
                    await self._append(channel, calls)
                except Exception as error:  # noqa: BLE001 - the stage's loop
                    self._refuse(calls, error)
            elif self._closing:
                return
            else:
                self._kick.clear()

    def _take(self) -> list[AppendCall]:
        calls: list[AppendCall] = []
        events, size = _BATCH_EVENTS, _BATCH_BYTES
        late_s = asyncio.get_running_loop().time() - _WAIT_S
        while self._queue and events > 0 and size > 0:
            call = self._queue.popleft()
            if call.since_s < late_s:
                self._refuse((call,), StoreUnavailable("the database is too slow at the moment"))
                continue
            calls.append(call)
            events -= len(call.events)
            size -= sum([len(event.body) for event in call.events])
        return calls

    async def _append(self, channel: Channel, calls: list[AppendCall]) -> None:
        await self._facts.learn([event for call in calls for event in call.events])
        while calls:
            batch = Batch(calls, self._facts)

            async def send(connection: Connection, channel_id: UUID, number: int, batch: Batch = batch) -> list[int]:
                now_ms = self._clock.now_ms()
                try:
                    return await batch.send(connection, channel_id, number, now_ms)
                except asyncpg.CheckViolationError:
                    self._partitions.forget()
                    await self._partitions.ensure(now_ms // DAY_MS)
                    raise

            status, *answer = await channel.call(send)
            if status:
                self.appended += sum(len(call.events) for call in batch.calls)
                self.on_appended(batch.settle(answer, self._facts.note_bytes))
                return
            stale = batch.stale(answer)
            for call in stale:
                if not call.future.done():
                    call.future.set_exception(RoutingStale())
            gone = {id(call) for call in stale}
            calls = [call for call in calls if id(call) not in gone]

    def _refuse(self, calls: Sequence[AppendCall], error: Exception) -> None:
        if not isinstance(error, StoreUnavailable):
            _log.error(telemetry.STORE_COMMIT_FAILED, file="events", error=repr(error))
            error = refusal(error)
        if error.reason is Reason.DISK_RESERVE_REACHED:
            self._full_until_s = asyncio.get_running_loop().time() + _FULL_S
        for call in calls:
            if not call.future.done():
                call.future.set_exception(error)
