"""Publishing's way into the database: takes whatever has queued and appends it as one batch, in one commit.

The next batch forms while the last one is committed, and a moment longer where `gathering` expects more. Two
connections take turns, so that one batch travels while another syncs. While the database answers and commits nothing,
as one whose synchronous standbys are gone, publishes are refused, and a commit of nothing waits in their stead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from uuid import UUID

import asyncpg
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import MIB
from eventmill.errors import Reason, RoutingStale, StoreUnavailable
from eventmill.store.log import Appended, NewEvent
from eventmill.store.postgres.batches import AppendCall, Batch
from eventmill.store.postgres.channel import Channel
from eventmill.store.postgres.connect import Connection, refusal
from eventmill.store.postgres.days import DAY_MS
from eventmill.store.postgres.facts import Facts
from eventmill.store.postgres.gathering import Gathering
from eventmill.store.postgres.partitions import Partitions

_log = structlog.get_logger()
_BATCH_EVENTS = 256
_BATCH_BYTES = 4 * MIB
_QUEUE_CALLS = 16_384
_WAIT_S = 10.0
"""A publish that has waited so long for its turn is refused: what holds up others may hold it up as long."""
_UNCONFIRMED = "the database confirms no commits: its synchronous standbys may be gone"
_AGAIN_S = 0.5
_FULL_S = 5.0
"""After the disk was found full; then one more batch finds out whether it still is."""


class Appends:
    """The queue of a process, and the tasks that empty it."""

    def __init__(self, channels: Sequence[Channel], facts: Facts, partitions: Partitions, clock: Clock) -> None:
        self._channels = channels
        self._facts = facts
        self._partitions = partitions
        self._clock = clock
        self._queue: deque[AppendCall] = deque()
        self._kick = asyncio.Event()
        self._forming = asyncio.Lock()
        self._gathering = Gathering()
        self._under_way = 0
        """Publishes that are being committed."""
        self._wanted = 0
        """How many publishes the batch that forms waits for."""
        self._enough = asyncio.Event()
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self._full_until_s = 0.0
        self._unconfirmed_s = 0.0
        """Since when publishes are refused because commits have no answer; 0: they are not."""
        self.appended = 0
        """Events, since the start."""
        self.on_appended: Callable[[dict[int, int], set[int]], None] = lambda _heads, _slots: None
        """Given the new heads of the shards appended to, and the slots of the lanes that have a new event."""

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run(channel)) for channel in self._channels]

    async def stop(self) -> None:
        """After everything that is queued."""
        self._closing = True
        self._kick.set()
        self._enough.set()
        await asyncio.gather(*self._tasks)

    def refusal(self) -> StoreUnavailable | None:
        """Why nothing can be put at the moment."""
        if self._full_until_s and self._full_until_s > asyncio.get_running_loop().time():
            return StoreUnavailable("the database's disk is full", Reason.DISK_RESERVE_REACHED)
        if len(self._queue) >= _QUEUE_CALLS:
            return StoreUnavailable("too many publishes wait for the database")
        return StoreUnavailable(self.unconfirmed) if self.unconfirmed else None

    @property
    def unconfirmed(self) -> str:
        """Why nothing can be written though the database answers; empty when it can, as far as is known."""
        return _UNCONFIRMED if self._silent() else ""

    def put(self, events: Sequence[NewEvent], future: asyncio.Future[Appended]) -> None:
        now_s = future.get_loop().time()
        self._queue.append(AppendCall(events, future, min([event.routing_epoch for event in events]), now_s))
        self._kick.set()
        if len(self._queue) >= self._wanted:
            self._enough.set()

    async def _run(self, channel: Channel) -> None:
        while True:
            await self._kick.wait()
            async with self._forming:
                await self._gather()
                calls = self._take()
            if calls:
                await self._settle(channel, calls)
                await self._until_confirmed(channel)
            elif self._closing:
                return
            else:
                self._kick.clear()

    async def _until_confirmed(self, channel: Channel) -> None:
        """Once a commit has had no answer."""
        now_s = asyncio.get_running_loop().time
        if self._silent() == [channel]:
            self._unconfirmed_s = now_s()
            _log.warning(telemetry.STORE_REFUSED, cause=_UNCONFIRMED)
        while channel.is_silent and not self._closing:
            self._refuse(self._queue, StoreUnavailable(_UNCONFIRMED))
            self._queue.clear()
            try:
                await channel.run(_write_nothing)
            except StoreUnavailable:
                await asyncio.sleep(_AGAIN_S)
        if self._unconfirmed_s and not self._silent():
            seconds, self._unconfirmed_s = round(now_s() - self._unconfirmed_s, 1), 0.0
            _log.info(telemetry.STORE_ACCEPTING, cause="the database confirms commits again", seconds=seconds)

    def _silent(self) -> list[Channel]:
        return [channel for channel in self._channels if channel.is_silent]

    async def _gather(self) -> None:
        now_s = asyncio.get_running_loop().time
        while self._queue and not self._closing:
            self._wanted = self._gathering.wanted(self._under_way, now_s())
            until_s = self._queue[0].since_s + self._gathering.pause_s
            if len(self._queue) >= self._wanted or now_s() >= until_s:
                return
            self._enough.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until_s):
                    await self._enough.wait()

    async def _settle(self, channel: Channel, calls: list[AppendCall]) -> None:
        now_s = asyncio.get_running_loop().time
        count, began_s = len(calls), now_s()
        self._under_way += count
        self._gathering.note_taken(self._under_way + len(self._queue), began_s)
        try:
            await self._append(channel, calls)
        except Exception as error:  # noqa: BLE001 - the stage's loop
            self._refuse(calls, error)
        finally:
            self._under_way -= count
            self._gathering.note_answered(now_s() - began_s)
            self._enough.set()

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
                self.on_appended(batch.settle(answer, self._facts.note_bytes), batch.slots)
                return
            stale = batch.stale(answer)
            for call in stale:
                if not call.future.done():
                    call.future.set_exception(RoutingStale())
            gone = {id(call) for call in stale}
            calls = [call for call in calls if id(call) not in gone]

    def _refuse(self, calls: Iterable[AppendCall], error: Exception) -> None:
        if not isinstance(error, StoreUnavailable):
            _log.error(telemetry.STORE_COMMIT_FAILED, file="events", error=repr(error))
            error = refusal(error)
        if error.reason is Reason.DISK_RESERVE_REACHED:
            self._full_until_s = asyncio.get_running_loop().time() + _FULL_S
        for call in calls:
            if not call.future.done():
                call.future.set_exception(error)


async def _write_nothing(_connection: Connection) -> list[int]:
    return []
