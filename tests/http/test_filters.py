"""Filters of registrations: the calls that set and try them, and what publishing makes of them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventmill.flow.filters import explain_filter
from eventmill.model import Lane, OrgId, SubscriberFilter
from eventmill.store.control import Replace
from tests.http.client import Answer
from tests.http.world import CLIENT, WORKSPACE, World, registration_form, running

pytestmark = pytest.mark.anyio

REGISTRATIONS = f"{WORKSPACE}/registrations"
FEW: dict[str, Any] = {"data": {"stock": [{"numeric": ["<", 5]}]}}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as each:
        yield each


def form(wanted: Any = FEW, name: str = "Nearly out", **members: Any) -> dict[str, Any]:
    return {"name": name, "subscriber_filter": wanted if isinstance(wanted, str) else json.dumps(wanted), **members}


def path_of(registration: Mapping[str, Any]) -> str:
    return f"{REGISTRATIONS}/{registration['registration_id']}"


async def journal(world: World, topic: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    return await world.register(topic, delivery_type="journal", webhook_url=..., **members)


async def publish(world: World, topic: Mapping[str, Any], data: Any, id: str = "1") -> int:
    event = {"id": id, "source": f"urn:uuid:{topic['provider_id']}", "type": topic["event_code"], "data": data}
    headers = {**world.auth(), "content-type": "application/cloudevents+json"}
    return (await world.call("POST", "/", event, headers=headers)).status


async def data_in(world: World, registration: Mapping[str, Any]) -> list[Any]:
    return [event["data"] for event in await world.journal(registration)]


def refused(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json()["reason"]


# --- The calls ---


async def test_life_of_a_filter(world: World) -> None:
    """Created, listed, read, replaced under its id, deleted; each change is obeyed by the publish after it."""
    topic = await world.topic()
    registration = await journal(world, topic)
    path = path_of(registration)
    assert (await world.call("GET", f"{path}/filters")).json() == []
    assert "subscriber_filters" not in registration

    made = await world.call("POST", f"{path}/filters", form(description="Under five"))
    assert made.status == 201 and made.header("content-type") == "application/json"
    kept = made.json()
    assert kept == form(description="Under five") | {"id": kept["id"]}
    assert (await world.call("GET", f"{path}/filters")).json() == [kept]
    assert (await world.call("GET", f"{path}/filters/{kept['id']}")).json() == kept
    assert (await world.call("GET", path)).json()["subscriber_filters"] == [kept]
    assert [await publish(world, topic, {"stock": stock}) for stock in (3, 7)] == [200, 200]

    many = {"data": {"stock": [{"numeric": [">=", 5]}]}}
    replaced = await world.call("PUT", f"{path}/filters/{kept['id']}", form(many, "Plenty"))
    assert (replaced.status, replaced.json()) == (200, form(many, "Plenty") | {"id": kept["id"], "description": ""})
    assert [await publish(world, topic, {"stock": stock}) for stock in (4, 8)] == [200, 200]

    assert (await world.call("DELETE", f"{path}/filters/{kept['id']}")).status == 204
    assert (await world.call("GET", f"{path}/filters")).json() == []
    assert await publish(world, topic, {"stock": 1}) == 200
    assert await data_in(world, registration) == [{"stock": 3}, {"stock": 8}, {"stock": 1}]


async def test_filter_calls_leave_the_lane_alone(world: World) -> None:
    """Nobody is challenged, and a disabled registration stays so."""
    registration = await world.register(await world.topic(), enabled=False)
    kept = (await world.call("POST", f"{path_of(registration)}/filters", form())).json()
    await world.call("PUT", f"{path_of(registration)}/filters/{kept['id']}", form(name="Other"))
    await world.call("DELETE", f"{path_of(registration)}/filters/{kept['id']}")

    after = (await world.call("GET", path_of(registration))).json()
    assert after["enabled"] is False and world.hooks.asked == []
    assert len([gap for gap in await world.store.gaps(Lane(registration["id"])) if gap.to_seq is None]) == 1


async def test_one_filter_at_most(world: World) -> None:
    """A second one is 400, by whichever call."""
    topic = await world.topic()
    registration = await journal(world, topic, subscriber_filters=[form()])
    path = path_of(registration)

    assert refused(await world.call("POST", f"{path}/filters", form())) == (400, "filter_exists")
    two = registration_form(topic, name="Other", subscriber_filters=[form(), form(name="Second")])
    assert refused(await world.call("POST", REGISTRATIONS, two)) == (400, "invalid_body")


@pytest.mark.parametrize(
    ("body", "reason", "message"),
    [
        (form(name="ab"), "invalid_body", "name: must have 3 to 80 characters, but has 2"),
        (form(description="x" * 251), "invalid_body", "description: must have 0 to 250 characters, but has 251"),
        ({"name": "Nearly out"}, "invalid_body", "subscriber_filter: required, but missing"),
        (
            {"name": "Nearly out", "subscriber_filter": FEW},
            "invalid_body",
            "subscriber_filter: expected str, got object",
        ),
        (form("x" * 10_001), "invalid_body", "subscriber_filter: must have 0 to 10000 characters, but has 10001"),
        (form('{"a":[1],}'), "invalid_filter", "subscriber_filter: not JSON: a name in quotes is expected"),
        (form('{"a":\n[{"wildcard":"x*"}]}'), "invalid_filter", "subscriber_filter: 'wildcard' is not available"),
        (form('{"a":[1],"a":[2]}'), "invalid_filter", "subscriber_filter: the same path twice: 'a'"),
    ],
)
async def test_refused_filters(world: World, body: Any, reason: str, message: str) -> None:
    """In the words of the filter's own text, with line and column; nothing is changed."""
    registration = await journal(world, await world.topic())
    epoch = await world.epoch()
    answer = await world.call("POST", f"{path_of(registration)}/filters", body)

    assert refused(answer) == (400, reason)
    assert answer.json()["message"].startswith(message), answer.body
    assert await world.epoch() == epoch


