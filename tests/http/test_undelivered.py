"""What a registration did not get, over the wire: the list, and the word about it where somebody enables a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from eventmill.clock import VirtualClock
from eventmill.flow.registration_change import pause_cause
from eventmill.model import Lane, WebhookStatus
from tests.http.client import Answer
from tests.http.delivery import REGISTRATIONS, Delivery, delivering
from tests.http.world import BASE, World, registration_form, running

pytestmark = pytest.mark.anyio

BROWSER = {"accept": "text/html"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Nothing is delivered: what is published while a registration is disabled is undelivered all the same."""
    async with running(tmp_path, dev=True, auth="strict") as each:
        yield each


def path_of(registration: Any) -> str:
    return f"{REGISTRATIONS}/{registration['registration_id']}"


async def enable(world: World, registration: Any, enabled: bool = True) -> Answer:
    patch = [{"op": "replace", "path": "/enabled", "value": enabled}]
    return await world.call("PATCH", path_of(registration), patch)


async def undelivered(world: World, registration: Any, query: str = "") -> Any:
    answer = await world.call("GET", f"{path_of(registration)}/undelivered{query}")
    assert answer.status == 200, answer.body
    return answer.json()


async def disabled_with_events(world: World, count: int, topic: Any = None) -> Any:
    """A registration that was disabled by hand, and the events that passed since: with ids 0, 1, 2 ..."""
    topic = topic or await world.topic()
    registration = await world.register(topic)
    assert (await enable(world, registration, False)).status == 200
    for number in range(count):
        assert await world.publish(topic, str(number)) == 200
    return registration


async def refused(delivery: Delivery, topic: Any, path: str, *ids: str) -> Any:
    """A registration whose endpoint refused these events for good."""
    delivery.hook.status = "404 Not Found"
    registration = await delivery.register(topic, path)
    for each in ids:
        await delivery.world.publish(topic, each)
    await delivery.deliver.quiesce()
    return registration


# --- The list ---


async def test_nothing_is_undelivered(world: World) -> None:
    """Of a new registration, and of a journal, whose events were there to be read."""
    topic = await world.topic()
    for members in ({}, {"name": "Journal", "delivery_type": "journal"}):
        registration = await world.register(topic, **members)
        await world.publish(topic)

        body = await undelivered(world, registration)

        assert body == {"total": 0, "oldest": None, "causes": {}, "items": [], "next": None}


async def test_events_that_were_refused(tmp_path: Path) -> None:
    """With what the endpoint answered, and where the event is in the journal."""
    async with delivering(tmp_path) as delivery:
        registration = await refused(delivery, await delivery.world.topic(), "/no", "1", "2")
        events = await delivery.world.journal(registration)

        body = await undelivered(delivery.world, registration)

        assert (body["total"], body["causes"], body["next"]) == (2, {"refused": 2}, None)
        first, second = body["items"]
        assert first == {
            "position": first["position"],
            "event_id": events[0]["eventid"],
            "event_code": "com.acme.low",
            "provider_id": registration["events_of_interest"][0]["provider_id"],
            "time": body["oldest"],
            "cause": "refused",
            "status": 404,
            "since": first["since"],
            "replay": None,
            "available": True,
            "_links": {"resend": {"href": f"{BASE}{path_of(registration)}/events/{events[0]['eventid']}/resend"}},
        }
        href = registration["_links"]["rel:events"]["href"].removeprefix(BASE)
        after = await delivery.world.call("GET", f"{href}?since={first['position']}")
        assert [each["event"]["eventid"] for each in after.json()["events"]] == [second["event_id"]]


async def test_events_that_passed_while_it_was_disabled(world: World) -> None:
    """Never tried, so there is no status; each since the registration was disabled."""
    registration = await disabled_with_events(world, 3)

    body = await undelivered(world, registration)

    assert (body["total"], body["causes"]) == (3, {"disabled": 3})
    assert [(each["cause"], each["status"], each["available"]) for each in body["items"]] == [
        ("disabled", None, True)
    ] * 3
    assert body["items"][0]["time"] == body["oldest"]


