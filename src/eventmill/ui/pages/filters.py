"""The filter of a registration: written with a gallery beside it, tried on samples and on events of late, then applied.

Nothing is stored before it is applied.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from eventmill.core.ruler import FILTER_CHARS_MAX, Filter
from eventmill.core.ruler_match import Miss
from eventmill.errors import GatewayError
from eventmill.flow.filters import filter_misses
from eventmill.model import Registration, SubscriberFilter
from eventmill.ui.act import Outcome
from eventmill.ui.filter_gallery import GALLERY
from eventmill.ui.filter_text import judge, pretty
from eventmill.ui.page import Page
from eventmill.ui.pages.one_registration import (
    REGISTRATION,
    find_registration,
    registration_path,
    registration_url,
)
from eventmill.ui.visit import Visit
from eventmill.web.checks import parse_json
from eventmill.web.filter_drafts import check_filterable
from eventmill.web.http import Reply

_OWN = "your event"


class Tried(msgspec.Struct, frozen=True):
    """What the filter makes of one sample."""

    name: str
    passes: bool | None
    """None: there is no sample."""
    misses: tuple[Miss, ...] = ()


class Trial(msgspec.Struct, frozen=True):
    samples: list[Tried]
    own: Tried | None
    own_problem: str
    backtest: Any
    curls: tuple[str, str]


async def show_filter(visit: Visit) -> Reply:
    registration = find_registration(visit)
    chosen = next((each for each in GALLERY if each.key == visit.query("use")), None)
    return _page(visit, registration, pretty(chosen.filter) if chosen is not None else None)


def _page(
    visit: Visit,
    registration: Registration,
    text: str | None,
    *,
    refusal: Outcome | None = None,
    trial: Trial | None = None,
) -> Reply:
    """`text`: what is in the editor; None: the filter that the registration has."""
    held = registration.subscriber_filters[0] if registration.subscriber_filters else None
    shown = text if text is not None else pretty(held.subscriber_filter) if held is not None else ""
    path = f"{registration_path(registration)}/filters"
    example = {"name": "Nearly out", "subscriber_filter": shown or GALLERY[0].filter}
    method, where = ("POST", path) if held is None else ("PUT", f"{path}/{held.id}")
    return visit.render(
        "registrations/filter.html",
        status=200 if refusal is None else refusal.status,
        registration=registration,
        held=held,
        held_text=pretty(held.subscriber_filter) if held is not None else "",
        shown=shown,
        verdict=judge(shown)[0] if shown else None,
        obstacle=_obstacle(visit, registration),
        gallery=GALLERY,
        pretty=pretty,
        chars_max=FILTER_CHARS_MAX,
        refusal=refusal,
        trial=trial,
        calls=[
            ("Apply", visit.curl(method, where, example)),
            ("Remove", "" if held is None else visit.curl("DELETE", where)),
        ],
    )


def _obstacle(visit: Visit, registration: Registration) -> str:
    """Why the registration can have no filter at all; empty: it can."""
    any_filter = SubscriberFilter(id="", name="", description="", subscriber_filter="{}")
    filtered = msgspec.structs.replace(registration, subscriber_filters=(any_filter,))
    try:
        check_filterable(visit.parts, filtered)
    except GatewayError as error:
        return error.message.removeprefix("subscriber_filters: ")
    return ""


async def check(visit: Visit) -> Reply:
    """The verdict alone, while somebody types."""
    find_registration(visit)
    text = _text(visit)
    return visit.render("registrations/filter_verdict.html", verdict=judge(text)[0] if text.strip() else None)


def _text(visit: Visit) -> str:
    """As it was typed: places in it are counted."""
    return (visit.form.get("filter") or [""])[-1]


def _form(visit: Visit) -> dict[str, str]:
    name = visit.field("name") or "Filter"
    return {"name": name, "description": visit.field("description"), "subscriber_filter": _text(visit)}


async def try_filter(visit: Visit) -> Reply:
    """On the samples of the event types, on one's own, and on events of late."""
    registration, text = find_registration(visit), _text(visit)
    wanted = judge(text)[1]
    if wanted is None:
        return _page(visit, registration, text)
    path = f"{registration_path(registration)}/filter"
    own, problem = _own_sample(visit, wanted)
    form: dict[str, Any] = {"subscriber_filter": _form(visit)}
    customs = {"custom_sample_events": [{"name": _OWN, "sample_payload": _own_payload(visit)}]} if own else {}
    validated = await visit.act("POST", f"{path}/validate", {**form, **customs})
    backtested = await visit.act("POST", f"{path}/backtest", form)
    for each in (validated, backtested):
        if not each.ok:
            return _page(visit, registration, text, refusal=each)
    samples = await _samples(visit, wanted, validated.body)
    curls = validated.curl, backtested.curl
    return _page(visit, registration, text, trial=Trial(samples, own, problem, backtested.body, curls))


