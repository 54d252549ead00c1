"""One node, and a database that is away, hangs, takes no writes or no connections: nothing that was acknowledged is
lost or done twice, and everything goes on by itself afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from uuid import uuid4

import asyncpg
import pytest
import structlog

from eventmill import telemetry
from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.errors import Reason, StoreUnavailable
from eventmill.model import Lane
from eventmill.store.control import Create
from eventmill.store.log import Appended
from eventmill.store.postgres import appends as appending
from eventmill.store.postgres.appends import Appends
from eventmill.store.postgres.channel import Channel
from eventmill.store.postgres.channel import Terms as ChannelTerms
from eventmill.store.postgres.connect import Hosts, connect
from eventmill.store.postgres.facts import Facts
from eventmill.store.postgres.leases import Terms
from eventmill.store.postgres.partitions import Partitions
from eventmill.store.postgres.reading import Reading
from eventmill.store.postgres.store import PostgresStore
from eventmill.store.work import SLOTS, WorkCommit
from tests.e2e.harness.database import DatabaseServer
from tests.store.breaking_proxy import BreakingProxy, breaking_proxy
from tests.store.builders import ORG, append, commit, event, journal, open_lane, positions, progress, tried
from tests.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    with DatabaseServer.new() as server:
        server.settings["max_connections"] = "40"
        server.start()
        yield server


@asynccontextmanager
async def node(server: DatabaseServer, proxy: BreakingProxy | None = None) -> AsyncIterator[PostgresStore]:
    """One node that delivers, on a database of its own; its connections go through the proxy if there is one."""
    name = f"n{uuid4().hex}"
    await server.execute(f"CREATE DATABASE {name}", "postgres")
    port = server.port if proxy is None else proxy.port
    config = Config(dev=True, store=f"postgresql://gateway@127.0.0.1:{port}/{name}")
    store = PostgresStore(config, SystemClock(), delivers=True, terms=Terms(ttl_s=6, renew_s=0.2, margin_s=2))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def publish_until(store: PostgresStore, lane: Lane, ended: asyncio.Event, acknowledged: list[bytes]) -> None:
    """One event after the other; those that are refused are not sent again."""
    number = 0
    while not ended.is_set():
        number += 1
        event_id = b"outage".ljust(8) + number.to_bytes(8, "big")
        try:
            await store.append_durable([event([lane], 1 << 40, event_id=event_id)])
        except StoreUnavailable as refusal:
            await asyncio.sleep((refusal.retry_after_s or 0) / 100)  # 5 s would be long here
        else:
            acknowledged.append(event_id)


async def goes_on(store: PostgresStore, lane: Lane) -> None:
    """Publishes, reads, writes, leases and the progress of delivery."""
    await eventually(lambda: store.refusal() is None, "the store takes events again")
    assert await append(store, [lane])
    assert await journal(store, lane)
    await store.write([Create("project", ORG, uuid4().hex, b"")])

    async def holds_all() -> bool:
        return len(await store.leases()) == SLOTS

    await eventually(holds_all, "the node holds its slots again")
    assert await commit(store, progress(lane)) == frozenset()


async def test_a_restart_of_the_database(server: DatabaseServer) -> None:
    """The server is killed while events are published and progress is committed, and started again later: refusals come
    at once and say why; each acknowledged event is in the journal once; what was being committed is applied once."""
    async with node(server) as store:
        lane = await open_lane(store)
        acknowledged: list[bytes] = []
        ended = asyncio.Event()
        publishing = asyncio.create_task(publish_until(store, lane, ended, acknowledged))
        await eventually(lambda: len(acknowledged) > 20, "events are published")
        leases = tuple(lease for lease in await store.leases() if lease.slot == lane % SLOTS)
        await asyncio.to_thread(server.kill)
        committing = asyncio.create_task(store.commit(WorkCommit(leases, (progress(lane, counts=(tried(3, 0),)),))))
        await eventually(lambda: store.refusal() is not None, "the node notices")
        for refused in (store.head(0), store.write([Create("project", ORG, "p", b"")]), store.allocate("lane")):
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                await asyncio.wait_for(refused, 1)
        server.start()  # by this thread: it ends with the one that starts it
        await goes_on(store, lane)
        before = len(acknowledged)
        await eventually(lambda: len(acknowledged) > before + 20, "events are published again")
        ended.set()
        await publishing
        assert await committing in (frozenset(), frozenset({lane % SLOTS}))
        assert (await store.counts(lane, 0))[0] in (0, 3)
        stored = [each.event_id for each in await journal(store, lane)]
        assert len(stored) == len(set(stored))
        assert set(acknowledged) <= set(stored)
        assert await positions(store, lane) == list(range(1, len(stored) + 1))


async def test_connections_that_hang(server: DatabaseServer) -> None:
    """Nothing gets through any more, and no connection is closed: the node notices, refuses with a cause, gives up its
    leases in time, and goes on when new connections get through."""
    async with breaking_proxy(server.port) as proxy, node(server, proxy) as store:
        lane = await open_lane(store)
        await append(store, [lane], 3)
        proxy.swallow()
        proxy.refuse(True)
        await eventually(lambda: store.refusal() is not None, "the node notices")

        async def holds_none() -> bool:
            return not await store.leases()

        await eventually(holds_none, "the node gives up its leases")
        with pytest.raises(StoreUnavailable):
            await store.head(0)
        proxy.refuse(False)
        await goes_on(store, lane)
        assert await positions(store, lane) == [1, 2, 3, 4]


async def test_cut_connections(server: DatabaseServer) -> None:
    """Connections that are cut again and again, in the middle of whatever is under way: each acknowledged event is
    there once, and each piece of progress counted once."""
    async with breaking_proxy(server.port) as proxy, node(server, proxy) as store:
        lane = await open_lane(store)
        acknowledged: list[bytes] = []
        ended = asyncio.Event()
        publishing = asyncio.create_task(publish_until(store, lane, ended, acknowledged))
        settled = 0
        for _ in range(15):
            before = len(acknowledged)
            cutting = asyncio.create_task(commit(store, progress(lane, counts=(tried(1, 0),))))
            await asyncio.sleep(0)
            proxy.drop()
            settled += await cutting == frozenset()
            await eventually(lambda before=before: len(acknowledged) > before, "events are published again")  # type: ignore[misc]
        ended.set()
        await publishing
        stored = [each.event_id for each in await journal(store, lane)]
        assert len(stored) == len(set(stored))
        assert set(acknowledged) <= set(stored)
        assert await store.counts(lane, 0) == (settled, 0)


async def test_a_statement_that_arrives_late(server: DatabaseServer) -> None:
    """An append that a network held back, was given up, and repeated over another connection, does nothing when it
    arrives after all: not even when others were appended in between."""
    async with node(server) as store, breaking_proxy(server.port) as proxy, AsyncExitStack() as stack:
        lane = await open_lane(store)
        direct = store._config.store
        dsn = direct.replace(str(server.port), str(proxy.port))
        pool = Reading()
        await pool.open(Hosts(direct))
        stack.push_async_callback(pool.close)
        channel = Channel(lambda: connect(dsn), uuid4(), ChannelTerms(answer_s=0.5))
        appends = Appends([channel], Facts(pool), Partitions(pool), SystemClock())
        appends.start()
        stack.push_async_callback(channel.close)
        stack.push_async_callback(appends.stop)

        async def publish() -> int:
            future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
            appends.put([event([lane], 1 << 40)], future)
            return (await future).first_seq

        assert await publish() == 1
        proxy.swallow()
        assert await publish() == 2
        assert await publish() == 3
        proxy.release()
        await eventually(lambda: proxy.count == 1, "what was held back has arrived")
        assert await publish() == 4
        assert await positions(store, lane) == [1, 2, 3, 4]


async def test_a_database_that_confirms_nothing(server: DatabaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its synchronous standbys are gone: reads go on. The first publish is refused when its patience ends, and what
    comes after it at once and with the cause, be it events or documents. As soon as commits are confirmed all is taken
    again, and what was refused is there once or not at all."""
    hasty = {"answer_s": 0.5, "patience_s": 0.5}
    monkeypatch.setattr("eventmill.store.postgres.channel.Terms", lambda **terms: ChannelTerms(**hasty | terms))
    async with node(server) as store:
        lane = await open_lane(store)
        assert await append(store, [lane]) == [1]
        await server.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "postgres")
        await server.execute("SELECT pg_reload_conf()", "postgres")
        try:
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await append(store, [lane])
            await eventually(lambda: "confirms no commits" in str(store.refusal()), "it is said why")
            with pytest.raises(StoreUnavailable, match="confirms no commits"):
                await open_lane(store)
            assert await positions(store, lane) == [1]
        finally:
            await server.execute("ALTER SYSTEM RESET synchronous_standby_names", "postgres")
            await server.execute("SELECT pg_reload_conf()", "postgres")
        await eventually(lambda: store.refusal() is None, "publishes are taken again")
        await open_lane(store)
        (last,) = await append(store, [lane])
        assert await positions(store, lane) == list(range(1, last + 1))
        assert last in (2, 3)


