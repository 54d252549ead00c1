"""Sample events: made from a template, looked at with GET and HEAD, posted to one registration only."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.world import BASE, CLIENT, WORKSPACE, World, running

pytestmark = pytest.mark.anyio

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
ANY_CLIENT = "<your_client_id>"


def template(document: Any) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def sample_path(topic: dict[str, Any]) -> str:
    return f"/events/providers/{topic['provider_id']}/eventmetadata/{topic['event_code']}/sample_event"


async def sampled_topic(world: World, document: Any, **members: Any) -> dict[str, Any]:
    provider = await world.provider(**members)
    await world.metadata(provider, sample_event_template=template(document))
    return {"provider_id": provider["id"], "event_code": "com.acme.low"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as each:
        yield each


async def test_data_template_becomes_an_event(world: World) -> None:
    """A template without specversion is the data of an event, shown as a webhook would get it."""
    topic = await sampled_topic(world, {"sku": "A1", "list": ["{{eventCode}}", 1, None]})

    answer = await world.call("GET", sample_path(topic))

    assert (answer.status, answer.header("content-type")) == (200, "application/hal+json;charset=UTF-8")
    body = answer.json()
    assert list(body) == ["_links", "format", "sample_payload"]
    assert body["_links"] == {"self": {"href": BASE + sample_path(topic)}}
    assert body["format"] == "cloud_events"
    event = body["sample_payload"]
    assert list(event) == [
        *("specversion", "id", "source", "type", "time", "datacontenttype", "data"),
        *("eventid", "event_id", "recipient_client_id", "recipientclientid"),
    ]
    assert event["source"] == f"urn:uuid:{topic['provider_id']}"
    assert event["data"] == {"sku": "A1", "list": ["com.acme.low", 1, None]}
    assert event["eventid"] == event["event_id"]
    assert event["recipient_client_id"] == event["recipientclientid"] == ANY_CLIENT


async def test_whole_event_template_keeps_its_attributes(world: World) -> None:
    """With specversion it is the event itself; what it leaves out is filled in; every placeholder works."""
    given = {
        "specversion": "1.0",
        "source": "urn:uuid:{{providerId}}",
        "data": {"at": "{{now}}", "for": "{{clientId}}", "keys": "{{uuid}} {{uuid}}", "other": "{{unknown}}"},
        "acmetenant": "eu",
    }
    topic = await sampled_topic(world, given)

    event = (await world.call("GET", sample_path(topic))).json()["sample_payload"]

    assert (event["acmetenant"], event["type"]) == ("eu", "com.acme.low")
    assert re.fullmatch(UUID, event["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["data"]["at"])
    assert event["data"]["at"] == event["time"]
    assert event["data"]["for"] == ANY_CLIENT
    assert event["data"]["other"] == "{{unknown}}"
    first, second = event["data"]["keys"].split(" ")
    assert re.fullmatch(UUID, first)
    assert first != second


async def test_sample_of_an_adobe_io_provider_is_enveloped(world: World) -> None:
    """Format and payload are those of its webhook deliveries."""
    topic = await sampled_topic(world, {"header": {}, "body": {"n": 1}}, event_delivery_format="adobe_io")

    body = (await world.call("GET", sample_path(topic))).json()

    assert body["format"] == "adobe_io"
    assert list(body["sample_payload"]) == ["event_id", "eventid", "event", "recipient_client_id", "recipientclientid"]
    assert body["sample_payload"]["event"] == {"header": {}, "body": {"n": 1}}


async def test_head_tells_whether_there_is_a_sample(world: World) -> None:
    """200 or 404, without a body."""
    sampled = await sampled_topic(world, {})
    plain = await world.topic("Other")

    answers = [await world.call("HEAD", sample_path(topic)) for topic in (sampled, plain)]

    assert [(answer.status, answer.body) for answer in answers] == [(200, b""), (404, b"")]


async def test_get_without_a_template(world: World) -> None:
    """404 names the code."""
    topic = await world.topic()

    answer = await world.call("GET", sample_path(topic))

    assert (answer.status, answer.json()["reason"]) == (404, "not_found")
    assert answer.json()["message"] == "a sample event does not exist in event code com.acme.low"


async def test_posted_sample_reaches_the_named_registration_only(world: World) -> None:
    """It is in that registration's journal, made for its client, and in nobody else's."""
    topic = await sampled_topic(world, {"for": "{{clientId}}"})
    chosen = await world.register(topic, name="chosen", delivery_type="journal")
    other = await world.register(topic, name="other", delivery_type="journal")

    answer = await world.call("POST", f"{sample_path(topic)}/{chosen['registration_id']}")

    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert re.fullmatch(UUID, answer.json()["eventid"])
    [event] = await world.journal(chosen)
    assert event["eventid"] == answer.json()["eventid"]
    assert event["data"] == {"for": CLIENT}
    assert event["recipient_client_id"] == CLIENT
    assert await world.journal(other) == []


async def test_posted_body_is_delivered_as_the_event(world: World) -> None:
    """A body takes the sample's place: as data, byte by byte, or as an event of its own."""
    topic = await sampled_topic(world, {"sample": True})
    registration = await world.register(topic, delivery_type="journal")
    target = f"{sample_path(topic)}/{registration['registration_id']}"

    for body in (b' {"n": 1.10, "big": 12345678901234567890123} ', b'{"specversion":"1.0","id":"own","data":2}'):
        assert (await world.call("POST", target, body)).status == 200

    href = registration["_links"]["rel:events"]["href"].removeprefix(BASE)
    journal = await world.call("GET", href)
    assert b'"data":{"n": 1.10, "big": 12345678901234567890123}' in journal.body
    own = journal.json()["events"][1]["event"]
    assert (own["id"], own["type"], own["data"]) == ("own", "com.acme.low", 2)


