"""The *add events* wizard: provider, event types, delivery, review, create. Plain forms; what was chosen so far travels
in the address, and in hidden fields once there is more. With `for`, it changes the events of a known registration.
"""

from __future__ import annotations

from typing import Any

from eventmill.errors import GatewayError, Reason
from eventmill.model import BUILTIN_ORG, EventMetadata, Provider, Registration
from eventmill.ui.act import Outcome
from eventmill.ui.page import Page
from eventmill.ui.pages import registration_form as forms
from eventmill.ui.pages.chosen import Chosen, find_target, interests_of, read_chosen, summaries, write_chosen
from eventmill.ui.pages.listing import next_after, page_of
from eventmill.ui.pages.one_registration import registration_path
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply
from eventmill.web.providers import list_metadata

_PROVIDERS_LISTED = 24
_CODES_LISTED = 50
"""A form may have up to a hundred fields."""


def _state(visit: Visit) -> tuple[Registration | None, Chosen]:
    """Of the address."""
    target = find_target(visit, visit.query("for"))
    if target is not None and visit.request.query_value("chosen") is None:
        return target, interests_of(target)
    return target, read_chosen(visit.query("chosen"))


def _rail(visit: Visit, step: str, target: Registration | None, chosen: Chosen) -> dict[str, Any]:
    """For `wizard.html`."""
    carried = {"chosen": write_chosen(chosen), "for": target.registration_id if target else ""}
    return {
        "step": step,
        "target": target,
        "chosen": chosen,
        "summaries": summaries(visit, chosen),
        "chosen_text": carried["chosen"],
        "providers_url": visit.url("registrations", "new", **carried),
        "delivery_url": visit.url("registrations", "new", "delivery", chosen=carried["chosen"]) if chosen else "",
        "events_url": lambda provider: visit.url("registrations", "new", "events", provider=provider, **carried),
    }


# --- Steps ---


async def choose_provider(visit: Visit) -> Reply:
    target, chosen = _state(visit)
    wanted, catalogue = visit.query("q").lower(), visit.parts.catalogue
    own = sorted(visit.console.own_providers(visit.org.id), key=lambda each: each.label.lower())
    known = [*own, *(each.provider for each in catalogue.builtin.providers)]
    found = [each for each in known if wanted in f"{each.label} {each.description} {each.id}".lower()]
    shown = page_of(found, visit.query("after"), _PROVIDERS_LISTED, _id_of)
    return visit.render(
        "registrations/wizard_provider.html",
        providers=[(each, len(await list_metadata(visit.parts, each)), each.org == visit.org.id) for each in shown],
        q=visit.query("q"),
        next=next_after(found, shown, _id_of),
        curl=visit.curl("GET", f"/events/{visit.org.id}/providers?eventmetadata=true"),
        **_rail(visit, "provider", target, chosen),
    )


def _id_of(provider: Provider) -> str:
    return provider.id


def _code_of(metadata: EventMetadata) -> str:
    return metadata.event_code


async def choose_events(visit: Visit) -> Reply:
    target, chosen = _state(visit)
    provider = _provider(visit, visit.query("provider"))
    metadata = await list_metadata(visit.parts, provider)
    shown = page_of(metadata, visit.query("after"), _CODES_LISTED, _code_of)
    return visit.render(
        "registrations/wizard_events.html",
        provider=provider,
        event_types=[(each, (provider.id, each.event_code) in chosen) for each in shown],
        after=visit.query("after"),
        next=next_after(metadata, shown, _code_of),
        is_own=provider.org == visit.org.id,
        problem="Choose at least one event type." if visit.query("none") else "",
        curl=visit.curl("GET", f"/events/providers/{provider.id}/eventmetadata"),
        **_rail(visit, "events", target, chosen),
    )


def _provider(visit: Visit, provider_id: str) -> Provider:
    provider = visit.parts.catalogue.provider(provider_id)
    if provider is None or provider.org not in (visit.org.id, BUILTIN_ORG):
        raise visit.not_found("provider")
    return provider


async def take_events(visit: Visit) -> Reply:
    """Adds what was ticked on this page of a provider's event types, and takes away what was not."""
    target, chosen = find_target(visit, visit.field("for")), read_chosen(visit.field("chosen"))
    provider = _provider(visit, visit.field("provider"))
    metadata = await list_metadata(visit.parts, provider)
    shown = page_of(metadata, visit.field("after"), _CODES_LISTED, _code_of)
    picked = {(provider.id, code) for code in visit.fields("pick")}
    offered = [(provider.id, each.event_code) for each in shown]
    kept = [each for each in chosen if each not in offered or each in picked]
    chosen = kept + [each for each in offered if each in picked and each not in kept]
    carried = {"chosen": write_chosen(chosen), "for": target.registration_id if target else ""}
    here = {"provider": provider.id, **carried}
    if visit.field("go") == "page":
        after = next_after(metadata, shown, _code_of)
        return visit.redirect(visit.url("registrations", "new", "events", after=after, **here))
    if visit.field("go") == "more":
        return visit.redirect(visit.url("registrations", "new", **carried))
    if not chosen:
        return visit.redirect(visit.url("registrations", "new", "events", none="1", **here))
    if target is None:
        return visit.redirect(visit.url("registrations", "new", "delivery", chosen=carried["chosen"]))
    return await _replace_events(visit, target, chosen)


