"""Providers over the wire: bodies member by member, filters of the list, conflicts, rights, and every refusal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventmill.model import CUSTOM_EVENTS
from tests.http.world import BASE, FOREIGN_CLIENT, FOREIGN_IMS_ORG, IMS_ORG, WORKSPACE, World, running

pytestmark = pytest.mark.anyio

HAL = "application/hal+json;charset=UTF-8"
UUID = "________-____-____-____-____________"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as each:
        yield each


@pytest.fixture(scope="module")
async def refusing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[World, str]]:
    """A gateway for requests that change nothing, and the id of its only provider."""
    async with running(tmp_path_factory.mktemp("refusing")) as each:
        yield each, (await each.provider("Before"))["id"]


async def test_created_provider_has_the_whole_body_in_order(world: World) -> None:
    """POST answers 201 with every member of the contract, in its order, and the links to read and change it."""
    form = {
        "label": "Warehouse",
        "description": "Stock moves",
        "docs_url": "https://docs.example/warehouse",
        "instance_id": "eu-1",
        "organization_id": "ignored like any unknown member",
    }
    answer = await world.call("POST", f"{WORKSPACE}/providers", form)

    assert answer.status == 201
    assert answer.header("content-type") == HAL
    id = answer.json()["id"]
    expected = {
        "_links": {
            "rel:eventmetadata": {"href": f"{BASE}/events/providers/{id}/eventmetadata"},
            "rel:update": {"href": f"{BASE}/events/1001/2001/3001/providers/{id}"},
            "self": {"href": f"{BASE}/events/providers/{id}?eventmetadata=false"},
        },
        "id": id,
        "label": "Warehouse",
        "description": "Stock moves",
        "source": f"urn:uuid:{id}",
        "docs_url": "https://docs.example/warehouse",
        "publisher": IMS_ORG,
        "provider_metadata": "3rd_party_custom_events",
        "instance_id": "eu-1",
        "event_delivery_format": "cloud_events_v1",
        "data_residency_region": "VA6",
    }
    assert answer.body.decode() == json.dumps(expected, separators=(",", ":"))
    assert [len(part) for part in id.split("-")] == [len(part) for part in UUID.split("-")]


async def test_omitted_members_get_their_defaults(world: World) -> None:
    """Only a label: the family's description, no docs_url at all, a random instance id."""
    first, second = await world.provider("First"), await world.provider("Second", description=None, docs_url="")

    for provider in (first, second):
        assert provider["description"] == "A custom events provider, registered by your organization."
        assert "docs_url" not in provider
    assert len({first["instance_id"], second["instance_id"]}) == 2


async def test_every_create_member_is_stored(world: World) -> None:
    """Family, region and delivery format are taken over and read back."""
    created = await world.provider(
        provider_metadata="aem", instance_id="author-1", data_residency_region="IRL1", event_delivery_format="adobe_io"
    )
    read = (await world.call("GET", f"/events/providers/{created['id']}")).json()

    assert read == created
    chosen = ("provider_metadata", "instance_id", "data_residency_region", "event_delivery_format")
    assert [read[name] for name in chosen] == ["aem", "author-1", "IRL1", "adobe_io"]


async def test_get_with_event_metadata_embeds_it(world: World) -> None:
    """`eventmetadata=true` embeds the codes, and `self` carries the query that was asked."""
    provider = await world.provider()
    await world.metadata(provider, "com.acme.low")

    answer = await world.call("GET", f"/events/providers/{provider['id']}?eventmetadata=true")

    body = answer.json()
    assert list(body)[:3] == ["_links", "_embedded", "id"]
    assert body["_links"]["self"]["href"] == f"{BASE}/events/providers/{provider['id']}?eventmetadata=true"
    assert [each["event_code"] for each in body["_embedded"]["eventmetadata"]] == ["com.acme.low"]


async def test_list_of_an_organization_without_providers_is_empty(world: World) -> None:
    """Clients index `_embedded.providers` unguarded, so it is there, with 200."""
    answer = await world.call("GET", "/events/1001/providers")

    assert (answer.status, answer.header("content-type")) == (200, HAL)
    assert answer.json() == {
        "_links": {"self": {"href": f"{BASE}/events/1001/providers"}},
        "_embedded": {"providers": []},
    }


