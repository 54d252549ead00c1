"""Built-in providers on the wire: everybody may read, subscribe and fire samples; nobody may change them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from eventmill.web.tokens import ADMIN_SCOPE
from tests.http.world import (
    BASE,
    FOREIGN_CLIENT,
    FOREIGN_IMS_ORG,
    IMS_ORG,
    WORKSPACE,
    World,
    registration_form,
    running,
)
from tests.unit.catalogue_facts import CHANNELS, PROVIDERS, ChannelFacts

pytestmark = pytest.mark.anyio

CAMPAIGN = PROVIDERS[2]
DELIVERY_STATUS = CAMPAIGN.channels[0]
TOPIC = {"provider_id": CAMPAIGN.id, "event_code": DELIVERY_STATUS.code}
PROVIDER = f"/events/providers/{CAMPAIGN.id}"
METADATA = f"{PROVIDER}/eventmetadata/{DELIVERY_STATUS.code}"
JOURNAL = {"delivery_type": "journal", "webhook_url": ...}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, catalog="") as each:
        yield each


def provider_of(channel: ChannelFacts) -> str:
    return next(each.id for each in PROVIDERS if channel in each.channels)


async def listed(world: World, query: str = "", org: str = "1001", **options: Any) -> list[dict[str, Any]]:
    answer = await world.call("GET", f"/events/{org}/providers{query}", **options)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json()["_embedded"]["providers"]
    return found


async def publish(world: World, topic: dict[str, str], data: Any, ims_org: str = IMS_ORG) -> int:
    """As the operator, for an organisation."""
    token = world.token("", "eventmill-admin", scope=ADMIN_SCOPE)
    headers = {"authorization": f"Bearer {token}", "x-ims-org-id": ims_org}
    event = {"id": "1", "source": f"urn:uuid:{topic['provider_id']}", "type": topic["event_code"], "data": data}
    headers["content-type"] = "application/cloudevents+json"
    return (await world.call("POST", "/", event, headers=headers)).status


# --- Reading ---


async def test_provider_body(world: World) -> None:
    """Adobe publishes it; without `rel:update`, otherwise as every provider's body."""
    answer = await world.call("GET", PROVIDER)

    assert answer.status == 200
    assert answer.json() == {
        "_links": {
            "rel:eventmetadata": {"href": f"{BASE}{PROVIDER}/eventmetadata"},
            "self": {"href": f"{BASE}{PROVIDER}?eventmetadata=false"},
        },
        "id": CAMPAIGN.id,
        "label": "Adobe Campaign",
        "description": "Events of Adobe Campaign",
        "source": f"urn:uuid:{CAMPAIGN.id}",
        "publisher": "Adobe",
        "provider_metadata": "aec_campaign",
        "instance_id": CAMPAIGN.id,
        "event_delivery_format": "adobe_io",
        "data_residency_region": "VA6",
    }


async def test_every_organisation_lists_them(world: World) -> None:
    """They follow the organisation's own providers, in every organisation."""
    own = await world.provider()

    assert [each["id"] for each in await listed(world)] == [own["id"], *(facts.id for facts in PROVIDERS)]
    foreign = await listed(world, org="1002", headers=world.foreign_auth())
    assert [each["id"] for each in foreign] == [facts.id for facts in PROVIDERS]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?providerMetadataId=aec_campaign", [CAMPAIGN.id]),
        ("?providerMetadataIds=aec_campaign&providerMetadataIds=aec_target", [CAMPAIGN.id, PROVIDERS[3].id]),
        (f"?providerMetadataId=aec_campaign&instanceId={CAMPAIGN.id}", [CAMPAIGN.id]),
        (f"?instanceId={PROVIDERS[4].id}", [PROVIDERS[4].id]),
    ],
)
async def test_filters(world: World, query: str, found: list[str]) -> None:
    """Filters by family and instance id find built-in providers too."""
    assert [each["id"] for each in await listed(world, query)] == found


async def test_filter_without_hits(world: World) -> None:
    """A family and an instance id that do not belong together select nothing."""
    query = f"?providerMetadataId=aec_campaign&instanceId={PROVIDERS[3].id}"
    assert (await world.call("GET", f"/events/1001/providers{query}")).status == 404