async def _replace_events(visit: Visit, target: Registration, chosen: Chosen) -> Reply:
    named = [{"provider_id": provider, "event_code": code} for provider, code in chosen]
    patch = [{"op": "replace", "path": "/events_of_interest", "value": named}]
    done = await visit.act("PATCH", registration_path(target), patch)
    where = visit.url("registrations", target.registration_id)
    return visit.redirect(where, "Its events are changed." if done.ok else done.message, "ok" if done.ok else "bad")


async def choose_delivery(visit: Visit) -> Reply:
    return _delivery_page(visit, read_chosen(visit.query("chosen")), forms.blank())


def _delivery_page(visit: Visit, chosen: Chosen, form: forms.Form, refused: Outcome | None = None) -> Reply:
    if not chosen:
        return visit.redirect(visit.url("registrations", "new"))
    places = _credentials(visit, chosen)
    path = f"/events/{visit.org.id}/PROJECT/WORKSPACE/registrations"
    example = {**forms.body_of({**form, "name": form["name"] or "Stock to ERP"}, chosen), "client_id": "CLIENT_ID"}
    return visit.render(
        "registrations/wizard_delivery.html",
        status=200 if refused is None else refused.status,
        form=form,
        places=places,
        problems=forms.problems_of(refused),
        curl=refused.curl if refused is not None else visit.curl("POST", path, example),
        **_rail(visit, "delivery", None, chosen),
    )


def _credentials(visit: Visit, chosen: Chosen) -> list[tuple[str, str]]:
    """Who the events are for: `<project>/<workspace>/<client id>`, those beside the first provider first."""
    catalogue = visit.parts.catalogue
    first = catalogue.provider(chosen[0][0])
    beside = first.workspace_id if first is not None and first.org == visit.org.id else ""
    names = {each.value: each.label for each in visit.console.workspaces(visit.org.id)}
    found = [
        (each.workspace_id != beside, f"{place}/{each.client_id}", f"{names[place]} · {each.name or each.client_id}")
        for each in catalogue.credentials(visit.org.id)
        if (place := f"{each.project_id}/{each.workspace_id}") in names
    ]
    return [(value, label) for _, value, label in sorted(found, key=lambda each: each[0])]


async def review(visit: Visit) -> Reply:
    """What will be created, to be looked at once more; `back` leads to the form."""
    chosen, form = read_chosen(visit.field("chosen")), forms.posted(visit)
    if not chosen or visit.field("back"):
        return _delivery_page(visit, chosen, form)
    if not form["name"]:
        missing = {"reason": Reason.INVALID_BODY.code, "message": "name: required, but missing"}
        return _delivery_page(visit, chosen, form, Outcome(400, missing, ""))
    path, body = _creation(visit, form, chosen)
    return visit.render(
        "registrations/wizard_review.html",
        form=form,
        body=body,
        place=dict(_credentials(visit, chosen)).get(form["credential"], ""),
        curl=visit.curl("POST", path, body),
        **_rail(visit, "review", None, chosen),
    )


def _creation(visit: Visit, form: forms.Form, chosen: Chosen) -> tuple[str, dict[str, Any]]:
    known = dict(_credentials(visit, chosen))
    if form["credential"] not in known:
        raise GatewayError(Reason.INVALID_PARAMETER, "choose the credential that the events are for")
    project, workspace, client_id = form["credential"].split("/", 2)
    path = f"/events/{visit.org.id}/{project}/{workspace}/registrations"
    return path, {"client_id": client_id, **forms.body_of(form, chosen)}


async def create(visit: Visit) -> Reply:
    chosen, form = read_chosen(visit.field("chosen")), forms.posted(visit)
    if not chosen:
        return visit.redirect(visit.url("registrations", "new"))
    made = await visit.act("POST", *_creation(visit, form, chosen))
    if not made.ok:
        return _delivery_page(visit, chosen, form, made)
    where = visit.url("registrations", made.body["registration_id"])
    status = made.body["webhook_status"]
    if status == "verification_failed":
        return visit.redirect(where, "It is there, but switched off: its webhook failed the challenge.", "bad")
    if status == "accepted":
        return visit.redirect(where, "It is there. Nothing is pushed before it is validated.")
    return visit.redirect(where, "The registration is there: events published from now on reach it.")


_NEW = "/registrations/new"

PAGES = (
    Page("GET", _NEW, choose_provider, "Add events", "developer", "registrations"),
    Page("GET", _NEW + "/events", choose_events, "Add events", "developer", "registrations"),
    Page("POST", _NEW + "/events", take_events, "Add events", "developer", "registrations"),
    Page("GET", _NEW + "/delivery", choose_delivery, "Add events", "developer", "registrations"),
    Page("POST", _NEW + "/review", review, "Add events", "developer", "registrations"),
    Page("POST", "/registrations", create, "Add events", "developer", "registrations"),
)
