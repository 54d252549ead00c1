"""Replays and resends over the wire: what they take, what they answer, what the endpoint gets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eventmill.clock import VirtualClock
from tests.http.client import Answer
from tests.http.delivery import FAILED, Delivery, delivering
from tests.http.test_insight import probe
from tests.http.test_undelivered import disabled_with_events, enable, path_of, refused, undelivered
from tests.http.world import BASE, World, running
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

NOBODYS = "01890000-0000-7000-8000-000000000000"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Nothing is delivered, and replays stand still unless the test steps them."""
    async with running(tmp_path, dev=True, auth="strict") as each:
        yield each


@asynccontextmanager
async def replaying(delivery: Delivery) -> AsyncIterator[None]:
    stage = asyncio.create_task(delivery.world.replaying.run())
    try:
        yield
    finally:
        stage.cancel()


async def ask(world: World, registration: Any, body: Any) -> Answer:
    return await world.call("POST", f"{path_of(registration)}/replays", body)


async def start(world: World, registration: Any, **body: Any) -> Any:
    answer = await ask(world, registration, body)
    assert answer.status == 201, answer.body
    return answer.json()


async def act(world: World, registration: Any, replay: Any, action: str) -> Answer:
    return await world.call("POST", f"{path_of(registration)}/replays/{replay['id']}/{action}")


async def shown(world: World, registration: Any, replay: Any) -> Any:
    answer = await world.call("GET", f"{path_of(registration)}/replays/{replay['id']}")
    assert answer.status == 200, answer.body
    return answer.json()


async def until_done(delivery: Delivery, registration: Any, replay: Any) -> Any:
    async def ended() -> Any:
        found = await shown(delivery.world, registration, replay)
        return None if found["state"] == "running" else found

    async with replaying(delivery):
        return await eventually(ended, "the replay has ended", 20)


def sent(delivery: Delivery, path: str) -> list[str]:
    """Ids of the events at a path, in the order of their arrival."""
    return [json.loads(body)["id"] for body in delivery.hook.bodies.get(path, ())]


# --- What it does ---


async def test_what_was_refused_is_sent_again(tmp_path: Path) -> None:
    """In the order of the journal; the job tells how far it is, and what was delivered is undelivered no more."""
    async with delivering(tmp_path) as delivery:
        world = delivery.world
        registration = await refused(delivery, await world.topic(), "/back", "1", "2", "3")
        delivery.hook.status = "200 OK"
        delivery.hook.bodies.clear()
        answer = await ask(world, registration, {"scope": "undelivered"})
        replay = answer.json()
        assert answer.status == 201
        assert answer.header("location") == replay["_links"]["self"]["href"]
        assert replay["_links"]["self"]["href"] == f"{BASE}{path_of(registration)}/replays/{replay['id']}"
        assert (replay["state"], replay["reason"], replay["scope"]) == ("running", None, "undelivered")
        assert (replay["total"], replay["handed"], replay["percent"]) == (3, 0, 0.0)

        done = await until_done(delivery, registration, replay)

        assert sorted(sent(delivery, "/back")) == ["1", "2", "3"]
        counts = {name: done[name] for name in ("total", "handed", "waiting", "retrying", "delivered", "failed")}
        assert counts == {"total": 3, "handed": 3, "waiting": 0, "retrying": 0, "delivered": 3, "failed": 0}
        assert (done["state"], done["percent"]) == ("done", 100.0)
        assert (await undelivered(world, registration))["total"] == 0


async def test_what_fails_again_is_undelivered_again(tmp_path: Path) -> None:
    """Once, and with the replay that tried last."""
    async with delivering(tmp_path) as delivery:
        world = delivery.world
        registration = await refused(delivery, await world.topic(), "/no", "1")
        replay = await start(world, registration)
        done = await until_done(delivery, registration, replay)
        [item] = (await undelivered(world, registration))["items"]

        assert (done["failed"], done["delivered"], done["percent"]) == (1, 0, 100.0)
        assert (item["cause"], item["status"], item["replay"]) == ("refused", 404, replay["id"])


