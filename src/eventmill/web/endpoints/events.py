"""Publishing ("Publishing Events", CloudEvents HTTP binding) and journals ("Journaling API")."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from eventmill.errors import Reason
from eventmill.flow.batch import BatchSummary
from eventmill.web.bodies import ErrorBody
from eventmill.web.endpoint import (
    TEXT,
    Answer,
    Endpoint,
    Group,
    Operation,
    Parameter,
    RequestBody,
    json_answer,
)
from eventmill.web.http import JSON_TYPE
from eventmill.web.journal import count_events, read_journal, validate_position
from eventmill.web.shapes import CloudEvent, EventCount, JournalPage

_INTEGRATION = "/organizations/{org}/integrations/{credential}"
_EVENTS_TYPE = "application/vnd.adobecloud.events+json"

# --- Publishing ---

_EVENT = {
    "specversion": "1.0",
    "id": "1f2c9a7e-6b5d-4c0e-9a53-0d8f6f4b7a10",
    "source": "urn:uuid:6f0d2a4e-58a9-4a33-8e8a-51d6e9f1a001",
    "type": "com.acme.stock.low",
    "datacontenttype": "application/json",
    "data": {"sku": "A1", "left": 3},
}
_TAKEN = (
    RequestBody(CloudEvent, ("application/cloudevents+json",), example=_EVENT),
    RequestBody(list[CloudEvent], ("application/cloudevents-batch+json",), example=[_EVENT]),
    RequestBody(Any, (JSON_TYPE,), example={"sku": "A1", "left": 3}),
)
_RAW_HEADERS = (
    Parameter("x-adobe-event-provider-id", str, "Raw mode: the id of the provider.", "header"),
    Parameter("x-adobe-event-code", str, "Raw mode: the event code.", "header"),
    Parameter("x-event-id", str, "Raw mode: the id of the event; left out, one is made up.", "header"),
    Parameter("x-event-phidata", str, "`true`: the event holds protected health information.", "header"),
)
_ABOUT = """Answered when the event, and its place in every subscribed journal, are on disk; 204: nobody subscribes.

