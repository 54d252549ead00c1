"""Reads the journal of a registration page by page, from a place on, and waits at its end.

Follows "Journaling API": `next` leads on without gaps. A gateway that knows `Prefer: wait` is asked to wait; another
one is asked again when it says so.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple
from urllib.parse import urlencode

from eventmill.cli.places import Json
from eventmill.cli.remote import Failed, Refused, accepted
from eventmill.cli.session import Session

_WAIT_S = 20
_ANSWER_WITHIN_S = 60.0
_RETRY_AFTER_MAX_S = 30.0


class Page(NamedTuple):
    events: list[Json]
    """As `{"position", "event"}`; none at the end of the journal."""
    next_url: str
    pause_s: float
    """How long to wait before the next page is asked for, when this one is empty; 0: it was waited for already."""
    raw: Any
    """The parsed body, None at the end."""
    body: bytes
    """The same, as it came."""


class Busy(Refused):
    """The service asks to be called later; worth waiting for."""

    def __init__(self, refused: Refused, pause_s: float) -> None:
        super().__init__(refused.message, refused.status, refused.reason)
        self.pause_s = pause_s


class Expired(Failed):
    """What the position led to is no longer in the journal."""


def journal_url(session: Session, registration: Json) -> str:
    """Raises `Failed` for a registration without a journal link."""
    href = registration["_links"].get("rel:events", {}).get("href")
    if not href:
        raise Failed(f"registration {registration['registration_id']} has no journal link")
    return session.local(str(href))


def journal_start(url: str, **query: str | int | None) -> str:
    """The URL of the first page: parameters of "Journaling API", those that are None left out."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{url}?{urlencode(given)}" if given else url


def read_page(session: Session, url: str, *, wait: bool = False) -> Page:
    """The page at `url`; `wait`: for an event, at the end. Raises `Expired`, `Busy`, `Refused`, `NoAnswer`."""
    headers = {"accept": "application/vnd.adobecloud.events+json"} | ({"prefer": f"wait={_WAIT_S}"} if wait else {})
    reply = session.send("GET", url, headers, timeout_s=_ANSWER_WITHIN_S)
    if reply.status == 410:
        raise Expired(" ".join(reply.body.decode("utf-8", "replace").split()) or "the position has expired")
    try:
        body = accepted(url, reply)
    except Refused as refused:
        if refused.status not in (429, 502, 503, 504):
            raise
        raise Busy(refused, _pause_s(reply.headers.get("retry-after"))) from None
    next_url = reply.link(url, "next")
    if next_url is None:
        raise Failed(f"{url} does not answer as a journal would: it has no next link")
    events = body["events"] if body else []
    waited = "wait=" in (reply.headers.get("preference-applied") or "")
    pause_s = 0.0 if waited or events else _pause_s(reply.headers.get("retry-after"))
    return Page(events, session.local(next_url), pause_s, body, reply.body)


def pause(seconds: float) -> None:
    """Until the next page is worth asking for."""
    if seconds:
        time.sleep(seconds)


def _pause_s(text: str | None) -> float:
    return min(float(text), _RETRY_AFTER_MAX_S) if text and text.isdecimal() else 2.0
