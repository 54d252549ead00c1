"""Finds events: by id at once, by anything else looking backwards so far at a time; and those that nobody wanted."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlencode

from eventmill.ids import uuid_bytes
from eventmill.ui.moments import api_time, ms_of, read_moment
from eventmill.ui.page import Page
from eventmill.ui.pages.event import STATES
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply

_FIELDS = ("q", "code", "source", "registration", "status", "from", "to")
_UNMATCHED_LISTED = 50
_UNMATCHED_READ = 1000
_CHOICES_MAX = 500
_LISTED = 25


async def search(visit: Visit) -> Reply:
    """A known id leads to its event; whatever fits otherwise is listed, the newest first."""
    asked = {name: visit.query(name) for name in _FIELDS}
    found_id = await _known_id(visit, asked["q"])
    if found_id:
        return visit.redirect(visit.url("events", found_id))
    path = f"/events/{visit.org.id}/search?{urlencode(_api_query(visit, asked))}"
    outcome = await visit.act("GET", path)
    found: dict[str, Any] = outcome.body if outcome.ok else {"events": [], "searched": 0, "back_to": None, "next": None}
    following = {**asked, "before": str(found["next"] or "")}
    registrations = [each for each in visit.parts.catalogue.registrations() if each.org == visit.org.id]
    return visit.render(
        "events/search.html",
        status=200 if outcome.ok else outcome.status,
        asked=asked,
        is_narrowed=any(asked.values()),
        found=[(each, ms_of(each["published_at"]), _summed(each["registrations"])) for each in found["events"]],
        searched=found["searched"],
        back_to_ms=ms_of(found["back_to"]),
        next=visit.url("search", **following) if found["next"] else "",
        is_first=not visit.query("before"),
        first=visit.url("search", **asked),
        registrations=sorted(registrations, key=lambda each: each.name.lower())[:_CHOICES_MAX],
        states=STATES,
        refusal=None if outcome.ok else outcome,
        curl=outcome.curl,
    )


def _summed(ways: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Tone and words of each state, with how many ways came to it."""
    counts = Counter(each["state"] for each in ways)
    many = len(ways) > 1
    return [
        (STATES[state][0], f"{number} {STATES[state][1]}" if many else STATES[state][1])
        for state, number in counts.items()
    ]


async def _known_id(visit: Visit, text: str) -> str:
    """Ours of an event that the organization has; empty: there is none of this id, or it takes a search."""
    raw_id = uuid_bytes(text)
    if raw_id is not None and await visit.parts.store.find_event(visit.org.id, raw_id) is not None:
        return text
    unmatched = await visit.parts.unmatched.find(visit.org.id, text) if text else None
    return "" if unmatched is None else text


def _api_query(visit: Visit, asked: dict[str, str]) -> dict[str, str]:
    query = {"id": asked["q"], "limit": str(_LISTED), "before": visit.query("before")}
    query |= {name: asked[name] for name in ("code", "source", "registration", "status")}
    for name in ("from", "to"):
        moment = read_moment(asked[name], name)
        query[name] = "" if moment is None else api_time(moment)
    return {name: value for name, value in query.items() if value}


async def list_unmatched(visit: Visit) -> Reply:
    path = f"/events/{visit.org.id}/unmatched?limit={_UNMATCHED_READ}"
    found = await visit.read(path)
    code, cause = visit.query("code"), visit.query("cause")
    events = [
        each for each in found["events"] if (not code or each["code"] == code) and (not cause or each["cause"] == cause)
    ]
    ids = [each["id"] for each in events]
    start = ids.index(visit.query("after")) + 1 if visit.query("after") in ids else 0
    shown = events[start : start + _UNMATCHED_LISTED]
    more = start + len(shown) < len(events)
    return visit.render(
        "events/unmatched.html",
        total=found["total"],
        remembered=len(found["events"]),
        found=[(each, ms_of(each["published_at"])) for each in shown],
        codes=sorted({each["code"] for each in found["events"]})[:50],
        causes=sorted({each["cause"] for each in found["events"]}),
        code=code,
        cause=cause,
        next=visit.url("unmatched", code=code, cause=cause, after=shown[-1]["id"]) if more else "",
        curl=visit.curl("GET", path),
    )


PAGES = (
    Page("GET", "/search", search, "Events", section="events"),
    Page("GET", "/unmatched", list_unmatched, "Unmatched events", section="events"),
)