async def test_pages(world: World) -> None:
    """`next` leads through all of it, each item once, and keeps the limit; total and causes are of all on each page."""
    registration = await disabled_with_events(world, 5)
    page = await undelivered(world, registration, "?limit=2")
    pages = [page]
    while page["next"] is not None:
        answer = await world.call("GET", page["next"].removeprefix(BASE))
        page = answer.json()
        pages.append(page)

    assert [len(each["items"]) for each in pages] == [2, 2, 1]
    assert {each["total"] for each in pages} == {5}
    assert len({item["position"] for each in pages for item in each["items"]}) == 5
    assert pages[0]["next"].startswith(f"{BASE}{path_of(registration)}/undelivered?after=1.")


async def test_causes_can_be_chosen(tmp_path: Path) -> None:
    """Only items of the causes that are named, on the next page too; what is counted stays everything."""
    async with delivering(tmp_path) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        registration = await refused(delivery, topic, "/no", "1", "2")
        await enable(world, registration, False)
        await world.publish(topic, "3")

        both = await undelivered(world, registration, "?cause=refused&cause=disabled")
        one = await undelivered(world, registration, "?cause=refused&limit=1")
        following = (await world.call("GET", one["next"].removeprefix(BASE))).json()

        assert [each["cause"] for each in both["items"]] == ["refused", "refused", "disabled"]
        assert [each["cause"] for page in (one, following) for each in page["items"]] == ["refused", "refused"]
        assert following["next"] is None
        assert one["causes"] == {"refused": 2, "disabled": 1}


@pytest.mark.parametrize(
    ("query", "reason", "message"),
    [
        ("limit=0", "invalid_parameter", "limit must be 1 to 1000, but is '0'"),
        ("limit=1001", "invalid_parameter", "limit must be 1 to 1000, but is '1001'"),
        ("limit=ten", "invalid_parameter", "limit must be 1 to 1000, but is 'ten'"),
        ("cause=bad", "invalid_parameter", "cause must be one of refused, gave_up, expired, "),
        ("after=5", "invalid_position", "after: '5' is not a journal position"),
        ("after=1.1.0.20260101.99", "invalid_position", "lies beyond the end of this journal"),
        ("after=1.1.7.20260101.1", "invalid_position", "is not a position of this journal"),
    ],
)
async def test_bad_queries(world: World, query: str, reason: str, message: str) -> None:
    """Refused by the parameter's name, with what it may be."""
    registration = await disabled_with_events(world, 1)
    answer = await world.call("GET", f"{path_of(registration)}/undelivered?{query}")

    assert (answer.status, answer.json()["reason"]) == (400, reason)
    assert message in answer.json()["message"]


async def test_unknown_registration(world: World) -> None:
    """404, as everywhere."""
    answer = await world.call("GET", f"{REGISTRATIONS}/nobodys/undelivered")

    assert (answer.status, answer.json()["reason"]) == (404, "not_found")


# --- Where it is said ---


def brief(registration: Any, body: Any, total: int) -> dict[str, Any]:
    call = {"method": "POST", "href": f"{BASE}{path_of(registration)}/replays", "body": {"scope": "undelivered"}}
    return {"total": total, "oldest": body["oldest"], "replay": call}


@pytest.mark.parametrize("how", ["patch", "put", "challenge"])
async def test_enabling_tells_what_waits(world: World, how: str) -> None:
    """The answer by which it is pushed to again has the number and the call that sends it; no other answer has."""
    topic = await world.topic()
    registration = await disabled_with_events(world, 2, topic)
    listed = await undelivered(world, registration)
    if how == "patch":
        answer = await enable(world, registration)
    elif how == "put":
        answer = await world.call("PUT", path_of(registration), registration_form(topic))
    else:
        answer = await world.call("POST", f"{path_of(registration)}/challenge")
    again = await world.call("POST", f"{path_of(registration)}/challenge")
    read = await world.call("GET", path_of(registration))

    assert (answer.status, answer.json()["webhook_status"]) == (200, "verified")
    assert answer.json()["undelivered"] == brief(registration, listed, 2)
    assert "undelivered" not in again.json() and "undelivered" not in read.json()


async def test_enabling_tells_nothing_of_nothing(world: World) -> None:
    """Without anything that waits the answer is the contract's; so it is while the challenge was not passed."""
    quiet = await disabled_with_events(world, 0)
    assert "undelivered" not in (await enable(world, quiet)).json()
    topic = await world.topic("Other")
    registration = await world.register(topic, name="Other")
    await enable(world, registration, False)
    await world.publish(topic)
    world.hooks.passes = False
    failed = await enable(world, registration)

    assert failed.json()["webhook_status"] == "verification_failed"
    assert "undelivered" not in failed.json()


