"""GET /events/{org}/search: events by what is known of them. An addition of ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, get_args

import msgspec

from eventmill.core.envelope import format_time
from eventmill.core.position import Position, format_position
from eventmill.errors import GatewayError, Reason
from eventmill.flow.explain import State
from eventmill.flow.search import Found, Hit, Wanted, search_events
from eventmill.ids import uuid_bytes, uuid_text
from eventmill.model import Caller, OrgId
from eventmill.store.log import EventOutline
from eventmill.web.checks import show
from eventmill.web.explained import ProviderName
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found, path_organization

FOUND = 50
FOUND_MAX = 100
STATES = tuple(each for each in get_args(State) if each != "not_matched")


def _said(description: str) -> msgspec.Meta:
    return msgspec.Meta(description=description)


class FoundRegistration(msgspec.Struct, frozen=True):
    id: Annotated[int, _said("The registration's number.")]
    registration_id: Annotated[str | None, _said("null: it was deleted.")]
    name: str | None
    state: Annotated[State, _said("As far as it shows without the attempts; explaining the event tells all.")]


class FoundEvent(msgspec.Struct, frozen=True, kw_only=True):
    id: Annotated[str, _said("As its recipients see it in `eventid`.")]
    published_id: Annotated[str | None, _said("As its publisher named it, where it was asked for.")]
    code: str
    provider: ProviderName
    published_at: Annotated[str, _said("Business time.")]
    published_by: Annotated[str, _said("The publisher's api key.")]
    position: str
    size: Annotated[int, _said("Bytes, without what is its recipient's.")]
    matched: Annotated[int, _said("How many registrations it was for.")]
    registrations: Annotated[list[FoundRegistration], _said("Some of them.")]


class SearchAnswer(msgspec.Struct, frozen=True):
    events: Annotated[list[FoundEvent], _said("The newest first.")]
    searched: Annotated[int, _said("Events that were looked at for this answer.")]
    back_to: Annotated[str | None, _said("When the oldest of them was published; null: there was none.")]
    next: Annotated[int | None, _said("Good for `before`, to look further back; null: there is nothing there.")]


async def get_search(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /events/{org}/search"""
    org = path_organization(parts, request, caller).id
    await parts.catalogue.refresh()
    before, limit = _number(request, "before"), _limit(request)
    wanted_id = request.query_value("id") or ""
    raw_id = uuid_bytes(wanted_id)
    if raw_id is not None and before is None:
        event = await parts.store.find_event(org, raw_id)
        if event is not None:
            outline = EventOutline(event.seq, event.day, event.ts_ms, event.event_id, event.origin, len(event.body))
            return json_reply(200, await _answer(parts, org, Found([Hit(outline, None, (), 0)], 1, event.ts_ms, None)))
    wanted = _wanted(parts, request, org, wanted_id)
    found = await search_events(parts.store, wanted, before, limit)
    return json_reply(200, await _answer(parts, org, found))


def _wanted(parts: Parts, request: Request, org: OrgId, published_id: str) -> Wanted:
    lane = None
    registration_id = request.query_value("registration")
    if registration_id:
        registration = parts.catalogue.registration(org, registration_id)
        if registration is None:
            raise not_found(f"registration {show(registration_id)}", f"organization {org}")
        lane = registration.id
    status = request.query_value("status") or ""
    if status and status not in STATES:
        message = f"status: must be one of {', '.join(STATES)}, but is {show(status)}"
        raise GatewayError(Reason.INVALID_PARAMETER, message)
    states: frozenset[State] = frozenset(each for each in STATES if each == status)
    return Wanted(
        org=org,
        published_id=published_id,
        event_code=request.query_value("code") or "",
        source=request.query_value("source") or "",
        from_ms=_time(request, "from") or 0,
        to_ms=_time(request, "to"),
        lane=lane,
        states=states,
    )


async def _answer(parts: Parts, org: OrgId, found: Found) -> SearchAnswer:
    head = await parts.store.head(await parts.store.shard(org))
    shard = await parts.store.shard(org)
    events = [_event(parts, each, head.generation, shard) for each in found.hits]
    back_to = None if found.back_to_ms is None else format_time(found.back_to_ms)
    return SearchAnswer(events, found.searched, back_to, found.next)


def _event(parts: Parts, hit: Hit, generation: int, shard: int) -> FoundEvent:
    event, origin = hit.event, hit.event.origin
    registrations = []
    for way in hit.ways:
        registration = parts.catalogue.registration_of_lane(way.lane)
        known = None if registration is None else registration.registration_id
        name = None if registration is None else registration.name
        registrations.append(FoundRegistration(way.lane, known, name, way.state))
    return FoundEvent(
        id=uuid_text(event.event_id),
        published_id=hit.published_id,
        code=origin.event_code,
        provider=ProviderName(origin.provider_id, origin.provider_label),
        published_at=format_time(event.ts_ms),
        published_by=origin.client_id,
        position=format_position(Position(generation, shard, event.day, event.seq)),
        size=event.body_bytes + 1,
        matched=hit.matched,
        registrations=registrations,
    )


def _number(request: Request, name: str) -> int | None:
    text = request.query_value(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise GatewayError(Reason.INVALID_PARAMETER, f"{name}: must be a whole number, but is {show(text)}")
    return int(text)


def _limit(request: Request) -> int:
    limit = _number(request, "limit")
    if limit is not None and not 1 <= limit <= FOUND_MAX:
        raise GatewayError(Reason.INVALID_PARAMETER, f"limit: must be from 1 to {FOUND_MAX}, but is {limit}")
    return FOUND if limit is None else limit


def _time(request: Request, name: str) -> int | None:
    text = request.query_value(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        ms = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        ms = -1
    if ms < 0:
        message = f"{name}: must be a date or an RFC 3339 time such as 2026-03-01T10:00:00Z, but is {show(text)}"
        raise GatewayError(Reason.INVALID_PARAMETER, message)
    return ms
