"""Event metadata over the wire: bodies, replacement, deletion of one and of all, and every refusal."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.world import BASE, WORKSPACE, World, running

pytestmark = pytest.mark.anyio

HAL = "application/hal+json;charset=UTF-8"
FORM = {"event_code": "com.acme.low", "label": "Low stock", "description": "Stock fell under its floor"}


def template(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as each:
        yield each


@pytest.fixture(scope="module")
async def refusing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[World, str]]:
    """A gateway for requests that change nothing, and the path of its only provider's event metadata."""
    async with running(tmp_path_factory.mktemp("refusing")) as each:
        provider = await each.provider()
        await each.metadata(provider, "com.acme.low")
        yield each, f"{WORKSPACE}/providers/{provider['id']}/eventmetadata"


def expected_body(provider_id: str, form: dict[str, Any]) -> dict[str, Any]:
    path = f"providers/{provider_id}/eventmetadata/{form['event_code']}"
    return {
        "_links": {
            "rel:sample_event": {"href": f"{BASE}/events/{path}/sample_event"},
            "rel:update": {"href": f"{BASE}{WORKSPACE}/{path}"},
            "self": {"href": f"{BASE}/events/{path}"},
        },
        "description": form["description"],
        "label": form["label"],
        "event_code": form["event_code"],
    }


async def test_created_event_metadata_has_the_whole_body_in_order(world: World) -> None:
    """POST answers 201 with links and members in the contract's order; the template is not echoed."""
    id = (await world.provider())["id"]
    form = {**FORM, "sample_event_template": template("{}"), "unknown": [1]}

    created = await world.call("POST", f"{WORKSPACE}/providers/{id}/eventmetadata", form)
    read = await world.call("GET", f"/events/providers/{id}/eventmetadata/com.acme.low")

    assert (created.status, created.header("content-type")) == (201, HAL)
    assert created.body.decode() == json.dumps(expected_body(id, FORM), separators=(",", ":"))
    assert (read.status, read.body) == (200, created.body)


async def test_list_of_a_provider(world: World) -> None:
    """Empty at first, with `_embedded`; then every code in creation order."""
    id = (await world.provider())["id"]
    empty = await world.call("GET", f"/events/providers/{id}/eventmetadata")
    for code in ("com.acme.low", "com.acme.high"):
        await world.metadata({"id": id}, code)

    listed = await world.call("GET", f"/events/providers/{id}/eventmetadata")

    self_link = {"self": {"href": f"{BASE}/events/providers/{id}/eventmetadata"}}
    assert empty.json() == {"_links": self_link, "_embedded": {"eventmetadata": []}}
    assert listed.json() == {
        "_links": self_link,
        "_embedded": {
            "eventmetadata": [expected_body(id, {**FORM, "event_code": c}) for c in ("com.acme.low", "com.acme.high")]
        },
    }


async def test_update_replaces_everything(world: World) -> None:
    """PUT answers 200 with the new body; an omitted template is gone."""
    provider = await world.provider()
    await world.metadata(provider, "com.acme.low", sample_event_template=template("{}"))
    path = f"/providers/{provider['id']}/eventmetadata/com.acme.low"
    form = {**FORM, "label": "Very low", "description": "Line one\nline two"}

    answer = await world.call("PUT", WORKSPACE + path, form)

    assert (answer.status, answer.json()) == (200, expected_body(provider["id"], form))
    assert (await world.call("GET", f"/events{path}")).body == answer.body
    assert (await world.call("GET", f"/events{path}/sample_event")).status == 404


async def test_label_of_a_changed_code_shows_in_registrations(world: World) -> None:
    """The catalogue is current when the PUT is answered."""
    topic = await world.topic()
    registration = await world.register(topic)
    path = f"{WORKSPACE}/providers/{topic['provider_id']}/eventmetadata/{topic['event_code']}"

    assert (await world.call("PUT", path, {**FORM, "label": "Renamed"})).status == 200

    read = await world.call("GET", registration["_links"]["self"]["href"].removeprefix(BASE))
    assert read.json()["events_of_interest"][0]["event_label"] == "Renamed"


async def test_delete_of_one_and_of_all(world: World) -> None:
    """204 without a body; a deleted code takes no events, and deleting all of none is 204 too."""
    provider = await world.provider()
    for code in ("com.acme.low", "com.acme.mid", "com.acme.high"):
        await world.metadata(provider, code)
    await world.register({"provider_id": provider["id"], "event_code": "com.acme.low"})
    path = f"{WORKSPACE}/providers/{provider['id']}/eventmetadata"

    one = await world.call("DELETE", f"{path}/com.acme.low")
    codes = await listed_codes(world, provider["id"])
    every = [await world.call("DELETE", path) for _ in range(2)]

    assert (one.status, one.body) == (204, b"")
    assert codes == ["com.acme.mid", "com.acme.high"]
    assert [(each.status, each.body) for each in every] == [(204, b"")] * 2
    assert await listed_codes(world, provider["id"]) == []
    assert await world.publish({"provider_id": provider["id"], "event_code": "com.acme.low"}) == 204


async def listed_codes(world: World, provider_id: str) -> list[str]:
    answer = await world.call("GET", f"/events/providers/{provider_id}/eventmetadata")
    return [each["event_code"] for each in answer.json()["_embedded"]["eventmetadata"]]


