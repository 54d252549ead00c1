"""A gateway whose database is killed and started again while events are published and delivered: refusals while it is
away, and afterwards everything goes on without a restart of the gateway."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.gateway import Answer, call
from tests.e2e.harness.cluster import running_cluster
from tests.e2e.harness.hook import Hook
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.tenant import Tenant, Topic, event_bytes
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

_PUBLISHERS = 4
_DATA = b'{"sku":"A1"}'


class Publishers:
    """Each sends one event after the other, each event until it is accepted."""

    def __init__(self, tenant: Tenant, topic: Topic) -> None:
        self._tenant = tenant
        self._topic = topic
        self.accepted: list[str] = []
        self.refused: set[int] = set()
        """Statuses other than 200."""
        self.going = True
        self.longest_gap_s = 0.0
        self._last_s = time.monotonic()

    async def publish(self, name: int) -> None:
        number = 0
        while self.going:
            number += 1
            event_id = f"{name}-{number}"
            answer = await self._tenant.post_event(event_bytes(self._topic, event_id, _DATA))
            if answer.status == 200:
                self.accepted.append(event_id)
                self.longest_gap_s = max(self.longest_gap_s, time.monotonic() - self._last_s)
                self._last_s = time.monotonic()
            else:
                self.refused.add(answer.status)
                await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_the_database_is_killed_and_started(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """While it is away the gateway says so on `/readyz`, refuses publishes and management calls with 503 and when to
    come again, and lives on; when it is back, publishing and delivering go on, every accepted event is delivered and in
    the journal once."""
    with running_cluster(tmp_path, 1, variables={"EVENTMILL_DELIVERY_PROCESSES": "1"}) as (cluster, server):
        url = cluster.urls[0]
        async with Client(cluster.nodes[0].port) as client, Hook() as hook:
            tenant = Tenant(client, cluster.env())
            topic = await tenant.topic()
            registration = await tenant.register(topic, url=hook.url)
            publishers = Publishers(tenant, topic)
            tasks = [asyncio.create_task(publishers.publish(name)) for name in range(_PUBLISHERS)]
            await eventually(lambda: len(hook.posts) > 50, "events are delivered")
            await asyncio.to_thread(server.kill)
            await check_refusals(tenant, url)
            before = len(publishers.accepted)
            server.start()  # by this thread: it ends with the one that starts it
            started_s = time.monotonic()
            await eventually(lambda: len(publishers.accepted) > before + 50, "events are accepted again")
            record_property("seconds from the database's start to publishing", round(time.monotonic() - started_s, 2))
            publishers.going = False
            await asyncio.gather(*tasks)
            record_property("seconds without an accepted publish", round(publishers.longest_gap_s, 2))
            assert publishers.refused <= {503}

            def missing() -> set[str]:
                return set(publishers.accepted) - {json.loads(post.body)["id"] for post in hook.posts}

            await eventually(lambda: not missing(), "every accepted event is delivered", 60)
            assert call("GET", f"{url}/readyz").status == 200
            in_journal = Counter(await tenant.journal_ids(registration))
            assert set(publishers.accepted) <= set(in_journal)
            assert cluster.is_running(0)


async def check_refusals(tenant: Tenant, url: str) -> None:
    """What callers see while the database is away."""

    async def unready() -> Answer | None:
        answer = await asyncio.to_thread(call, "GET", f"{url}/readyz")
        return answer if answer.status == 503 else None

    answer = await eventually(unready, "the gateway is not ready")
    assert "database" in answer.json()["message"]
    assert (await asyncio.to_thread(call, "GET", f"{url}/healthz")).status == 200
    metrics = await asyncio.to_thread(call, "GET", f"{url}/metrics")
    assert metrics.status == 200 and b"\neventmill_ready 0\n" in metrics.body
    for refused in (
        await tenant.call("GET", f"{tenant.workspace}/registrations"),
        await tenant.call("POST", f"{tenant.workspace}/providers", {"label": "Warehouse"}),
        await tenant.post_event(b"{}"),
    ):
        assert refused.status == 503, refused
        assert refused.header("retry-after")
        assert refused.json()["reason"] == "store_unavailable"
