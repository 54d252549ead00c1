"""Schemas at the door: off, warn and reject in every mode of publishing, versions of schemas, what a change may do."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from eventmill.model import EventMetadata, OrgId
from eventmill.store.control import Replace
from tests.http.client import Answer
from tests.http.world import CLIENT, WORKSPACE, World, running

pytestmark = pytest.mark.anyio

CODE = "com.acme.low"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["sku"],
    "properties": {"sku": {"type": "string"}, "left": {"type": "integer", "minimum": 0}},
}
GOOD, BAD = {"sku": "A1", "left": 3}, {"sku": 5, "left": -1}
TOLD = f"{CODE}: data.sku: must be string, but is integer; data.left: does not satisfy minimum 0"
WARNING = "x-eventmill-schema-warning"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, schema_versions_kept=3) as each:
        yield each


async def guarded(world: World, enforcement: str | None, *, heard: bool = True, **members: Any) -> dict[str, Any]:
    """A topic whose event code has a schema; returns it with the registration that hears it."""
    given = {} if enforcement is None else {"schema_enforcement": enforcement}
    provider = await world.provider(**given, **members)
    await world.metadata(provider, CODE, data_schema=SCHEMA)
    topic: dict[str, Any] = {"provider_id": provider["id"], "event_code": CODE}
    registration = await world.register(topic, delivery_type="journal", webhook_url=...) if heard else None
    return {**topic, "registration": registration}


def event(topic: dict[str, Any], data: Any, id: str = "1") -> dict[str, Any]:
    return {"specversion": "1.0", "id": id, "source": f"urn:uuid:{topic['provider_id']}", "type": CODE, "data": data}


async def publish(world: World, body: Any, media: str = "application/cloudevents+json", **headers: str) -> Answer:
    return await world.call("POST", "/", body, headers={**world.auth(), "content-type": media, **headers})


async def publish_all_ways(world: World, topic: dict[str, Any], data: Any) -> dict[str, Answer]:
    source = f"urn:uuid:{topic['provider_id']}"
    binary = {"ce-specversion": "1.0", "ce-id": "2", "ce-source": source, "ce-type": CODE}
    raw = {"x-adobe-event-provider-id": topic["provider_id"], "x-adobe-event-code": CODE}
    return {
        "structured": await publish(world, event(topic, data)),
        "binary": await publish(world, data, "application/json", **binary),
        "raw": await publish(world, data, "application/json", **raw),
        "batch": await publish(world, [event(topic, data)], "application/cloudevents-batch+json"),
    }


@pytest.mark.parametrize("heard", [True, False])
async def test_reject_refuses_every_mode(world: World, heard: bool) -> None:
    """400 that names event code and places, whether or not anybody subscribes; only the good events are stored."""
    topic = await guarded(world, "reject", heard=heard)

    bad = await publish_all_ways(world, topic, BAD)
    good = await publish_all_ways(world, topic, GOOD)

    for mode, answer in bad.items():
        assert answer.status == 400, mode
        if mode != "batch":
            assert answer.json() == {"reason": "schema_violation", "message": TOLD}
    assert bad["batch"].json()["reason"] == "invalid_batch"
    assert [(each["reason"], each["message"]) for each in bad["batch"].json()["errors"]] == [("schema_violation", TOLD)]
    wanted = 200 if heard else 204
    assert {mode: each.status for mode, each in good.items()} == {**dict.fromkeys(good, wanted), "batch": 200}
    assert all(each.header(WARNING) in (None, "") for each in good.values())
    if heard:
        assert [each["data"] for each in await world.journal(topic["registration"])] == [GOOD] * 4


@pytest.mark.parametrize("heard", [True, False])
async def test_warn_stores_and_says_so(world: World, heard: bool) -> None:
    """The answer has the header, that of a batch a member beside the event; good events have neither."""
    topic = await guarded(world, "warn", heard=heard)

    bad = await publish_all_ways(world, topic, BAD)
    good = await publish_all_ways(world, topic, GOOD)

    for mode in ("structured", "binary", "raw"):
        assert (bad[mode].status, bad[mode].header(WARNING)) == (200 if heard else 204, TOLD)
        assert good[mode].header(WARNING) in (None, "")
    assert [each["schema_warning"] for each in bad["batch"].json()["results"]] == [TOLD]
    assert "schema_warning" not in good["batch"].json()["results"][0]
    if heard:
        assert [each["data"] for each in await world.journal(topic["registration"])] == [BAD] * 4 + [GOOD] * 4


async def test_warnings_are_logged_once_a_minute_per_code(world: World) -> None:
    """However many come: the log is not the publisher's to fill. The metric counts them."""
    topic = await guarded(world, "warn")
    with structlog.testing.capture_logs() as logs:
        for number in range(5):
            await publish(world, event(topic, BAD, str(number)))
    [line] = [each for each in logs if each["event"] == "schema_violated"]
    assert (line["event_code"], line["cause"]) == (CODE, TOLD)
    assert "\neventmill_schema_warnings_total 5\n" in (await world.call("GET", "/metrics")).body.decode()


