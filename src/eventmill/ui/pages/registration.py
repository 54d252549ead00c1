"""One registration: how it is doing and by which rule, where its events go, which they are, what can be done."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from eventmill.model import BUILTIN_ORG, EventMetadata, EventOfInterest, Registration
from eventmill.store.observe import ObserveStore
from eventmill.ui.act import Outcome
from eventmill.ui.charts import Bar
from eventmill.ui.moments import ms_of
from eventmill.ui.page import Page
from eventmill.ui.pages import registration_form as forms
from eventmill.ui.pages.listing import next_after, page_of
from eventmill.ui.pages.one_registration import REGISTRATION, find_registration, registration_path, registration_url
from eventmill.ui.standing import OFF, UNREACHABLE, UNVERIFIED, WAITING, standing_of
from eventmill.ui.visit import Visit
from eventmill.web.http import PATCH_TYPE, Reply

_HOUR_MS = 3_600_000
_HOURS = 24
_EVENTS_LISTED = 50
_FAILING_SHARE = 0.8
"""More failed attempts than that make a window one that fails."""


class Interest(msgspec.Struct, frozen=True):
    """A row of the events of interest."""

    provider_id: str
    event_code: str
    provider: str
    """Label; empty when there is no such provider any more."""
    metadata: EventMetadata | None

    @property
    def ids(self) -> tuple[str, str]:
        return self.provider_id, self.event_code

    @property
    def key(self) -> str:
        return f"{self.provider_id}/{self.event_code}"


async def show_registration(visit: Visit) -> Reply:
    return await _page(visit)


async def _page(visit: Visit, refusal: Outcome | None = None) -> Reply:
    registration = find_registration(visit)
    path = registration_path(registration)
    body = await visit.read(path)
    health = await visit.read(f"{path}/health")
    interests = [_interest(visit, each) for each in registration.events_of_interest]
    shown = page_of(interests, visit.query("after"), _EVENTS_LISTED, _key)
    hours = await _by_hour(visit.parts.store, registration, visit.parts.clock.now_ms())
    return visit.render(
        "registrations/show.html",
        status=200 if refusal is None else refusal.status,
        registration=registration,
        body=body,
        health=health,
        since_ms=ms_of(health["since"]),
        next_ms=ms_of(health["next_evaluation"]),
        failing_share=_FAILING_SHARE,
        hours=hours,
        interests=shown,
        interests_total=len(interests),
        interests_next=next_after(interests, shown, _key),
        project=visit.parts.catalogue.project(registration.org, registration.project_id),
        workspace=visit.parts.catalogue.workspace(registration.org, registration.workspace_id),
        is_off=standing_of(registration) is OFF,
        is_disabled=standing_of(registration) in (UNREACHABLE, UNVERIFIED),
        is_waiting=standing_of(registration) is WAITING,
        refusal=refusal,
        curl=visit.curl("GET", path),
        calls=_calls(visit, registration, interests),
    )


def _calls(visit: Visit, registration: Registration, interests: list[Interest]) -> list[tuple[str, str]]:
    """What the page tells and does besides, and the calls for it."""
    path = registration_path(registration)
    is_on = registration.enabled
    sampled = next((each for each in interests if each.metadata and each.metadata.sample_event_template), None)
    return [
        ("The state", visit.curl("GET", f"{path}/health")),
        ("Retry webhook", visit.curl("POST", f"{path}/challenge") if registration.webhook_url else ""),
        ("Switch off" if is_on else "Switch on", visit.curl("PATCH", path, _switched(not is_on), PATCH_TYPE)),
        ("Send sample", "" if sampled is None else visit.curl("POST", _sample_path(registration, *sampled.ids))),
    ]


def _switched(is_on: bool) -> list[dict[str, object]]:
    return [{"op": "replace", "path": "/enabled", "value": is_on}]


def _sample_path(registration: Registration, provider_id: str, event_code: str) -> str:
    event_type = f"/events/providers/{quote(provider_id, safe='')}/eventmetadata/{quote(event_code, safe='')}"
    return f"{event_type}/sample_event/{quote(registration.registration_id, safe='')}"


def _key(interest: Interest) -> str:
    return interest.key


def _interest(visit: Visit, interest: EventOfInterest) -> Interest:
    provider = visit.parts.catalogue.provider(interest.provider_id)
    is_seen = provider is not None and provider.org in (visit.org.id, BUILTIN_ORG)
    return Interest(
        interest.provider_id,
        interest.event_code,
        provider.label if provider is not None and is_seen else "",
        visit.parts.catalogue.event_metadata(interest.provider_id, interest.event_code) if is_seen else None,
    )


async def _by_hour(store: ObserveStore, registration: Registration, now_ms: int) -> dict[str, list[Bar]]:
    """Attempts of the last day, as far as they count for the status."""
    succeeded, failed = [0] * _HOURS, [0] * _HOURS
    for tally in await store.health_tallies(registration.id, now_ms - _HOURS * _HOUR_MS):
        ago = min(_HOURS - 1, max(0, (now_ms - tally.start_ms) // _HOUR_MS))
        succeeded[_HOURS - 1 - ago] += tally.ok
        failed[_HOURS - 1 - ago] += tally.failed
    return {"succeeded": _bars(succeeded, "ok"), "failed": _bars(failed, "bad")}


def _bars(counts: list[int], tone: str) -> list[Bar]:
    names = [f"{_HOURS - 1 - at} h ago" for at in range(_HOURS - 1)] + ["this hour"]
    return [Bar(name, number, tone) for name, number in zip(names, counts, strict=True)]


# --- Doing ---


async def _change(visit: Visit, method: str, path: str, body: object, said: str) -> Reply:
    done = await visit.act(method, path, body)
    if not done.ok:
        return await _page(visit, done)
    return visit.redirect(registration_url(visit, find_registration(visit)), said)


async def switch(visit: Visit) -> Reply:
    registration = find_registration(visit)
    is_on = visit.field("enabled") == "yes"
    said = "It is switched on: new events are sent again." if is_on else "It is switched off: nothing is sent any more."
    return await _change(visit, "PATCH", registration_path(registration), _switched(is_on), said)


async def challenge(visit: Visit) -> Reply:
    path = registration_path(find_registration(visit))
    done = await visit.act("POST", f"{path}/challenge")
    if not done.ok:
        return await _page(visit, done)
    said, kind = {
        "verified": ("The webhook answered the challenge: it gets events.", "ok"),
        "accepted": ("The webhook was sent a link to validate with. It is good for five minutes.", "ok"),
    }.get(done.body["webhook_status"], ("The webhook failed the challenge again: Debug Tracing shows how.", "bad"))
    return visit.redirect(registration_url(visit, find_registration(visit)), said, kind)


async def send_sample(visit: Visit) -> Reply:
    registration = find_registration(visit)
    done = await visit.act("POST", _sample_path(registration, visit.field("provider"), visit.field("code")))
    if not done.ok:
        return await _page(visit, done)
    if done.status == 204:
        said = "There is no sample to send: the event type has none."
        return visit.redirect(registration_url(visit, registration), said, "bad")
    return visit.redirect(registration_url(visit, registration), f"A sample is on its way as {done.body['event_id']}.")


async def edit_registration(visit: Visit) -> Reply:
    registration = find_registration(visit)
    return _edit_page(visit, registration, forms.of_registration(registration))


def _edit_page(visit: Visit, registration: Registration, form: forms.Form, refused: Outcome | None = None) -> Reply:
    return visit.render(
        "registrations/edit.html",
        status=200 if refused is None else refused.status,
        registration=registration,
        form=form,
        problems=forms.problems_of(refused),
        curl=visit.curl("PUT", registration_path(registration), _body(registration, form)),
    )


def _body(registration: Registration, form: forms.Form) -> dict[str, Any]:
    events = [(each.provider_id, each.event_code) for each in registration.events_of_interest]
    return forms.body_of(form, events, registration)


async def update_registration(visit: Visit) -> Reply:
    registration, form = find_registration(visit), forms.posted(visit)
    done = await visit.act("PUT", registration_path(registration), _body(registration, form))
    if not done.ok:
        return _edit_page(visit, registration, form, done)
    if done.body["webhook_status"] == "verification_failed" and not done.body["enabled"]:
        said = "It is changed, but switched off: its webhook failed the challenge. Debug Tracing shows how."
        return visit.redirect(registration_url(visit, registration), said, "bad")
    return visit.redirect(registration_url(visit, registration), "It is changed.")


async def ask_deletion(visit: Visit) -> Reply:
    return await _deletion_page(visit)


async def _deletion_page(visit: Visit, refusal: Outcome | None = None) -> Reply:
    registration = find_registration(visit)
    return visit.render(
        "registrations/delete.html",
        status=200 if refusal is None else refusal.status,
        registration=registration,
        refusal=refusal,
        curl=visit.curl("DELETE", registration_path(registration)),
    )


async def delete_registration(visit: Visit) -> Reply:
    registration = find_registration(visit)
    done = await visit.act("DELETE", registration_path(registration))
    if not done.ok:
        return await _deletion_page(visit, done)
    return visit.redirect(visit.url("registrations"), f"Registration {registration.name} is deleted.")


PAGES = (
    Page("GET", REGISTRATION, show_registration, "Registration", section="registrations"),
    Page("POST", REGISTRATION, update_registration, "Edit registration", "developer", "registrations"),
    Page("GET", REGISTRATION + "/edit", edit_registration, "Edit registration", "developer", "registrations"),
    Page("POST", REGISTRATION + "/switch", switch, "Registration", "developer", "registrations"),
    Page("POST", REGISTRATION + "/challenge", challenge, "Registration", "developer", "registrations"),
    Page("POST", REGISTRATION + "/sample", send_sample, "Registration", "developer", "registrations"),
    Page("GET", REGISTRATION + "/delete", ask_deletion, "Delete registration", "developer", "registrations"),
    Page("POST", REGISTRATION + "/delete", delete_registration, "Delete registration", "developer", "registrations"),
)
