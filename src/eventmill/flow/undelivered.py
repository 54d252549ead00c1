"""What a registration was sent and never took, or never sent: the events of its gaps and those that ended undelivered.

Reads only. The journal that a registration was for a while is no gap in this sense: its events were there to be read.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from itertools import islice
from operator import attrgetter
from typing import Protocol

import msgspec

from eventmill.ids import uuid_text
from eventmill.model import Lane, Registration
from eventmill.store.log import EventLog, EventOutline
from eventmill.store.observe import ObserveStore
from eventmill.store.work import PULLED, Gap, WorkStore

_ANYTHING = 1 << 62


class UndeliveredStore(EventLog, ObserveStore, WorkStore, Protocol):
    """What is asked of the store here."""


class InView(msgspec.Struct, frozen=True):
    """An undelivered position, without its event."""

    seq: int
    cause: str
    """`refused`, `gave_up`, `expired`, or why the registration was disabled when it passed: `disabled` (by hand),
    `accepted`, `verification_failed` or `hook_unreachable`."""
    status: int | None
    """HTTP status or 6xx code of the last attempt; None when there was none."""
    at_ms: int
    """When it ended, or when the gap opened."""
    replay: bytes = b""


class UndeliveredItem(msgspec.Struct, frozen=True, kw_only=True):
    """An undelivered event. Of one that retention dropped (`available` false) only its position is known."""

    seq: int
    day: int
    """As yyyymmdd, for its position text; 0 when the event is gone."""
    event_id: str | None
    event_code: str | None
    provider_id: str | None
    ts_ms: int | None
    """When it was published."""
    cause: str
    status: int | None
    at_ms: int
    replay_id: str | None
    """UUID of the replay or resend whose delivery ended so."""
    available: bool


class UndeliveredSummary(msgspec.Struct, frozen=True):
    total: int
    oldest_ms: int | None
    """When the oldest of them was published; of one that is gone, when it ended. None: there are none."""
    causes: dict[str, int]
    """How many for each cause; causes of none are missing."""


class UndeliveredPage(msgspec.Struct, frozen=True):
    summary: UndeliveredSummary
    """Of everything undelivered, whatever the page."""
    items: list[UndeliveredItem]
    """In the order of their positions."""
    next: int | None
    """`after` of the next page; None when this is the last."""


async def read_undelivered(
    store: UndeliveredStore, registration: Registration, *, after: int, limit: int, causes: Collection[str] = ()
) -> UndeliveredPage:
    """The first `limit` undelivered events after the position `after`, of these causes or any; with the sum of all."""
    lane = registration.id
    found = await view_after(store, lane, after, _ANYTHING, limit + 1, causes)
    shown = found[:limit]
    shard = await store.shard(registration.org)
    events = {event.seq: event for event in await store.outlines(shard, [each.seq for each in shown])}
    items = [_item(each, events.get(each.seq)) for each in shown]
    summary = await count_undelivered(store, registration)
    return UndeliveredPage(summary, items, shown[-1].seq if len(found) > limit else None)


async def count_undelivered(
    store: UndeliveredStore, registration: Registration, *, after: int = 0
) -> UndeliveredSummary:
    """Counts exactly what is behind the position `after`, and without reading events but the oldest."""
    causes = await count_view(store, registration.id, after, _ANYTHING)
    oldest_ms = None
    for first in await view_after(store, registration.id, after, _ANYTHING, 1):
        found = await store.outlines(await store.shard(registration.org), [first.seq])
        oldest_ms = found[0].ts_ms if found else first.at_ms
    return UndeliveredSummary(sum(causes.values()), oldest_ms, causes)


async def view_after(
    store: UndeliveredStore, lane: Lane, after: int, upto: int, limit: int, causes: Collection[str] = ()
) -> list[InView]:
    """The first `limit` undelivered positions in (after, upto], ascending; of these causes, or of any."""
    ended = await _ended_after(store, lane, after, upto, limit, causes)
    passed = await _passed_after(store, lane, after, upto, limit, causes)
    return list(islice(heapq.merge(ended, passed, key=attrgetter("seq")), limit))


async def count_view(
    store: UndeliveredStore, lane: Lane, after: int, upto: int, causes: Collection[str] = ()
) -> dict[str, int]:
    """How many undelivered positions there are in (after, upto], by cause."""
    counts: dict[str, int] = {}
    for gap in await counted_gaps(store, lane, causes):
        first, last = max(after, gap.from_seq - 1), min(upto, _end(gap))
        if first < last:
            settled = sum(first < seq <= last for seq in gap.settled)
            count = await store.count_between(lane, first, last) - settled
            counts[gap.cause] = counts.get(gap.cause, 0) + count
    ended = await store.count_ended(lane, after, upto)
    counts |= {outcome: count for outcome, count in ended.items() if not causes or outcome in causes}
    return {cause: count for cause, count in counts.items() if count > 0}


async def counted_gaps(store: ObserveStore, lane: Lane, causes: Collection[str] = ()) -> list[Gap]:
    """The gaps whose events count as undelivered, in order; of these causes, or of any."""
    gaps = await store.gaps(lane)
    return [gap for gap in gaps if gap.cause != PULLED and (not causes or gap.cause in causes)]


async def _ended_after(
    store: UndeliveredStore, lane: Lane, after: int, upto: int, limit: int, causes: Collection[str]
) -> list[InView]:
    found: list[InView] = []
    while len(found) < limit:
        page = await store.ended_after(lane, after, limit)
        found += [
            InView(each.seq, each.outcome, each.cause or None, each.at_ms, each.replay)
            for each in page
            if each.seq <= upto and (not causes or each.outcome in causes)
        ]
        if len(page) < limit or page[-1].seq >= upto:
            break
        after = page[-1].seq
    return found[:limit]


async def _passed_after(
    store: UndeliveredStore, lane: Lane, after: int, upto: int, limit: int, causes: Collection[str]
) -> list[InView]:
    found: list[InView] = []
    for gap in await counted_gaps(store, lane, causes):
        settled = frozenset(gap.settled)
        last, at = min(upto, _end(gap)), max(after, gap.from_seq - 1)
        while at < last and len(found) < limit:
            page = await store.lane_page(lane, at, limit)
            within: Sequence[int] = [seq for seq in page if seq <= last and seq not in settled]
            found += [InView(seq, gap.cause, None, gap.opened_ms) for seq in within]
            if len(page) < limit or page[-1] >= last:
                break
            at = page[-1]
    return found[:limit]


def _end(gap: Gap) -> int:
    return _ANYTHING if gap.to_seq is None else gap.to_seq


def _item(each: InView, event: EventOutline | None) -> UndeliveredItem:
    return UndeliveredItem(
        seq=each.seq,
        day=0 if event is None else event.day,
        event_id=None if event is None else uuid_text(event.event_id),
        event_code=None if event is None else event.origin.event_code,
        provider_id=None if event is None else event.origin.provider_id,
        ts_ms=None if event is None else event.ts_ms,
        cause=each.cause,
        status=each.status,
        at_ms=each.at_ms,
        replay_id=uuid_text(each.replay) if each.replay else None,
        available=event is not None,
    )
