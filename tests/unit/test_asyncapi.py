"""The AsyncAPI documents say what is known of the eight channels, member by member, in both versions."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from eventmill.config import Config
from eventmill.core.asyncapi import build_document
from eventmill.core.asyncapi_v3 import build_document_v3
from eventmill.core.builtin_file import read_builtin
from eventmill.flow.builtin import load_builtin
from eventmill.model import DeliveryFormat
from tests.unit.catalogue_facts import CHANNELS, PROVIDERS, STRING, ChannelFacts

GATEWAY = "http://127.0.0.1:8080"


def document(version: str = "2.6.0", **settings: Any) -> Any:
    build = build_document if version == "2.6.0" else build_document_v3
    return build(load_builtin(Config(**settings)), GATEWAY)


def names(value: dict[str, Any]) -> list[str]:
    return list(value)


@pytest.mark.parametrize("version", ["2.6.0", "3.0.0"])
def test_info(version: str) -> None:
    """Title, version, contact and licence are those of the events' owner."""
    told = document(version)

    assert told["asyncapi"] == version
    assert told["info"].pop("description")
    assert told["info"] == {
        "title": "Adobe I/O Events",
        "version": "1.0.0",
        "contact": {"name": "Adobe Developer", "url": "https://developer.adobe.com/events/docs/"},
        "license": {"name": "Proprietary", "url": "https://www.adobe.com/legal/terms.html"},
    }


def test_servers() -> None:
    """A webhook at a domain to be filled in, and the journal."""
    servers = document()["servers"]

    assert names(servers) == ["webhook", "journal"]
    assert (servers["webhook"]["url"], servers["webhook"]["protocol"]) == ("https://{yourDomain}/webhook", "https")
    assert servers["webhook"]["variables"]["yourDomain"]["default"] == "example.com"
    assert (servers["journal"]["url"], servers["journal"]["protocol"]) == ("https://events.adobe.io", "https")


def test_servers_v3() -> None:
    """Version 3 has the same addresses, in parts."""
    servers = document("3.0.0")["servers"]

    webhook, journal = servers["webhook"], servers["journal"]
    assert (webhook["protocol"], webhook["host"], webhook["pathname"]) == ("https", "{yourDomain}", "/webhook")
    assert webhook["variables"]["yourDomain"]["default"] == "example.com"
    assert (journal["protocol"], journal["host"]) == ("https", "events.adobe.io")
    assert "pathname" not in journal


def test_channels() -> None:
    """Eight channels to subscribe to, each with its operation, tags and message."""
    channels = document()["channels"]

    assert names(channels) == [facts.channel for facts in CHANNELS]
    for facts in CHANNELS:
        channel = channels[facts.channel]
        assert set(channel) == {"description", "subscribe"}
        operation = channel["subscribe"]
        assert operation["operationId"] == facts.operation
        assert operation["tags"] == [{"name": tag} for tag in facts.tags]
        assert operation["message"] == {"$ref": f"#/components/messages/{facts.message}"}
        assert operation["summary"] and operation["description"] and channel["description"]


def test_channels_v3() -> None:
    """In version 3 operations stand by themselves: the service sends each message over its channel."""
    told = document("3.0.0")

    assert [each["address"] for each in told["channels"].values()] == [facts.channel for facts in CHANNELS]
    assert names(told["operations"]) == [facts.operation for facts in CHANNELS]
    for facts in CHANNELS:
        operation = told["operations"][facts.operation]
        id = facts.channel.replace("/", ".")
        assert (operation["action"], operation["channel"]) == ("send", {"$ref": f"#/channels/{id}"})
        assert operation["tags"] == [{"name": tag} for tag in facts.tags]
        assert operation["messages"] == [{"$ref": f"#/channels/{id}/messages/{facts.message}"}]
        messages = told["channels"][id]["messages"]
        assert messages == {facts.message: {"$ref": f"#/components/messages/{facts.message}"}}


@pytest.mark.parametrize("settings", [{}, {"catalog_delivery_format": "cloud_events_v1"}])
def test_both_versions_share_components(settings: dict[str, Any]) -> None:
    """Messages and schemas are worded alike."""
    assert document("3.0.0", **settings)["components"] == document(**settings)["components"]


def test_messages() -> None:
    """Eight JSON messages with title, payload schema and an example."""
    messages = document()["components"]["messages"]

    assert names(messages) == [facts.message for facts in CHANNELS]
    for facts in CHANNELS:
        message = messages[facts.message]
        assert (message["name"], message["title"]) == (facts.message, facts.title)
        assert message["contentType"] == "application/json"
        assert message["payload"] == {"$ref": f"#/components/schemas/{facts.payload}"}
        assert message["summary"]
        [example] = message["examples"]
        assert set(example) == {"name", "summary", "payload"}, "other members, x- ones too, are no part of the standard"