async def test_existing_code_conflicts(world: World) -> None:
    """409 names the code; the first description stays. Another provider may use the same code."""
    provider, other = await world.provider("One"), await world.provider("Two")
    for each in (provider, other):
        await world.metadata(each, "com.acme.low")

    path = f"{WORKSPACE}/providers/{provider['id']}/eventmetadata"
    answer = await world.call("POST", path, {**FORM, "description": "Another"})

    assert (answer.status, answer.header("x-conflicting-id")) == (409, "com.acme.low")
    assert answer.json()["message"] == f"provider {provider['id']} already has the event code com.acme.low"
    read = await world.call("GET", f"/events/providers/{provider['id']}/eventmetadata/com.acme.low")
    assert read.json() == expected_body(provider["id"], FORM)


async def test_event_code_cannot_change(world: World) -> None:
    """A PUT whose body has another code than the path is 400 and changes neither."""
    provider = await world.provider()
    await world.metadata(provider, "com.acme.low")
    path = f"/providers/{provider['id']}/eventmetadata"

    answer = await world.call("PUT", f"{WORKSPACE}{path}/com.acme.low", {**FORM, "event_code": "com.acme.high"})

    assert answer.status == 400
    assert answer.json()["message"] == "event_code: must be com.acme.low as in the path, but is com.acme.high"
    assert await listed_codes(world, provider["id"]) == ["com.acme.low"]


LONG = "x" * 256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event_code": ...}, "event_code: required, but missing"),
        ({"label": ...}, "label: required, but missing"),
        ({"description": ...}, "description: required, but missing"),
        ({"event_code": ""}, "event_code: must have 1 to 255 characters, but has 0"),
        ({"event_code": LONG}, "event_code: must have 1 to 255 characters, but has 256"),
        ({"event_code": "a/b"}, "event_code: may only hold letters, digits and -_., but is 'a/b'"),
        ({"event_code": "a b"}, "event_code: may only hold letters, digits and -_., but is 'a b'"),
        ({"event_code": "a\n"}, "event_code: may only hold letters, digits and -_., but is 'a\\n'"),
        ({"event_code": 7}, "event_code: expected str, got int"),
        ({"label": ""}, "label: must have 1 to 255 characters, but has 0"),
        ({"label": "a{b"}, "label: may only hold letters"),
        ({"description": ""}, "description: must have 1 to 255 characters, but has 0"),
        ({"description": LONG}, "description: must have 1 to 255 characters, but has 256"),
        ({"description": "a\u0007"}, "description: may only hold letters"),
        ({"sample_event_template": 5}, "sample_event_template: expected str | null, got int"),
        ({"sample_event_template": "a"}, "sample_event_template: must be base64, but is 'a'"),
        ({"sample_event_template": "a_b="}, "sample_event_template: must be base64, but is 'a_b='"),
        ({"sample_event_template": "A" * 87384}, "sample_event_template: must have 0 to 87382 characters"),
        ({"sample_event_template": template("{")}, "sample_event_template: it is not JSON"),
        ({"sample_event_template": template('{"n":1e999}')}, "sample_event_template: holds a number or a character"),
        ({"sample_event_template": template('"\\ud800"')}, "sample_event_template: holds a number or a character"),
        (
            {"sample_event_template": template('{"specversion":"0.3"}')},
            'sample_event_template: specversion: must be the string "1.0"',
        ),
        (
            {"sample_event_template": template('{"specversion":"1.0","type":"com.acme.high"}')},
            "sample_event_template: source and type must be urn:uuid:",
        ),
    ],
)
async def test_bad_bodies_are_named_and_leave_nothing(
    refusing: tuple[World, str], change: dict[str, Any], message: str
) -> None:
    """Every wrong member is 400 by its name, on POST and PUT, and nothing is created or changed."""
    world, path = refusing
    form = {name: value for name, value in {**FORM, **change}.items() if value is not ...}
    epoch = await world.epoch()

    for method, target in (("POST", path), ("PUT", f"{path}/com.acme.low")):
        answer = await world.call(method, target, form)

        assert (answer.status, answer.json()["reason"]) == (400, "invalid_body")
        assert answer.json()["message"].startswith(message)
    assert await world.epoch() == epoch


async def test_unknown_things(refusing: tuple[World, str]) -> None:
    """404 for an unknown provider or code, on every method."""
    world, path = refusing
    missing = path.replace(path.split("/")[-2], "none")
    read = path.replace(WORKSPACE, "/events")
    for method, target in (
        ("GET", "/events/providers/none/eventmetadata"),
        ("GET", "/events/providers/none/eventmetadata/com.acme.low"),
        ("POST", missing),
        ("DELETE", missing),
        ("PUT", f"{missing}/com.acme.low"),
        ("DELETE", f"{missing}/com.acme.low"),
    ):
        answer = await world.call(method, target, FORM)
        assert (answer.status, answer.json()["message"]) == (404, "provider 'none' does not exist")
    for method, target in (("GET", f"{read}/none"), ("PUT", f"{path}/none"), ("DELETE", f"{path}/none")):
        answer = await world.call(method, target, FORM)
        assert answer.status == 404
        assert answer.json()["message"].startswith("event code 'none' does not exist in provider ")
