"""Days of business time: counted from 1970-01-01 in the database, as yyyymmdd everywhere else."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

DAY_MS = 86_400_000


@lru_cache(maxsize=64)
def written_day(day: int) -> int:
    """Number of a day as yyyymmdd."""
    date = datetime.fromtimestamp(day * DAY_MS / 1000, UTC)
    return date.year * 10_000 + date.month * 100 + date.day
