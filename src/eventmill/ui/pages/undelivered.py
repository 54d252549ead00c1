"""What a registration did not get: the list with causes, one event sent again, and the form that has the rest sent."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import quote, urlencode

from eventmill.errors import GatewayError
from eventmill.model import Registration
from eventmill.ui.act import Outcome
from eventmill.ui.moments import api_time, field_moment, ms_of, read_moment
from eventmill.ui.page import Page
from eventmill.ui.pages.one_registration import (
    REGISTRATION,
    find_registration,
    registration_path,
    registration_url,
)
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply

CAUSES = {
    "refused": "an attempt was answered with a final status",
    "gave_up": "every retry failed",
    "expired": "it became too old before an attempt could be made",
    "disabled": "it came while the registration was switched off",
    "accepted": "it came before the webhook's owner had agreed",
    "unstable": "it came while the registration was switched off, its webhook failing",
    "verification_failed": "it came while the webhook had failed its challenge",
    "hook_unreachable": "it came while the registration was disabled: its webhook had failed for long",
}
_LISTED = 50
_UNFINISHED = ("running", "paused")


async def show_undelivered(visit: Visit) -> Reply:
    return await _page(visit, find_registration(visit))


async def _page(
    visit: Visit, registration: Registration, *, refusal: Outcome | None = None, estimate: Outcome | None = None
) -> Reply:
    """`estimate`: what a dry run came to."""
    path = f"{registration_path(registration)}/undelivered"
    cause = visit.query("cause") if visit.query("cause") in CAUSES else ""
    asked = {"limit": str(_LISTED), "cause": cause, "after": visit.query("after")}
    listing = f"{path}?{urlencode({name: value for name, value in asked.items() if value})}"
    found = await visit.read(listing)
    replays = await visit.read(f"{registration_path(registration)}/replays")
    form = {"scope": "undelivered", "events_per_second": 50}
    return visit.render(
        "registrations/undelivered.html",
        status=200 if refusal is None else refusal.status,
        registration=registration,
        found=found,
        oldest_ms=ms_of(found["oldest"]),
        cause=cause,
        causes=CAUSES,
        items=[{**each, "time_ms": ms_of(each["time"]), "since_ms": ms_of(each["since"])} for each in found["items"]],
        next=found["items"][-1]["position"] if found["next"] else "",
        active=next((each for each in replays["items"] if each["state"] in _UNFINISHED), None),
        now_ms=visit.parts.clock.now_ms(),
        chosen=visit.fields("cause"),
        from_field=field_moment(visit.field("from")),
        to_field=field_moment(visit.field("to")),
        refusal=refusal,
        estimate=estimate,
        curl=visit.curl("GET", listing),
        resend_curl=_resend_curl(visit, registration, found["items"]),
        replay_curl=(refusal or estimate or Outcome(0, None, "")).curl
        or visit.curl("POST", f"{registration_path(registration)}/replays", form),
    )


def _resend_curl(visit: Visit, registration: Registration, items: list[dict[str, Any]]) -> str:
    """Of the first that can be sent again; empty without one."""
    ids = [each["event_id"] for each in items if each["event_id"] and each["available"]]
    return visit.curl("POST", _resend_path(registration, ids[0])) if ids else ""


def _resend_path(registration: Registration, event: str) -> str:
    return f"{registration_path(registration)}/events/{quote(event, safe='')}/resend"


async def resend(visit: Visit) -> Reply:
    registration, event = find_registration(visit), visit.field("event")
    done = await visit.act("POST", _resend_path(registration, event))
    if not done.ok:
        return await _page(visit, registration, refusal=done)
    back = registration_url(visit, registration, "undelivered", cause=visit.query("cause"), after=visit.query("after"))
    message = str(done.body["message"])
    return visit.redirect(back, f"{message[:1].upper()}{message[1:]}.")


async def replay(visit: Visit) -> Reply:
    """Counts what would be sent, or has it sent."""
    registration = find_registration(visit)
    path = f"{registration_path(registration)}/replays"
    try:
        form = _replay_form(visit)
    except GatewayError as error:
        refused = Outcome(error.reason.status, {"reason": error.reason.code, "message": error.message}, "")
        return await _page(visit, registration, refusal=refused)
    if visit.field("do") != "start":
        counted = await visit.act("POST", path, {**form, "dry_run": True})
        if not counted.ok:
            return await _page(visit, registration, refusal=counted)
        return await _page(visit, registration, estimate=counted)
    made = await visit.act("POST", path, form)
    if not made.ok:
        return await _page(visit, registration, refusal=made)
    return visit.redirect(registration_url(visit, registration, "replays", made.body["id"]), "The replay has begun.")


def _replay_form(visit: Visit) -> dict[str, Any]:
    """Of the API. What cannot be a number or a time goes there as it is, to be refused in its words."""
    form: dict[str, Any] = {"scope": "all" if visit.field("scope") == "all" else "undelivered"}
    if form["scope"] == "undelivered" and visit.fields("cause"):
        form["causes"] = visit.fields("cause")
    for name in ("from", "to"):
        moment_ms = read_moment(visit.field(name), name)
        if moment_ms is not None:
            form[name] = api_time(moment_ms)
    if visit.field("rate"):
        form["events_per_second"] = _number(visit.field("rate"))
    return form


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() else number


_UNDELIVERED = REGISTRATION + "/undelivered"

PAGES = (
    Page("GET", _UNDELIVERED, show_undelivered, "Undelivered", section="registrations"),
    Page("POST", _UNDELIVERED + "/resend", resend, "Undelivered", "developer", "registrations"),
    Page("POST", _UNDELIVERED + "/replay", replay, "Undelivered", "developer", "registrations"),
)
