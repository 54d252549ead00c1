"""Who waits for the next event of a registration's journal, and how they are woken.

While somebody waits, the log is followed once for all of them, on the store's hints; nobody polls. Machine time only.
Reads no journal itself: whoever is woken looks.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Self

import structlog

from eventmill import telemetry
from eventmill.config import Config
from eventmill.errors import GatewayError, Reason
from eventmill.model import Lane, Registration
from eventmill.store.base import Store

_LOG_PAGE = 1000
log = structlog.get_logger()


class Waiter:
    """One reader's place among those who wait; a context manager that gives the place back.

    `clear`, then look into the journal, then `wait`: what is appended after the look wakes it."""

    def __init__(self, arrivals: Arrivals, registration: Registration) -> None:
        self._arrivals = arrivals
        self.registration = registration
        self._woken = asyncio.Event()
        self._may_be_gone = False
        """Documents changed since its registration was looked at."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        self._arrivals.remove(self)

    @property
    def stopped(self) -> bool:
        return self._arrivals.stopped

    def wake(self, *, documents_changed: bool = False) -> None:
        self._may_be_gone = self._may_be_gone or documents_changed
        self._woken.set()

    def clear(self) -> None:
        self._woken.clear()

    async def wait(self, seconds: float) -> bool:
        """False when nothing woke it in time, or the gateway is shutting down."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        return not self._arrivals.stopped

    async def check(self) -> None:
        """Raises `NOT_FOUND` when the registration was deleted meanwhile."""
        if not self._may_be_gone:
            return
        self._may_be_gone = False
        registration = self.registration
        if await self._arrivals.store.get("registration", registration.org, registration.registration_id) is None:
            message = f"registration {registration.registration_id} was deleted"
            raise GatewayError(Reason.NOT_FOUND, message)


class Arrivals:
    """One per front process; used from its event loop only."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store = store
        self.stopped = False
        self._waiters_max = config.journal_waiters_max
        self._lane_waiters_max = config.journal_waiters_per_registration
        self._waiting: defaultdict[Lane, set[Waiter]] = defaultdict(set)
        self.count = 0
        """Who waits now."""
        self._seen: dict[int, int] = {}
        """Shard -> its log was looked through up to here."""
        self._epoch = 0
        self._hint = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._stop_hearing: Callable[[], None] = lambda: None

    async def join(self, registration: Registration) -> Waiter | None:
        """A place among those who wait; None when there is none left."""
        shard = await self.store.shard(registration.org)
        head = await self.store.head(shard)
        epoch = await self.store.epoch()
        lane = registration.id
        if self.stopped or self.count >= self._waiters_max:
            return None
        if len(self._waiting.get(lane, ())) >= self._lane_waiters_max:
            return None
        if not self.count:
            self._seen.clear()
            self._epoch = epoch
            self._stop_hearing = self.store.on_append(self._hint.set)
        self._seen.setdefault(shard, head.seq)
        waiter = Waiter(self, registration)
        self._waiting[lane].add(waiter)
        self.count += 1
        if self._following is None:
            self._following = asyncio.get_running_loop().create_task(self._follow())
        return waiter

    def remove(self, waiter: Waiter) -> None:
        lane = waiter.registration.id
        if waiter in self._waiting.get(lane, ()):
            self._waiting[lane].remove(waiter)
            self.count -= 1
            if not self._waiting[lane]:
                del self._waiting[lane]
            if not self.count:
                self._stop_hearing()
                self._hint.set()  # so that the follower ends

    def stop(self) -> None:
        """Nobody waits any more from now on."""
        self.stopped = True
        self._wake_all()
        self._hint.set()

    def _wake_all(self) -> None:
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.wake(documents_changed=True)

    async def _follow(self) -> None:
        """Runs while somebody waits. If the log cannot be read, everybody looks, and meets the failure or what is
        there; the next hint is followed again."""
        try:
            while self.count and not self.stopped:
                await self._hint.wait()
                self._hint.clear()
                try:
                    for shard in tuple(self._seen):
                        await self._scan(shard)
                except Exception as error:  # noqa: BLE001 - the stage's loop
                    log.warning(telemetry.STAGE_FAILED, stage="arrivals", cause=repr(error))
                    self._wake_all()
        finally:
            self._following = None

    async def _scan(self, shard: int) -> None:
        more = True
        while more:
            page = await self.store.read_log(shard, self._seen.get(shard, 0), _LOG_PAGE)
            for entry in page.entries:
                for lane in entry.lanes:
                    for waiter in self._waiting.get(Lane(lane), ()):
                        waiter.wake()
            if page.entries:
                self._seen[shard] = page.entries[-1].seq
            if page.epoch != self._epoch:
                self._epoch = page.epoch
                self._wake_all()  # a registration may be gone
            more = len(page.entries) == _LOG_PAGE
