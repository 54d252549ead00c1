"""What the data directory holds, by the sizes of its files: they are not opened."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

_SEGMENT = re.compile(r"(\d{4})(\d\d)(\d\d)-\d+\.db(-wal|-shm)?$")


class Stored(msgspec.Struct, frozen=True):
    """Of the events of a day, or of everything else."""

    name: str
    size: int


def stored_files(data: Path) -> list[Stored]:
    """The newest day first, then the rest. Empty where nothing is kept in files."""
    days: dict[str, int] = {}
    rest = 0
    for path in data.rglob("*"):
        try:
            size = path.stat().st_size if path.is_file() else 0
        except OSError:  # dropped, or renamed, meanwhile
            continue
        found = _SEGMENT.match(path.name)
        if found:
            day = "-".join(found.groups()[:3])
            days[day] = days.get(day, 0) + size
        else:
            rest += size
    listed = [Stored(day, days[day]) for day in sorted(days, reverse=True)]
    return [*listed, Stored("registrations, retries, traces", rest)] if days else []
