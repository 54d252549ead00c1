"""What became of an event, over the wire: each way that it can go, who did not get it and why, and what nobody got."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from eventmill.config import Config
from eventmill.core.attempts import Attempt, pack_attempts
from eventmill.core.envelope import format_time
from eventmill.flow.unmatched import KEPT_MS
from eventmill.flow.upkeep import Upkeep
from eventmill.model import OrgId
from eventmill.store.work import Ended, LaneProgress, RetryUnit, WorkCommit
from tests.http.client import Answer
from tests.http.delivery import REGISTRATIONS, Delivery, delivering
from tests.http.world import CLIENT, World, running

pytestmark = pytest.mark.anyio

NOBODY = "00000000-0000-7000-8000-000000000000"


async def explain(world: World, event_id: str) -> dict[str, Any]:
    answer = await world.call("GET", f"/events/1001/events/{event_id}")
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json()
    return body


async def only_way(world: World, event_id: str) -> dict[str, Any]:
    [way] = (await explain(world, event_id))["registrations"]
    assert isinstance(way, dict)
    return way


async def published(world: World, registration: Any, topic: Any, id: str = "1") -> str:
    """`eventid` of one event, just published."""
    assert await world.publish(topic, id) == 200
    return str((await world.journal(registration))[-1]["eventid"])


# --- Whose event it is ---


async def test_what_is_said_of_the_event(tmp_path: Path) -> None:
    """Ids, code, provider, publisher, times, size, and the position that journals give it."""
    async with running(tmp_path) as world:
        topic = await world.topic("Warehouse")
        registration = await world.register(topic, delivery_type="journal", webhook_url=...)
        event_id = await published(world, registration, topic, "order-7")
        page = (
            await world.call("GET", registration["_links"]["rel:events"]["href"][len("https://gw.example") :])
        ).json()

        found = await explain(world, event_id)

        now = format_time(world.parts.clock.now_ms())
        size = found["event"].pop("size")
        assert found["event"] == {
            "id": event_id,
            "published_id": "order-7",
            "code": topic["event_code"],
            "provider": {"id": topic["provider_id"], "label": "Warehouse"},
            "source": f"urn:uuid:{topic['provider_id']}",
            "type": topic["event_code"],
            "time": now,
            "published_at": now,
            "published_by": CLIENT,
            "position": page["events"][0]["position"],
            "format": "cloud_events_v1",
        }
        assert 0 < size < 1000
        assert found["unmatched"] is None
        assert await explain(world, event_id.upper()) == found | {"event": found["event"] | {"size": size}}


async def test_events_of_nobody_and_of_others(tmp_path: Path) -> None:
    """404 for an unknown id, for what is no id, and for another organization's event; 403 for its address."""
    async with running(tmp_path) as world:
        topic = await world.topic()
        registration = await world.register(topic)
        event_id = await published(world, registration, topic)

        refused: list[Answer] = [
            await world.call("GET", "/events/1001/events/" + NOBODY),
            await world.call("GET", "/events/1001/events/order-7"),
            await world.call("GET", f"/events/1002/events/{event_id}", headers=world.foreign_auth()),
        ]
        assert [(each.status, each.json()["reason"]) for each in refused] == [(404, "not_found")] * 3
        assert "events are kept for 7 days" in refused[0].json()["message"]
        foreign = await world.call("GET", f"/events/1001/events/{event_id}", headers=world.foreign_auth())
        assert foreign.status == 403


async def test_an_adobe_io_event_has_no_cloud_event_members(tmp_path: Path) -> None:
    """What its format has no place for is null."""
    async with running(tmp_path) as world:
        topic = await world.topic(event_delivery_format="adobe_io")
        await world.register(topic)
        assert await world.publish(topic) == 200
        shard = await world.store.shard(OrgId("1001"))
        [stored] = await world.store.fetch(shard, [1])

        event = (await explain(world, stored.event_id.hex()[:8] + "-" + _tail(stored.event_id)))["event"]

        assert event["format"] == "adobe_io"
        assert {event[name] for name in ("published_id", "source", "type", "time")} == {None}


def _tail(event_id: bytes) -> str:
    text = event_id.hex()
    return f"{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


# --- What became of it ---


async def test_a_delivered_event(tmp_path: Path) -> None:
    """The attempt that delivered it, and nothing to come."""
    async with delivering(tmp_path) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        registration = await delivery.register(topic, "/hook")
        event_id = await published(world, registration, topic)
        await delivery.deliver.quiesce()

        way = await only_way(world, event_id)

        [attempt] = way.pop("attempts")
        assert (attempt["retry"], attempt["status"]) == (0, 200)
        assert way == {
            "id": registration["id"],
            "registration_id": registration["registration_id"],
            "name": "/hook",
            "delivery_type": "webhook",
            "matched": True,
            "state": "delivered",
            "why": "matched and delivered",
            "cause": None,
            "next_due": None,
            "next_retry": None,
        }


