"""What registrations did not get, and having it sent. Additions of ours."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventmill.errors import Reason
from eventmill.web import replays, resending, undelivered
from eventmill.web.endpoint import Endpoint, Group, Operation, Parameter, RequestBody, json_answer
from eventmill.web.endpoints.parameters import WORKSPACE
from eventmill.web.recovery_bodies import (
    Cause,
    ReplayBody,
    ReplayEstimate,
    ReplayForm,
    ReplayList,
    ResentAttempt,
    ResentEvent,
    UndeliveredBody,
)
from eventmill.web.undelivered import PAGE_SIZE, PAGE_SIZE_MAX

_REGISTRATION = WORKSPACE + "/registrations/{registration}"
_REPLAYS = _REGISTRATION + "/replays"
_REPLAY = _REPLAYS + "/{replay}"

_PLACES = (Reason.INVALID_POSITION, Reason.POSITION_EXPIRED)
_NOT_SENT = (Reason.STALE_VERSION, Reason.REGISTRATION_DISABLED, Reason.NOT_PUSHED)
_NOT_MOVED = (Reason.CONFLICT, Reason.STALE_VERSION)

RECOVERY = Group(
    tag="Recovery",
    about="What a registration did not get, and having it sent: nothing of it is ever sent by itself. An addition to "
    "the Adobe API.",
    for_callers=(
        Endpoint(
            "GET",
            _REGISTRATION + "/undelivered",
            undelivered.get_undelivered,
            Operation(
                "getUndelivered",
                "List the events that a registration did not get",
                (json_answer(UndeliveredBody),),
                (
                    Parameter("after", str, "A position: only what comes after it."),
                    Parameter(
                        "limit",
                        Annotated[int, msgspec.Meta(ge=1, le=PAGE_SIZE_MAX)],
                        f"Items per page; {PAGE_SIZE} unless given.",
                    ),
                    Parameter(
                        "cause", Cause, "Only what has this cause; may be repeated. Total and causes are of all."
                    ),
                ),
                refusals=_PLACES,
                about="Events that were answered with a final status, ran out of retries, expired before they were "
                "sent, or came while the registration was disabled or not validated. Nothing of this is ever sent by "
                "itself: a replay or a resend does it, and takes it out of this list.",
            ),
        ),
        Endpoint(
            "GET",
            _REPLAYS,
            replays.list_replays,
            Operation("listReplays", "List the replays of a registration", (json_answer(ReplayList),)),
        ),
        Endpoint(
            "POST",
            _REPLAYS,
            replays.create_replay,
            Operation(
                "createReplay",
                "Send a registration its events again",
                (json_answer(ReplayEstimate), json_answer(ReplayBody, 201, "Location")),
                bodies=(
                    RequestBody(
                        ReplayForm,
                        example={
                            "scope": "undelivered",
                            "from": "2026-03-01T00:00:00Z",
                            "to": "2026-03-02T00:00:00Z",
                            "events_per_second": 50,
                        },
                    ),
                ),
                refusals=(*_PLACES, *_NOT_SENT, Reason.CONFLICT),
                about="A job that runs beside new events, in the order of the journal. One at a time for each "
                "registration: while another one is running or paused, this is 409. With `dry_run` 200 and a count, "
                "and nothing is sent; that works for a disabled registration, too.",
            ),
        ),
        Endpoint(
            "GET",
            _REPLAY,
            replays.get_replay,
            Operation("getReplay", "Read how far a replay is", (json_answer(ReplayBody),)),
        ),
        *(
            Endpoint(
                "POST",
                f"{_REPLAY}/{action}",
                handler,
                Operation(f"{action}Replay", summary, (json_answer(ReplayBody),), refusals=refusals, about=about),
            )
            for action, handler, refusals, summary, about in (
                (
                    "pause",
                    replays.pause_replay,
                    _NOT_MOVED,
                    "Hold a replay",
                    "Nothing more is handed to delivery; what was handed over is still sent.",
                ),
                (
                    "resume",
                    replays.resume_replay,
                    (*_NOT_SENT, Reason.CONFLICT),
                    "Let a paused replay go on",
                    "Where it stopped.",
                ),
                (
                    "cancel",
                    replays.cancel_replay,
                    _NOT_MOVED,
                    "End a replay",
                    "What was not handed to delivery stays undelivered; what was is still sent.",
                ),
            )
        ),
        Endpoint(
            "POST",
            _REGISTRATION + "/events/{event}/resend",
            resending.resend_event,
            Operation(
                "resendEvent",
                "Send a registration one event again, now",
                (json_answer(ResentEvent, 202),),
                refusals=_NOT_SENT,
                about="Whatever became of it. A retry that is scheduled is made now, instead of being joined by "
                "another one. Works for a disabled registration, too, as a trial, unless its webhook has not agreed to "
                "be called.",
            ),
        ),
        Endpoint(
            "POST",
            _REGISTRATION + "/attempts/{attempt}/resend",
            resending.resend_attempt,
            Operation(
                "resendAttempt",
                "Send a registration the events of one attempt again, now",
                (json_answer(ResentAttempt, 202),),
                refusals=_NOT_SENT,
                about="As long as the attempt is among the traces.",
            ),
        ),
    ),
)
