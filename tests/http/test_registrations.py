"""Registrations over the wire: bodies member by member, replacement, lists and pages, quotas, and every refusal."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventmill.core.envelope import format_time
from eventmill.errors import StaleVersion
from eventmill.store.control import Replace
from tests.http.client import Answer
from tests.http.world import (
    BASE,
    CLIENT,
    FOREIGN_CLIENT,
    IMS_ORG,
    OTHER_CLIENT,
    WORKSPACE,
    World,
    registration_form,
    running,
)

pytestmark = pytest.mark.anyio

HAL = "application/hal+json;charset=UTF-8"
REGISTRATIONS = f"{WORKSPACE}/registrations"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as each:
        yield each


@pytest.fixture(scope="module")
async def refusing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[World, dict[str, Any], str]]:
    """A gateway for requests that change nothing, its only topic, and the path of its only registration."""
    async with running(tmp_path_factory.mktemp("refusing")) as each:
        topic = await each.topic()
        registration = await each.register(topic, name="Before")
        each.hooks.asked.clear()
        yield each, topic, f"{REGISTRATIONS}/{registration['registration_id']}"


async def put(world: World, registration: dict[str, Any], form: dict[str, Any]) -> Answer:
    return await world.call("PUT", f"{REGISTRATIONS}/{registration['registration_id']}", form)


def names(answer: Answer) -> list[str]:
    return [each["name"] for each in answer.json()["_embedded"]["registrations"]]


# --- Create and read ---


async def test_created_webhook_has_the_whole_body_in_order(world: World) -> None:
    """POST answers 201 with every member of the contract in its order; GET answers the very same bytes."""
    provider = await world.provider(docs_url="https://docs.example/warehouse", instance_id="IDP01")
    await world.metadata(provider)
    topic = {"provider_id": provider["id"], "event_code": "com.acme.low"}

    answer = await world.call("POST", REGISTRATIONS, registration_form(topic))

    assert (answer.status, answer.header("content-type")) == (201, HAL)
    body = answer.json()
    id, reg = body["id"], body["registration_id"]
    now = format_time(world.parts.clock.now_ms())
    expected = {
        "_links": {
            "rel:events": {"href": f"{BASE}/events/organizations/1001/integrations/4001/{reg}"},
            "rel:trace": {"href": f"{BASE}/traces/1001/2001/3001/registration/{reg}"},
            "self": {"href": f"{BASE}{REGISTRATIONS}/{reg}"},
        },
        "id": id,
        "name": "Stock to ERP",
        "description": "Moves",
        "client_id": CLIENT,
        "registration_id": reg,
        "events_of_interest": [
            {
                "event_code": "com.acme.low",
                "event_label": "Low stock",
                "event_description": "Stock fell under its floor",
                "provider_id": provider["id"],
                "provider": f"3rd_party_custom_events_{IMS_ORG}_IDP01",
                "provider_label": "Warehouse",
                "provider_description": provider["description"],
                "provider_docs_url": "https://docs.example/warehouse",
                "event_delivery_format": "cloud_events_v1",
            }
        ],
        "webhook_status": "verified",
        "created_date": now,
        "updated_date": now,
        "consumer_id": "1001",
        "project_id": "2001",
        "workspace_id": "3001",
        "webhook_url": "https://erp.example/hook",
        "delivery_type": "webhook",
        "enabled": True,
    }
    assert answer.body.decode() == json.dumps(expected, separators=(",", ":"))
    assert isinstance(id, int)
    assert re.fullmatch(UUID, reg)
    assert (await world.call("GET", f"{REGISTRATIONS}/{reg}")).body == answer.body


async def test_created_journal_needs_no_challenge(world: World) -> None:
    """A journal is verified at once, has no webhook_url member, but both links; its webhook_url is not taken over."""
    registration = await world.register(await world.topic(), delivery_type="JOURNAL", description=...)

    assert world.hooks.asked == []
    assert "webhook_url" not in registration
    assert (registration["webhook_status"], registration["enabled"]) == ("verified", True)
    assert (registration["delivery_type"], registration["description"]) == ("journal", "")
    for rel in ("rel:events", "rel:trace"):
        assert registration["_links"][rel]["href"].startswith("https://")


@pytest.mark.parametrize("spelled", ["webhook", "WEBHOOK", "Webhook_Batch"])
async def test_delivery_type_in_any_case(world: World, spelled: str) -> None:
    """Taken in any case, given back in lower case."""
    registration = await world.register(await world.topic(), delivery_type=spelled)

    assert registration["delivery_type"] == spelled.lower()


async def test_ids_never_repeat(world: World) -> None:
    """The numeric id of a deleted registration is not given again."""
    topic = await world.topic()
    first = await world.register(topic)
    assert (await world.call("DELETE", f"{REGISTRATIONS}/{first['registration_id']}")).status == 204

    assert (await world.register(topic))["id"] > first["id"]


async def test_provider_named_by_its_technical_name(world: World) -> None:
    """`provider` may stand for `provider_id`; an event of interest given twice counts once; unknown members pass."""
    provider = await world.provider(instance_id="IDP01")
    await world.metadata(provider)
    named = {"provider": f"3rd_party_custom_events_{IMS_ORG}_IDP01", "event_code": "com.acme.low"}
    both = {**named, "provider_id": provider["id"], "event_label": "ignored"}

    registration = await world.register(named, events_of_interest=[named, both], runtimeWebhook=True, extra={})

    [interest] = registration["events_of_interest"]
    assert interest["provider_id"] == provider["id"]


async def test_challenge_comes_before_anything_is_visible(world: World) -> None:
    """While the webhook is asked, nobody can see the registration; it was asked for the URL, id and client of it."""
    topic = await world.topic()
    seen: list[tuple[int, list[str]]] = []

    async def look() -> None:
        listed = await world.call("GET", REGISTRATIONS)
        seen.append((await world.publish(topic), names(listed)))

    world.hooks.on_ask = look
    registration = await world.register(topic)

    assert seen == [(204, [])]
    assert world.hooks.asked == [("https://erp.example/hook", registration["registration_id"], CLIENT)]
    assert await world.publish(topic) == 200


async def test_failed_challenge_creates_a_disabled_registration(world: World) -> None:
    """201 with verification_failed and enabled false; its journal takes events all the same."""
    topic = await world.topic()
    world.hooks.passes = False
    registration = await world.register(topic)

    assert (registration["webhook_status"], registration["enabled"]) == ("verification_failed", False)
    assert await world.publish(topic) == 200
    assert len(await world.journal(registration)) == 1


async def test_strict_challenge_refuses_instead(tmp_path: Path) -> None:
    """With `strict_challenge` a failed challenge is 400 with its cause, and nothing is created."""
    async with running(tmp_path, strict_challenge=True) as world:
        topic = await world.topic()
        world.hooks.passes = False
        epoch = await world.epoch()

        answer = await world.call("POST", REGISTRATIONS, registration_form(topic))

        assert (answer.status, answer.json()["reason"]) == (400, "challenge_failed")
        assert answer.json()["message"] == ("webhook_url: the endpoint answered the challenge with status 500, not 200")
        assert await world.epoch() == epoch


async def test_created_disabled_asks_nobody(world: World) -> None:
    """`enabled: false` at creation: no challenge, status verified, not enabled."""
    registration = await world.register(await world.topic(), enabled=False)

    assert world.hooks.asked == []
    assert (registration["webhook_status"], registration["enabled"]) == ("verified", False)


# --- Replace ---


async def test_update_replaces_everything_but_ids_client_and_creation(world: World) -> None:
    """PUT is a full replacement; the client id in it is ignored; the new body is what GET answers then."""
    topic, other = await world.topic("One"), await world.topic("Two")
    registration = await world.register(topic, delivery_type="journal")
    world.parts.clock.advance(5000)  # type: ignore[attr-defined]
    form = {
        "client_id": OTHER_CLIENT,
        "name": "Renamed",
        "webhook_url": "https://erp.example/other",
        "delivery_type": "webhook_batch",
        "events_of_interest": [other],
    }
    answer = await put(world, registration, form)

    assert (answer.status, answer.header("content-type")) == (200, HAL)
    body = answer.json()
    changed = {
        "name": "Renamed",
        "description": "",
        "delivery_type": "webhook_batch",
        "webhook_url": "https://erp.example/other",
        "events_of_interest": body["events_of_interest"],
        "updated_date": format_time(world.parts.clock.now_ms()),
    }
    assert body == {**registration, **changed}
    assert body["created_date"] != body["updated_date"]
    assert [each["provider_id"] for each in body["events_of_interest"]] == [other["provider_id"]]
    assert (await world.call("GET", f"{REGISTRATIONS}/{body['registration_id']}")).body == answer.body
    assert [await world.publish(each) for each in (topic, other)] == [204, 200]


async def test_update_beside_an_event_code_that_is_gone(world: World) -> None:
    """What the registration has may stay, so that it can be disabled; what it never had must exist."""
    gone, never = await world.topic("Gone"), await world.topic("Never")
    registration = await world.register(gone, delivery_type="journal")
    for topic in (gone, never):
        path = f"{WORKSPACE}/providers/{topic['provider_id']}/eventmetadata/{topic['event_code']}"
        assert (await world.call("DELETE", path)).status == 204
    form = {"name": "Off", "delivery_type": "journal", "enabled": False, "events_of_interest": [gone]}

    kept = await put(world, registration, form)
    added = await put(world, registration, {**form, "events_of_interest": [gone, never]})

    assert (kept.status, kept.json()["enabled"]) == (200, False)
    [interest] = kept.json()["events_of_interest"]
    assert {name: interest[name] for name in gone} == gone
    assert (added.status, added.json()["reason"]) == (400, "unknown_event_of_interest")
    assert added.json()["message"].startswith("events_of_interest[1]: ")


async def test_update_challenges_and_enables(world: World) -> None:
    """Any PUT without `enabled: false` asks the webhook; what it answers decides status and enabled."""
    topic = await world.topic()
    registration = await world.register(topic)
    seen = []
    for passes, members in ((False, {}), (True, {}), (True, {"enabled": False}), (True, {"enabled": True})):
        world.hooks.passes = passes
        world.hooks.asked.clear()
        body = (await put(world, registration, registration_form(topic, **members))).json()
        seen.append((len(world.hooks.asked), body["webhook_status"], body["enabled"]))

    assert seen == [
        (1, "verification_failed", False),
        (1, "verified", True),
        (0, "verified", False),
        (1, "verified", True),
    ]


async def test_update_disabling_asks_nobody(world: World) -> None:
    """Disabling needs no challenge, not even a passing one, and leaves the status verified."""
    topic = await world.topic()
    registration = await world.register(topic)
    world.hooks.passes = False
    world.hooks.asked.clear()

    body = (await put(world, registration, registration_form(topic, enabled=False))).json()

    assert (body["webhook_status"], body["enabled"], world.hooks.asked) == ("verified", False, [])


async def test_disabling_by_hand_keeps_a_failed_status(world: World) -> None:
    """Who was not asked is not called verified; a journal always is."""
    topic = await world.topic()
    world.hooks.passes = False
    registration = await world.register(topic)

    disabled = (await put(world, registration, registration_form(topic, enabled=False))).json()
    journal = (await put(world, registration, registration_form(topic, delivery_type="journal", enabled=False))).json()

    assert (disabled["webhook_status"], disabled["enabled"]) == ("verification_failed", False)
    assert (journal["webhook_status"], journal["enabled"]) == ("verified", False)


async def test_rename_to_a_taken_name_conflicts_before_the_challenge(world: World) -> None:
    """409 names the holder; the webhook is not called for nothing; the registration stays as it was."""
    topic = await world.topic()
    taken = await world.register(topic, name="Taken")
    registration = await world.register(topic, name="Free")
    world.hooks.asked.clear()

    answer = await put(world, registration, registration_form(topic, name="Taken"))

    assert (answer.status, answer.header("x-conflicting-id")) == (409, taken["registration_id"])
    assert world.hooks.asked == []
    read = await world.call("GET", f"{REGISTRATIONS}/{registration['registration_id']}")
    assert read.json() == registration


async def test_update_that_lost_a_race_is_made_again(world: World) -> None:
    """Changed by somebody else while the webhook was asked: a PUT is a full replacement, so it follows the other one.

    The webhook is not asked a second time for it."""
    topic = await world.topic()
    registration = await world.register(topic)
    world.hooks.asked.clear()

    async def somebody_else() -> None:
        world.hooks.on_ask = None
        first = await put(world, registration, registration_form(topic, name="First"))
        assert first.status == 200

    world.hooks.on_ask = somebody_else
    answer = await put(world, registration, registration_form(topic, name="Second"))

    assert (answer.status, answer.json()["name"]) == (200, "Second")
    assert names(await world.call("GET", REGISTRATIONS)) == ["Second"]
    assert len(world.hooks.asked) == 2


async def test_update_that_always_loses_is_told(world: World) -> None:
    """After a bounded number of attempts 409, and the other changes stay."""
    topic = await world.topic()
    registration = await world.register(topic)
    path = f"{REGISTRATIONS}/{registration['registration_id']}"
    write, lost = world.store.write, []

    async def write_after_another(ops: Any) -> Any:
        if isinstance(ops[0], Replace):
            lost.append(ops[0])
            raise StaleVersion("registration", ops[0].id)
        return await write(ops)

    world.store.write = write_after_another  # type: ignore[method-assign]
    answer = await world.call("PUT", path, registration_form(topic, name="Loser"))

    assert (answer.status, answer.json()["reason"]) == (409, "stale_version")
    assert len(lost) == 8
    assert names(await world.call("GET", REGISTRATIONS)) == [registration["name"]]


async def test_update_of_what_is_deleted_meanwhile(world: World) -> None:
    """404: nothing brings it back."""
    topic = await world.topic()
    registration = await world.register(topic)
    path = f"{REGISTRATIONS}/{registration['registration_id']}"

    async def somebody_else() -> None:
        assert (await world.call("DELETE", path)).status == 204

    world.hooks.on_ask = somebody_else
    answer = await world.call("PUT", path, registration_form(topic, name="Late"))

    assert (answer.status, answer.json()["reason"]) == (404, "not_found")
    assert names(await world.call("GET", REGISTRATIONS)) == []


# --- Names and quotas ---


async def test_name_is_unique_per_workspace(world: World) -> None:
    """409 with the holder's id in the header; the same name is free in another workspace."""
    topic = await world.topic()
    holder = await world.register(topic)
    world.hooks.asked.clear()
    epoch = await world.epoch()

    answer = await world.call("POST", REGISTRATIONS, registration_form(topic))

    assert (answer.status, answer.json()["reason"]) == (409, "conflict")
    assert answer.header("x-conflicting-id") == holder["registration_id"]
    assert answer.json()["message"] == "a registration named 'Stock to ERP' exists in workspace 3001"
    assert world.hooks.asked == []
    assert await world.epoch() == epoch
    elsewhere = registration_form(topic, client_id=OTHER_CLIENT)
    assert (await world.call("POST", "/events/1001/2001/3002/registrations", elsewhere)).status == 201


