"""Events that nobody was to get: a ring per organization, and a count. And how what was observed is forgotten."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from eventmill.config import Config
from eventmill.store.observe import UnmatchedBatch
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.progress import BUCKET_MS
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.rows import put_rows

_SQL = load_queries("work")
_encode = msgspec.msgpack.Encoder().encode


async def put_unmatched(connection: Connection, batches: Sequence[UnmatchedBatch], config: Config) -> list[int]:
    """Inside a transaction of the caller's."""
    for batch in sorted(batches, key=lambda each: each.org):
        rows = [
            (batch.org, each.event_id, each.published_id.encode(), each.at_ms, _encode(each)) for each in batch.events
        ]
        await put_rows(connection, _SQL["insert_unmatched"], rows)
        await connection.execute(_SQL["trim_unmatched"], batch.org, config.unmatched_kept)
        at_ms = batch.events[-1].at_ms
        await connection.execute(_SQL["add_unmatched_tally"], batch.org, at_ms - at_ms % BUCKET_MS, batch.count)
    return []


async def drop_observed(
    connection: Connection, config: Config, traces_before_ms: int, unmatched_before_ms: int
) -> list[int]:
    """Likewise."""
    await connection.execute(_SQL["drop_old_traces"], traces_before_ms)
    await connection.execute(_SQL["drop_old_unmatched"], unmatched_before_ms)
    await connection.execute(_SQL["drop_spare_unmatched"], config.unmatched_kept_max)
    await connection.execute(_SQL["drop_old_unmatched_tallies"], unmatched_before_ms - BUCKET_MS)
    return []