async def advance(delivery: Delivery, minutes: float) -> None:
    dev = delivery.world.parts.dev
    assert dev is not None
    dev.clock.advance(int(minutes * 60_000))
    delivery.deliver.wake()
    await delivery.deliver.quiesce()


async def test_every_attempt_and_the_next(tmp_path: Path) -> None:
    """Retries are numbered, with their statuses; the next one has its time; after a success there is none."""
    async with delivering(tmp_path) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        registration = await delivery.register(topic, "/hook")
        delivery.hook.status = "503 Service Unavailable"
        start_ms = world.parts.clock.now_ms()
        event_id = await published(world, registration, topic)
        await delivery.deliver.quiesce()
        await advance(delivery, 1)

        way = await only_way(world, event_id)
        assert [(each["retry"], each["status"]) for each in way["attempts"]] == [(0, 503), (1, 503)]
        assert [each["at"] for each in way["attempts"]] == [format_time(start_ms), format_time(start_ms + 60_000)]
        assert (way["state"], way["next_due"], way["next_retry"]) == ("scheduled", format_time(start_ms + 180_000), 2)
        assert way["why"] == "matched; the last attempt ended with status 503, and another follows"

        delivery.hook.status = "201 Created"
        await advance(delivery, 2)
        way = await only_way(world, event_id)
        assert [each["status"] for each in way["attempts"]] == [503, 503, 201]
        assert (way["state"], way["next_due"]) == ("delivered", None)


async def test_a_refused_event(tmp_path: Path) -> None:
    """A final status ends it: undelivered, with the status in the reason."""
    async with delivering(tmp_path) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        registration = await delivery.register(topic, "/hook")
        delivery.hook.status = "404 Not Found"
        event_id = await published(world, registration, topic)
        await delivery.deliver.quiesce()

        way = await only_way(world, event_id)

        assert (way["state"], way["cause"]) == ("undelivered", "refused")
        assert way["why"] == "matched, but refused for good: the last attempt ended with status 404"


async def test_a_disabled_registration(tmp_path: Path) -> None:
    """What passes meanwhile is undelivered, with the time from which on; enabled again, until when."""
    async with delivering(tmp_path) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        registration = await delivery.register(topic, "/hook")
        path = f"{REGISTRATIONS}/{registration['registration_id']}"
        disable = [{"op": "replace", "path": "/enabled", "value": False}]
        enable = [{"op": "replace", "path": "/enabled", "value": True}]
        patch = {**world.auth(), "content-type": "application/json-patch+json"}
        since = format_time(world.parts.clock.now_ms())
        assert (await world.call("PATCH", path, disable, headers=patch)).status == 200
        event_id = await published(world, registration, topic)
        await advance(delivery, 5)

        way = await only_way(world, event_id)
        assert (way["state"], way["cause"], way["attempts"]) == ("undelivered", "disabled", [])
        assert way["why"] == f"matched, but not sent: disabled since {since} (disabled)"

        until = format_time(world.parts.clock.now_ms())
        assert (await world.call("PATCH", path, enable, headers=patch)).status == 200
        assert (await only_way(world, event_id))["why"] == (
            f"matched, but not sent: disabled since {since} until {until} (disabled)"
        )


async def test_journals_and_deleted_registrations(tmp_path: Path) -> None:
    """A journal is never pushed to; of a deleted registration its number is left."""
    async with running(tmp_path) as world:
        topic = await world.topic()
        journal = await world.register(topic, name="Journal", delivery_type="journal", webhook_url=...)
        gone = await world.register(topic, name="Gone")
        event_id = await published(world, journal, topic)
        way, other = (await explain(world, event_id))["registrations"]
        assert (way["state"], way["cause"], way["name"]) == ("journal_only", None, "Journal")
        assert (other["state"], other["attempts"]) == ("waiting", [])

        deleted = await world.call("DELETE", f"{REGISTRATIONS}/{gone['registration_id']}")
        assert deleted.status == 204
        other = (await explain(world, event_id))["registrations"][1]
        assert (other["id"], other["name"], other["matched"], other["state"]) == (gone["id"], None, True, "deleted")


async def test_only_the_events_own_attempts(tmp_path: Path) -> None:
    """Blocks hold attempts of many events, of other lanes too; each event has its own."""
    async with running(tmp_path, dev=True) as world:
        topic = await world.topic()
        registration = await world.register(topic)
        ids = [await published(world, registration, topic, str(number)) for number in range(3)]
        lane, now_ms = int(registration["id"]), world.parts.clock.now_ms()
        tried = [Attempt(1, 0, 503, 9, now_ms), Attempt(3, 0, 200, 7, now_ms), Attempt(1, 1, 200, 8, now_ms + 60_000)]
        for attempts in (tried[:2], tried[2:]):
            block = pack_attempts(attempts)
            await commit(world, LaneProgress(lane=lane, mark=3, done=(), settled=(1, 2, 3), attempts=block))  # type: ignore[arg-type]

        seen = [[each["status"] for each in (await only_way(world, id))["attempts"]] for id in ids]

        assert seen == [[503, 200], [], [200]]


