"""Event buses: entries at a real EventBridge server, outcomes of each, and partner event sources until their end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eventmill.flow.event_buses import EventBuses
from eventmill.ids import IdSource
from eventmill.model import Lane
from eventmill.send.eventbridge import EventBridge
from eventmill.send.webhook import WebhookSender
from tests.http.aws import (
    ACCOUNT,
    AWS_SETTINGS,
    BUS,
    REGION,
    SECRET_KEY,
    SESSION,
    Service,
    Watcher,
    bus_service,
    moto_server,
)
from tests.http.delivery import Delivery, delivering
from tests.http.world import BASE, WORKSPACE, World, registration_form

pytestmark = pytest.mark.anyio

DAY_MS = 86_400_000


@asynccontextmanager
async def with_service(
    tmp_path: Path, mode: str = "custom", **settings: Any
) -> AsyncIterator[tuple[Delivery, Service]]:
    async with bus_service() as service:
        where = {"eventbridge_mode": mode, "eventbridge_endpoint": service.url, **AWS_SETTINGS, **settings}
        async with delivering(tmp_path, **where) as delivery:
            yield delivery, service


@asynccontextmanager
async def buses_of(world: World) -> AsyncIterator[EventBuses]:
    """The stage that looks after event buses, to be stepped by hand."""
    config, clock = world.parts.config, world.parts.clock
    sender = WebhookSender(config)
    await sender.start()
    service = EventBridge(sender, config, clock, IdSource())
    try:
        yield EventBuses(world.store, world.parts.catalogue, service, clock, config)
    finally:
        await sender.close()


async def traces(world: World, registration: dict[str, Any]) -> list[Any]:
    href: str = registration["_links"]["rel:trace"]["href"]
    found: list[Any] = (await world.call("GET", href.removeprefix(BASE))).json()
    return found


async def read(world: World, registration: dict[str, Any]) -> dict[str, Any]:
    answer = await world.call("GET", f"{WORKSPACE}/registrations/{registration['registration_id']}")
    found: dict[str, Any] = answer.json()
    return found


async def later(delivery: Delivery, step_ms: int) -> None:
    delivery.world.parts.clock.advance(step_ms)  # type: ignore[attr-defined]
    delivery.deliver.wake()
    await delivery.deliver.quiesce()


async def publish_at_once(world: World, topic: dict[str, Any], count: int) -> None:
    """In one batch, so that delivery sees all of them together."""
    source, code = f"urn:uuid:{topic['provider_id']}", topic["event_code"]
    events = [{"specversion": "1.0", "id": str(n), "source": source, "type": code, "data": n} for n in range(count)]
    headers = {**world.auth(), "content-type": "application/cloudevents-batch+json"}
    assert (await world.call("POST", "/", events, headers=headers)).status == 200


# --- Custom bus ---


async def test_events_reach_a_rule_on_the_bus(tmp_path: Path) -> None:
    """At moto's server a rule on source, detail type and the event's own type sees the whole delivered event."""
    pattern = {
        "source": [{"prefix": "partner/developer.adobe.com/"}],
        "detail-type": ["Warehouse:com.acme.low"],
        "detail": {"type": ["com.acme.low"]},
    }
    with moto_server() as url:
        watcher = await asyncio.to_thread(Watcher, url, pattern)
        where = {"eventbridge_mode": "custom", "eventbridge_endpoint": url, **AWS_SETTINGS}
        async with delivering(tmp_path, **where) as delivery:
            topic = await delivery.world.topic()
            registration = await delivery.world.register(topic, **BUS)
            for number in range(25):
                assert await delivery.world.publish(topic, str(number)) == 200
            await delivery.deliver.quiesce()
            journal = await delivery.world.journal(registration)
            entries = await traces(delivery.world, registration)
        messages = await asyncio.to_thread(watcher.messages)

    assert (registration["webhook_status"], registration["enabled"]) == ("verified", True)
    by_id = {message["detail"]["id"]: message for message in messages}
    assert len(by_id) == len(messages) == 25
    assert [by_id[event["id"]]["detail"] for event in journal] == journal
    one = by_id["0"]
    assert one["source"] == f"partner/developer.adobe.com/{registration['registration_id']}"
    assert (one["detail-type"], one["region"]) == ("Warehouse:com.acme.low", REGION)
    assert {entry["trace"]["tracingResponse"]["responseCode"] for entry in entries} == {200}


async def test_calls_are_signed_and_traces_hold_no_secret(tmp_path: Path) -> None:
    """botocore would have signed each call so; the trace has the very body and the answer, without keys and tokens."""
    async with with_service(tmp_path) as (delivery, service):
        topic = await delivery.world.topic()
        registration = await delivery.world.register(topic, **BUS)
        assert await delivery.world.publish(topic) == 200
        await delivery.deliver.quiesce()
        [entry] = await traces(delivery.world, registration)

    [request] = service.requests
    [call] = service.of("PutEvents")
    assert call["Entries"][0]["EventBusName"] == f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    asked, answer = entry["trace"]["tracingRequest"], entry["trace"]["tracingResponse"]
    assert (asked["requestUrl"], asked["requestBody"]) == (service.url, request.body.decode())
    assert asked["requestHeaders"]["x-amz-target"] == ["AWSEvents.PutEvents"]
    assert asked["requestHeaders"]["x-adobe-delivery-id"] == [entry["id"]]
    assert answer["responseCode"] == 200 and json.loads(answer["responseBody"])["FailedEntryCount"] == 0
    shown = json.dumps(entry)
    assert not [secret for secret in (SECRET_KEY, SESSION, "AWS4-HMAC", "authorization") if secret in shown]


async def test_entries_of_one_call_fare_apart(tmp_path: Path) -> None:
    """On a first attempt and on a retry: what is throttled is tried again alone, what is malformed is final, and
    nothing that was taken goes out twice; each outcome has its trace."""
    throttled, malformed = "ThrottlingException", "MalformedDetail"
    async with with_service(tmp_path) as (delivery, service):
        world = delivery.world
        topic = await world.topic()
        registration = await world.register(topic, **BUS)
        service.entry_errors = [None, throttled, malformed, throttled, throttled]
        await publish_at_once(world, topic, 5)
        await delivery.deliver.quiesce()
        service.entry_errors = [throttled, malformed, None]
        await later(delivery, 61_000)
        await later(delivery, 180_000)
        await later(delivery, 86_400_000)
        ended = await world.store.ended(Lane(registration["id"]), 10)
        record = await world.store.lane(Lane(registration["id"]))
        codes = [entry["trace"]["tracingResponse"]["responseCode"] for entry in await traces(world, registration)]

    calls = [[json.loads(entry["Detail"])["id"] for entry in call["Entries"]] for call in service.of("PutEvents")]
    assert calls == [["0", "1", "2", "3", "4"], ["1", "3", "4"], ["1"]]
    assert [json.loads(entry["Detail"])["id"] for entry in service.entries] == ["0", "4", "1"]
    assert [(each.outcome, each.cause, len(each.positions)) for each in ended] == [("refused", 400, 1)] * 2
    assert record is not None and record.next_due_ms is None
    assert sorted(codes) == [200, 200, 200, 400, 400, 429, 429]


async def test_calls_keep_to_the_limits_of_eventbridge(tmp_path: Path) -> None:
    """A backlog goes out ten entries a call and 256 KB at most; an event that is larger is refused without a call."""
    async with with_service(tmp_path) as (delivery, service):
        world = delivery.world
        topic = await world.topic()
        registration = await world.register(topic, **BUS)
        headers = {**world.auth(), "content-type": "application/cloudevents+json"}
        for id, size in (*((str(n), 100_000) for n in range(5)), ("large", 300_000)):
            event = {
                "id": id,
                "source": f"urn:uuid:{topic['provider_id']}",
                "type": topic["event_code"],
                "data": "x" * size,
            }
            assert (await world.call("POST", "/", event, headers=headers)).status == 200
        await delivery.deliver.quiesce()
        ended = await world.store.ended(Lane(registration["id"]), 10)
        answers = [entry["trace"]["tracingResponse"] for entry in await traces(world, registration)]

    calls = service.of("PutEvents")
    assert sorted(json.loads(entry["Detail"])["id"] for entry in service.entries) == ["0", "1", "2", "3", "4"]
    assert all(len(call["Entries"]) <= 2 for call in calls)
    assert [(each.outcome, each.cause) for each in ended] == [("refused", 413)]
    [refused] = [answer for answer in answers if answer["responseCode"] == 413]
    assert "EventBridge takes entries of 262144 bytes" in refused["responseBody"]


@pytest.mark.parametrize(
    ("refusal", "code", "counts"),
    [
        ("ThrottlingException", 429, True),
        ("InternalException", 500, True),
        ("AccessDeniedException", 601, True),
        ("UnrecognizedClientException", 601, False),
        ("ValidationException", 400, True),
    ],
)
async def test_calls_that_are_refused(tmp_path: Path, refusal: str, code: int, counts: bool) -> None:
    """By the error's name: later again, final, or the operator's credentials, which count against no registration."""
    async with with_service(tmp_path) as (delivery, service):
        world = delivery.world
        topic = await world.topic()
        service.refusal = refusal
        registration = await world.register(topic, **BUS)
        assert await world.publish(topic) == 200
        await delivery.deliver.quiesce()
        [entry] = await traces(world, registration)
        ok, failed = await world.store.counts(Lane(registration["id"]), 0)
        service.refusal = ""
        await later(delivery, 61_000)

    answer = entry["trace"]["tracingResponse"]
    assert (answer["responseCode"], ok, failed) == (code, 0, int(counts))
    assert refusal in answer["responseBody"]
    assert len(service.entries) == (code != 400)


async def test_wrong_keys_are_the_operators_affair(tmp_path: Path) -> None:
    """A signature that the service refuses, and no keys at all: 601 that names the cause; the event waits."""
    async with with_service(tmp_path, aws_secret_access_key="wrong") as (delivery, service):
        topic = await delivery.world.topic()
        registration = await delivery.world.register(topic, **BUS)
        assert await delivery.world.publish(topic) == 200
        await delivery.deliver.quiesce()
        [entry] = await traces(delivery.world, registration)

    assert service.calls == []
    assert "InvalidSignatureException" in entry["trace"]["tracingResponse"]["responseBody"]
    assert "wrong" not in json.dumps(entry)


async def test_a_webhooks_batch_becomes_calls_of_ten(tmp_path: Path) -> None:
    """A unit that was a webhook's batch of 20 is split when its registration has become an event bus."""
    async with with_service(tmp_path, webhook_batch_flush_ms=0) as (delivery, service):
        world = delivery.world
        topic = await world.topic()
        delivery.hook.status = "503 Service Unavailable"
        registration = await delivery.register(topic, "/off", delivery_type="webhook_batch", enabled=False)
        path = f"{WORKSPACE}/registrations/{registration['registration_id']}"
        form = registration_form(
            topic, name="/off", webhook_url=f"{delivery.hook.url}/off", delivery_type="webhook_batch"
        )
        assert (await world.call("PUT", path, form)).status == 200
        for number in range(15):
            assert await world.publish(topic, str(number)) == 200
        await delivery.deliver.quiesce()
        assert (await world.call("PUT", path, registration_form(topic, name="/off", **BUS))).status == 200
        await later(delivery, 61_000)

    assert sorted(int(json.loads(entry["Detail"])["id"]) for entry in service.entries) == list(range(15))
    assert all(len(call["Entries"]) <= 10 for call in service.of("PutEvents"))


