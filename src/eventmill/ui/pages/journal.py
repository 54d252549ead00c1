"""Event Browser: a registration's journal batch by batch, from its start, its end, a time or a position.

Reads with the Journaling API, as a client would, and shows what came over the wire when asked to.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from eventmill.core.position import parse_position
from eventmill.errors import GatewayError
from eventmill.ids import uuid_text
from eventmill.model import Registration
from eventmill.ui.act import Outcome
from eventmill.ui.moments import field_moment, read_moment, write_moment
from eventmill.ui.page import Page
from eventmill.ui.pages.one_registration import REGISTRATION, find_registration, registration_url
from eventmill.ui.pages.renewing import renew
from eventmill.ui.visit import Visit
from eventmill.web.hal import journal_credential_id
from eventmill.web.http import Reply

BATCHES = ("10", "25", "100", "250")
_BATCH = "25"
_LIMIT = re.compile(r"[1-9]\d{0,5}", re.ASCII)
_SEEK_MS_MAX = 900_000_000_000
"""The journal's durations have so many digits; before that there is nothing."""
_AGES = (("15 minutes ago", 900), ("1 hour ago", 3600), ("1 day ago", 86_400))


class Row(msgspec.Struct, frozen=True):
    position: str
    event_id: str
    event_code: str
    published_ms: int | None
    """None: retention dropped it while the page was made."""
    body: msgspec.Raw

    @property
    def size(self) -> int:
        return len(bytes(self.body))

    @property
    def text(self) -> bytes:
        return bytes(self.body)


class _Entry(msgspec.Struct, frozen=True):
    position: str
    event: msgspec.Raw


class _Batch(msgspec.Struct, frozen=True):
    events: list[_Entry]


class Reading(msgspec.Struct, frozen=True):
    """One request to the journal, and what came."""

    outcome: Outcome
    took_ms: float
    rows: list[Row]
    next: str
    """The position that the next batch begins after; empty: none was given."""

    @property
    def status(self) -> int:
        return self.outcome.status

    @property
    def is_expired(self) -> bool:
        return self.status == 410

    @property
    def body(self) -> bytes:
        return self.outcome.reply.body if self.outcome.reply is not None else b""

    @property
    def headers(self) -> list[tuple[str, str]]:
        given = self.outcome.reply.headers if self.outcome.reply is not None else ()
        return [(name.decode(), value.decode("latin-1")) for name, value in given]


def journal_path(visit: Visit, registration: Registration) -> str:
    """Of the API, below which its cursors are, too."""
    credential = quote(journal_credential_id(visit.parts.catalogue, registration), safe="")
    return f"/events/organizations/{registration.org}/integrations/{credential}/{registration.registration_id}"


async def ask_journal(visit: Visit, registration: Registration, method: str, path: str, body: object = None) -> Outcome:
    """Calls the API about a journal, in the place of the registration's own client."""
    person = msgspec.structs.replace(visit.person, client_id=registration.client_id)
    return await visit.console.actions.call(person, visit.org.id, method, path, body, visit.request.peer)


async def show_journal(visit: Visit) -> Reply:
    return await journal_page(visit, find_registration(visit))


async def journal_page(visit: Visit, registration: Registration, refusal: Outcome | None = None) -> Reply:
    """`refusal`: what was said against the change of a cursor."""
    path = journal_path(visit, registration)
    values = await _values(visit, registration)
    cursors = await ask_journal(visit, registration, "GET", f"{path}/cursors")
    refused = refusal or (None if values["reading"].status in (200, 204, 410) else values["reading"].outcome)
    at_end = values["reading"].next or "1.1.0.20260301.42"
    return visit.render(
        "registrations/journal.html",
        status=200 if refused is None else refused.status,
        refusal=refused,
        cursors=cursors.body["cursors"] if cursors.ok else [],
        batches=BATCHES,
        ages=[(label, write_moment(visit.parts.clock.now_ms() - age_s * 1000)) for label, age_s in _AGES],
        calls=[
            ("Set a cursor", visit.curl("PUT", f"{path}/cursors/reader", {"position": at_end})),
            ("Delete a cursor", visit.curl("DELETE", f"{path}/cursors/reader")),
        ],
        **values,
    )


