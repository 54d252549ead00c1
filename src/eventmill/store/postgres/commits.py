"""Delivery's way into the database: takes the work commits and loose traces that have queued and writes them in one
transaction."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.errors import StoreUnavailable
from eventmill.model import Lane
from eventmill.store.postgres.channel import Channel
from eventmill.store.postgres.connect import Connection, refusal
from eventmill.store.postgres.days import DAY_MS
from eventmill.store.postgres.partitions import Partitions
from eventmill.store.postgres.progress import WorkWrite
from eventmill.store.work import TraceRecord, WorkCommit

_log = structlog.get_logger()
_AT_ONCE = 256


class WorkCall(msgspec.Struct):
    work: WorkCommit
    future: asyncio.Future[frozenset[int]]


class TraceCall(msgspec.Struct):
    lane: Lane
    traces: Sequence[TraceRecord]
    future: asyncio.Future[None]


class Commits:
    """The queue of a process, and the task that empties it."""

    def __init__(self, channel: Channel, owner: UUID, traces_kept: int, partitions: Partitions, clock: Clock) -> None:
        self._channel = channel
        self._owner = owner
        self._traces_kept = traces_kept
        self._partitions = partitions
        self._clock = clock
        self._queue: list[WorkCall | TraceCall] = []
        self._kick = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None]
        self.sums: Counter[str] = Counter()
        """What `Totals` counts."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """After everything that is queued."""
        self._closing = True
        self._kick.set()
        await self._task

    def put(self, call: WorkCall | TraceCall) -> None:
        self._queue.append(call)
        self._kick.set()

    async def _run(self) -> None:
        while True:
            await self._kick.wait()
            calls, self._queue = self._queue[:_AT_ONCE], self._queue[_AT_ONCE:]
            if calls:
                try:
                    await self._commit(calls)
                except Exception as error:  # noqa: BLE001 - the stage's loop
                    if not isinstance(error, StoreUnavailable):
                        _log.error(telemetry.STORE_COMMIT_FAILED, file="work", error=repr(error))
                        error = refusal(error)
                    _settle(calls, [error] * len(calls))
            elif self._closing:
                return
            else:
                self._kick.clear()

    async def _commit(self, calls: Sequence[WorkCall | TraceCall]) -> None:
        works = [call for call in calls if isinstance(call, WorkCall)]
        traces = [(call.lane, call.traces) for call in calls if isinstance(call, TraceCall)]
        sums: Counter[str] = Counter()

        async def write(connection: Connection) -> list[int]:
            day = self._clock.now_ms() // DAY_MS
            write = WorkWrite(connection, self._owner, self._traces_kept, day)
            try:
                lost = await write.write([call.work for call in works], traces)
            except asyncpg.CheckViolationError:
                self._partitions.forget()
                raise
            sums.clear()
            sums.update(write.sums)
            return [number for slots in lost for number in (len(slots), *slots)]

        if any(progress.attempts for call in works for progress in call.work.lanes):
            await self._partitions.ensure(self._clock.now_ms() // DAY_MS)
        answer = list(await self._channel.run(write))
        for call in works:
            count = answer.pop(0)
            if not call.future.done():
                call.future.set_result(frozenset(answer[:count]))
            del answer[:count]
        self.sums.update(sums)
        _settle([call for call in calls if isinstance(call, TraceCall)], [None] * len(traces))


def _settle(calls: Sequence[WorkCall | TraceCall], results: Sequence[Any]) -> None:
    for call, result in zip(calls, results, strict=True):
        if call.future.done():
            continue
        if isinstance(result, Exception):
            call.future.set_exception(result)
        else:
            call.future.set_result(result)
