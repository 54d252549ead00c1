"""Bodies about what registrations did not get, and about having it sent. Shapes only. Additions of ours."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType, field

from eventmill.model import ReplayScope, ReplayState
from eventmill.web.bodies import Link, SelfLinks
from eventmill.web.fields import EventsPerSecond

_Count = Annotated[int, msgspec.Meta(ge=0)]


def _said(description: str, **limits: Any) -> msgspec.Meta:
    return msgspec.Meta(description=description, **limits)


# --- What is undelivered ---

Cause = Literal[
    "refused",
    "gave_up",
    "expired",
    "disabled",
    "accepted",
    "verification_failed",
    "hook_unreachable",
]
"""How an event ended undelivered; or what its registration was when it came and was not pushed."""


class ResendLinks(msgspec.Struct, frozen=True):
    resend: Link


class UndeliveredItemBody(msgspec.Struct, frozen=True, kw_only=True):
    position: Annotated[str, _said("In the registration's journal; good for `since` there, and for `after` here.")]
    event_id: Annotated[str | None, _said("`eventid` of the event; null when it is kept no longer.")]
    event_code: str | None
    provider_id: str | None
    time: Annotated[str | None, _said("When it was published; business time, as all times here.")]
    cause: Annotated[
        str,
        _said(
            "How it ended undelivered; or what its registration was when it came.",
            extra_json_schema={"enum": list(get_args(Cause))},
        ),
    ]
    status: Annotated[int | None, _said("What the last attempt came to; null when there was none.")]
    since: Annotated[str, _said("When it ended undelivered; or when what kept it from being pushed began.")]
    replay: Annotated[str | None, _said("The replay that failed to deliver it, if one was the last to try.")]
    available: Annotated[bool, _said("False: it is older than the journal keeps events, and cannot be sent any more.")]
    links: ResendLinks | UnsetType = field(name="_links", default=UNSET)


class UndeliveredBody(msgspec.Struct, frozen=True):
    total: _Count
    oldest: Annotated[str | None, _said("When the oldest of all was published.")]
    causes: Annotated[dict[str, int], _said("How many for each cause, of all.")]
    items: Annotated[list[UndeliveredItemBody], _said("One page, by position: the oldest first.")]
    next: Annotated[str | None, _said("URL of the next page; null: this is the last.")]


# --- Replays and resends ---

_Time = Annotated[datetime, _said("RFC 3339; business time.", tz=True)]


class ReplayForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without a range: everything that is there. A range is of times or of positions, not of both. A member that is not
    known is refused: what was meant to limit a replay must not be overlooked."""

    scope: Annotated[
        ReplayScope,
        _said("`undelivered`: what the registration did not get. `all`: what it got already, too."),
    ] = "undelivered"
    published_from: Annotated[_Time | None, _said("Published at this time or later.")] = field(
        name="from", default=None
    )
    published_to: Annotated[_Time | None, _said("Published before this time.")] = field(name="to", default=None)
    after: Annotated[str | None, _said("A position of the journal: what comes after it.")] = None
    until: Annotated[str | None, _said("A position of the journal: what comes up to it, itself included.")] = None
    causes: Annotated[list[Cause], _said("Of what is undelivered, only this; none: all of it.")] = []
    events_per_second: EventsPerSecond | None = None
    dry_run: Annotated[bool, _said("Only count.")] = False


class ReplayEstimate(msgspec.Struct, frozen=True):
    dry_run: Literal[True]
    total: Annotated[_Count, _said("Events that the replay would send now.")]


class ReplayBody(msgspec.Struct, frozen=True, kw_only=True):
    """A job, and how far it is. `handed` = `waiting` + `retrying` + `delivered` + `failed`."""

    links: SelfLinks = field(name="_links")
    id: Annotated[str, _said("Also in the header `x-eventmill-replay` of what it sends.")]
    registration_id: str
    state: Annotated[
        ReplayState, _said("`done`: every event was sent once at least; some may still have retries to come.")
    ]
    reason: Annotated[str | None, _said("Why the gateway itself paused or cancelled it.")]
    scope: ReplayScope
    causes: list[str]
    after: Annotated[str, _said("It sends what comes after this position,")]
    until: Annotated[str, _said("and up to this one.")]
    events_per_second: Annotated[float | None, _said("At most, as asked for; null: as fast as they are taken.")]
    total: Annotated[_Count, _said("Events that there were to send when it was made.")]
    handed: Annotated[_Count, _said("Of them handed to delivery so far.")]
    waiting: Annotated[_Count, _said("Handed over, and not sent yet, or being sent.")]
    retrying: Annotated[_Count, _said("Failed so far, with a retry scheduled.")]
    delivered: _Count
    failed: Annotated[_Count, _said("Undelivered again.")]
    percent: Annotated[float, _said("Sent once at least, of all.", ge=0, le=100)]
    started: str
    updated: Annotated[str, _said("When it last handed events over, or changed its state.")]


class ReplayList(msgspec.Struct, frozen=True):
    items: Annotated[list[ReplayBody], _said("Newest first. Those that do not run are kept for as long as events are.")]


class ResentEvent(msgspec.Struct, frozen=True):
    event_id: str
    outcome: Annotated[
        Literal["scheduled", "hastened", "under_way"],
        _said(
            "`scheduled`: it is sent once more, now. `hastened`: its retry that was scheduled is made now. "
            "`under_way`: it is being sent anyway; nothing was changed."
        ),
    ]
    replay: Annotated[str | None, _said("In the header `x-eventmill-replay` of what was scheduled.")]
    message: Annotated[str, _said("The same, for people.")]


class ResentAttempt(msgspec.Struct, frozen=True):
    attempt: str
    items: Annotated[list[ResentEvent], _said("One for each event that was in the attempt and is still kept.")]
