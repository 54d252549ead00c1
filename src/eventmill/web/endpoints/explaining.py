"""What became of events, for whoever asks why one did not arrive. Additions of ours, all of them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventmill.web import explain
from eventmill.web.endpoint import Endpoint, Group, Operation, Parameter, json_answer
from eventmill.web.explained import EventExplanation, UnmatchedList
from eventmill.web.search import FOUND, FOUND_MAX, STATES, SearchAnswer, get_search

_Text = Annotated[str, msgspec.Meta(extra_json_schema={"examples": ["2026-03-01T10:00:00Z"]})]
_State = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(STATES)})]

EXPLAINING = Group(
    tag="Explaining",
    about="What became of an event. Not part of the original API.",
    for_callers=(
        Endpoint(
            "GET",
            "/events/{org}/events/{event}",
            explain.get_explanation,
            Operation(
                "explainEvent",
                "Explain what became of an event",
                (json_answer(EventExplanation),),
                about="Who published it, every registration that was to get it with every attempt and what comes next, "
                "and those that ask for such events and did not get it, with the reason.",
            ),
        ),
        Endpoint(
            "GET",
            "/events/{org}/unmatched",
            explain.list_unmatched,
            Operation(
                "listUnmatchedEvents",
                "List the events of the last 24 hours that nobody was to get",
                (json_answer(UnmatchedList),),
                (
                    Parameter(
                        "limit",
                        Annotated[int, msgspec.Meta(ge=1, le=explain.UNMATCHED_LISTED_MAX)],
                        f"Events at most; {explain.UNMATCHED_LISTED} unless given.",
                    ),
                ),
                about="The newest first. Publishing answered 204 to them, or 200 to those that only filters kept back.",
            ),
        ),
        Endpoint(
            "GET",
            "/events/{org}/search",
            get_search,
            Operation(
                "searchEvents",
                "Search the events that somebody was to get",
                (json_answer(SearchAnswer),),
                (
                    Parameter("id", str, "The event's id, ours or its publisher's."),
                    Parameter("code", str, "The event code."),
                    Parameter("source", str, "Id of the provider, also as `urn:uuid:…`, or a part of its label."),
                    Parameter("from", _Text, "Published then or later."),
                    Parameter("to", _Text, "Published before then."),
                    Parameter("registration", str, "The `registration_id` of one that it was for."),
                    Parameter("status", _State, "What became of it on its way to that registration, or to any."),
                    Parameter("before", Annotated[int, msgspec.Meta(ge=0)], "`next` of the answer before."),
                    Parameter(
                        "limit",
                        Annotated[int, msgspec.Meta(ge=1, le=FOUND_MAX)],
                        f"Events at most; {FOUND} unless given.",
                    ),
                ),
                about="The newest first. Looks at so many events and says how far back it came: an answer without "
                "events but with `next` is to be followed by another call.",
            ),
        ),
    ),
)
