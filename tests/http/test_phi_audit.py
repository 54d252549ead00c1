"""The audit trail over HTTP: what is on record of which events, page by page, and for whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eventmill.flow.upkeep import Upkeep
from tests.http.client import Answer
from tests.http.world import BASE, World, running

pytestmark = pytest.mark.anyio

PATH = "/events/1001/phi-audit"
YEAR_MS = 365 * 86_400_000


@asynccontextmanager
async def subscribed(directory: Path) -> AsyncIterator[tuple[World, dict[str, Any]]]:
    async with running(directory) as world:
        topic = await world.topic()
        await world.register(topic, delivery_type="journal")
        yield world, topic


async def publish(world: World, topic: dict[str, Any], id: str, **headers: str) -> Answer:
    event = {
        "specversion": "1.0",
        "id": id,
        "source": f"urn:uuid:{topic['provider_id']}",
        "type": topic["event_code"],
        "data": {"diagnosis": "confidential"},
    }
    sent = {**world.auth(), "content-type": "application/cloudevents+json", **headers}
    return await world.call("POST", "/", event, headers=sent)


@pytest.mark.parametrize(
    ("value", "audited"), [("true", True), ("TRUE", True), ("false", False), ("", False), ("yes", False)]
)
async def test_which_events(tmp_path: Path, value: str, audited: bool) -> None:
    """Those whose header says `true`; the delivered event has the attribute then, and only then."""
    async with subscribed(tmp_path) as (world, topic):
        assert (await publish(world, topic, "e1", **{"x-event-phidata": value})).status == 200
        records = (await world.call("GET", PATH)).json()["records"]
        [registration] = (await world.call("GET", "/events/1001/2001/3001/registrations")).json()["_embedded"][
            "registrations"
        ]
        page = await world.call("GET", registration["_links"]["rel:events"]["href"].removeprefix(BASE))
        [entry] = page.json()["events"]

        assert [each["id"] for each in records] == (["e1"] if audited else [])
        assert entry["event"].get("phidata") == (True if audited else None)
        if audited:
            assert (
                records[0].items()
                >= {
                    "outcome": "received",
                    "status": None,
                    "registration_id": None,
                    "event_id": entry["event"]["eventid"],
                    "provider_id": topic["provider_id"],
                    "event_code": topic["event_code"],
                }.items()
            )
            assert "confidential" not in str(records)


async def test_pages_and_times(tmp_path: Path) -> None:
    """`limit` and `next` lead through it; `from` is included, `to` is not."""
    async with subscribed(tmp_path) as (world, topic):
        for number in range(5):
            await publish(world, topic, str(number), **{"x-event-phidata": "true"})
            world.parts.clock.advance(60_000)  # type: ignore[attr-defined]
        found, after = [], 0
        while after is not None:
            page = (await world.call("GET", f"{PATH}?limit=2&after={after}")).json()
            found += page["records"]
            after = page["next"]
        times = [each["time"] for each in found]
        within = (await world.call("GET", f"{PATH}?from={times[1]}&to={times[3]}")).json()

        assert [each["id"] for each in found] == list("01234")
        assert [each["id"] for each in within["records"]] == ["1", "2"]


@pytest.mark.parametrize("query", ["from=yesterday", "to=1", "after=-1", "limit=ten"])
async def test_refusals(tmp_path: Path, query: str) -> None:
    """Parameters that cannot be read are named."""
    async with running(tmp_path) as world:
        answer = await world.call("GET", f"{PATH}?{query}")
        assert (answer.status, answer.json()["reason"]) == (400, "invalid_parameter")
        assert answer.json()["message"].startswith(query.partition("=")[0])


async def test_kept_for_a_year(tmp_path: Path) -> None:
    """Upkeep drops what is older, and nothing else."""
    async with subscribed(tmp_path) as (world, topic):
        upkeep = Upkeep(world.store, world.parts.clock, world.parts.config)
        await publish(world, topic, "old", **{"x-event-phidata": "true"})
        world.parts.clock.advance(YEAR_MS - 1)  # type: ignore[attr-defined]
        await publish(world, topic, "new", **{"x-event-phidata": "true"})
        await upkeep.step()
        assert {each["id"] for each in (await world.call("GET", PATH)).json()["records"]} == {"old", "new"}
        world.parts.clock.advance(2)  # type: ignore[attr-defined]
        await upkeep.step()
        received = [
            each["id"] for each in (await world.call("GET", PATH)).json()["records"] if each["outcome"] == "received"
        ]
        assert received == ["new"]