async def stream_batch(visit: Visit) -> Reply:
    """The batch anew, as long as it is not full."""
    registration = find_registration(visit)

    async def make() -> str:
        return visit.console.views.render(
            "registrations/journal_batch.html", {"visit": visit, **await _values(visit, registration)}
        )

    return renew(visit, make)


async def _values(visit: Visit, registration: Registration) -> dict[str, Any]:
    limit = visit.query("limit") if _LIMIT.fullmatch(visit.query("limit")) else _BATCH
    place = {name: visit.query(name) for name in ("since", "at", "latest")}
    reading = await _read(visit, registration, place, limit)
    return {
        "registration": registration,
        "reading": reading,
        "place": place,
        "at_field": field_moment(place["at"]),
        "limit": limit,
        "raw": visit.query("raw"),
        "opened": visit.query("open"),
        "is_full": len(reading.rows) >= min(int(limit), visit.parts.config.journal_page_events_max),
        "retention_days": visit.parts.config.journal_retention_days,
        "link": lambda **query: registration_url(
            visit, registration, "journal", **{"limit": limit, "raw": visit.query("raw"), **query}
        ),
    }


async def _read(visit: Visit, registration: Registration, place: dict[str, str], limit: str) -> Reading:
    started_s = visit.parts.clock.machine_s()
    try:
        query = urlencode({**_asked(visit, place), "limit": limit})
    except GatewayError as error:
        refused = Outcome(error.reason.status, {"reason": error.reason.code, "message": error.message}, "")
        return Reading(refused, 0.0, [], "")
    outcome = await ask_journal(visit, registration, "GET", f"{journal_path(visit, registration)}?{query}")
    took_ms = (visit.parts.clock.machine_s() - started_s) * 1000
    rows = await _rows(visit, registration, outcome) if outcome.status == 200 else []
    return Reading(outcome, took_ms, rows, rows[-1].position if rows else _next(outcome))


def _asked(visit: Visit, place: dict[str, str]) -> dict[str, str]:
    """The journal's own parameters. Raises `INVALID_PARAMETER`."""
    if place["since"]:
        return {"since": place["since"]}
    at_ms = read_moment(place["at"], "the time")
    if at_ms is not None:
        ago_ms = visit.parts.clock.now_ms() - at_ms
        if ago_ms > _SEEK_MS_MAX:
            return {}
        return {"seek": f"-PT{ago_ms / 1000:.3f}S"} if ago_ms > 0 else {"latest": "true"}
    return {"latest": "true"} if place["latest"] else {}


def _next(outcome: Outcome) -> str:
    """Of the links of an answer without events."""
    links = [value for name, value in outcome.reply.headers if name == b"link"] if outcome.reply is not None else []
    found = next((each for each in links if each.endswith(b'rel="next"')), b"")
    return found.partition(b"since=")[2].partition(b">")[0].partition(b"&")[0].decode()


async def _rows(visit: Visit, registration: Registration, outcome: Outcome) -> list[Row]:
    """The journal's own answer, with what is known of its events beside it: those in the format of Adobe I/O are bare
    data there."""
    assert outcome.reply is not None, "an answer with events"
    entries = msgspec.json.decode(outcome.reply.body, type=_Batch).events
    store = visit.parts.store
    seqs = [parse_position(each.position).seq for each in entries]
    stored = {each.seq: each for each in await store.fetch(await store.shard(registration.org), seqs)}
    rows = []
    for seq, each in zip(seqs, entries, strict=True):
        event = stored.get(seq)
        if event is None:
            rows.append(Row(each.position, "", "", None, each.event))
        else:
            rows.append(Row(each.position, uuid_text(event.event_id), event.origin.event_code, event.ts_ms, each.event))
    return rows


_JOURNAL = REGISTRATION + "/journal"

PAGES = (
    Page("GET", _JOURNAL, show_journal, "Event Browser", section="registrations"),
    Page("GET", _JOURNAL + "/live", stream_batch, section="registrations"),
)
