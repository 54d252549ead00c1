"""What one append takes along: publishes as the columns that the database takes, and its answer as theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec

from eventmill.model import Lane, OrgId
from eventmill.store.log import Appended, NewEvent
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.days import written_day
from eventmill.store.postgres.facts import Facts
from eventmill.store.postgres.packing import pack_lanes, pack_rest
from eventmill.store.postgres.queries import load_queries
from eventmill.store.work import SLOTS

_APPEND = load_queries("log")["append"]


class AppendCall(msgspec.Struct):
    """A publish that waits for its commit."""

    events: Sequence[NewEvent]
    future: asyncio.Future[Appended]
    epoch: int
    """Routing epoch of the event that was matched first."""
    since_s: float = 0.0
    """When it came, by the event loop's clock."""


class Batch:
    """Calls as the columns that the database takes. The shard of each organization is known by now."""

    def __init__(self, calls: Sequence[AppendCall], facts: Facts) -> None:
        self.calls = calls
        self._facts = facts
        self.shards = sorted({facts.shards[call.events[0].org] for call in calls})
        self._place = {shard: place for place, shard in enumerate(self.shards, 1)}
        self._counts = [0] * len(self.shards)
        self.firsts: list[tuple[int, int]] = []
        """Per call: place of its shard, distance of its first position from the shard's head."""
        self._orgs: dict[OrgId, list[int]] = {}
        """Organization -> its lowest epoch, place of its shard, bytes."""
        self._events: list[tuple[int, int, bytes, int, bytes, bytes]] = []
        self._postings: dict[tuple[int, Lane], list[int]] = {}
        self._audited: list[tuple[int, int, str, bytes, bytes, bytes, bytes, bytes]] = []
        for call in calls:
            self._add(call)

    def _add(self, call: AppendCall) -> None:
        org = call.events[0].org
        place = self._place[self._facts.shards[org]]
        distance = self._counts[place - 1] + 1
        self.firsts.append((place, distance))
        size = 0
        origins, postings = self._facts.origins, self._postings
        for event in call.events:
            size += len(event.body)
            lanes = pack_lanes(event.lanes)
            self._events.append((place, distance, event.event_id, origins[event.origin], lanes, event.body))
            for lane in event.lanes:
                postings.setdefault((place, lane), []).append(distance)
            if event.audit_id:
                self._audited.append(_audited(place, distance, event))
            distance += 1
        self._counts[place - 1] = distance - 1
        known = self._orgs.setdefault(org, [call.epoch, place, 0])
        known[0] = min(known[0], call.epoch)
        known[2] += size

    @property
    def slots(self) -> set[int]:
        return {lane % SLOTS for _, lane in self._postings}

    async def send(self, connection: Connection, channel: UUID, number: int, now_ms: int) -> list[int]:
        epochs, org_ats, org_bytes = zip(*self._orgs.values(), strict=True)
        postings = [(place, lane, seqs[0], seqs[-1], pack_rest(seqs)) for (place, lane), seqs in self._postings.items()]
        return list(
            await connection.fetchval(
                _APPEND,
                channel,
                number,
                now_ms,
                list(self._orgs),
                epochs,
                org_ats,
                org_bytes,
                self.shards,
                self._counts,
                *zip(*self._events, strict=True),
                *_columns(postings, 5),
                *_columns(self._audited, 8),
            )
        )

    def stale(self, places: Sequence[int]) -> list[AppendCall]:
        """Calls whose organization is among those at these places, and which matched first of them."""
        orgs = list(self._orgs)
        lowest = {orgs[place - 1]: self._orgs[orgs[place - 1]][0] for place in places}
        return [call for call in self.calls if lowest.get(call.events[0].org) == call.epoch]

    def settle(self, answer: Sequence[int], noted: Callable[[OrgId, int], None]) -> dict[int, int]:
        """Answer the callers. Returns the new heads of the shards."""
        count = len(self.shards)
        heads, days = answer[:count], answer[count:]
        for call, (place, distance) in zip(self.calls, self.firsts, strict=True):
            if not call.future.done():
                call.future.set_result(Appended(heads[place - 1] + distance, written_day(days[place - 1])))
        for org, (_, _, size) in self._orgs.items():
            noted(org, size)
        return {shard: head + added for shard, head, added in zip(self.shards, heads, self._counts, strict=True)}


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> Sequence[Sequence[object]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _audited(place: int, distance: int, event: NewEvent) -> tuple[int, int, str, bytes, bytes, bytes, bytes, bytes]:
    origin = event.origin
    texts = (event.audit_id, origin.provider_id, origin.event_code, origin.client_id)
    audit_id, provider_id, event_code, client_id = (text.encode() for text in texts)
    return place, distance, event.org, event.event_id, audit_id, provider_id, event_code, client_id
