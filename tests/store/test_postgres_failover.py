"""One node over a primary with a synchronous standby: the primary dies in the middle of it all, the standby takes over,
and the node goes there by itself with nothing lost."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import asyncpg
import pytest

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.errors import StoreUnavailable
from eventmill.store.postgres.connect import Hosts, connect, each_host
from eventmill.store.postgres.leases import Terms
from eventmill.store.postgres.store import PostgresStore
from eventmill.store.work import SLOTS
from tests.e2e.harness.cluster import host_list, primary_and_standby
from tests.store.builders import commit, event, journal, open_lane, positions, progress, tried
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

_PUBLISHERS = 8


class Load:
    """Publishers that send each event until it is acknowledged, and one lane's progress beside them."""

    def __init__(self, store: PostgresStore, lane: int) -> None:
        self._store = store
        self._lane = lane
        self.acknowledged: set[bytes] = set()
        self.answers_s: list[float] = []
        """When each acknowledgement came."""
        self.settled = 0
        self.going = True

    async def publish(self, name: int) -> None:
        number = 0
        while self.going:
            number += 1
            event_id = name.to_bytes(8, "big") + number.to_bytes(8, "big")
            try:
                await self._store.append_durable([event([self._lane], 1 << 40, event_id=event_id)])
            except StoreUnavailable:  # it may have been stored or not; the next one is another event
                await asyncio.sleep(0.05)
            else:
                self.acknowledged.add(event_id)
                self.answers_s.append(time.monotonic())

    async def settle(self) -> None:
        while self.going:
            if await commit(self._store, progress(self._lane, counts=(tried(1, 0),))) == frozenset():
                self.settled += 1
            await asyncio.sleep(0.02)


async def test_the_standby_takes_over(record_property: Callable[[str, object], None]) -> None:
    """Every acknowledged event is in the journal of the new primary, once, in order, and each piece of progress counted
    once; the node's slots are its own again. Shown: the longest time without an acknowledged publish."""
    with primary_and_standby() as (primary, standby):
        config = Config(dev=True, store=host_list(primary, standby))
        store = PostgresStore(config, SystemClock(), delivers=True, terms=Terms(ttl_s=6, renew_s=0.5, margin_s=2))
        await store.open()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(store.close)
            lane = await open_lane(store)
            load = Load(store, lane)
            tasks = [asyncio.create_task(load.publish(name)) for name in range(_PUBLISHERS)]
            tasks.append(asyncio.create_task(load.settle()))
            await eventually(lambda: len(load.acknowledged) > 100 and load.settled > 5, "all goes well")
            await asyncio.to_thread(primary.kill)
            killed_s = time.monotonic()
            await standby.execute("ALTER SYSTEM SET synchronous_standby_names = ''", "postgres")
            await standby.promote()
            record_property("seconds until the standby was promoted", round(time.monotonic() - killed_s, 2))
            before, settled = len(load.acknowledged), load.settled

            async def goes_on() -> bool:
                progressed = len(load.acknowledged) > before + 100 and load.settled > settled + 5
                return progressed and len(await store.leases()) == SLOTS

            await eventually(goes_on, "all goes on")
            load.going = False
            await asyncio.gather(*tasks)
            gaps = [after - at for at, after in zip(load.answers_s, load.answers_s[1:], strict=False)]
            record_property("seconds without an acknowledged publish", round(max(gaps), 2))
            stored = [each.event_id for each in await journal(store, lane)]
            assert len(stored) == len(set(stored))
            assert load.acknowledged <= set(stored)
            assert await positions(store, lane) == list(range(1, len(stored) + 1))
            assert await store.counts(lane, 0) == (load.settled, 0)


@pytest.mark.slow
async def test_the_primary_is_found() -> None:
    """Wherever it stands in the list; and while there is none, that is what is said."""
    with primary_and_standby() as (primary, standby):
        dsn = host_list(standby, primary)
        connection = await connect(dsn)
        assert not await connection.fetchval("SELECT pg_is_in_recovery()")
        await connection.close()
        primary.kill()
        with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
            await connect(dsn)


async def test_a_silent_host_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes connections and never answers, as a machine does that stands still: the next one is asked beside
    it, long before it is given up; and first from then on. Nothing is left of the question to the silent one."""
    monkeypatch.setattr("eventmill.store.postgres.connect.CONNECT_S", 600.0)
    with primary_and_standby() as (primary, standby), socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        hosts = Hosts(host_list(standby, primary).replace("@", f"@{address},"))
        for _ in range(2):
            connection = await hosts.connect()
            assert not await connection.fetchval("SELECT pg_is_in_recovery()")
            await connection.close()
        asked, _ = await asyncio.to_thread(silent.accept)
        with asked:
            asked.settimeout(30)
            while await asyncio.to_thread(asked.recv, 1024):
                pass
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_hosts_of_a_dsn() -> None:
    """A list of hosts becomes a DSN for each; what names one host, or its hosts elsewhere, is left as it is."""
    assert each_host("postgresql://u:p%40@h1:1,h2/d?sslmode=require") == [
        "postgresql://u:p%40@h1:1/d?sslmode=require",
        "postgresql://u:p%40@h2/d?sslmode=require",
    ]
    for dsn in ("postgresql://h/d", "postgresql://u@/d?host=/a,/b", "postgresql://h1,h2/d?port=1,2"):
        assert each_host(dsn) == [dsn]