async def test_name_taken_during_the_challenge(world: World) -> None:
    """Of two that ask for one name at the same time, one gets it, the other 409 with the winner's id."""
    topic = await world.topic()
    winner: list[dict[str, Any]] = []

    async def somebody_else() -> None:
        world.hooks.on_ask = None
        winner.append(await world.register(topic))

    world.hooks.on_ask = somebody_else
    answer = await world.call("POST", REGISTRATIONS, registration_form(topic))

    assert (answer.status, answer.header("x-conflicting-id")) == (409, winner[0]["registration_id"])
    assert names(await world.call("GET", REGISTRATIONS)) == ["Stock to ERP"]


@pytest.mark.parametrize(
    "settings",
    [
        {"registrations_per_client": 2},
        {"registrations_per_org": 2},
        {"registrations_per_client": 2, "registrations_per_org": 2},
    ],
)
async def test_quotas(tmp_path: Path, settings: dict[str, int]) -> None:
    """Over the quota 409 without a conflicting id; what exists can still be changed, and deleting makes room."""
    async with running(tmp_path, **settings) as world:
        topic = await world.topic()
        first = await world.register(topic, name="One")
        second = await world.register(topic, name="Two")

        answer = await world.call("POST", REGISTRATIONS, registration_form(topic, name="Three"))

        assert (answer.status, answer.json()["reason"]) == (409, "quota_reached")
        assert answer.header("x-conflicting-id") is None
        assert answer.json()["message"].startswith("the limit of registrations is reached: ")
        assert (await put(world, second, registration_form(topic, name="2nd"))).status == 200
        assert names(await world.call("GET", REGISTRATIONS)) == ["One", "2nd"]
        assert (await world.call("DELETE", f"{REGISTRATIONS}/{first['registration_id']}")).status == 204
        await world.register(topic, name="Three")


