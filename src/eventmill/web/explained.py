"""What the answers say that explain events: their bodies, and the same in words for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from eventmill.core.attempts import Attempt
from eventmill.core.envelope import format_time
from eventmill.core.position import format_position
from eventmill.flow.explain import Explanation, State, Way, WhyNot
from eventmill.ids import uuid_text
from eventmill.model import DeliveryFormat, DeliveryType
from eventmill.store.observe import UnmatchedEvent, WhyUnmatched
from eventmill.store.work import Gap


def _said(description: str) -> msgspec.Meta:
    return msgspec.Meta(description=description)


# --- Bodies ---


class ProviderName(msgspec.Struct, frozen=True):
    id: str
    label: str


class ExplainedEvent(msgspec.Struct, frozen=True, kw_only=True):
    id: Annotated[str, _said("As its recipients see it in `eventid`.")]
    published_id: Annotated[str | None, _said("As its publisher named it; null when its format has no place for it.")]
    code: str
    provider: ProviderName
    source: str | None
    type: str | None
    time: str | None
    published_at: Annotated[str, _said("Business time.")]
    published_by: Annotated[str, _said("The publisher's api key.")]
    position: Annotated[str | None, _said("In the journal of each registration that matched; null: nobody's.")]
    format: DeliveryFormat | None
    size: Annotated[int | None, _said("Bytes, without what is its recipient's.")]


class AttemptBody(msgspec.Struct, frozen=True):
    at: str
    retry: Annotated[int, _said("0: the first attempt.")]
    status: Annotated[int, _said("601, 602, 604 or 611 when nothing answered.")]
    duration_ms: int


class ExplainedRegistration(msgspec.Struct, frozen=True, kw_only=True):
    id: Annotated[int, _said("The registration's number.")]
    registration_id: Annotated[str | None, _said("null: it was deleted, and nothing about it is left.")]
    name: str | None
    delivery_type: DeliveryType | None
    matched: Annotated[bool, _said("Whether the event was for it when it was published.")]
    state: State
    why: Annotated[str, _said("The same for people.")]
    cause: Annotated[str | None, _said("Why it is undelivered or was not matched, as a code.")]
    attempts: list[AttemptBody]
    next_due: Annotated[str | None, _said("When it is attempted again.")]
    next_retry: Annotated[int | None, _said("The number of that retry.")]


class UnmatchedReason(msgspec.Struct, frozen=True):
    cause: WhyUnmatched
    why: str


class EventExplanation(msgspec.Struct, frozen=True):
    event: ExplainedEvent
    registrations: list[ExplainedRegistration]
    unmatched: Annotated[UnmatchedReason | None, _said("Why nobody was to get it; null: somebody was.")]


class UnmatchedItem(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    published_id: str
    code: str
    provider: ProviderName
    published_at: str
    published_by: str
    cause: WhyUnmatched
    why: str


class UnmatchedList(msgspec.Struct, frozen=True):
    total: Annotated[int, _said("Of the last 24 hours, also those that are remembered no longer.")]
    events: list[UnmatchedItem]


# --- What they say ---


class _Published(msgspec.Struct, frozen=True):
    """Of a stored CloudEvent; an `adobe_io` event has none of it."""

    id: str | None = None
    source: str | None = None
    type: str | None = None
    time: str | None = None


_decode_published = msgspec.json.Decoder(_Published).decode

_WHY_UNMATCHED: dict[WhyUnmatched, str] = {
    "filtered": "registrations subscribe to such events, but their filters let it go to none of them",
    "unknown_event_code": "its provider has no such event code, so that nobody can subscribe to it",
    "no_registration": "no registration asked for this event code when it was published",
}
_WHY_NOT: dict[WhyNot, str] = {
    "filtered": "not matched: its filter does not let the event through",
    "created_after_event": "not matched: the registration was created after the event",
    "interested_since": "not matched: the registration asks for this event code only since a later change",
}
_WHY_PLAIN: dict[State, str] = {
    "waiting": "matched; its first attempt is yet to come, or under way",
    "delivered": "matched and delivered",
    "expired": "matched, but it was no longer kept when it was its turn",
    "journal_only": "matched; it is in the registration's journal, and nothing is pushed",
    "deleted": "matched, but the registration was deleted",
}


def explanation_body(found: Explanation) -> EventExplanation:
    event, origin = found.event, found.event.origin
    said = _decode_published(event.body + b"}") if origin.delivery_format == "cloud_events_v1" else _Published()
    body = ExplainedEvent(
        id=uuid_text(event.event_id),
        published_id=said.id,
        code=origin.event_code,
        provider=ProviderName(origin.provider_id, origin.provider_label),
        source=said.source,
        type=said.type,
        time=said.time,
        published_at=format_time(event.ts_ms),
        published_by=origin.client_id,
        position=format_position(found.position),
        format=origin.delivery_format,
        size=len(event.body) + 1,
    )
    return EventExplanation(body, [_registration(way) for way in found.ways], None)


def unmatched_explanation(event: UnmatchedEvent, ways: Sequence[Way]) -> EventExplanation:
    """`ways`: registrations that want such events by now."""
    item = unmatched_item(event)
    body = ExplainedEvent(
        id=item.id,
        published_id=item.published_id,
        code=item.code,
        provider=item.provider,
        source=None,
        type=item.code,
        time=None,
        published_at=item.published_at,
        published_by=item.published_by,
        position=None,
        format=None,
        size=None,
    )
    return EventExplanation(body, [_registration(way) for way in ways], UnmatchedReason(item.cause, item.why))


def unmatched_item(event: UnmatchedEvent) -> UnmatchedItem:
    return UnmatchedItem(
        id=uuid_text(event.event_id),
        published_id=event.published_id,
        code=event.event_code,
        provider=ProviderName(event.provider_id, event.provider_label),
        published_at=format_time(event.at_ms),
        published_by=event.client_id,
        cause=event.why,
        why=_WHY_UNMATCHED[event.why],
    )


def _registration(way: Way) -> ExplainedRegistration:
    registration, unit = way.registration, way.unit
    return ExplainedRegistration(
        id=way.lane,
        registration_id=way.registration_id or None,
        name=None if registration is None else registration.name,
        delivery_type=None if registration is None else registration.delivery_type,
        matched=way.state != "not_matched",
        state=way.state,
        why=_why(way),
        cause=way.why_not or (way.in_view.cause if way.in_view is not None else None),
        attempts=[_attempt(each) for each in way.attempts],
        next_due=None if unit is None else format_time(unit.due_ms),
        next_retry=None if unit is None else unit.retries,
    )


def _attempt(attempt: Attempt) -> AttemptBody:
    return AttemptBody(format_time(attempt.at_ms), attempt.retry, attempt.status, attempt.duration_ms)


def _why(way: Way) -> str:
    if way.why_not is not None:
        return _WHY_NOT[way.why_not] + (f"; {way.filter_miss}" if way.filter_miss else "")
    last = f"the last attempt ended with status {way.attempts[-1].status}" if way.attempts else ""
    if way.unit is not None:
        return f"matched; {last}, and another follows" if last else "matched; it is to be sent again"
    if way.state != "undelivered":
        return _WHY_PLAIN[way.state]
    if way.gap is not None:
        return _why_gap(way.gap)
    if not last:
        return "matched, but not attempted any more"
    if way.in_view is not None and way.in_view.cause == "gave_up":
        return f"matched, but given up after 24 hours of retries; {last}"
    return f"matched, but refused for good: {last}"


def _why_gap(gap: Gap) -> str:
    until = "" if gap.closed_ms is None else f" until {format_time(gap.closed_ms)}"
    return f"matched, but not sent: disabled since {format_time(gap.opened_ms)}{until} ({gap.cause})"
