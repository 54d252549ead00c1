"""The AsyncAPI 2.6.0 document of a catalogue: one channel, one message and one payload schema for each event code.

Pure: the catalogue in, a dictionary out. What version 3.0.0 words in the same way is shared with `core.asyncapi_v3`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from eventmill.core.builtin import Builtin, BuiltinEvent, DocumentInfo
from eventmill.model import DeliveryFormat

Json = dict[str, Any]

_EXAMPLE_ID = "00000000-0000-4000-8000-000000000001"
_EXAMPLE_TIME = "2026-03-01T10:00:00Z"
_STRING: Json = {"type": "string"}
_WEBHOOK_DOMAIN: Json = {"default": "example.com", "description": "Host name of your webhook."}
_WEBHOOK = (
    "Your webhook: takes events as signed HTTP POST requests, once it has answered the challenge of its registration."
)
_JOURNAL = "The journal of your registration: holds its events for some days, to be read in order at your own pace."


def build_document(builtin: Builtin, journal_url: str) -> Json:
    """`journal_url` is where the gateway serves journals, unless the catalogue names another place."""
    return {
        "asyncapi": "2.6.0",
        "info": info_object(builtin.document),
        "servers": server_objects(builtin.document.journal_url or journal_url),
        "channels": {event.channel: _channel(event) for event, _ in catalogue_events(builtin)},
        "components": components_object(builtin),
    }


def server_objects(journal_url: str) -> dict[str, Json]:
    return {
        "webhook": {
            "url": "https://{yourDomain}/webhook",
            "protocol": "https",
            "description": _WEBHOOK,
            "variables": {"yourDomain": _WEBHOOK_DOMAIN},
        },
        "journal": {"url": journal_url, "protocol": journal_url.partition(":")[0], "description": _JOURNAL},
    }


def _channel(event: BuiltinEvent) -> Json:
    return {
        "description": event.channel_description,
        "subscribe": {
            "operationId": event.operation_id,
            "summary": event.summary,
            "description": event.operation_description,
            "tags": tag_objects(event),
            "message": {"$ref": f"#/components/messages/{event.message}"},
        },
    }


def server_texts() -> tuple[str, str, Json]:
    """Descriptions of webhook and journal, and the variable in the webhook's address."""
    return _WEBHOOK, _JOURNAL, _WEBHOOK_DOMAIN


def catalogue_events(builtin: Builtin) -> list[tuple[BuiltinEvent, DeliveryFormat]]:
    """All events in the order of the catalogue, each with the format that it is delivered in."""
    return [(event, each.provider.event_delivery_format) for each in builtin.providers for event in each.events]


def info_object(document: DocumentInfo) -> Json:
    info: Json = {"title": document.title, "version": document.version}
    if document.description:
        info["description"] = document.description
    for name, named in (("contact", document.contact), ("license", document.license)):
        if named is not None:
            info[name] = {"name": named.name, "url": named.url}
    return info


def tag_objects(event: BuiltinEvent) -> list[Json]:
    return [{"name": tag} for tag in event.tags]


def components_object(builtin: Builtin) -> Json:
    """Messages and schemas, worded alike in both versions."""
    messages: Json = {}
    schemas: Json = {}
    for each in builtin.providers:
        is_envelope = each.provider.event_delivery_format == "adobe_io"
        name, schema = ("EventEnvelope", _envelope()) if is_envelope else ("CloudEvent", _cloud_event())
        schemas.setdefault(name, schema)
        source = f"urn:uuid:{each.provider.id}"
        for event in each.events:
            if is_envelope:
                payload, example = _enveloped(event), _enveloped_example(event, source)
            else:
                payload, example = _cloud_event_payload(event, source), _cloud_event_example(event, source)
            messages[event.message] = _message(event, is_envelope, example)
            schemas[_payload_name(event)] = payload
    return {"messages": messages, "schemas": schemas}


