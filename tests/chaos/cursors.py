"""Who moved which cursor, as the database itself takes it down: none may go back, and only the owner moves one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import asyncpg

from tests.e2e.gateway import Gateway
from tests.e2e.harness.database import DatabaseServer

_WATCH = (
    """
    CREATE TABLE public.moved
        (lane bigint, mark_before bigint, mark_after bigint, owner text, client text, port integer)
    """,
    """
    CREATE FUNCTION public.note_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO public.moved
        SELECT NEW.lane, OLD.mark, NEW.mark, owner, host(inet_client_addr()), inet_client_port()
        FROM eventmill.slot WHERE slot = NEW.slot;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER moved AFTER UPDATE OF mark, done ON eventmill.lane FOR EACH ROW
    WHEN ((OLD.mark, OLD.done) IS DISTINCT FROM (NEW.mark, NEW.done)) EXECUTE FUNCTION public.note_move()
    """,
)
_MOVES = """
SELECT owner, client, port, count(*) AS moves, count(*) FILTER (WHERE mark_after < mark_before) AS back
FROM public.moved GROUP BY owner, client, port
"""


class Way(Protocol):
    """Of a node to the database."""

    def carries(self, address: str, port: int) -> bool:
        """Whether the database sees this client when the node uses this way."""


async def watch_cursors(server: DatabaseServer) -> None:
    """From now on each move is noted, with the owner of the slot at that moment and the connection that made it."""
    for statement in _WATCH:
        await server.execute(statement)


async def wrong_moves(server: DatabaseServer, nodes: Sequence[Gateway], ways: Sequence[Sequence[Way]]) -> list[str]:
    """Moves backwards, and moves by a node that did not own the lane's slot any more."""
    connection = await asyncpg.connect(server.dsn)
    try:
        rows = await connection.fetch(_MOVES)
    finally:
        await connection.close()
    assert rows, "no cursor was moved at all: nothing was watched"
    names = [_names(node) for node in nodes]
    wrong = []
    for row in rows:
        if row["back"]:
            wrong.append(f"{row['back']} moves backwards by {row['owner']}")
        by = [names[number] for number, some in enumerate(ways) if _any_carries(some, row["client"], row["port"])]
        assert by, f"whose connection was {row['client']}:{row['port']}?"
        if row["owner"] not in set.union(*by):
            wrong.append(f"{row['moves']} moves of what {row['owner']} owned, by somebody else")
    return wrong


def _any_carries(ways: Sequence[Way], address: str, port: int) -> bool:
    return any(way.carries(address, port) for way in ways)


def _names(node: Gateway) -> set[str]:
    """Under which the node's processes took slots, in all its lives."""
    log = node.log_path.read_text(errors="replace")
    return set(re.findall(r"store_opened\b.*\bnode=([0-9a-f-]{36})", log))
