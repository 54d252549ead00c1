"""Which events of a replay go next, as the write that hands them out. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec

from eventmill.config import Config
from eventmill.core import eventbridge
from eventmill.core.envelope import fit_batch, recipient_suffix
from eventmill.flow.undelivered import counted_gaps, view_after
from eventmill.ids import IdSource
from eventmill.model import Registration, Replay
from eventmill.store.base import Store
from eventmill.store.control import PutUnits
from eventmill.store.work import Gap, LaneRecord, RetryUnit

Positions = tuple[int, ...]


class Cut(msgspec.Struct, frozen=True):
    put: PutUnits | None
    """None: there is nothing left to send."""
    count: int
    cursor: int
    """Everything up to here is in the units, or not to be sent."""


def is_under_way(lane: LaneRecord, seq: int) -> bool:
    """Whether the position's first attempt comes by itself, or is being made."""
    return not lane.disabled and seq > lane.mark and seq not in lane.done


def replay_unit(
    registration: Registration, positions: Positions, *, replay: bytes, unit_id: bytes, now_ms: int
) -> RetryUnit:
    return RetryUnit(
        unit_id=unit_id,
        lane=registration.id,
        positions=positions,
        batch=_is_batched(registration),
        first_ms=now_ms,
        retries=0,
        due_ms=now_ms,
        cause=0,
        replay=replay,
    )


class UnitCutter:
    def __init__(self, store: Store, ids: IdSource, config: Config) -> None:
        self._store = store
        self._ids = ids
        self._config = config

    async def cut(self, replay: Replay, registration: Registration, limit: int, now_ms: int) -> Cut:
        """The next `limit` events at most behind the replay's cursor; a whole batch where batches are sent."""
        if _is_batched(registration):
            limit = max(limit, self._batch_limits(registration)[0])
        gaps = await self._gaps(replay)
        found, passed = await self._next(replay, limit)
        groups = await self._batches(registration, found) if _is_batched(registration) else [(seq,) for seq in found]
        if _is_batched(registration) and len(groups) > 1 and passed < replay.to_seq:
            groups.pop()  # it may have been cut short by the limit
            passed = groups[-1][-1]
        if not groups:
            return Cut(None, 0, passed)
        raw_id = UUID(replay.id).bytes
        units = tuple(
            replay_unit(registration, each, replay=raw_id, unit_id=self._ids.event_id(now_ms), now_ms=now_ms)
            for each in groups
        )
        cleared = tuple(_overlaps(gaps, replay.cursor + 1, passed))
        put = PutUnits(registration.id, units, now_ms, cleared, from_view=replay.scope == "undelivered")
        return Cut(put, sum(map(len, groups)), passed)

    async def _gaps(self, replay: Replay) -> list[Gap]:
        """Those that are replayed whole. Read before their positions: a gap that opens meanwhile is not among them."""
        if replay.scope == "all":
            return await self._store.gaps(replay.lane)
        return await counted_gaps(self._store, replay.lane, replay.causes)

    async def _next(self, replay: Replay, limit: int) -> tuple[Sequence[int], int]:
        """Positions to send, and how far that goes; none only at the end."""
        find = self._next_of_all if replay.scope == "all" else self._next_in_view
        at = replay.cursor
        while at < replay.to_seq:
            found, at = await find(replay, at, limit)
            if found:
                return found, at
            await asyncio.sleep(0)
        return (), replay.to_seq

    async def _next_in_view(self, replay: Replay, after: int, limit: int) -> tuple[Sequence[int], int]:
        found = await view_after(self._store, replay.lane, after, replay.to_seq, limit, replay.causes)
        floor = await self._store.floor(replay.lane)
        there = [each.seq for each in found if each.seq > floor]
        return there, found[-1].seq if len(found) == limit else replay.to_seq

    async def _next_of_all(self, replay: Replay, after: int, limit: int) -> tuple[Sequence[int], int]:
        """All but what is on its way already."""
        page = await self._store.lane_page(replay.lane, after, limit)
        passed = page[-1] if len(page) == limit and page[-1] < replay.to_seq else replay.to_seq
        within = [seq for seq in page if seq <= replay.to_seq]
        record = await self._store.lane(replay.lane)
        if record is None or not within:
            return (), passed
        busy = {seq for unit in await self._store.units_at(replay.lane, within) for seq in unit.positions}
        return [seq for seq in within if seq not in busy and not is_under_way(record, seq)], passed

    async def _batches(self, registration: Registration, seqs: Sequence[int]) -> list[Positions]:
        """As large as first deliveries would make them. Events that expired meanwhile are left out."""
        events_max, bytes_max = self._batch_limits(registration)
        around = len(recipient_suffix(registration.client_id, self._config.legacy_fields))
        shard = await self._store.shard(registration.org)
        outlines = await self._store.outlines(shard, seqs)
        there = [event.seq for event in outlines]
        sizes = [event.body_bytes + around for event in outlines]
        groups: list[Positions] = []
        at = 0
        while at < len(there):
            count = fit_batch(sizes[at:], events_max=events_max, bytes_max=bytes_max)
            groups.append(tuple(there[at : at + count]))
            at += count
        return groups

    def _batch_limits(self, registration: Registration) -> tuple[int, int]:
        """Events and bytes. Calls to an event bus are cut to what it takes when they are made."""
        if registration.delivery_type == "aws_eventbridge":
            return eventbridge.CUSTOM_ENTRIES_MAX, eventbridge.ENTRIES_BYTES_MAX
        return self._config.webhook_batch_events_max, self._config.webhook_batch_bytes_max


def _is_batched(registration: Registration) -> bool:
    return registration.delivery_type in ("webhook_batch", "aws_eventbridge")


def _overlaps(gaps: Sequence[Gap], first: int, last: int) -> list[tuple[int, int]]:
    parts = ((max(first, gap.from_seq), last if gap.to_seq is None else min(last, gap.to_seq)) for gap in gaps)
    return [(low, high) for low, high in parts if low <= high]
