"""One question to the store for all who ask it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Abandoned(Exception):
    """Whoever was to put the question for others was cancelled."""


class Joined(Generic[T]):
    """However many ask at once, one question is under way and at most one more waits for it to end.

    Whoever asks gets an answer to a question that was put after that: never to the one already under way, which may
    have been answered before something happened that the caller has to know of. Whoever asks alone pays for no task."""

    def __init__(self, question: Callable[[], Awaitable[T]]) -> None:
        self._question = question
        self._under_way: asyncio.Future[T] | None = None
        self._next: asyncio.Future[T] | None = None
        """The one that is put when that under way has ended, by the first who asked for it."""

    async def ask(self) -> T:
        """Raises what the question raises."""
        while self._next is not None:
            try:
                return await asyncio.shield(self._next)  # one that goes away takes the answer from nobody
            except _Abandoned:
                continue
        mine: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._under_way is not None:
            self._next = mine
            try:
                await asyncio.wait([self._under_way])
            except BaseException:
                self._next = None
                _fail(mine, _Abandoned())
                raise
            self._next = None
        return await self._put(mine)

    async def _put(self, mine: asyncio.Future[T]) -> T:
        self._under_way = mine
        try:
            answer = await self._question()
        except BaseException as error:
            _fail(mine, error if isinstance(error, Exception) else _Abandoned())
            raise
        finally:
            self._under_way = None
        mine.set_result(answer)
        return answer


def _fail(asked: asyncio.Future[T], error: Exception) -> None:
    asked.set_exception(error)
    asked.exception()  # nobody may be waiting
