"""Stages of two gateways on one database: whatever both see to is done once, and whatever one does both know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from eventmill import telemetry
from eventmill.clock import VirtualClock
from eventmill.flow.health import Health
from eventmill.flow.notices import Notices
from eventmill.flow.token_upkeep import TokenUpkeep
from eventmill.flow.upkeep import Upkeep
from eventmill.model import Lane, Notice, OrgId
from eventmill.send.mail import MailServer, Posted
from eventmill.store.control import Create
from tests.http.aws import AWS_SETTINGS, BUS, bus_service
from tests.http.client import Answer
from tests.http.mail_server import mail_server
from tests.http.test_event_buses import buses_of
from tests.http.world import BASE, WORKSPACE, World, nodes
from tests.store.builders import commit, progress, tried
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

REGISTRATIONS = f"{WORKSPACE}/registrations"


def health_of(world: World) -> Health:
    parts = world.parts
    return Health(parts.store, parts.catalogue, parts.clock, parts.ids, parts.config)


def notices_of(world: World, post: Any) -> Notices:
    parts = world.parts
    return Notices(parts.store, parts.catalogue, parts.clock, parts.config, post)


def post_of(world: World) -> Any:
    return MailServer(world.parts.config).send


@asynccontextmanager
async def at_work(*stages: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """The loops of stages, as a front runs them."""
    tasks = [asyncio.create_task(stage) for stage in stages]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def fail(world: World, registration: dict[str, Any], count: int) -> None:
    """Failed attempts, as the node that delivers commits them."""
    counts = (tried(0, count, world.parts.clock.now_ms()),)
    assert await commit(world.store, progress(registration["id"], counts=counts)) == frozenset()


async def status(world: World, registration: dict[str, Any]) -> str:
    answer = await world.call("GET", f"{REGISTRATIONS}/{registration['registration_id']}")
    found: str = answer.json()["webhook_status"]
    return found


async def stored_notices(world: World) -> list[Notice]:
    return [msgspec.json.decode(each.doc, type=Notice) for each in await world.store.scan("notice")]


def logged(lines: Sequence[Any], event: str) -> list[Any]:
    return [line for line in lines if line["event"] == event]


# --- Health and its mails ---


@pytest.mark.parametrize("deliverer", [0, 1])
async def test_one_transition_and_one_mail(tmp_path: Path, deliverer: int) -> None:
    """Both nodes run the stages; attempts are made on the node that presides or on the other: either way the webhook
    becomes unstable once, and one mail tells of it."""
    async with mail_server() as mails, nodes(tmp_path, **mails.settings) as worlds:
        await worlds[deliverer].store.presidency()
        delivering, other = worlds
        registration = await delivering.register(await delivering.topic())
        stages = [stage.run() for world in worlds for stage in (health_of(world), notices_of(world, post_of(world)))]
        with structlog.testing.capture_logs() as lines:
            async with at_work(*stages):
                await fail(delivering, registration, 12)
                await eventually(lambda: mails.received, "a mail")
                assert await status(other, registration) == "unstable"
                await eventually(_none(other), "notices that are done with")
        assert len(logged(lines, telemetry.HEALTH_CHANGED)) == 1
        assert mails.subjects() == ["Acme: registration Stock to ERP is UNSTABLE"]


def _none(world: World) -> Any:
    async def look() -> bool:
        return not await world.store.scan("notice")

    return look


async def test_two_that_preside_for_a_moment(tmp_path: Path) -> None:
    """Both judge the same failures, and both see to the notice, at once: one transition, one notice, one mail."""
    async with mail_server() as mails, nodes(tmp_path, **mails.settings) as worlds:
        one, two = worlds
        registration = await one.register(await one.topic())
        healths = [health_of(world) for world in worlds]
        posts = [notices_of(world, post_of(world)) for world in worlds]
        with structlog.testing.capture_logs() as lines:
            await fail(one, registration, 12)
            await asyncio.gather(*(health.step() for health in healths * 2))
            assert len(await stored_notices(two)) == 1
            await asyncio.gather(*(stage.step() for stage in posts * 2))
            await asyncio.gather(*(stage.step() for stage in posts))
        assert len(logged(lines, telemetry.HEALTH_CHANGED)) == 1
        assert len(mails.received) == 1
        assert await stored_notices(one) == []


async def write_notice(world: World, registration: dict[str, Any], **members: Any) -> None:
    notice = Notice(
        id=world.parts.ids.uuid(),
        org=OrgId("1001"),
        project_id="2001",
        workspace_id="3001",
        registration_id=registration["registration_id"],
        name="Stock to ERP",
        before="verified",
        after="unstable",
        at_ms=world.parts.clock.now_ms(),
        attempts=10,
        failed=9,
        **members,
    )
    await world.store.write([Create("notice", notice.org, notice.id, msgspec.json.encode(notice))])


async def test_a_mail_under_way_is_left_to_who_sends_it(tmp_path: Path) -> None:
    """While one node's mail server takes its time the other sends nothing; when that node has died meanwhile, the other
    sends the mail once the time for one is over."""
    async with nodes(tmp_path, notice_recipients=("ops@acme.example",), dev=True) as (one, two):
        sent: list[str] = []
        begun, dies = asyncio.Event(), asyncio.Event()

        async def hang(mail: Any, recipients: tuple[str, ...]) -> Posted:
            begun.set()
            await dies.wait()
            raise asyncio.CancelledError

        async def send(mail: Any, recipients: tuple[str, ...]) -> Posted:
            sent.append(mail.id)
            return Posted(taken=recipients)

        await write_notice(one, await one.register(await one.topic()))
        sending = asyncio.create_task(notices_of(one, hang).step())
        await begun.wait()
        other = notices_of(two, send)
        assert await other.step() == 0
        assert (sent, other.next_due_ms()) == ([], None)
        dies.set()
        await asyncio.gather(sending, return_exceptions=True)
        later_ms = two.parts.clock.machine_ms() + 120_000
        two.parts.clock.machine_ms = lambda: later_ms  # type: ignore[method-assign]
        assert await other.step() == 1
        assert len(sent) == 1
        assert await stored_notices(one) == []


async def test_who_was_told_elsewhere_is_not_told_again(tmp_path: Path) -> None:
    """The first node's server took the mail for one recipient of two; the node that takes over sends it to the other
    one only."""
    async with nodes(tmp_path, notice_recipients=("a@acme.example", "b@acme.example"), dev=True) as (one, two):
        told: list[tuple[str, ...]] = []

        async def take_one(mail: Any, recipients: tuple[str, ...]) -> Posted:
            return Posted(taken=recipients[:1], failure="later")

        async def take(mail: Any, recipients: tuple[str, ...]) -> Posted:
            told.append(recipients)
            return Posted(taken=recipients)

        registration = await one.register(await one.topic())
        successor = notices_of(two, take)
        await write_notice(one, registration)
        await notices_of(one, take_one).step()
        await successor.step()
        assert told == [("b@acme.example",)]


# --- Links of validation ---


async def offer_link(world: World, topic: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A registration that was offered a link, and the path of that."""
    world.hooks.passes, world.hooks.answers = False, True
    registration = await world.register(topic, name=world.parts.ids.uuid())
    _, registration_id, _, secret = world.hooks.offered[-1]
    return registration, f"/csm/registrations/validate?id={registration_id}&challenge={secret}"


