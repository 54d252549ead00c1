"""JSON Patch over the wire: providers, event metadata and registrations change member by member (RFC 6902)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.client import Answer
from tests.http.world import IMS_ORG, WORKSPACE, World, running

pytestmark = pytest.mark.anyio

PATCH_TYPE = "application/json-patch+json"


class Things:
    """A provider, an event code and a registration, with the paths that change and that read them."""

    def __init__(self, world: World, topic: dict[str, Any], registration: dict[str, Any]) -> None:
        self.world = world
        self.topic = topic
        self.registration = registration
        code = f"eventmetadata/{topic['event_code']}"
        self.provider_path = f"{WORKSPACE}/providers/{topic['provider_id']}"
        self.metadata_path = f"{self.provider_path}/{code}"
        self.registration_path = f"{WORKSPACE}/registrations/{registration['registration_id']}"
        read = f"/events/providers/{topic['provider_id']}"
        self.reads = {
            self.provider_path: read,
            self.metadata_path: f"{read}/{code}",
            self.registration_path: self.registration_path,
        }

    async def patch(self, path: str, *operations: Any, media_type: str = PATCH_TYPE) -> Answer:
        headers = {**self.world.auth(), "content-type": media_type}
        return await self.world.call("PATCH", path, list(operations), headers=headers)

    async def read(self, path: str) -> Any:
        return (await self.world.call("GET", self.reads[path])).json()


async def things_in(world: World) -> Things:
    topic = await world.topic(docs_url="https://docs.example/warehouse")
    registration = await world.register(topic)
    world.hooks.asked.clear()
    return Things(world, topic, registration)


@pytest.fixture
async def things(tmp_path: Path) -> AsyncIterator[Things]:
    async with running(tmp_path) as world:
        yield await things_in(world)


@pytest.fixture(scope="module")
async def refusing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Things]:
    """Of a gateway for requests that change nothing."""
    limits = {"patch_operations_max": 5, "patch_bytes_max": 4000, "request_bytes_max": 6000}
    async with running(tmp_path_factory.mktemp("refusing"), **limits) as world:
        yield await things_in(world)


def replace(name: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": f"/{name}", "value": value}


# --- What changes ---


async def test_provider_members_change(things: Things) -> None:
    """200 with the whole body; GET shows the same; what was not patched stays."""
    before = await things.read(things.provider_path)

    answer = await things.patch(
        things.provider_path,
        {"op": "test", "path": "/label", "value": "Warehouse"},
        replace("label", "Store"),
        {"op": "remove", "path": "/docs_url"},
        replace("event_delivery_format", "adobe_io"),
    )

    expected = {**before, "label": "Store", "event_delivery_format": "adobe_io"}
    del expected["docs_url"]
    assert (answer.status, answer.json()) == (200, expected)
    assert await things.read(things.provider_path) == expected


async def test_members_without_a_value_are_there_as_null(things: Things) -> None:
    """So that they can be replaced as well as added, as clients do."""
    path = things.provider_path
    assert (await things.patch(path, {"op": "remove", "path": "/docs_url"})).status == 200

    for number, op in enumerate(("replace", "add")):
        url = f"https://docs.example/{number}"
        answer = await things.patch(path, {"op": op, "path": "/docs_url", "value": url})
        assert (answer.status, answer.json()["docs_url"]) == (200, url)
        assert (await things.patch(path, replace("docs_url", None))).status == 200


async def test_event_metadata_members_change(things: Things) -> None:
    """200 with the whole body; the template can be patched though it is never shown."""
    path = things.metadata_path
    answer = await things.patch(path, replace("label", "Very low"), replace("sample_event_template", "e30="))

    assert (answer.status, answer.json()["label"]) == (200, "Very low")
    assert await things.read(path) == answer.json()
    assert (await things.world.call("GET", f"{things.reads[path]}/sample_event")).status == 200
    removed = await things.patch(path, {"op": "remove", "path": "/sample_event_template"})
    assert removed.status == 200
    assert (await things.world.call("GET", f"{things.reads[path]}/sample_event")).status == 404


async def test_registration_members_change(things: Things) -> None:
    """200 with the whole body; the webhook that it has then is challenged."""
    other = await things.world.topic("Other")
    answer = await things.patch(
        things.registration_path,
        replace("webhook_url", "https://erp.example/other"),
        {"op": "add", "path": "/events_of_interest/-", "value": other},
        {"op": "move", "from": "/events_of_interest/0", "path": "/events_of_interest/1"},
    )

    body = answer.json()
    assert (answer.status, body["webhook_url"]) == (200, "https://erp.example/other")
    found = [each["provider_id"] for each in body["events_of_interest"]]
    assert found == [other["provider_id"], things.topic["provider_id"]]
    assert [asked[0] for asked in things.world.hooks.asked] == ["https://erp.example/other"]
    assert await things.read(things.registration_path) == body


async def test_registration_can_be_disabled_and_enabled(things: Things) -> None:
    """A result that is not enabled asks nobody; one that is asks, and a failed challenge disables again."""
    hooks, seen = things.world.hooks, []
    for passes, value in ((True, False), (True, True), (False, True)):
        hooks.passes = passes
        hooks.asked.clear()
        body = (await things.patch(things.registration_path, replace("enabled", value))).json()
        seen.append((len(hooks.asked), body["webhook_status"], body["enabled"]))

    assert seen == [(0, "verified", False), (1, "verified", True), (1, "verification_failed", False)]


async def test_nothing_changed(things: Things) -> None:
    """204 for providers and event metadata, and nothing is written; 200 with a new challenge for registrations."""
    epoch = await things.world.epoch()
    for path in (things.provider_path, things.metadata_path):
        for operations in ((), (replace("label", "X"), replace("label", (await things.read(path))["label"]))):
            answer = await things.patch(path, *operations)
            assert (answer.status, answer.body, answer.header("content-type")) == (204, b"", None)
    assert await things.world.epoch() == epoch

    answer = await things.patch(things.registration_path)

    assert (answer.status, answer.json()) == (200, things.registration)
    assert len(things.world.hooks.asked) == 1


async def test_the_whole_document_can_be_replaced(things: Things) -> None:
    """The empty pointer is the document."""
    answer = await things.patch(things.provider_path, {"op": "replace", "path": "", "value": {"label": "All new"}})

    assert (answer.status, answer.json()["label"]) == (200, "All new")
    assert answer.json()["publisher"] == IMS_ORG


@pytest.mark.parametrize("media_type", [PATCH_TYPE, "application/json", "Application/JSON-Patch+JSON; charset=utf-8"])
async def test_media_types_that_are_taken(things: Things, media_type: str) -> None:
    """That of JSON Patch in any case, and plain JSON."""
    answer = await things.patch(things.provider_path, replace("label", "New"), media_type=media_type)

    assert answer.status == 200


# --- Refusals ---


@pytest.mark.parametrize("media_type", ["application/merge-patch+json", "application/vnd.api+json", "text/plain"])
async def test_other_media_types(refusing: Things, media_type: str) -> None:
    """415 with what is taken, on every noun."""
    for path in refusing.reads:
        answer = await refusing.patch(path, media_type=media_type)

        assert (answer.status, answer.json()["reason"]) == (415, "unsupported_media_type")
        wanted = f"the body must be {PATCH_TYPE} or application/json, but its content-type is '{media_type}'"
        assert answer.json()["message"] == wanted


@pytest.mark.parametrize(
    ("body", "status", "reason", "message"),
    [
        (b"", 400, "invalid_json", "the body is empty; a JSON document is expected"),
        ({"op": "remove"}, 400, "invalid_patch", "a JSON Patch must be an array of operations"),
        (["x"], 400, "invalid_patch", "operation 0: "),
        ([{"path": "/x"}], 400, "invalid_patch", "operation 0 at '/x': Operation does not contain 'op' member"),
        ([{"op": "remove"}], 400, "invalid_patch", "operation 0: Operation must have a 'path' member"),
        ([{"op": "remove", "path": 5}], 400, "invalid_patch", "operation 0: "),
        ([{"op": "remove", "path": "label"}], 400, "invalid_patch", "operation 0 at 'label': "),
        ([{"op": "destroy", "path": "/label"}], 400, "invalid_patch", "operation 0 at '/label': Unknown operation"),
        ([{"op": "add", "path": "/label"}], 400, "invalid_patch", "operation 0 at '/label': "),
        ([{"op": "copy", "path": "/label"}], 400, "invalid_patch", "operation 0 at '/label': "),
        ([{"op": "copy", "path": "/x", "from": 5}], 400, "invalid_patch", "operation 0 at '/x': "),
        ([{"op": "copy", "path": "/x", "from": "/none"}], 400, "invalid_patch", "operation 0 at '/x': "),
        ([{"op": "move", "path": "/x/y", "from": "/x"}], 400, "invalid_patch", "operation 0 at '/x/y': "),
        ([{"op": "remove", "path": ""}], 400, "invalid_patch", "operation 0 at '': "),
        ([{"op": "replace", "path": "", "value": []}], 400, "invalid_patch", "the patched document must be a JSON obj"),
        (
            [{"op": "add", "path": "/x", "value": 1}, {"op": "remove", "path": "/none"}],
            400,
            "invalid_patch",
            "operation 1 at '/none': ",
        ),
        (
            [{"op": "test", "path": "/label", "value": "Other"}],
            400,
            "invalid_patch",
            "operation 0 at '/label': the value there is not the tested one",
        ),
        (
            [{"op": "add", "path": "/x", "value": True}, {"op": "test", "path": "/x", "value": 1}],
            400,
            "invalid_patch",
            "operation 1 at '/x': the value there is not the tested one",
        ),
        (
            [{"op": "add", "path": "/x", "value": [1]}, {"op": "replace", "path": "/x/01", "value": 2}],
            400,
            "invalid_patch",
            "operation 1 at '/x/01': ",
        ),
        (
            [{"op": "test", "path": "/none", "value": None}],
            400,
            "invalid_patch",
            "operation 0 at '/none': the value there is not the tested one",
        ),
        (
            [{"op": "test", "path": "/label", "value": 1}] * 6,
            400,
            "invalid_patch",
            "a JSON Patch may have 5 operations, but this one has 6",
        ),
        ([{"op": "remove", "path": "/x" * 17}], 400, "invalid_patch", "operation 0: path has more than 16 segments"),
        (
            [{"op": "move", "from": "/x" * 17, "path": "/x"}],
            400,
            "invalid_patch",
            "operation 0: from has more than 16 segments",
        ),
        (b"[" + b" " * 4000 + b"]", 413, "too_large", "the request body is larger than 4000 bytes"),
        (
            [
                {"op": "add", "path": "/x", "value": "x" * 2000},
                {"op": "copy", "from": "", "path": "/y"},
                {"op": "copy", "from": "", "path": "/z"},
            ],
            413,
            "too_large",
            "the patched document would be larger than 6000 bytes",
        ),
        (
            [{"op": "add", "path": "/x", "value": json.loads("[" * 50 + "]" * 50)}]
            + [{"op": "copy", "from": "/x", "path": "/x" + "/0" * 15}] * 2,
            400,
            "invalid_json",
            "the patched document is nested deeper than 64 levels",
        ),
        (
            [replace("label", "a<b")],
            400,
            "invalid_body",
            "label: may only hold letters, digits, blanks and -_.(),@:'`?#!, but is 'a<b'",
        ),
        ([replace("label", None)], 400, "invalid_body", "label: expected str, got null"),
        ([{"op": "remove", "path": "/label"}], 400, "invalid_body", "label: required, but missing"),
    ],
)
async def test_bad_patches_name_the_operation_and_change_nothing(
    refusing: Things, body: Any, status: int, reason: str, message: str
) -> None:
    """A wrong operation is named by its index, a wrong result by its member, as in a PUT."""
    epoch = await refusing.world.epoch()
    headers = {**refusing.world.auth(), "content-type": PATCH_TYPE}

    answer = await refusing.world.call("PATCH", refusing.provider_path, body, headers=headers)

    assert (answer.status, answer.json()["reason"]) == (status, reason)
    assert answer.json()["message"].startswith(message)
    assert await refusing.world.epoch() == epoch


@pytest.mark.parametrize(
    ("operation", "reason", "message"),
    [
        (replace("name", "ab"), "invalid_body", "name: must have 3 to 255 characters, but has 2"),
        (replace("delivery_type", "email"), "invalid_body", "delivery_type: must be one of"),
        (replace("runtime_action", "pkg/act"), "invalid_body", "runtime_action: cannot be combined with webhook_url"),
        (replace("webhook_url", "http://erp.example/"), "invalid_body", "webhook_url: must be https"),
        (replace("subscriber_filters", [{}]), "invalid_body", "subscriber_filters[0].name: required, but missing"),
        (
            {"op": "replace", "path": "/events_of_interest/0/event_code", "value": "none"},
            "unknown_event_of_interest",
            "events_of_interest[0]: provider",
        ),
    ],
)
async def test_patched_registration_is_checked_as_a_put(
    refusing: Things, operation: Any, reason: str, message: str
) -> None:
    """400 by the member's name; nobody is challenged, nothing is stored."""
    epoch = await refusing.world.epoch()

    answer = await refusing.patch(refusing.registration_path, operation)

    assert (answer.status, answer.json()["reason"]) == (400, reason)
    assert answer.json()["message"].startswith(message)
    assert refusing.world.hooks.asked == []
    assert await refusing.world.epoch() == epoch


