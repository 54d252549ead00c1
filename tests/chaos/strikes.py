"""What is done to a cluster under load. Each strike ends with everything running again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

import asyncpg

from tests.chaos.relay import Relay
from tests.e2e.harness.cluster import Cluster
from tests.e2e.harness.database import DATABASE, DatabaseServer

KILL_EVERY_S = 2.0
TERMINATE_EVERY_S = 0.2
_START_TRIES = 10


class Nodes:
    """Kills nodes and brings them back, several at a time if need be."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        self._cluster = cluster
        self._chance = chance
        self._starting: dict[int, asyncio.Task[None]] = {}
        self.kills = 0
        self.failed_starts: list[str] = []
        """Ends of the logs of nodes that could not start."""

    async def kill_for(self, length_s: float) -> None:
        """SIGKILL to a random node every two seconds, but never to the last one; each is started again at once."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + length_s
        while loop.time() < end_s:
            up = [number for number in range(len(self._cluster.nodes)) if number not in self._starting]
            if len(up) > 1:
                self.kill(self._chance.choice(up))
            await asyncio.sleep(KILL_EVERY_S)
        await self.until_all_run()

    def kill(self, number: int) -> None:
        """And start it again; `until_all_run` waits for that."""
        self._cluster.kill(number)
        self.kills += 1
        self._starting[number] = asyncio.create_task(self._start(number))

    async def until_all_run(self) -> None:
        while self._starting:
            await asyncio.gather(*self._starting.values())

    async def close(self) -> None:
        """No start is under way any more."""
        await asyncio.gather(*self._starting.values(), return_exceptions=True)

    async def _start(self, number: int) -> None:
        for _ in range(_START_TRIES):
            try:
                await asyncio.to_thread(self._cluster.start, number)
            except AssertionError as error:
                self.failed_starts.append(str(error))
                self._cluster.nodes[number].close()
            else:
                break
        else:
            raise AssertionError(f"node {number} does not start: {self.failed_starts[-1]}")
        del self._starting[number]


async def pause(cluster: Cluster, number: int, length_s: float) -> None:
    """The node stands still for so long and does not know it afterwards."""
    cluster.pause(number)
    try:
        await asyncio.sleep(length_s)
    finally:
        cluster.resume(number)


async def terminate_connections(server: DatabaseServer, length_s: float, chance: random.Random) -> int:
    """Ends a random connection of the gateway's again and again, whatever it is at; returns how many."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + length_s
    ended = 0
    connection = await asyncpg.connect(server.dsn)
    try:
        while loop.time() < end_s:
            query = "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid() ORDER BY pid"
            found = [row["pid"] for row in await connection.fetch(query, DATABASE)]
            if found:
                ended += await connection.fetchval("SELECT pg_terminate_backend($1)", chance.choice(found))
            await asyncio.sleep(TERMINATE_EVERY_S)
    finally:
        await connection.close()
    return ended


class Way(Protocol):
    """Between a node and the database."""

    def cut(self) -> AbstractContextManager[None]:
        """Nothing passes meanwhile."""


async def cut_off(ways: Sequence[Way], length_s: float) -> None:
    """Nothing passes between a node and the database for so long."""
    with ExitStack() as stack:
        for way in ways:
            stack.enter_context(way.cut())
        await asyncio.sleep(length_s)


async def drop_commits(ways: Sequence[Relay], length_s: float, share: float) -> int:
    """Requests to the database go out, answers do not come back; returns how many connections ended so."""
    before = sum(way.dropped for way in ways)
    with ExitStack() as stack:
        for way in ways:
            stack.enter_context(way.dropping(share))
        await asyncio.sleep(length_s)
    return sum(way.dropped for way in ways) - before