async def test_unknown_filters(world: World) -> None:
    """404 for every call that names one."""
    registration = await journal(world, await world.topic(), subscriber_filters=[form()])
    for method in ("GET", "PUT", "DELETE"):
        answer = await world.call(method, f"{path_of(registration)}/filters/nobodys", form())
        assert refused(answer) == (404, "not_found")
    for method, path in (("GET", "filters"), ("POST", "filters"), ("POST", "filter/validate")):
        assert refused(await world.call(method, f"{REGISTRATIONS}/nobodys/{path}", form())) == (404, "not_found")


async def test_filters_in_registration_bodies(world: World) -> None:
    """Given with POST; kept by a PUT that does not speak of them; replaced under their id; removed by an empty list."""
    topic = await world.topic()
    registration = await journal(world, topic, subscriber_filters=[form()])
    [kept] = registration["subscriber_filters"]
    path, body = path_of(registration), registration_form(topic, delivery_type="journal", webhook_url=...)

    assert (await world.call("PUT", path, body)).json()["subscriber_filters"] == [kept]
    assert (await world.call("PUT", path, {**body, "subscriber_filters": None})).json()["subscriber_filters"] == [kept]
    other = form({"id": ["x"]}, "Other", description="")
    replaced = (await world.call("PUT", path, {**body, "subscriber_filters": [other]})).json()
    assert replaced["subscriber_filters"] == [other | {"id": kept["id"]}]
    answer = await world.call("PUT", path, {**body, "subscriber_filters": [form('{"a":[]}')]})
    assert answer.json()["message"].startswith("subscriber_filters[0].subscriber_filter: an empty list")
    removed = await world.call("PUT", path, {**body, "subscriber_filters": []})
    assert removed.status == 200 and "subscriber_filters" not in removed.json()


async def test_filters_in_patches(world: World) -> None:
    """Part of the document that a JSON Patch changes: replaced in part, removed."""
    registration = await journal(world, await world.topic(), subscriber_filters=[form()])
    headers = {**world.auth(), "content-type": "application/json-patch+json"}

    async def patch(**operation: Any) -> dict[str, Any]:
        answer = await world.call("PATCH", path_of(registration), [operation], headers=headers)
        assert answer.status == 200, answer.body
        patched: dict[str, Any] = answer.json()
        return patched

    renamed = await patch(op="replace", path="/subscriber_filters/0/name", value="Renamed")
    assert renamed["subscriber_filters"] == [registration["subscriber_filters"][0] | {"name": "Renamed"}]
    assert "subscriber_filters" not in await patch(op="remove", path="/subscriber_filters")


