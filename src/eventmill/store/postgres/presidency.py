"""Which process does what is done once for all nodes: a lease like those of slots, on one row.

Asked for by whoever wants to do such work, each time: a process whose stages hang, or that has none, does not keep it
from the others. Two may believe to have it for a moment, when one of them was stopped in the middle of its work; so
whatever is done under it must bear that.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from eventmill import telemetry
from eventmill.errors import StoreUnavailable
from eventmill.store.postgres.leases import Terms
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading

_log = structlog.get_logger()
_SQL = load_queries("shared")


class Presidency:
    def __init__(self, pool: Reading, process: UUID, terms: Terms) -> None:
        self._pool = pool
        self._process = process
        self._terms = terms
        self._term = 0
        self._good_until_s = 0.0
        self._next_ask_s = 0.0
        self._unanswered: StoreUnavailable | None = None
        """Why it is not known who presides, since it was asked last."""
        self._asking = asyncio.Lock()

    async def term(self) -> int:
        """Number of this process's term; 0 when another process presides. Raises `StoreUnavailable`."""
        if self._now_s() >= self._next_ask_s and not (self._asking.locked() and self._held()):
            async with self._asking:
                if self._now_s() >= self._next_ask_s:
                    await self._ask()
        held = self._held()
        if not held and self._unanswered is not None:
            raise self._unanswered.with_traceback(None)  # one instance for many: its traceback would grow
        return held

    async def close(self) -> None:
        """Others need not wait for it to end."""
        if self._held():
            self._good_until_s = 0.0
            try:
                await self._pool.execute(_SQL["abdicate"], self._process)
            except StoreUnavailable as error:
                _log.warning(telemetry.LEASES_NOT_RENEWED, cause=error.message)

    def _held(self) -> int:
        return self._term if self._now_s() < self._good_until_s else 0

    async def _ask(self) -> None:
        asked_s = self._now_s()
        self._next_ask_s = asked_s + self._terms.renew_s
        try:
            term = await self._pool.fetchval(_SQL["preside"], self._process, self._terms.ttl_s)
        except StoreUnavailable as error:
            self._unanswered = error
            return
        self._unanswered = None
        if term is None:
            self._term = 0
            return
        if term != self._term:
            _log.info(telemetry.PRESIDENCY_TAKEN, term=term)
        self._term = term
        self._good_until_s = asked_s + self._terms.ttl_s - self._terms.margin_s

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()