async def test_embedded_event_metadata(world: World) -> None:
    """With `eventmetadata=true`, lists and single providers have their codes inside."""
    in_list = {each["id"]: each["_embedded"]["eventmetadata"] for each in await listed(world, "?eventmetadata=true")}
    alone = (await world.call("GET", f"{PROVIDER}?eventmetadata=true")).json()

    for facts in PROVIDERS:
        assert [each["event_code"] for each in in_list[facts.id]] == [channel.code for channel in facts.channels]
    assert alone["_embedded"]["eventmetadata"] == in_list[CAMPAIGN.id]
    assert alone["_links"]["self"] == {"href": f"{BASE}{PROVIDER}?eventmetadata=true"}


async def test_event_metadata(world: World) -> None:
    """Listed and alone, in the order of the catalogue, without `rel:update`."""
    answer = await world.call("GET", f"{PROVIDER}/eventmetadata")
    bodies = answer.json()["_embedded"]["eventmetadata"]

    assert [each["event_code"] for each in bodies] == [channel.code for channel in CAMPAIGN.channels]
    assert bodies[0] == (await world.call("GET", METADATA)).json()
    assert bodies[0] == {
        "_links": {"rel:sample_event": {"href": f"{BASE}{METADATA}/sample_event"}, "self": {"href": BASE + METADATA}},
        "description": "A message delivery changed status",
        "label": "Delivery Status",
        "event_code": DELIVERY_STATUS.code,
    }
    unknown = await world.call("GET", f"{PROVIDER}/eventmetadata/com.adobe.campaign.nothing")
    assert unknown.status == 404


async def test_families(world: World) -> None:
    """The families of the catalogue stand beside those under which providers can be registered."""
    families = (await world.call("GET", "/events/providermetadata")).json()["_embedded"]["providermetadata"]

    by_id = {each["id"]: each for each in families}
    assert len(by_id) == len(families)
    assert by_id["3rd_party_custom_events"]["has_multiple_providers"] is True
    for facts in PROVIDERS:
        family = by_id[facts.family]
        assert list(family) == ["id", "group", "label", "description", "has_multiple_providers"]
        assert (family["group"], family["label"]) == (facts.group, facts.label)
        assert family["has_multiple_providers"] is False


# --- Writing ---

OWN = f"{WORKSPACE}/providers/{CAMPAIGN.id}"
CODE = {"event_code": "com.adobe.campaign.new", "label": "New", "description": "New"}
WRITES: list[tuple[str, str, Any]] = [
    ("PUT", OWN, {"label": "Mine"}),
    ("PATCH", OWN, [{"op": "replace", "path": "/label", "value": "Mine"}]),
    ("DELETE", OWN, None),
    ("POST", f"{OWN}/eventmetadata", CODE),
    ("DELETE", f"{OWN}/eventmetadata", None),
    ("PUT", f"{OWN}/eventmetadata/{DELIVERY_STATUS.code}", CODE | {"event_code": DELIVERY_STATUS.code}),
    (
        "PATCH",
        f"{OWN}/eventmetadata/{DELIVERY_STATUS.code}",
        [{"op": "replace", "path": "/label", "value": "Mine"}],
    ),
    ("DELETE", f"{OWN}/eventmetadata/{DELIVERY_STATUS.code}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_nobody_writes(world: World, method: str, path: str, body: Any) -> None:
    """Every write below a workspace answers 403 and says why; nothing is stored."""
    before = await world.epoch()
    headers = world.auth()
    if method == "PATCH":
        headers["content-type"] = "application/json-patch+json"

    answer = await world.call(method, path, body, headers=headers)

    assert (answer.status, answer.json()["reason"]) == (403, "not_permitted")
    assert f"provider {CAMPAIGN.id} (Adobe Campaign) is built in" in answer.json()["message"]
    assert await world.epoch() == before


async def test_no_provider_of_a_built_in_family(world: World) -> None:
    """A family of the catalogue has its one provider only."""
    answer = await world.call("POST", f"{WORKSPACE}/providers", {"label": "Mine", "provider_metadata": "aec_target"})

    assert (answer.status, answer.json()["reason"]) == (403, "not_permitted")
    assert "provider_metadata aec_target is built in" in answer.json()["message"]


# --- Subscribing ---


async def test_register_for_custom_and_built_in(world: World) -> None:
    """One registration may name both; the built-in ones by id or by the name of their family."""
    custom = await world.topic()
    by_name = {"provider": "aec_target", "event_code": "com.adobe.target.activity-state-change"}

    registration = await world.register(custom, events_of_interest=[custom, TOPIC, by_name], **JOURNAL)

    first, second, third = registration["events_of_interest"]
    assert first["provider_id"] == custom["provider_id"]
    assert second == {
        "event_code": DELIVERY_STATUS.code,
        "event_label": "Delivery Status",
        "event_description": "A message delivery changed status",
        "provider_id": CAMPAIGN.id,
        "provider": "aec_campaign",
        "provider_label": "Adobe Campaign",
        "provider_description": "Events of Adobe Campaign",
        "event_delivery_format": "adobe_io",
    }
    assert third["provider_id"] == PROVIDERS[3].id
    assert await world.publish(custom) == 200
    assert await publish(world, TOPIC, {"body": {}, "header": {}}) == 200
    assert len(await world.journal(registration)) == 2


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ({"provider_id": CAMPAIGN.id, "event_code": "campaign/delivery-status"}, "events_of_interest[0]"),
        ({"provider_id": CAMPAIGN.id, "event_code": "com.adobe.campaign.nothing"}, "has no event code"),
        ({"provider_id": CAMPAIGN.id, "event_code": CHANNELS[0].code}, "has no event code"),
        ({"provider": "aec_nothing", "event_code": DELIVERY_STATUS.code}, "provider 'aec_nothing' does not exist"),
    ],
)
async def test_unknown_channel(world: World, topic: dict[str, str], message: str) -> None:
    """A channel instead of a code, a code of nobody's or of another provider's, an unknown family: 400 and why."""
    answer = await world.call("POST", f"{WORKSPACE}/registrations", registration_form(topic, **JOURNAL))

    assert answer.status == 400
    assert message in answer.json()["message"]