async def test_quota_of_one_is_a_quota(tmp_path: Path) -> None:
    """Its refusal looks like any quota's, not like a conflict of names; and the name conflict still is one."""
    async with running(tmp_path, registrations_per_client=1) as world:
        topic = await world.topic()
        await world.register(topic, name="One")

        answer = await world.call("POST", REGISTRATIONS, registration_form(topic, name="Two"))
        same = await world.call("POST", REGISTRATIONS, registration_form(topic, name="One"))

        assert (answer.status, answer.json()["reason"]) == (409, "quota_reached")
        assert answer.header("x-conflicting-id") is None
        assert (same.status, same.json()["reason"]) == (409, "conflict")


async def test_no_quota_with_zero(tmp_path: Path) -> None:
    """0 means none."""
    async with running(tmp_path, registrations_per_client=0, registrations_per_org=0) as world:
        topic = await world.topic()
        for number in range(35):
            await world.register(topic, name=f"Number {number}", delivery_type="journal")


# --- Lists and pages ---


async def test_list_of_a_workspace(world: World) -> None:
    """Empty with `_embedded` at first; then the workspace's own, unpaged, as GET shows each."""
    empty = await world.call("GET", REGISTRATIONS)
    topic = await world.topic()
    made = [await world.register(topic, name=f"Number {n}", delivery_type="journal") for n in range(12)]

    listed = await world.call("GET", REGISTRATIONS)

    links = {"self": {"href": BASE + REGISTRATIONS}}
    assert (empty.status, empty.json()) == (200, {"_links": links, "_embedded": {"registrations": []}})
    assert listed.json() == {"_links": links, "_embedded": {"registrations": made}}
    other = await world.call("GET", "/events/1001/2001/3002/registrations")
    assert names(other) == []