async def test_off_is_the_default(world: World) -> None:
    """Nothing is looked at, nothing shown: bodies are what they always were."""
    topic = await guarded(world, None)
    bad = await publish_all_ways(world, topic, BAD)
    assert {each.status for each in bad.values()} == {200}
    assert all(each.header(WARNING) in (None, "") for each in bad.values())
    assert "schema_enforcement" not in (await world.call("GET", f"/events/providers/{topic['provider_id']}")).json()


async def test_enforcement_stays_where_clients_leave_it_out(world: World) -> None:
    """Official clients replace a provider without knowing of it; a patch and a replacement can change it."""
    topic = await guarded(world, "reject")
    path = f"{WORKSPACE}/providers/{topic['provider_id']}"

    kept = await world.call("PUT", path, {"label": "Renamed"})
    patch = [{"op": "replace", "path": "/schema_enforcement", "value": "warn"}]
    patched = await world.call(
        "PATCH", path, patch, headers={**world.auth(), "content-type": "application/json-patch+json"}
    )
    warned = await publish(world, event(topic, BAD))
    off = await world.call("PUT", path, {"label": "Renamed", "schema_enforcement": "off"})
    wrong = await world.call("PUT", path, {"label": "Renamed", "schema_enforcement": "maybe"})

    assert (kept.json()["schema_enforcement"], patched.json()["schema_enforcement"]) == ("reject", "warn")
    assert (warned.status, warned.header(WARNING)) == (200, TOLD)
    assert "schema_enforcement" not in off.json()
    assert (await publish(world, event(topic, BAD))).header(WARNING) in (None, "")
    assert (wrong.status, wrong.json()["reason"]) == (400, "invalid_body")


async def test_a_batch_is_all_or_nothing(world: World) -> None:
    """Each bad event is named with its place; the good ones are not stored either."""
    topic = await guarded(world, "reject")
    batch = [event(topic, data, str(at)) for at, data in enumerate([GOOD, BAD, GOOD, None])]

    answer = await publish(world, batch, "application/cloudevents-batch+json")

    assert answer.status == 400
    assert [each["reason"] for each in answer.json()["errors"]] == ["schema_violation"] * 2
    assert await world.journal(topic["registration"]) == []


async def test_envelopes_are_checked_by_their_data(world: World) -> None:
    """For a provider of `adobe_io` format the schema is that of what was published as data, which becomes `event`."""
    topic = await guarded(world, "reject", event_delivery_format="adobe_io")
    assert (await publish(world, event(topic, BAD))).status == 400
    assert (await publish(world, event(topic, GOOD))).status == 200
    assert await world.journal(topic["registration"]) == [GOOD]


async def test_samples_obey(world: World) -> None:
    """A posted sample is an event like others."""
    topic = await guarded(world, "reject")
    registration = topic["registration"]["registration_id"]
    path = f"/events/providers/{topic['provider_id']}/eventmetadata/{CODE}/sample_event/{registration}"
    refused = await world.call("POST", path, BAD)
    sent = await world.call("POST", path, GOOD)
    await world.call(
        "PUT", f"{WORKSPACE}/providers/{topic['provider_id']}", {"label": "W", "schema_enforcement": "warn"}
    )
    warned = await world.call("POST", path, BAD)
    assert (refused.status, refused.json()["reason"]) == (400, "schema_violation")
    assert (sent.status, warned.status, warned.header(WARNING)) == (200, 200, TOLD)


async def test_a_change_binds_the_next_publish(world: World) -> None:
    """What a write answered, the next event obeys: schema, and enforcement."""
    topic = await guarded(world, "reject")
    form = {"event_code": CODE, "label": "L", "description": "D", "data_schema": None}
    assert (await publish(world, event(topic, BAD))).status == 400
    changed = await world.call("PUT", metadata_path(topic), form)
    assert changed.status == 200
    assert (await publish(world, event(topic, BAD))).status == 200


async def rewrite_schema(world: World, schema: str) -> None:
    """As another node does, of which this one has not heard yet."""
    [stored] = await world.store.list_docs("event_metadata", OrgId("1001"))
    metadata = msgspec.json.decode(stored.doc, type=EventMetadata)
    doc = msgspec.json.encode(msgspec.structs.replace(metadata, data_schema=schema))
    await world.store.write([Replace("event_metadata", stored.org, stored.id, doc, stored.version, None)])


