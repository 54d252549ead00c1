"""AsyncAPI both ways over HTTP: documents of providers and organizations, and providers from documents."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.http.client import Answer
from tests.http.world import WORKSPACE, World, running

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"sku": {"type": "string"}}}
VERSIONS = ["2.6.0", "3.0.0"]
METADATA = {"event_code": "com.acme.low", "label": "Low stock", "description": "Stock fell"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, catalog="") as each:
        yield each


def template(data: Any) -> str:
    return base64.b64encode(json.dumps(data).encode()).decode()


def document(*codes: str, title: str = "Shop & more™", **message: Any) -> dict[str, Any]:
    channels = {
        code: {"subscribe": {"message": {"title": f"Label: {code}!", "payload": SCHEMA, **message}}} for code in codes
    }
    return {"asyncapi": "2.6.0", "info": {"title": title, "version": "1"}, "channels": channels}


async def take_in(world: World, body: Any, query: str = "", **options: Any) -> Answer:
    return await world.call("POST", f"{WORKSPACE}/asyncapi{query}", body, **options)


async def metadata(world: World, provider_id: str, **query: Any) -> dict[str, dict[str, Any]]:
    answer = await world.call("GET", f"/events/providers/{provider_id}/eventmetadata")
    return {each["event_code"]: each for each in answer.json()["_embedded"]["eventmetadata"]}


@pytest.mark.parametrize("version", VERSIONS)
async def test_document_of_a_provider(world: World, version: str) -> None:
    """Its codes with their schemas, attached or told from the sample; JSON and YAML say the same."""
    provider = await world.provider("Shop")
    path = f"{WORKSPACE}/providers/{provider['id']}/eventmetadata"
    sample = template({"sku": "A1", "left": 3})
    assert (await world.call("POST", path, {**METADATA, "data_schema": SCHEMA})).status == 201
    assert (
        await world.call("POST", path, {**METADATA, "event_code": "out", "sample_event_template": sample})
    ).status == 201

    at = f"/events/providers/{provider['id']}/asyncapi?version={version}"
    made, as_yaml = (await world.call("GET", at)).json(), await world.call("GET", f"{at}&format=yaml")

    assert (made["asyncapi"], made["info"]["title"], list(made["channels"])) == (
        version,
        "Shop",
        ["com.acme.low", "out"],
    )
    data = [schema["properties"]["data"] for schema in made["components"]["schemas"].values()]
    assert data == [SCHEMA, {"type": "object", "properties": {"sku": {"type": "string"}, "left": {"type": "integer"}}}]
    assert (as_yaml.header("content-type"), yaml.safe_load(as_yaml.body)) == ("application/yaml", made)


async def test_document_of_an_organization(world: World) -> None:
    """All of its own providers, none of another organization's, nor the built-in ones."""
    await world.topic("One")
    await world.topic("Two")
    made = (await world.call("GET", "/events/1001/asyncapi")).json()
    theirs = (await world.call("GET", "/events/1002/asyncapi", headers=world.foreign_auth())).json()

    assert (made["info"]["title"], len(made["channels"]), theirs["channels"]) == ("Acme", 2, {})


async def test_documents_are_bounded(tmp_path: Path) -> None:
    """Of an organization with more than one document may hold, the providers can be asked for one by one."""
    async with running(tmp_path, asyncapi_bytes_max=1200) as world:
        first = await world.topic("One")
        second = await world.topic("Two")
        assert (await world.call("GET", "/events/1001/asyncapi")).status == 200
        path = f"{WORKSPACE}/providers/{first['provider_id']}/eventmetadata/{first['event_code']}"
        form = {"event_code": first["event_code"], "label": "L", "description": "D"}
        large = {"enum": ["x" * 400]}
        assert (await world.call("PUT", path, {**form, "data_schema": large})).status == 200

        refused = await world.call("GET", "/events/1001/asyncapi")
        alone = [
            await world.call("GET", f"/events/providers/{each['provider_id']}/asyncapi") for each in (first, second)
        ]
        assert (await world.call("PUT", path, {**form, "data_schema": {"enum": ["x" * 1000]}})).status == 200
        too_large = await world.call("GET", f"/events/providers/{first['provider_id']}/asyncapi")

    assert (refused.status, refused.json()["reason"]) == (413, "too_large")
    assert "its 2 providers one by one" in refused.json()["message"]
    assert [each.status for each in alone] == [200, 200]
    assert (too_large.status, "EVENTMILL_ASYNCAPI_BYTES_MAX" in too_large.json()["message"]) == (413, True)


@pytest.mark.parametrize("query", ["version=4", "format=xml"])
async def test_bad_questions(world: World, query: str) -> None:
    """Versions and forms that there are not."""
    assert (await world.call("GET", f"/events/1001/asyncapi?{query}")).status == 400