def _payload_name(event: BuiltinEvent) -> str:
    return event.message.removesuffix("Event") + "Payload"


def _message(event: BuiltinEvent, is_envelope: bool, example: Json | None) -> Json:
    message: Json = {
        "name": event.message,
        "title": event.message_title,
        "summary": event.message_summary,
        "contentType": "application/json" if is_envelope else "application/cloudevents+json",
        "payload": {"$ref": f"#/components/schemas/{_payload_name(event)}"},
    }
    if example is not None:
        summary = f"What {event.event_code} looks like."
        message["examples"] = [{"name": f"{event.message}Example", "summary": summary, "payload": example}]
    return message


def _envelope() -> Json:
    return {
        "type": "object",
        "description": "What every event has in common when it is delivered in the envelope.",
        "properties": {
            "event_id": {**_STRING, "description": "Given by the gateway; the same at each delivery of this event."},
            "event": {"type": "object", "description": "What the publisher said."},
            "recipient_client_id": {**_STRING, "description": "Client id of the registration that gets it."},
        },
    }


def _enveloped(event: BuiltinEvent) -> Json:
    return {"type": "object", "properties": {"event_id": _STRING, "event": _content(event)}}


def _content(event: BuiltinEvent) -> Json:
    return {"type": "object", "properties": {"body": event.body, "header": event.header}}


def _enveloped_example(event: BuiltinEvent, source: str) -> Json | None:
    sample = event.sample_event
    return None if sample is None else {"event_id": _EXAMPLE_ID, "event": _filled(sample["event"], event, source)}


def _filled(content: Json, event: BuiltinEvent, source: str) -> Json:
    """A sample whose placeholders have values, as those of a sent one do."""
    text = msgspec.json.encode(content)
    for placeholder, value in (
        (b"{{uuid}}", _EXAMPLE_ID),
        (b"{{now}}", _EXAMPLE_TIME),
        (b"{{clientId}}", "<your_client_id>"),
        (b"{{providerId}}", source.rpartition(":")[2]),
        (b"{{eventCode}}", event.event_code),
    ):
        text = text.replace(placeholder, value.encode())
    return msgspec.json.decode(text, type=Json)


def _cloud_event() -> Json:
    return {
        "type": "object",
        "description": "What every event has in common when it is delivered as a CloudEvent.",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {**_STRING, "const": "1.0"},
            "id": {**_STRING, "minLength": 1, "description": "Given by the publisher."},
            "source": {**_STRING, "description": "The provider, as urn:uuid:<provider id>."},
            "type": {**_STRING, "description": "The event code."},
            "datacontenttype": _STRING,
            "time": {**_STRING, "format": "date-time"},
            "data": {"type": "object", "description": "What the publisher said."},
            "eventid": {**_STRING, "description": "Given by the gateway; the same at each delivery of this event."},
            "recipientclientid": {**_STRING, "description": "Client id of the registration that gets it."},
        },
    }


def _cloud_event_payload(event: BuiltinEvent, source: str) -> Json:
    properties = {
        "specversion": {**_STRING, "const": "1.0"},
        "id": _STRING,
        "source": {**_STRING, "const": source},
        "type": {**_STRING, "const": event.event_code},
        "datacontenttype": _STRING,
        "time": {**_STRING, "format": "date-time"},
        "data": _content(event),
        "eventid": _STRING,
    }
    return {"type": "object", "required": ["specversion", "id", "source", "type"], "properties": properties}


def _cloud_event_example(event: BuiltinEvent, source: str) -> Json | None:
    sample = event.sample_event
    if sample is None:
        return None
    return {
        "specversion": "1.0",
        "id": "1",
        "source": source,
        "type": event.event_code,
        "datacontenttype": "application/json",
        "time": _EXAMPLE_TIME,
        "data": _filled(sample["event"], event, source),
        "eventid": _EXAMPLE_ID,
    }