async def test_list_shows_own_providers_with_plain_self_links(world: World) -> None:
    """In creation order, from every workspace of the organisation, none of another one."""
    first = await world.provider("First")
    second = await world.provider("Second", workspace="/events/1001/2001/3002")
    theirs = await world.call(
        "POST", "/events/1002/2009/3009/providers", {"label": "Theirs"}, headers=world.foreign_auth()
    )
    assert theirs.status == 201

    listed = (await world.call("GET", "/events/1001/providers")).json()["_embedded"]["providers"]

    assert [each["id"] for each in listed] == [first["id"], second["id"]]
    assert listed[0]["_links"]["self"]["href"] == f"{BASE}/events/providers/{first['id']}"
    assert "_embedded" not in listed[0]


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("?providerMetadataId=aem", ["Aem one", "Aem two"]),
        ("?providerMetadataId=aem&instanceId=two", ["Aem two"]),
        ("?instanceId=two", ["Aem two"]),
        ("?providerMetadataIds=aem&providerMetadataIds=3rd_party_custom_events", ["Aem one", "Aem two", "Custom"]),
        ("?providerMetadataIds=3rd_party_custom_events,aem", ["Aem one", "Aem two", "Custom"]),
        ("?providerMetadataIds=3rd_party_custom_events", ["Custom"]),
        ("?eventmetadata=TRUE", ["Aem one", "Aem two", "Custom"]),
    ],
)
async def test_list_filters(world: World, query: str, labels: list[str]) -> None:
    """By family, by instance, by several families as repeated keys or separated by commas."""
    await world.provider("Aem one", provider_metadata="aem", instance_id="one")
    await world.provider("Aem two", provider_metadata="aem", instance_id="two")
    await world.provider("Custom")

    listed = (await world.call("GET", f"/events/1001/providers{query}")).json()["_embedded"]["providers"]

    assert [each["label"] for each in listed] == labels
    assert all(("_embedded" in each) == ("eventmetadata" in query) for each in listed)


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("?providerMetadataId=acs", 404, "no provider has this provider metadata and instance id"),
        ("?instanceId=nine", 404, "no provider has this provider metadata and instance id"),
        ("?providerMetadataIds=acs,asset_compute", 404, "no provider has this provider metadata and instance id"),
        (
            "?providerMetadataId=aem&providerMetadataIds=acs",
            400,
            "providerMetadataId and providerMetadataIds cannot be used together",
        ),
        ("?eventmetadata=yes", 400, "eventmetadata must be true or false, but is 'yes'"),
        ("?eventmetadata=%ff", 400, "the query holds percent-encoded bytes that are no UTF-8"),
        ("?" + "a=1&" * 101, 400, "the query has more than 100 parameters"),
    ],
)
async def test_list_refusals(refusing: tuple[World, str], query: str, status: int, message: str) -> None:
    """A filter without hits is 404, one that cannot be obeyed 400 with its name."""
    world, _ = refusing

    answer = await world.call("GET", f"/events/1001/providers{query}")

    assert (answer.status, answer.json()["message"]) == (status, message)


async def test_update_replaces_label_description_docs_and_format(world: World) -> None:
    """PUT is a full replacement of the update model; create-only members in it are ignored, the format is applied."""
    provider = await world.provider(description="Before", docs_url="https://docs.example/a", instance_id="one")
    form = {
        "label": "After",
        "event_delivery_format": "adobe_io",
        "instance_id": "two",
        "provider_metadata": 5,
        "data_residency_region": "IRL1",
    }
    answer = await world.call("PUT", f"{WORKSPACE}/providers/{provider['id']}", form)

    assert answer.status == 200
    changed = {
        "label": "After",
        "description": "A custom events provider, registered by your organization.",
        "event_delivery_format": "adobe_io",
    }
    expected = {**provider, **changed}
    del expected["docs_url"]
    assert answer.json() == expected
    assert (await world.call("GET", f"/events/providers/{provider['id']}")).json() == expected


async def test_update_to_its_own_label_is_no_conflict(world: World) -> None:
    """A provider does not conflict with itself."""
    provider = await world.provider()

    answer = await world.call("PUT", f"{WORKSPACE}/providers/{provider['id']}", {"label": "Warehouse"})

    assert answer.status == 200


@pytest.mark.parametrize(
    ("form", "shared"),
    [
        ({"label": "Warehouse"}, "label 'Warehouse'"),
        ({"label": "Other", "instance_id": "eu-1"}, "instance id 'eu-1'"),
        ({"label": "Other", "instance_id": "eu-1", "provider_metadata": CUSTOM_EVENTS}, "instance id 'eu-1'"),
    ],
)
async def test_same_label_or_instance_conflicts(world: World, form: dict[str, Any], shared: str) -> None:
    """409 names the provider that is in the way, in the header that clients read, and nothing is created."""
    provider = await world.provider(instance_id="eu-1")
    epoch = await world.epoch()

    answer = await world.call("POST", f"{WORKSPACE}/providers", form)

    assert answer.status == 409
    assert answer.header("x-conflicting-id") == provider["id"]
    assert answer.json()["message"].endswith(f"has the same {shared}")
    assert answer.json()["reason"] == "conflict"
    assert provider["id"] in answer.json()["message"]
    assert await world.epoch() == epoch


