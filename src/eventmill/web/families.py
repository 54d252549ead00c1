"""Provider metadata (families): those under which providers can be registered, those of the catalogue, and their list.

Ids as in the `provider_metadata` pattern of the Events API reference.
"""

from __future__ import annotations

from types import MappingProxyType

import msgspec

from eventmill.core.builtin import Builtin, BuiltinFamily
from eventmill.errors import GatewayError, Reason
from eventmill.model import CUSTOM_EVENTS, Caller
from eventmill.web.bodies import FamilyBody, FamilyCollection, FamilyItems, Link, SelfLinks
from eventmill.web.checks import show
from eventmill.web.http import Reply, Request, hal_reply
from eventmill.web.parts import Parts


class Family(msgspec.Struct, frozen=True):
    """Members in the order of the wire."""

    id: str
    group: str
    label: str
    description: str
    has_multiple_providers: bool


FAMILIES = MappingProxyType(
    {
        family.id: family
        for family in (
            Family(
                CUSTOM_EVENTS,
                "Experience Platform",
                "Custom Events",
                "A custom events provider, registered by your organization.",
                True,
            ),
            Family("acs", "Experience Cloud", "Campaign Standard", "Events of Adobe Campaign Standard.", False),
            Family("aem", "Experience Cloud", "Experience Manager", "Events of an Experience Manager instance.", True),
            Family("asset_compute", "Experience Cloud", "Asset Compute", "Events of the Asset Compute service.", False),
            Family("dx_commerce_events", "Experience Cloud", "Commerce", "Events of a Commerce instance.", True),
        )
    }
)


def creatable_family(builtin: Builtin, family_id: str) -> Family:
    """The family under which a caller wants to register a provider. 404 when unknown, 403 when it is Adobe's alone."""
    if any(family.id == family_id for family in builtin.families):
        message = f"provider_metadata {family_id} is built in; no provider can be registered under it"
        raise GatewayError(Reason.NOT_PERMITTED, message)
    family = FAMILIES.get(family_id)
    if family is None:
        known = ", ".join(FAMILIES)
        raise GatewayError(Reason.NOT_FOUND, f"provider_metadata {show(family_id)} does not exist; known: {known}")
    if not family.has_multiple_providers:
        message = f"provider_metadata {family_id} has one provider only; none can be registered under it"
        raise GatewayError(Reason.NOT_PERMITTED, message)
    return family


def listed_families(parts: Parts) -> list[Family | BuiltinFamily]:
    """One for each id: a catalogue may tell its own about a family that is known anyway."""
    listed: dict[str, Family | BuiltinFamily] = dict(FAMILIES)
    return list((listed | {family.id: family for family in parts.catalogue.builtin.families}).values())


async def list_families(parts: Parts, _request: Request, _caller: Caller) -> Reply:
    """GET /events/providermetadata"""
    bodies = [FamilyBody(**msgspec.structs.asdict(family)) for family in listed_families(parts)]
    url = f"{parts.config.url}/events/providermetadata"
    body = FamilyCollection(links=SelfLinks(self=Link(url)), embedded=FamilyItems(providermetadata=bodies))
    return hal_reply(200, body)