async def test_event_code_cannot_be_patched(refusing: Things) -> None:
    """400, as in a PUT."""
    answer = await refusing.patch(refusing.metadata_path, replace("event_code", "com.acme.high"))

    assert (answer.status, answer.json()["reason"]) == (400, "invalid_body")
    assert answer.json()["message"] == "event_code: must be com.acme.low as in the path, but is com.acme.high"


async def test_conflicts_are_those_of_a_put(things: Things) -> None:
    """409 with the holder's id for a label and for a name."""
    other = await things.world.provider("Taken")
    registered = await things.world.register(things.topic, name="Taken", delivery_type="journal")

    label = await things.patch(things.provider_path, replace("label", "Taken"))
    name = await things.patch(things.registration_path, replace("name", "Taken"))

    assert (label.status, label.header("x-conflicting-id")) == (409, other["id"])
    assert label.json()["message"].endswith("has the same label 'Taken'")
    assert (name.status, name.header("x-conflicting-id")) == (409, registered["registration_id"])


async def test_unknown_things(refusing: Things) -> None:
    """404 before the body is looked at; another organisation's are closed."""
    for path, missing in (
        (f"{WORKSPACE}/providers/none", "provider 'none'"),
        (f"{refusing.provider_path}/eventmetadata/none", "event code 'none'"),
        (f"{WORKSPACE}/registrations/none", "registration 'none'"),
    ):
        answer = await refusing.patch(path, "no operation", media_type="text/plain")
        assert (answer.status, answer.json()["reason"]) == (404, "not_found")
        assert answer.json()["message"].startswith(missing)
    for path in refusing.reads:
        foreign = await refusing.world.call("PATCH", path, [], headers=refusing.world.foreign_auth())
        assert foreign.status == 403
