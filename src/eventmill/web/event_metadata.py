"""Event metadata of a provider: the event codes it publishes ("Provider API")."""

from __future__ import annotations

import msgspec

from eventmill.errors import Conflict, StaleVersion
from eventmill.model import Caller, EventMetadata, Provider
from eventmill.store.base import ControlOp, Create, Delete, Key, Replace
from eventmill.web import hal
from eventmill.web.checks import invalid
from eventmill.web.forms import EventMetadataForm, read_event_metadata
from eventmill.web.http import NO_CONTENT, Reply, Request, hal_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found, path_metadata, path_own_provider, path_provider
from eventmill.web.providers import list_metadata
from eventmill.web.sample_template import check_template


async def list_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    provider = path_provider(parts, request, caller)
    base = parts.config.url
    bodies = [hal.event_metadata_body(base, provider, each) for each in await list_metadata(parts, provider)]
    url = f"{hal.provider_url(base, provider.id)}/eventmetadata"
    return hal_reply(200, hal.collection_body(url, "eventmetadata", bodies))


async def get_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    provider = path_provider(parts, request, caller)
    return _reply(parts, 200, provider, path_metadata(parts, request, provider))


def _reply(parts: Parts, status: int, provider: Provider, metadata: EventMetadata) -> Reply:
    return hal_reply(status, hal.event_metadata_body(parts.config.url, provider, metadata))


async def create_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    provider = path_own_provider(parts, request, caller)
    metadata = await _read(parts, request, provider)
    doc_id = f"{provider.id}/{metadata.event_code}"
    doc = msgspec.json.encode(metadata)
    create = Create("event_metadata", provider.org, doc_id, doc, (Key("provider", provider.id),))
    try:
        await parts.store.write([create])
    except Conflict:
        message = f"provider {provider.id} already has the event code {metadata.event_code}"
        raise Conflict(message, metadata.event_code) from None
    await parts.catalogue.refresh()
    return _reply(parts, 201, provider, metadata)


async def _read(parts: Parts, request: Request, provider: Provider) -> EventMetadata:
    form: EventMetadataForm = read_event_metadata(await request.body(parts.config.request_bytes_max))
    metadata = EventMetadata(
        org=provider.org,
        provider_id=provider.id,
        event_code=form.event_code,
        label=form.label,
        description=form.description,
        sample_event_template=form.sample_event_template or None,
    )
    check_template(parts, metadata)
    return metadata


async def update_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PUT: a full replacement; the event code itself cannot change."""
    provider = path_own_provider(parts, request, caller)
    event_code = path_metadata(parts, request, provider).event_code
    metadata = await _read(parts, request, provider)
    if metadata.event_code != event_code:
        raise invalid("event_code", f"must be {event_code} as in the path, but is {metadata.event_code}")
    doc_id = f"{provider.id}/{event_code}"
    stored = await parts.store.get("event_metadata", provider.org, doc_id)
    if stored is None:
        raise not_found(f"event code {event_code}", f"provider {provider.id}")
    doc = msgspec.json.encode(metadata)
    keys = (Key("provider", provider.id),)
    await parts.store.write([Replace("event_metadata", provider.org, doc_id, doc, stored.version, keys)])
    await parts.catalogue.refresh()
    return _reply(parts, 200, provider, metadata)


async def delete_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    provider = path_own_provider(parts, request, caller)
    event_code = path_metadata(parts, request, provider).event_code
    try:
        await parts.store.write([Delete("event_metadata", provider.org, f"{provider.id}/{event_code}")])
    except StaleVersion:
        raise not_found(f"event code {event_code}", f"provider {provider.id}") from None
    await parts.catalogue.refresh()
    return NO_CONTENT


async def delete_all_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    provider = path_own_provider(parts, request, caller)
    ops: list[ControlOp] = [
        Delete("event_metadata", provider.org, f"{provider.id}/{metadata.event_code}")
        for metadata in await list_metadata(parts, provider)
    ]
    if ops:
        await parts.store.write(ops)
        await parts.catalogue.refresh()
    return NO_CONTENT