async def test_incompatible_registrations(world: World) -> None:
    """Event buses and the `adobe_io` format have no filters: neither is one added to them, nor one with a filter turned
    into them."""
    bus = {
        "delivery_type": "aws_eventbridge",
        "destination_metadata": {"aws_region": "eu-west-1", "aws_account_id": "123456789012"},
        "webhook_url": ...,
    }
    topic = await world.topic()
    legacy = await world.topic("Legacy", event_delivery_format="adobe_io")
    for each in (
        await world.register(topic, name="Bus", **bus),
        await journal(world, legacy, name="Legacy"),
    ):
        answer = await world.call("POST", f"{path_of(each)}/filters", form())
        assert refused(answer) == (400, "incompatible_filter")
    filtered = await journal(world, topic, subscriber_filters=[form()])
    for changed in (registration_form(topic, **bus), registration_form(legacy)):
        assert refused(await world.call("PUT", path_of(filtered), changed)) == (400, "incompatible_filter")
        created = {**changed, "name": "New", "subscriber_filters": [form()]}
        assert refused(await world.call("POST", REGISTRATIONS, created)) == (400, "incompatible_filter")


async def test_a_provider_of_filtered_events_stays_with_cloud_events(world: World) -> None:
    """Its format cannot become `adobe_io` as long as somebody filters its events, whichever way it is written."""
    topic = await world.topic()
    provider = f"{WORKSPACE}/providers/{topic['provider_id']}"
    registration = await journal(world, topic, subscriber_filters=[form()])
    turned = {"label": "Warehouse", "event_delivery_format": "adobe_io"}
    patch = [{"op": "replace", "path": "/event_delivery_format", "value": "adobe_io"}]

    assert refused(await world.call("PUT", provider, turned)) == (400, "incompatible_filter")
    assert refused(await world.call("PATCH", provider, patch)) == (400, "incompatible_filter")
    assert (await world.call("PUT", provider, {"label": "Renamed"})).status == 200
    [kept] = (await world.call("GET", f"{path_of(registration)}/filters")).json()
    assert (await world.call("DELETE", f"{path_of(registration)}/filters/{kept['id']}")).status == 204
    assert (await world.call("PUT", provider, turned)).status == 200


# --- Publishing ---


async def test_filters_see_what_is_delivered(world: World) -> None:
    """All members of the delivered event, those that the gateway adds included; what passes is not changed."""
    topic = await world.topic()
    seen = {
        "by id": {"eventid": [{"exists": True}], "event_id": [{"exists": True}]},
        "by client": {"recipientclientid": [CLIENT], "recipient_client_id": [CLIENT], "data": {"n": [1]}},
        "by source": {"source": [f"urn:uuid:{topic['provider_id']}"], "specversion": ["1.0"]},
        "by number": {"data.n": [1]},
    }
    unseen = {"other client": {"recipientclientid": [{"anything-but": CLIENT}]}, "other data": {"data.n": ["1"]}}
    registrations = {
        name: await journal(world, topic, name=name, subscriber_filters=[form(each)])
        for name, each in (seen | unseen).items()
    }
    plain = await journal(world, topic, name="plain")
    assert await publish(world, topic, {"n": 1.0}) == 200

    [whole] = await world.journal(plain)
    found = {name: await world.journal(each) for name, each in registrations.items()}
    assert found == {name: [whole] if name in seen else [] for name in found}


async def test_filtered_by_everybody(world: World) -> None:
    """200, as somebody subscribes, and nothing is stored; in a batch, the event is told apart from those that are."""
    topic = await world.topic()
    registration = await journal(world, topic, subscriber_filters=[form()])
    organization = world.parts.catalogue.organizations()[0].id
    assert await publish(world, topic, {"stock": 9}) == 200
    assert world.store.stored_bytes(organization) == 0

    source = {"source": f"urn:uuid:{topic['provider_id']}", "type": topic["event_code"]}
    headers = {**world.auth(), "content-type": "application/cloudevents-batch+json"}
    for stocks, stored in (((9, 1, 9), [False, True, False]), ((9, 9), [False, False])):
        batch = [{"id": str(at), **source, "specversion": "1.0", "data": {"stock": n}} for at, n in enumerate(stocks)]
        answer = await world.call("POST", "/", batch, headers=headers)
        assert (answer.status, [each["stored"] for each in answer.json()["results"]]) == (200, stored)
    assert await data_in(world, registration) == [{"stock": 1}]


async def test_filters_survive_a_restart(tmp_path: Path) -> None:
    """They are part of the registration; one that an older release stored without filters has none."""
    async with running(tmp_path) as world:
        topic = await world.topic()
        registration = await journal(world, topic, subscriber_filters=[form()])
        stored = await world.store.get("registration", OrgId("1001"), registration["registration_id"])
        assert stored is not None
        old = json.loads((await _stored_doc(world, topic)).decode())
        del old["subscriber_filters"]
        assert (
            msgspec.json.decode(json.dumps(old), type=type(world.parts.catalogue.registrations()[0])).subscriber_filters
            == ()
        )
    async with running(tmp_path) as world:
        await publish(world, topic, {"stock": 9})
        await publish(world, topic, {"stock": 2})
        assert await data_in(world, registration) == [{"stock": 2}]