async def test_without_a_mode_a_bus_waits(tmp_path: Path) -> None:
    """It is `accepted` and its journal fills; once the operator has chosen a mode, new events are pushed."""
    async with delivering(tmp_path) as delivery:
        topic = await delivery.world.topic()
        registration = await delivery.world.register(topic, **BUS)
        assert await delivery.world.publish(topic, "before") == 200
        await delivery.deliver.quiesce()
        async with buses_of(delivery.world) as buses:
            assert (await buses.step(), buses.next_due_ms()) == (0, None)

    async with with_service(tmp_path) as (delivery, service):
        async with buses_of(delivery.world) as buses:
            assert await buses.step() == 1
        assert await delivery.world.publish(topic, "after") == 200
        await delivery.deliver.quiesce()
        assert (await read(delivery.world, registration))["webhook_status"] == "verified"
        assert len(await delivery.world.journal(registration)) == 2

    assert [json.loads(entry["Detail"])["id"] for entry in service.entries] == ["after"]


# --- Partner event sources ---


async def test_a_partner_event_source(tmp_path: Path) -> None:
    """Created, `accepted` while it is pending, `verified` once its owner has associated it; events before that are in
    the journal only, and later ones go out as partner events."""
    async with with_service(tmp_path, "partner") as (delivery, service):
        world = delivery.world
        topic = await world.topic()
        registration = await world.register(topic, **BUS)
        source = f"aws.partner/developer.adobe.com/{registration['registration_id']}"
        async with buses_of(world) as buses:
            seen = [registration["webhook_status"], await buses.step()]
            assert await world.publish(topic, "pending") == 200
            await delivery.deliver.quiesce()
            service.sources[source] = "ACTIVE"
            async with buses_of(world) as again:  # as after a restart: its source exists already
                seen += [await again.step(), (await read(world, registration))["webhook_status"]]
            assert await world.publish(topic, "active") == 200
            await delivery.deliver.quiesce()
            seen.append(await buses.step())
        setup = (await traces(world, registration))[-1]

    assert seen == ["accepted", 0, 1, "verified", 0]
    assert service.of("CreatePartnerEventSource")[0] == {"Name": source, "Account": ACCOUNT}
    [entry] = service.entries
    assert (entry["Source"], json.loads(entry["Detail"])["id"]) == (source, "active")
    assert "EventBusName" not in entry and len(service.of("PutPartnerEvents")) == 1
    assert (setup["event"], setup["trace"]["tracingResponse"]["responseCode"]) == ("partner_event_source", 200)
    assert SECRET_KEY not in json.dumps(setup) and "authorization" not in json.dumps(setup)


