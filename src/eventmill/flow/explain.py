"""Explains an event: who was to get it, every attempt, what comes next; and why a registration did not get it.

Reads only. An event's row in the log says who matched when it was published; registrations that want such events now
and did not get this one are told why, as far as that can still be known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Literal, Protocol

import msgspec

from eventmill.core.attempts import Attempt, unpack_attempts
from eventmill.core.position import Position
from eventmill.core.retry import Verdict, judge
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.filters import explain_filter
from eventmill.flow.undelivered import InView, view_after
from eventmill.model import EventOfInterest, Lane, OrgId, Registration
from eventmill.store.log import EventLog, StoredEvent
from eventmill.store.observe import ObserveStore
from eventmill.store.work import PULLED, Gap, LaneRecord, RetryUnit, WorkStore

State = Literal["waiting", "delivered", "scheduled", "undelivered", "expired", "journal_only", "deleted", "not_matched"]
"""`waiting`: its first attempt is yet to come, or under way. `scheduled`: it is attempted again. `undelivered`: it is
not, unless it is replayed. `expired`: so, because the event was no longer kept."""

WhyNot = Literal["created_after_event", "filtered", "interested_since"]


class ExplainStore(EventLog, ObserveStore, WorkStore, Protocol):
    """What is asked of the store here."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """An event's way to one registration."""

    lane: Lane
    registration: Registration | None = None
    """None: it was deleted."""
    registration_id: str = ""
    """Empty: it was deleted, and everything about it is over."""
    state: State
    why_not: WhyNot | None = None
    """Of what was not matched."""
    filter_miss: str = ""
    """Of what was filtered: why the filter, as it is now, does not let the event through."""
    in_view: InView | None = None
    """Of what is undelivered."""
    gap: Gap | None = None
    """The one that it passed in, with the registration disabled."""
    attempts: tuple[Attempt, ...] = ()
    """The oldest first."""
    unit: RetryUnit | None = None
    """Of what is scheduled."""


class Explanation(msgspec.Struct, frozen=True):
    event: StoredEvent
    position: Position
    ways: list[Way]
    """Matched ones in the order of the registrations' creation, then those that were not."""


async def explain_event(
    store: ExplainStore, catalogue: Catalogue, org: OrgId, event_id: bytes, *, legacy_fields: bool
) -> Explanation | None:
    """None when the organization has no such event, or has it no longer. The catalogue should be fresh."""
    event = await store.find_event(org, event_id)
    if event is None:
        return None
    shard = await store.shard(org)
    entries = (await store.read_log(shard, event.seq - 1, 1)).entries
    lanes = entries[0].lanes if entries and entries[0].seq == event.seq else ()
    ways = [await _way(store, catalogue, Lane(lane), event.seq) for lane in lanes]
    ways += await _ways_not_taken(catalogue, event, set(lanes), legacy_fields=legacy_fields)
    head = await store.head(shard)
    return Explanation(event, Position(head.generation, shard, event.day, event.seq), ways)


async def _ways_not_taken(
    catalogue: Catalogue, event: StoredEvent, taken: Collection[int], *, legacy_fields: bool
) -> list[Way]:
    """Of the registrations that want such events now. Others get their turn after each: filters can take long."""
    origin = event.origin
    interested = catalogue.interested(origin.org, EventOfInterest(origin.provider_id, origin.event_code))
    ways = []
    for each in interested:
        if each.id not in taken:
            ways.append(
                _way_not_taken(each, event.ts_ms, explain_filter(each, event.body, legacy_fields=legacy_fields))
            )
            await asyncio.sleep(0)
    return ways


def ways_not_taken(
    catalogue: Catalogue, org: OrgId, interest: EventOfInterest, published_ms: int, *, filtered: bool
) -> list[Way]:
    """Registrations that want such events now, of an event that nobody got: because of filters, if `filtered`."""
    return [
        _way_not_taken(each, published_ms, "" if filtered and each.subscriber_filters else None)
        for each in catalogue.interested(org, interest)
    ]


def _way_not_taken(registration: Registration, published_ms: int, filter_miss: str | None) -> Way:
    why_not: WhyNot = "interested_since" if filter_miss is None else "filtered"
    if registration.created_ms > published_ms:
        why_not, filter_miss = "created_after_event", None
    return Way(
        lane=registration.id,
        registration=registration,
        registration_id=registration.registration_id,
        state="not_matched",
        why_not=why_not,
        filter_miss=filter_miss or "",
    )


async def _way(store: ExplainStore, catalogue: Catalogue, lane: Lane, seq: int) -> Way:
    record = await store.lane(lane)
    registration = catalogue.registration_of_lane(lane)
    if record is None:
        return Way(lane=lane, state="deleted", attempts=await _attempts(store, lane, seq))
    attempts = await _attempts(store, lane, seq)
    unit = next(iter(await store.units_at(lane, [seq])), None)
    in_view = next(iter(await view_after(store, lane, seq - 1, seq, 1)), None)
    gap = next((each for each in await store.gaps(lane) if _is_in(seq, each)), None)
    return Way(
        lane=lane,
        registration=registration,
        registration_id=record.registration_id,
        state=_state(record, seq, attempts, unit, in_view or gap),
        in_view=in_view,
        gap=gap,
        attempts=attempts,
        unit=unit,
    )


async def _attempts(store: ExplainStore, lane: Lane, seq: int) -> tuple[Attempt, ...]:
    blocks = await store.attempts_at(lane, seq)
    found = [each for block in blocks for each in unpack_attempts(block.attempts) if each.seq == seq]
    return tuple(sorted(found, key=lambda each: each.at_ms))


def _is_in(seq: int, gap: Gap) -> bool:
    return gap.from_seq <= seq and (gap.to_seq is None or seq <= gap.to_seq) and seq not in gap.settled


def _state(
    record: LaneRecord, seq: int, attempts: Sequence[Attempt], unit: RetryUnit | None, missed: InView | Gap | None
) -> State:
    if unit is not None:
        return "scheduled"
    if missed is not None and missed.cause == "expired":
        return "expired"
    if missed is not None:
        return "journal_only" if missed.cause == PULLED else "undelivered"
    if any(judge(each.status) is Verdict.DELIVERED for each in attempts):
        return "delivered"
    if record.tombstone is not None:
        return "deleted"
    return "waiting" if seq > record.mark and seq not in record.done else "undelivered"
