"""Event metadata of a provider: the event codes it publishes ("Provider API")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from eventmill.core.json_schema import schema_fault
from eventmill.errors import Conflict, GatewayError, Reason, StaleVersion
from eventmill.flow.writes import WRITES_MAX
from eventmill.model import Caller, EventMetadata, Provider
from eventmill.store.control import Create, Delete, Key, Replace, Require
from eventmill.web import hal
from eventmill.web.checks import convert, invalid, read_object
from eventmill.web.fields import DATA_SCHEMA_BYTES_MAX
from eventmill.web.forms import EventMetadataForm
from eventmill.web.http import NO_CONTENT, Reply, Request, hal_reply
from eventmill.web.parts import Parts
from eventmill.web.patch import apply_patch, read_patch
from eventmill.web.paths import not_found, path_metadata, path_own_provider, path_provider
from eventmill.web.provider_writes import delete_metadata
from eventmill.web.providers import list_metadata
from eventmill.web.sample_template import check_template
from eventmill.web.schema_versions import SchemaChange, change_ops, check_usable, deletion_ops


async def list_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    provider = path_provider(parts, request, caller)
    base = parts.config.url
    bodies = [hal.event_metadata_body(base, provider, each) for each in await list_metadata(parts, provider)]
    url = f"{hal.provider_url(base, provider.id)}/eventmetadata"
    return hal_reply(200, hal.event_metadata_collection(url, bodies))


async def get_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    provider = path_provider(parts, request, caller)
    return _reply(parts, 200, provider, path_metadata(parts, request, provider))


def _reply(parts: Parts, status: int, provider: Provider, metadata: EventMetadata) -> Reply:
    return hal_reply(status, hal.event_metadata_body(parts.config.url, provider, metadata))


async def create_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    provider = path_own_provider(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), EventMetadataForm)
    metadata = new_metadata(parts, provider, form)
    versions = await change_ops(parts, None, metadata, SchemaChange.of(request, caller))
    doc_id = f"{provider.id}/{metadata.event_code}"
    create = Create("event_metadata", provider.org, doc_id, msgspec.json.encode(metadata), metadata_keys(provider))
    try:
        await parts.store.write([Require("provider", provider.org, provider.id), create, *versions])
    except Conflict:
        message = f"provider {provider.id} already has the event code {metadata.event_code}"
        raise Conflict(message, metadata.event_code) from None
    finally:
        await parts.catalogue.refresh()
    return _reply(parts, 201, provider, metadata)


def metadata_keys(provider: Provider) -> tuple[Key, ...]:
    return (Key("provider", provider.id),)


def new_metadata(
    parts: Parts, provider: Provider, form: EventMetadataForm, known: EventMetadata | None = None
) -> EventMetadata:
    """From a form; `known` is what it replaces."""
    metadata = EventMetadata(
        org=provider.org,
        provider_id=provider.id,
        event_code=form.event_code,
        label=form.label,
        description=form.description,
        sample_event_template=form.sample_event_template or None,
        data_schema=_schema_text(form, known),
    )
    check_template(parts, metadata)
    return metadata


def _schema_text(form: EventMetadataForm, known: EventMetadata | None) -> str | None:
    """Official clients do not know of it: what they leave out stays."""
    if form.data_schema is msgspec.UNSET:
        return None if known is None else known.data_schema
    if form.data_schema is None:
        return None
    fault = schema_fault(form.data_schema, "data_schema")
    if fault is not None:
        raise GatewayError(Reason.INVALID_BODY, fault)
    text = msgspec.json.encode(form.data_schema)
    if len(text) > DATA_SCHEMA_BYTES_MAX:
        raise invalid("data_schema", f"must have at most {DATA_SCHEMA_BYTES_MAX} bytes, but has {len(text)}")
    if known is None or text.decode() != known.data_schema:
        check_usable(text.decode())
    return text.decode()


async def update_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PUT: a full replacement; the event code itself cannot change."""
    provider = path_own_provider(parts, request, caller)
    known = path_metadata(parts, request, provider)
    form = read_object(await request.json_body(parts.config.request_bytes_max), EventMetadataForm)
    metadata, _ = await _change(parts, known, lambda _: form, SchemaChange.of(request, caller))
    return _reply(parts, 200, provider, metadata)


async def patch_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PATCH: the members of the input model, null where there is none. 204 when nothing changed."""
    provider = path_own_provider(parts, request, caller)
    known = path_metadata(parts, request, provider)
    patch = await read_patch(request, parts.config)

    def revise(metadata: EventMetadata) -> EventMetadataForm:
        return convert(apply_patch(_update_document(metadata), patch, parts.config), EventMetadataForm)

    metadata, has_changed = await _change(parts, known, revise, SchemaChange.of(request, caller))
    return _reply(parts, 200, provider, metadata) if has_changed else NO_CONTENT


def _update_document(metadata: EventMetadata) -> dict[str, Any]:
    document = {name: getattr(metadata, name) for name in EventMetadataForm.__struct_fields__}
    if metadata.data_schema is not None:
        document["data_schema"] = msgspec.json.decode(metadata.data_schema)
    return document


async def _change(
    parts: Parts,
    known: EventMetadata,
    revise: Callable[[EventMetadata], EventMetadataForm],
    change: SchemaChange,
) -> tuple[EventMetadata, bool]:
    """Apply what `revise` makes of the stored event metadata, and whether that changed it."""
    provider = parts.catalogue.provider(known.provider_id)
    if provider is None:
        raise not_found(f"provider {known.provider_id}")
    event_code = known.event_code
    doc_id = f"{provider.id}/{event_code}"
    for _ in range(WRITES_MAX):
        stored = await parts.store.get("event_metadata", provider.org, doc_id)
        if stored is None:
            await parts.catalogue.refresh()
            raise not_found(f"event code {event_code}", f"provider {provider.id}")
        before = msgspec.json.decode(stored.doc, type=EventMetadata)
        after = new_metadata(parts, provider, revise(before), before)
        if after.event_code != event_code:
            raise invalid("event_code", f"must be {event_code} as in the path, but is {after.event_code}")
        if after == before:
            return before, False
        versions = await change_ops(parts, before, after, change)
        doc = msgspec.json.encode(after)
        replace = Replace("event_metadata", provider.org, doc_id, doc, stored.version, metadata_keys(provider))
        try:
            await parts.store.write([replace, *versions])
        except (StaleVersion, Conflict):
            continue
        await parts.catalogue.refresh()
        return after, True
    raise StaleVersion("event_metadata", doc_id)


async def delete_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    provider = path_own_provider(parts, request, caller)
    event_code = path_metadata(parts, request, provider).event_code
    doc_id = f"{provider.id}/{event_code}"
    for _ in range(WRITES_MAX):
        stored = await parts.store.get("event_metadata", provider.org, doc_id)
        if stored is None:
            await parts.catalogue.refresh()
            raise not_found(f"event code {event_code}", f"provider {provider.id}")
        versions = await deletion_ops(parts, provider.org, doc_id)
        try:
            await parts.store.write([Delete("event_metadata", provider.org, doc_id, stored.version), *versions])
        except StaleVersion:
            continue  # it was changed meanwhile, perhaps with a new version of its schema
        await parts.catalogue.refresh()
        return NO_CONTENT
    raise StaleVersion("event_metadata", doc_id)


async def delete_all_event_metadata(parts: Parts, request: Request, caller: Caller) -> Reply:
    provider = path_own_provider(parts, request, caller)
    await delete_metadata(parts, provider)
    return NO_CONTENT
