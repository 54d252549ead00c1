"""The tables of each day: made ahead of time, looked after by whoever writes into them."""

from __future__ import annotations

from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading

_MAKE = load_queries("log")["make_day"]
_AHEAD = 2


class Partitions:
    """What this process knows of the tables there are. Another process may have dropped some since."""

    def __init__(self, pool: Reading) -> None:
        self._pool = pool
        self._known: set[int] = set()

    async def ensure(self, day: int) -> None:
        """In a transaction of its own. Keeps nobody waiting."""
        if day not in self._known:
            await self._pool.execute(_MAKE, day)
            self._known.add(day)

    async def make_ahead(self, today: int) -> None:
        for day in range(today, today + _AHEAD + 1):
            await self.ensure(day)

    def forget(self) -> None:
        """A table that should be there is not."""
        self._known.clear()
