"""Finds the events of interest of a registration: its organization or the built-in catalogue must have them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from eventmill.errors import Reason
from eventmill.model import BUILTIN_ORG, EventOfInterest, OrgId, Provider, provider_technical_name
from eventmill.web.checks import invalid, show
from eventmill.web.forms import InterestForm
from eventmill.web.parts import Parts


async def find_interests(
    parts: Parts, org: OrgId, forms: Sequence[InterestForm], held: Collection[EventOfInterest] = ()
) -> tuple[EventOfInterest, ...]:
    """In the order given, each once. A provider may be named by its technical name instead of its id.

    What the registration has already, `held`, may stay when its event code is gone: it could not be disabled else."""
    by_name: dict[str, str] = {}
    if any(form.provider_id is None for form in forms):
        by_name = await _providers_by_name(parts, org)
    found: dict[EventOfInterest, None] = {}
    for at, form in enumerate(forms):
        provider_id = form.provider_id or by_name.get(form.provider or "")
        asked = EventOfInterest(provider_id or "", form.event_code)
        if asked not in held:
            asked = _interest(parts, org, form, provider_id, f"events_of_interest[{at}]")
        found[asked] = None
    return tuple(found)


def _interest(parts: Parts, org: OrgId, form: InterestForm, provider_id: str | None, where: str) -> EventOfInterest:
    provider = None if provider_id is None else parts.catalogue.provider(provider_id)
    if provider is None or provider.org not in (org, BUILTIN_ORG):
        named = form.provider_id or form.provider or ""
        raise invalid(where, f"provider {show(named)} does not exist in organization {org}", Reason.UNKNOWN_EVENT)
    if parts.catalogue.event_metadata(provider.id, form.event_code) is None:
        what = f"provider {provider.id} has no event code {show(form.event_code)}"
        raise invalid(where, what, Reason.UNKNOWN_EVENT)
    return EventOfInterest(provider.id, form.event_code)


async def _providers_by_name(parts: Parts, org: OrgId) -> dict[str, str]:
    organization = parts.catalogue.organization(org)
    assert organization is not None, "the organization of a workspace exists"
    stored = await parts.store.list_docs("provider", org)
    providers = [msgspec.json.decode(each.doc, type=Provider) for each in stored]
    providers += [each.provider for each in parts.catalogue.builtin.providers]
    return {provider_technical_name(each, organization.ims_org_id): each.id for each in providers}