async def test_post_without_sample_and_body_does_nothing(world: World) -> None:
    """204, and the journal stays empty."""
    topic = await world.topic()
    registration = await world.register(topic, delivery_type="journal")

    answer = await world.call("POST", f"{sample_path(topic)}/{registration['registration_id']}")

    assert (answer.status, answer.body) == (204, b"")
    assert await world.journal(registration) == []


async def test_post_refusals_leave_no_event(world: World) -> None:
    """Unknown or unsubscribed registrations, bodies that make no event."""
    topic = await sampled_topic(world, {})
    await world.metadata({"id": topic["provider_id"]}, "com.acme.high")
    registration = await world.register(topic, delivery_type="journal")
    high = {**topic, "event_code": "com.acme.high"}
    id = registration["registration_id"]

    for target, body, status, reason, message in (
        (f"{sample_path(topic)}/none", None, 404, "not_found", "registration 'none' does not exist"),
        (f"{sample_path(high)}/{id}", None, 400, "unknown_event_of_interest", f"registration {id} has no event of"),
        (f"{sample_path(topic)}/{id}", b"[]", 400, "invalid_body", "the body: must be a JSON object"),
        (f"{sample_path(topic)}/{id}", b"{", 400, "invalid_json", "the body is not JSON"),
        (f"{sample_path(topic)}/{id}", b'{"a":1,"a":2}', 400, "invalid_json", "member 'a' appears twice"),
        (f"{sample_path(topic)}/{id}", b'{"specversion":"1.0","id":5}', 400, "invalid_event", "id: must be"),
        (
            f"{sample_path(topic)}/{id}",
            b'{"specversion":"1.0","source":"urn:uuid:other"}',
            400,
            "invalid_event",
            "source and type must be",
        ),
    ):
        answer = await world.call("POST", target, body)

        assert (answer.status, answer.json()["reason"]) == (status, reason)
        assert answer.json()["message"].startswith(message)
    assert await world.journal(registration) == []


async def test_storage_quota_binds_samples_too(tmp_path: Path) -> None:
    """Posting samples is no way around the organisation's quota of stored bytes."""
    async with running(tmp_path, stored_bytes_per_org=1) as world:
        topic = await sampled_topic(world, {})
        registration = await world.register(topic, delivery_type="journal")
        target = f"{sample_path(topic)}/{registration['registration_id']}"

        first, second = [await world.call("POST", target) for _ in range(2)]

        assert first.status == 200
        assert (second.status, second.json()["reason"]) == (429, "storage_quota_reached")
        assert second.header("retry-after") == "60"
        assert len(await world.journal(registration)) == 1


async def test_sample_is_placed_again_when_the_catalogue_was_stale(world: World) -> None:
    """A change that this process has not seen yet makes the append retry, not fail."""
    topic = await sampled_topic(world, {})
    registration = await world.register(topic, delivery_type="journal")
    form = {"event_code": "com.acme.other", "label": "Other", "description": "Other"}
    path = f"{WORKSPACE}/providers/{topic['provider_id']}/eventmetadata"
    epoch = world.parts.catalogue.epoch
    assert (await world.call("POST", path, form)).status == 201
    world.parts.catalogue.epoch = epoch

    answer = await world.call("POST", f"{sample_path(topic)}/{registration['registration_id']}")

    assert answer.status == 200
    assert len(await world.journal(registration)) == 1
