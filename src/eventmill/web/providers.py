"""Reading event providers: those of an organization with the built-in ones, or one by its id ("Provider API")."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from eventmill.errors import GatewayError, Reason
from eventmill.model import BUILTIN_ORG, Caller, EventMetadata, Provider
from eventmill.web import hal
from eventmill.web.checks import show
from eventmill.web.http import Reply, Request, hal_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import path_organization, path_provider


async def list_metadata(parts: Parts, provider: Provider) -> list[EventMetadata]:
    """The event metadata of a provider, in creation order; of a built-in one, in the catalogue's."""
    if provider.org == BUILTIN_ORG:
        built_in = next(each for each in parts.catalogue.builtin.providers if each.provider.id == provider.id)
        return list(built_in.event_metadata())
    stored = await parts.store.list_docs("event_metadata", provider.org, ("provider", provider.id))
    return [msgspec.json.decode(each.doc, type=EventMetadata) for each in stored]


async def list_providers(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /events/{org}/providers: the organization's own, then the built-in ones. Not paged.

    No provider at all is an empty list, a filter without hits is 404."""
    organization = path_organization(parts, request, caller)
    embed = asks_metadata(request)
    wanted = _Wanted.of(request)
    stored = await parts.store.list_docs("provider", organization.id)
    found = [msgspec.json.decode(each.doc, type=Provider) for each in stored]
    found += [each.provider for each in parts.catalogue.builtin.providers]
    chosen = [provider for provider in found if wanted.accepts(provider)]
    if not chosen and wanted != _EVERYTHING:
        raise GatewayError(Reason.NOT_FOUND, "no provider has this provider metadata and instance id")
    bodies = [
        hal.provider_body(
            parts.config.url,
            provider,
            hal.publisher(parts.catalogue, provider),
            embed=await list_metadata(parts, provider) if embed else None,
            alone=False,
        )
        for provider in chosen
    ]
    url = f"{parts.config.url}/events/{organization.id}/providers"
    return hal_reply(200, hal.provider_collection(url, bodies))


class _Wanted(msgspec.Struct, frozen=True):
    """The filter of a list."""

    families: frozenset[str] = frozenset()
    instance_id: str = ""

    @classmethod
    def of(cls, request: Request) -> _Wanted:
        """Lists of families come as repeated keys or separated by commas."""
        family = request.query_value("providerMetadataId")
        several = [value for name, value in request.query() if name == "providerMetadataIds"]
        if family and several:
            message = "providerMetadataId and providerMetadataIds cannot be used together"
            raise GatewayError(Reason.INVALID_PARAMETER, message)
        families = {family} if family else {each for value in several for each in value.split(",") if each}
        return cls(frozenset(families), request.query_value("instanceId") or "")

    def accepts(self, provider: Provider) -> bool:
        return (not self.families or provider.provider_metadata in self.families) and (
            not self.instance_id or provider.instance_id == self.instance_id
        )


_EVERYTHING = _Wanted()


def asks_metadata(request: Request) -> bool:
    value = (request.query_value("eventmetadata") or "false").lower()
    if value not in ("true", "false"):
        message = f"eventmetadata must be true or false, but is {show(value)}"
        raise GatewayError(Reason.INVALID_PARAMETER, message)
    return value == "true"


async def get_provider(parts: Parts, request: Request, caller: Caller) -> Reply:
    provider = path_provider(parts, request, caller)
    embed = await list_metadata(parts, provider) if asks_metadata(request) else None
    return provider_reply(parts, 200, provider, embed)


def provider_reply(parts: Parts, status: int, provider: Provider, embed: Sequence[EventMetadata] | None) -> Reply:
    publisher = hal.publisher(parts.catalogue, provider)
    return hal_reply(status, hal.provider_body(parts.config.url, provider, publisher, embed=embed, alone=True))
