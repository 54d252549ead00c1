"""Shapes of what is published, of what is joined from stored bytes (journals, traces), and of small answers.

Of the first two nothing is encoded with these; the tests hold every answer that they get against them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType, field

from eventmill.web.bodies import ErrorBody, Link

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Ms = Annotated[float, msgspec.Meta(ge=0)]


def _said(description: str, **limits: Any) -> msgspec.Meta:
    return msgspec.Meta(description=description, **limits)


# --- Publishing ---


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """CloudEvents 1.0.2, JSON event format. Further members are extension attributes, and reach subscribers."""

    id: Annotated[str, _said("Told apart by nobody: one id published twice is two events.", min_length=1)]
    source: Annotated[
        str,
        _said("`urn:uuid:` and the id of the provider.", min_length=1, extra_json_schema={"format": "uri-reference"}),
    ]
    type: Annotated[str, _said("An event code of the provider.", min_length=1)]
    specversion: Literal["1.0"]
    datacontenttype: Annotated[str, _said("Of `data`; anything but JSON goes into `data_base64`.")] | UnsetType = UNSET
    time: Annotated[str, _said("When it happened. Left out: when it was published.")] | UnsetType = UNSET
    subject: Annotated[str, _said("", min_length=1)] | UnsetType = UNSET
    dataschema: str | UnsetType = UNSET
    data: Any = UNSET


# --- Journal and traces ---


class JournalEntry(msgspec.Struct, frozen=True):
    position: Annotated[str, _said("Opaque; good for `since`.")]
    event: Annotated[dict[str, Any], _said("The event as a webhook gets it; of `adobe_io` events, their data alone.")]


class PageInfo(msgspec.Struct, frozen=True):
    last: Annotated[str, _said("The position of the last event.")]
    count: _Count


class JournalPage(msgspec.Struct, frozen=True):
    events: list[JournalEntry]
    page: PageInfo = field(name="_page")


class EventCount(msgspec.Struct, frozen=True):
    count: _Count


class TracingRequest(msgspec.Struct, frozen=True, rename="camel"):
    request_url: str
    request_method: str
    content_type: str
    request_body: str
    request_headers: dict[str, list[str]]


class TracingResponse(msgspec.Struct, frozen=True, rename="camel"):
    response_body: str
    response_code: Annotated[int, _said("601, 602, 604 or 611 when nothing answered.")]
    response_time: Annotated[_Count, _said("In milliseconds.")]
    response_headers: dict[str, list[str]]


class Insight(msgspec.Struct, frozen=True, rename="camel"):
    provider_name: str
    event_code: str
    event_ids: list[str]


class TraceTimings(msgspec.Struct, frozen=True, rename="camel"):
    """Where the time went, in milliseconds, one after the other; of an attempt without an answer the last of `dns`,
    `connect`, `tls` and `firstByte` is the one in which it ended."""

    total: _Ms
    reused: Annotated[bool, _said("The connection was open already.")]
    dns: Annotated[float, _said("Looking up the name.", ge=0)] | UnsetType = UNSET
    connect: Annotated[float, _said("TCP; with an egress proxy, until its tunnel is made.", ge=0)] | UnsetType = UNSET
    tls: Annotated[float, _said("The TLS handshake.", ge=0)] | UnsetType = UNSET
    first_byte: (
        Annotated[float, _said("From the request's sending to the first byte of the answer.", ge=0)] | UnsetType
    ) = UNSET


class Trace(msgspec.Struct, frozen=True, rename="camel"):
    tracing_request: TracingRequest
    tracing_response: TracingResponse
    ts: Annotated[int, _said("When it ended, in milliseconds since 1970.")]
    delivery_time: Annotated[int, _said("When it began, in milliseconds since 1970.")]
    insights_info: list[Insight]
    timings: (
        Annotated[
            TraceTimings,
            _said("An addition of ours. Absent when nothing was sent over a network."),
        ]
        | UnsetType
    ) = UNSET


class TracingRequestResponse(msgspec.Struct, frozen=True, rename="camel"):
    """One delivery attempt or challenge."""

    event: str
    id: str
    date: str
    client_id: str
    registration_id: str
    trace: Trace


# --- Sample events, apps ---


class PostedSample(msgspec.Struct, frozen=True):
    """The id that the recipient sees, under both of its names."""

    eventid: str
    event_id: str


class ValidApp(msgspec.Struct, frozen=True):
    valid: Literal[True]
    registrations: list[str]


# --- The gateway itself ---


class IndexLinks(msgspec.Struct, frozen=True):
    self: Link
    health: Link
    readiness: Link
    ingress: Link
    token: Link
    description: Link


class Index(msgspec.Struct, frozen=True):
    links: IndexLinks = field(name="_links")
    name: str
    version: str


class Health(msgspec.Struct, frozen=True):
    status: Literal["ok"]


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    status: Annotated[Literal["ready"], _said("It takes events.")]
    warnings: Annotated[tuple[str, ...], _said("What somebody should see to all the same.")] = ()


class NotReady(ErrorBody, frozen=True, kw_only=True):
    status: Literal["not ready"]


class ClockBody(msgspec.Struct, frozen=True):
    now: Annotated[str, _said("Business time.")]
    offset_seconds: Annotated[float, _said("Before machine time.")]
    rate: Annotated[float, _said("Business seconds per machine second.")]
