"""Makes the progress of lanes durable: one commit per interval for all lanes that moved.

A commit that fails is repeated until it succeeds; meanwhile nothing new is launched, so that trouble with our own
bookkeeping delays deliveries but never repeats them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.errors import StoreUnavailable
from eventmill.flow.lane import Lane
from eventmill.flow.lanes import Lanes
from eventmill.store.base import SLOTS, LaneProgress, WorkCommit, WorkStore

log = structlog.get_logger()

_RETRY_S = 1.0


class Checkpoints:
    def __init__(
        self, store: WorkStore, clock: Clock, lanes: Lanes, on_committed: Callable[[Lane, LaneProgress], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._lanes = lanes
        self._on_committed = on_committed
        self._lock = asyncio.Lock()
        self._dirty: dict[int, Lane] = {}
        self._traced: dict[int, Lane] = {}
        self.patient = True
        """Whether a refused commit is repeated. Not while shutting down: the attempts are then made again."""
        self.stalled = False
        """A commit is failing: launch nothing."""

    def note(self, lane: Lane) -> None:
        """The lane has something to commit."""
        self._dirty[lane.number] = lane

    def forget(self, lane: Lane) -> None:
        self._dirty.pop(lane.number, None)
        self._traced.pop(lane.number, None)

    @property
    def clean(self) -> bool:
        return not self._dirty and not self._lock.locked()

    async def run(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            await self.commit()

    async def commit(self) -> None:
        """Commit everything noted so far, in one transaction."""
        async with self._lock:
            now_s = self._clock.machine_s()
            late = {number: lane for number, lane in self._traced.items() if lane.has_late_traces(now_s)}
            lanes = [lane for lane in (self._dirty | late).values() if self._lanes.holds(lane)]
            self._dirty = {}
            if not lanes:
                return
            progress = [lane.progress(now_s) for lane in lanes]
            self._traced.update((lane.number, lane) for lane in lanes if lane.holds_traces())
            for lane in lanes:
                if not lane.holds_traces():
                    self._traced.pop(lane.number, None)
            leases = {lane.number % SLOTS: self._lanes.leases[lane.number % SLOTS] for lane in lanes}
            lost = await self._commit_durable(WorkCommit(tuple(leases.values()), tuple(progress)))
            for lane, piece in zip(lanes, progress, strict=True):
                if lane.number % SLOTS not in lost:
                    self._on_committed(lane, piece)

    async def _commit_durable(self, work: WorkCommit) -> frozenset[int]:
        while True:
            try:
                lost = await self._store.commit(work)
            except StoreUnavailable as error:
                log.warning(telemetry.STORE_COMMIT_FAILED, cause=error.message, lanes=len(work.lanes))
                if not self.patient:
                    return frozenset(lease.slot for lease in work.leases)
                self.stalled = True
                await asyncio.sleep(_RETRY_S)
            else:
                self.stalled = False
                return lost