async def test_only_the_operator_publishes(world: World) -> None:
    """An organisation's own token is refused; the operator's reaches the organisation that it names, and no other."""
    here = await world.register(TOPIC, **JOURNAL)
    form = registration_form(TOPIC, client_id=FOREIGN_CLIENT, **JOURNAL)
    created = await world.call("POST", "/events/1002/2009/3009/registrations", form, headers=world.foreign_auth())
    assert created.status == 201, created.body

    assert await world.publish(TOPIC) == 403
    assert await publish(world, TOPIC, {"n": 1}, FOREIGN_IMS_ORG) == 200

    assert await world.journal(here) == []
    href = created.json()["_links"]["rel:events"]["href"].removeprefix(BASE)
    page = await world.call("GET", href, headers=world.foreign_auth())
    assert [entry["event"] for entry in page.json()["events"]] == [{"n": 1}]


async def test_switched_off_later(tmp_path: Path) -> None:
    """Without the catalogue a registration keeps its dead events of interest, gets nothing, and its journal remains."""
    async with running(tmp_path, catalog="") as world:
        custom = await world.topic()
        registration = await world.register(custom, events_of_interest=[custom, TOPIC], **JOURNAL)
        assert await publish(world, TOPIC, {"n": 1}) == 200

    async with running(tmp_path, catalog="off") as world:
        self = registration["_links"]["self"]["href"].removeprefix(BASE)
        kept = (await world.call("GET", self)).json()["events_of_interest"]
        assert kept[1] == TOPIC
        assert await publish(world, TOPIC, {"n": 2}) == 404
        assert await world.publish(custom) == 200
        assert len(await world.journal(registration)) == 2
        assert (await world.call("GET", PROVIDER)).status == 404
        families = (await world.call("GET", "/events/providermetadata")).json()["_embedded"]["providermetadata"]
        assert "aec_campaign" not in {each["id"] for each in families}


# --- Samples ---


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda facts: facts.channel)
async def test_sample_of_each_code(world: World, channel: ChannelFacts) -> None:
    """GET shows the sample as a webhook would get it, in the envelope; HEAD says only that there is one."""
    path = f"/events/providers/{provider_of(channel)}/eventmetadata/{channel.code}/sample_event"

    answer = await world.call("GET", path)
    head = await world.call("HEAD", path)

    assert (answer.status, answer.json()["format"]) == (200, "adobe_io")
    payload = answer.json()["sample_payload"]
    assert set(payload) == {"event_id", "eventid", "event", "recipient_client_id", "recipientclientid"}
    assert payload["event"]["header"]["eventType"] == channel.code
    jsonschema.validate(payload["event"]["body"], channel.body_schema)
    jsonschema.validate(payload["event"]["header"], channel.header_schema)
    assert (head.status, head.body) == (200, b"")


async def test_head_of_an_unknown_sample(world: World) -> None:
    """404 without a body."""
    answer = await world.call("HEAD", f"{PROVIDER}/eventmetadata/com.adobe.campaign.nothing/sample_event")
    assert (answer.status, answer.body) == (404, b"")