def test_schemas() -> None:
    """The common envelope, and eight payloads of an event id and an event of body and header, nothing required."""
    schemas = document()["components"]["schemas"]

    assert names(schemas) == ["EventEnvelope", *(facts.payload for facts in CHANNELS)]
    envelope = schemas["EventEnvelope"]
    types = {name: each["type"] for name, each in envelope["properties"].items()}
    assert types == {"event_id": "string", "event": "object", "recipient_client_id": "string"}
    for facts in CHANNELS:
        content = {"body": facts.body_schema, "header": facts.header_schema}
        event = {"type": "object", "properties": content}
        assert schemas[facts.payload] == {"type": "object", "properties": {"event_id": STRING, "event": event}}


@pytest.mark.parametrize("settings", [{}, {"catalog_delivery_format": "cloud_events_v1"}])
@pytest.mark.parametrize("facts", CHANNELS, ids=lambda facts: facts.channel)
def test_examples_are_valid(facts: ChannelFacts, settings: dict[str, Any]) -> None:
    """Each example fits its payload schema and the common one."""
    components = document(**settings)["components"]
    [example] = components["messages"][facts.message]["examples"]
    common = components["schemas"]["CloudEvent" if settings else "EventEnvelope"]

    for schema in (common, components["schemas"][facts.payload]):
        jsonschema.validate(example["payload"], schema, format_checker=jsonschema.FormatChecker())


def test_cloud_events() -> None:
    """Delivered as CloudEvents, payloads are CloudEvents of their provider and code, with body and header in `data`."""
    components = document(catalog_delivery_format="cloud_events_v1")["components"]

    assert names(components["schemas"]) == ["CloudEvent", *(facts.payload for facts in CHANNELS)]
    for provider in PROVIDERS:
        for facts in provider.channels:
            assert components["messages"][facts.message]["contentType"] == "application/cloudevents+json"
            schema = components["schemas"][facts.payload]
            assert schema["required"] == ["specversion", "id", "source", "type"]
            assert schema["properties"]["source"]["const"] == f"urn:uuid:{provider.id}"
            assert schema["properties"]["type"]["const"] == facts.code
            content = {"body": facts.body_schema, "header": facts.header_schema}
            assert schema["properties"]["data"] == {"type": "object", "properties": content}


def test_own_catalogue() -> None:
    """An operator's catalogue has a document of its own; its journal is this gateway's, and samples are not needed."""
    text = b"""{
      "document": {"title": "Shop", "version": "7"},
      "provider_metadata": [{"id": "shop", "group": "Acme", "label": "Shop", "description": "Shop"}],
      "providers": [{"id": "6f0d2a4e-58a9-4a33-8e8a-51d6e9f1a001", "provider_metadata": "shop", "label": "Shop",
        "events": [{"event_code": "sold", "label": "Sold", "description": "Sold"}]}]}"""
    builtin = read_builtin(text, "adobe_io")

    told = build_document(builtin, "https://gw.example/base")
    assert told["info"] == {"title": "Shop", "version": "7"}
    assert (told["servers"]["journal"]["url"], names(told["channels"])) == ("https://gw.example/base", ["sold"])
    assert "examples" not in told["components"]["messages"]["SoldEvent"]
    journal = build_document_v3(builtin, "https://gw.example/base")["servers"]["journal"]
    assert (journal["host"], journal["pathname"]) == ("gw.example", "/base")


@pytest.mark.parametrize("delivery_format", ["adobe_io", "cloud_events_v1"])
def test_placeholders_of_samples_have_values(delivery_format: DeliveryFormat) -> None:
    """What is filled in when a sample is sent, is filled in where a document shows it."""
    text = b"""{
      "provider_metadata": [{"id": "shop", "group": "Acme", "label": "Shop", "description": "Shop"}],
      "providers": [{"id": "6f0d2a4e-58a9-4a33-8e8a-51d6e9f1a001", "provider_metadata": "shop", "label": "Shop",
        "events": [{"event_code": "sold", "label": "Sold", "description": "Sold", "sample_event": {"event": {
          "header": {"all": "{{providerId}} {{eventCode}} {{clientId}}"}, "body": {"id": "{{uuid}}", "at": "{{now}}"}
        }}}]}]}"""

    document = build_document(read_builtin(text, delivery_format), GATEWAY)

    [example] = document["components"]["messages"]["SoldEvent"]["examples"]
    assert example["payload"]["event" if delivery_format == "adobe_io" else "data"] == {
        "header": {"all": "6f0d2a4e-58a9-4a33-8e8a-51d6e9f1a001 sold <your_client_id>"},
        "body": {"id": "00000000-0000-4000-8000-000000000001", "at": "2026-03-01T10:00:00Z"},
    }
