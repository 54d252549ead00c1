"""Tells this process that the log, the catalogue or the clock may have moved, and others that this one moved them.

Hints only: a notification after a commit, never inside one (there it would put all commits in a row), many of them as
one; and a look every half second, which covers lost notifications and poolers that pass none. A hint at an append names
what was appended to, and is believed without a look: with many nodes, looks would cost more than the appends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping

import asyncpg
import structlog

from eventmill import telemetry
from eventmill.clock import Clock, VirtualClock
from eventmill.errors import StoreUnavailable
from eventmill.store.postgres.connect import LOST, Connection, Dial, explain_loss
from eventmill.store.postgres.hints import APPENDED, FREED, MOVED, Hint, Untold, read_hint
from eventmill.store.postgres.queries import load_queries

_log = structlog.get_logger()
_SQL = load_queries("log")
_LOOK_S = 0.5
_AGAIN_S = 0.1
_ANSWER_S = 5.0
_PATIENCE_S = 2.0
"""A connection that is lost, and soon there again, refuses nobody: what was sent meanwhile waits that long anyway."""
_QUIET_S = 0.01
"""Between two notifications: each wakes every process of every node."""
_CHORES_S = 5.0
_CHORES_ANSWER_S = 30.0


class Feed:
    """`moved` and `appended` are called in the event loop, the latter for other nodes' appends; `chores` now and then,
    with the connection."""

    def __init__(
        self,
        dial: Dial,
        clock: Clock,
        moved: Callable[[], None],
        appended: Callable[[Hint], None],
        chores: Callable[[Connection], Awaitable[None]],
    ) -> None:
        self._dial = dial
        self._clock = clock
        self._moved = moved
        self._appended = appended
        self._chores = chores
        self._seen: tuple[int, ...] = ()
        self._highest = (0, 0)
        """Epoch and heads, of which neither falls unless the database has lost something."""
        self.seen_clock = (0, 0)
        """Offset and jumps of the dev clock, as they were in the database last; before the first look, at the start."""
        self.own_clock: tuple[int, int] | None = None
        """What this process has set it to. It has moved on since, perhaps at another rate than machine time."""
        self.on_fallen_back: Callable[[], None] = lambda: None
        self.on_silent: Callable[[], None] = lambda: None
        """The database does not answer, and takes no new connection: who waits for it on others waits in vain."""
        self.on_freed: Callable[[], None] = lambda: None
        """There are slots to take, or to give up."""
        self.wants_appends: Callable[[], bool] = lambda: True
        """Whether other nodes' appends are anything to this process."""
        self._untold = Untold()
        self._unseen = False
        """Anything may have moved elsewhere."""
        self._kick = asyncio.Event()
        self._next_chores_s = 0.0
        self._lost = ""
        self._answered_s = 0.0
        """Machine time of the last answer, and when the first one was asked for."""
        self._was_silent = False
        self._chores_fail = False

    @property
    def epoch(self) -> int:
        """Of the catalogue, at the last look."""
        return self._highest[0]

    def tell(self) -> None:
        """This process has committed something that others want to know."""
        self._untold.note_anything()
        self._kick.set()

    def tell_appended(self, heads: Mapping[int, int], slots: Collection[int]) -> None:
        """This process has appended so far to these shards, for lanes of these slots."""
        self._untold.note_appended(heads, slots)
        self._kick.set()

    def wake(self) -> None:
        """Appends may be wanted from now on."""
        self._kick.set()

    @property
    def lost(self) -> str:
        """Why the database cannot be reached, or takes no writes; empty when it can, or could a moment ago."""
        return self._lost if self._lost and self._silent_s() >= _PATIENCE_S else ""

    async def run(self) -> None:
        """Until it is cancelled."""
        self._answered_s = self._clock.machine_s()
        while True:
            try:
                connection = await self._dial()
            except (*LOST, asyncpg.PostgresError) as error:
                self._note_lost(error, silent=not isinstance(error, asyncpg.TooManyConnectionsError))
                await asyncio.sleep(_AGAIN_S)
                continue
            try:
                await self._follow(connection)
            except (*LOST, asyncpg.PostgresError) as error:
                self._note_lost(error, silent=isinstance(error, TimeoutError))
                await asyncio.sleep(_AGAIN_S)
            finally:
                connection.terminate()

    async def _follow(self, connection: Connection) -> None:
        ears = _Ears(connection, self._hear)
        await ears.open(MOVED)
        await ears.open(FREED)
        loop = asyncio.get_running_loop()
        next_look_s = loop.time()
        while True:
            self._kick.clear()
            if self.wants_appends() and await ears.open(APPENDED):
                self._unseen = True
            if self._unseen or loop.time() >= next_look_s:
                self._unseen = False
                async with asyncio.timeout(_ANSWER_S):
                    await self._look(connection)
                self._note_answer()
                next_look_s = loop.time() + _LOOK_S
            if self._untold:
                async with asyncio.timeout(_ANSWER_S):
                    await connection.execute(_SQL["tell"], *self._untold.take())
                await asyncio.sleep(_QUIET_S)
            if loop.time() >= self._next_chores_s:
                self._next_chores_s = loop.time() + _CHORES_S
                await self._try_chores(connection)
                if not self.wants_appends():
                    await ears.shut(APPENDED)
            with contextlib.suppress(TimeoutError):
                # `wait_for` of Python 3.11 can swallow the end of this task
                async with asyncio.timeout_at(next_look_s):
                    await self._kick.wait()

    def _hear(self, channel: str, text: str) -> None:
        if channel == FREED:
            self.on_freed()
        elif hint := read_hint(text):
            self._appended(hint)
        else:
            self._unseen = True
            self._kick.set()

    async def _look(self, connection: Connection) -> None:
        row = await connection.fetchrow(_SQL["state"])
        assert row is not None
        if row["read_only"]:
            raise asyncpg.ReadOnlySQLTransactionError("the database is read-only")
        clock = (row["clock_offset_ms"], row["clock_jumped_ms"])
        if isinstance(self._clock, VirtualClock) and clock not in (self.own_clock, self.seen_clock):
            self._clock.follow(*clock)  # another node has moved it
        self.seen_clock = clock
        if row["epoch"] < self._highest[0] or row["heads"] < self._highest[1]:
            self.on_fallen_back()
        self._highest = row["epoch"], row["heads"]
        state = tuple(row)
        if state != self._seen:
            self._seen = state
            self._moved()

    async def _try_chores(self, connection: Connection) -> None:
        """What fails is tried again the next time, and said once."""
        try:
            async with asyncio.timeout(_CHORES_ANSWER_S):
                await self._chores(connection)
        except (StoreUnavailable, TimeoutError, asyncpg.PostgresError) as error:
            if isinstance(error, LOST) and not isinstance(error, TimeoutError):  # a commit may wait where reads do not
                raise
            if not self._chores_fail:
                cause = explain_loss(error) if isinstance(error, TimeoutError) else str(error)
                _log.warning(telemetry.STAGE_FAILED, stage="database chores", cause=cause)
            self._chores_fail = True
        else:
            self._chores_fail = False

    def _note_lost(self, error: BaseException, *, silent: bool) -> None:
        """Once for each outage; afterwards everybody looks again, as hints may have been lost in it."""
        self._seen = ()
        if silent and not self._was_silent:
            self._was_silent = True
            self.on_silent()
        if not self._lost:
            _log.warning(telemetry.STORE_REFUSED, cause=explain_loss(error))
        self._lost = explain_loss(error)

    def _note_answer(self) -> None:
        self._was_silent = False
        if self._lost:
            self._lost = ""
            _log.info(telemetry.STORE_ACCEPTING, cause="the database answers again", seconds=round(self._silent_s(), 1))
        self._answered_s = self._clock.machine_s()

    def _silent_s(self) -> float:
        return self._clock.machine_s() - self._answered_s


class _Ears:
    """What a connection listens to. What is said on it is not heard."""

    def __init__(self, connection: Connection, heard: Callable[[str, str], None]) -> None:
        self._connection = connection
        self._own = connection.get_server_pid()
        self._heard = heard
        self._open: set[str] = set()

    async def open(self, channel: str) -> bool:
        """Whether it was not open."""
        if channel in self._open:
            return False
        async with asyncio.timeout(_ANSWER_S):
            await self._connection.add_listener(channel, self._hear)
        self._open.add(channel)
        return True

    async def shut(self, channel: str) -> None:
        if channel in self._open:
            self._open.remove(channel)
            async with asyncio.timeout(_ANSWER_S):
                await self._connection.remove_listener(channel, self._hear)

    def _hear(self, _connection: object, pid: int, channel: str, text: object) -> None:
        if pid != self._own:
            self._heard(channel, str(text))