async def _stored_doc(world: World, topic: Mapping[str, Any]) -> bytes:
    made = await journal(world, topic, name="plain")
    stored = await world.store.get("registration", OrgId("1001"), made["registration_id"])
    assert stored is not None
    return stored.doc


async def test_broken_filters_stop_nothing(world: World) -> None:
    """A stored filter that cannot be compiled lets nothing through to its own registration; others get the event."""
    topic = await world.topic()
    broken = await journal(world, topic, name="broken")
    plain = await journal(world, topic, name="plain")
    stored = await world.store.get("registration", OrgId("1001"), broken["registration_id"])
    assert stored is not None
    known = world.parts.catalogue.registration(OrgId("1001"), broken["registration_id"])
    assert known is not None
    bad = msgspec.structs.replace(
        known, subscriber_filters=(SubscriberFilter(id="f", name="bad", description="", subscriber_filter="{"),)
    )
    doc = msgspec.json.encode(bad)
    await world.store.write([Replace("registration", OrgId("1001"), stored.id, doc, stored.version, keys=None)])

    assert await publish(world, topic, {"n": 1}) == 200
    assert await data_in(world, plain) == [{"n": 1}]
    assert await world.journal(broken) == []
    assert "not JSON" in (explain_filter(bad, b"{", legacy_fields=True) or "")


async def test_deep_events(world: World) -> None:
    """An event as deep as publishing takes it is filtered like any other."""
    topic = await world.topic()
    path = ".".join(["data"] + ["a"] * 505)
    registration = await journal(world, topic, subscriber_filters=[form({path: ["x"]})])
    source = f'"id":"1","source":"urn:uuid:{topic["provider_id"]}","type":"{topic["event_code"]}"'
    body = f'{{{source},"data":' + '{"a":' * 505 + '"x"' + "}" * 506
    headers = {**world.auth(), "content-type": "application/cloudevents+json"}

    assert (await world.call("POST", "/", body.encode(), headers=headers)).status == 200
    assert len(await world.journal(registration)) == 1


# --- Why not ---


async def test_explanation(world: World) -> None:
    """Of an event that was kept from a registration: the field, what is wanted, what was seen; of others nothing."""
    topic = await world.topic()
    made = await journal(world, topic, subscriber_filters=[form()])
    registration = world.parts.catalogue.registration(OrgId("1001"), made["registration_id"])
    assert registration is not None

    missed = explain_filter(registration, b'{"data":{"stock":9}', legacy_fields=True)
    assert missed == 'data.stock: numeric wants [{"numeric": ["<", 5]}], the event has 9'
    assert explain_filter(registration, b'{"data":{"stock":1}', legacy_fields=True) is None
    plain = msgspec.structs.replace(registration, subscriber_filters=())
    assert explain_filter(plain, b'{"data":{"stock":9}', legacy_fields=True) is None


async def test_explained_events(world: World) -> None:
    """The explanation of an event names the filter that kept it from a registration; one that nobody got because of
    filters is remembered as such."""
    topic = await world.topic()
    await journal(world, topic, name="Few", subscriber_filters=[form()])
    plain = await journal(world, topic, name="All")
    await publish(world, topic, {"stock": 9})
    [event] = await world.journal(plain)
    explained = (await world.call("GET", f"/events/1001/events/{event['eventid']}")).json()
    ways = {way["name"]: way for way in explained["registrations"]}
    assert ways["All"]["matched"] is True
    assert (ways["Few"]["state"], ways["Few"]["cause"]) == ("not_matched", "filtered")
    assert ways["Few"]["why"].endswith('data.stock: numeric wants [{"numeric": ["<", 5]}], the event has 9')

    assert (await world.call("DELETE", path_of(plain))).status == 204
    assert await publish(world, topic, {"stock": 7}, id="order-7") == 200
    [noted] = (await world.call("GET", "/events/1001/unmatched")).json()["events"]
    assert (noted["published_id"], noted["cause"]) == ("order-7", "filtered")
    explained = (await world.call("GET", f"/events/1001/events/{noted['id']}")).json()
    assert [(way["name"], way["cause"]) for way in explained["registrations"]] == [("Few", "filtered")]


# --- Trials ---


