"""SIGKILL during a replay: nothing is lost, and what comes twice is no more than after any other kill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.ledger import Ledger, Publishers, recording_hook
from tests.e2e.harness.tenant import Tenant
from tests.e2e.test_crash import check_repetitions, start_production
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

MISSED = 1500
"""Several windows of a replay."""
KILL_AFTER = (100, 700)


@pytest.mark.slow
async def test_all_processes_killed_during_a_replay(
    start_gateway: StartGateway, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Everything that passed while the registration was disabled arrives, through two kills, by one replay that counts
    each event once; nothing arrives before it is asked for."""
    gateway = await asyncio.to_thread(start_production, start_gateway, tmp_path)
    env = await asyncio.to_thread(gateway.env)
    ledger = Ledger()
    killed_s: list[float] = []
    loop = asyncio.get_running_loop()
    async with Client(gateway.port) as client, recording_hook(ledger) as hook, asyncio.TaskGroup() as owner:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.update(registration, enabled=False)
        publishers = Publishers(tenant, topic)
        publishing = owner.create_task(publishers.run())
        await publishers.strike_after(MISSED, publishers.stop)
        await publishing
        await tenant.update(registration, enabled=True)
        assert not ledger.delivered

        def kill() -> None:
            killed_s.append(loop.time())
            gateway.kill()

        created = await tenant.call("POST", f"{registration.link('self')}/replays", {})
        assert created.status == 201, created.body
        for count in KILL_AFTER:
            await ledger.strike_after(count, kill)
            await asyncio.to_thread(gateway.start)
        await eventually(lambda: publishers.acknowledged <= set(ledger.delivered), "every delivery", 60)

        async def finished() -> Any:
            replay = (await tenant.call("GET", created.json()["_links"]["self"]["href"])).json()
            return replay if replay["state"] == "done" and replay["delivered"] >= replay["total"] else None

        replay = await eventually(finished, "the replay is done", 20)

    assert (replay["handed"], replay["failed"]) == (replay["total"], 0)
    assert replay["total"] >= len(publishers.acknowledged)
    check_repetitions(ledger, killed_s, record_property)
