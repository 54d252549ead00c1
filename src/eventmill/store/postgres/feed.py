"""Tells this process that the log, the catalogue or the clock may have moved, and others that this one moved them.

Hints only: a notification after a commit, never inside one (there it would put all commits in a row), many of them as
one; and a look every half second, which covers lost notifications and poolers that pass none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from eventmill import telemetry
from eventmill.clock import Clock, VirtualClock
from eventmill.errors import StoreUnavailable
from eventmill.store.postgres.connect import LOST, Connection, Dial
from eventmill.store.postgres.queries import load_queries

_log = structlog.get_logger()
_SQL = load_queries("log")
_CHANNEL = "eventmill"
_LOOK_S = 0.5
_AGAIN_S = 0.1
_PATIENCE_S = 2.0
"""A connection that is lost, and soon there again, refuses nobody: what was sent meanwhile waits that long anyway."""
_QUIET_S = 0.005
"""Between two notifications."""
_CHORES_S = 5.0


class Feed:
    """`moved` is called in the event loop; `chores` now and then, with the connection."""

    def __init__(
        self, dial: Dial, clock: Clock, moved: Callable[[], None], chores: Callable[[Connection], Awaitable[None]]
    ) -> None:
        self._dial = dial
        self._clock = clock
        self._moved = moved
        self._chores = chores
        self._seen: tuple[int, ...] = ()
        self._seen_clock: tuple[int, int] | None = None
        self._tell = False
        self._kick = asyncio.Event()
        self._next_chores_s = 0.0
        self._lost = ""
        self._lost_since_s = 0.0

    def tell(self) -> None:
        """This process has committed something that others want to know."""
        self._tell = True
        self._kick.set()

    @property
    def lost(self) -> str:
        """Why the database cannot be reached; empty when it can, or could a moment ago."""
        return self._lost if self._lost and self._clock.machine_s() - self._lost_since_s >= _PATIENCE_S else ""

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                connection = await self._dial()
            except (*LOST, asyncpg.PostgresError) as error:
                self._note_lost(error)
                await asyncio.sleep(_AGAIN_S)
                continue
            try:
                await self._follow(connection)
            except (*LOST, asyncpg.PostgresError, StoreUnavailable) as error:
                self._note_lost(error)
            finally:
                connection.terminate()

    async def _follow(self, connection: Connection) -> None:
        await connection.add_listener(_CHANNEL, lambda *_: self._kick.set())
        loop = asyncio.get_running_loop()
        while True:
            self._kick.clear()
            await self._look(connection)
            if self._lost:
                self._lost = ""
                _log.info(telemetry.STORE_ACCEPTING, cause="the database answers again")
            if loop.time() >= self._next_chores_s:
                self._next_chores_s = loop.time() + _CHORES_S
                await self._chores(connection)
            if self._tell:
                self._tell = False
                await connection.execute(_SQL["tell"], "")
                await asyncio.sleep(_QUIET_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):  # `wait_for` of Python 3.11 can swallow the end of this task
                    await self._kick.wait()

    async def _look(self, connection: Connection) -> None:
        row = await connection.fetchrow(_SQL["state"])
        assert row is not None
        clock = (row["clock_offset_ms"], row["clock_jumped_ms"])
        if isinstance(self._clock, VirtualClock) and self._seen_clock not in (None, clock):
            self._clock.follow(*clock)  # another node has moved it
        self._seen_clock = clock
        state = tuple(row)
        if state != self._seen:
            self._seen = state
            self._moved()

    def _note_lost(self, error: BaseException) -> None:
        if not self._lost:
            self._lost_since_s = self._clock.machine_s()
            self._lost = f"the database cannot be reached ({type(error).__name__}: {error})"
            _log.warning(telemetry.STORE_REFUSED, cause=self._lost)