async def test_a_link_is_opened_on_any_node_and_once(tmp_path: Path) -> None:
    """A link that one node offered is opened on both at once: one verifies the registration, the other is told that it
    was used, and events are pushed from then on, whoever takes them."""
    async with nodes(tmp_path, dev=True) as worlds:
        one, two = worlds
        topic = await one.topic()
        registration, path = await offer_link(one, topic)
        answers = await asyncio.gather(*(world.call("GET", path, headers={}) for world in (two, one)))
        assert sorted(answer.status for answer in answers) == [200, 410]
        assert await status(two, registration) == "verified"
        (gap,) = await two.store.gaps(Lane(registration["id"]))
        assert gap.to_seq is not None


async def test_a_link_expires_once(tmp_path: Path) -> None:
    """Both nodes see at the same time that nobody opened it: it fails once, and is void on both."""
    async with nodes(tmp_path, dev=True) as worlds:
        registration, path = await offer_link(worlds[0], await worlds[0].topic())
        for world in worlds:
            assert isinstance(world.parts.clock, VirtualClock)
            world.parts.clock.advance(301_000)
        expired = await asyncio.gather(*(world.parts.validations.step() for world in worlds * 2))
        assert sum(expired) == 1
        assert [(await world.call("GET", path, headers={})).status for world in worlds] == [410, 410]
        assert await status(worlds[1], registration) == "verification_failed"


