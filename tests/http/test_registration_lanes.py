"""What writing a registration does to its lane: gaps while nothing is pushed, starting at the head, tombstones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventmill.flow.targets import Target
from eventmill.model import Lane
from eventmill.store.work import Gap, LaneProgress, RetryUnit, WorkCommit
from tests.http.world import SEALER, SECRET, WORKSPACE, World, registration_form, running

pytestmark = pytest.mark.anyio

REGISTRATIONS = f"{WORKSPACE}/registrations"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Dev mode, whose store is granted every lane in this process."""
    async with running(tmp_path, dev=True, auth="strict") as each:
        yield each


async def put(world: World, registration: dict[str, Any], topic: dict[str, Any], **members: Any) -> dict[str, Any]:
    target = f"{REGISTRATIONS}/{registration['registration_id']}"
    answer = await world.call("PUT", target, registration_form(topic, **members))
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json()
    return body


async def gaps(world: World, registration: dict[str, Any]) -> list[tuple[int, int | None, str]]:
    found: list[Gap] = await world.store.gaps(Lane(registration["id"]))
    return [(gap.from_seq, gap.to_seq, gap.cause) for gap in found]


async def is_disabled(world: World, registration: dict[str, Any]) -> bool:
    record = await world.store.lane(Lane(registration["id"]))
    assert record is not None
    return record.disabled


async def mark(world: World, registration: dict[str, Any]) -> int:
    record = await world.store.lane(Lane(registration["id"]))
    assert record is not None
    return record.mark


async def publish(world: World, topic: dict[str, Any], count: int) -> None:
    for number in range(count):
        assert await world.publish(topic, str(number)) == 200


async def test_enabled_webhook_starts_at_the_head(world: World) -> None:
    """No gap, and nothing that was there before is pushed."""
    topic = await world.topic()
    await world.register(topic, name="earlier", delivery_type="journal")
    await publish(world, topic, 3)

    registration = await world.register(topic)

    assert (await is_disabled(world, registration), await gaps(world, registration)) == (False, [])
    assert await mark(world, registration) == 3


@pytest.mark.parametrize(
    ("members", "passes", "cause"),
    [
        ({"delivery_type": "journal"}, True, "journal"),
        ({"enabled": False}, True, "disabled"),
        ({}, False, "verification_failed"),
    ],
)
async def test_lane_that_pushes_nothing_has_an_open_gap(
    world: World, members: dict[str, Any], passes: bool, cause: str
) -> None:
    """From its first event on, with the cause, until a PUT makes it push: then the gap ends at the head."""
    topic = await world.topic()
    world.hooks.passes = passes
    registration = await world.register(topic, **members)
    await publish(world, topic, 2)
    before = await gaps(world, registration)

    world.hooks.passes = True
    await put(world, registration, topic)
    await publish(world, topic, 1)

    assert before == [(1, None, cause)]
    assert await gaps(world, registration) == [(1, 2, cause)]
    assert (await is_disabled(world, registration), await mark(world, registration)) == (False, 2)
    assert len(await world.journal(registration)) == 3


async def test_journal_that_becomes_a_webhook_pushes_new_events_only(world: World) -> None:
    """And back: a webhook that becomes a journal pushes nothing more, while the journal goes on."""
    topic = await world.topic()
    registration = await world.register(topic)
    await publish(world, topic, 1)
    await put(world, registration, topic, delivery_type="journal")
    await publish(world, topic, 2)
    as_journal = await is_disabled(world, registration), await gaps(world, registration)
    await put(world, registration, topic, delivery_type="webhook_batch")
    await publish(world, topic, 1)

    assert as_journal == (True, [(1, None, "journal")])
    assert await gaps(world, registration) == [(1, 3, "journal")]
    assert (await is_disabled(world, registration), await mark(world, registration)) == (False, 3)
    assert len(await world.journal(registration)) == 4


async def test_update_of_a_pushing_webhook_leaves_its_lane_alone(world: World) -> None:
    """Events on their way are not skipped by a rename."""
    topic = await world.topic()
    registration = await world.register(topic)
    await publish(world, topic, 2)

    await put(world, registration, topic, name="Renamed")

    assert (await mark(world, registration), await gaps(world, registration)) == (0, [])


async def test_time_as_a_journal_is_a_gap_of_its_own(world: World) -> None:
    """Changes between states that push nothing open no gap, but for those from and to a journal: what passes there is
    read, and not missed."""
    topic = await world.topic()
    registration = await world.register(topic, enabled=False)
    await publish(world, topic, 1)
    await put(world, registration, topic, delivery_type="journal")
    await put(world, registration, topic, delivery_type="journal", enabled=False)
    world.hooks.passes = False
    failed = await put(world, registration, topic)

    assert failed["webhook_status"] == "verification_failed"
    assert await gaps(world, registration) == [(1, 1, "disabled"), (2, 1, "journal"), (2, None, "verification_failed")]


async def test_delete_leaves_a_tombstone_for_running_retries(world: World) -> None:
    """Scheduled retries outlive the registration, with all that delivery needs; the secret stays sealed."""
    topic = await world.topic()
    registration = await world.register(topic, delivery_type="webhook_batch")
    await publish(world, topic, 1)
    lane = Lane(registration["id"])
    await schedule_retry(world, lane)

    assert (await world.call("DELETE", f"{REGISTRATIONS}/{registration['registration_id']}")).status == 204

    record = await world.store.lane(lane)
    assert record is not None
    assert record.tombstone is not None
    target = Target.decode(record.tombstone)
    assert (target.url, target.batch, target.client_id) == ("https://erp.example/hook", True, registration["client_id"])
    assert SEALER.unseal(target.sealed_secret, f"credential:{target.credential_id}").decode() == SECRET
    assert SECRET.encode() not in record.tombstone
    assert len(await world.store.due_units(lane, 1 << 50, 10)) == 1


async def test_delete_can_cancel_retries(tmp_path: Path) -> None:
    """With `cancel_retries_on_delete` nothing of the lane remains."""
    async with running(tmp_path, dev=True, auth="strict", cancel_retries_on_delete=True) as world:
        topic = await world.topic()
        registration = await world.register(topic)
        await publish(world, topic, 1)
        lane = Lane(registration["id"])
        await schedule_retry(world, lane)

        assert (await world.call("DELETE", f"{REGISTRATIONS}/{registration['registration_id']}")).status == 204

        assert await world.store.lane(lane) is None
        assert await world.store.due_units(lane, 1 << 50, 10) == []


async def schedule_retry(world: World, lane: Lane) -> None:
    """As delivery does after a failed first attempt of position 1."""
    unit = RetryUnit(bytes(16), lane, (1,), False, 1000, 1, 61_000, 503)
    leases = [lease for lease in await world.store.leases() if lease.slot == lane % 1024]
    progress = LaneProgress(lane=lane, mark=1, done=(), settled=(1,), put_units=(unit,))
    assert await world.store.commit(WorkCommit(tuple(leases), (progress,))) == frozenset()