async def test_a_change_leaves_an_associated_source_active(tmp_path: Path) -> None:
    """A new name keeps it `verified`; another account has to associate its own."""
    async with with_service(tmp_path, "partner") as (delivery, service):
        world = delivery.world
        topic = await world.topic()
        registration = await world.register(topic, **BUS)
        path = f"{WORKSPACE}/registrations/{registration['registration_id']}"
        service.sources[f"aws.partner/developer.adobe.com/{registration['registration_id']}"] = "ACTIVE"
        async with buses_of(world) as buses:
            assert await buses.step() == 1
        renamed = await world.call("PUT", path, registration_form(topic, **{**BUS, "name": "Renamed"}))
        elsewhere = {"aws_region": REGION, "aws_account_id": "9" * 12}
        moved = await world.call("PUT", path, registration_form(topic, **{**BUS, "destination_metadata": elsewhere}))

    assert [renamed.json()["webhook_status"], moved.json()["webhook_status"]] == ["verified", "accepted"]


async def test_a_pending_source_expires(tmp_path: Path) -> None:
    """After seven days of business time the registration is disabled and the source deleted; enabling asks again."""
    async with with_service(tmp_path, "partner") as (delivery, service):
        world = delivery.world
        topic = await world.topic()
        registration = await world.register(topic, **BUS)
        path = f"{WORKSPACE}/registrations/{registration['registration_id']}"
        async with buses_of(world) as buses:
            assert await buses.step() == 0
            assert buses.next_due_ms() == world.parts.clock.now_ms() + 7 * DAY_MS
            world.parts.clock.advance(7 * DAY_MS - 1)  # type: ignore[attr-defined]
            assert await buses.step() == 0
            world.parts.clock.advance(1)  # type: ignore[attr-defined]
            assert await buses.step() == 1
            expired = await read(world, registration)
            assert (service.sources, buses.next_due_ms()) == ({}, None)
            again = await world.call("PUT", path, registration_form(topic, **BUS))
            assert (again.json()["webhook_status"], await buses.step()) == ("accepted", 0)

    assert (expired["webhook_status"], expired["enabled"]) == ("verification_failed", False)
    assert list(service.sources.values()) == ["PENDING"]


async def test_a_source_that_cannot_be_created(tmp_path: Path) -> None:
    """Who is no partner of AWS is refused: the trace says so, and the registration stays `accepted`."""
    async with with_service(tmp_path, "partner") as (delivery, service):
        registration = await delivery.world.register(await delivery.world.topic(), **BUS)
        service.refusal = "AccessDeniedException"
        async with buses_of(delivery.world) as buses:
            assert await buses.step() == 0
        [entry] = await traces(delivery.world, registration)
        assert (await read(delivery.world, registration))["webhook_status"] == "accepted"

    assert entry["trace"]["tracingResponse"]["responseCode"] == 601
    assert "AccessDeniedException" in entry["trace"]["tracingResponse"]["responseBody"]
