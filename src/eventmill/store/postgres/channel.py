"""A connection on which each piece of work is done exactly once, though connections are lost and commits left unknown.

Every piece has a number, which its transaction leaves in the channel's row. After a lost connection the row tells
whether the piece was committed; its lock makes the question wait for a backend that still works on it. A piece that a
slow network delivers after its successor finds a higher number, and does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import asyncpg
import msgspec
import structlog

from eventmill import telemetry
from eventmill.errors import StoreUnavailable
from eventmill.store.postgres.connect import LOST, UNDONE, Connection, Dial, bound_waits, refusal
from eventmill.store.postgres.queries import load_queries

_log = structlog.get_logger()
_SQL = load_queries("channel")
_ANSWER_S = 10.0
"""A server that is silent for so long is given up: the connection, never the statement on it. Cancelling a commit that
waits for its standby would leave it done here and unacknowledged."""
_PATIENCE_S = 10.0
_PAUSE_S = 0.05
_PAUSE_MAX_S = 0.5
_LAST_S = 1.0
"""For what is to be said at the end."""

Result = Sequence[int]
Work = Callable[[Connection], Awaitable[Result]]
"""What to do inside a transaction; the result is kept with it. May be called more than once."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How long a channel waits, before the outcome of a piece is left unknown."""

    answer_s: float = _ANSWER_S
    """For one attempt at a piece."""
    patience_s: float = _PATIENCE_S
    """Since the first attempt; no further one begins."""


class Channel:
    """Used by one task at a time, which its `run` sees to.

    `lost` tells why the database cannot be reached, as far as is known; then no piece is begun."""

    def __init__(self, dial: Dial, channel_id: UUID, terms: Terms | None = None, lost: Callable[[], str] = str) -> None:
        self._dial = dial
        self._id = channel_id
        self._terms = terms or Terms()
        self._lost = lost
        self._number = 0
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._failed: type[BaseException] | None = None
        """What the last piece was refused for: a disk that is full for an hour is one line of the log."""
        self.is_silent = False
        """What was asked last was given up without an answer, though the database can be reached."""

    def hurry(self) -> None:
        """The end is near: what cannot be done now is not waited for."""
        self._terms = Terms(answer_s=_LAST_S, patience_s=_LAST_S)

    async def close(self) -> None:
        """After what is under way; nothing may follow."""
        async with self._turn:
            if self._connection is not None:
                with contextlib.suppress(*LOST, asyncpg.PostgresError):
                    async with asyncio.timeout(_LAST_S):
                        await self._connection.execute(_SQL["forget"], self._id)
                        await self._connection.close()
                self._drop()

    async def run(self, work: Work) -> Result:
        """Carry out in one transaction. Waiting may be abandoned; the work then still completes.

        Raises what `work` raises, after a rollback, and `StoreUnavailable`."""
        return await asyncio.shield(asyncio.ensure_future(self._run(lambda number: self._transaction(number, work))))

    async def call(self, statement: Callable[[Connection, UUID, int], Awaitable[Result]]) -> Result:
        """As `run`, for a statement that is a transaction by itself and sees to the channel's row: it is given the
        channel and the number."""
        return await asyncio.shield(
            asyncio.ensure_future(
                self._run(lambda number: self._single(lambda connection: statement(connection, self._id, number)))
            )
        )

    async def _run(self, attempt: Callable[[int], Awaitable[Result]]) -> Result:
        async with self._turn:
            if why := self._lost():
                raise StoreUnavailable(why)
            self._number += 1
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            pause_s = _PAUSE_S
            while True:
                try:
                    result = await self._answered(attempt(self._number))
                    self._failed = None
                    return result
                except asyncpg.DataError:  # a value that no server would take
                    raise
                except (*LOST, *UNDONE) as error:
                    patience_s = _PATIENCE_S
                    if isinstance(error, LOST):
                        self._drop()
                        patience_s = self._terms.patience_s
                    if loop.time() - began_s >= patience_s:
                        raise refusal(error) from error
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _PAUSE_MAX_S)
                except asyncpg.PostgresError as error:
                    if type(error) is not self._failed:
                        _log.error(telemetry.STORE_COMMIT_FAILED, file="database", error=repr(error))
                    self._failed = type(error)
                    raise refusal(error) from error

    async def _answered(self, attempt: Awaitable[Result]) -> Result:
        task = asyncio.ensure_future(attempt)
        done, _ = await asyncio.wait((task,), timeout=self._terms.answer_s)
        if not done:
            self.is_silent = not self._lost()
            self._drop()
            done, _ = await asyncio.wait((task,), timeout=_LAST_S)
            if not done:  # it was about to connect
                task.cancel()
            if not done or isinstance(task.exception(), LOST):
                raise TimeoutError
        result = await task
        self.is_silent = False
        return result

    async def _transaction(self, number: int, work: Work) -> Result:
        connection = await self._connected()
        async with connection.transaction():
            row = await connection.fetchrow(_SQL["lock"], self._id)
            if row is None:  # deleted as one that nobody uses; a new connection makes it anew
                raise asyncpg.ConnectionDoesNotExistError("the channel was forgotten")
            if row["number"] == number:
                return list(row["result"])
            result = await work(connection)
            await connection.execute(_SQL["note"], self._id, number, list(result))
        return result

    async def _single(self, statement: Callable[[Connection], Awaitable[Result]]) -> Result:
        return await statement(await self._connected())

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._dial()
            await bound_waits(self._connection)
            await self._connection.execute(_SQL["make"], self._id)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
