"""Storing a published batch: every event of it in one durable commit, or none ("JSON Event Format", batch format).

Refusing or storing nothing is decided on the newest picture of the catalogue only. Must not: know of HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import msgspec

from eventmill.core.cloudevent import Published
from eventmill.errors import BatchRefused, EventRefusal, GatewayError, Reason, RoutingStale, StoreUnavailable
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.placing import Arrival, Match, Placing
from eventmill.flow.unmatched import Unmatched
from eventmill.ids import uuid_text
from eventmill.model import OrgId
from eventmill.store.log import Appended, EventLog, NewEvent

Append = Callable[[Sequence[NewEvent]], Awaitable[Appended]]
"""`EventLog.append_durable`."""

MATCHES_MAX = 10
"""Events are matched again this often when registrations changed under them."""


class BatchItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event, in the order of the batch."""

    id: str
    stored: bool
    """False when nobody subscribes to it, or nobody's filter lets it through."""
    eventid: str = ""
    """Of a stored event: the id that its recipients see."""
    schema_warning: str = ""
    """What is wrong with data that do not fit the schema of their event code; the event was taken all the same."""


class BatchSummary(msgspec.Struct, frozen=True):
    """The answer to an accepted batch."""

    accepted: int
    stored: int
    results: list[BatchItem]


class BatchStore:
    """One per front process; used from its event loop only."""

    def __init__(self, store: EventLog, catalogue: Catalogue, placing: Placing, unmatched: Unmatched) -> None:
        self.append_durable: Append = store.append_durable
        self._catalogue = catalogue
        self._placing = placing
        self._unmatched = unmatched

    async def store_batch_durable(
        self, batch: Sequence[Published], event_ids: Sequence[bytes], arrival: Arrival
    ) -> BatchSummary:
        """Raises `BatchRefused`, telling every event that is refused; then, and when the store refuses, nothing was
        stored. `event_ids` are for the events in order, used for those that are stored."""
        is_newest = False
        for _ in range(MATCHES_MAX):
            matches, refusals = self._match(batch, arrival)
            warnings = await self._check_schemas(batch, matches, refusals)
            events = {} if refusals else await self._place(batch, matches, event_ids, arrival)
            if is_newest and refusals:
                raise BatchRefused(refusals, len(batch))
            if is_newest and not events:
                self._note_unmatched(batch, matches, event_ids, arrival, events)
                return _summarise(batch, event_ids, (), warnings)
            if events:
                self._placing.check_quota(matches[0].org)
                try:
                    await self.append_durable(tuple(events.values()))
                except RoutingStale:
                    pass
                else:
                    self._note_unmatched(batch, matches, event_ids, arrival, events)
                    return _summarise(batch, event_ids, tuple(events), warnings)
            await self._catalogue.refresh()
            is_newest = True
        raise StoreUnavailable("registrations keep changing; send the batch again")

    async def _check_schemas(
        self, batch: Sequence[Published], matches: Sequence[Match], refusals: list[EventRefusal]
    ) -> dict[int, str]:
        """Warnings by places in the batch; adds to `refusals`. Nothing is looked at when an event is refused anyway."""
        warnings: dict[int, str] = {}
        for at, match in enumerate(() if refusals else matches):
            if match.provider is None or match.provider.schema_enforcement == "off":
                continue
            try:
                warning = self._placing.check_schema(batch[at], match.provider)
            except GatewayError as error:
                refusals.append(EventRefusal(at, error.reason, error.message))
            else:
                if warning:
                    warnings[at] = warning
            await asyncio.sleep(0)  # to check a batch may take long
        return warnings

    async def _place(
        self, batch: Sequence[Published], matches: Sequence[Match], event_ids: Sequence[bytes], arrival: Arrival
    ) -> dict[int, NewEvent]:
        """What is to be stored, by its place in the batch: events that some lane gets."""
        placed: dict[int, NewEvent] = {}
        for at, match in enumerate(matches):
            if match.lanes:
                event = await self._placing.new_event(batch[at], match, event_ids[at], arrival)
                if event.lanes:
                    placed[at] = event
            if match.filters is not None:
                await asyncio.sleep(0)  # to filter a batch may take long
        return placed

    def _note_unmatched(
        self,
        batch: Sequence[Published],
        matches: Sequence[Match],
        event_ids: Sequence[bytes],
        arrival: Arrival,
        stored: Collection[int],
    ) -> None:
        for at, (published, match) in enumerate(zip(batch, matches, strict=True)):
            if at not in stored:
                self._unmatched.note(match.org, self._placing.unmatched(published, match, event_ids[at], arrival))

    def _match(self, batch: Sequence[Published], arrival: Arrival) -> tuple[list[Match], list[EventRefusal]]:
        """The matches of all events, unless some are refused."""
        matches: list[Match] = []
        refusals: list[EventRefusal] = []
        for index, published in enumerate(batch):
            try:
                match = self._placing.match(published, arrival.caller)
                if not match.lanes:
                    self._placing.check_known(published, match.provider)
                if matches:
                    _check_same(match.org, matches[0].org)
                matches.append(match)
            except GatewayError as error:
                refusals.append(EventRefusal(index, error.reason, error.message))
        return matches, refusals


def _check_same(org: OrgId, first: OrgId) -> None:
    """One commit is one organization's; only a caller who may publish for several can get here."""
    if org != first:
        message = "source: its provider belongs to another organization than those of the events before it"
        raise GatewayError(Reason.WRONG_ORGANIZATION, message)


def _summarise(
    batch: Sequence[Published], event_ids: Sequence[bytes], stored: Sequence[int], warnings: Mapping[int, str]
) -> BatchSummary:
    kept = set(stored)
    results = [
        BatchItem(published.id, at in kept, uuid_text(event_ids[at]) if at in kept else "", warnings.get(at, ""))
        for at, published in enumerate(batch)
    ]
    return BatchSummary(len(batch), len(kept), results)