async def test_everything_is_sent_again(tmp_path: Path) -> None:
    """Scope `all`: what was delivered, too; in a range of positions only what is in it."""
    async with delivering(tmp_path) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        registration = await delivery.register(topic, "/all")
        for number in range(4):
            await world.publish(topic, str(number))
        await delivery.deliver.quiesce()
        delivery.hook.bodies.clear()
        await until_done(delivery, registration, await start(world, registration, scope="all"))
        assert sorted(sent(delivery, "/all")) == ["0", "1", "2", "3"]

        href = registration["_links"]["rel:events"]["href"].removeprefix(BASE)
        positions = [each["position"] for each in (await world.call("GET", href)).json()["events"]]
        delivery.hook.bodies.clear()
        part = await start(world, registration, scope="all", after=positions[0], until=positions[2])
        await until_done(delivery, registration, part)

        assert sorted(sent(delivery, "/all")) == ["1", "2"]
        assert (part["total"], part["after"], part["until"]) == (2, positions[0], positions[2])


async def test_a_range_of_times(world: World) -> None:
    """What was published from one time on and before another, by business time."""
    clock = world.parts.clock
    assert isinstance(clock, VirtualClock)
    topic = await world.topic()
    registration = await disabled_with_events(world, 0, topic)
    for number in range(3):
        await world.publish(topic, str(number))
        clock.advance(86_400_000)
    await enable(world, registration)
    times = [each["time"] for each in (await undelivered(world, registration))["items"]]

    async def count(**body: Any) -> int:
        answer = await ask(world, registration, {**body, "dry_run": True})
        assert answer.status == 200, answer.body
        return int(answer.json()["total"])

    assert await count() == 3
    assert await count(**{"from": times[1]}) == 2
    assert await count(to=times[1]) == 1
    assert await count(**{"from": times[1], "to": times[2]}) == 1
    assert await count(**{"from": times[1].replace("Z", "+00:00")}) == 2
    assert await count(**{"from": "0001-01-01T00:00:00+14:00", "to": "9999-12-31T23:59:59-12:00"}) == 3


async def test_a_dry_run_only_counts(world: World) -> None:
    """200 and the number; no job is made, and for a disabled registration it works, too."""
    registration = await disabled_with_events(world, 2)
    answer = await ask(world, registration, {"dry_run": True})

    assert (answer.status, answer.json()) == (200, {"dry_run": True, "total": 2})
    assert (await world.call("GET", f"{path_of(registration)}/replays")).json() == {"items": []}


async def test_only_some_causes(tmp_path: Path) -> None:
    """What else is undelivered stays so."""
    async with delivering(tmp_path) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        registration = await refused(delivery, topic, "/some", "1")
        await enable(world, registration, False)
        await world.publish(topic, "2")
        await enable(world, registration)
        delivery.hook.status = "200 OK"
        done = await until_done(delivery, registration, await start(world, registration, causes=["disabled"]))

        assert (done["causes"], done["total"]) == (["disabled"], 1)
        assert (await undelivered(world, registration))["causes"] == {"refused": 1}


async def test_a_rate(world: World) -> None:
    """Business time stands still, so nothing but what a rate lets go at once is handed over."""
    registration = await disabled_with_events(world, 5)
    await enable(world, registration)
    replay = await start(world, registration, events_per_second=0.5)
    for _ in range(3):
        await world.replaying.step()
    found = await shown(world, registration, replay)

    assert (found["events_per_second"], found["handed"], found["waiting"], found["total"]) == (0.5, 1, 1, 5)


