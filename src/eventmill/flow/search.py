"""Finds published events by what is known of them: looks backwards through an organization's positions, so many at a
time, and says how far it came. Reads only.

The publisher's id is in the body alone: looking for it reads bodies, and comes less far in one go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec

from eventmill.flow.explain import State
from eventmill.flow.undelivered import view_after
from eventmill.model import Lane, OrgId
from eventmill.store.log import EventLog, EventOutline
from eventmill.store.observe import ObserveStore
from eventmill.store.work import PULLED, Gap, LaneRecord, WorkStore

POSITIONS_MAX = 6_000
"""That are looked at in one go; events of others, where positions are shared, are among them."""
BODIES_MAX = 2_000
"""Likewise of events whose body is read."""
WAYS_MAX = 500
"""Likewise of ways to registrations whose state is looked up."""
WAYS_TOLD = 10
"""Of each event that is found."""
_STEP = 500
_STEP_OF_BODIES = 100
_BODY_BYTES_PER_STEP = 4 << 20
_MINUTE_MS = 60_000


class SearchStore(EventLog, ObserveStore, WorkStore, Protocol):
    """What is asked of the store here."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What an event must be to be found; what is empty does not matter."""

    org: OrgId
    published_id: str = ""
    event_code: str = ""
    source: str = ""
    """Id of the provider, or a part of its label."""
    from_ms: int = 0
    to_ms: int | None = None
    """Not itself."""
    lane: Lane | None = None
    states: frozenset[State] = frozenset()
    """Of its way to one registration, that of `lane` or any."""

    def fits(self, event: EventOutline) -> bool:
        """As far as the outline tells."""
        origin = event.origin
        return (
            origin.org == self.org
            and (not self.event_code or origin.event_code == self.event_code)
            and (not self.source or _is_source(self.source, origin.provider_id, origin.provider_label))
            and event.ts_ms >= self.from_ms
            and (self.to_ms is None or event.ts_ms < self.to_ms)
            and (not self.published_id or origin.delivery_format == "cloud_events_v1")
        )


class WayState(msgspec.Struct, frozen=True):
    lane: Lane
    state: State


class Hit(msgspec.Struct, frozen=True):
    event: EventOutline
    published_id: str | None
    """None when its format has no place for it."""
    ways: tuple[WayState, ...]
    """To those that it is shown for; see `matched`."""
    matched: int
    """How many registrations the event was for."""


class Found(msgspec.Struct, frozen=True):
    hits: list[Hit]
    """Newest first."""
    searched: int
    """Events of the organization that were looked at."""
    back_to_ms: int | None
    """When the oldest of them was published; None: there was none."""
    next: int | None
    """Where to go on; None: there is nothing before."""


def _is_source(wanted: str, provider_id: str, label: str) -> bool:
    return provider_id == wanted.removeprefix("urn:uuid:") or wanted.casefold() in label.casefold()


async def search_events(store: SearchStore, wanted: Wanted, before: int | None, limit: int) -> Found:
    """At most `limit` events at positions below `before`, or from the last one on."""
    return await _Search(store, wanted, limit).run(before)