# --- Event buses ---


async def test_an_event_bus_is_verified_once(tmp_path: Path) -> None:
    """Both nodes look after the same partner event source at once: it is there once, and once it is associated the
    registration becomes verified once, on both."""
    async with bus_service() as service, AsyncExitStack() as stack:
        where = {"eventbridge_mode": "partner", "eventbridge_endpoint": service.url, **AWS_SETTINGS}
        worlds = await stack.enter_async_context(nodes(tmp_path, dev=True, **where))
        registration = await worlds[0].register(await worlds[0].topic(), **BUS)
        both = [await stack.enter_async_context(buses_of(world)) for world in worlds]
        assert await asyncio.gather(*(buses.step() for buses in both)) == [0, 0]
        source = f"aws.partner/developer.adobe.com/{registration['registration_id']}"
        service.sources[source] = "ACTIVE"
        again = [await stack.enter_async_context(buses_of(world)) for world in worlds]
        assert sum(await asyncio.gather(*(buses.step() for buses in again))) == 1
        assert [await status(world, registration) for world in worlds] == ["verified"] * 2


# --- Replays ---


async def miss(world: World, count: int) -> dict[str, Any]:
    """A registration that was disabled while so many events passed."""
    topic = await world.topic()
    registration = await world.register(topic)
    path = f"{REGISTRATIONS}/{registration['registration_id']}"
    kept = {name: registration[name] for name in ("name", "description", "delivery_type", "webhook_url")}
    for enabled in (False, True):
        body = {**kept, "events_of_interest": [topic], "enabled": enabled}
        assert (await world.call("PUT", path, body)).status == 200
        for number in range(count if not enabled else 0):
            assert await world.publish(topic, f"e{number}") == 200
    return registration


async def handed(world: World, registration: dict[str, Any]) -> list[int]:
    """Positions in units, ascending."""
    units = await world.store.due_units(Lane(registration["id"]), 1 << 60, 1000, of_replays=True)
    return sorted(seq for unit in units for seq in unit.positions)


async def replay(world: World, registration: dict[str, Any]) -> str:
    path = f"{REGISTRATIONS}/{registration['registration_id']}/replays"
    answer = await world.call("POST", path, {})
    assert answer.status in (201, 202), answer.body
    made: str = answer.json()["id"]
    return made


async def test_two_drivers_hand_out_each_event_once(tmp_path: Path) -> None:
    """Both nodes drive the same replay at once: every event that was missed is in exactly one unit."""
    async with nodes(tmp_path, dev=True) as worlds:
        one, two = worlds
        registration = await miss(one, 30)
        await replay(two, registration)
        for _ in range(4):
            await asyncio.gather(*(world.replaying.step() for world in worlds * 2))
        assert await handed(one, registration) == list(range(1, 31))


async def test_a_replay_goes_on_on_another_node(tmp_path: Path) -> None:
    """It is asked for on a node that does not preside, and driven by the one that does; when that one leaves the other
    goes on with it."""
    async with nodes(tmp_path, dev=True, replay_window_events=8) as (one, two):
        registration = await miss(one, 20)
        await one.store.presidency()
        driving = asyncio.create_task(one.replaying.run())
        async with at_work(two.replaying.run()):
            await replay(two, registration)
            await eventually(lambda: _at_least(one, registration, 8), "the first window")
            driving.cancel()
            await asyncio.gather(driving, return_exceptions=True)
            await two.engine._presidency._pool.execute(_ABDICATE)  # type: ignore[union-attr]
            lane = Lane(registration["id"])
            units = await one.store.due_units(lane, 1 << 60, 1000, of_replays=True)
            mark = max(seq for unit in units for seq in unit.positions)
            ends = tuple(unit.unit_id for unit in units)
            await commit(one.store, progress(lane, mark, end_units=ends))
            await eventually(lambda: _at_least(one, registration, 1), "the next window")
        assert min(await handed(one, registration)) > mark


