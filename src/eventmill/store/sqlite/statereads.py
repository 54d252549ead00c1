"""Reads of the state file, for the front and for delivery children; each is one query on the caller's thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import msgspec

from eventmill.core.health import Tally
from eventmill.ids import uuid_bytes
from eventmill.model import Lane, OrgId
from eventmill.store.control import Change, Kind, Versioned
from eventmill.store.observe import EndedPosition, ReplayTally, UnmatchedEvent
from eventmill.store.sqlite.connect import drop_cache, open_reader
from eventmill.store.sqlite.engine import Paths
from eventmill.store.sqlite.layout import SHARD
from eventmill.store.sqlite.packing import unpack_seqs
from eventmill.store.sqlite.progress import BUCKET_MS
from eventmill.store.sqlite.queries import load_queries
from eventmill.store.sqlite.units import count_ended, ended_after, read_unit, units_at
from eventmill.store.sqlite.unmatched import decode_unmatched
from eventmill.store.work import SLOTS, Ended, EndedOutcome, Gap, LaneRecord, RetryUnit, TraceRecord

_SQL = load_queries("state")


class StateReads:
    """The reading halves of `ControlStore`, `WorkStore` and `ObserveStore`."""

    _paths: Paths
    _reader: sqlite3.Connection
    """Set by `open`."""

    # Catalogue

    async def get(self, kind: Kind, org: OrgId, doc_id: str) -> Versioned | None:
        row = self._row("get_doc", kind, org, doc_id)
        return None if row is None else Versioned(kind, org, doc_id, row[0], row[1])

    async def list_docs(self, kind: Kind, org: OrgId, key: tuple[str, str] | None = None) -> list[Versioned]:
        if key is None:
            rows = self._rows("list_docs", kind, org)
        else:
            rows = self._rows("list_docs_by_key", kind, key[0], key[1], org)
        return [Versioned(kind, org, doc_id, version, doc) for doc_id, version, doc in rows]

    async def scan(self, kind: Kind, key: tuple[str, str] | None = None) -> list[Versioned]:
        rows = self._rows("scan_docs", kind) if key is None else self._rows("scan_docs_by_key", kind, *key)
        return [Versioned(kind, OrgId(org), *rest) for org, *rest in rows]

    async def scan_page(self, kind: Kind, after: tuple[str, str], limit: int) -> list[Versioned]:
        rows = self._rows("scan_page", kind, *after, limit)
        if len(rows) < limit:
            drop_cache(self._reader)
        return [Versioned(kind, OrgId(org), *rest) for org, *rest in rows]

    async def changes(self, after: int, limit: int) -> list[Change]:
        """The newest 100,000 are kept. A reader that is further behind gets a first epoch above `after + 1`, by which
        it notices that it must read everything again."""
        return [
            Change(epoch, OrgId(org), kind, doc_id) for epoch, org, kind, doc_id in self._rows("changes", after, limit)
        ]

    def _last_epoch(self) -> int:
        return self._row("last_change")[0] or 0

    # Work

    async def lanes(self, slots: Sequence[int]) -> list[LaneRecord]:
        wanted = msgspec.json.encode(list(slots)).decode()
        records = [_lane_record(row) for row in self._rows("lane_records", SLOTS, wanted)]
        drop_cache(self._reader)
        return records

    async def lane(self, lane: Lane) -> LaneRecord | None:
        row = self._row("lane_record", lane)
        return _lane_record(row) if row is not None else None

    async def due_units(self, lane: Lane, until_ms: int, limit: int, *, of_replays: bool = False) -> list[RetryUnit]:
        return [read_unit(lane, row) for row in self._rows("due_units", lane, of_replays, until_ms, limit)]

    async def units_at(self, lane: Lane, positions: Sequence[int]) -> list[RetryUnit]:
        return units_at(self._reader, lane, positions)

    async def next_due(self, lane: Lane) -> int | None:
        due_ms: int | None = self._row("next_due", lane)[0]
        return due_ms

    # Looking back

    async def traces(self, lane: Lane) -> list[TraceRecord]:
        return [
            TraceRecord(bool(ok), ts_ms, tuple(unpack_seqs(positions)), detail)
            for ok, ts_ms, positions, detail in self._rows("traces", lane)
        ]

    async def ended(self, lane: Lane, limit: int) -> list[Ended]:
        return [
            Ended(tuple(unpack_seqs(positions)), outcome, cause, at_ms, replay)
            for positions, outcome, cause, at_ms, replay in self._rows("ended", lane, limit)
        ]

    async def ended_after(self, lane: Lane, after: int, limit: int) -> list[EndedPosition]:
        return ended_after(self._reader, lane, after, limit)

    async def count_ended(self, lane: Lane, after: int, upto: int) -> dict[EndedOutcome, int]:
        """In a thread: a million rows take a quarter of a second, in one step."""
        return await asyncio.to_thread(self._count_ended, lane, after, upto)

    def _count_ended(self, lane: Lane, after: int, upto: int) -> dict[EndedOutcome, int]:
        with closing(open_reader(self._paths.state)) as reader:
            return count_ended(reader, lane, after, upto)

    async def replay_tally(self, replay: bytes) -> ReplayTally:
        return ReplayTally(*self._row("replay_tally", replay))

    async def gaps(self, lane: Lane) -> list[Gap]:
        return [
            Gap(lane, from_seq, to_seq, cause, opened_ms, closed_ms, tuple(unpack_seqs(settled)))
            for _, from_seq, to_seq, cause, opened_ms, closed_ms, settled in self._rows("gaps", lane)
        ]

    async def unmatched(self, org: OrgId, since_ms: int, limit: int) -> list[UnmatchedEvent]:
        return [decode_unmatched(detail) for (detail,) in self._rows("unmatched", org, since_ms, limit)]

    async def count_unmatched(self, org: OrgId, since_ms: int) -> int:
        count: int = self._row("count_unmatched", org, since_ms - since_ms % BUCKET_MS)[0]
        return count

    async def find_unmatched(self, org: OrgId, since_ms: int, event_id: str) -> UnmatchedEvent | None:
        row = self._row("find_unmatched", org, since_ms, uuid_bytes(event_id), event_id)
        return None if row is None else decode_unmatched(row[0])

    async def counts(self, lane: Lane, since_ms: int) -> tuple[int, int]:
        ok, failed = self._row("tally_since", lane, since_ms)
        return ok, failed

    async def health_tallies(self, lane: Lane, since_ms: int) -> list[Tally]:
        return [Tally(*row) for row in self._rows("health_tallies", lane, since_ms)]

    async def lanes_with_failures(self, since_ms: int) -> set[Lane]:
        """In a thread: a day of a thousand busy lanes takes a third of a second, in one step."""
        return await asyncio.to_thread(self._lanes_with_failures, since_ms)

    def _lanes_with_failures(self, since_ms: int) -> set[Lane]:
        with closing(open_reader(self._paths.state)) as reader:
            return {lane for (lane,) in reader.execute(_SQL["lanes_with_failures"], (since_ms,))}

    def _row(self, query: str, *values: object) -> Any:
        return self._reader.execute(_SQL[query], values).fetchone()

    def _rows(self, query: str, *values: object) -> list[Any]:
        return self._reader.execute(_SQL[query], values).fetchall()


def _lane_record(row: Sequence[Any]) -> LaneRecord:
    lane, org, registration_id, mark, done, disabled, tombstone, *next_ms = row
    return LaneRecord(
        lane, org, SHARD, registration_id, mark, tuple(unpack_seqs(done)), bool(disabled), tombstone, *next_ms
    )
