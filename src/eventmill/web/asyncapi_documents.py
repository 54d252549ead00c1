"""AsyncAPI documents of what organizations publish, and providers made from such documents. Additions of ours."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from eventmill.core.asyncapi_import import Imported, ImportedEvent, read_document
from eventmill.core.asyncapi_provider import DescribedEvent, Subject, build_provider_document
from eventmill.errors import GatewayError, Reason, StaleVersion
from eventmill.flow.writes import WRITES_MAX
from eventmill.model import BUILTIN_ORG, Caller, EventMetadata, Provider, Workspace
from eventmill.store.control import ControlOp, Create, Replace, Require
from eventmill.web.asyncapi import YAML_TYPE, encode_document, read_version
from eventmill.web.checks import convert, parse_text_json, show
from eventmill.web.event_metadata import metadata_keys, new_metadata
from eventmill.web.fields import DATA_SCHEMA_BYTES_MAX
from eventmill.web.forms import EventMetadataForm, ProviderCreate
from eventmill.web.http import JSON_TYPE, NOT_STORED, Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found, path_organization, path_provider, path_workspace
from eventmill.web.provider_writes import new_provider, provider_keys, write_provider
from eventmill.web.providers import list_metadata
from eventmill.web.sample_template import TEMPLATE_CHARS_MAX
from eventmill.web.schema_versions import SchemaChange, change_ops, check_usable

DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
_NOT_IN_LABELS = re.compile(r"[^\w \-.(),@:'`?#!]", re.ASCII)
_BLANKS = re.compile(r"\s+")
_TEXT_CHARS_MAX = 255
_CODE_BYTES = 512
"""Counted for an event code, beside its schema and sample."""


class AsyncApiImport(msgspec.Struct, frozen=True):
    """What became of a document; with `dry_run`, what would."""

    provider_id: Annotated[str | None, msgspec.Meta(description="null: `dry_run` of a new one.")]
    provider_label: str
    created: Annotated[list[str], msgspec.Meta(description="Event codes that were new.")]
    updated: Annotated[list[str], msgspec.Meta(description="Event codes that were there, and changed.")]
    warnings: Annotated[list[str], msgspec.Meta(description="What was passed over, and where.")]


# --- Export ---


async def get_provider_asyncapi(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /events/providers/{provider}/asyncapi"""
    provider = path_provider(parts, request, caller)
    events = await _described(parts, (provider,))
    return await _document_reply(parts, request, provider.label, provider.description, events)


