"""Several nodes on one database: what each may rely on while the others write, and while connections are lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from eventmill.config import Config
from eventmill.errors import GatewayError, RoutingStale
from eventmill.model import Lane, OrgId
from eventmill.store.base import Store
from eventmill.store.control import Create, Delete
from eventmill.store.postgres import feed
from eventmill.store.postgres.channel import Channel
from eventmill.store.postgres.connect import Connection, connect
from eventmill.store.postgres.leases import Leases, Terms
from eventmill.store.postgres.store import PostgresStore
from eventmill.store.work import SLOTS, WorkCommit
from tests.store.builders import (
    ORG,
    OTHER_ORG,
    HandClock,
    append,
    commit,
    event,
    journal,
    open_lane,
    positions,
    progress,
    tried,
)
from tests.store.postgres import database_of, plain
from tests.waiting import eventually

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def nodes(tmp_path: Path, count: int = 2) -> AsyncIterator[list[Store]]:
    """Nodes of one database. The first one delivers."""
    config = Config(data=str(tmp_path), dev=True, store=database_of(str(tmp_path)))
    opened: list[Store] = [PostgresStore(config, HandClock(), delivers=number == 0) for number in range(count)]
    for node in opened:
        await node.open()
    try:
        yield opened
    finally:
        for node in opened:
            await node.close()


class Publisher:
    """Publishes with the lanes it knows of, and looks again when the store says that they are stale."""

    def __init__(self, node: Store) -> None:
        self._node = node
        self._epoch = 0
        self._lanes: tuple[Lane, ...] = ()
        self.published: list[tuple[int, frozenset[Lane], tuple[Lane, ...]]] = []
        """Position, lanes whose opening was answered before, and lanes matched."""

    async def publish(self, answered: set[Lane]) -> None:
        before = frozenset(answered)
        while True:
            try:
                appended = await self._node.append_durable([event(self._lanes, self._epoch)])
            except RoutingStale:
                self._epoch = await self._node.epoch()
                docs = await self._node.list_docs("registration", ORG)
                self._lanes = tuple(sorted(Lane(int(doc.id[1:])) for doc in docs))
            else:
                self.published.append((appended.first_seq, before, self._lanes))
                return


async def test_a_write_on_one_node_is_obeyed_on_all(tmp_path: Path) -> None:
    """Publishers on two nodes race with registrations made on both: whatever was answered before a publish began is in
    its journals, and each journal holds exactly what was matched for it, in order."""
    async with nodes(tmp_path) as (one, two):
        answered: set[Lane] = set()
        publishers = [Publisher(node) for node in (one, two) for _ in range(4)]

        async def publish(publisher: Publisher) -> None:
            for _ in range(25):
                await publisher.publish(answered)

        async def register(node: Store) -> None:
            for _ in range(8):
                answered.add(await open_lane(node))

        await asyncio.gather(*map(publish, publishers), register(one), register(two))
        published = sorted(each for publisher in publishers for each in publisher.published)
        assert [seq for seq, _, _ in published] == list(range(1, 201))
        assert all(before <= set(lanes) for _, before, lanes in published)
        shard = await one.shard(ORG)
        log = (await two.read_log(shard, 0, 1000)).entries
        assert [(entry.seq, entry.lanes) for entry in log] == [(seq, lanes) for seq, _, lanes in published]
        for lane in answered:
            wanted = [seq for seq, _, lanes in published if lane in lanes]
            assert await positions(one, lane) == await positions(two, lane) == wanted


_DEAF = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'UNLISTEN%'"


async def test_whoever_waits_hears_of_other_nodes_appends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By notifications alone, and again after nobody waited for a while; and a process that delivers always hears."""
    monkeypatch.setattr(feed, "_LOOK_S", 600.0)
    monkeypatch.setattr(feed, "_CHORES_S", 0.0)  # each pass may stop listening
    async with nodes(tmp_path, 3) as (delivering, waiting, publishing), plain(tmp_path) as connection:
        lane = await open_lane(publishing)
        told, told_delivery = asyncio.Event(), asyncio.Event()
        delivering.on_change(told_delivery.set)
        for number in range(1, 4):
            stop = waiting.on_append(told.set)
            await told.wait()  # it looks when it begins to listen, and misses nothing
            told.clear()
            told_delivery.clear()
            await append(publishing, [lane])
            await asyncio.gather(told.wait(), told_delivery.wait())
            assert (await waiting.head(await waiting.shard(ORG))).seq == number
            stop()
            await waiting.set_clock(0, number)  # and so it passes once more
            await eventually(lambda: connection.fetchval(_DEAF), "the end of listening")


