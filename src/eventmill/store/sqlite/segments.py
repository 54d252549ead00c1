"""Segment files: one database per business day, named `<yyyymmdd>-<first seq>.db`, made whole and dropped whole."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from eventmill.errors import StartupError
from eventmill.model import OrgId, Origin
from eventmill.store.migrate import read_format, statements
from eventmill.store.sqlite.connect import open_reader, open_writer, transaction
from eventmill.store.sqlite.queries import load_queries, read_sql

SEGMENT_FORMAT = 1
_FILE_NAME = re.compile(r"^(\d{8})-(\d+)\.db$")
_SQL = load_queries("log")
_BESIDES = ("-wal", "-shm")


class SegmentFile(msgspec.Struct, frozen=True):
    path: Path
    day: int
    first_seq: int


def list_segments(directory: Path) -> tuple[SegmentFile, ...]:
    """Finished segments, oldest first."""
    found = []
    for name in os.listdir(directory):
        match = _FILE_NAME.match(name)
        if match:
            found.append(SegmentFile(directory / name, int(match[1]), int(match[2])))
    return tuple(sorted(found, key=lambda segment: (segment.first_seq, segment.day)))


def create_segment(directory: Path, day: int, first_seq: int) -> SegmentFile:
    """Durably in place when it returns."""
    segment = SegmentFile(directory / f"{day:08d}-{first_seq}.db", day, first_seq)
    unfinished = directory / f"{segment.path.name}.new"
    _unlink(unfinished)
    _unlink(segment.path)
    connection = open_writer(unfinished)
    try:
        with transaction(connection):
            for statement in statements(read_sql("segment")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SEGMENT_FORMAT:d}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    os.chmod(unfinished, 0o600)
    os.rename(unfinished, segment.path)
    sync_directory(directory)
    return segment


def remove_segment(segment: SegmentFile) -> None:
    _unlink(segment.path)


def remove_unfinished(directory: Path) -> None:
    """What a crash left of a segment in the making, or beside one already gone."""
    kept = {segment.path.name for segment in list_segments(directory)}
    for name in os.listdir(directory):
        stem = name
        for suffix in _BESIDES:
            stem = stem.removesuffix(suffix)
        if stem not in kept:
            (directory / name).unlink()


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_format(connection: sqlite3.Connection, segment: SegmentFile) -> None:
    present = read_format(connection)
    if present != SEGMENT_FORMAT:
        raise StartupError(
            f"{segment.path} has format {present}, but this version reads {SEGMENT_FORMAT}; "
            "start the version that wrote it, or name another data directory"
        )


class SegmentReader:
    """A reading connection with the segment's dictionary of origins. Fails when the segment was dropped."""

    def __init__(self, segment: SegmentFile) -> None:
        self.segment = segment
        self.connection = open_reader(segment.path)
        self.connection.execute(
            _SQL["last_event"]
        ).fetchone()  # opens the write-ahead log too, so that both stay readable
        self._origins: dict[int, Origin] = {}

    def origin(self, number: int) -> Origin:
        known = self._origins.get(number)
        if known is None:
            raw = self.connection.execute(_SQL["origin"], (number,)).fetchone()[0]
            known = self._origins[number] = msgspec.json.decode(raw, type=Origin)
        return known


class SegmentReaders:
    """Open readers of one thread, one per segment."""

    def __init__(self) -> None:
        self._readers: dict[Path, SegmentReader] = {}

    def find(self, segment: SegmentFile) -> SegmentReader | None:
        """None when the segment was dropped before it could be opened."""
        reader = self._readers.get(segment.path)
        if reader is None:
            try:
                reader = self._readers[segment.path] = SegmentReader(segment)
            except sqlite3.OperationalError:
                if segment.path.exists():
                    raise
        return reader

    def keep(self, segments: Sequence[SegmentFile]) -> None:
        """Close the readers of all others."""
        kept = {segment.path for segment in segments}
        for path in [known for known in self._readers if known not in kept]:
            self._readers.pop(path).connection.close()

    def close(self) -> None:
        self.keep(())


def org_bytes_of(connection: sqlite3.Connection) -> dict[OrgId, int]:
    """Bytes per organisation up to the last snapshot."""
    return {OrgId(org): count for org, count in connection.execute(_SQL["org_bytes"])}


def _unlink(path: Path) -> None:
    for suffix in ("", *_BESIDES):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
