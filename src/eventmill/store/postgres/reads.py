"""Reads of the catalogue, of delivery's work and of what is kept for looking back; each is one query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from eventmill.core.health import Tally
from eventmill.ids import uuid_bytes
from eventmill.model import Lane, OrgId
from eventmill.store.audit import AuditRecord
from eventmill.store.control import Change, Kind, Versioned
from eventmill.store.observe import EndedPosition, ReplayTally, UnmatchedEvent
from eventmill.store.postgres.progress import BUCKET_MS
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading
from eventmill.store.postgres.units import count_ended, ended_after, read_unit, units_at
from eventmill.store.work import Ended, EndedOutcome, Gap, LaneRecord, RetryUnit, TraceRecord

_decode_unmatched = msgspec.msgpack.Decoder(UnmatchedEvent).decode
_CATALOGUE, _WORK = load_queries("catalogue"), load_queries("work")


class StateReads:
    """The reading halves of `ControlStore`, `WorkStore` and `ObserveStore`, but for events."""

    _pool: Reading
    _traces_kept: int

    # Catalogue

    async def get(self, kind: Kind, org: OrgId, doc_id: str) -> Versioned | None:
        row = await self._pool.fetchrow(_CATALOGUE["get_doc"], kind, org, doc_id)
        return None if row is None else Versioned(kind, org, doc_id, row["version"], row["doc"])

    async def list_docs(self, kind: Kind, org: OrgId, key: tuple[str, str] | None = None) -> list[Versioned]:
        if key is None:
            rows = await self._pool.fetch(_CATALOGUE["list_docs"], kind, org)
        else:
            rows = await self._pool.fetch(_CATALOGUE["list_docs_by_key"], kind, key[0], key[1].encode(), org)
        return [Versioned(kind, org, *row) for row in rows]

    async def scan(self, kind: Kind, key: tuple[str, str] | None = None) -> list[Versioned]:
        if key is None:
            rows = await self._pool.fetch(_CATALOGUE["scan_docs"], kind)
        else:
            rows = await self._pool.fetch(_CATALOGUE["scan_docs_by_key"], kind, key[0], key[1].encode())
        return [Versioned(kind, *row) for row in rows]

    async def scan_page(self, kind: Kind, after: tuple[str, str], limit: int) -> list[Versioned]:
        rows = await self._pool.fetch(_CATALOGUE["scan_page"], kind, *after, limit)
        return [Versioned(kind, *row) for row in rows]

    async def epoch(self) -> int:
        epoch: int = await self._pool.fetchval(_CATALOGUE["epoch"])
        return epoch

    async def changes(self, after: int, limit: int) -> list[Change]:
        """The newest 100,000 are kept. A reader that is further behind gets a first epoch above `after + 1`, by which
        it notices that it must read everything again."""
        rows = await self._pool.fetch(_CATALOGUE["changes"], after, limit)
        return [Change(*row) for row in rows]

    async def clock_offset_ms(self) -> int:
        return (await self._clock_row())[0]

    async def clock_jumped_ms(self) -> int:
        return (await self._clock_row())[1]

    async def _clock_row(self) -> tuple[int, int]:
        row = await self._pool.fetchrow(_CATALOGUE["clock"])
        assert row is not None
        return row[0], row[1]

    # Work

    async def lanes(self, slots: Sequence[int]) -> list[LaneRecord]:
        return [_lane_record(row) for row in await self._pool.fetch(_WORK["lane_records"], list(slots))]

    async def lane(self, lane: Lane) -> LaneRecord | None:
        row = await self._pool.fetchrow(_WORK["lane_record"], lane)
        return None if row is None else _lane_record(row)

    async def floor(self, lane: Lane) -> int:
        return await self._pool.fetchval(_WORK["floor"], lane) or 0

    async def due_units(self, lane: Lane, until_ms: int, limit: int, *, of_replays: bool = False) -> list[RetryUnit]:
        rows = await self._pool.fetch(_WORK["due_units"], lane, of_replays, until_ms, limit)
        return [read_unit(row) for row in rows]

    async def units_at(self, lane: Lane, positions: Sequence[int]) -> list[RetryUnit]:
        return await units_at(self._pool, lane, positions)

    async def next_due(self, lane: Lane) -> int | None:
        due_ms: int | None = await self._pool.fetchval(_WORK["next_due"], lane)
        return due_ms

    # Looking back

    async def traces(self, lane: Lane) -> list[TraceRecord]:
        return [
            TraceRecord(row["ok"], row["ts_ms"], tuple(row["positions"]), row["detail"])
            for row in await self._pool.fetch(_WORK["traces"], lane, self._traces_kept)
        ]

    async def ended(self, lane: Lane, limit: int) -> list[Ended]:
        return [
            Ended(tuple(row["positions"]), row["outcome"], row["cause"], row["at_ms"], row["replay"])
            for row in await self._pool.fetch(_WORK["ended"], lane, limit)
        ]

    async def ended_after(self, lane: Lane, after: int, limit: int) -> list[EndedPosition]:
        return await ended_after(self._pool, lane, after, limit)

    async def count_ended(self, lane: Lane, after: int, upto: int) -> dict[EndedOutcome, int]:
        return await count_ended(self._pool, lane, after, upto)

    async def replay_tally(self, replay: bytes) -> ReplayTally:
        row = await self._pool.fetchrow(_WORK["replay_tally"], replay)
        assert row is not None
        return ReplayTally(**row)

    async def gaps(self, lane: Lane) -> list[Gap]:
        return [
            Gap(lane, from_seq, to_seq, cause, opened_ms, closed_ms, tuple(settled))
            for _, from_seq, to_seq, cause, opened_ms, closed_ms, settled in await self._pool.fetch(_WORK["gaps"], lane)
        ]

    async def counts(self, lane: Lane, since_ms: int) -> tuple[int, int]:
        row = await self._pool.fetchrow(_WORK["tally_since"], lane, since_ms)
        assert row is not None
        return row["ok"], row["failed"]

    async def health_tallies(self, lane: Lane, since_ms: int) -> list[Tally]:
        return [Tally(*row) for row in await self._pool.fetch(_WORK["health_tallies"], lane, since_ms)]

    async def lanes_with_failures(self, since_ms: int) -> set[Lane]:
        return {lane for (lane,) in await self._pool.fetch(_WORK["lanes_with_failures"], since_ms)}

    async def unmatched(self, org: OrgId, since_ms: int, limit: int) -> list[UnmatchedEvent]:
        rows = await self._pool.fetch(_WORK["unmatched"], org, since_ms, limit)
        return [_decode_unmatched(row["detail"]) for row in rows]

    async def count_unmatched(self, org: OrgId, since_ms: int) -> int:
        count: int = await self._pool.fetchval(_WORK["count_unmatched"], org, since_ms - since_ms % BUCKET_MS)
        return count

    async def find_unmatched(self, org: OrgId, since_ms: int, event_id: str) -> UnmatchedEvent | None:
        asked = (org, since_ms, uuid_bytes(event_id), event_id.encode())
        row = await self._pool.fetchrow(_WORK["find_unmatched"], *asked)
        return None if row is None else _decode_unmatched(row["detail"])

    # Audit

    async def phi_audit(self, org: OrgId, from_ms: int, to_ms: int, after: int, limit: int) -> list[AuditRecord]:
        rows = await self._pool.fetch_planned(_WORK["phi_audit"], org, after, from_ms, to_ms, limit)
        return [_audit_record(row) for row in rows]


def _audit_record(row: Any) -> AuditRecord:
    number, at_ms, audit_id, event_id, provider_id, event_code, client_id, *rest = row
    texts = (text.decode() for text in (provider_id, event_code, client_id))
    return AuditRecord(number, at_ms, audit_id.decode(), event_id, *texts, *rest)


def _lane_record(row: Any) -> LaneRecord:
    lane, org, shard, registration_id, mark, done, disabled, tombstone, *next_ms = row
    return LaneRecord(lane, org, shard, registration_id, mark, tuple(done), disabled, tombstone, *next_ms)
