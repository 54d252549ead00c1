"""Reading a journal, without I/O: single pages, and the endless reading of events with checkpoints ("Journaling API").

An event is done when the next one is asked for; only what is done is saved. So a reader that falls sees again at most
what it had not saved, and misses nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from eventmill.client.checkpoints import Checkpoint, Cursor
from eventmill.client.documents import JournalEntry, JournalPage, Registration, journal_url
from eventmill.client.errors import BadAnswer, ClientError, NotFound, PositionExpired
from eventmill.client.exchange import Answer, Call, Do, Given, Session, Step, Steps, Wait, read_retry_after

IDLE_WAIT_S = 10.0
"""Between two looks at a journal that is idle, when the service names no time."""
LONG_POLL_S = 20
_STARTS = ("since", "seek", "latest")
"""Where a page begins: one of these in a query, or none for the oldest event."""
_LINK = re.compile(r'<([^>]*)>\s*;\s*rel="?([^";,]+)"?')


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a journal is read."""

    latest: bool = False
    """Without a saved position: begin with what comes after now, not with the oldest event there is."""
    since: str | None = None
    """Without a saved position: begin after this one."""
    seek: str | None = None
    """Without a saved position: begin at a time before now, as an ISO 8601 duration such as `-PT2H`."""
    limit: int | None = None
    """Events in a page."""
    checkpoint: Checkpoint | Cursor | None = None
    save_every: int = 1
    """Events between two saves; what a page ends with is saved in any case."""
    on_expired: Literal["raise", "oldest", "latest"] = "raise"
    """When events after the position are gone: end with `PositionExpired`, go on with the oldest, or with new ones."""
    until_idle: bool = False
    """End at the end of the journal instead of waiting for more."""
    interval_s: float | None = None
    """Between two looks at an idle journal; the service's own time unless given."""


@dataclass(frozen=True)
class Emit:
    """An event for whoever reads."""

    entry: JournalEntry


def page_call(
    url: str, options: Mapping[str, str | int | bool | None], now_s: float, wait_s: int = 0
) -> Call[JournalPage]:
    """A page at `url`, the journal's own or a `next` link, with the options in its query in place of what is there."""
    headers = {"accept": "application/vnd.adobecloud.events+json, application/json"}
    if wait_s:
        headers["prefer"] = f"wait={wait_s}"
    asked = _with_options(url, options)
    return Call(
        "get_events_from_journal",
        "GET",
        asked,
        lambda answer: _read_page(asked, answer, now_s),
        headers,
        wait_s=float(wait_s),
    )


def read_journal(
    session: Session, journal: str | Registration, reading: Reading
) -> Generator[Step | Emit, Given, None]:
    """Events without end, or to the end of the journal. Ends with what a page ends with, expiry as `reading` says."""
    base = journal if isinstance(journal, str) else journal_url(journal)
    position = yield from _load(session, base, reading)
    options = _start(reading, position)
    url = _without_start(base) if any(options.get(name) for name in _STARTS) else base
    while True:
        wait_s = 0 if reading.until_idle or reading.interval_s is not None else LONG_POLL_S
        try:
            page = yield from session.exchange(page_call(url, options, session.now_s(), wait_s))
        except PositionExpired:
            if reading.on_expired == "raise":
                raise
            # With a link for a journal, the position that expired may stand in the link.
            url, options = (
                _without_start(base),
                {"limit": reading.limit, "latest": reading.on_expired == "latest" or None},
            )
            continue
        yield from _emit_all(session, base, reading, page)
        url, options = page.next, {}
        if page.events or page.waited:
            continue
        if reading.until_idle:
            return
        yield Wait(reading.interval_s or page.retry_after_s or IDLE_WAIT_S)


def _emit_all(session: Session, base: str, reading: Reading, page: JournalPage) -> Generator[Step | Emit, Given, None]:
    """Every event of a page. When the reader stops in between, the last one that it was done with is saved."""
    done: str | None = None
    unsaved = 0
    try:
        for entry in page.events:
            yield Emit(entry)
            done, unsaved = entry["position"], unsaved + 1
            if unsaved >= reading.save_every:
                yield from _save(session, base, reading, done)
                unsaved = 0
    except GeneratorExit:
        # Nothing can be sent any more, but a checkpoint of the reader's own can still be written.
        if unsaved and done is not None and reading.checkpoint and not isinstance(reading.checkpoint, Cursor):
            reading.checkpoint.save(done)
        raise
    if unsaved and done is not None:
        yield from _save(session, base, reading, done)


def _load(session: Session, base: str, reading: Reading) -> Steps[str | None]:
    match reading.checkpoint:
        case None:
            return None
        case Cursor(name):
            call: Call[Any] = Call("get_cursor", "GET", _cursor_url(base, name), Answer.json)
            try:
                found = yield from session.exchange(call)
            except NotFound:
                return None
            return str(found["position"])
        case checkpoint:
            loaded: list[str | None] = []
            yield Do(lambda: loaded.append(checkpoint.load()))
            return loaded[0]


def _save(session: Session, base: str, reading: Reading, position: str) -> Steps[None]:
    match reading.checkpoint:
        case None:
            return
        case Cursor(name):
            body = json.dumps({"position": position}).encode()
            headers = {"content-type": "application/json"}
            yield from session.exchange(
                Call("put_cursor", "PUT", _cursor_url(base, name), lambda _answer: None, headers, body)
            )
        case checkpoint:
            yield Do(lambda: checkpoint.save(position))


def _cursor_url(base: str, name: str) -> str:
    place = urlsplit(base)
    return urlunsplit((place.scheme, place.netloc, f"{place.path}/cursors/{quote(name, safe='')}", "", ""))


def _start(reading: Reading, position: str | None) -> dict[str, str | int | bool | None]:
    options: dict[str, str | int | bool | None] = {"limit": reading.limit}
    if position is not None:
        return {**options, "since": position}
    if sum(1 for each in (reading.latest, reading.since, reading.seek) if each) > 1:
        raise ClientError("read_journal: only one of latest, since and seek can be set")
    return {**options, "since": reading.since, "seek": reading.seek, "latest": reading.latest or None}


def _without_start(url: str) -> str:
    place = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(place.query, keep_blank_values=True) if name not in _STARTS]
    return urlunsplit(place._replace(query=urlencode(kept, safe=":")))


def _with_options(url: str, options: Mapping[str, str | int | bool | None]) -> str:
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return url
    place = urlsplit(url)
    kept: Sequence[tuple[str, Any]] = [
        (name, value) for name, value in parse_qsl(place.query, keep_blank_values=True) if name not in given
    ]
    added = [(name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in given.items()]
    return urlunsplit(place._replace(query=urlencode([*kept, *added], safe=":")))


def _read_page(url: str, answer: Answer, now_s: float) -> JournalPage:
    links = {rel: urljoin(url, target) for target, rel in _LINK.findall(answer.headers.get("link", ""))}
    if "next" not in links:
        raise BadAnswer(f"get_events_from_journal: status {answer.status} without a next link")
    body = {} if answer.status == 204 else answer.json()
    if not isinstance(body, dict) or not isinstance(body.get("events", []), list):
        raise BadAnswer("get_events_from_journal: JSON that is no page of a journal")
    return JournalPage(
        events=body.get("events", []),
        links=links,
        retry_after_s=read_retry_after(answer.headers.get("retry-after", ""), now_s),
        waited="wait" in answer.headers.get("preference-applied", ""),
        headers=answer.headers,
    )