async def get_organization_asyncapi(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /events/{org}/asyncapi: its own providers; the built-in ones have a document of their own."""
    organization = path_organization(parts, request, caller)
    stored = await parts.store.list_docs("provider", organization.id)
    events = await _described(parts, [msgspec.json.decode(each.doc, type=Provider) for each in stored])
    about = f"Events that {organization.name} publishes."
    return await _document_reply(parts, request, organization.name, about, events)


async def _document_reply(
    parts: Parts, request: Request, title: str, about: str, events: Sequence[DescribedEvent]
) -> Reply:
    version = read_version(request)
    form = request.query_value("format") or "json"
    if form not in ("json", "yaml"):
        raise GatewayError(Reason.INVALID_PARAMETER, f"format: must be json or yaml, but is {show(form)}")
    subject = Subject(title, about, tuple(events), parts.config.url)
    content_type = YAML_TYPE if form == "yaml" else JSON_TYPE

    def make() -> bytes:
        return encode_document(build_provider_document(subject, version), content_type)

    # A large one takes its time, and YAML more of it, in which nobody else could be answered.
    body = await asyncio.to_thread(make)
    return Reply(200, body, content_type, NOT_STORED)


async def _described(parts: Parts, providers: Sequence[Provider]) -> list[DescribedEvent]:
    """Raises `TOO_LARGE` as soon as they are more than one document may hold."""
    described: list[DescribedEvent] = []
    bytes_left = parts.config.asyncapi_bytes_max
    for provider in providers:
        for metadata in await list_metadata(parts, provider):
            bytes_left -= _CODE_BYTES + len(metadata.data_schema or "") + len(metadata.sample_event_template or "")
            if bytes_left < 0:
                raise _too_large(parts, len(providers))
            described.append(_describe(provider, metadata))
    return described


def _too_large(parts: Parts, providers: int) -> GatewayError:
    remedy = "the operator can allow more (EVENTMILL_ASYNCAPI_BYTES_MAX)"
    if providers > 1:
        remedy = f"ask for its {providers} providers one by one, at /events/providers/{{provider}}/asyncapi"
    what = f"event codes, schemas and samples of more than {parts.config.asyncapi_bytes_max} bytes"
    return GatewayError(Reason.TOO_LARGE, f"{what} are too many for one document; {remedy}")


def _describe(provider: Provider, metadata: EventMetadata) -> DescribedEvent:
    return DescribedEvent(
        provider_id=provider.id,
        provider_label=provider.label,
        event_code=metadata.event_code,
        label=metadata.label,
        description=metadata.description,
        delivery_format=provider.event_delivery_format,
        data_schema=None if metadata.data_schema is None else msgspec.json.decode(metadata.data_schema),
        sample=_sample(metadata),
    )


def _sample(metadata: EventMetadata) -> Any:
    """Of `data`: a template is that, or a whole event."""
    if metadata.sample_event_template is None:
        return msgspec.UNSET
    sample = msgspec.json.decode(base64.b64decode(metadata.sample_event_template))
    if isinstance(sample, dict) and "specversion" in sample:
        return sample.get("data", msgspec.UNSET)
    return sample


# --- Import ---


async def import_asyncapi(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST /events/{org}/{project}/{workspace}/asyncapi: all of it in one write, or nothing."""
    workspace = path_workspace(parts, request, caller)
    is_dry = (request.query_value("dry_run") or "false").lower() == "true"
    provider_id = request.query_value("provider")
    change = SchemaChange.of(request, caller)
    known = None if provider_id is None else _known_provider(parts, workspace, provider_id)
    body = await request.json_body(DOCUMENT_BYTES_MAX)
    # References take their time, in which nobody else could be answered.
    imported, forms, left_out = await asyncio.to_thread(_read, body, request.query_value("prefix") or "")
    for _ in range(WRITES_MAX):
        provider = known or _new_provider(parts, workspace, imported, request)
        draft = await _draft(parts, provider, forms, change, is_new=known is None)
        result = AsyncApiImport(
            provider_id=None if is_dry and known is None else provider.id,
            provider_label=provider.label,
            created=draft.created,
            updated=draft.updated,
            warnings=[*imported.warnings, *left_out],
        )
        if is_dry:
            return json_reply(200, result)
        try:
            await write_provider(parts, provider, [Require("workspace", workspace.org, workspace.id), *draft.ops])
        except StaleVersion:
            continue
        return json_reply(200 if known else 201, result)
    raise StaleVersion("provider", provider_id or "")


def _read(body: bytes, prefix: str) -> tuple[Imported, list[EventMetadataForm], list[str]]:
    """What the document says, its event codes as they are to be stored, and what of them is left out."""
    imported = read_document(parse_text_json(body), prefix)
    left_out: list[str] = []
    return imported, [_metadata_form(event, left_out) for event in imported.events], left_out


def _known_provider(parts: Parts, workspace: Workspace, provider_id: str) -> Provider:
    provider = parts.catalogue.provider(provider_id)
    if provider is None or provider.org == BUILTIN_ORG or provider.workspace_id != workspace.id:
        raise not_found(f"provider {show(provider_id)}", f"workspace {workspace.id}")
    return provider


def _new_provider(parts: Parts, workspace: Workspace, imported: Imported, request: Request) -> Provider:
    form = {
        "label": request.query_value("label") or label_text(imported.title),
        "description": label_text(imported.description),
        "event_delivery_format": imported.delivery_format,
    }
    return new_provider(parts, workspace, convert(form, ProviderCreate))


class _Draft(msgspec.Struct):
    ops: list[ControlOp] = msgspec.field(default_factory=list)
    created: list[str] = msgspec.field(default_factory=list)
    updated: list[str] = msgspec.field(default_factory=list)


async def _draft(
    parts: Parts, provider: Provider, forms: Sequence[EventMetadataForm], change: SchemaChange, *, is_new: bool
) -> _Draft:
    draft = _Draft()
    org = provider.org
    if is_new:
        doc = msgspec.json.encode(provider)
        draft.ops.append(Create("provider", org, provider.id, doc, provider_keys(provider)))
    else:
        draft.ops.append(Require("provider", org, provider.id))
    for form in forms:
        metadata = new_metadata(parts, provider, form)
        doc_id, doc = f"{provider.id}/{metadata.event_code}", msgspec.json.encode(metadata)
        stored = None if is_new else await parts.store.get("event_metadata", org, doc_id)
        before = None if stored is None else msgspec.json.decode(stored.doc, type=EventMetadata)
        if before != metadata:
            draft.ops += await change_ops(parts, before, metadata, change)
        if stored is None:
            draft.ops.append(Create("event_metadata", org, doc_id, doc, metadata_keys(provider)))
            draft.created.append(metadata.event_code)
        elif stored.doc != doc:
            keys = metadata_keys(provider)
            draft.ops.append(Replace("event_metadata", org, doc_id, doc, stored.version, keys))
            draft.updated.append(metadata.event_code)
    return draft


def _metadata_form(event: ImportedEvent, left_out: list[str]) -> EventMetadataForm:
    """What is too large is left out with a warning: the rest is worth having."""
    form: dict[str, Any] = {
        "event_code": event.event_code,
        "label": label_text(event.label) or event.event_code,
        "description": label_text(event.description) or event.event_code,
    }
    if event.sample is not msgspec.UNSET:
        template = base64.b64encode(msgspec.json.encode(event.sample)).decode()
        if len(template) <= TEMPLATE_CHARS_MAX:
            form["sample_event_template"] = template
        else:
            left_out.append(f"{event.event_code}: the example is too large for a sample; left out")
    if isinstance(event.data_schema, dict):
        if len(msgspec.json.encode(event.data_schema)) <= DATA_SCHEMA_BYTES_MAX:
            try:
                check_usable(msgspec.json.encode(event.data_schema).decode())
            except GatewayError as error:
                left_out.append(f"{event.event_code}: {error.message}; left out")
            else:
                form["data_schema"] = event.data_schema
        else:
            left_out.append(f"{event.event_code}: the schema is larger than {DATA_SCHEMA_BYTES_MAX} bytes; left out")
    return convert(form, EventMetadataForm)


def label_text(text: str) -> str:
    """As much of a text as labels and descriptions may hold."""
    allowed = _NOT_IN_LABELS.sub(" ", text.replace("\u2019", "'"))
    return _BLANKS.sub(" ", allowed).strip()[:_TEXT_CHARS_MAX].strip()
