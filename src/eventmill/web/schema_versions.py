"""Versions of the schema of an event code, and whether a changed one may replace the last (an addition of ours).

A change that would refuse the sample event, or stored events of late, that the schema before it accepted is 409 unless
`force=true`. Versions are written with the event metadata, and go with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from eventmill.core.data_schema import DataSchema, UnusableSchema
from eventmill.core.envelope import format_time
from eventmill.errors import GatewayError, Reason
from eventmill.flow.schema_trial import Refused, try_schema, would_refuse
from eventmill.flow.schemas import data_text, describe_faults
from eventmill.model import Caller, EventMetadata, OrgId, SchemaHistory, SchemaVersion
from eventmill.store.control import ControlOp, Create, Delete, Key, Replace
from eventmill.web.checks import invalid, show
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import path_metadata, path_provider
from eventmill.web.sample_template import ANY_CLIENT, Sampler


class SchemaVersionBody(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    created_date: str | UnsetType = UNSET
    """Left out for one from before there were versions."""
    client_id: str | UnsetType = UNSET
    """Who made it; likewise."""
    data_schema: dict[str, Any] | None
    """None: there was no schema from here on."""


class SchemaVersions(msgspec.Struct, frozen=True, kw_only=True):
    schemas: list[SchemaVersionBody]
    """The newest first."""


class SchemaChange(msgspec.Struct, frozen=True):
    """Who changes a schema, and how firmly."""

    by: str
    is_forced: bool

    @classmethod
    def of(cls, request: Request, caller: Caller) -> SchemaChange:
        value = (request.query_value("force") or "false").lower()
        if value not in ("true", "false"):
            raise GatewayError(Reason.INVALID_PARAMETER, f"force must be true or false, but is {show(value)}")
        return cls(caller.client_id, value == "true")


async def list_schema_versions(parts: Parts, request: Request, caller: Caller) -> Reply:
    provider = path_provider(parts, request, caller)
    metadata = path_metadata(parts, request, provider)
    stored = await parts.store.get("schema_history", metadata.org, _doc_id(metadata))
    versions: Sequence[SchemaVersion] = _unwritten(metadata.data_schema)
    if stored is not None:
        versions = msgspec.json.decode(stored.doc, type=SchemaHistory).versions
    return json_reply(200, SchemaVersions(schemas=[_body(each) for each in reversed(versions)]))


def _body(version: SchemaVersion) -> SchemaVersionBody:
    return SchemaVersionBody(
        version=version.number,
        created_date=format_time(version.changed_ms) if version.changed_ms else UNSET,
        client_id=version.client_id or UNSET,
        data_schema=None if version.data_schema is None else msgspec.json.decode(version.data_schema),
    )


def check_usable(text: str) -> None:
    """Whether events can be checked against it. Raises `INVALID_BODY`."""
    try:
        DataSchema(text)
    except UnusableSchema as error:
        raise invalid("data_schema", str(error)) from None


async def change_ops(
    parts: Parts, before: EventMetadata | None, after: EventMetadata, change: SchemaChange
) -> list[ControlOp]:
    """What to write beside the event metadata when their schema changes. Raises `INCOMPATIBLE_SCHEMA`."""
    known = None if before is None else before.data_schema
    if after.data_schema == known:
        return []
    if before is not None and not change.is_forced:
        await _check_compatible(parts, before, after)
    kept: Sequence[SchemaVersion] = _unwritten(known)
    stored = await parts.store.get("schema_history", after.org, _doc_id(after))
    if stored is not None:
        kept = msgspec.json.decode(stored.doc, type=SchemaHistory).versions
    newest = SchemaVersion(
        number=kept[-1].number + 1 if kept else 1,
        data_schema=after.data_schema,
        changed_ms=parts.clock.now_ms(),
        client_id=change.by,
    )
    versions = (*kept, newest)[-max(1, parts.config.schema_versions_kept) :]
    history = SchemaHistory(
        org=after.org, provider_id=after.provider_id, event_code=after.event_code, versions=tuple(versions)
    )
    doc, keys = msgspec.json.encode(history), history_keys(after.provider_id)
    if stored is None:
        return [Create("schema_history", after.org, _doc_id(after), doc, keys)]
    return [Replace("schema_history", after.org, _doc_id(after), doc, stored.version, keys)]


async def deletion_ops(parts: Parts, org: OrgId, doc_id: str) -> list[ControlOp]:
    """What goes with the event metadata of this id."""
    stored = await parts.store.get("schema_history", org, doc_id)
    return [] if stored is None else [Delete("schema_history", org, doc_id, stored.version)]


def history_keys(provider_id: str) -> tuple[Key, ...]:
    return (Key("provider", provider_id),)


def _doc_id(metadata: EventMetadata) -> str:
    return f"{metadata.provider_id}/{metadata.event_code}"


def _unwritten(schema: str | None) -> tuple[SchemaVersion, ...]:
    """The versions of a schema that nobody changed since there are versions."""
    return () if schema is None else (SchemaVersion(number=1, data_schema=schema),)


async def _check_compatible(parts: Parts, before: EventMetadata, after: EventMetadata) -> None:
    if after.data_schema is None:
        return
    new, old = DataSchema(after.data_schema), _usable(before.data_schema)
    steps_max = parts.config.schema_steps_max
    refused: list[Refused] = []
    if before.sample_event_template is not None:
        sample = Sampler(before, ANY_CLIENT, parts.ids, parts.clock.now_ms()).from_template()
        faults = would_refuse(old, new, data_text(sample.data), steps_max)
        refused = [Refused("", faults)] if faults else []
    refused += await try_schema(parts.store, before, (old, new), parts.config.schema_trial_events, steps_max)
    if refused:
        named = [f"{f'event {each.event_id}' if each.event_id else 'the sample event'}" for each in refused]
        message = (
            f"data_schema: would refuse what was accepted before: {', '.join(named)}; "
            f"{named[0]}: {describe_faults(after.event_code, refused[0].faults)}; with ?force=true it is changed anyway"
        )
        raise GatewayError(Reason.INCOMPATIBLE_SCHEMA, message)


def _usable(text: str | None) -> DataSchema | None:
    """A stored schema that cannot be used lets everything pass, as at the door."""
    if text is None:
        return None
    try:
        return DataSchema(text)
    except UnusableSchema:
        return None