def _own_payload(visit: Visit) -> Any:
    return parse_json(visit.field("sample").encode(), "your event")


def _own_sample(visit: Visit, wanted: Filter) -> tuple[Tried | None, str]:
    if not visit.field("sample"):
        return None, ""
    try:
        payload = _own_payload(visit)
    except GatewayError as error:
        return None, error.message
    if not isinstance(payload, dict):
        return None, "your event: must be a JSON object"
    misses = filter_misses(wanted, visit.field("sample").encode())
    return Tried(_OWN, not misses, misses), ""


async def _samples(visit: Visit, wanted: Filter, validated: Any) -> list[Tried]:
    """The API's verdicts on the event codes, and the reasons for those that it rejects."""
    found = [Tried(each["event_code"], True) for each in validated["accepted_event_metadata_ids"]]
    for each in validated["rejected_event_metadata_ids"]:
        path = (
            f"/events/providers/{each['provider_id']}/eventmetadata/{quote(each['event_code'], safe='')}/sample_event"
        )
        sample = await visit.act("GET", path)
        payload = msgspec.json.encode(sample.body["sample_payload"]) if sample.ok and sample.body else b""
        misses = filter_misses(wanted, payload) if payload else ()
        found.append(Tried(each["event_code"], False, misses))
    return [*found, *(Tried(each["event_code"], None) for each in validated["unknown_event_metadata_ids"])]


async def apply_filter(visit: Visit) -> Reply:
    registration = find_registration(visit)
    path = f"{registration_path(registration)}/filters"
    if registration.subscriber_filters:
        done = await visit.act("PUT", f"{path}/{registration.subscriber_filters[0].id}", _form(visit))
    else:
        done = await visit.act("POST", path, _form(visit))
    if not done.ok:
        return _page(visit, registration, _text(visit), refusal=done)
    said = "The filter is applied: the next event that is published obeys it."
    return visit.redirect(registration_url(visit, registration, "filter"), said)


async def remove_filter(visit: Visit) -> Reply:
    registration = find_registration(visit)
    for each in registration.subscriber_filters:
        done = await visit.act("DELETE", f"{registration_path(registration)}/filters/{each.id}")
        if not done.ok:
            return _page(visit, registration, None, refusal=done)
    said = "The filter is removed: every event of interest is delivered from now on."
    return visit.redirect(registration_url(visit, registration, "filter"), said)


_FILTER = REGISTRATION + "/filter"

PAGES = (
    Page("GET", _FILTER, show_filter, "Filter", section="registrations"),
    Page("POST", _FILTER + "/check", check, section="registrations"),
    Page("POST", _FILTER + "/try", try_filter, "Filter", section="registrations"),
    Page("POST", _FILTER, apply_filter, "Filter", "developer", "registrations"),
    Page("POST", _FILTER + "/remove", remove_filter, "Filter", "developer", "registrations"),
)
