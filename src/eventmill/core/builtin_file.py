"""Reads a catalogue file: JSON text becomes the built-in providers, or an error that names what is wrong, and where.

Nothing of a faulty file is used. Limits of single members are those of the Events API reference; must not read files.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from eventmill.core.builtin import Builtin, BuiltinEvent, BuiltinFamily, BuiltinProvider, DocumentInfo
from eventmill.core.builtin_text import CatalogueFileError, parse_catalogue_text
from eventmill.core.json_schema import schema_fault
from eventmill.model import BUILTIN_ORG, BUILTIN_PUBLISHER, CUSTOM_EVENTS, DeliveryFormat, Provider

SAMPLE_BYTES_MAX = 64 * 1024

_NAME = re.compile(r"[\w\-.]+", re.ASCII)
_CHANNEL = re.compile(r"[\w\-./]+", re.ASCII)
_HTTP_URL = re.compile(r"https?://[A-Za-z0-9.\-_:\[\]]+([/?#][!-~]*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_AT = re.compile(r"(?P<what>.*) - at `\$\.?(?P<path>[^`]*)`", re.DOTALL)


class _FileProvider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    provider_metadata: str
    label: str
    events: tuple[BuiltinEvent, ...]
    description: str = ""
    docs_url: str | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider_metadata: tuple[BuiltinFamily, ...]
    providers: tuple[_FileProvider, ...]
    namespace: str | None = None
    publisher: str = BUILTIN_PUBLISHER
    document: DocumentInfo = DocumentInfo()


def read_builtin(text: bytes, delivery_format: DeliveryFormat) -> Builtin:
    """The catalogue in `text`; its providers deliver in `delivery_format`. Raises `CatalogueFileError`."""
    try:
        file = msgspec.convert(parse_catalogue_text(text), _File)
    except msgspec.ValidationError as error:
        raise CatalogueFileError(_reword(str(error))) from None
    _check_text("publisher", file.publisher)
    _check_document(file.document)
    families = _check_families(file.provider_metadata)
    if not file.providers:
        raise CatalogueFileError("providers: is empty; a catalogue has at least one")
    _check_unique("providers", "id", (provider.id for provider in file.providers))
    _check_unique("providers", "provider_metadata", (provider.provider_metadata for provider in file.providers))
    namespace = None if file.namespace is None else _uuid("namespace", file.namespace)
    providers = tuple(
        BuiltinProvider(
            provider=_provider(f"providers[{at}]", provider, families, delivery_format),
            events=_events(f"providers[{at}]", provider, namespace),
        )
        for at, provider in enumerate(file.providers)
    )
    events = [event for provider in providers for event in provider.events]
    _check_unique("events of all providers", "channel", (event.channel.replace("/", ".") for event in events))
    _check_unique("events of all providers", "operation_id", (event.operation_id for event in events))
    # The document names a payload after its message, without that ending.
    messages = (event.message.removesuffix("Event") for event in events)
    _check_unique("events of all providers", "message (but for Event at its end)", messages)
    return Builtin(
        families=file.provider_metadata, providers=providers, publisher=file.publisher, document=file.document
    )


def _reword(text: str) -> str:
    """msgspec's message with the path first: `providers[0].id: expected str, got int`."""
    found = _AT.fullmatch(text)
    path = found["path"] if found else ""
    what = (found["what"] if found else text).replace("Object missing required field", "lacks the member")
    what = what.replace("Object contains unknown field", "has the member").replace("`", "")
    if what.startswith("has the member"):
        what += ", which no catalogue file has"
    return f"{path or 'the file'}: {what[:1].lower()}{what[1:]}"


def _check_document(document: DocumentInfo) -> None:
    named = {"contact": document.contact, "license": document.license}
    urls = {f"{member}.url": each.url for member, each in named.items() if each is not None}
    for member, url in {"journal_url": document.journal_url or None, **urls}.items():
        if url is not None and not _HTTP_URL.fullmatch(url):
            raise CatalogueFileError(f"document.{member}: must be an http or https URL, but is {url[:80]!r}")


def _check_families(families: Iterable[BuiltinFamily]) -> dict[str, BuiltinFamily]:
    for at, family in enumerate(families):
        where = f"provider_metadata[{at}]"
        _check_name(f"{where}.id", family.id)
        if family.id == CUSTOM_EVENTS:
            raise CatalogueFileError(f"{where}.id: {CUSTOM_EVENTS} belongs to the organizations' own providers")
        if family.has_multiple_providers:
            what = "must be false: organizations cannot register providers under a family of the catalogue"
            raise CatalogueFileError(f"{where}.has_multiple_providers: {what}")
        for member in ("group", "label", "description"):
            _check_text(f"{where}.{member}", getattr(family, member))
    _check_unique("provider_metadata", "id", (family.id for family in families))
    return {family.id: family for family in families}


