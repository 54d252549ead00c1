"""Events that nobody was to get, in the state file: a ring per organization, and a count."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from eventmill.config import Config
from eventmill.store.observe import UnmatchedBatch, UnmatchedEvent
from eventmill.store.sqlite.progress import BUCKET_MS
from eventmill.store.sqlite.queries import ManyRows, load_queries

_SQL = load_queries("state")
_INSERT = ManyRows(_SQL["insert_unmatched"], 5)
_encode = msgspec.msgpack.Encoder().encode
decode_unmatched = msgspec.msgpack.Decoder(UnmatchedEvent).decode


def put_unmatched(connection: sqlite3.Connection, batches: Sequence[UnmatchedBatch], config: Config) -> None:
    """Inside a transaction of the caller's."""
    for batch in batches:
        rows = [(batch.org, each.event_id, each.published_id, each.at_ms, _encode(each)) for each in batch.events]
        _INSERT.run(connection, rows)
        connection.execute(_SQL["trim_unmatched"], (batch.org, config.unmatched_kept))
        at_ms = batch.events[-1].at_ms
        connection.execute(_SQL["add_unmatched_tally"], (batch.org, at_ms - at_ms % BUCKET_MS, batch.count))


def drop_unmatched(connection: sqlite3.Connection, before_ms: int, config: Config) -> None:
    """Likewise."""
    connection.execute(_SQL["drop_old_unmatched"], (before_ms,))
    connection.execute(_SQL["drop_spare_unmatched"], (config.unmatched_kept_max,))
    connection.execute(_SQL["drop_old_unmatched_tallies"], (before_ms - BUCKET_MS,))