async def test_list_follows_every_change(world: World) -> None:
    """Whatever shows in a body: the registration, its provider, its event code; until then the same bytes."""
    topic = await world.topic()
    registration = await world.register(topic, delivery_type="journal")
    provider = f"{WORKSPACE}/providers/{topic['provider_id']}"
    labels = {"label": "New", "description": "d", "event_code": topic["event_code"]}
    seen = [await world.call("GET", REGISTRATIONS), await world.call("GET", REGISTRATIONS)]
    assert seen[0].body == seen[1].body
    for method, path, form in (
        ("PUT", provider, labels),
        ("PUT", f"{provider}/eventmetadata/{topic['event_code']}", labels),
        ("PUT", registration["_links"]["self"]["href"].removeprefix(BASE), registration_form(topic, name="New")),
        ("DELETE", provider, None),
    ):
        assert (await world.call(method, path, form)).status in (200, 204)
        listed = await world.call("GET", REGISTRATIONS)
        alone = await world.call("GET", registration["_links"]["self"]["href"].removeprefix(BASE))
        assert listed.json()["_embedded"]["registrations"] == [alone.json()]
        seen.append(listed)
    assert len({answer.body for answer in seen}) == 5


def page_link(page: int, size: int) -> dict[str, str]:
    return {"href": f"{BASE}/events/1001/registrations?page={page}&size={size}"}


