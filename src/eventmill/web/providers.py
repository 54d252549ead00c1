"""Event providers of an organisation: list, read, create, update, delete ("Provider API").

Reads are by organisation or id; writes go through the workspace that owns the provider. What a write answered with
success, the next publish on this process obeys: the catalogue is refreshed before the reply.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from eventmill.errors import Conflict, GatewayError, Reason, StaleVersion
from eventmill.model import CUSTOM_EVENTS, Caller, EventMetadata, OrgId, Provider
from eventmill.store.base import ControlOp, Create, Delete, Key, Replace, Versioned
from eventmill.web import hal
from eventmill.web.checks import invalid, show
from eventmill.web.families import FAMILIES, creatable_family
from eventmill.web.forms import ProviderCreate, ProviderUpdate, read_provider_create, read_provider_update
from eventmill.web.http import NO_CONTENT, Reply, Request, hal_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found, path_organization, path_own_provider, path_provider, path_workspace


async def list_metadata(parts: Parts, provider: Provider) -> list[EventMetadata]:
    """The event metadata of a provider, in creation order."""
    stored = await parts.store.list_docs("event_metadata", provider.org, ("provider", provider.id))
    return [msgspec.json.decode(each.doc, type=EventMetadata) for each in stored]


async def list_providers(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /events/{org}/providers. Not paged; no provider at all is an empty list, a filter without hits is 404."""
    organization = path_organization(parts, request, caller)
    embed = asks_metadata(request)
    wanted = _Wanted.of(request)
    stored = await parts.store.list_docs("provider", organization.id)
    found = [msgspec.json.decode(each.doc, type=Provider) for each in stored]
    chosen = [provider for provider in found if wanted.accepts(provider)]
    if not chosen and wanted != _EVERYTHING:
        raise GatewayError(Reason.NOT_FOUND, "no provider has this provider metadata and instance id")
    bodies = [
        hal.provider_body(
            parts.config.url,
            provider,
            organization.ims_org_id,
            embed=await list_metadata(parts, provider) if embed else None,
            alone=False,
        )
        for provider in chosen
    ]
    url = f"{parts.config.url}/events/{organization.id}/providers"
    return hal_reply(200, hal.collection_body(url, "providers", bodies))


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
    return _provider_reply(parts, 200, provider, embed)


def _provider_reply(parts: Parts, status: int, provider: Provider, embed: Sequence[EventMetadata] | None) -> Reply:
    organization = parts.catalogue.organization(provider.org)
    assert organization is not None, "a provider never outlives its organization"
    body = hal.provider_body(parts.config.url, provider, organization.ims_org_id, embed=embed, alone=True)
    return hal_reply(status, body)


async def create_provider(parts: Parts, request: Request, caller: Caller) -> Reply:
    workspace = path_workspace(parts, request, caller)
    form = read_provider_create(await request.body(parts.config.request_bytes_max))
    family = creatable_family(form.family_id)
    provider = Provider(
        id=parts.ids.uuid(),
        org=workspace.org,
        project_id=workspace.project_id,
        workspace_id=workspace.id,
        label=form.label,
        description=form.description or family.description,
        docs_url=form.docs_url or None,
        provider_metadata=family.id,
        instance_id=form.instance_id or _made_up_instance(parts, form),
        event_delivery_format=form.event_delivery_format or "cloud_events_v1",
        data_residency_region=form.data_residency_region or "VA6",
    )
    create = Create("provider", provider.org, provider.id, msgspec.json.encode(provider), _keys(provider))
    await _write(parts, provider, [create])
    return _provider_reply(parts, 201, provider, None)


def _made_up_instance(parts: Parts, form: ProviderCreate) -> str:
    if form.family_id != CUSTOM_EVENTS:
        raise invalid("instance_id", f"required for provider_metadata {form.family_id}")
    return parts.ids.uuid()


def _keys(provider: Provider) -> tuple[Key, ...]:
    family = provider.provider_metadata
    return (
        Key("workspace", provider.workspace_id),
        Key("label", f"{family}/{provider.label}", at_most=1),
        Key("instance", f"{family}/{provider.instance_id}", at_most=1),
    )


async def _write(parts: Parts, provider: Provider, ops: Sequence[ControlOp]) -> None:
    try:
        await parts.store.write(ops)
    except Conflict as conflict:
        message = (
            f"provider {conflict.conflicting_id} of provider metadata {provider.provider_metadata} has the same "
            f"label {show(provider.label)} or instance id {show(provider.instance_id)}"
        )
        raise Conflict(message, conflict.conflicting_id or "") from None
    await parts.catalogue.refresh()


async def update_provider(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PUT: label, description, docs_url and the delivery format; create-only members are ignored."""
    known = path_own_provider(parts, request, caller)
    form = read_provider_update(await request.body(parts.config.request_bytes_max))
    stored = await _stored_provider(parts, known.org, known.id)
    provider = _updated(msgspec.json.decode(stored.doc, type=Provider), form)
    doc = msgspec.json.encode(provider)
    replace = Replace("provider", provider.org, provider.id, doc, stored.version, _keys(provider))
    await _write(parts, provider, [replace])
    return _provider_reply(parts, 200, provider, None)


def _updated(provider: Provider, form: ProviderUpdate) -> Provider:
    return msgspec.structs.replace(
        provider,
        label=form.label,
        description=form.description or FAMILIES[provider.provider_metadata].description,
        docs_url=form.docs_url or None,
        event_delivery_format=form.event_delivery_format or provider.event_delivery_format,
    )


async def _stored_provider(parts: Parts, org: OrgId, provider_id: str) -> Versioned:
    stored = await parts.store.get("provider", org, provider_id)
    if stored is None:
        raise not_found(f"provider {provider_id}")
    return stored


async def delete_provider(parts: Parts, request: Request, caller: Caller) -> Reply:
    """Its event metadata go with it; registrations keep their dead events of interest."""
    provider = path_own_provider(parts, request, caller)
    ops: list[ControlOp] = [
        Delete("event_metadata", provider.org, f"{provider.id}/{metadata.event_code}")
        for metadata in await list_metadata(parts, provider)
    ]
    try:
        await parts.store.write([*ops, Delete("provider", provider.org, provider.id)])
    except StaleVersion:
        await parts.catalogue.refresh()
        if parts.catalogue.provider(provider.id) is None:
            raise not_found(f"provider {provider.id}") from None
        raise
    await parts.catalogue.refresh()
    return NO_CONTENT