async def test_same_label_is_free_in_another_family_or_organization(world: World) -> None:
    """The conflict is per organisation and family."""
    await world.provider(instance_id="eu-1")
    await world.provider(provider_metadata="aem", instance_id="eu-1")

    theirs = await world.call(
        "POST",
        "/events/1002/2009/3009/providers",
        {"label": "Warehouse", "instance_id": "eu-1"},
        headers=world.foreign_auth(),
    )
    assert theirs.status == 201
    assert theirs.json()["publisher"] == FOREIGN_IMS_ORG


async def test_rename_to_a_taken_label_conflicts(world: World) -> None:
    """PUT checks the label too, and leaves the provider as it was."""
    taken, provider = await world.provider("Taken"), await world.provider("Free")

    answer = await world.call("PUT", f"{WORKSPACE}/providers/{provider['id']}", {"label": "Taken"})

    assert (answer.status, answer.header("x-conflicting-id")) == (409, taken["id"])
    assert (await world.call("GET", f"/events/providers/{provider['id']}")).json()["label"] == "Free"


async def test_deleted_provider_takes_its_event_metadata_along(world: World) -> None:
    """204 without a body; afterwards provider, codes and publishing to it are gone, its label is free."""
    provider = await world.provider(instance_id="eu-1")
    await world.metadata(provider, "com.acme.low")
    await world.metadata(provider, "com.acme.high")

    answer = await world.call("DELETE", f"{WORKSPACE}/providers/{provider['id']}")

    assert (answer.status, answer.body, answer.header("content-type")) == (204, b"", None)
    for path in ("", "/eventmetadata", "/eventmetadata/com.acme.low"):
        gone = await world.call("GET", f"/events/providers/{provider['id']}{path}")
        assert (gone.status, gone.json()["message"]) == (404, f"provider '{provider['id']}' does not exist")
    assert await world.publish({"provider_id": provider["id"], "event_code": "com.acme.low"}) == 404
    assert await world.store.scan("event_metadata") == []
    await world.provider(instance_id="eu-1")


async def test_deleted_provider_leaves_dead_events_of_interest(world: World) -> None:
    """Its subscribers keep their registrations; what they subscribed to is shown by name only."""
    topic = await world.topic()
    registration = await world.register(topic)

    assert (await world.call("DELETE", f"{WORKSPACE}/providers/{topic['provider_id']}")).status == 204

    href = registration["_links"]["self"]["href"].removeprefix(BASE)
    read = (await world.call("GET", href)).json()
    assert read["events_of_interest"] == [{"event_code": topic["event_code"], "provider_id": topic["provider_id"]}]


LONG = "x" * 256
LABEL_RULE = "may only hold letters, digits, blanks and -_.(),@:'`?#!"