async def test_pages_of_an_organization(world: World) -> None:
    """All workspaces' registrations, ten by default, with the links that exist and the counts."""
    topic = await world.topic()
    made = [await world.register(topic, name=f"Number {n}", delivery_type="journal") for n in range(11)]
    elsewhere = registration_form(topic, client_id=OTHER_CLIENT, delivery_type="journal")
    made.append((await world.call("POST", "/events/1001/2001/3002/registrations", elsewhere)).json())

    first = (await world.call("GET", "/events/1001/registrations")).json()
    middle = (await world.call("GET", "/events/1001/registrations?page=1&size=5")).json()
    last = (await world.call("GET", "/events/1001/registrations?size=5&page=2")).json()

    assert list(first) == ["_links", "_embedded", "page"]
    assert first["_embedded"]["registrations"] == made[:10]
    assert first["_links"] == {
        "first": page_link(0, 10),
        "last": page_link(1, 10),
        "next": page_link(1, 10),
        "self": page_link(0, 10),
    }
    assert first["page"] == {"size": 10, "number": 0, "numberOfElements": 10, "totalElements": 12, "totalPages": 2}
    assert middle["_embedded"]["registrations"] == made[5:10]
    assert list(middle["_links"].items()) == [
        ("first", page_link(0, 5)),
        ("last", page_link(2, 5)),
        ("next", page_link(2, 5)),
        ("prev", page_link(0, 5)),
        ("self", page_link(1, 5)),
    ]
    assert list(last["_links"]) == ["first", "last", "prev", "self"]
    assert last["page"] == {"size": 5, "number": 2, "numberOfElements": 2, "totalElements": 12, "totalPages": 3}


