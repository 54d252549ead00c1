"""A cluster, its load and what came of it: everything that a run of strikes needs, set up and taken down."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.cables import Cable, cables
from tests.chaos.cursors import watch_cursors, wrong_moves
from tests.chaos.load import Load
from tests.chaos.relay import Relay, relays
from tests.chaos.strikes import Nodes
from tests.e2e.harness.cluster import Cluster, primary_and_standby
from tests.e2e.harness.database import DATABASE, DatabaseServer
from tests.e2e.harness.history import Verdict, check

NODES = 3
LEASE_S = 15.0
"""A node that is silent for so long has lost its slots. The gateway's default."""


@dataclass
class Trial:
    """What strikes may use."""

    cluster: Cluster
    nodes: Nodes
    load: Load
    primary: DatabaseServer
    standby: DatabaseServer
    ways: Sequence[Sequence[Relay | Cable]]
    """Of each node to the database."""
    chance: random.Random
    relays: Sequence[Sequence[Relay]] = field(default_factory=tuple)
    """The ways, if they are relays: those to the primary first."""
    wrong_moves: Sequence[str] = ()
    """Of cursors, by the end."""

    async def fail_over(self, after_s: float) -> None:
        """The primary is gone at once; somebody notices after a while and promotes the standby."""
        self.primary.kill()
        await asyncio.sleep(after_s)
        await self.standby.promote()
        self.primary = self.standby

    async def end(self, within_s: float) -> Verdict:
        """Publishing ends, everything is delivered and read."""
        await self.load.end()
        await self.load.settle(within_s)
        self.wrong_moves = await wrong_moves(self.primary, self.cluster.nodes, self.ways)
        return check(self.load.history)

    @property
    def answers(self) -> str:
        """How many of which; 0: none came."""
        return ", ".join(f"{count} x {status}" for status, count in sorted(self.load.answers.items()))


@asynccontextmanager
async def trial(directory: Path, seed: int, *, lease_s: float = LEASE_S) -> AsyncIterator[Trial]:
    """Three nodes under load, over a primary that commits on its standby. Each node has relays of its own to both."""
    chance = random.Random(seed)
    with primary_and_standby() as (primary, standby):
        async with relays(NODES, (primary.port, standby.port), chance) as ways:
            stores = [_store(f"127.0.0.1:{way.port}" for way in some) for some in ways]
            cluster = Cluster(directory, stores, variables={"EVENTMILL_LEASE_TTL_S": str(lease_s)})
            async with _under_load(cluster, primary, chance) as (nodes, load):
                yield Trial(cluster, nodes, load, primary, standby, ways, chance, ways)


@asynccontextmanager
async def trial_with_cables(directory: Path, seed: int) -> AsyncIterator[Trial]:
    """As `trial`, with the database in a network namespace, and a cable from there to each node. Needs root."""
    chance = random.Random(seed)
    with cables(NODES) as (place, laid), primary_and_standby(place) as (primary, standby):
        ports = (primary.port, standby.port)
        cluster = Cluster(directory, [_store(f"{cable.host}:{port}" for port in ports) for cable in laid])
        async with _under_load(cluster, primary, chance) as (nodes, load):
            yield Trial(cluster, nodes, load, primary, standby, [[cable] for cable in laid], chance)


@asynccontextmanager
async def _under_load(
    cluster: Cluster, primary: DatabaseServer, chance: random.Random
) -> AsyncIterator[tuple[Nodes, Load]]:
    nodes = Nodes(cluster, chance)
    try:
        await asyncio.to_thread(cluster.start_all)
        await watch_cursors(primary)
        async with Load(cluster, chance) as load:
            yield nodes, load
    finally:
        await nodes.close()
        cluster.close()


def _store(addresses: Iterable[str]) -> str:
    return f"postgresql://gateway@{','.join(addresses)}/{DATABASE}?target_session_attrs=primary"