async def test_readers_skip_nothing(tmp_path: Path) -> None:
    """Positions and epochs become visible in order: a reader that follows the log, a journal and the change feed from
    where it stands sees every one of them, while two nodes write."""
    async with nodes(tmp_path, 3) as (one, two, reader):
        lane = await open_lane(one)
        start = await one.epoch()
        writing = True

        async def write(node: Store, name: str) -> None:
            for number in range(30):
                await asyncio.gather(
                    append(node, [lane]),
                    append(node, [lane]),
                    node.write([Create("notice", OTHER_ORG, f"{name}{number}", b"")]),
                )

        async def read() -> tuple[list[int], list[int], list[int]]:
            log: list[int] = []
            journal: list[int] = []
            epochs: list[int] = []
            while True:
                last = not writing
                log += [entry.seq for entry in (await reader.read_log(0, len(log), 50)).entries]
                journal += (await reader.journal_page(lane, len(journal), 50, 1 << 30)).seqs
                epochs += [change.epoch for change in await reader.changes(start + len(epochs), 50)]
                assert log == list(range(1, len(log) + 1))
                assert journal == list(range(1, len(journal) + 1))
                assert epochs == list(range(start + 1, start + 1 + len(epochs)))
                if last:
                    return log, journal, epochs

        reading = asyncio.create_task(read())
        await asyncio.gather(write(one, "a"), write(two, "b"))
        writing = False
        log, journal, epochs = await reading
        assert (len(log), len(journal), len(epochs)) == (120, 120, 60)


async def test_one_commit_for_many_shards(tmp_path: Path) -> None:
    """Events of many organizations that queue together go into their shards, each with its own count of positions, and
    a stale one among them refuses nobody else."""
    async with nodes(tmp_path) as (one, two):
        orgs = [OrgId(f"20{number:02}") for number in range(40)]
        for org in orgs:
            await one.write([Create("project", org, "p", b"")])
        await one.write([Create("project", orgs[7], "q", b"")])
        epoch = await one.epoch()
        calls = [
            node.append_durable([event([], epoch - (org == orgs[7]), org=org)] * size)
            for size in (1, 2, 3)
            for org in orgs
            for node in (one, two)
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(result, RoutingStale) for result in results) == 6
        shards = {org: await two.shard(org) for org in orgs}
        assert len(set(shards.values())) == 40
        for org, shard in shards.items():
            entries = (await one.read_log(shard, 0, 100)).entries
            assert [entry.seq for entry in entries] == ([] if org == orgs[7] else list(range(1, 13)))


async def test_limits_hold_across_nodes(tmp_path: Path) -> None:
    """Of the same creation on two nodes at once exactly one succeeds."""
    async with nodes(tmp_path) as (one, two):
        for number in range(10):
            create = Create("registration", ORG, f"r{number}", b"")
            results = await asyncio.gather(one.write([create]), two.write([create]), return_exceptions=True)
            assert sum(isinstance(result, GatewayError) for result in results) == 1
            delete = Delete("registration", ORG, f"r{number}")
            results = await asyncio.gather(one.write([delete]), two.write([delete]), return_exceptions=True)
            assert sum(isinstance(result, GatewayError) for result in results) == 1


async def test_others_are_woken(tmp_path: Path) -> None:
    """A node hears of appends and of writes elsewhere."""
    async with nodes(tmp_path) as (one, two):
        woken = asyncio.Event()
        two.on_change(woken.set)
        for work in (append(one, []), one.write([Create("project", ORG, "p", b"")]), one.set_clock(5, 5)):
            woken.clear()
            await work
            await asyncio.wait_for(woken.wait(), 10)


async def test_lost_connections_repeat_nothing(tmp_path: Path) -> None:
    """Backends are killed all the while, some of them in the middle of a commit: what was acknowledged is there once,
    what was not is there once at most, counters gave out no number twice, and work was applied once."""
    async with nodes(tmp_path) as (one, two), plain(tmp_path) as killer:
        lane = await open_lane(one)
        acknowledged: set[bytes] = set()
        numbers: list[int] = []
        settled = 0
        went_on = asyncio.Event()
        killing = True

        async def kill() -> None:
            """One after the other, with something done in between."""
            nonlocal killing
            for _ in range(20):
                went_on.clear()
                await killer.fetch(_KILL_ONE)
                await went_on.wait()
            killing = False

        async def publish(node: Store, name: int) -> None:
            for number in itertools.takewhile(lambda _: killing, itertools.count()):
                event_id = name.to_bytes(8, "big") + number.to_bytes(8, "big")
                await append(node, [lane], event_id=event_id)
                acknowledged.add(event_id)
                went_on.set()

        async def allocate(node: Store) -> None:
            while killing:
                numbers.append(await node.allocate("tenant"))

        async def settle(node: Store) -> None:
            nonlocal settled
            while killing:
                assert await commit(node, progress(lane, counts=(tried(1, 0),))) == frozenset()
                settled += 1

        await asyncio.gather(kill(), publish(one, 1), publish(two, 2), settle(one), allocate(one), allocate(two))
    async with nodes(tmp_path, 1) as (again,):
        stored = [each.event_id for each in await journal(again, lane)]
        assert len(stored) == len(set(stored))
        assert set(stored) == acknowledged
        assert [entry.seq for entry in (await again.read_log(0, 0, 9999)).entries] == list(range(1, len(stored) + 1))
        assert len(set(numbers)) == len(numbers)
        assert await again.counts(lane, 0) == (settled, 0)


