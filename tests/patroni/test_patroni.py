"""Two nodes under load on three servers under Patroni, with the configuration of docs/postgresql.md, word for word.

Servers are switched over, killed and come back. Nothing that was acknowledged is lost, and no node is started again.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.chaos.load import Load
from tests.e2e.harness.cluster import Cluster
from tests.e2e.harness.history import check
from tests.e2e.harness.http_client import Client
from tests.patroni.servers import Servers, page_settings, servers
from tests.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

DEFAULTS = {"ttl": 30, "loop_wait": 10, "retry_timeout": 10}
SHORTEST = {"ttl": 20, "loop_wait": 5, "retry_timeout": 5}
"""Patroni takes no shorter `ttl`, and wants it to last for `loop_wait` and two `retry_timeout`."""
GOES_ON_WITHIN_S = 120.0


class Trial(NamedTuple):
    """What may be done to it, and what it said."""

    servers: Servers
    nodes: Cluster
    load: Load
    tell: Callable[[str, object], None]

    async def goes_on(self, events: int = 100) -> None:
        enough = self.load.acknowledged + events
        await eventually(lambda: self.load.acknowledged >= enough, "events are acknowledged", GOES_ON_WITHIN_S)

    async def tell_pause(self, what: str, since_s: float) -> None:
        """The longest time without an acknowledged publish since then."""
        await self.goes_on()
        gaps = check(self.load.history).gaps
        pause_s = max(gap.length_s for gap in gaps if gap.begin_s + gap.length_s > since_s)
        self.tell(f"{what}, seconds without service", round(pause_s, 1))

    async def come_back(self) -> None:
        """Those that were killed, as standbys."""
        for member in self.servers.members:
            if not member.is_running:
                member.start()
        await self.servers.until_calm()


@asynccontextmanager
async def trial(directory: Path, dynamic: dict[str, Any], tell: Callable[[str, object], None]) -> AsyncIterator[Trial]:
    """All is well at the beginning, and again at the end, when everything is delivered and judged."""
    with servers({**page_settings(), **dynamic}) as three:
        nodes = Cluster(directory, [three.dsn] * 2)
        try:
            await three.start()
            await asyncio.to_thread(nodes.start_all)
            async with Load(nodes, random.Random(6)) as load:
                one = Trial(three, nodes, load, tell)
                await one.goes_on()
                yield one
                await load.end()
                await load.settle(60.0)
            verdict = check(load.history)
            tell("in all", str(verdict))
            assert not verdict.faults, f"{verdict}\n{nodes.log_tails()}"
            assert set(load.answers) <= {200, 503, 0}, load.answers
            assert all(nodes.is_running(number) for number in range(2))
        except BaseException:
            logs = [f"--- {member.name}\n{member.log_text()[-4000:]}" for member in three.members]
            sys.stderr.write("\n".join([*logs, nodes.log_tails()]))
            raise
        finally:
            nodes.close()


async def switch_over(one: Trial) -> None:
    since_s = asyncio.get_running_loop().time()
    await asyncio.to_thread(one.servers.switch_over)
    await one.tell_pause("switchover", since_s)
    await one.servers.until_calm()


async def lose_primary(one: Trial) -> None:
    """With commits in its log that no standby has, and that were acknowledged to nobody: it has to be wound back."""
    primary, standbys = one.servers.leader(), one.servers.standbys()
    for member in standbys:
        member.signal(signal.SIGSTOP)
    since_s = asyncio.get_running_loop().time()
    await asyncio.sleep(0.5)
    primary.kill()
    for member in standbys:
        member.signal(signal.SIGCONT)
    await one.tell_pause("primary's machine dies", since_s)
    await one.come_back()
    assert one.servers.leader() is not primary
    assert "running pg_rewind" in primary.log_text()


async def silence_primary(one: Trial) -> None:
    """Its machine stands still and breaks no connection. When it goes on it still believes that it leads."""
    primary = one.servers.leader()
    primary.signal(signal.SIGSTOP)
    await one.tell_pause("primary's machine stands still", asyncio.get_running_loop().time())
    primary.signal(signal.SIGCONT)
    await one.servers.until_calm()
    assert one.servers.leader() is not primary


async def lose_standby(one: Trial) -> None:
    since_s = asyncio.get_running_loop().time()
    one.servers.standbys()[0].kill()
    await one.goes_on(300)
    await one.tell_pause("one standby's machine dies", since_s)
    await one.come_back()


async def lose_standbys(one: Trial) -> None:
    """Nobody confirms what is committed: nothing is acknowledged, and publishers are told so at once after a while."""
    for member in one.servers.standbys():
        member.kill()
    since_s = asyncio.get_running_loop().time()
    for node in one.nodes.nodes:
        async with Client(node.port) as client:

            async def refuses(client: Client = client) -> bool:
                answer = await client.call("GET", "/readyz")
                return answer.status == 503 and b"confirms no commits" in answer.body

            await eventually(refuses, "the node says that it cannot store events")
    seen = len(one.load.history.attempts)
    await eventually(lambda: len(one.load.history.attempts) > seen + 50, "publishes are refused at once")
    assert not [each for each in one.load.history.attempts if each.acknowledged and each.sent_s > since_s]
    first = next(member for member in one.servers.members if not member.is_running)
    back_s = asyncio.get_running_loop().time()
    first.start()
    await one.goes_on(1)
    one.tell("one of two standbys is back, seconds until service", round(asyncio.get_running_loop().time() - back_s, 1))
    await one.come_back()


async def test_page(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Patroni's defaults and what the page adds: everything that it promises."""
    async with trial(tmp_path, DEFAULTS, record_property) as one:
        await switch_over(one)
        await lose_primary(one)
        await lose_standby(one)
        await lose_standbys(one)


async def test_shortest_pause(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Patroni told to be as quick as it goes: what a failover costs then."""
    async with trial(tmp_path, SHORTEST, record_property) as one:
        await lose_primary(one)
        await silence_primary(one)
