"""What a registration call answered with 201, 200 or 204 is obeyed by the publish sent right after, every time.

Front and delivery run as processes apart; 500 rounds in short form, 10,000 in full (`EVENTMILL_E2E=full`), by several
workers at once, each with a provider of its own, so that the changes of one meet the publishing of the others.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.harness.hook import Hook
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.process import first_delivery_pids, frozen
from tests.e2e.harness.production import NO_LIMITS, OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Registration, Tenant, Topic, event_bytes
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

ROUNDS = 10_000 if os.environ.get("EVENTMILL_E2E") == "full" else 500
WORKERS = 4


class Worker:
    """Owns a provider, a registration that is changed again and again, and knows where each event may arrive."""

    def __init__(self, name: str, tenant: Tenant, hook: Hook, topic: Topic, changed: Registration) -> None:
        self.name = name
        self.tenant = tenant
        self.hook = hook
        self.topic = topic
        self.changed = changed
        self.rounds = 0
        self.expected: dict[str, set[str]] = {}
        """Paths at which an event must arrive, by its id."""
        self.filtered: set[str] = set()
        """Events that a filter keeps from the registration's journal, too."""

    async def run(self, rounds: int, chance: random.Random) -> None:
        kinds: list[Callable[[], Awaitable[None]]] = [
            *(self.journal_round, self.webhook_round, self.fresh_round),
            *(self.url_round, self.disabled_round, self.flapping_round, self.filter_round),
        ]
        for self.rounds in range(rounds):
            await chance.choice(kinds)()

    def path(self) -> str:
        """A new address for this round."""
        return f"/{self.name}/{self.rounds}"

    def current_path(self) -> str:
        return str(self.changed.body["webhook_url"]).removeprefix(self.hook.url)

    async def publish(self, *paths: str) -> str:
        """Publish an event that must arrive at these paths and nowhere else, and wait until it did; returns its id."""
        event_id = f"{self.name}-{len(self.expected)}"
        self.expected[event_id] = set(paths)
        await self.tenant.publish(self.topic, event_id)
        await self.hook.until(lambda: all(event_id in self.arrived(path) for path in paths))
        return event_id

    def arrived(self, path: str) -> set[str]:
        """Ids of the events that came there."""
        return {json.loads(post.body)["id"] for post in self.hook.posts_at(path)}

    async def journal_round(self) -> None:
        """A journal registration has what was published after its 201, and after its 204 nothing goes to it."""
        topic = await self.tenant.event_code(self.topic.provider_id, f"com.acme.round-{self.rounds}")
        registration = await self.tenant.register(topic)
        event_id = await self.tenant.publish(topic)
        assert await self.tenant.journal_ids(registration) == [event_id]
        await self.tenant.delete(registration)
        answer = await self.tenant.post_event(event_bytes(topic, "too-late", b"{}"))
        assert answer.status == 204, answer

    async def webhook_round(self) -> None:
        """A new webhook receives the event published after its 201, and none published after its 204."""
        path = self.path()
        current = self.current_path()
        registration = await self.tenant.register(self.topic, url=self.hook.url + path)
        await self.publish(current, path)
        await self.tenant.delete(registration)
        await self.publish(current)

    async def fresh_round(self) -> None:
        """A webhook that is changed as soon as it was made receives at its second address only."""
        path = self.path()
        registration = await self.tenant.register(self.topic, url=f"{self.hook.url}{path}/first")
        await self.tenant.update(registration, webhook_url=self.hook.url + path)
        await self.publish(self.current_path(), path)
        await self.tenant.delete(registration)

    async def url_round(self) -> None:
        """After the 200 of a PUT with another URL the event arrives there and not at the old one."""
        path = self.path()
        self.changed = await self.tenant.update(self.changed, webhook_url=self.hook.url + path)
        await self.publish(path)

    async def disabled_round(self) -> None:
        """After the 200 that disables, events are journaled and not pushed; after the 200 that enables, pushed."""
        path = self.path()
        await self.tenant.update(self.changed, enabled=False)
        await self.publish()
        self.changed = await self.tenant.update(self.changed, enabled=True, webhook_url=self.hook.url + path)
        await self.publish(path)

    async def flapping_round(self) -> None:
        """Enabled for a moment without an event between two times of being disabled: neither time is pushed."""
        path = self.path()
        for _ in range(2):
            await self.tenant.update(self.changed, enabled=False)
            await self.publish()
            self.changed = await self.tenant.update(self.changed, enabled=True, webhook_url=self.hook.url + path)
        await self.publish(path)

    async def filter_round(self) -> None:
        """A filter keeps back what is published after its 201, is another one after the 200 that replaces it, and none
        after its 204."""
        filters = f"{self.changed.link('self')}/filters"
        made = await self.tenant.call("POST", filters, self.wanted(after=1))
        assert made.status == 201, made.body
        self.filtered.add(await self.publish())
        await self.publish(self.current_path())
        path = f"{filters}/{made.json()['id']}"
        replaced = await self.tenant.call("PUT", path, self.wanted(after=1))
        assert replaced.status == 200, replaced.body
        self.filtered.add(await self.publish())
        await self.publish(self.current_path())
        deleted = await self.tenant.call("DELETE", path)
        assert deleted.status == 204, deleted.body
        await self.publish(self.current_path())

    def wanted(self, after: int) -> dict[str, str]:
        """A filter for one of the next events only: the one that so many come before."""
        event_id = f"{self.name}-{len(self.expected) + after}"
        return {"name": f"Only {event_id}", "subscriber_filter": json.dumps({"id": [event_id]})}