async def test_an_older_picture_neither_refuses_nor_takes(world: World) -> None:
    """What another node changed binds: a schema that takes the event, one that refuses it, alone and in a batch."""
    topic = await guarded(world, "reject")
    batch = "application/cloudevents-batch+json"
    await rewrite_schema(world, "{}")
    assert (await publish(world, event(topic, BAD))).status == 200
    await rewrite_schema(world, json.dumps(SCHEMA))
    assert (await publish(world, event(topic, BAD))).status == 400
    await rewrite_schema(world, "{}")
    assert (await publish(world, [event(topic, BAD)], batch)).status == 200
    await rewrite_schema(world, json.dumps(SCHEMA))
    assert (await publish(world, [event(topic, BAD)], batch)).status == 400
    assert len(await world.journal(topic["registration"])) == 2


async def test_more_schemas_than_are_kept(tmp_path: Path) -> None:
    """Those that are forgotten are compiled again."""
    async with running(tmp_path, schema_memory_bytes_max=1) as world:
        provider = await world.provider(schema_enforcement="reject")
        for code, kind in (("one", "string"), ("two", "integer")):
            await world.metadata(provider, code, data_schema={"type": kind, "pattern": "^a"})
        source = {"specversion": "1.0", "id": "1", "source": f"urn:uuid:{provider['id']}"}
        for _ in range(2):
            for code, fits, not_fits in (("one", "a", 1), ("two", 1, "a")):
                assert (await publish(world, {**source, "type": code, "data": fits})).status == 204
                assert (await publish(world, {**source, "type": code, "data": not_fits})).status == 400


async def test_a_broken_stored_schema_stops_nobody(world: World) -> None:
    """As an older release may have stored one: logged, and every event passes."""
    topic = await guarded(world, "reject")
    await rewrite_schema(world, '{"pattern":"(?=a)b"}')
    with structlog.testing.capture_logs() as logs:
        assert (await publish(world, event(topic, BAD))).status == 200
        assert (await publish(world, event(topic, BAD))).status == 200
    assert [each["event"] for each in logs if each["event"].startswith("schema")] == ["schema_broken"]


async def test_schemas_that_fell_are_no_fault_of_the_gateway(world: World) -> None:
    """References that lead nowhere, in a schema as it may have been stored: nobody's publishing fails by them."""
    topic = await guarded(world, "reject")
    await rewrite_schema(world, '{"dependencies":{"sku":{"$ref":"#/definitions/a"}},"definitions":{"a":false}}')
    for answer in (await publish_all_ways(world, topic, BAD)).values():
        assert answer.status == 200


async def test_costly_events_stop_nobody(world: World) -> None:
    """What cannot be checked in time is refused like data that do not fit, and told so."""
    topic = await guarded(world, "reject")
    await rewrite_schema(world, json.dumps({"pattern": "^[01]*1[01]{9000}2$"}))
    answer = await publish(world, event(topic, "01" * 10_000))
    assert (answer.status, answer.json()["reason"]) == (400, "schema_violation")
    assert "too many to be checked" in answer.json()["message"]


async def test_schemas_that_cannot_be_checked_are_refused(world: World) -> None:
    """When they are given, with the reason."""
    provider = await world.provider()
    form = {"event_code": CODE, "label": "L", "description": "D", "data_schema": {"pattern": "(?=a)b"}}
    answer = await world.call("POST", f"{WORKSPACE}/providers/{provider['id']}/eventmetadata", form)
    assert (answer.status, answer.json()["reason"]) == (400, "invalid_body")
    assert "linear time" in answer.json()["message"]


async def test_deep_schemas_are_refused(world: World) -> None:
    """By whoever meets their depth first: none is a fault of the gateway."""
    provider = await world.provider()
    for depth in (300, 490, 900, 5000):
        text = '{"not":' * depth + "{}" + "}" * depth
        form = f'{{"event_code":"{CODE}","label":"L","description":"D","data_schema":{text}}}'.encode()
        answer = await world.call("POST", f"{WORKSPACE}/providers/{provider['id']}/eventmetadata", form)
        assert answer.status == 400, depth


def metadata_path(topic: dict[str, Any]) -> str:
    return f"{WORKSPACE}/providers/{topic['provider_id']}/eventmetadata/{CODE}"


async def set_schema(world: World, topic: dict[str, Any], schema: Any, query: str = "", **members: Any) -> Answer:
    form = {"event_code": CODE, "label": "L", "description": "D", "data_schema": schema, **members}
    return await world.call("PUT", metadata_path(topic) + query, form)