async def test_a_database_that_takes_no_writes(server: DatabaseServer) -> None:
    """As a managed one whose disk is nearly full: publishing is refused with that cause until it takes writes again.
    Nobody is told meanwhile that another node presides, or that stages go on."""
    async with node(server) as store:
        lane = await open_lane(store)
        await server.execute("ALTER SYSTEM SET default_transaction_read_only = on", "postgres")
        await server.execute("SELECT pg_reload_conf()", "postgres")
        try:
            await eventually(lambda: "takes no writes" in str(store.refusal()), "the node notices")
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="takes no writes"):
                    await store.presidency()
        finally:
            await read_write(server)
        await goes_on(store, lane)

        async def presides() -> bool:
            with suppress(StoreUnavailable):
                return await store.presidency() == 1
            return False

        await eventually(presides, "the node presides")


_FULL = (
    """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$""",
    "CREATE TRIGGER full_disk BEFORE INSERT ON eventmill.shard_day EXECUTE FUNCTION full_disk()",
    "CREATE TRIGGER full_disk BEFORE INSERT ON eventmill.tally EXECUTE FUNCTION full_disk()",
)


async def test_a_disk_that_is_full(server: DatabaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishes are refused for that reason, and so is progress, which is kept; each channel says it in the log once,
    however often it is tried; and with room on the disk everything goes on."""
    monkeypatch.setattr(appending, "_FULL_S", 0.0)  # each publish finds out whether it still is
    async with node(server) as store:
        lane = await open_lane(store)
        name = store._config.store.rpartition("/")[2]
        for statement in _FULL:
            await server.execute(statement, name)
        with structlog.testing.capture_logs() as lines:
            for _ in range(5):
                with pytest.raises(StoreUnavailable, match="disk is full") as refused:
                    await append(store, [lane])
                assert refused.value.reason is Reason.DISK_RESERVE_REACHED
                with pytest.raises(StoreUnavailable, match="disk is full"):
                    await commit(store, progress(lane, counts=(tried(1, 0),)))
        failures = [line for line in lines if line["event"] == telemetry.STORE_COMMIT_FAILED]
        assert 0 < len(failures) <= 3, "two channels append, and one is for progress"
        await server.execute("DROP FUNCTION full_disk CASCADE", name)
        await goes_on(store, lane)


async def read_write(server: DatabaseServer) -> None:
    connection = await asyncpg.connect(f"postgresql://gateway@{server.address}/postgres")
    await connection.execute("SET default_transaction_read_only = off")
    await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


async def test_no_connections_left(server: DatabaseServer) -> None:
    """Others take all connections while the node's are cut: it says so, and goes on when there are some again."""
    async with node(server) as store, AsyncExitStack() as stack:
        lane = await open_lane(store)
        await append(store, [lane])
        name = store._config.store.rpartition("/")[2]
        killer = await asyncpg.connect(f"postgresql://gateway@{server.address}/postgres")
        stack.push_async_callback(killer.close)
        taken = []

        async def take_all() -> bool:
            await killer.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            try:
                while True:
                    taken.append(await asyncpg.connect(f"postgresql://gateway@{server.address}/postgres"))
            except asyncpg.TooManyConnectionsError:
                return "no more connections" in str(store.refusal())

        await eventually(take_all, "the node notices")
        for connection in taken:
            await connection.close()
        await goes_on(store, lane)
        assert await positions(store, lane) == [1, 2]
