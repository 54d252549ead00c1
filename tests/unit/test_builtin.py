"""The built-in catalogue says exactly what is known of the five providers and their eight events."""

from __future__ import annotations

import base64
import json
from uuid import NAMESPACE_URL, UUID, uuid5

import jsonschema
import pytest

from eventmill.config import Config
from eventmill.core.builtin import NOTHING_BUILT_IN
from eventmill.flow.builtin import load_builtin
from eventmill.model import BUILTIN_ORG
from tests.unit.catalogue_facts import CHANNELS, PROVIDERS

NAMESPACE = UUID("7f64148f-356d-589e-97a4-0639fc7653bf")


def test_families() -> None:
    """Five families, each for its one provider."""
    families = load_builtin(Config()).families

    assert [(each.id, each.group, each.label) for each in families] == [
        (facts.family, facts.group, facts.label) for facts in PROVIDERS
    ]
    assert not any(each.has_multiple_providers for each in families)


def test_providers() -> None:
    """Ids, families and labels; all belong to nobody, are published by Adobe and delivered in the envelope."""
    builtin = load_builtin(Config())

    assert builtin.publisher == "Adobe"
    assert [
        (each.provider.id, each.provider.provider_metadata, each.provider.label, len(each.events))
        for each in builtin.providers
    ] == [(facts.id, facts.family, facts.label, len(facts.channels)) for facts in PROVIDERS]
    assert {each.provider.org for each in builtin.providers} == {BUILTIN_ORG}
    assert {each.provider.event_delivery_format for each in builtin.providers} == {"adobe_io"}


def test_ids_follow_from_names() -> None:
    """A provider's id is the UUIDv5 of its channels' first segment, in the namespace of the catalogue's address."""
    assert uuid5(NAMESPACE_URL, "https://developer.adobe.com/events/catalog") == NAMESPACE
    for facts in PROVIDERS:
        assert {str(uuid5(NAMESPACE, each.channel.partition("/")[0])) for each in facts.channels} == {facts.id}


def test_events() -> None:
    """Code, channel, operation, message, title, tags, and the schemas of header and body, member by member."""
    events = [event for each in load_builtin(Config()).providers for event in each.events]

    assert [event.event_code for event in events] == [facts.code for facts in CHANNELS]
    for event, facts in zip(events, CHANNELS, strict=True):
        assert event.channel == facts.channel
        assert event.operation_id == facts.operation
        assert (event.message, event.message_title) == (facts.message, facts.title)
        assert event.tags == facts.tags
        assert event.header == facts.header_schema
        assert event.body == facts.body_schema
        texts = (event.label, event.description, event.channel_description, event.summary, event.message_summary)
        assert all(texts) and event.operation_description


@pytest.mark.parametrize("channel", [facts.channel for facts in CHANNELS])
def test_samples_fit_their_schemas(channel: str) -> None:
    """Each event has a sample whose header and body are valid, complete, and say their code."""
    events = [event for each in load_builtin(Config()).providers for event in each.events]
    [event] = [each for each in events if each.channel == channel]

    assert event.sample_event is not None
    assert set(event.sample_event) == {"event_id", "event", "recipient_client_id"}
    content = event.sample_event["event"]
    for part, schema in (("header", event.header), ("body", event.body)):
        jsonschema.validate(content[part], schema, format_checker=jsonschema.FormatChecker())
        assert set(content[part]) == set(schema["properties"])
    assert content["header"]["eventType"] == event.event_code


def test_samples_become_templates() -> None:
    """As event metadata, an event has its sample where the samples of organisations are: as base64 of its data."""
    [provider, *_] = load_builtin(Config()).providers
    [metadata, *_] = provider.event_metadata()

    assert metadata.event_code == provider.events[0].event_code
    template = json.loads(base64.b64decode(metadata.sample_event_template or ""))
    sample = provider.events[0].sample_event
    assert sample is not None and template == sample["event"]


def test_cloud_events_by_setting() -> None:
    """The delivery format is a setting; nothing else differs."""
    builtin = load_builtin(Config(catalog_delivery_format="cloud_events_v1"))

    assert {each.provider.event_delivery_format for each in builtin.providers} == {"cloud_events_v1"}
    assert [each.events for each in builtin.providers] == [each.events for each in load_builtin(Config()).providers]


def test_switched_off() -> None:
    """`off` is no catalogue at all."""
    assert load_builtin(Config(catalog="off")) is NOTHING_BUILT_IN
