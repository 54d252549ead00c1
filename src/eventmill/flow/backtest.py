"""Tries a filter on events of late: what it would have made of those that a registration is interested in.

An addition of ours. Reads the newest events of the registration's own journal; where that is filtered already, the
journal of a registration of the same workspace that gets all events of the code. Must not: write, or hold others up.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec

from eventmill.config import Config
from eventmill.core.envelope import recipient_suffix
from eventmill.core.ruler import Filter
from eventmill.core.ruler_match import Miss
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.filters import filter_misses
from eventmill.model import EventOfInterest, Lane, Registration
from eventmill.store.log import EventLog

_PAGE_EVENTS = 50
_PAGE_BYTES_MAX = 2 * 1024 * 1024
_EXAMPLES_MAX = 10
_REASONS_MAX = 20
_SOURCE = "urn:uuid:"


@dataclass
class Backtest:
    matched: int = 0
    missed: int = 0
    is_all: bool = True
    """Whether these were all the events that the journals have."""
    matched_ids: list[str] = field(default_factory=list)
    """The newest first."""
    missed_events: list[tuple[str, tuple[Miss, ...]]] = field(default_factory=list)
    """Likewise."""
    _reasons: Counter[Miss] = field(default_factory=Counter)
    """Without what was seen."""

    def add(self, event_id: str, misses: tuple[Miss, ...]) -> None:
        if misses:
            self.missed += 1
            self.missed_events.insert(0, (event_id, misses))
            del self.missed_events[_EXAMPLES_MAX:]
            self._reasons.update({miss._replace(seen=()) for miss in misses})
        else:
            self.matched += 1
            self.matched_ids.insert(0, event_id)
            del self.matched_ids[_EXAMPLES_MAX:]

    def most_frequent(self) -> list[tuple[Miss, int]]:
        return self._reasons.most_common(_REASONS_MAX)


class _Named(msgspec.Struct, frozen=True):
    """What a stored CloudEvent says of itself."""

    source: str
    type: str
    eventid: str


_decode_named = msgspec.json.Decoder(_Named).decode


async def run_backtest(
    store: EventLog, catalogue: Catalogue, registration: Registration, wanted: Filter, config: Config
) -> Backtest:
    """On at most `Config.filter_backtest_events` events, shared by the journals that are read."""
    found = Backtest()
    sources = _sources(catalogue, registration)
    suffix = recipient_suffix(registration.client_id, config.legacy_fields)
    shard = await store.shard(registration.org)
    head = (await store.head(shard)).seq
    for lane, interests in sources.items():
        share = max(1, config.filter_backtest_events // len(sources))
        floor = await store.floor(lane)
        after = await _place_before_last(store, lane, share, floor, head)
        found.is_all = found.is_all and (after <= floor or not await store.count_after(lane, floor, share + 1) > share)
        async for body in _bodies(store, lane, after, head):
            named = _decode_named(body + b"}")
            if EventOfInterest(named.source.removeprefix(_SOURCE), named.type) in interests:
                found.add(named.eventid, filter_misses(wanted, body + suffix))
                await asyncio.sleep(0)  # a filter may take long
    return found


def _sources(catalogue: Catalogue, registration: Registration) -> dict[Lane, set[EventOfInterest]]:
    """Which journal to read for which of the events of interest."""
    sources: defaultdict[Lane, set[EventOfInterest]] = defaultdict(set)
    for interest in registration.events_of_interest:
        sources[_source(catalogue, registration, interest).id].add(interest)
    return dict(sources)


def _source(catalogue: Catalogue, registration: Registration, interest: EventOfInterest) -> Registration:
    if registration.subscriber_filters:
        for other in catalogue.interested(registration.org, interest):
            if other.workspace_id == registration.workspace_id and not other.subscriber_filters:
                return other
    return registration


async def _place_before_last(store: EventLog, lane: Lane, events: int, floor: int, head: int) -> int:
    """The smallest place in [floor, head] that is followed by no more than so many events of the lane."""
    low, high = floor, max(floor, head)
    while low < high:
        middle = (low + high) // 2
        if await store.count_after(lane, middle, events + 1) > events:
            low = middle + 1
        else:
            high = middle
    return low


async def _bodies(store: EventLog, lane: Lane, after: int, head: int) -> AsyncIterator[bytes]:
    """Stored CloudEvents of the lane, the oldest first, up to the head."""
    more = True
    while more and after < head:
        page = await store.journal_page(lane, after, _PAGE_EVENTS, _PAGE_BYTES_MAX)
        for stretch in page.stretches:
            if stretch.delivery_format == "cloud_events_v1":
                for body in _up_to(stretch.seqs, stretch.bodies, head):
                    yield body
            after = stretch.seqs[-1]
        more = page.more
        await asyncio.sleep(0)


def _up_to(seqs: Sequence[int], bodies: Sequence[bytes], head: int) -> list[bytes]:
    return [body for seq, body in zip(seqs, bodies, strict=True) if seq <= head]
