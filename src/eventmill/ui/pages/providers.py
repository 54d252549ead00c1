"""Providers: who publishes, which event types they have, and what depends on them."""

from __future__ import annotations

from typing import Any

import msgspec

from eventmill.model import BUILTIN_ORG, EventMetadata, EventOfInterest, Provider, Registration, provider_technical_name
from eventmill.ui.page import Page
from eventmill.ui.pages.listing import next_after, page_of
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply
from eventmill.web.providers import list_metadata

_LISTED = 50


class Listed(msgspec.Struct, frozen=True):
    provider: Provider
    codes: int
    is_own: bool


def find_provider(visit: Visit) -> Provider:
    """Of the path: the organization's own, or a built-in one."""
    provider = visit.parts.catalogue.provider(visit.params["provider"])
    if provider is None or provider.org not in (visit.org.id, BUILTIN_ORG):
        raise visit.not_found("provider")
    return provider


def provider_path(provider: Provider) -> str:
    """Of the API, where it is written."""
    return f"/events/{provider.org}/{provider.project_id}/{provider.workspace_id}/providers/{provider.id}"


async def list_providers(visit: Visit) -> Reply:
    catalogue, wanted = visit.parts.catalogue, visit.query("q").lower()
    own = sorted(visit.console.own_providers(visit.org.id), key=lambda each: each.label.lower())
    built_in = [each.provider for each in catalogue.builtin.providers]
    found = [each for each in (*own, *built_in) if wanted in f"{each.label} {each.description} {each.id}".lower()]
    shown = page_of(found, visit.query("after"), _LISTED, lambda each: each.id)
    listed = [Listed(each, len(await list_metadata(visit.parts, each)), each.org == visit.org.id) for each in shown]
    return visit.render(
        "providers/list.html",
        listed=listed,
        has_own=bool(own),
        q=visit.query("q"),
        next=next_after(found, shown, lambda each: each.id),
        curl=visit.curl("GET", f"/events/{visit.org.id}/providers?eventmetadata=true"),
    )


async def new_provider(visit: Visit) -> Reply:
    return visit.render("providers/form.html", provider=None, refusal=None, **_places(visit))


def _places(visit: Visit) -> dict[str, Any]:
    """What a new provider can be put in, and the call that would do it."""
    places = visit.console.workspaces(visit.org.id)
    path = "/events/ORG/PROJECT/WORKSPACE" if not places else f"/events/{visit.org.id}/{places[0].value}"
    return {"places": places, "curl": visit.curl("POST", f"{path}/providers", {"label": "Warehouse"})}


def _form(visit: Visit) -> dict[str, object]:
    form: dict[str, object] = {"label": visit.field("label"), "description": visit.field("description")}
    if visit.field("docs_url"):
        form["docs_url"] = visit.field("docs_url")
    if visit.field("event_delivery_format"):
        form["event_delivery_format"] = visit.field("event_delivery_format")
    if visit.field("schema_enforcement"):
        form["schema_enforcement"] = visit.field("schema_enforcement")
    return form


async def create_provider(visit: Visit) -> Reply:
    project, _, workspace = visit.field("workspace").partition("/")
    form = _form(visit)
    if visit.field("instance_id"):
        form["instance_id"] = visit.field("instance_id")
    made = await visit.act("POST", f"/events/{visit.org.id}/{project}/{workspace}/providers", form)
    if not made.ok:
        return visit.refusal("providers/form.html", made, provider=None, **{**_places(visit), "curl": made.curl})
    said = "The provider is there. Give it an event type next: nobody can subscribe to it before."
    return visit.redirect(visit.url("providers", made.body["id"]), said)


async def show_provider(visit: Visit) -> Reply:
    provider = find_provider(visit)
    metadata = await list_metadata(visit.parts, provider)
    organization = visit.parts.catalogue.organization(provider.org)
    return visit.render(
        "providers/show.html",
        provider=provider,
        technical_name=provider_technical_name(provider, organization.ims_org_id if organization else ""),
        event_types=[(each, len(_interested(visit, each))) for each in metadata],
        is_own=provider.org == visit.org.id,
        project=visit.parts.catalogue.project(provider.org, provider.project_id),
        curl=visit.curl("GET", f"/events/providers/{provider.id}?eventmetadata=true"),
    )


def _interested(visit: Visit, metadata: EventMetadata) -> list[Registration]:
    interest = EventOfInterest(metadata.provider_id, metadata.event_code)
    return visit.parts.catalogue.interested(visit.org.id, interest)


def find_own(visit: Visit) -> Provider:
    provider = find_provider(visit)
    if provider.org != visit.org.id:
        raise visit.not_found("provider of your own")
    return provider


async def edit_provider(visit: Visit) -> Reply:
    provider = find_own(visit)
    curl = visit.curl("PUT", provider_path(provider), {"label": provider.label})
    return visit.render("providers/form.html", provider=provider, refusal=None, places=[], curl=curl)


async def update_provider(visit: Visit) -> Reply:
    provider = find_own(visit)
    changed = await visit.act("PUT", provider_path(provider), _form(visit))
    if not changed.ok:
        return visit.refusal("providers/form.html", changed, provider=provider, places=[], curl=changed.curl)
    return visit.redirect(visit.url("providers", provider.id), "The provider is changed.")


async def _dependents(visit: Visit, provider: Provider) -> list[tuple[Registration, list[str]]]:
    """Registrations that would no longer get anything, and for which event codes."""
    found: dict[str, tuple[Registration, list[str]]] = {}
    for metadata in await list_metadata(visit.parts, provider):
        for each in _interested(visit, metadata):
            found.setdefault(each.registration_id, (each, []))[1].append(metadata.event_code)
    return list(found.values())


async def ask_deletion(visit: Visit) -> Reply:
    provider = find_own(visit)
    return visit.render(
        "providers/delete.html",
        provider=provider,
        event_types=await list_metadata(visit.parts, provider),
        dependents=await _dependents(visit, provider),
        refusal=None,
        curl=visit.curl("DELETE", provider_path(provider)),
    )


async def delete_provider(visit: Visit) -> Reply:
    provider = find_own(visit)
    done = await visit.act("DELETE", provider_path(provider))
    if not done.ok:
        return visit.refusal(
            "providers/delete.html", done, provider=provider, event_types=[], dependents=[], curl=done.curl
        )
    return visit.redirect(visit.url("providers"), f"Provider {provider.label} is deleted.")


_PROVIDER = "/providers/{provider}"

PAGES = (
    Page("GET", "/providers", list_providers, "Providers", section="providers"),
    Page("POST", "/providers", create_provider, "New provider", role="developer", section="providers"),
    Page("GET", "/providers/new", new_provider, "New provider", role="developer", section="providers"),
    Page("GET", _PROVIDER, show_provider, "Provider", section="providers"),
    Page("POST", _PROVIDER, update_provider, "Edit provider", role="developer", section="providers"),
    Page("GET", _PROVIDER + "/edit", edit_provider, "Edit provider", role="developer", section="providers"),
    Page("GET", _PROVIDER + "/delete", ask_deletion, "Delete provider", role="developer", section="providers"),
    Page("POST", _PROVIDER + "/delete", delete_provider, "Delete provider", role="developer", section="providers"),
)