Structured mode is a CloudEvent, batch mode an array of them, of which all are taken or none. Binary mode has the
attributes in `ce-` headers and any body, raw mode has provider and event code in `x-adobe-event-` headers and any JSON
value as body."""
_PUBLISHING_REFUSALS = (
    Reason.INVALID_EVENT,
    Reason.INVALID_BATCH,
    Reason.SCHEMA_VIOLATION,
    Reason.NOT_PERMITTED,
    Reason.NOT_FOUND,
    Reason.STORAGE_QUOTA_REACHED,
    Reason.THROTTLED,
)
_ACCEPTED = (
    Answer(200, str, TEXT, ("x-eventmill-schema-warning",), "One event."),
    json_answer(BatchSummary),
    Answer(204, headers=("x-eventmill-schema-warning",)),
)


def _publish(pattern: str, name: str, summary: str) -> Endpoint[None]:
    operation = Operation(name, summary, _ACCEPTED, _RAW_HEADERS, _TAKEN, _PUBLISHING_REFUSALS, _ABOUT)
    return Endpoint("POST", pattern, None, operation)


PUBLISHING = Group(
    tag="Publishing",
    about="How events come in.",
    ingress=(
        _publish("/", "publishEvent", "Publish an event or a batch"),
        _publish("/ingress", "publishEventToIngress", "Publish an event or a batch, at the other address"),
    ),
)

# --- Journals ---

_SINCE = "A position: events after it. Not together with seek; latest is then passed over."
_LIMIT = Annotated[int, msgspec.Meta(ge=1)]
_WHERE = (
    Parameter("since", str, _SINCE),
    Parameter("latest", bool, "Only events that come from now on."),
    Parameter(
        "seek",
        Annotated[str, msgspec.Meta(pattern="^-P", extra_json_schema={"examples": ["-PT2H"]})],
        "A negative ISO 8601 duration: events from that long ago on.",
    ),
    Parameter("limit", _LIMIT, "Events at most; cut to what a page may hold."),
)
_LINKS = Parameter("x-adobe-io-events-url-links", str, "`true`: links are absolute.", "header")
_EXPIRED = (
    Answer(410, str, TEXT, ("Link",), "`position_expired`: the events after this position are kept no longer."),
    Answer(410, ErrorBody, JSON_TYPE, ("Link",), "The same, for `Accept: application/json`."),
)
_WISHES = (
    Parameter("prefer", str, "`wait=N`: when there is no event, wait for one, N seconds at most. Ours.", "header"),
    Parameter(
        "last-event-id",
        str,
        "Of a live tail (`Accept: text/event-stream`): the position where an earlier one ended. Ours.",
        "header",
    ),
)
_STREAM = Answer(200, str, "text/event-stream", about="A page; or, for who accepts that type, events as they come.")
_PAGE = Answer(200, JournalPage, _EVENTS_TYPE, ("Link", "Cache-Control", "Preference-Applied"))
_NOTHING_YET = Answer(
    204,
    None,
    "",
    ("Link", "Retry-After", "Cache-Control", "Preference-Applied"),
    "Nothing yet; ask again at the next link.",
)
_JOURNAL_REFUSALS = (Reason.WRONG_API_KEY, Reason.INVALID_POSITION)


def _reading(name: str, where: str) -> Operation:
    return Operation(
        name,
        f"Read a page of a registration's journal{where}",
        (_PAGE, _STREAM, _NOTHING_YET, *_EXPIRED),
        (*_WHERE, _LINKS, *_WISHES),
        refusals=(*_JOURNAL_REFUSALS, Reason.TOO_MANY_READERS),
        about="Follow the `next` links.",
    )


def _validation(name: str, where: str) -> Operation:
    since = Parameter("since", str, "The position.", required=True)
    return Operation(
        name,
        f"Ask whether a position is still good{where}",
        (_PAGE,),
        (since, Parameter("limit", _LIMIT, _WHERE[-1].about), _LINKS),
        refusals=_JOURNAL_REFUSALS,
        about="With what follows it, possibly nothing.",
    )


JOURNALS = Group(
    tag="Journaling",
    about="A registration's events of the last days, to be read at one's own pace.",
    is_cross_origin=True,
    for_callers=(
        Endpoint(
            "GET",
            "/events" + _INTEGRATION + "/{registration}",
            read_journal,
            _reading("getEventsFromJournal", ""),
        ),
        Endpoint(
            "GET",
            "/events-fast" + _INTEGRATION + "/{registration}",
            read_journal,
            _reading("getNextEventsFromJournal", ", where its links lead"),
        ),
        Endpoint(
            "GET",
            _INTEGRATION + "/{registration}",
            read_journal,
            _reading("getEventsFromShortAddress", ", at its short address"),
        ),
        Endpoint(
            "GET",
            "/events" + _INTEGRATION + "/{registration}/validate",
            validate_position,
            _validation("validatePosition", ""),
        ),
        Endpoint(
            "GET",
            "/events-validate" + _INTEGRATION + "/{registration}",
            validate_position,
            _validation("validateAndGetEventsFromJournal", ", where a journal's links lead"),
        ),
        Endpoint(
            "GET",
            _INTEGRATION + "/{registration}/validate",
            validate_position,
            _validation("validatePositionAtShortAddress", ", at the short address"),
        ),
        Endpoint(
            "GET",
            "/count" + _INTEGRATION + "/{registration}",
            count_events,
            Operation(
                "countEvents",
                "Count the events that are there to be read",
                (Answer(200, EventCount, JSON_TYPE, ("Cache-Control",)), *_EXPIRED),
                _WHERE,
                refusals=_JOURNAL_REFUSALS,
            ),
        ),
    ),
)
