"""Which nodes have the database open, and what each of them holds: for people; nothing is decided by it."""

from __future__ import annotations

from uuid import UUID

from eventmill.store.observe import Node
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading

_SQL = load_queries("nodes")
_SHOWN_S = 600.0
"""How long one that gives no sign is shown all the same."""


class NodeReads:
    _pool: Reading
    _node: UUID

    async def nodes(self) -> list[Node]:
        return [Node(**row) for row in await self._pool.fetch(_SQL["known_nodes"], self._node, _SHOWN_S)]
