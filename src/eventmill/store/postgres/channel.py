"""A connection on which each piece of work is done exactly once, though connections are lost and commits left unknown.

Every piece has a number, which its transaction leaves in the channel's row. After a lost connection the row tells
whether the piece was committed; its lock makes the question wait for a backend that still works on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import asyncpg
import structlog

from eventmill import telemetry
from eventmill.store.postgres.connect import LOST, UNDONE, Connection, Dial, refusal
from eventmill.store.postgres.queries import load_queries

_log = structlog.get_logger()
_SQL = load_queries("channel")
_ANSWER_S = 20.0
"""A server that is silent for so long is given up: the connection, never the statement on it. Cancelling a commit that
waits for its standby would leave it done here and unacknowledged."""
_PAUSE_S = 0.05
_PAUSE_MAX_S = 0.5

Result = Sequence[int]
Work = Callable[[Connection], Awaitable[Result]]
"""What to do inside a transaction; the result is kept with it. May be called more than once."""


class Channel:
    """Used by one task at a time, which its `run` sees to."""

    def __init__(self, dial: Dial, channel_id: UUID, patience_s: float = 10.0) -> None:
        self._dial = dial
        self._id = channel_id
        self._patience_s = patience_s
        self._number = 0
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self.broken = ""
        """Why nothing can be written at the moment; empty when it can, as far as is known."""

    async def open(self) -> None:
        await self._connected()

    async def close(self) -> None:
        """After what is under way; nothing may follow."""
        async with self._turn:
            if self._connection is not None:
                with contextlib.suppress(*LOST, asyncpg.PostgresError):
                    await self._connection.execute(_SQL["forget"], self._id)
                with contextlib.suppress(*LOST):
                    await self._connection.close(timeout=2)
                self._connection = None

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
            self._number += 1
            loop = asyncio.get_running_loop()
            give_up_s = loop.time() + self._patience_s
            pause_s = _PAUSE_S
            while True:
                try:
                    result = await self._answered(attempt(self._number))
                except (*LOST, *UNDONE) as error:
                    if isinstance(error, LOST):
                        self._drop(error)
                    if loop.time() >= give_up_s:
                        raise refusal(error) from error
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _PAUSE_MAX_S)
                except asyncpg.PostgresError as error:
                    _log.error(telemetry.STORE_COMMIT_FAILED, file="database", error=repr(error))
                    raise refusal(error) from error
                else:
                    self.broken = ""
                    return result

    async def _answered(self, attempt: Awaitable[Result]) -> Result:
        task = asyncio.ensure_future(attempt)
        done, _ = await asyncio.wait((task,), timeout=_ANSWER_S)
        if not done:
            if self._connection is not None:
                self._connection.terminate()
            await asyncio.wait((task,), timeout=_ANSWER_S)
        return await task

    async def _transaction(self, number: int, work: Work) -> Result:
        connection = await self._connected()
        async with connection.transaction():
            row = await connection.fetchrow(_SQL["lock"], self._id)
            if row is not None and row["number"] == number:
                return list(row["result"])
            result = await work(connection)
            await connection.execute(_SQL["note"], self._id, number, list(result))
        return result

    async def _single(self, statement: Callable[[Connection], Awaitable[Result]]) -> Result:
        return await statement(await self._connected())

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            connection = await self._dial()
            await connection.execute(_SQL["make"], self._id)
            self._connection = connection
        return self._connection

    def _drop(self, error: BaseException) -> None:
        if not self.broken:
            self.broken = f"the database cannot be reached ({type(error).__name__}: {error})"
            _log.warning(telemetry.STORE_REFUSED, cause=self.broken)
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