_KILL_ONE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE 'eventmill%' AND datname = current_database() AND state <> 'idle' ORDER BY random() LIMIT 1
"""


async def test_an_unknown_outcome_is_looked_up(tmp_path: Path) -> None:
    """When the connection goes after the commit, and before its answer, the work is not done again, and its result is
    what it was; when it goes before the commit, it is done."""
    async with nodes(tmp_path, 1), plain(tmp_path) as observer:
        channel = Channel(lambda: connect(database_of(str(tmp_path))), uuid4())
        await observer.execute("CREATE TABLE done (number integer)")
        attempts = 0

        async def work(connection: Connection) -> list[int]:
            await connection.execute("INSERT INTO done VALUES (1)")
            return [await connection.fetchval("SELECT count(*) FROM done")]

        async def statement(connection: Connection, channel_id: UUID, number: int) -> list[int]:
            """A commit whose first answer gets lost."""
            nonlocal attempts
            attempts += 1
            async with connection.transaction():
                row = await connection.fetchrow(_LOCK, channel_id)
                assert row is not None
                if row["number"] == number:
                    return list(row["result"])
                result = await work(connection)
                await connection.execute(_NOTE, channel_id, number, result)
            connection.terminate()
            raise ConnectionResetError

        assert list(await channel.run(work)) == [1]
        assert list(await channel.call(statement)) == [2]
        assert attempts == 2

        async def unlucky(connection: Connection) -> list[int]:
            nonlocal attempts
            attempts += 1
            result = await work(connection)
            if attempts == 3:
                connection.terminate()
            return result

        assert list(await channel.run(unlucky)) == [3]
        assert attempts == 4
        await channel.close()


_LOCK = "SELECT number, result FROM eventmill.channel WHERE id = $1 FOR UPDATE"
_NOTE = "UPDATE eventmill.channel SET number = $2, result = $3 WHERE id = $1"


def leases(tmp_path: Path, **terms: float) -> Leases:
    return Leases(lambda: connect(database_of(str(tmp_path))), uuid4(), Terms(**terms), lambda: None)


async def test_slots_move_evenly(tmp_path: Path) -> None:
    """A node that is alone holds all; with others each gets its share within three turns, and no slot has two holders:
    what a node is to give up it says first, and releases then. Slots of a node that leaves are taken over."""
    async with nodes(tmp_path, 0), plain(tmp_path):
        members = [leases(tmp_path, handover_s=0) for _ in range(3)]
        await members[0].turn()
        assert len(members[0].held()) == SLOTS
        await members[1].turn()
        await members[0].turn()
        assert [lease.leaving for lease in members[0].held()] == [False] * 512 + [True] * 512
        for _ in range(3):
            for member in members:
                await member.turn()
        held = [member.held() for member in members]
        assert sorted(len(each) for each in held) == [340, 342, 342]
        assert sorted(lease.slot for each in held for lease in each) == list(range(SLOTS))
        await members[1].close()
        for _ in range(2):
            for member in (members[0], members[2]):
                await member.turn()
        assert [len(member.held()) for member in (members[0], members[2])] == [512, 512]
        for member in (members[0], members[2]):
            await member.close()


async def test_a_node_that_was_away_is_fenced(tmp_path: Path) -> None:
    """Leases that ended are claimed by another node, with a higher epoch: commits under the old ones write nothing, the
    new ones'."""
    async with nodes(tmp_path) as (away, other), plain(tmp_path) as connection:
        lane = await open_lane(away)
        await append(away, [lane], 3)
        old = [lease for lease in await away.leases() if lease.slot == lane % SLOTS]
        await connection.execute("UPDATE eventmill.slot SET till = now() - interval '1 second'")
        await connection.execute("UPDATE eventmill.node SET till = now() - interval '1 second'")
        successor = leases(tmp_path)
        await successor.turn()
        (new,) = [lease for lease in successor.held() if lease.slot == lane % SLOTS]
        assert new.epoch > old[0].epoch
        for lease in (*old, new):
            assert await away.commit(WorkCommit((lease,), (progress(lane, 2),))) == {lane % SLOTS}
        record = await other.lane(lane)
        assert record is not None
        assert record.mark == 0
        await successor.close()


async def test_a_node_stops_before_its_leases_end(tmp_path: Path) -> None:
    """By its own clock, counted from when it asked."""
    async with nodes(tmp_path, 0), plain(tmp_path):
        hasty = leases(tmp_path, ttl_s=15, margin_s=15)
        await hasty.turn()
        assert hasty.held() == ()
        await hasty.close()