@pytest.mark.slow
async def test_changes_are_obeyed_at_once(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Random rounds of create, change, disable, enable, filter and delete; every event arrives exactly where it had
    to."""
    gateway = await asyncio.to_thread(
        start_gateway, "--bootstrap", str(write_bootstrap(tmp_path)), variables={**OPEN_LOOPBACK, **NO_LIMITS}
    )
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, Hook() as hook:
        tenant = Tenant(client, env)
        workers = []
        for number in range(WORKERS):
            topic = await tenant.topic()
            changed = await tenant.register(topic, url=f"{hook.url}/worker-{number}/first")
            workers.append(Worker(f"worker-{number}", tenant, hook, topic, changed))
        await asyncio.gather(*(worker.run(ROUNDS // WORKERS, random.Random(n)) for n, worker in enumerate(workers)))

        expected = {event_id: paths for worker in workers for event_id, paths in worker.expected.items()}
        arrived: dict[str, list[str]] = {event_id: [] for event_id in expected}
        for post in hook.posts:
            arrived[json.loads(post.body)["id"]].append(post.path)
        assert {event_id: sorted(paths) for event_id, paths in expected.items()} == {
            event_id: sorted(paths) for event_id, paths in arrived.items()
        }
        for worker in workers:
            kept = [event_id for event_id in worker.expected if event_id not in worker.filtered]
            assert await tenant.journal_ids(worker.changed) == kept


async def test_delivery_that_learns_late(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Changes and events that pile up while the delivery process stands still are obeyed in their order afterwards."""
    gateway = await asyncio.to_thread(
        start_gateway, "--bootstrap", str(write_bootstrap(tmp_path)), variables={**OPEN_LOOPBACK, **NO_LIMITS}
    )
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, Hook() as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        flapping = await tenant.register(topic, url=f"{hook.url}/flapping")
        moved = await tenant.register(topic, url=f"{hook.url}/old")
        first = await tenant.publish(topic)
        await hook.until_posts(2)
        with ExitStack() as standing_still:
            for pid in await eventually(lambda: first_delivery_pids(gateway), "the delivery process"):
                standing_still.enter_context(frozen(pid))
            await tenant.update(moved, webhook_url=f"{hook.url}/new")
            await tenant.update(flapping, enabled=False)
            second = await tenant.publish(topic)
            await tenant.update(flapping, enabled=True)
            fresh = await tenant.register(topic, url=f"{hook.url}/fresh")
            passing = await tenant.register(topic, url=f"{hook.url}/passing")
            third = await tenant.publish(topic)
            await tenant.delete(passing)
            await tenant.update(fresh, enabled=False)
            fourth = await tenant.publish(topic)
            await tenant.update(fresh, enabled=True)
            fifth = await tenant.publish(topic)
        await hook.until(lambda: {len(hook.posts_at(f"/{path}")) for path in ("flapping", "new")} == {4})
        await hook.until(lambda: len(hook.posts_at("/fresh")) == 1)

        arrived = {path: sorted(json.loads(post.body)["id"] for post in hook.posts_at(path)) for path in hook.paths}
        assert arrived == {
            "/flapping": sorted([first, third, fourth, fifth]),
            "/old": [first],
            "/new": sorted([second, third, fourth, fifth]),
            "/fresh": [fifth],
        }