async def test_validation(world: World) -> None:
    """Codes by their sample events, custom samples by name; all six lists are there; nothing is stored."""
    provider = await world.provider()
    codes = {"com.acme.low": {"stock": 1}, "com.acme.high": {"stock": 9}, "com.acme.none": None}
    for code, sample in codes.items():
        template = (
            {} if sample is None else {"sample_event_template": base64.b64encode(json.dumps(sample).encode()).decode()}
        )
        await world.metadata(provider, code, **template)
    interests = [{"provider_id": provider["id"], "event_code": code} for code in codes]
    registration = await journal(world, interests[0], events_of_interest=interests)
    epoch = await world.epoch()
    raw = json.dumps(
        {
            "subscriber_filter": form(),
            "custom_sample_events": [
                {"name": "few", "sample_payload": {"data": {"stock": 1}}},
                {"name": "many", "sample_payload": {"data": {"stock": 9}}},
                {"name": "huge", "sample_payload": {"data": {"stock": "DIGITS"}}},
                {"name": "list", "sample_payload": [1]},
            ],
        }
    ).replace('"DIGITS"', "-123456789012345678901")
    answer = await world.call("POST", f"{path_of(registration)}/filter/validate", raw.encode())

    low, high, none = interests
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert answer.json() == {
        "accepted_event_metadata_ids": [low],
        "rejected_event_metadata_ids": [high],
        "unknown_event_metadata_ids": [none],
        "accepted_custom_sample_events": ["few"],
        "rejected_custom_sample_events": ["many", "huge"],
        "invalid_custom_sample_events": ["list"],
    }
    assert await world.epoch() == epoch


async def test_validation_refuses(world: World) -> None:
    """A bad filter is explained; a body without one is refused by name."""
    registration = await journal(world, await world.topic())
    path = f"{path_of(registration)}/filter/validate"
    bad = await world.call("POST", path, {"subscriber_filter": form('{"a":[{"equals":"x"}]}')})
    assert refused(bad) == (400, "invalid_filter")
    assert "'equals' is no operator" in bad.json()["message"] and "(line 1 column 8)" in bad.json()["message"]
    assert refused(await world.call("POST", path, {})) == (400, "invalid_body")
    nameless = {"subscriber_filter": form(), "custom_sample_events": [{"name": "", "sample_payload": {}}]}
    assert refused(await world.call("POST", path, nameless)) == (400, "invalid_body")


async def test_backtest(world: World) -> None:
    """Counts what a filter would have let through of the journal's events, with examples and reasons."""
    topic = await world.topic()
    registration = await journal(world, topic)
    for stock in (1, 7, 2, 8, 9):
        assert await publish(world, topic, {"stock": stock}, id=str(stock)) == 200
    answer = await world.call("POST", f"{path_of(registration)}/filter/backtest", {"subscriber_filter": form()})
    found = answer.json()

    assert answer.status == 200
    assert (found["sampled"], found["matched"], found["missed"], found["is_all"]) == (5, 2, 3, True)
    ids = {event["data"]["stock"]: event["eventid"] for event in await world.journal(registration)}
    assert found["matched_event_ids"] == [ids[2], ids[1]]
    assert [each["event_id"] for each in found["missed_events"]] == [ids[9], ids[8], ids[7]]
    assert found["missed_events"][0]["reasons"] == [
        {"path": "data.stock", "operator": "numeric", "wanted": '[{"numeric": ["<", 5]}]', "seen": ["9"]}
    ]
    assert [(each["path"], each["events"]) for each in found["reasons"]] == [("data.stock", 3)]
    assert (await world.call("GET", f"{path_of(registration)}/filters")).json() == []


async def test_backtest_of_a_filtered_registration(world: World) -> None:
    """Events that its filter kept from it are found where another registration of the workspace got them."""
    topic = await world.topic()
    filtered = await journal(world, topic, subscriber_filters=[form()])
    await journal(world, topic, name="plain")
    for stock in (1, 9):
        await publish(world, topic, {"stock": stock})
    everything = {"subscriber_filter": form({"data": {"stock": [{"exists": True}]}})}
    found = (await world.call("POST", f"{path_of(filtered)}/filter/backtest", everything)).json()

    assert (found["sampled"], found["matched"]) == (2, 2)


async def test_backtest_is_bounded(tmp_path: Path) -> None:
    """The newest events only, and it says that there are more."""
    async with running(tmp_path, filter_backtest_events=3) as world:
        topic = await world.topic()
        registration = await journal(world, topic)
        for stock in range(8):
            await publish(world, topic, {"stock": stock})
        body = {"subscriber_filter": form({"data": {"stock": [5, 6, 7]}})}
        found = (await world.call("POST", f"{path_of(registration)}/filter/backtest", body)).json()
        assert (found["sampled"], found["matched"], found["is_all"]) == (3, 3, False)
