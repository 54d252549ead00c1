"""The filters of registrations where events are placed: who of those who want an event's code gets this event.

A filter sees the event as its registration would get it, recipient fields included. One that cannot be compiled, which
only an older release can have stored, lets nothing through and is logged; publishing goes on. Must not: write.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import structlog

from eventmill import telemetry
from eventmill.core.envelope import recipient_suffix
from eventmill.core.ruler import Filter, compile_filter
from eventmill.core.ruler_event import Leaves, Paths, read_event, read_leaves
from eventmill.core.ruler_index import FilterIndex
from eventmill.core.ruler_match import Miss, explain_miss, view_event
from eventmill.errors import GatewayError
from eventmill.model import Lane, Registration

log = structlog.get_logger()

_COMPILED_MAX = 10_000
"""Compiled filters kept at hand."""
_TURN_S = 0.005
"""Filters take so long at a time, or as long as one of them takes."""
_RECIPIENT_PATHS = Paths(("recipientclientid", "recipient_client_id"))


class Route(NamedTuple):
    """Who wants events of one code."""

    lanes: tuple[Lane, ...]
    """Ascending."""
    filters: LaneFilters | None = None
    """None: none of them has one."""


NOBODY = Route(())


class LaneFilters:
    """The lanes of a route, with the filters of those that have one."""

    def __init__(self, unfiltered: Sequence[Lane], filters: Mapping[Lane, Filter], clients: Mapping[Lane, str]) -> None:
        self._unfiltered = tuple(unfiltered)
        alike: dict[Lane, Filter] = {}
        per_client: defaultdict[str, dict[Lane, Filter]] = defaultdict(dict)
        for lane, wanted in filters.items():
            if _RECIPIENT_PATHS.wanted.isdisjoint(wanted.paths):
                alike[lane] = wanted
            else:
                per_client[clients[lane]][lane] = wanted
        self._alike = FilterIndex(alike)
        """Filters for which the event is the same whoever gets it."""
        self._per_client = {client_id: FilterIndex(each) for client_id, each in per_client.items()}
        indices = (self._alike, *self._per_client.values())
        self._paths = Paths(path for each in indices for path in each.paths.wanted)

    async def passing(self, body: bytes, *, legacy_fields: bool) -> tuple[Lane, ...]:
        """The lanes, ascending, that get the event of this stored form (`core.envelope`). Others get their turn every
        few milliseconds."""
        lanes = list(self._unfiltered)
        time_s = asyncio.get_running_loop().time
        turn_ends_s = time_s() + _TURN_S
        # A document of a megabyte can take fifty: it must be gone before others get their turn.
        leaves = read_leaves(read_event(body + b"}"), self._paths)
        for found in self._match_in_turns(leaves, legacy_fields):
            lanes += found
            if time_s() > turn_ends_s:
                await asyncio.sleep(0)
                turn_ends_s = time_s() + _TURN_S
        return tuple(sorted(lanes))

    def _match_in_turns(self, leaves: Leaves, legacy_fields: bool) -> Iterator[Sequence[Lane]]:
        yield from self._alike.match_in_turns(leaves)
        for client_id, index in self._per_client.items():
            yield from index.match_in_turns(_with_recipient(leaves, client_id, legacy_fields))


def _with_recipient(leaves: Leaves, client_id: str, legacy_fields: bool) -> Leaves:
    """Those of an event that was read without its recipient's fields, and theirs."""
    fields = read_event(b"{" + recipient_suffix(client_id, legacy_fields).removeprefix(b","))
    by_path = dict(leaves.by_path)
    for path, values in read_leaves(fields, _RECIPIENT_PATHS).by_path.items():
        by_path[path] = [*by_path.get(path, ()), *values]
    return Leaves(by_path, leaves.elements)


class Router:
    """Makes routes; keeps what it has compiled."""

    def __init__(self) -> None:
        self._compiled: dict[str, Filter | None] = {}

    def route(self, registrations: Sequence[Registration]) -> Route:
        """Of registrations in the order of their lanes."""
        lanes = tuple(each.id for each in registrations)
        filtered = [each for each in registrations if each.subscriber_filters]
        if not filtered:
            return Route(lanes)
        compiled = {each.id: self.compile(each) for each in filtered}
        return Route(
            lanes,
            LaneFilters(
                [lane for lane in lanes if lane not in compiled],
                {lane: wanted for lane, wanted in compiled.items() if wanted is not None},
                {each.id: each.client_id for each in filtered},
            ),
        )

    def compile(self, registration: Registration) -> Filter | None:
        """Of one that has a filter; None: it cannot be compiled."""
        text = registration.subscriber_filters[0].subscriber_filter
        if text not in self._compiled:
            if len(self._compiled) >= _COMPILED_MAX:
                self._compiled.clear()
            self._compiled[text] = self._try_compile(registration, text)
        return self._compiled[text]

    def _try_compile(self, registration: Registration, text: str) -> Filter | None:
        try:
            return compile_filter(text)
        except GatewayError as error:
            log.error(telemetry.FILTER_BROKEN, registration_id=registration.registration_id, cause=error.message)
            return None


def explain_filter(registration: Registration, body: bytes, *, legacy_fields: bool) -> str | None:
    """Why the registration's filter, as it is now, keeps the event of this stored form from it; None: it does not."""
    if not registration.subscriber_filters:
        return None
    try:
        wanted = compile_filter(registration.subscriber_filters[0].subscriber_filter)
    except GatewayError as error:
        return error.message
    misses = filter_misses(wanted, body + recipient_suffix(registration.client_id, legacy_fields))
    return "; ".join(map(str, misses)) or None


def filter_misses(wanted: Filter, event: bytes) -> tuple[Miss, ...]:
    """Why the filter does not let a delivered event through; empty when it does."""
    return explain_miss(wanted, view_event(read_event(event), wanted.paths))