async def test_page_of_an_empty_organization(world: World) -> None:
    """Page 0 of nothing is 200 with an empty array and no pages."""
    body = (await world.call("GET", "/events/1001/registrations?page=0&size=100")).json()

    assert body == {
        "_links": {"first": page_link(0, 100), "last": page_link(0, 100), "self": page_link(0, 100)},
        "_embedded": {"registrations": []},
        "page": {"size": 100, "number": 0, "numberOfElements": 0, "totalElements": 0, "totalPages": 0},
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("size=0", "size must be 1 to 100, but is 0"),
        ("size=101", "size must be 1 to 100, but is 101"),
        ("size=ten", "size must be a number from 0 on, but is 'ten'"),
        ("size=", "size must be a number from 0 on, but is ''"),
        ("page=-1", "page must be a number from 0 on, but is '-1'"),
        ("page=1.0", "page must be a number from 0 on, but is '1.0'"),
        ("page=%D9%A1", "page must be a number from 0 on, but is '\\u0661'"),
        ("page=9999999999", "page must be a number from 0 on, but is '9999999999'"),
        ("page=1&size=1", "page 1 does not exist: 1 registrations in pages of 1, counted from 0"),
    ],
)
async def test_pages_that_do_not_exist(refusing: tuple[World, Any, str], query: str, message: str) -> None:
    """Page or size out of range is 400 with the reason."""
    world, _, _ = refusing
    answer = await world.call("GET", f"/events/1001/registrations?{query}")

    assert (answer.status, answer.json()) == (400, {"reason": "invalid_parameter", "message": message})


# --- Delete ---


async def test_delete(world: World) -> None:
    """204 without a body; registration, journal and subscription are gone, the name is free."""
    topic = await world.topic()
    registration = await world.register(topic)
    assert await world.publish(topic) == 200
    path = f"{REGISTRATIONS}/{registration['registration_id']}"

    answer = await world.call("DELETE", path)

    assert (answer.status, answer.body, answer.header("content-type")) == (204, b"", None)
    for target in (
        path,
        *(registration["_links"][rel]["href"].removeprefix(BASE) for rel in ("rel:events", "rel:trace")),
    ):
        assert (await world.call("GET", target)).status == 404
    assert (await world.call("DELETE", path)).status == 404
    assert await world.publish(topic) == 204
    await world.register(topic)


# --- Refusals ---

LONG = "x" * 256


