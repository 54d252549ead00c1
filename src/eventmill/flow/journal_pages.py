"""Pages of a registration's journal: where a read starts, and what is joined from there.

Everything is joined from stored bytes. Knows no request and no link; `flow.journal` and `flow.tail` do.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.envelope import JournalRun, bare_data, fit_page, journal_page, recipient_suffix
from eventmill.core.position import (
    JournalQuery,
    Position,
    check_position,
    format_position,
    format_prefix,
    parse_position,
)
from eventmill.errors import GatewayError, Reason
from eventmill.flow.readahead import Page, PageKey
from eventmill.model import Registration
from eventmill.store.log import EventLog, Head, JournalStretch

_ENVELOPE_BYTES_MAX = 128
"""An `adobe_io` event is stored with an envelope that the journal leaves out."""


class Place(msgspec.Struct, frozen=True):
    """Where a read starts."""

    shard: int
    head: Head
    after: int
    """None of the events up to here are wanted."""
    since: str = ""
    """The position of `after` as the reader has it, who is to be told when something after it has expired; empty:
    whatever is kept will do."""

    @property
    def end(self) -> str:
        """The position of the head."""
        return format_position(Position(self.head.generation, self.shard, self.head.day, self.head.seq))


class Pages:
    def __init__(self, store: EventLog, clock: Clock, config: Config) -> None:
        self._store = store
        self._clock = clock
        self._config = config

    async def find_place(self, registration: Registration, query: JournalQuery) -> Place:
        """The head is read before any event: what comes after it in time also comes after it in place.

        Raises `GatewayError`: INVALID_POSITION, POSITION_EXPIRED."""
        shard = await self._store.shard(registration.org)
        bounds = await self._store.bounds(shard, registration.id)
        head = bounds.head
        if query.since is not None:
            position = parse_position(query.since)
            check_position(position, generation=head.generation, shard=shard, head_seq=head.seq)
            place = Place(shard, head, position.seq, query.since)
            _check_kept(place, bounds.floor)
            return place
        if query.latest:
            return Place(shard, head, head.seq)
        if query.seek_ms is not None:
            return Place(shard, head, await self._store.seek(shard, max(0, self._clock.now_ms() - query.seek_ms)))
        return Place(shard, head, 0)

    async def renew(self, place: Place) -> Place:
        """The same place, up to the head of now."""
        return msgspec.structs.replace(place, head=await self._store.head(place.shard))

    def following(self, place: Place, page: Page) -> Place:
        """Where who has the page reads on."""
        return msgspec.structs.replace(place, after=page.last_seq, since=page.last)

    def limit(self, query: JournalQuery) -> int:
        return query.limit or self._config.journal_page_events

    def key(self, registration: Registration, place: Place, limit: int) -> PageKey:
        return PageKey(registration.id, registration.client_id, place.head.generation, place.after, limit)

    async def make(self, registration: Registration, place: Place, limit: int) -> Page | None:
        """None when there are no events. Raises POSITION_EXPIRED."""
        stretches = await self.read(registration, place, limit)
        if not stretches:
            return None
        return self._join(registration, place, stretches, limit)

    async def read(self, registration: Registration, place: Place, limit: int) -> list[JournalStretch]:
        """Raises POSITION_EXPIRED when something after the place was dropped for this registration."""
        bytes_max = self._config.journal_page_bytes_max + limit * _ENVELOPE_BYTES_MAX
        page = await self._store.journal_page(registration.id, place.after, limit, bytes_max)
        _check_kept(place, page.floor)
        # Appends go on meanwhile. No position beyond the head that was read is given out: the next request might be
        # checked against the same head.
        if not page.stretches or page.stretches[-1].seqs[-1] <= place.head.seq:
            return page.stretches
        return _first(page.stretches, sum(seq <= place.head.seq for seq in page.seqs))

    def runs(self, registration: Registration, place: Place, stretches: Sequence[JournalStretch]) -> list[JournalRun]:
        suffix = recipient_suffix(registration.client_id, self._config.legacy_fields)
        return [
            JournalRun(
                format_prefix(place.head.generation, place.shard, stretch.day),
                stretch.seqs,
                [bare_data(body) for body in stretch.bodies]
                if stretch.delivery_format == "adobe_io"
                else stretch.bodies,
                b"" if stretch.delivery_format == "adobe_io" else suffix,
            )
            for stretch in stretches
        ]

    def _join(self, registration: Registration, place: Place, stretches: list[JournalStretch], limit: int) -> Page:
        """As many of the events as fit, at least one."""
        runs = self.runs(registration, place, stretches)
        body = journal_page(runs)
        if len(body) > self._config.journal_page_bytes_max:
            stretches = _first(stretches, fit_page(runs, self._config.journal_page_bytes_max))
            body = journal_page(self.runs(registration, place, stretches))
        last = stretches[-1]
        position = Position(place.head.generation, place.shard, last.day, last.seqs[-1])
        is_full = sum(len(stretch.seqs) for stretch in stretches) == limit
        return Page(body, format_position(position), position.seq, is_full)


def _check_kept(place: Place, floor: int) -> None:
    if place.since and place.after < floor:
        raise GatewayError(Reason.POSITION_EXPIRED, f"Events at position {place.since} have expired.")


def _first(stretches: Sequence[JournalStretch], count: int) -> list[JournalStretch]:
    """The first `count` events."""
    kept = []
    for stretch in stretches:
        if count <= 0:
            break
        kept.append(msgspec.structs.replace(stretch, seqs=stretch.seqs[:count], bodies=stretch.bodies[:count]))
        count -= len(stretch.seqs)
    return kept