async def test_paused_resumed_cancelled(world: World) -> None:
    """Each answers with the job; paused and cancelled ones hand nothing over; asked twice is asked once."""
    registration = await disabled_with_events(world, 3)
    await enable(world, registration)
    replay = await start(world, registration)
    for action, state in (("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("pause", "paused")):
        answer = await act(world, registration, replay, action)
        assert (answer.status, answer.json()["state"]) == (200, state)
    await world.replaying.step()
    assert (await shown(world, registration, replay))["handed"] == 0
    assert (await act(world, registration, replay, "cancel")).json()["state"] == "cancelled"
    for action in ("resume", "pause"):
        answer = await act(world, registration, replay, action)
        assert (answer.status, answer.json()["reason"]) == (409, "conflict")
        assert f"replay {replay['id']} is cancelled" in answer.json()["message"]
    assert (await undelivered(world, registration))["total"] == 3


async def test_standing_still_lets_no_more_go(world: World) -> None:
    """A rate holds from the start and after a pause: neither begins with what it might have let go before."""
    registration = await disabled_with_events(world, 40)
    await enable(world, registration)
    replay = await start(world, registration, events_per_second=8)
    await world.replaying.step()
    assert (await shown(world, registration, replay))["handed"] == 2
    await act(world, registration, replay, "pause")
    assert isinstance(world.parts.clock, VirtualClock)
    world.parts.clock.advance(10_000)
    await act(world, registration, replay, "resume")
    for _ in range(3):
        await world.replaying.step()
    assert (await shown(world, registration, replay))["handed"] == 4


async def test_the_list(world: World) -> None:
    """Newest first; of one registration only."""
    registration = await disabled_with_events(world, 1)
    await enable(world, registration)
    first = await start(world, registration)
    await act(world, registration, first, "cancel")
    clock = world.parts.clock
    assert isinstance(clock, VirtualClock)
    clock.advance(1000)
    second = await start(world, registration)
    other = await world.register(await world.topic("Other"), name="Other")

    listed = (await world.call("GET", f"{path_of(registration)}/replays")).json()["items"]

    assert [(each["id"], each["state"]) for each in listed] == [(second["id"], "running"), (first["id"], "cancelled")]
    assert (await world.call("GET", f"{path_of(other)}/replays")).json() == {"items": []}
    assert (await world.call("GET", f"{path_of(other)}/replays/{first['id']}")).status == 404


# --- What it refuses ---


async def test_one_at_a_time(world: World) -> None:
    """While one is running or paused, a second one is 409, with the id of the first."""
    registration = await disabled_with_events(world, 1)
    await enable(world, registration)
    replay = await start(world, registration)
    for action in ("pause", "resume"):
        await act(world, registration, replay, action)
        answer = await ask(world, registration, {})
        assert (answer.status, answer.json()["reason"]) == (409, "conflict")
        assert answer.header("x-conflicting-id") == replay["id"]
        assert "not finished" in answer.json()["message"]


async def test_a_disabled_registration(world: World) -> None:
    """409, and what to do about it; disabled meanwhile, the replay waits and says why."""
    registration = await disabled_with_events(world, 1)
    answer = await ask(world, registration, {})
    assert (answer.status, answer.json()["reason"]) == (409, "registration_disabled")
    assert "enable it" in answer.json()["message"]

    await enable(world, registration)
    replay = await start(world, registration)
    await enable(world, registration, False)
    await world.replaying.step()
    found = await shown(world, registration, replay)
    assert (found["state"], found["reason"]) == ("paused", "the registration was disabled by hand")
    assert (await act(world, registration, replay, "resume")).json()["reason"] == "registration_disabled"


async def test_a_journal_has_nothing_to_replay(world: World) -> None:
    """Nothing is pushed to it: its events are there to be read."""
    topic = await world.topic()
    registration = await world.register(topic, delivery_type="journal")
    await world.publish(topic)
    for body in ({}, {"dry_run": True}, {"scope": "all"}):
        answer = await ask(world, registration, body)
        assert (answer.status, answer.json()["reason"]) == (409, "not_pushed")


POSITION = "1.1.0.20260101.0"


@pytest.mark.parametrize(
    ("body", "reason", "message"),
    [
        ({"scope": "some"}, "invalid_body", "scope: must be one of all, undelivered, but is 'some'"),
        ({"from": "yesterday"}, "invalid_body", "from: "),
        ({"from": "2026-01-01T00:00:00"}, "invalid_body", "from: "),
        ({"from": 5}, "invalid_body", "from: "),
        (
            {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
            "invalid_body",
            "to: must be later than from",
        ),
        ({"after": "5"}, "invalid_position", "after: '5' is not a journal position"),
        ({"until": "1.1.0.20260101.99"}, "invalid_position", "lies beyond the end of this journal"),
        ({"after": POSITION, "until": POSITION}, "invalid_body", "until: must be a position behind after"),
        (
            {"from": "2026-01-01T00:00:00Z", "after": POSITION},
            "invalid_body",
            "after: a range is given by times (from, to) or by positions (after, until), not by both",
        ),
        ({"events_per_second": 0}, "invalid_body", "events_per_second: "),
        ({"events_per_second": -1}, "invalid_body", "events_per_second: "),
        ({"events_per_second": "fast"}, "invalid_body", "events_per_second: expected float | null, got str"),
        ({"causes": ["bad"]}, "invalid_body", "causes[0]: must be one of accepted, disabled, "),
        (
            {"scope": "all", "causes": ["refused"]},
            "invalid_body",
            "causes: can only be given with the scope undelivered",
        ),
        ({"dryRun": True}, "invalid_body", "object contains unknown field dryRun"),
        ({"dry_run": "yes"}, "invalid_body", "dry_run: expected bool, got str"),
        ([], "invalid_body", "the body must be a JSON object"),
        (b"", "invalid_json", "the body is empty"),
    ],
)
async def test_bad_bodies(world: World, body: Any, reason: str, message: str) -> None:
    """Refused by the member's name, with what it may be; nothing is made."""
    registration = await disabled_with_events(world, 1)
    await enable(world, registration)
    answer = await ask(world, registration, body)

    assert (answer.status, answer.json()["reason"]) == (400, reason), answer.body
    assert message in answer.json()["message"]
    assert (await world.call("GET", f"{path_of(registration)}/replays")).json() == {"items": []}


async def test_unknown_replays(world: World) -> None:
    """404 for each call about one that is not there, and what was asked for is shown only so far as it is harmless."""
    registration = await disabled_with_events(world, 0)
    hostile = await world.call("GET", f"{path_of(registration)}/replays/{'x' * 100}%01")
    assert f"replay '{'x' * 64}...' does not exist" in hostile.json()["message"]
    for method, tail in (("GET", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/cancel")):
        for replay in ("nobodys", NOBODYS):
            await enable(world, registration)
            answer = await world.call(method, f"{path_of(registration)}/replays/{replay}{tail}")
            assert (answer.status, answer.json()["reason"]) == (404, "not_found")


# --- Resending ---


async def resend(world: World, registration: Any, event_id: str) -> Answer:
    return await world.call("POST", f"{path_of(registration)}/events/{event_id}/resend")


async def test_a_delivered_event_is_sent_once_more(tmp_path: Path) -> None:
    """Whatever became of it; `scheduled`, with the id that its delivery carries."""
    async with delivering(tmp_path) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        registration = await delivery.register(topic, "/again")
        await world.publish(topic, "1")
        await delivery.hook.until("/again", 1)
        await delivery.deliver.quiesce()
        [event] = await world.journal(registration)
        answer = await resend(world, registration, event["eventid"])
        await delivery.hook.until("/again", 2)

        body = answer.json()
        assert (answer.status, body["event_id"], body["outcome"]) == (202, event["eventid"], "scheduled")
        assert body["message"] == f"event {event['eventid']} is sent once more, now" and body["replay"]
        assert sent(delivery, "/again") == ["1", "1"]


async def test_a_scheduled_retry_is_made_now(tmp_path: Path) -> None:
    """`hastened`: the retry itself comes at once, and no second delivery beside it."""
    async with delivering(tmp_path) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        delivery.hook.status = FAILED
        registration = await delivery.register(topic, "/late")
        await world.publish(topic, "1")
        await delivery.hook.until("/late", 1)
        await delivery.deliver.quiesce()
        delivery.hook.status = "200 OK"
        [event] = await world.journal(registration)
        answer = await resend(world, registration, event["eventid"])
        await delivery.hook.until("/late", 2)
        await delivery.deliver.quiesce()

        assert (answer.status, answer.json()["outcome"], answer.json()["replay"]) == (202, "hastened", None)
        assert sent(delivery, "/late") == ["1", "1"]


async def test_an_attempt_under_way_is_left_alone(tmp_path: Path) -> None:
    """`under_way`: it is being sent anyway."""
    async with delivering(tmp_path) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        registration = await delivery.register(topic, "/hang")
        await world.publish(topic, "1")
        await delivery.hook.until("/hang", 1)
        [event] = await world.journal(registration)
        answer = await resend(world, registration, event["eventid"])

        assert (answer.status, answer.json()["outcome"]) == (202, "under_way")
        assert "nothing was changed" in answer.json()["message"]


async def test_events_of_others_are_not_resent(world: World) -> None:
    """404, in the same words for an event that nobody has and one of another registration; also for what is no id."""
    registration = await world.register(await world.topic())
    topic = await world.topic("Other")
    other = await world.register(topic, name="Other")
    await world.publish(topic)
    [event] = await world.journal(other)
    answers = [await resend(world, registration, each) for each in (event["eventid"], NOBODYS, "no-id")]

    assert [(each.status, each.json()["reason"]) for each in answers] == [(404, "not_found")] * 3
    assert "was never this registration's" in answers[0].json()["message"]
    assert "event 'no-id' does not exist" in answers[2].json()["message"]


async def test_the_events_of_an_attempt(tmp_path: Path) -> None:
    """By the attempt's id in its trace: what it held is sent again, each event with what was done."""
    async with delivering(tmp_path) as delivery:
        world = delivery.world
        registration = await refused(delivery, await world.topic(), "/batch", "1")
        [trace] = [each for each in await traces(world, registration) if each["event"] != "challenge"]
        delivery.hook.status = "200 OK"
        answer = await world.call("POST", f"{path_of(registration)}/attempts/{trace['id']}/resend")
        await delivery.hook.until("/batch", 2)
        await delivery.deliver.quiesce()

        [event] = await world.journal(registration)
        assert (answer.status, answer.json()["attempt"]) == (202, trace["id"])
        assert [(each["event_id"], each["outcome"]) for each in answer.json()["items"]] == [
            (event["eventid"], "scheduled")
        ]
        assert (await undelivered(world, registration))["total"] == 0


async def test_attempts_that_cannot_be_resent(tmp_path: Path) -> None:
    """A challenge held no event: 404, and what asks again. So is an attempt that no trace has."""
    async with running(tmp_path, dev=True, auth="strict") as world:
        world.hooks.traces = (probe("d-1", 1_772_359_201_101, 200),)
        registration = await world.register(await world.topic())
        challenge = await world.call("POST", f"{path_of(registration)}/attempts/d-1/resend")
        unknown = await world.call("POST", f"{path_of(registration)}/attempts/nobodys/resend")

        assert (challenge.status, challenge.json()["reason"]) == (404, "not_found")
        assert "was a challenge and held no event" in challenge.json()["message"]
        assert (unknown.status, unknown.json()["reason"]) == (404, "not_found")


async def traces(world: World, registration: Any) -> list[Any]:
    answer = await world.call("GET", registration["_links"]["rel:trace"]["href"].removeprefix(BASE))
    found: list[Any] = answer.json()
    return found
