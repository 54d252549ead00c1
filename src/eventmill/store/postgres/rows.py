"""Many rows in one statement, and positions as PostgreSQL writes them."""

from __future__ import annotations

from collections.abc import Sequence

from eventmill.store.postgres.connect import Connection


async def put_rows(connection: Connection, query: str, rows: Sequence[tuple[object, ...]]) -> None:
    """The query takes the rows as columns, one array each."""
    if rows:
        await connection.execute(query, *zip(*rows, strict=True))


def array(seqs: Sequence[int]) -> str:
    """The text of an array. Lists of positions cannot come as an array of arrays, which is a matrix."""
    return "{" + ",".join(map(str, seqs)) + "}"