async def test_import(world: World) -> None:
    """Provider, codes, schemas and samples in one go; words that labels cannot hold are cut to those they can."""
    answer = await take_in(world, document("a/b", examples=[{"payload": {"sku": "A1"}}]), "?prefix=com.acme.")
    result = answer.json()

    assert (answer.status, result["provider_label"], result["created"]) == (201, "Shop more", ["com.acme.a.b"])
    found = (await metadata(world, result["provider_id"]))["com.acme.a.b"]
    assert (found["label"], found["data_schema"]) == ("Label: a b!", SCHEMA)
    path = f"/events/providers/{result['provider_id']}/eventmetadata/com.acme.a.b/sample_event"
    assert (await world.call("GET", path)).json()["sample_payload"]["data"] == {"sku": "A1"}
    topic = {"provider_id": result["provider_id"], "event_code": "com.acme.a.b"}
    await world.register(topic, delivery_type="journal")
    assert await world.publish(topic, "1") == 200


async def test_import_again(world: World) -> None:
    """The same title is taken; into the provider it changes what changed, and takes nothing away."""
    first = (await take_in(world, document("a", "b"))).json()
    assert (await take_in(world, document("a", "b"))).status == 409
    assert (await take_in(world, document("a"), "?label=Other")).status == 201

    changed = document("b", "c")
    changed["channels"]["c"]["subscribe"]["message"]["title"] = "New"
    changed["channels"]["b"]["subscribe"]["message"]["title"] = "Changed"
    again = await take_in(world, changed, f"?provider={first['provider_id']}")

    assert (again.status, again.json()["created"], again.json()["updated"]) == (200, ["c"], ["b"])
    assert {code: each["label"] for code, each in (await metadata(world, first["provider_id"])).items()} == {
        "a": "Label: a!",
        "b": "Changed",
        "c": "New",
    }
    assert (await take_in(world, changed, "?provider=none")).status == 404


async def test_dry_run(world: World) -> None:
    """Says what would be, and writes nothing."""
    epoch = await world.epoch()
    answer = await take_in(world, document("a"), "?dry_run=true")

    assert (answer.status, answer.json()["provider_id"], answer.json()["created"]) == (200, None, ["a"])
    assert await world.epoch() == epoch


async def test_nothing_by_halves(world: World) -> None:
    """A document that is refused leaves nothing behind."""
    epoch = await world.epoch()
    for body in ({}, {"asyncapi": "2.6.0"}, document()):
        answer = await take_in(world, body)
        assert (answer.status, answer.json()["reason"]) == (400, "invalid_body")
    assert (await take_in(world, b"[", headers={**world.auth(), "content-type": "application/json"})).status == 400
    assert await world.epoch() == epoch


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_catalogues_document(world: World, version: str) -> None:
    """The document of the built-in events makes a provider of one's own with the same eight, in the envelope."""
    catalogue = (await world.call("GET", f"/asyncapi/catalog.json?version={version}", headers={})).json()
    for message in catalogue["components"]["messages"].values():
        message["examples"][0]["x-microcks-default"] = True
    answer = await take_in(world, catalogue, "?prefix=com.adobe.")
    result = answer.json()

    assert (answer.status, len(result["created"]), len(result["warnings"])) == (201, 8, 8)
    assert all("x-microcks-default" in warning for warning in result["warnings"])
    builtin = {
        each
        for provider in world.parts.catalogue.builtin.providers
        for each in (event.event_code for event in provider.events)
    }
    assert set(result["created"]) == builtin
    provider = (await world.call("GET", f"/events/providers/{result['provider_id']}")).json()
    assert provider["event_delivery_format"] == "adobe_io"
    assert all(
        {"body", "header"} <= each["data_schema"]["properties"].keys()
        for each in (await metadata(world, result["provider_id"])).values()
    )


async def test_attached_schema(world: World) -> None:
    """Set, read, kept by a replacement that does not know of it, removed by null; what is no schema is refused."""
    provider = await world.provider("Shop")
    path = f"{WORKSPACE}/providers/{provider['id']}/eventmetadata"
    await world.call("POST", path, {**METADATA, "data_schema": SCHEMA})
    at = f"{path}/com.acme.low"
    kept = await world.call("PUT", at, {**METADATA, "label": "Other"})
    patched = await world.call(
        "PATCH",
        at,
        [{"op": "add", "path": "/data_schema/title", "value": "Stock"}],
        headers={**world.auth(), "content-type": "application/json-patch+json"},
    )
    faulty = await world.call("PUT", at, {**METADATA, "data_schema": {"type": "thing"}})
    large = await world.call("PUT", at, {**METADATA, "data_schema": {"description": "x" * 70_000}})
    removed = await world.call("PUT", at, {**METADATA, "data_schema": None})

    assert kept.json()["data_schema"] == SCHEMA
    assert patched.json()["data_schema"] == {**SCHEMA, "title": "Stock"}
    assert [(each.status, each.json()["message"].partition(":")[0]) for each in (faulty, large)] == [
        (400, "data_schema.type"),
        (400, "data_schema"),
    ]
    assert "data_schema" not in removed.json()