def interest(**members: Any) -> dict[str, Any]:
    return {"events_of_interest": [members]}


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        ({"name": ...}, "invalid_body", "name: required, but missing"),
        ({"name": "ab"}, "invalid_body", "name: must have 3 to 255 characters, but has 2"),
        ({"name": LONG}, "invalid_body", "name: must have 3 to 255 characters, but has 256"),
        ({"name": ["x"]}, "invalid_body", "name: expected str, got array"),
        ({"name": "a\tb"}, "invalid_body", "name: holds the character U+0009 at offset 1"),
        ({"description": "d" * 5001}, "invalid_body", "description: must have 0 to 5000 characters, but has 5001"),
        ({"description": "a\u0000"}, "invalid_body", "description: holds the character U+0000 at offset 1"),
        ({"description": 1}, "invalid_body", "description: expected str | null, got int"),
        ({"delivery_type": ...}, "invalid_body", "delivery_type: required, but missing"),
        (
            {"delivery_type": "email"},
            "invalid_body",
            "delivery_type: must be one of webhook, webhook_batch, journal, aws_eventbridge, but is 'email'",
        ),
        ({"delivery_type": None}, "invalid_body", "delivery_type: expected str, got null"),
        (
            {"delivery_type": "AWS_EventBridge"},
            "invalid_body",
            "destination_metadata: required for delivery_type aws_eventbridge",
        ),
        (
            {"delivery_type": "aws_eventbridge", "destination_metadata": {"aws_account_id": "123456789012"}},
            "invalid_body",
            "destination_metadata.aws_region: required for delivery_type aws_eventbridge",
        ),
        (
            {"destination_metadata": {"aws_region": "mars-west-1"}},
            "invalid_body",
            "destination_metadata.aws_region: must be an AWS region like eu-west-1, but is 'mars-west-1'",
        ),
        (
            {"destination_metadata": {"aws_account_id": "12345678901\u0662"}},
            "invalid_body",
            "destination_metadata.aws_account_id: must be 12 digits, but is '12345678901\\u0662'",
        ),
        (
            {"runtime_action": "pkg/act"},
            "invalid_body",
            "runtime_action: cannot be combined with webhook_url; give one of the two",
        ),
        (
            {"runtime_action": "act", "webhook_url": ...},
            "invalid_body",
            "runtime_action: must be <package>/<action>, but is 'act'",
        ),
        (
            {"runtime_action": "pkg/act\n", "webhook_url": ...},
            "invalid_body",
            "runtime_action: must be <package>/<action>, but is 'pkg/act\\n'",
        ),
        (
            {"subscriber_filters": [{"name": "f"}]},
            "invalid_body",
            "subscriber_filters[0].name: must have 3 to 80 characters, but has 1",
        ),
        (
            {"subscriber_filters": [{"name": "f"}, {"name": "g"}]},
            "invalid_body",
            "subscriber_filters: must have 0 to 1 elements, but has 2",
        ),
        ({"subscriber_filters": {}}, "invalid_body", "subscriber_filters: expected array | null, got object"),
        ({"enabled": "true"}, "invalid_body", "enabled: expected bool | null, got str"),
        ({"webhook_url": ...}, "invalid_body", "webhook_url: required for delivery_type webhook"),
        ({"webhook_url": ""}, "invalid_body", "webhook_url: required for delivery_type webhook"),
        ({"webhook_url": "https://x/" + "y" * 4000}, "invalid_body", "webhook_url: must have 0 to 4000 characters"),
        ({"webhook_url": "erp.example/hook"}, "invalid_body", "webhook_url: must be an absolute http or https URL"),
        ({"webhook_url": "ftp://erp.example/"}, "invalid_body", "webhook_url: must be an absolute http or https URL"),
        ({"webhook_url": "https:///hook"}, "invalid_body", "webhook_url: must be an absolute http or https URL"),
        ({"webhook_url": "https://erp.example:70000/"}, "invalid_body", "webhook_url: is not a URL: Port out of range"),
        (
            {"webhook_url": "https://erp.example:0/"},
            "invalid_body",
            "webhook_url: must be an absolute http or https URL",
        ),
        ({"webhook_url": "https://[::1/"}, "invalid_body", "webhook_url: is not a URL: Invalid IPv6 URL"),
        ({"webhook_url": "https://erp.example/a b"}, "invalid_body", "webhook_url: may only hold printable ASCII"),
        ({"webhook_url": "https://erp.example/\r\nx"}, "invalid_body", "webhook_url: may only hold printable ASCII"),
        ({"webhook_url": "https://bücher.example/"}, "invalid_body", "webhook_url: may only hold printable ASCII"),
        (
            {"webhook_url": "http://erp.example/"},
            "invalid_body",
            "webhook_url: must be https; plain http is allowed with --dev or EVENTMILL_WEBHOOK_ALLOW_HTTP=true",
        ),
        ({"events_of_interest": ...}, "invalid_body", "events_of_interest: required, but missing"),
        ({"events_of_interest": {}}, "invalid_body", "events_of_interest: expected array, got object"),
        ({"events_of_interest": ["x"]}, "invalid_body", "events_of_interest[0]: expected object, got str"),
        (interest(provider_id="p"), "invalid_body", "events_of_interest[0].event_code: required, but missing"),
        (interest(event_code="c"), "invalid_body", "events_of_interest[0].provider_id: required, but missing"),
        (
            interest(event_code="", provider_id="p"),
            "invalid_body",
            "events_of_interest[0].event_code: must have 1 to 255 characters, but has 0",
        ),
        (
            interest(event_code="c", provider_id="p" * 39),
            "invalid_body",
            "events_of_interest[0].provider_id: must have 1 to 38 characters, but has 39",
        ),
        (
            interest(event_code="c", provider_id="none"),
            "unknown_event_of_interest",
            "events_of_interest[0]: provider 'none' does not exist in organization 1001",
        ),
        (
            interest(event_code="c", provider="none"),
            "unknown_event_of_interest",
            "events_of_interest[0]: provider 'none' does not exist in organization 1001",
        ),
    ],
)
async def test_bad_bodies_are_named_and_leave_nothing(
    refusing: tuple[World, dict[str, Any], str], change: dict[str, Any], reason: str, message: str
) -> None:
    """Every wrong member is 400 by its name, on POST and PUT; no webhook is called, nothing is stored."""
    world, topic, path = refusing
    epoch = await world.epoch()

    for method, target in (("POST", REGISTRATIONS), ("PUT", path)):
        answer = await world.call(method, target, registration_form(topic, **change))

        assert (answer.status, answer.json()["reason"]) == (400, reason)
        assert answer.json()["message"].startswith(message)
    assert await world.epoch() == epoch
    assert world.hooks.asked == []