async def test_health_tells_what_waits(world: World) -> None:
    """At any time, and null for the call when there is nothing to send."""
    registration = await disabled_with_events(world, 2)
    listed = await undelivered(world, registration)
    health = (await world.call("GET", f"{path_of(registration)}/health")).json()
    quiet = await world.register(await world.topic("Quiet"), name="Quiet")
    nothing = (await world.call("GET", f"{path_of(quiet)}/health")).json()

    assert health["undelivered"] == brief(registration, listed, 2)
    assert nothing["undelivered"] == {"total": 0, "oldest": None, "replay": None}


@pytest.mark.parametrize("headers", [{}, BROWSER])
async def test_the_validation_page_tells_what_waits(world: World, headers: dict[str, str]) -> None:
    """In a sentence, as text and as a page; looking at the link first tells nothing yet."""
    world.hooks.passes, world.hooks.answers = False, True
    topic = await world.topic()
    registration = await world.register(topic)
    await world.publish(topic)
    _, _, _, secret = world.hooks.offered[-1]
    link = f"/csm/registrations/validate?id={registration['registration_id']}&challenge={secret}"
    looked = await world.call("HEAD", link, headers=headers)
    opened = await world.call("GET", link, headers=headers)

    text = opened.body.decode().replace("&quot;", '"')
    assert (looked.status, opened.status) == (200, 200)
    assert "What it did not get before (1 event) is not sent by itself" in text
    assert f'POST {BASE}{path_of(registration)}/replays {{"scope":"undelivered"}}' in text


async def test_the_call_that_is_told_sends_it(tmp_path: Path) -> None:
    """Made exactly as the answer says, it sends what waited; then nothing is undelivered."""
    async with delivering(tmp_path) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        registration = await delivery.register(topic, "/back")
        await enable(world, registration, False)
        await world.publish(topic)
        call = (await enable(world, registration)).json()["undelivered"]["replay"]
        stage = asyncio.create_task(world.replaying.run())
        try:
            made = await world.call(call["method"], call["href"].removeprefix(BASE), call["body"])
            await delivery.hook.until("/back", 1)
        finally:
            stage.cancel()
        await delivery.deliver.quiesce()

        assert made.status == 201, made.body
        assert (await undelivered(world, registration))["total"] == 0


async def test_events_that_are_kept_no_longer(world: World) -> None:
    """Listed by position and cause alone, with nothing to send them by; a replay counts the others only."""
    topic = await world.topic()
    registration = await disabled_with_events(world, 2, topic)
    clock = world.parts.clock
    assert isinstance(clock, VirtualClock)
    clock.advance(8 * 86_400_000)
    await world.publish(topic, "new")
    assert await world.store.expire(clock.now_ms() - 7 * 86_400_000) == 1

    body = await undelivered(world, registration)
    counted = await world.call("POST", f"{path_of(registration)}/replays", {"dry_run": True})

    assert (body["total"], body["causes"]) == (3, {"expired": 2, "disabled": 1})
    assert [(each["cause"], each["available"], "_links" in each) for each in body["items"]] == [
        ("expired", False, False),
        ("expired", False, False),
        ("disabled", True, True),
    ]
    gone = body["items"][0]
    assert [gone[name] for name in ("event_id", "event_code", "provider_id", "time")] == [None] * 4
    assert (await undelivered(world, registration, f"?after={body['items'][1]['position']}"))["items"] == [
        body["items"][2]
    ]
    assert counted.json()["total"] == 1
    told = (await enable(world, registration)).json()["undelivered"]
    assert (told["total"], told["oldest"]) == (1, body["items"][2]["time"])


async def test_disabled_by_hand_is_what_it_is_called(world: World) -> None:
    """Whatever its health was: what passes is `disabled`, unless its webhook is why nothing is pushed."""
    document = await world.register(await world.topic())
    await world.parts.catalogue.refresh()
    registration = world.parts.catalogue.registration_of_lane(Lane(document["id"]))
    assert registration is not None
    causes = {
        status: pause_cause(msgspec.structs.replace(registration, webhook_status=status, enabled=False))
        for status in get_args(WebhookStatus)
    }

    assert causes.pop("verified") == causes.pop("unstable") == "disabled"
    assert causes == {status: status for status in ("accepted", "hook_unreachable", "verification_failed")}
