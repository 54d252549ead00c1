"""Trying a filter before it is set: on sample events ("Subscriber Defined Filtering" API, validation), and on the
events that the journal has (an addition of ours). Stores nothing.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec

from eventmill.core.envelope import recipient_suffix, webhook_body
from eventmill.core.ruler import Filter, compile_filter
from eventmill.core.ruler_match import Miss
from eventmill.errors import GatewayError
from eventmill.flow.backtest import Backtest, run_backtest
from eventmill.flow.filters import filter_misses
from eventmill.flow.placing import Arrival
from eventmill.ids import uuid_text
from eventmill.model import Caller, EventOfInterest, Registration
from eventmill.web.checks import read_object
from eventmill.web.filter_drafts import check_filterable, new_filter
from eventmill.web.forms import SubscriberFilterForm
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.registration_reads import workspace_registration
from eventmill.web.sample_template import Sampler

SAMPLES_MAX = 100


class CustomSampleForm(msgspec.Struct, frozen=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    sample_payload: Any
    """A JSON object; anything else makes the sample an invalid one."""


class ValidationForm(msgspec.Struct, frozen=True):
    subscriber_filter: SubscriberFilterForm
    custom_sample_events: Annotated[list[CustomSampleForm], msgspec.Meta(max_length=SAMPLES_MAX)] | None = None


class _RawSample(msgspec.Struct, frozen=True):
    sample_payload: msgspec.Raw


class _RawSamples(msgspec.Struct, frozen=True):
    """The payloads as they were written: numbers must keep their digits."""

    custom_sample_events: list[_RawSample] | None = None


class MetadataId(msgspec.Struct, frozen=True):
    event_code: str
    provider_id: str


class ValidationBody(msgspec.Struct, frozen=True):
    """Event codes by their sample events, and custom samples by their names. All lists are always there."""

    accepted_event_metadata_ids: list[MetadataId]
    rejected_event_metadata_ids: list[MetadataId]
    unknown_event_metadata_ids: list[MetadataId]
    """Codes without a sample event."""
    accepted_custom_sample_events: list[str]
    rejected_custom_sample_events: list[str]
    invalid_custom_sample_events: list[str]


class BacktestForm(msgspec.Struct, frozen=True):
    subscriber_filter: SubscriberFilterForm


class MissBody(msgspec.Struct, frozen=True):
    path: str
    operator: str
    wanted: str
    """The field's list in the filter, as JSON text."""
    seen: list[str]
    """Values of the field in the event, as JSON texts; none: it is absent."""

    @classmethod
    def of(cls, miss: Miss) -> MissBody:
        return cls(miss.path, miss.operator, miss.wanted, list(miss.seen))


class MissedEvent(msgspec.Struct, frozen=True):
    event_id: str
    reasons: list[MissBody]


class MissCount(msgspec.Struct, frozen=True):
    path: str
    operator: str
    wanted: str
    events: int
    """How many sampled events missed it."""


class BacktestBody(msgspec.Struct, frozen=True):
    sampled: int
    is_all: bool
    """Whether these were all the events that the journal has."""
    matched: int
    missed: int
    matched_event_ids: list[str]
    """Some of them, the newest first."""
    missed_events: list[MissedEvent]
    """Likewise."""
    reasons: list[MissCount]
    """The most frequent first."""


async def validate_filter(parts: Parts, request: Request, caller: Caller) -> Reply:
    """Which event codes of the registration, by their sample events, and which custom samples it lets through."""
    registration = await workspace_registration(parts, request, caller)
    body = await request.json_body(parts.config.request_bytes_max)
    form = read_object(body, ValidationForm)
    wanted = compile_filter(new_filter(form.subscriber_filter, "").subscriber_filter)
    codes: dict[bool | None, list[MetadataId]] = {True: [], False: [], None: []}
    for interest in registration.events_of_interest:
        verdict = _accepts_code(parts, registration, interest, wanted, caller)
        codes[verdict].append(MetadataId(interest.event_code, interest.provider_id))
    customs: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    raw = msgspec.json.decode(body, type=_RawSamples).custom_sample_events or []
    for sample, payload in zip(form.custom_sample_events or [], raw, strict=True):
        is_object = isinstance(sample.sample_payload, dict)
        event = bytes(payload.sample_payload)
        customs[not filter_misses(wanted, event) if is_object else None].append(sample.name)
        await asyncio.sleep(0)  # a filter may take long
    lists = codes[True], codes[False], codes[None], customs[True], customs[False], customs[None]
    return json_reply(200, ValidationBody(*lists))


def _accepts_code(
    parts: Parts, registration: Registration, interest: EventOfInterest, wanted: Filter, caller: Caller
) -> bool | None:
    """None when the code has no sample event, or none any more that could be sent."""
    provider = parts.catalogue.provider(interest.provider_id)
    metadata = parts.catalogue.event_metadata(interest.provider_id, interest.event_code)
    if provider is None or metadata is None or metadata.sample_event_template is None:
        return None
    arrival = Arrival(caller, parts.clock.now_ms(), phidata=False)
    try:
        published = Sampler(metadata, registration.client_id, parts.ids, arrival.now_ms).from_template()
    except GatewayError:
        return None
    event_id = uuid_text(parts.ids.event_id(arrival.now_ms))
    cut = parts.placing.cut(published, provider, event_id, arrival)
    suffix = recipient_suffix(registration.client_id, parts.config.legacy_fields)
    return not filter_misses(wanted, webhook_body([cut], suffix, batch=False))


async def backtest_filter(parts: Parts, request: Request, caller: Caller) -> Reply:
    """An addition of ours: what the filter would have made of the registration's events of late."""
    registration = await workspace_registration(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), BacktestForm)
    candidate = new_filter(form.subscriber_filter, "")
    check_filterable(parts, msgspec.structs.replace(registration, subscriber_filters=(candidate,)))
    await parts.catalogue.refresh()
    wanted = compile_filter(candidate.subscriber_filter)
    found = await run_backtest(parts.store, parts.catalogue, registration, wanted, parts.config)
    return json_reply(200, _backtest_body(found))


def _backtest_body(found: Backtest) -> BacktestBody:
    return BacktestBody(
        found.matched + found.missed,
        found.is_all,
        found.matched,
        found.missed,
        found.matched_ids,
        [MissedEvent(event_id, [MissBody.of(miss) for miss in misses]) for event_id, misses in found.missed_events],
        [MissCount(miss.path, miss.operator, miss.wanted, events) for miss, events in found.most_frequent()],
    )
