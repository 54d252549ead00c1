"""The AsyncAPI 3.0.0 document of a catalogue: what `core.asyncapi` says in 2.6.0, in the words of version 3.

A `subscribe` operation of 2.6.0 is what the described service sends, so here its action is `send`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from eventmill.core.asyncapi import catalogue_events, components_object, info_object, server_texts, tag_objects
from eventmill.core.builtin import Builtin, BuiltinEvent

Json = dict[str, Any]


def build_document_v3(builtin: Builtin, journal_url: str) -> Json:
    """`journal_url` is where the gateway serves journals, unless the catalogue names another place."""
    events = [event for event, _ in catalogue_events(builtin)]
    return {
        "asyncapi": "3.0.0",
        "info": info_object(builtin.document),
        "servers": server_objects_v3(builtin.document.journal_url or journal_url),
        "channels": {_channel_id(event): _channel(event) for event in events},
        "operations": {event.operation_id: _operation(event) for event in events},
        "components": components_object(builtin),
    }


def server_objects_v3(journal_url: str) -> dict[str, Json]:
    about_webhook, about_journal, domain = server_texts()
    url = urlsplit(journal_url)
    journal: Json = {"host": url.netloc, "protocol": url.scheme, "description": about_journal}
    if url.path:
        journal["pathname"] = url.path
    return {
        "webhook": {
            "host": "{yourDomain}",
            "pathname": "/webhook",
            "protocol": "https",
            "description": about_webhook,
            "variables": {"yourDomain": domain},
        },
        "journal": journal,
    }


def _channel_id(event: BuiltinEvent) -> str:
    """Without slashes, which references would have to escape."""
    return event.channel.replace("/", ".")


def _channel(event: BuiltinEvent) -> Json:
    return {
        "address": event.channel,
        "description": event.channel_description,
        "messages": {event.message: {"$ref": f"#/components/messages/{event.message}"}},
    }


def _operation(event: BuiltinEvent) -> Json:
    channel = f"#/channels/{_channel_id(event)}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "summary": event.summary,
        "description": event.operation_description,
        "tags": tag_objects(event),
        "messages": [{"$ref": f"{channel}/messages/{event.message}"}],
    }