class _Search:
    def __init__(self, store: SearchStore, wanted: Wanted, limit: int) -> None:
        self._store = store
        self._wanted = wanted
        self._limit = limit
        self._states = WayStates(store)
        self._hits: list[Hit] = []
        self._searched = 0
        self._bodies = 0
        self._back_to_ms: int | None = None

    async def run(self, before: int | None) -> Found:
        wanted, store = self._wanted, self._store
        shard = await store.shard(wanted.org)
        upper = (await store.head(shard)).seq + 1
        if wanted.to_ms is not None:
            # What a store answers may lie a little too early: a minute more, and nothing before `to_ms` is passed over.
            upper = min(upper, await store.seek(shard, wanted.to_ms + _MINUTE_MS) + 1)
        upper = upper if before is None else min(upper, before)
        floor = await store.seek(shard, wanted.from_ms)
        lowest = max(floor, upper - 1 - POSITIONS_MAX)
        while upper - 1 > lowest:
            first = max(lowest + 1, upper - (_STEP_OF_BODIES if wanted.published_id else _STEP))
            upper = await self._step(shard, first, upper)
            if len(self._hits) >= self._limit or self._is_spent:
                break
            await asyncio.sleep(0)
        return Found(self._hits, self._searched, self._back_to_ms, upper if upper - 1 > floor else None)

    @property
    def _is_spent(self) -> bool:
        return self._bodies >= BODIES_MAX or self._states.asked >= WAYS_MAX

    async def _step(self, shard: int, first: int, upper: int) -> int:
        """Looks at positions [first, upper), from the last one back; returns the lowest that it came to."""
        outlines = await self._store.outlines(shard, list(range(first, upper)))
        entries = (await self._store.read_log(shard, first - 1, upper - first)).entries
        lanes = {each.seq: each.lanes for each in entries}
        fitting = [each for each in outlines if self._wanted.fits(each) and self._has_lane(lanes.get(each.seq, ()))]
        ids = await self._published_ids(shard, fitting) if self._wanted.published_id else {}
        chosen = {each.seq for each in fitting if not ids or ids.get(each.seq) == self._wanted.published_id}
        for event in reversed(outlines):
            if event.origin.org != self._wanted.org:
                continue
            self._searched += 1
            self._back_to_ms = event.ts_ms
            if event.seq in chosen and (not self._wanted.published_id or event.seq in ids):
                await self._consider(event, ids.get(event.seq), lanes.get(event.seq, ()))
                if len(self._hits) >= self._limit or self._states.asked >= WAYS_MAX:
                    return event.seq
        return first

    def _has_lane(self, lanes: Sequence[int]) -> bool:
        return self._wanted.lane is None or self._wanted.lane in lanes

    async def _published_ids(self, shard: int, events: Sequence[EventOutline]) -> dict[int, str]:
        found: dict[int, str] = {}
        for part in _by_bytes(events):
            for event in await self._store.fetch(shard, [each.seq for each in part]):
                found[event.seq] = published_id(event.body) or ""
            self._bodies += len(part)
            await asyncio.sleep(0)
        return found

    async def _consider(self, event: EventOutline, published: str | None, lanes: Sequence[int]) -> None:
        wanted = self._wanted
        own = [Lane(each) for each in lanes if wanted.lane is None or each == wanted.lane]
        ways = []
        if wanted.states:
            for lane in own:
                state = await self._states.of(lane, event.seq)
                if state in wanted.states:
                    ways.append(WayState(lane, state))
                    break
            if not ways:
                return
        else:
            ways = [WayState(lane, await self._states.of(lane, event.seq)) for lane in own[:WAYS_TOLD]]
        self._hits.append(Hit(event, published, tuple(ways), len(lanes)))


def _by_bytes(events: Sequence[EventOutline]) -> list[list[EventOutline]]:
    parts: list[list[EventOutline]] = []
    room = 0
    for each in events:
        if each.body_bytes > room or not parts:
            parts.append([])
            room = _BODY_BYTES_PER_STEP
        parts[-1].append(each)
        room -= each.body_bytes
    return parts


class _Published(msgspec.Struct, frozen=True):
    id: str | None = None


_decode_published = msgspec.json.Decoder(_Published).decode


def published_id(body: bytes) -> str | None:
    """Of a stored CloudEvent."""
    return _decode_published(body + b"}").id


class WayStates:
    """What became of events on their ways, told from what is settled and what is in view: no attempt is read."""

    def __init__(self, store: SearchStore) -> None:
        self._store = store
        self._lanes: dict[Lane, tuple[LaneRecord | None, list[Gap]]] = {}
        self.asked = 0

    async def of(self, lane: Lane, seq: int) -> State:
        self.asked += 1
        if lane not in self._lanes:
            record = await self._store.lane(lane)
            self._lanes[lane] = (record, [] if record is None else await self._store.gaps(lane))
        record, gaps = self._lanes[lane]
        if record is None:
            return "deleted"
        if await self._store.units_at(lane, [seq]):
            return "scheduled"
        for in_view in await view_after(self._store, lane, seq - 1, seq, 1):
            return "expired" if in_view.cause == "expired" else "undelivered"
        if any(each.cause == PULLED and _is_in(seq, each) for each in gaps):
            return "journal_only"
        if seq <= record.mark or seq in record.done:
            return "delivered"
        return "waiting" if record.tombstone is None else "deleted"


def _is_in(seq: int, gap: Gap) -> bool:
    return gap.from_seq <= seq and (gap.to_seq is None or seq <= gap.to_seq) and seq not in gap.settled
