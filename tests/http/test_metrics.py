"""GET /metrics, and the age of what is undelivered in a registration's health."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from eventmill import __version__
from eventmill.clock import Clock, VirtualClock
from eventmill.config import Config
from eventmill.errors import StoreUnavailable
from eventmill.store.base import Store
from eventmill.store.observe import Backlog
from eventmill.store.sqlite.store import SqliteStore
from eventmill.web.metrics import METRICS
from eventmill.web.vitals import build_vitals_app
from tests.http.client import Answer, call
from tests.http.delivery import REGISTRATIONS, delivering
from tests.http.world import World, running

pytestmark = pytest.mark.anyio

SERIES = re.compile(r'([a-z_]+)(?:\{([a-z_]+)="([^"\\]+)"\})? (\S+)')
OLDEST = "eventmill_oldest_undelivered_age_seconds"
OLDEST_OF = "eventmill_registration_oldest_undelivered_age_seconds"


async def scrape(world: World, **headers: str) -> dict[tuple[str, str], float]:
    """Values by name and label; every line that is no comment is one of them, and every name is announced."""
    return read_series(await world.call("GET", "/metrics", headers=headers))


def read_series(answer: Answer) -> dict[tuple[str, str], float]:
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
    """All that the table has for this store and nothing else, and no organization's name among the labels."""
    async with running(tmp_path) as world:
        answer = await world.call("GET", "/metrics", headers={})
        found = await scrape(world)
    names = {name for name, _ in found} | {OLDEST_OF}
    other = "eventmill_clock_ahead_seconds" if isinstance(world.store, SqliteStore) else "eventmill_disk_free_bytes"
    assert names == {metric.name for metric in METRICS} - {other}
    assert found["eventmill_build_info", __version__] == 1
    assert found["eventmill_ready", ""] == 1
    assert found.get(("eventmill_disk_free_bytes", ""), 1) > 0
    assert "AdobeOrg" not in answer.body.decode()
    assert dict(answer.headers)["content-type"].startswith("text/plain; version=0.0.4")


class Away:
    """The store as a node sees it that has lost its database: it knows its own counts, and no more."""

    def __init__(self, store: Store) -> None:
        self.refusal = store.refusal
        self.totals = store.totals
        self.clock_ahead_ms = store.clock_ahead_ms
        self.clock_doubt = store.clock_doubt

    async def backlog(self, _limit: int) -> Backlog:
        raise StoreUnavailable("the database cannot be reached")


@dataclass(frozen=True)
class OfNode:
    """What a node says of itself."""

    config: Config
    store: Away
    clock: Clock
    unready: Callable[[], str | None]
    placing: None = None


async def test_an_outage_of_the_database_is_told(tmp_path: Path) -> None:
    """The scrape succeeds while the store cannot be asked: not ready, the node's own counts, and nothing made up."""
    async with running(tmp_path) as world:
        await world.publish(await world.topic())
        parts = world.parts
        away = OfNode(parts.config, Away(world.store), parts.clock, parts.unready)
        answer = await call(build_vitals_app(away), "GET", "/metrics", headers={})
        found = read_series(answer)
    assert found["eventmill_build_info", __version__] == 1
    assert found["eventmill_ready", ""] == 0
    assert ("eventmill_published_events_total", "") in found
    assert not {name for name, _ in found} & {metric.name for metric in METRICS if metric.of == "store"}


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
