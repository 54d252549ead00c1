"""SIGKILL at any moment: nothing acknowledged is lost, and little is delivered twice.

In full (`EVENTMILL_E2E=full`) all processes are killed 20 times, in short form twice. The moments are seeded counts: of
deliveries, when all is in full swing, or of acknowledgements shortly after the restart, when recovery is just over.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.engines import NODES
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.ledger import Ledger, Publishers, recording_hook
from tests.e2e.harness.process import delivery_pids
from tests.e2e.harness.production import NO_LIMITS, OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Registration, Tenant
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

FULL = os.environ.get("EVENTMILL_E2E") == "full"
KILLS = 20 if FULL else 2
CHILD_KILLS = 5 if FULL else 1
LANE_WINDOW = 16
"""Attempts under way at once per registration, the gateway's default."""
CHECKPOINT_S = 0.1
"""The checkpoint interval, the gateway's default: it starts when the commit before it has ended."""
COMMITS_S = 0.4
"""What the commits themselves, before and after an interval, may take while publishing keeps both cores busy."""
ALL_DELIVERED_WITHIN_S = 600.0 if FULL else 120.0


def start_production(start_gateway: StartGateway, directory: Path) -> Gateway:
    return start_gateway("--bootstrap", str(write_bootstrap(directory)), variables={**OPEN_LOOPBACK, **NO_LIMITS})


async def assert_all_there(tenant: Tenant, journal: Registration, acknowledged: set[str], ledger: Ledger) -> None:
    """Every acknowledged event is in the journal once, and delivered; nothing is in the journal twice."""
    await eventually(lambda: acknowledged <= set(ledger.delivered), "every delivery", ALL_DELIVERED_WITHIN_S)
    in_journal = Counter(await tenant.journal_ids(journal))
    assert acknowledged <= set(in_journal)
    assert set(in_journal.values()) == {1}
    assert set(ledger.delivered) <= set(in_journal)


async def until_started(gateway: Gateway, count: int) -> None:
    """Wait until so many delivery processes were started in all."""
    await eventually(lambda: len(delivery_pids(gateway)) == count, f"{count} starts of a delivery process")


def check_repetitions(ledger: Ledger, killed_s: list[float], note: Callable[[str, object], None]) -> None:
    """What a kill made come twice is at most what was under way and what one checkpoint interval had delivered."""
    exact = ledger.kills(killed_s, CHECKPOINT_S)
    kills = ledger.kills(killed_s, CHECKPOINT_S + COMMITS_S)
    note("deliveries in all", len(ledger.deliveries))
    note("repeated per kill", [kill.repeated for kill in kills])
    note("in flight + delivered within one checkpoint interval", [LANE_WINDOW + kill.recent for kill in exact])
    note("allowed per kill", [LANE_WINDOW + kill.recent for kill in kills])
    for kill in kills:
        assert kill.repeated <= LANE_WINDOW + kill.recent


async def test_all_processes_killed(
    start_gateway: StartGateway, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Publishing at full speed to a webhook and a journal, front and delivery killed together again and again."""
    chance = random.Random(20)
    gateway = await asyncio.to_thread(start_production, start_gateway, tmp_path)
    env = await asyncio.to_thread(gateway.env)
    ledger = Ledger()
    killed_s: list[float] = []
    loop = asyncio.get_running_loop()
    async with Client(gateway.port) as client, recording_hook(ledger) as hook, asyncio.TaskGroup() as owner:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        journal = await tenant.register(topic)
        await tenant.register(topic, url=f"{hook.url}/hook")
        publishers = Publishers(tenant, topic)
        publishing = owner.create_task(publishers.run())

        def kill() -> None:
            publishers.gateway_down()
            killed_s.append(loop.time())  # nothing is received until all processes are gone
            gateway.kill()

        for number in range(KILLS):
            if number % 2 == 0:
                await ledger.strike_after(chance.randrange(50, 250), kill)
            else:
                await publishers.strike_after(chance.randrange(1, 200), kill)
            await asyncio.to_thread(gateway.start)
            publishers.gateway_up()
        await publishers.strike_after(100, publishers.stop)
        await publishing
        await assert_all_there(tenant, journal, publishers.acknowledged, ledger)

    check_repetitions(ledger, killed_s, record_property)


async def test_delivery_process_killed(
    start_gateway: StartGateway, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A delivery process that dies alone is replaced, publishing goes on without a refusal, and nothing is lost."""
    chance = random.Random(21)
    gateway = await asyncio.to_thread(start_production, start_gateway, tmp_path)
    env = await asyncio.to_thread(gateway.env)
    ledger = Ledger()
    killed_s: list[float] = []
    loop = asyncio.get_running_loop()
    async with Client(gateway.port) as client, recording_hook(ledger) as hook, asyncio.TaskGroup() as owner:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        journal = await tenant.register(topic)
        await tenant.register(topic, url=f"{hook.url}/hook")
        publishers = Publishers(tenant, topic)
        publishing = owner.create_task(publishers.run())

        def kill() -> None:
            os.kill(delivery_pids(gateway)[-1], signal.SIGKILL)
            killed_s.append(loop.time())

        await until_started(gateway, NODES)
        for number in range(1, CHILD_KILLS + 1):
            await ledger.strike_after(chance.randrange(50, 250), kill)
            await until_started(gateway, NODES + number)
        publishers.stop()
        await publishing
        await assert_all_there(tenant, journal, publishers.acknowledged, ledger)

    check_repetitions(ledger, killed_s, record_property)


async def test_answered_changes_survive(start_gateway: StartGateway) -> None:
    """What a management call answered is there after a kill at the moment of its answer: created, changed, deleted."""
    gateway = await asyncio.to_thread(start_gateway, "--dev")
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        kept, changed, deleted = [await tenant.register(topic) for _ in range(3)]
        await tenant.delete(deleted)
        changed = await tenant.update(changed, description="another", enabled=False)
        gateway.kill()
        await asyncio.to_thread(gateway.start)

        listed = await tenant.call("GET", f"{tenant.workspace}/registrations")
        assert listed.json()["_embedded"]["registrations"] == [kept.body, changed.body]
        event_id = await tenant.publish(topic)
        assert await tenant.journal_ids(kept) == [event_id]