async def test_fire_a_sample(world: World) -> None:
    """POST sends the sample to the one registration named; its journal shows the publisher's bare data."""
    registration = await world.register(TOPIC, **JOURNAL)
    other = await world.register(TOPIC, name="Other", **JOURNAL)

    answer = await world.call("POST", f"{METADATA}/sample_event/{registration['registration_id']}")

    assert answer.status == 200
    [event] = await world.journal(registration)
    assert event["header"] == {"eventType": DELIVERY_STATUS.code}
    assert event["body"]["status"] == "sent"
    assert await world.journal(other) == []


async def test_fire_a_body(world: World) -> None:
    """A body is sent in place of the sample, byte for byte."""
    registration = await world.register(TOPIC, **JOURNAL)
    body = b'{"header": {"eventType": "mine"}, "body": {"status": "clicked", "n": 1.50}}'

    answer = await world.call("POST", f"{METADATA}/sample_event/{registration['registration_id']}", body)

    assert answer.status == 200
    assert await world.journal(registration) == [json.loads(body)]


async def test_samples_reach_own_registrations_only(world: World) -> None:
    """The registration must be the caller's and want the code."""
    registration = await world.register(TOPIC, **JOURNAL)
    other = await world.register(await world.topic(), name="Other", **JOURNAL)
    path = f"{METADATA}/sample_event/{registration['registration_id']}"

    assert (await world.call("POST", path, headers=world.foreign_auth())).status == 404
    answer = await world.call("POST", f"{METADATA}/sample_event/{other['registration_id']}")
    assert (answer.status, answer.json()["reason"]) == (400, "unknown_event_of_interest")


async def test_samples_as_cloud_events(tmp_path: Path) -> None:
    """By setting, shown and fired samples are CloudEvents of their provider and code; header and body are the data."""
    async with running(tmp_path, catalog="", catalog_delivery_format="cloud_events_v1") as world:
        registration = await world.register(TOPIC, **JOURNAL)
        shown = (await world.call("GET", f"{METADATA}/sample_event")).json()
        await world.call("POST", f"{METADATA}/sample_event/{registration['registration_id']}")
        [fired] = await world.journal(registration)

    assert shown["format"] == "cloud_events"
    for event in (shown["sample_payload"], fired):
        assert (event["specversion"], event["type"]) == ("1.0", DELIVERY_STATUS.code)
        assert event["source"] == f"urn:uuid:{CAMPAIGN.id}"
        assert set(event["data"]) == {"header", "body"}


async def test_lenient_callers_without_an_organisation(tmp_path: Path) -> None:
    """Where nothing says who asks, as in dev mode, the registration itself says whose it is."""
    async with running(tmp_path, catalog="", auth="lenient") as world:
        registration = await world.register(TOPIC, **JOURNAL)
        path = f"{METADATA}/sample_event/{registration['registration_id']}"
        headers = {"authorization": "Bearer any", "x-api-key": "anybody"}

        assert (await world.call("POST", path, headers=headers)).status == 200
        assert len(await world.journal(registration)) == 1
        assert (await world.call("POST", f"{METADATA}/sample_event/none", headers=headers)).status == 404


async def test_own_catalogue(tmp_path: Path) -> None:
    """An operator's file replaces the catalogue: its providers, families and publisher are served."""
    provider = {
        "id": "6f0d2a4e-58a9-4a33-8e8a-51d6e9f1a001",
        "provider_metadata": "acme_shop",
        "label": "Shop",
        "events": [{"event_code": "sold", "label": "Sold", "description": "Sold"}],
    }
    family = {"id": "acme_shop", "group": "Acme", "label": "Shop", "description": "Of the shop"}
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps({"publisher": "Acme", "provider_metadata": [family], "providers": [provider]}))

    async with running(tmp_path, catalog=str(file)) as world:
        [found] = await listed(world)
        assert (found["id"], found["publisher"], found["description"]) == (provider["id"], "Acme", "Of the shop")
        sample = f"/events/providers/{provider['id']}/eventmetadata/sold/sample_event"
        assert (await world.call("GET", sample)).status == 404
        registration = await world.register({"provider_id": provider["id"], "event_code": "sold"}, **JOURNAL)
        answer = await world.call("POST", f"{sample}/{registration['registration_id']}")
        assert (answer.status, answer.body) == (204, b"")
