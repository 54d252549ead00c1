"""Registrations of every delivery type: Runtime actions, event buses, and what a change between types does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventmill.flow.targets import Target
from eventmill.model import EventBridgeDestination, Lane
from tests.http.delivery import delivering
from tests.http.world import BASE, WORKSPACE, World, registration_form, running

pytestmark = pytest.mark.anyio

REGISTRATIONS = f"{WORKSPACE}/registrations"
RUNTIME: dict[str, Any] = {"runtime_action": "warehouse/on-low", "webhook_url": ...}
BUS: dict[str, Any] = {
    "delivery_type": "aws_eventbridge",
    "destination_metadata": {"aws_region": "eu-west-1", "aws_account_id": "123456789012"},
    "webhook_url": ...,
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as each:
        yield each


def path_of(registration: dict[str, Any]) -> str:
    return f"{REGISTRATIONS}/{registration['registration_id']}"


async def gap_causes(world: World, registration: dict[str, Any]) -> list[str]:
    return [gap.cause for gap in await world.store.gaps(Lane(registration["id"])) if gap.to_seq is None]


@pytest.mark.parametrize("delivery_type", ["webhook", "webhook_batch"])
async def test_runtime_action(world: World, delivery_type: str) -> None:
    """Echoed with an address made for it, keeps its type, verified without a challenge; pushed to, and journaled."""
    topic = await world.topic()
    registration = await world.register(topic, delivery_type=delivery_type, **RUNTIME)

    assert list(registration)[-4:] == ["webhook_url", "delivery_type", "runtime_action", "enabled"]
    assert registration["webhook_url"] == f"{BASE}/runtime/{registration['registration_id']}"
    assert (registration["runtime_action"], registration["delivery_type"]) == ("warehouse/on-low", delivery_type)
    assert (registration["webhook_status"], registration["enabled"]) == ("verified", True)
    assert (await world.call("GET", path_of(registration))).json() == registration
    assert world.hooks.asked == []
    assert await gap_causes(world, registration) == []
    assert await world.publish(topic) == 200
    assert len(await world.journal(registration)) == 1


async def test_event_bus(world: World) -> None:
    """Its destination is echoed; it is accepted until its owner associates it; its journal fills."""
    topic = await world.topic()
    registration = await world.register(topic, **BUS)

    assert list(registration)[-3:] == ["delivery_type", "destination_metadata", "enabled"]
    assert registration["destination_metadata"] == BUS["destination_metadata"]
    assert "webhook_url" not in registration
    assert (registration["webhook_status"], registration["enabled"]) == ("accepted", True)
    assert world.hooks.asked == []
    assert await gap_causes(world, registration) == ["accepted"]
    assert await world.publish(topic) == 200
    assert len(await world.journal(registration)) == 1


async def test_members_that_a_type_does_not_use_are_dropped(world: World) -> None:
    """A journal has no webhook, action or destination, whatever was sent; unknown members pass on PUT as on POST."""
    topic = await world.topic()
    everything = {**BUS, **RUNTIME, "webhook_url": "https://erp.example/hook", "runtimeWebhook": True}
    bus = await world.register(topic, name="Bus", **everything)
    journal = await world.register(topic, name="Journal", **{**everything, "delivery_type": "journal"})
    hook = {**everything, "delivery_type": "webhook", "runtime_action": ""}
    put = await world.call("PUT", path_of(journal), registration_form(topic, name="Journal", **hook))

    for registration, unused in (
        (bus, ("webhook_url", "runtime_action")),
        (journal, ("webhook_url", "runtime_action", "destination_metadata")),
        (put.json(), ("runtime_action", "destination_metadata")),
    ):
        assert not set(unused) & set(registration)
    assert (put.status, put.json()["webhook_url"]) == (200, "https://erp.example/hook")


async def test_changes_between_types(world: World) -> None:
    """Each PUT leaves what belongs to the new type only; a webhook is asked when it comes back."""
    topic = await world.topic()
    registration = await world.register(topic)
    seen = []
    forms: tuple[dict[str, Any], ...] = (RUNTIME, BUS, {"delivery_type": "journal"}, {}, {**BUS, "enabled": False})
    for members in forms:
        world.hooks.asked.clear()
        answer = await world.call("PUT", path_of(registration), registration_form(topic, **members))
        body = answer.json()
        kept = [name for name in ("webhook_url", "runtime_action", "destination_metadata") if name in body]
        seen.append((body["webhook_status"], kept, len(world.hooks.asked), await gap_causes(world, registration)))

    assert seen == [
        ("verified", ["webhook_url", "runtime_action"], 0, []),
        ("accepted", ["destination_metadata"], 0, ["accepted"]),
        ("verified", [], 0, ["journal"]),
        ("verified", ["webhook_url"], 1, []),
        ("accepted", ["destination_metadata"], 0, ["accepted"]),
    ]


async def test_patch_sees_the_members_of_every_type(world: World) -> None:
    """A webhook becomes a Runtime action, that an event bus, member by member."""
    topic = await world.topic()
    registration = await world.register(topic)
    to_action = [
        {"op": "remove", "path": "/webhook_url"},
        {"op": "add", "path": "/runtime_action", "value": "warehouse/on-low"},
    ]
    to_bus = [
        {"op": "test", "path": "/webhook_url", "value": None},
        {"op": "replace", "path": "/delivery_type", "value": "aws_eventbridge"},
        {"op": "replace", "path": "/destination_metadata", "value": BUS["destination_metadata"]},
    ]

    action = await world.call("PATCH", path_of(registration), to_action)
    bus = await world.call("PATCH", path_of(registration), to_bus)
    region = await world.call(
        "PATCH", path_of(registration), [{"op": "replace", "path": "/destination_metadata/aws_region", "value": "x"}]
    )

    assert (action.status, action.json()["runtime_action"]) == (200, "warehouse/on-low")
    assert (bus.status, bus.json()["delivery_type"]) == (200, "aws_eventbridge")
    assert region.json()["message"].startswith("destination_metadata.aws_region: must be an AWS region")


async def test_scheduled_retries_go_on_to_the_webhook_that_was(tmp_path: Path) -> None:
    """A webhook that becomes a journal pushes nothing new, but what was to be tried again still is, where it was."""
    async with delivering(tmp_path) as delivery:
        world = delivery.world
        topic = await world.topic()
        registration = await delivery.register(topic, "/fail")
        assert await world.publish(topic, "first") == 200
        await delivery.hook.until("/fail", 1)
        await delivery.deliver.quiesce()

        form = registration_form(topic, name="/fail", delivery_type="journal")
        assert (await world.call("PUT", path_of(registration), form)).status == 200
        assert await world.publish(topic, "second") == 200
        world.parts.clock.advance(60_000)  # type: ignore[attr-defined]
        delivery.deliver.wake()
        bodies = await delivery.hook.until("/fail", 2)
        await delivery.deliver.quiesce()

        traces = (await world.call("GET", registration["_links"]["rel:trace"]["href"].removeprefix(BASE))).json()
        codes = [trace["trace"]["tracingResponse"]["responseCode"] for trace in traces]
        assert (codes, len(bodies)) == ([503, 503], 2)
        assert [b'"first"' in body for body in bodies] == [True, True]
        assert len(await world.journal(registration)) == 2


@pytest.mark.parametrize(
    ("before", "place"),
    [
        ({}, ("https://erp.example/hook", "", None)),
        (RUNTIME, ("", "warehouse/on-low", None)),
        (BUS, ("", "", EventBridgeDestination("eu-west-1", "123456789012"))),
    ],
)
async def test_tombstone_of_a_journal_that_was_pushed_to(
    tmp_path: Path, before: dict[str, Any], place: tuple[str, str, EventBridgeDestination | None]
) -> None:
    """Its retries outlive the registration, and go where it delivered last."""
    async with running(tmp_path, dev=True, auth="strict") as world:
        topic = await world.topic()
        registration = await world.register(topic, webhook_url="https://other.example/hook")
        for members in (before, {"delivery_type": "journal"}, {"delivery_type": "journal", "description": "x"}):
            form = registration_form(topic, **members)
            assert (await world.call("PUT", path_of(registration), form)).status == 200
        assert (await world.call("DELETE", path_of(registration))).status == 204

        record = await world.store.lane(Lane(registration["id"]))
        assert record is not None and record.tombstone is not None
        target = Target.decode(record.tombstone)
        assert (target.url, target.runtime_action, target.event_bus) == place


async def test_a_journal_leaves_no_tombstone(tmp_path: Path) -> None:
    """Nothing of it can be scheduled when it was never anything else."""
    async with running(tmp_path) as world:
        registration = await world.register(await world.topic(), delivery_type="journal")
        assert (await world.call("DELETE", path_of(registration))).status == 204

        assert await world.store.lane(Lane(registration["id"])) is None