async def commit(world: World, progress: LaneProgress) -> None:
    leases = tuple(lease for lease in await world.store.leases() if lease.slot == progress.lane % 1024)
    assert await world.store.commit(WorkCommit(leases, (progress,))) == frozenset()


async def test_a_batch_that_was_given_up(tmp_path: Path) -> None:
    """Of a unit with several events each is scheduled with it, and given up with it."""
    async with running(tmp_path, dev=True) as world:
        topic = await world.topic()
        registration = await world.register(topic, delivery_type="webhook_batch")
        ids = [await published(world, registration, topic, str(number)) for number in range(3)]
        lane, now_ms = registration_lane(registration), world.parts.clock.now_ms()
        unit = RetryUnit(bytes(16), lane, (1, 3), True, now_ms, 4, now_ms + 60_000, 502)
        attempts = pack_attempts([Attempt(seq, 0, 502, 5, now_ms) for seq in (1, 3)] + [Attempt(2, 0, 200, 5, now_ms)])
        progress = LaneProgress(lane=lane, mark=3, done=(), settled=(1, 2, 3), put_units=(unit,), attempts=attempts)
        await commit(world, progress)
        assert [(await only_way(world, id))["state"] for id in ids] == ["scheduled", "delivered", "scheduled"]
        assert (await only_way(world, ids[2]))["next_retry"] == 4

        ended = Ended((1, 3), "gave_up", 502, now_ms)
        await commit(
            world, LaneProgress(lane=lane, mark=3, done=(), settled=(), end_units=(bytes(16),), ended=(ended,))
        )
        ways = [await only_way(world, id) for id in ids]
        assert [(way["state"], way["cause"]) for way in ways] == [
            ("undelivered", "gave_up"),
            ("delivered", None),
            ("undelivered", "gave_up"),
        ]
        assert "given up after 24 hours" in ways[0]["why"]


def registration_lane(registration: Any) -> Any:
    return int(registration["id"])


# --- Who did not get it ---


async def test_registrations_that_came_later(tmp_path: Path) -> None:
    """Those that want such events by now are listed after the others, with the reason; other codes' are not."""
    async with running(tmp_path, dev=True) as world:
        dev, topic, other = world.parts.dev, await world.topic(), await world.topic("Other")
        assert dev is not None
        first = await world.register(topic, name="First")
        changed = await world.register(other, name="Changed")
        await world.register(other, name="Elsewhere", webhook_url="https://erp.example/else")
        event_id = await published(world, first, topic)
        dev.clock.advance(1000)
        unmet = {"name": "Never", "subscriber_filter": '{"data":{"sku":["none"]}}'}
        later = {"webhook_url": "https://erp.example/later", "subscriber_filters": [unmet]}
        await world.register(topic, name="Later", **later)
        wanted = [{"op": "replace", "path": "/events_of_interest", "value": [topic]}]
        patch = {**world.auth(), "content-type": "application/json-patch+json"}
        path = f"{REGISTRATIONS}/{changed['registration_id']}"
        assert (await world.call("PATCH", path, wanted, headers=patch)).status == 200

        ways = (await explain(world, event_id))["registrations"]

        assert [(way["name"], way["matched"], way["cause"]) for way in ways] == [
            ("First", True, None),
            ("Changed", False, "interested_since"),
            ("Later", False, "created_after_event"),
        ]
        assert {way["state"] for way in ways[1:]} == {"not_matched"}
        assert ways[2]["why"] == "not matched: the registration was created after the event"


# --- What nobody got ---


async def unmatched(world: World, query: str = "") -> dict[str, Any]:
    answer = await world.call("GET", f"/events/1001/unmatched{query}")
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json()
    return body


