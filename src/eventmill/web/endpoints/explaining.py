"""What became of events, for whoever asks why one did not arrive. Additions of ours, all of them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventmill.web import explain
from eventmill.web.endpoint import Endpoint, Group, Operation, Parameter, json_answer
from eventmill.web.explained import EventExplanation, UnmatchedList

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
                about="The newest first. Publishing answered 204 to them.",
            ),
        ),
    ),
)
