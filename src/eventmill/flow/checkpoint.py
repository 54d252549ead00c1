"""Makes the progress of lanes durable: one commit per interval for all lanes that moved.

A commit that fails is repeated until it succeeds, and one that hangs is waited for; meanwhile nothing new is launched,
so that trouble with our own bookkeeping delays deliveries but never repeats them. No commit overtakes an earlier one:
its marks would cover outcomes that are stored nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.errors import StoreUnavailable
from eventmill.flow.lane import Lane
from eventmill.flow.lanes import Lanes
from eventmill.store.work import SLOTS, LaneProgress, WorkCommit, WorkStore

log = structlog.get_logger()

_RETRY_S = 1.0
_PROMPT_S = 2.0
"""A commit that takes longer holds up what would have to be committed next."""
_LAST_S = 3.0
"""For a commit that hangs, after the stop."""


class _Owed(msgspec.Struct):
    """Taken from its lanes, not yet known to be durable."""

    lanes: list[Lane]
    work: WorkCommit
    commit: asyncio.Future[frozenset[int]] | None = None
    """Under way: whoever comes next waits for it too, because given again it would count twice."""


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
        self._owed: _Owed | None = None
        """Left by a call that was cancelled or gave up, or being seen to."""
        self._stopping = asyncio.Event()
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
        return not self._dirty and self._owed is None and not self._lock.locked()

    async def run(self, interval_s: float) -> None:
        """Until `stop`, after which comes a last commit."""
        while not self._stopping.is_set():
            await self._pause(interval_s)
            await self.commit()
        await self.commit()

    def stop(self) -> None:
        """A commit that is refused from now on is given up: the attempts in it are made again after the restart."""
        self._stopping.set()

    async def commit(self) -> None:
        """Commit everything noted so far, in one transaction, after what an earlier call left."""
        async with self._lock:
            if self._owed is not None and not await self._commit_owed():
                return
            self._owed = self._collect()
            if self._owed is not None:
                await self._commit_owed()

    def _collect(self) -> _Owed | None:
        now_s = self._clock.machine_s()
        late = {number: lane for number, lane in self._traced.items() if lane.has_late_traces(now_s)}
        lanes = [lane for lane in (self._dirty | late).values() if self._lanes.holds(lane)]
        self._dirty = {}
        if not lanes:
            return None
        progress = [lane.progress(now_s) for lane in lanes]
        for lane in lanes:
            if lane.holds_traces():
                self._traced[lane.number] = lane
            else:
                self._traced.pop(lane.number, None)
        leases = {lane.number % SLOTS: self._lanes.leases[lane.number % SLOTS] for lane in lanes}
        return _Owed(lanes, WorkCommit(tuple(leases.values()), tuple(progress)))

    async def _commit_owed(self) -> bool:
        """False when it was given up."""
        assert self._owed is not None
        owed = self._owed
        lost = await self._commit_durable(owed)
        if lost is None:
            return False
        self._owed = None
        for lane, piece in zip(owed.lanes, owed.work.lanes, strict=True):
            if lane.number % SLOTS not in lost:
                self._on_committed(lane, piece)
        return True

    async def _commit_durable(self, owed: _Owed) -> frozenset[int] | None:
        """The slots that were lost; None when the commit was refused, or hangs, and is given up."""
        while True:
            if owed.commit is None:
                owed.commit = asyncio.ensure_future(self._store.commit(owed.work))
            if not await self._ends(owed.commit):
                self._stall("the store does not answer", owed)
                return None
            try:
                lost = owed.commit.result()
            except StoreUnavailable as error:
                owed.commit = None
                self._stall(error.message, owed)
                if self._stopping.is_set():
                    return None
                await self._pause(_RETRY_S)
            else:
                if self.stalled:
                    log.info(telemetry.STAGE_RESUMED, stage="checkpoints")
                self.stalled = False
                return lost

    async def _ends(self, commit: asyncio.Future[frozenset[int]]) -> bool:
        """Whether it does, or hangs beyond the stop."""
        await asyncio.wait((commit,), timeout=_PROMPT_S)
        if not commit.done() and not self._stopping.is_set():
            assert self._owed is not None
            self._stall("the store does not answer", self._owed)
            stop = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait((commit, stop), return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
        if not commit.done():
            await asyncio.wait((commit,), timeout=_LAST_S)
        return commit.done()

    def _stall(self, cause: str, owed: _Owed) -> None:
        """Said once."""
        if not self.stalled:
            log.warning(telemetry.STORE_COMMIT_FAILED, cause=cause, lanes=len(owed.lanes))
        self.stalled = True

    async def _pause(self, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