async def test_nobody_subscribed(tmp_path: Path) -> None:
    """Answered 204, and found again by either id, with the reason; another organization sees nothing of it."""
    async with running(tmp_path) as world:
        topic = await world.topic("Warehouse")
        assert await world.publish(topic, "order-7") == 204
        assert await world.publish({**topic, "event_code": "com.acme.unheard-of"}, "order-8") == 204

        newest, oldest = (await unmatched(world))["events"]
        assert (newest["published_id"], newest["cause"]) == ("order-8", "unknown_event_code")
        now = format_time(world.parts.clock.now_ms())
        event_id = oldest.pop("id")
        assert oldest == {
            "published_id": "order-7",
            "code": topic["event_code"],
            "provider": {"id": topic["provider_id"], "label": "Warehouse"},
            "published_at": now,
            "published_by": CLIENT,
            "cause": "no_registration",
            "why": "no registration asked for this event code when it was published",
        }
        by_either = [await explain(world, each) for each in (event_id, "order-7")]
        assert by_either[0] == by_either[1]
        assert by_either[0]["event"]["position"] is None
        assert (by_either[0]["registrations"], by_either[0]["unmatched"]["cause"]) == ([], "no_registration")
        foreign = await world.call("GET", "/events/1002/unmatched", headers=world.foreign_auth())
        assert foreign.json() == {"total": 0, "events": []}
        hidden = await world.call("GET", "/events/1002/events/order-7", headers=world.foreign_auth())
        assert hidden.status == 404


async def test_who_subscribed_too_late(tmp_path: Path) -> None:
    """A registration made after the event is named, with that reason."""
    async with running(tmp_path, dev=True) as world:
        dev, topic = world.parts.dev, await world.topic()
        assert dev is not None
        assert await world.publish(topic) == 204
        dev.clock.advance(1000)
        await world.register(topic, name="Late")

        [way] = (await explain(world, "1"))["registrations"]

        assert (way["name"], way["state"], way["cause"]) == ("Late", "not_matched", "created_after_event")


async def test_a_batch_leaves_notes_of_what_it_did_not_store(tmp_path: Path) -> None:
    """Of a batch, those events that nobody got are remembered, and the others stored."""
    async with running(tmp_path) as world:
        wanted, unwanted = await world.topic("Wanted"), await world.topic("Unwanted")
        await world.register(wanted)
        events = [
            {
                "specversion": "1.0",
                "id": f"{at}",
                "source": f"urn:uuid:{topic['provider_id']}",
                "type": topic["event_code"],
                "data": at,
            }
            for at, topic in enumerate((unwanted, wanted, unwanted))
        ]
        headers = {**world.auth(), "content-type": "application/cloudevents-batch+json"}
        assert (await world.call("POST", "/", events, headers=headers)).json()["stored"] == 1
        assert (await world.call("POST", "/", events[:1], headers=headers)).json()["stored"] == 0

        assert [each["published_id"] for each in (await unmatched(world))["events"]] == ["0", "2", "0"]


async def test_the_ring_is_bounded_and_the_count_is_not(tmp_path: Path) -> None:
    """The newest are kept, `limit` cuts further, all are counted, and a restart changes nothing."""
    settings = {"unmatched_kept": 5}
    async with running(tmp_path, **settings) as world:
        topic = await world.topic()
        for number in range(8):
            assert await world.publish(topic, str(number)) == 204
        await world.parts.unmatched.flush()
        await world.publish(topic, "8")
        await world.parts.unmatched.flush()
    async with running(tmp_path, **settings) as world:
        found = await unmatched(world)
        assert (found["total"], [each["published_id"] for each in found["events"]]) == (9, ["8", "7", "6", "5", "4"])
        assert [each["published_id"] for each in (await unmatched(world, "?limit=2"))["events"]] == ["8", "7"]
        for limit in ("0", "1001", "x"):
            refused = await world.call("GET", f"/events/1001/unmatched?limit={limit}")
            assert (refused.status, refused.json()["reason"]) == (400, "invalid_parameter")


async def test_notes_go_after_a_day(tmp_path: Path) -> None:
    """After a day of business time an event that nobody got is neither listed nor found nor counted."""
    async with running(tmp_path, dev=True) as world:
        dev, topic = world.parts.dev, await world.topic()
        assert dev is not None
        assert await world.publish(topic, "order-7") == 204
        assert (await unmatched(world))["total"] == 1
        dev.clock.advance(KEPT_MS + 300_001)

        assert await unmatched(world) == {"total": 0, "events": []}
        assert (await world.call("GET", "/events/1001/events/order-7")).status == 404
        await Upkeep(world.store, world.parts.clock, Config()).step()
        assert await world.store.unmatched(world.parts.catalogue.organizations()[0].id, 0, 10) == []


async def test_notes_are_stored_without_being_asked_for(tmp_path: Path) -> None:
    """The stage stores what it has when it is ended; publishing itself stored nothing."""
    async with running(tmp_path) as world:
        org = world.parts.catalogue.organizations()[0].id
        topic = await world.topic()
        stage = asyncio.create_task(world.parts.unmatched.run())
        await asyncio.sleep(0)
        assert await world.publish(topic, "order-7") == 204
        assert await world.store.unmatched(org, 0, 10) == []
        stage.cancel()
        await asyncio.wait([stage])

        assert [each.published_id for each in await world.store.unmatched(org, 0, 10)] == ["order-7"]
