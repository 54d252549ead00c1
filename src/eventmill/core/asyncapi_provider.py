"""AsyncAPI documents of providers that organizations made: a channel, a message and a schema for each event code.

In 2.6.0 and in 3.0.0; `core.asyncapi_import` reads both back. Pure: descriptions in, a dictionary out. The catalogue's
own documents are made by `core.asyncapi`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from eventmill.core.asyncapi import server_objects
from eventmill.core.asyncapi_v3 import server_objects_v3
from eventmill.model import DeliveryFormat

Json = dict[str, Any]

CODE_MEMBER = "x-event-code"
PROVIDER_MEMBER = "x-provider-id"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")
_STRING: Json = {"type": "string"}
_EXAMPLE_ID = "00000000-0000-4000-8000-000000000001"


class DescribedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event code of a provider."""

    provider_id: str
    provider_label: str
    event_code: str
    label: str
    description: str
    delivery_format: DeliveryFormat
    data_schema: Any = None
    """JSON Schema of `data`; None: told from the sample."""
    sample: Any = msgspec.UNSET
    """Of `data`; unset when there is none."""


class Subject(msgspec.Struct, frozen=True):
    """What a document is about."""

    title: str
    description: str
    events: tuple[DescribedEvent, ...]
    journal_url: str
    """Where the gateway serves journals."""


def build_provider_document(subject: Subject, version: str) -> Json:
    """`version`: 2.6.0 or 3.0.0."""
    is_new = version == "3.0.0"
    names = _names(subject.events)
    described = list(zip(names, subject.events, strict=True))
    info: Json = {"title": subject.title, "version": "1.0.0"}
    if subject.description:
        info["description"] = subject.description
    document: Json = {
        "asyncapi": version,
        "info": info,
        "servers": _servers_v3(subject.journal_url) if is_new else _servers(subject.journal_url),
    }
    if is_new:
        document["channels"] = {name: _channel_v3(name, event) for name, event in described}
        document["operations"] = {f"on.{name}": _operation_v3(name, event) for name, event in described}
    else:
        document["channels"] = {name: _channel(name, event) for name, event in described}
    document["components"] = {
        "messages": {name: _message(name, event) for name, event in described},
        "schemas": {name: _payload(event) for name, event in described},
        "securitySchemes": _security_schemes(),
    }
    return document


def _names(events: Sequence[DescribedEvent]) -> list[str]:
    """The event code, which is a name in both versions; after its provider where several have the same code."""
    counts = Counter(event.event_code for event in events)
    return [
        _NOT_IN_NAMES.sub("-", event.event_code if counts[event.event_code] == 1 else _full_name(event))
        for event in events
    ]


def _full_name(event: DescribedEvent) -> str:
    return f"{event.provider_id}.{event.event_code}"


# --- Servers ---


def _servers(journal_url: str) -> Json:
    servers = server_objects(journal_url)
    servers["webhook"]["security"] = [{"signature": []}]
    servers["journal"]["security"] = [{"token": [], "apiKey": []}]
    return servers


def _servers_v3(journal_url: str) -> Json:
    servers = server_objects_v3(journal_url)
    servers["webhook"]["security"] = [_scheme("signature")]
    servers["journal"]["security"] = [_scheme("token"), _scheme("apiKey")]
    return servers


def _scheme(name: str) -> Json:
    return {"$ref": f"#/components/securitySchemes/{name}"}


def _security_schemes() -> Json:
    return {
        "signature": {
            "type": "httpApiKey",
            "in": "header",
            "name": "x-adobe-digital-signature-1",
            "description": "Base64 of the body's RSA-SHA256 signature, by the key of x-adobe-public-key1-path.",
        },
        "token": {"type": "http", "scheme": "bearer", "description": "An access token, as /ims/token/v3 gives it."},
        "apiKey": {"type": "httpApiKey", "in": "header", "name": "x-api-key", "description": "The client id."},
    }


# --- Channels ---


def _marks(event: DescribedEvent) -> Json:
    return {CODE_MEMBER: event.event_code, PROVIDER_MEMBER: event.provider_id}


def _channel(name: str, event: DescribedEvent) -> Json:
    return {
        "description": event.description,
        "subscribe": {
            "operationId": f"on.{name}",
            "summary": event.label,
            "tags": [{"name": event.provider_label}],
            "message": {"$ref": f"#/components/messages/{name}"},
        },
        **_marks(event),
    }


def _channel_v3(name: str, event: DescribedEvent) -> Json:
    message = {"$ref": f"#/components/messages/{name}"}
    return {"address": name, "description": event.description, "messages": {name: message}, **_marks(event)}


def _operation_v3(name: str, event: DescribedEvent) -> Json:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": event.label,
        "tags": [{"name": event.provider_label}],
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
    }


# --- Messages ---


def _message(name: str, event: DescribedEvent) -> Json:
    message: Json = {
        "name": name,
        "title": event.label,
        "summary": event.description,
        "contentType": "application/json" if event.delivery_format == "adobe_io" else "application/cloudevents+json",
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }
    if event.sample is not msgspec.UNSET:
        message["examples"] = [{"name": "sample", "payload": _example(event)}]
    return message


def _payload(event: DescribedEvent) -> Json:
    schema = event.data_schema
    if schema is None:
        schema = {} if event.sample is msgspec.UNSET else infer_schema(event.sample)
    if event.delivery_format == "adobe_io":
        return {
            "type": "object",
            "properties": {"event_id": _STRING, "event": schema, "recipient_client_id": _STRING},
        }
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {**_STRING, "const": "1.0"},
            "id": _STRING,
            "source": {**_STRING, "const": f"urn:uuid:{event.provider_id}"},
            "type": {**_STRING, "const": event.event_code},
            "datacontenttype": _STRING,
            "time": {**_STRING, "format": "date-time"},
            "eventid": _STRING,
            "recipientclientid": _STRING,
            "data": schema,
        },
    }


def _example(event: DescribedEvent) -> Json:
    if event.delivery_format == "adobe_io":
        return {"event_id": _EXAMPLE_ID, "event": event.sample}
    return {
        "specversion": "1.0",
        "id": _EXAMPLE_ID,
        "source": f"urn:uuid:{event.provider_id}",
        "type": event.event_code,
        "datacontenttype": "application/json",
        "data": event.sample,
    }


def infer_schema(value: Any) -> Json:
    """What a sample shows of its schema: types and members, none of them required."""
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case float():
            return {"type": "number"}
        case str():
            return dict(_STRING)
        case list():
            kinds = [infer_schema(each) for each in value]
            same = bool(kinds) and all(kind == kinds[0] for kind in kinds)
            return {"type": "array", "items": kinds[0]} if same else {"type": "array"}
        case dict():
            return {"type": "object", "properties": {name: infer_schema(each) for name, each in value.items()}}
    return {}