def _provider(
    where: str, provider: _FileProvider, families: dict[str, BuiltinFamily], delivery_format: DeliveryFormat
) -> Provider:
    _uuid(f"{where}.id", provider.id)
    family = families.get(provider.provider_metadata)
    if family is None:
        known = ", ".join(families) or "none"
        what = f"{provider.provider_metadata!r} is no family of this file; it has: {known}"
        raise CatalogueFileError(f"{where}.provider_metadata: {what}")
    _check_text(f"{where}.label", provider.label)
    if provider.description:
        _check_text(f"{where}.description", provider.description)
    return Provider(
        id=provider.id,
        org=BUILTIN_ORG,
        project_id="",
        workspace_id="",
        label=provider.label,
        description=provider.description or family.description,
        docs_url=provider.docs_url or None,
        provider_metadata=family.id,
        instance_id=provider.id,
        event_delivery_format=delivery_format,
        data_residency_region="VA6",
    )


def _uuid(where: str, text: str) -> uuid.UUID:
    try:
        found = uuid.UUID(text)
    except ValueError:
        raise CatalogueFileError(f"{where}: {text!r} is not a UUID") from None
    if str(found) != text:
        raise CatalogueFileError(f"{where}: must be written {found}, but is {text!r}")
    return found


def _events(where: str, provider: _FileProvider, namespace: uuid.UUID | None) -> tuple[BuiltinEvent, ...]:
    if not provider.events:
        raise CatalogueFileError(f"{where}.events: is empty; a provider has at least one")
    for at, event in enumerate(provider.events):
        place = f"{where}.events[{at}]"
        _check_event(place, event)
        if namespace is not None and event.channel:
            _check_derived_id(where, provider.id, namespace, event.channel)
    _check_unique(f"{where}.events", "event_code", (event.event_code for event in provider.events))
    return tuple(_completed(event, provider) for event in provider.events)


def _check_derived_id(where: str, provider_id: str, namespace: uuid.UUID, channel: str) -> None:
    """Ids stay the same from one edition of a file to the next when they follow from the channels."""
    first = channel.partition("/")[0]
    expected = str(uuid.uuid5(namespace, first))
    if provider_id != expected:
        what = f"must be {expected}, the UUIDv5 of {first!r} in the file's namespace, but is {provider_id}"
        raise CatalogueFileError(f"{where}.id: {what}")


def _check_event(where: str, event: BuiltinEvent) -> None:
    _check_name(f"{where}.event_code", event.event_code)
    _check_text(f"{where}.label", event.label)
    _check_text(f"{where}.description", event.description)
    if event.channel and not _CHANNEL.fullmatch(event.channel):
        raise CatalogueFileError(f"{where}.channel: may only hold letters, digits and -_./, but is {event.channel!r}")
    for member in ("operation_id", "message"):
        if value := getattr(event, member):
            _check_name(f"{where}.{member}", value)
    for member in ("header", "body"):
        schema = getattr(event, member)
        fault = schema_fault(schema, f"{where}.{member}") if schema else None
        if fault is not None:
            raise CatalogueFileError(fault)
        if schema and schema.get("type") != "object":
            raise CatalogueFileError(f'{where}.{member}.type: must be "object"')
    if event.sample_event is not None:
        _check_sample(f"{where}.sample_event", event.sample_event)


def _check_sample(where: str, sample: dict[str, Any]) -> None:
    event = sample.get("event")
    if not isinstance(event, dict):
        raise CatalogueFileError(f'{where}: lacks the object "event", which is what gets published')
    if len(msgspec.json.encode(event)) > SAMPLE_BYTES_MAX:
        raise CatalogueFileError(f"{where}.event: is larger than {SAMPLE_BYTES_MAX} bytes")


def _completed(event: BuiltinEvent, provider: _FileProvider) -> BuiltinEvent:
    """With what the file leaves out: the channel is the code, the message is named after the label."""
    message = event.message or "".join(re.findall(r"[A-Za-z0-9]+", event.label.title())) + "Event"
    return msgspec.structs.replace(
        event,
        channel=event.channel or event.event_code,
        channel_description=event.channel_description or event.description,
        operation_id=event.operation_id or f"on{message}",
        summary=event.summary or f"Subscribe to {event.label}",
        operation_description=event.operation_description or event.description,
        tags=event.tags or (provider.label,),
        message=message,
        message_title=event.message_title or f"{event.label} Event",
        message_summary=event.message_summary or event.description,
        header=event.header or {"type": "object"},
        body=event.body or {"type": "object"},
    )


def _check_name(where: str, value: str) -> None:
    if not 1 <= len(value) <= 255:
        raise CatalogueFileError(f"{where}: must have 1 to 255 characters, but has {len(value)}")
    if not _NAME.fullmatch(value):
        raise CatalogueFileError(f"{where}: may only hold letters, digits and -_., but is {value!r}")


def _check_text(where: str, value: str) -> None:
    if not 1 <= len(value) <= 255:
        raise CatalogueFileError(f"{where}: must have 1 to 255 characters, but has {len(value)}")
    if found := _CONTROL.search(value):
        raise CatalogueFileError(f"{where}: holds the character U+{ord(found[0]):04X}")


def _check_unique(where: str, member: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise CatalogueFileError(f"{where}: {value!r} is the {member} of two of them")
        seen.add(value)
