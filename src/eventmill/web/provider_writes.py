"""Writing event providers: create, replace, patch, delete ("Provider API").

Writes go through the workspace that owns the provider. What a write answered with success, the next publish on this
process obeys: the catalogue is refreshed before the reply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from eventmill.errors import Conflict, StaleVersion
from eventmill.flow.writes import WRITES_MAX
from eventmill.model import CUSTOM_EVENTS, Caller, OrgId, Provider, Workspace
from eventmill.store.control import ControlOp, Create, Delete, Key, Kind, Replace, Require, RequireNone, Versioned
from eventmill.web.checks import convert, invalid, read_object, show
from eventmill.web.families import FAMILIES, creatable_family
from eventmill.web.filter_drafts import check_delivery_format
from eventmill.web.forms import ProviderCreate, ProviderUpdate
from eventmill.web.http import NO_CONTENT, Reply, Request
from eventmill.web.parts import Parts
from eventmill.web.patch import apply_patch, read_patch
from eventmill.web.paths import not_found, path_own_provider, path_workspace
from eventmill.web.providers import provider_reply

_DOOMED: tuple[Kind, ...] = ("event_metadata", "schema_history")
"""What goes with a provider."""


async def create_provider(parts: Parts, request: Request, caller: Caller) -> Reply:
    workspace = path_workspace(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), ProviderCreate)
    provider = new_provider(parts, workspace, form)
    create = Create("provider", provider.org, provider.id, msgspec.json.encode(provider), provider_keys(provider))
    await write_provider(parts, provider, [Require("workspace", workspace.org, workspace.id), create])
    return provider_reply(parts, 201, provider, None)


def new_provider(parts: Parts, workspace: Workspace, form: ProviderCreate) -> Provider:
    family = creatable_family(parts.catalogue.builtin, form.family_id)
    return Provider(
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
        schema_enforcement=form.schema_enforcement or "off",
    )


def _made_up_instance(parts: Parts, form: ProviderCreate) -> str:
    if form.family_id != CUSTOM_EVENTS:
        raise invalid("instance_id", f"required for provider_metadata {form.family_id}")
    return parts.ids.uuid()


def provider_keys(provider: Provider) -> tuple[Key, ...]:
    family = provider.provider_metadata
    return (
        Key("workspace", provider.workspace_id),
        Key("label", f"{family}/{provider.label}", at_most=1),
        Key("instance", f"{family}/{provider.instance_id}", at_most=1),
    )


async def write_provider(parts: Parts, provider: Provider, ops: Sequence[ControlOp]) -> None:
    try:
        await parts.store.write(ops)
    except Conflict as conflict:
        raise _taken(parts, provider, conflict.conflicting_id or "") from None
    finally:
        await parts.catalogue.refresh()


def _taken(parts: Parts, provider: Provider, holder_id: str) -> Conflict:
    holder = parts.catalogue.provider(holder_id)
    shared = f"label {show(provider.label)}"
    if holder is not None and holder.label != provider.label:
        shared = f"instance id {show(provider.instance_id)}"
    message = f"provider {holder_id} of provider metadata {provider.provider_metadata} has the same {shared}"
    return Conflict(message, holder_id)


async def update_provider(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PUT: label, description, docs_url and the delivery format; create-only members are ignored."""
    known = path_own_provider(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), ProviderUpdate)
    provider, _ = await _change(parts, known, lambda _: form)
    return provider_reply(parts, 200, provider, None)


async def patch_provider(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PATCH: the members of the update model, null where there is none. 204 when nothing changed."""
    known = path_own_provider(parts, request, caller)
    patch = await read_patch(request, parts.config)

    def revise(provider: Provider) -> ProviderUpdate:
        return convert(apply_patch(_update_document(provider), patch, parts.config), ProviderUpdate)

    provider, has_changed = await _change(parts, known, revise)
    return provider_reply(parts, 200, provider, None) if has_changed else NO_CONTENT


def _update_document(provider: Provider) -> dict[str, Any]:
    return {name: getattr(provider, name) for name in ProviderUpdate.__struct_fields__}


async def _change(parts: Parts, known: Provider, revise: Callable[[Provider], ProviderUpdate]) -> tuple[Provider, bool]:
    """Apply what `revise` makes of the stored provider, and whether that changed it."""
    for _ in range(WRITES_MAX):
        stored = await _stored_provider(parts, known.org, known.id)
        before = msgspec.json.decode(stored.doc, type=Provider)
        after = _updated(before, revise(before))
        if after == before:
            return before, False
        check_delivery_format(parts, after)
        doc = msgspec.json.encode(after)
        try:
            await write_provider(
                parts, after, [Replace("provider", after.org, after.id, doc, stored.version, provider_keys(after))]
            )
        except StaleVersion:
            continue
        return after, True
    raise StaleVersion("provider", known.id)


def _updated(provider: Provider, form: ProviderUpdate) -> Provider:
    return msgspec.structs.replace(
        provider,
        label=form.label,
        description=form.description or FAMILIES[provider.provider_metadata].description,
        docs_url=form.docs_url or None,
        event_delivery_format=form.event_delivery_format or provider.event_delivery_format,
        schema_enforcement=form.schema_enforcement or provider.schema_enforcement,
    )


async def _stored_provider(parts: Parts, org: OrgId, provider_id: str) -> Versioned:
    stored = await parts.store.get("provider", org, provider_id)
    if stored is None:
        raise not_found(f"provider {provider_id}")
    return stored


async def delete_provider(parts: Parts, request: Request, caller: Caller) -> Reply:
    """Its event metadata go with it; registrations keep their dead events of interest."""
    provider = path_own_provider(parts, request, caller)
    await delete_metadata(parts, provider, Delete("provider", provider.org, provider.id))
    return NO_CONTENT


async def delete_metadata(parts: Parts, provider: Provider, *others: ControlOp) -> None:
    """Delete all event metadata of a provider, and what `others` say, in one write."""
    for _ in range(WRITES_MAX):
        if await parts.store.get("provider", provider.org, provider.id) is None:
            await parts.catalogue.refresh()
            raise not_found(f"provider {provider.id}")
        ops: list[ControlOp] = []
        for kind in _DOOMED:
            doomed = await parts.store.list_docs(kind, provider.org, ("provider", provider.id))
            ops += [Delete(kind, provider.org, each.id) for each in doomed]
            ops.append(RequireNone(kind, provider.org, ("provider", provider.id)))
        try:
            await parts.store.write([*ops, *others])
        except (StaleVersion, Conflict):
            continue  # somebody deleted one of them, or added one, meanwhile
        await parts.catalogue.refresh()
        return
    raise StaleVersion("provider", provider.id)
