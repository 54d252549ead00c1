"""Development mode: nodes ask each other by rows of the database."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from eventmill.store.fellows import Answers, Asked
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading

_SQL, _WORK = load_queries("shared"), load_queries("work")


class PostgresFellows:
    """Implements `store.fellows.Fellows`. `moved` is called when others are to look."""

    def __init__(self, pool: Reading, node: UUID, moved: Callable[[], None]) -> None:
        self._pool = pool
        self._node = node
        self._moved = moved

    async def others(self) -> int:
        count: int = await self._pool.fetchval(_SQL["others"], self._node)
        return count

    async def ask(self) -> int:
        number: int = await self._pool.fetchval(_SQL["ask"])
        self._moved()
        return number

    async def answers(self, number: int) -> Answers:
        row = await self._pool.fetchrow(_SQL["answers"], self._node, number)
        assert row is not None
        return Answers(*row)

    async def share_out(self) -> None:
        await self._pool.execute(_WORK["tell_freed"])

    async def asked(self) -> Asked:
        row = await self._pool.fetchrow(_SQL["asked"], self._node)
        assert row is not None
        return Asked(*row)

    async def answer(self, asked: Asked, slots: int, due_ms: int | None) -> None:
        await self._pool.execute(_SQL["answer"], self._node, asked.number, due_ms, asked.answered, slots)

    async def set_rate(self, rate: float | None) -> None:
        await self._pool.execute(_SQL["set_rate"], rate)
        self._moved()
