"""One event's life: who published it, who got it and who did not and why, every attempt, what comes next."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from eventmill.ids import uuid_bytes
from eventmill.model import Registration
from eventmill.ui.act import Outcome
from eventmill.ui.charts import Mark
from eventmill.ui.moments import ms_of
from eventmill.ui.page import Page
from eventmill.ui.pages.one_registration import registration_path
from eventmill.ui.pages.undelivered import CAUSES
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply

STATES: Mapping[str, tuple[str, str]] = {
    "delivered": ("ok", "delivered"),
    "journal_only": ("ok", "in the journal"),
    "waiting": ("warn", "waiting for the first attempt"),
    "scheduled": ("warn", "to be tried again"),
    "undelivered": ("bad", "undelivered"),
    "expired": ("bad", "expired undelivered"),
    "deleted": ("quiet", "registration deleted"),
    "not_matched": ("quiet", "not matched"),
}
"""Tone and words of each state of an event's way."""
_WAYS_SHOWN = 100


_API_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z")
_API_CAUSE = re.compile(r"\(([a-z_]+)\)$")


class Way(msgspec.Struct, frozen=True):
    """To one registration."""

    body: dict[str, Any]
    why: str
    """As people read it."""
    tone: str
    words: str
    registration: Registration | None
    marks: list[Mark]
    next_ms: int | None
    resend_curl: str
    """Empty: it cannot be sent again."""


async def show_event(visit: Visit) -> Reply:
    return await _page(visit)


async def _page(visit: Visit, refusal: Outcome | None = None) -> Reply:
    path = _api_path(visit)
    found = await visit.read(path)
    event = found["event"]
    published_ms = ms_of(event["published_at"]) or 0
    ways = [_way(visit, each, event["id"]) for each in found["registrations"]]
    matched = [each for each in ways if each.body["matched"]]
    return visit.render(
        "events/show.html",
        status=200 if refusal is None else refusal.status,
        event=event,
        published_ms=published_ms,
        now_ms=visit.parts.clock.now_ms(),
        matched=matched[:_WAYS_SHOWN],
        matched_total=len(matched),
        others=[each for each in ways if not each.body["matched"]][:_WAYS_SHOWN],
        others_total=len(ways) - len(matched),
        counts=[(*STATES[state], number) for state, number in Counter(each.body["state"] for each in ways).items()],
        unmatched=found["unmatched"],
        body=await _body(visit, event["id"]),
        credential=visit.parts.catalogue.credential_by_client(event["published_by"]),
        provider=visit.parts.catalogue.provider(event["provider"]["id"]),
        refusal=refusal,
        curl=visit.curl("GET", path),
    )


def _api_path(visit: Visit) -> str:
    return f"/events/{visit.org.id}/events/{quote(visit.params['event'], safe='')}"


async def _body(visit: Visit, event_id: str) -> Any:
    """As it is kept, without the fields of its recipients; None of one that nobody was to get."""
    raw_id = uuid_bytes(event_id)
    event = None if raw_id is None else await visit.parts.store.find_event(visit.org.id, raw_id)
    return None if event is None else msgspec.json.decode(event.body + b"}")


def _way(visit: Visit, body: dict[str, Any], event_id: str) -> Way:
    registration = visit.parts.catalogue.registration(visit.org.id, body["registration_id"] or "")
    tone, words = STATES[body["state"]]
    marks = [_mark(each) for each in body["attempts"]]
    next_ms = ms_of(body["next_due"])
    if next_ms is not None:
        marks.append(Mark(next_ms, f"retry {body['next_retry']}, due", "quiet"))
    is_sent = registration is not None and body["matched"] and registration.delivery_type != "journal"
    curl = visit.curl("POST", _resend_path(registration, event_id)) if registration is not None and is_sent else ""
    return Way(body, _readable(body["why"]), tone, words, registration, marks, next_ms, curl)


def _readable(why: str) -> str:
    """What the API says, with times and causes as the console writes them."""
    told = _API_TIME.sub(r"\1 \2 UTC", why)
    return _API_CAUSE.sub(lambda found: f"({CAUSES.get(found[1], found[1])})", told)


def _mark(attempt: dict[str, Any]) -> Mark:
    tone = "ok" if 200 <= attempt["status"] < 300 else "bad"
    return Mark(ms_of(attempt["at"]) or 0, f"attempt {attempt['retry'] + 1}: {attempt['status']}", tone)


def _resend_path(registration: Registration, event_id: str) -> str:
    return f"{registration_path(registration)}/events/{quote(event_id, safe='')}/resend"


async def resend(visit: Visit) -> Reply:
    """To one registration that it was for."""
    await visit.read(_api_path(visit))
    registration = visit.parts.catalogue.registration(visit.org.id, visit.field("registration"))
    if registration is None:
        raise visit.not_found("registration")
    done = await visit.act("POST", _resend_path(registration, visit.params["event"]))
    if not done.ok:
        return await _page(visit, done)
    return visit.redirect(visit.url("events", visit.params["event"]), f"{registration.name}: {done.body['message']}.")


_EVENT = "/events/{event}"

PAGES = (
    Page("GET", _EVENT, show_event, "Event", section="events"),
    Page("POST", _EVENT + "/resend", resend, "Event", role="developer", section="events"),
)