@pytest.mark.parametrize(
    ("client_id", "message"),
    [
        (..., "client_id: required, but missing"),
        ("ab", "client_id: must have 3 to 128 characters, but has 2"),
        ("c" * 129, "client_id: must have 3 to 128 characters, but has 129"),
        ("a b c", "client_id: may only hold letters, digits and -_., but is 'a b c'"),
        (5, "client_id: expected str, got int"),
        ("unknown", "client_id: unknown is not a credential of workspace 3001"),
        (OTHER_CLIENT, f"client_id: {OTHER_CLIENT} is not a credential of workspace 3001"),
        (FOREIGN_CLIENT, f"client_id: {FOREIGN_CLIENT} is not a credential of workspace 3001"),
    ],
)
async def test_client_must_be_a_credential_of_the_workspace(
    refusing: tuple[World, dict[str, Any], str], client_id: Any, message: str
) -> None:
    """Unknown ones, another workspace's and another organisation's are refused alike."""
    world, topic, _ = refusing
    answer = await world.call("POST", REGISTRATIONS, registration_form(topic, client_id=client_id))

    assert (answer.status, answer.json()) == (400, {"reason": "invalid_body", "message": message})


async def test_event_of_interest_with_an_unknown_code(refusing: tuple[World, dict[str, Any], str]) -> None:
    """The code must exist at the provider; the place in the list is named."""
    world, topic, _ = refusing
    form = registration_form(topic, events_of_interest=[topic, {**topic, "event_code": "none"}])

    answer = await world.call("POST", REGISTRATIONS, form)

    assert (answer.status, answer.json()["reason"]) == (400, "unknown_event_of_interest")
    expected = f"events_of_interest[1]: provider {topic['provider_id']} has no event code 'none'"
    assert answer.json()["message"] == expected


async def test_providers_of_other_organizations_cannot_be_subscribed(world: World) -> None:
    """They look as if they did not exist."""
    topic = await world.topic()
    form = registration_form(topic, client_id=FOREIGN_CLIENT)

    answer = await world.call("POST", "/events/1002/2009/3009/registrations", form, headers=world.foreign_auth())

    assert (answer.status, answer.json()["reason"]) == (400, "unknown_event_of_interest")
    assert answer.json()["message"].endswith("does not exist in organization 1002")


async def test_unknown_registrations(refusing: tuple[World, dict[str, Any], str]) -> None:
    """404 for an id that is unknown, or known in another workspace only."""
    world, topic, path = refusing
    known = path.rsplit("/", 1)[1]
    for target, workspace in (
        (f"{REGISTRATIONS}/this_id_should_not_exist", "3001"),
        (f"/events/1001/2001/3002/registrations/{known}", "3002"),
    ):
        for method in ("GET", "PUT", "DELETE"):
            answer = await world.call(method, target, registration_form(topic))

            assert (answer.status, answer.json()["reason"]) == (404, "not_found")
            id = target.rsplit("/", 1)[1]
            assert answer.json()["message"] == f"registration '{id}' does not exist in workspace {workspace}"


async def test_plain_http_where_it_is_allowed(tmp_path: Path) -> None:
    """`webhook_allow_http` opens it outside dev mode."""
    async with running(tmp_path, webhook_allow_http=True) as world:
        registration = await world.register(await world.topic(), webhook_url="http://127.0.0.1:9/hook")

        assert registration["webhook_url"] == "http://127.0.0.1:9/hook"


async def test_lenient_mode_takes_unknown_clients(tmp_path: Path) -> None:
    """Their journal link names the workspace's first credential, or the client id where there is none."""
    async with running(tmp_path, auth="lenient") as world:
        topic = await world.topic()
        registration = await world.register(topic, client_id="my-own-client", delivery_type="journal")
        form = registration_form(topic, client_id="my-own-client", delivery_type="journal")
        bare = (await world.call("POST", "/events/1001/2001/3003/registrations", form)).json()
        other = await world.call("POST", REGISTRATIONS, registration_form(topic, client_id=OTHER_CLIENT))

        assert registration["_links"]["rel:events"]["href"].split("/")[-2] == "4001"
        assert bare["_links"]["rel:events"]["href"].split("/")[-2] == "my-own-client"
        assert await world.publish(topic) == 200
        for each in (registration, bare):
            assert [event["recipient_client_id"] for event in await world.journal(each)] == ["my-own-client"]
        assert other.status == 400