_ABDICATE = "UPDATE eventmill.presidency SET till = '-infinity'"


async def _at_least(world: World, registration: dict[str, Any], count: int) -> bool:
    return len(await handed(world, registration)) >= count


# --- Keys, retention, sweeping ---


async def test_keys_rotate_once(tmp_path: Path) -> None:
    """Both nodes find the token key to be too old at the same time: there is one new one, and both sign with it."""
    async with nodes(tmp_path, token_key_rotation_days=1) as worlds:
        stages = []
        for world in worlds:
            parts = world.parts
            stages.append(TokenUpkeep(parts.store, parts.catalogue, parts.sealer, parts.clock, parts.ids, parts.config))
        await asyncio.gather(*(stage.step() for stage in stages))
        kids = []
        for world in worlds:
            await world.parts.catalogue.refresh()
            kids.append(world.parts.token_key().id)
        assert kids[0] == kids[1]
        keys = [key for key in worlds[0].parts.catalogue.signing_keys() if key.purpose == "token"]
        assert len(keys) == 2


async def test_upkeep_on_both_at_once(tmp_path: Path) -> None:
    """Retention on two nodes at once drops what is old, once, and records what expired, once."""
    async with nodes(tmp_path, dev=True) as worlds:
        topic = await worlds[0].topic()
        registration = await worlds[0].register(topic)
        assert await worlds[1].publish(topic) == 200
        upkeeps = []
        for world in worlds:
            clock = world.parts.clock
            assert isinstance(clock, VirtualClock)
            clock.advance(9 * 86_400_000)
            upkeeps.append(Upkeep(world.store, clock, world.parts.config))
        dropped = await asyncio.gather(*(upkeep.step() for upkeep in upkeeps * 2))
        assert sum(dropped) == 1
        ended = await worlds[1].store.ended(Lane(registration["id"]), 10)
        assert [(each.outcome, len(each.positions)) for each in ended] == [("expired", 1)]
        assert sum([(await world.store.totals()).expired for world in worlds]) == 1


# --- Publishing and reading on any node ---


async def test_the_limit_of_requests_holds_on_all_nodes(tmp_path: Path) -> None:
    """Requests by turns on both nodes: as many as one alone would take, and then 429 on both."""
    async with nodes(tmp_path, publish_requests_per_5s=20) as worlds:
        topic = await worlds[0].topic()
        await worlds[0].register(topic, delivery_type="journal", webhook_url=...)
        for world in worlds:
            await world.parts.catalogue.refresh()
        statuses = [await worlds[number % 2].publish(topic, str(number)) for number in range(40)]
        assert statuses[:18] == [200] * 18
        assert 20 <= statuses.count(200) <= 20 + 2 + 15
        assert set(statuses) == {200, 429}


async def test_waiting_readers_are_woken_by_the_other_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader waits on one node, an event is published on the other: the notification alone wakes the reader, without
    any look at the database by the clock."""
    monkeypatch.setattr("eventmill.store.postgres.feed._LOOK_S", 3600)
    async with nodes(tmp_path) as (one, two):
        topic = await one.topic()
        registration = await one.register(topic, delivery_type="journal", webhook_url=...)
        await two.parts.catalogue.refresh()
        path = registration["_links"]["rel:events"]["href"].removeprefix(BASE)

        async def read() -> Answer:
            return await one.call("GET", path, headers={**one.auth(), "prefer": "wait=60"})

        for number in range(3):
            reading = asyncio.create_task(read())
            await eventually(lambda: one.parts.journal.waiting == 1, "a reader that waits")
            assert await two.publish(topic, str(number)) == 200
            answer = await asyncio.wait_for(reading, 30)
            assert [each["event"]["id"] for each in answer.json()["events"]] == [str(number)]
            path = _next(answer)


def _next(answer: Answer) -> str:
    links = [value for name, value in answer.headers if name == "link"]
    (found,) = [link for link in links if 'rel="next"' in link]
    return found.split("<", 1)[1].split(">", 1)[0].removeprefix(BASE)
