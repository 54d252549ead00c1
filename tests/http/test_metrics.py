"""GET /metrics, and the age of what is undelivered in a registration's health."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eventmill import __version__
from eventmill.clock import VirtualClock
from eventmill.web.metrics import METRICS
from tests.http.delivery import REGISTRATIONS, delivering
from tests.http.world import World, running

pytestmark = pytest.mark.anyio

SERIES = re.compile(r'([a-z_]+)(?:\{([a-z_]+)="([^"\\]+)"\})? (\S+)')
OLDEST = "eventmill_oldest_undelivered_age_seconds"
OLDEST_OF = "eventmill_registration_oldest_undelivered_age_seconds"


async def scrape(world: World, **headers: str) -> dict[tuple[str, str], float]:
    """Values by name and label; every line that is no comment is one of them, and every name is announced."""
    answer = await world.call("GET", "/metrics", headers=headers)
    assert answer.status == 200
    found: dict[tuple[str, str], float] = {}
    announced = ""
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            announced = line.split()[2]
        if not line.startswith("#"):
            match = SERIES.fullmatch(line)
            assert match is not None, line
            assert match[1] == announced
            found[match[1], match[3] or ""] = float(match[4])
    return found


async def shown_age(world: World, registration_id: str) -> float:
    health = await world.call("GET", f"{REGISTRATIONS}/{registration_id}/health")
    age_s: float = health.json()["oldest_undelivered_age_seconds"]
    return age_s


async def test_ages_grow_until_the_event_is_delivered(tmp_path: Path) -> None:
    """Of a registration whose webhook fails, from the first attempt on, in business time; the others are not listed."""
    async with delivering(tmp_path) as delivery:
        world, clock = delivery.world, delivery.world.parts.clock
        assert isinstance(clock, VirtualClock)
        topic = await world.topic()
        failing = await delivery.register(topic, "/fail")
        fine = await delivery.register(topic, "/fine")
        await delivery.register(topic, "/journal", delivery_type="journal")
        before = await scrape(world)
        assert before[OLDEST, ""] == 0
        await world.publish(topic)
        await delivery.deliver.quiesce()
        clock.advance(3_600_000)
        found = await scrape(world)
        reg = failing["registration_id"]
        assert [label for name, label in found if name == OLDEST_OF] == [reg]
        assert 3600 <= found[OLDEST, ""] == found[OLDEST_OF, reg] < 3700
        assert 3600 <= await shown_age(world, reg) < 3700
        assert await shown_age(world, fine["registration_id"]) == 0
        assert found["eventmill_retry_units", ""] == 1
        assert found["eventmill_published_events_total", ""] == 1
        assert found["eventmill_delivery_attempts_total", "succeeded"] == 1
        assert found["eventmill_delivery_attempts_total", "failed"] == 1


async def test_every_metric_is_there(tmp_path: Path) -> None:
    """All that the table has and nothing else, and no organization's name among the labels."""
    async with running(tmp_path) as world:
        answer = await world.call("GET", "/metrics", headers={})
        found = await scrape(world)
    names = {name for name, _ in found} | {OLDEST_OF}
    assert names == {metric.name for metric in METRICS}
    assert found["eventmill_build_info", __version__] == 1
    assert found["eventmill_ready", ""] == 1
    assert found["eventmill_disk_free_bytes", ""] > 0
    assert "AdobeOrg" not in answer.body.decode()
    assert dict(answer.headers)["content-type"].startswith("text/plain; version=0.0.4")


async def test_only_the_worst_are_listed(tmp_path: Path) -> None:
    """As many as the setting says."""
    async with delivering(tmp_path, metrics_registrations_max=2) as delivery:
        topic = await delivery.world.topic()
        for number in range(4):
            await delivery.register(topic, f"/fail-{number}")
        await delivery.world.publish(topic)
        await delivery.deliver.quiesce()
        found = await scrape(delivery.world)
    assert len([name for name, _ in found if name == OLDEST_OF]) == 2
    assert found["eventmill_retry_units", ""] == 4


async def test_token_is_asked_for_where_one_is_set(tmp_path: Path) -> None:
    """That one, not a caller's."""
    async with running(tmp_path, metrics_token="scraper-secret") as world:
        none = await world.call("GET", "/metrics", headers={})
        callers = await world.call("GET", "/metrics")
        wrong = await world.call("GET", "/metrics", headers={"authorization": "Bearer scraper-secre"})
        assert await scrape(world, authorization="Bearer scraper-secret")
    assert [(each.status, each.json()["reason"]) for each in (none, callers, wrong)] == [
        (401, "missing_token"),
        (401, "invalid_token"),
        (401, "invalid_token"),
    ]