@pytest.mark.parametrize(
    ("body", "reason", "message"),
    [
        (b"", "invalid_json", "the body is empty; a JSON document is expected"),
        (b"{", "invalid_json", "the body is not JSON: Expecting property name enclosed in double quotes"),
        (b'{"label":"\xff"}', "invalid_json", "the body is not UTF-8 (byte 10)"),
        (b'{"label":"a","label":"b"}', "invalid_json", "member 'label' appears twice in one object"),
        (b'{"label":"a","x":{"y":1,"y":2}}', "invalid_json", "member 'y' appears twice in one object"),
        (b'{"label":"a","x":NaN}', "invalid_json", "NaN is not JSON"),
        (
            b'{"label":"a","x":' + b"[" * 65 + b"]" * 65 + b"}",
            "invalid_json",
            "the body is nested deeper than 64 levels",
        ),
        (b'{"x":' * 100_000, "invalid_json", "the body is nested deeper than 64 levels"),
        (b'{"label":"a","x":' + b"9" * 5000 + b"}", "invalid_json", "the body holds a number with too many digits"),
        ([], "invalid_body", "the body must be a JSON object"),
        ("text", "invalid_body", "the body must be a JSON object"),
        ({}, "invalid_body", "label: required, but missing"),
        ({"label": None}, "invalid_body", "label: expected str, got null"),
        ({"label": 5}, "invalid_body", "label: expected str, got int"),
        ({"label": ""}, "invalid_body", "label: must have 1 to 255 characters, but has 0"),
        ({"label": LONG}, "invalid_body", "label: must have 1 to 255 characters, but has 256"),
        ({"label": "a<b"}, "invalid_body", f"label: {LABEL_RULE}, but is 'a<b'"),
        ({"label": "süd"}, "invalid_body", f"label: {LABEL_RULE}, but is 's\\xfcd'"),
        ({"label": "a\u0000"}, "invalid_body", f"label: {LABEL_RULE}, but is 'a\\x00'"),
        ({"label": "a\nb"}, "invalid_body", f"label: {LABEL_RULE}, but is 'a\\nb'"),
        ({"label": "a\n"}, "invalid_body", f"label: {LABEL_RULE}, but is 'a\\n'"),
        ({"label": "x" * 200 + "<"}, "invalid_body", f"label: {LABEL_RULE}, but has '<' at offset 200"),
        ({"label": "\ud800"}, "invalid_body", "label: holds the character U+D800 at offset 0"),
        (
            {"label": "a", "description": LONG},
            "invalid_body",
            "description: must have 0 to 255 characters, but has 256",
        ),
        ({"label": "a", "description": "a<b"}, "invalid_body", f"description: {LABEL_RULE}, but is 'a<b'"),
        ({"label": "a", "description": 1.5}, "invalid_body", "description: expected str | null, got float"),
        (
            {"label": "a", "docs_url": "ftp://x"},
            "invalid_body",
            "docs_url: must be an http or https URL, but is 'ftp://x'",
        ),
        ({"label": "a", "docs_url": "https://" + LONG}, "invalid_body", "docs_url: must have 0 to 255 characters"),
        (
            {"label": "a", "event_delivery_format": "xml"},
            "invalid_body",
            "event_delivery_format: must be one of adobe_io, cloud_events_v1, but is 'xml'",
        ),
        ({"label": "a", "provider_metadata": ""}, "invalid_body", "provider_metadata: must have 1 to 255 characters"),
        ({"label": "a", "provider_metadata": 1}, "invalid_body", "provider_metadata: expected str | null, got int"),
        (
            {"label": "a", "instance_id": "a b"},
            "invalid_body",
            "instance_id: may only hold letters, digits and -_:@./, but is 'a b'",
        ),
        (
            {"label": "a", "instance_id": LONG},
            "invalid_body",
            "instance_id: must have 0 to 255 characters, but has 256",
        ),
        (
            {"label": "a", "data_residency_region": "va6"},
            "invalid_body",
            "data_residency_region: must be one of IRL1, VA6, but is 'va6'",
        ),
        (
            {"label": "a", "provider_metadata": "aem"},
            "invalid_body",
            "instance_id: required for provider_metadata aem",
        ),
    ],
)
async def test_bad_bodies_are_named_and_leave_nothing(
    refusing: tuple[World, str], body: Any, reason: str, message: str
) -> None:
    """Every wrong body is 400, says what and where, and neither creates nor changes a provider."""
    world, provider_id = refusing
    epoch = await world.epoch()
    calls = [("POST", f"{WORKSPACE}/providers")]
    if "instance_id" not in message and "provider_metadata" not in message and "region" not in message:
        calls.append(("PUT", f"{WORKSPACE}/providers/{provider_id}"))

    for method, path in calls:
        answer = await world.call(method, path, body)

        assert (answer.status, answer.header("content-type")) == (400, "application/json")
        assert answer.json()["reason"] == reason
        assert answer.json()["message"].startswith(message)
    assert await world.epoch() == epoch


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason", "message"),
    [
        ("GET", "/events/9/providers", None, 404, "not_found", "organization '9' does not exist"),
        ("GET", "/events/1002/providers", None, 403, "wrong_organization", "organization 1002 belongs to another"),
        ("GET", "/events/providers/none", None, 404, "not_found", "provider 'none' does not exist"),
        ("GET", "/events/providers/%01%F0", None, 404, "not_found", "provider '\\x01\\ufffd' does not exist"),
        ("GET", "/events/providers/%00%F0", None, 404, "not_found", "there is nothing at"),
        ("GET", "/events/providers/a%2Fb", None, 404, "not_found", "provider 'a/b' does not exist"),
        ("POST", "/events/9/2001/3001/providers", {}, 404, "not_found", "organization '9' does not exist"),
        (
            "POST",
            "/events/1001/9/3001/providers",
            {},
            404,
            "not_found",
            "project '9' does not exist in organization 1001",
        ),
        ("POST", "/events/1001/2001/9/providers", {}, 404, "not_found", "workspace '9' does not exist in project 2001"),
        (
            "POST",
            "/events/1001/2002/3001/providers",
            {},
            404,
            "not_found",
            "workspace '3001' does not exist in project",
        ),
        ("PUT", f"{WORKSPACE}/providers/none", {}, 404, "not_found", "provider 'none' does not exist"),
        ("DELETE", f"{WORKSPACE}/providers/none", None, 404, "not_found", "provider 'none' does not exist"),
        (
            "POST",
            f"{WORKSPACE}/providers",
            {"label": "a", "provider_metadata": "di_event_code"},
            404,
            "not_found",
            "provider_metadata 'di_event_code' does not exist; known: 3rd_party_custom_events, acs",
        ),
        (
            "POST",
            f"{WORKSPACE}/providers",
            {"label": "a", "provider_metadata": "acs"},
            403,
            "not_permitted",
            "provider_metadata acs has one provider only",
        ),
    ],
)
async def test_unknown_and_forbidden_things(
    refusing: tuple[World, str], method: str, path: str, body: Any, status: int, reason: str, message: str
) -> None:
    """404 and 403 name what is missing or closed."""
    world, _ = refusing
    answer = await world.call(method, path, body)

    assert (answer.status, answer.json()["reason"]) == (status, reason)
    assert answer.json()["message"].startswith(message)


