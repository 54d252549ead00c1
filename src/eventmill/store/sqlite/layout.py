"""The numbers behind the on-disk layout and the batches. Chosen by bench (`bench/`); tests make them small."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from eventmill.config import MIB


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Readers work with any values a writer used, except that a child needs the writer's `chunk_positions` or more."""

    chunk_positions: int = 128
    """A lane's unwritten tail is always shorter; reaching it writes a chunk."""
    snapshot_events: int = 65_536
    """Events after which all tails are saved; bounds the scan at open."""
    batch_events: int = 1024
    batch_bytes: int = 8 * MIB
    queue_calls: int = 16_384
    """Calls that may wait for the writer; beyond it appends are refused."""
    wal_checkpoint_bytes: int = 4 * MIB
    """Written bytes after which the write-ahead log is copied into its database."""
    wal_bytes_max: int = 16 * MIB
    """A write-ahead log longer than this is restarted between two commits. Overwriting an old log syncs in half the
    time of lengthening one, so this is not larger than it must be."""


_DAY_MS = 86_400_000
SHARD = 0
"""The one shard of this engine."""


def day_of(ts_ms: int) -> int:
    """UTC day as yyyymmdd."""
    return _day(ts_ms // _DAY_MS)


@lru_cache(maxsize=16)
def _day(number: int) -> int:
    date = datetime.fromtimestamp(number * _DAY_MS / 1000, UTC)
    return date.year * 10_000 + date.month * 100 + date.day