async def versions(world: World, topic: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await world.call("GET", f"/events/providers/{topic['provider_id']}/eventmetadata/{CODE}/schemas")
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.json()["schemas"]
    return found


async def test_each_change_is_a_version(world: World) -> None:
    """Number, time, who; the newest first, the oldest dropped; what does not change the schema makes none."""
    topic = await guarded(world, None, heard=False)
    for schema in (SCHEMA, {"type": "object"}, None, {}):
        assert (await set_schema(world, topic, schema)).status == 200
    listed = await versions(world, topic)
    assert [(each["version"], each["data_schema"], each["client_id"]) for each in listed] == [
        (4, {}, CLIENT),
        (3, None, CLIENT),
        (2, {"type": "object"}, CLIENT),
    ]
    assert all(each["created_date"].endswith("Z") for each in listed)


async def test_versions_go_with_the_event_code(world: World) -> None:
    """Deleted alone, with all others, or with the provider; made anew, it begins at 1."""
    topic = await guarded(world, None, heard=False)
    parent = f"{WORKSPACE}/providers/{topic['provider_id']}"
    form = {"event_code": CODE, "label": "L", "description": "D", "data_schema": {}}
    for doomed in (metadata_path(topic), f"{parent}/eventmetadata"):
        assert (await world.call("DELETE", doomed)).status == 204
        assert await world.store.scan("schema_history") == []
        assert (await world.call("POST", f"{parent}/eventmetadata", form)).status == 201
        assert [each["version"] for each in await versions(world, topic)] == [1]
    assert (await world.call("DELETE", parent)).status == 204
    assert await world.store.scan("schema_history") == []


async def test_a_change_that_would_refuse_stored_events_is_refused(world: World) -> None:
    """409 names the events and why, unless forced; events that the old schema refused do not count."""
    topic = await guarded(world, "warn")
    await publish(world, event(topic, GOOD))
    await publish(world, event(topic, {"sku": 5, "note": "already refused"}))
    stricter = {**SCHEMA, "required": ["sku", "place"]}

    refused = await set_schema(world, topic, stricter)
    looser = await set_schema(world, topic, {"type": "object"})
    forced = await set_schema(world, topic, stricter, "?force=true")
    wrong = await set_schema(world, topic, {}, "?force=maybe")

    [stored] = [each for each in await world.journal(topic["registration"]) if each["data"] == GOOD]
    assert (refused.status, refused.json()["reason"]) == (409, "incompatible_schema")
    message = refused.json()["message"]
    assert f"event {stored['eventid']}: {CODE}: data: place is required, but missing" in message
    assert message.count("event 0") <= 2 and "?force=true" in message
    assert (looser.status, forced.status, wrong.status) == (200, 200, 400)
    assert [each["version"] for each in await versions(world, topic)] == [3, 2, 1]


async def test_events_without_a_schema_were_all_accepted(world: World) -> None:
    """So the first schema is tried on them, also in the envelope format."""
    provider = await world.provider(event_delivery_format="adobe_io")
    await world.metadata(provider, CODE)
    topic: dict[str, Any] = {"provider_id": provider["id"], "event_code": CODE}
    await world.register(topic, delivery_type="journal", webhook_url=...)
    await publish(world, event(topic, BAD))
    assert (await set_schema(world, topic, SCHEMA)).status == 409
    assert (await set_schema(world, topic, {"type": "object"})).status == 200


async def test_the_sample_is_tried_too(world: World) -> None:
    """The one that is there; a change that brings a better sample along is still one that breaks the old."""
    provider = await world.provider()
    sample = base64.b64encode(json.dumps({"sku": 1}).encode()).decode()
    await world.metadata(provider, CODE, sample_event_template=sample)
    topic: dict[str, Any] = {"provider_id": provider["id"], "event_code": CODE}
    refused = await set_schema(world, topic, SCHEMA, sample_event_template=sample)
    patch = [{"op": "add", "path": "/data_schema", "value": SCHEMA}]
    media = {**world.auth(), "content-type": "application/json-patch+json"}
    patched = await world.call("PATCH", metadata_path(topic), patch, headers=media)
    forced = await world.call("PATCH", metadata_path(topic) + "?force=true", patch, headers=media)
    assert (refused.status, refused.json()["reason"]) == (409, "incompatible_schema")
    assert "the sample event" in refused.json()["message"]
    assert (patched.status, forced.status) == (409, 200)


async def test_an_imported_document_obeys(world: World) -> None:
    """Import makes versions too, and may not break what was accepted unless forced."""
    topic = await guarded(world, None)
    await publish(world, event(topic, GOOD))
    exported = (await world.call("GET", f"/events/providers/{topic['provider_id']}/asyncapi")).json()
    text = json.dumps(exported).replace('"required": ["sku"]', '"required": ["place"]')
    path = f"{WORKSPACE}/asyncapi?provider={topic['provider_id']}"
    refused = await world.call(
        "POST", path, text.encode(), headers={**world.auth(), "content-type": "application/json"}
    )
    forced = await world.call(
        "POST", f"{path}&force=true", text.encode(), headers={**world.auth(), "content-type": "application/json"}
    )
    assert (refused.status, forced.status) == (409, 200), (refused.body, forced.body)
    assert [each["version"] for each in await versions(world, topic)] == [2, 1]