async def test_provider_of_another_workspace_is_not_there(world: World) -> None:
    """Writes go through the workspace that owns the provider."""
    provider = await world.provider()

    for method in ("PUT", "DELETE"):
        path = f"/events/1001/2001/3002/providers/{provider['id']}"
        answer = await world.call(method, path, {"label": "Stolen"})

        assert answer.status == 404
        assert answer.json()["message"] == f"provider {provider['id']} does not exist in workspace 3002"
    assert (await world.call("GET", f"/events/providers/{provider['id']}")).json() == provider


async def test_provider_of_another_organization_is_closed(world: World) -> None:
    """Neither read nor written, not even through a workspace of one's own."""
    provider = await world.provider()

    for method, path in (
        ("GET", f"/events/providers/{provider['id']}"),
        ("PUT", f"/events/1002/2009/3009/providers/{provider['id']}"),
        ("DELETE", f"/events/1002/2009/3009/providers/{provider['id']}"),
    ):
        answer = await world.call(method, path, {"label": "Stolen"}, headers=world.foreign_auth())

        assert (answer.status, answer.json()["reason"]) == (403, "wrong_organization")
        assert answer.json()["message"] == f"provider {provider['id']} belongs to another organization"
        assert answer.json()["error_code"].startswith("403")
    assert (await world.call("GET", f"/events/providers/{provider['id']}")).json() == provider


async def test_lenient_caller_without_organization_cannot_cross_organizations(tmp_path: Path) -> None:
    """A caller that names no organisation may use any, but a workspace still writes its own providers only."""
    async with running(tmp_path, auth="lenient") as world:
        headers = {"authorization": "Bearer x", "x-api-key": "unknown"}
        answer = await world.call("POST", f"{WORKSPACE}/providers", {"label": "Ours"}, headers=headers)
        assert answer.status == 201
        id = answer.json()["id"]

        crossed = await world.call("DELETE", f"/events/1002/2009/3009/providers/{id}", headers=headers)

        assert (crossed.status, crossed.json()["reason"]) == (403, "wrong_organization")
        assert FOREIGN_CLIENT not in crossed.body.decode()


async def test_provider_metadata_list(world: World) -> None:
    """The families, custom events first, in the order of the contract's members."""
    answer = await world.call("GET", "/events/providermetadata")

    assert (answer.status, answer.header("content-type")) == (200, HAL)
    body = answer.json()
    assert body["_links"] == {"self": {"href": f"{BASE}/events/providermetadata"}}
    families = body["_embedded"]["providermetadata"]
    assert list(families[0].items()) == [
        ("id", "3rd_party_custom_events"),
        ("group", "Experience Platform"),
        ("label", "Custom Events"),
        ("description", "A custom events provider, registered by your organization."),
        ("has_multiple_providers", True),
    ]
    multiple = {family["id"]: family["has_multiple_providers"] for family in families}
    assert multiple == {
        "3rd_party_custom_events": True,
        "acs": False,
        "aem": True,
        "asset_compute": False,
        "dx_commerce_events": True,
    }
