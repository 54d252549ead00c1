"""PostgreSQL engine: steps of the schema, beside nodes of this and of the next version."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from eventmill.config import Config
from eventmill.errors import Exit, StartupError
from eventmill.store.migrate import Migration, read_migrations
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.migrations import Migrations, packaged
from eventmill.store.postgres.schema import PostgresSchema
from eventmill.store.postgres.store import PostgresStore
from tests.store.builders import ORG, HandClock, append
from tests.store.postgres import database_of, empty_database
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

ADDS = "ALTER TABLE eventmill.doc ADD COLUMN colour text; CREATE TABLE eventmill.later (x integer);"
TAKES = "DROP FUNCTION eventmill.days_1;"


@pytest.fixture
def dsn(tmp_path: Path) -> str:
    """Of a database with this version's schema."""
    return database_of(str(tmp_path / "data"))


@pytest.fixture
def later(tmp_path: Path) -> list[Migration]:
    """The migrations of a next version: one step that adds, one that takes away."""
    return next_version(tmp_path / "next", {"0900_later.sql": ADDS, "0901_less.post.sql": TAKES})


def next_version(folder: Path, files: dict[str, str]) -> list[Migration]:
    folder.mkdir()
    for name, sql in files.items():
        (folder / name).write_text(sql)
    return [*packaged(), *read_migrations(folder)]


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def node(dsn: str) -> AsyncIterator[PostgresStore]:
    """A node of this version."""
    store = PostgresStore(Config(dev=True, store=dsn), HandClock())
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def ask(dsn: str, query: str) -> object:
    async with connected(dsn) as connection:
        return await connection.fetchval(query)


async def states(dsn: str, migrations: Sequence[Migration] | None = None) -> dict[int, str]:
    """Of the steps from 900 on."""
    status = await PostgresSchema(dsn, migrations).status()
    return {step.number: step.state for step in status.steps if step.number >= 900}


async def refused(dsn: str, migrations: Sequence[Migration] | None = None, *, post: bool = False) -> StartupError:
    with pytest.raises(StartupError) as caught:
        await PostgresSchema(dsn, migrations).bring_up(post=post)
    return caught.value


async def test_an_empty_database_gets_everything_at_once(later: list[Migration]) -> None:
    """Nobody needs what earlier versions needed; a second run finds nothing to do."""
    dsn = empty_database()
    schema = PostgresSchema(dsn, later)
    before = await schema.status()
    assert (before.schema, before.program, len(before.pending)) == (0, 901, len(later))
    assert [step.number for step in await schema.bring_up(post=False)] == [each.number for each in later]
    after = await schema.status()
    assert (after.schema, after.pending, after.nodes) == (901, (), ())
    assert await schema.bring_up(post=True) == ()


async def test_steps_that_only_add_keep_the_version_before_at_work(dsn: str, later: list[Migration]) -> None:
    """A node that runs goes on, one that starts anew is let in, and both know that a later version has been here."""
    async with node(dsn) as running:
        assert await append(running, []) == [1]
        assert [step.number for step in await PostgresSchema(dsn, later).bring_up(post=False)] == [900]
        assert await states(dsn, later) == {900: "applied", 901: "pending"}
        assert await append(running, []) == [2]
        async with node(dsn) as started:
            assert await append(started, []) == [3]
            assert (await running.head(await running.shard(ORG))).seq == 3
    assert await states(dsn) == {900: "unknown"}


async def test_what_an_earlier_version_needs_stays_while_its_nodes_live(dsn: str, later: list[Migration]) -> None:
    """The refusal names them; once they are stopped the step runs, and keeps them out from then on."""
    async with node(dsn) as running:
        error = await refused(dsn, later, post=True)
        status = await PostgresSchema(dsn, later).status()
        assert error.exit_code == Exit.PENDING
        assert all(each.id in str(error) and each.schema < 900 for each in status.nodes)
        assert len(status.nodes) == 1
        assert await states(dsn, later) == {900: "applied", 901: "pending"}
        assert await append(running, []) == [1]
    assert [step.number for step in await PostgresSchema(dsn, later).bring_up(post=True)] == [901]
    error = await refused(dsn)
    assert error.exit_code == Exit.SCHEMA
    assert "has schema 901, but this version works with up to" in str(error)
    with pytest.raises(StartupError, match="start the newer version"):
        async with node(dsn):
            pass


async def test_nodes_that_were_killed_count_for_a_minute(dsn: str, later: list[Migration]) -> None:
    """Then they are gone; but one that holds leases is there, even where nothing else tells of it."""
    async with connected(dsn) as connection:
        await connection.execute(
            "INSERT INTO eventmill.node (id, seen, version) VALUES ($1, now() - interval '30 s', '0.0.9')", uuid4()
        )
        assert "version 0.0.9, 30 s ago" in str(await refused(dsn, later, post=True))
        await connection.execute("UPDATE eventmill.node SET seen = now() - interval '61 s'")
        await connection.execute(
            "UPDATE eventmill.slot SET owner = $1, till = now() + interval '9 s' WHERE slot < 2", uuid4()
        )
        assert "version unknown" in str(await refused(dsn, later, post=True))
        await connection.execute("UPDATE eventmill.slot SET till = now() - interval '1 s' WHERE owner IS NOT NULL")
        assert [step.number for step in await PostgresSchema(dsn, later).bring_up(post=True)] == [901]


async def test_nodes_of_the_next_version_are_no_hindrance(dsn: str, later: list[Migration]) -> None:
    """What a node's program knows decides, not that it is there."""
    await PostgresSchema(dsn, later).bring_up(post=False)
    async with connected(dsn) as connection:
        await Migrations(connection, "d", later).join(uuid4())
    assert [step.number for step in await PostgresSchema(dsn, later).bring_up(post=True)] == [901]


async def test_nobody_joins_while_a_step_runs(dsn: str, tmp_path: Path) -> None:
    """A node of the version before that starts in that moment waits, and is refused then."""
    later = next_version(tmp_path / "held", {"0900_less.post.sql": "SELECT pg_advisory_xact_lock(4711);"})
    async with connected(dsn) as holder, connected(dsn) as joining:
        await holder.execute("SELECT pg_advisory_lock(4711)")
        taking = asyncio.create_task(PostgresSchema(dsn, later).bring_up(post=True))
        await waits(dsn, 1)
        join = asyncio.create_task(Migrations(joining, "d").join(uuid4()))
        await waits(dsn, 2)
        await holder.execute("SELECT pg_advisory_unlock(4711)")
        assert [step.number for step in await taking] == [900]
        with pytest.raises(StartupError, match="has schema 900"):
            await join


async def test_two_at_once_do_each_step_once(dsn: str, later: list[Migration]) -> None:
    """Whoever comes second waits, and finds it done."""
    schemas = [PostgresSchema(dsn, later) for _ in range(3)]
    done = await asyncio.gather(*(schema.bring_up(post=True) for schema in schemas))
    assert sorted(step.number for steps in done for step in steps) == [900, 901]


async def test_a_kill_in_the_middle_leaves_whole_steps(dsn: str, tmp_path: Path) -> None:
    """What was done stays, what was under way is undone, and the next run goes on from there."""
    folder = tmp_path / "next"
    files = {"0900_later.sql": ADDS, "0901_more.sql": "CREATE TABLE eventmill.more (); SELECT pg_advisory_lock(4711);"}
    later = next_version(folder, files)
    async with connected(dsn) as holder:
        await holder.execute("SELECT pg_advisory_lock(4711)")
        process = bring_up_elsewhere(dsn, folder)
        try:
            await waits(dsn, 1)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert await states(dsn, later) == {900: "applied", 901: "pending"}
    assert [step.number for step in await PostgresSchema(dsn, later).bring_up(post=False)] == [901]
    assert await ask(dsn, "SELECT count(*) FROM eventmill.migration WHERE number >= 900") == 2


def bring_up_elsewhere(dsn: str, folder: Path) -> subprocess.Popen[bytes]:
    """In a process of its own, which can be killed."""
    script = (
        "import asyncio, pathlib, sys\n"
        "from eventmill.store.migrate import read_migrations\n"
        "from eventmill.store.postgres.migrations import packaged\n"
        "from eventmill.store.postgres.schema import PostgresSchema\n"
        "steps = [*packaged(), *read_migrations(pathlib.Path(sys.argv[2]))]\n"
        "asyncio.run(PostgresSchema(sys.argv[1], steps).bring_up(post=False))\n"
    )
    return subprocess.Popen([sys.executable, "-c", script, dsn, str(folder)])


async def test_a_step_that_fails_leaves_nothing(dsn: str, tmp_path: Path) -> None:
    """Not the table that it made before, and no record; the message is the database's."""
    later = next_version(tmp_path / "next", {"0900_bad.sql": "CREATE TABLE eventmill.later (); SELECT nothing;"})
    assert 'column "nothing" does not exist' in str(await refused(dsn, later))
    assert await ask(dsn, "SELECT to_regclass('eventmill.later')") is None
    assert await states(dsn, later) == {900: "pending"}


async def test_a_step_makes_way_for_others(dsn: str, later: list[Migration]) -> None:
    """A lock that somebody holds for long is not waited for in one go: those behind would wait as well."""
    async with connected(dsn) as holder, connected(dsn) as reader:
        async with holder.transaction():
            await holder.execute("SELECT FROM eventmill.doc LIMIT 1")
            adding = asyncio.create_task(PostgresSchema(dsn, later).bring_up(post=False))
            await waits(dsn, 1)
            await reader.fetch("SELECT FROM eventmill.doc LIMIT 1", timeout=20)
            assert not adding.done()
        assert [step.number for step in await adding] == [900]


async def test_tables_of_others(dsn: str) -> None:
    """Beside our schema they are none of our business; in it, they keep the start out, and stay as they are."""
    empty = empty_database()
    async with connected(empty) as connection:
        await connection.execute("CREATE TABLE event (x integer); CREATE TABLE migration (x integer)")
        async with node(empty) as store:
            assert await append(store, []) == [1]
        await connection.execute("DROP SCHEMA eventmill CASCADE; CREATE SCHEMA eventmill")
        for table in ("event", "migration"):
            await connection.execute(f"CREATE TABLE eventmill.{table} (x integer)")
            message = str(await refused(empty))
            assert "has a schema eventmill that is not ours: it holds 'event'" in message
            assert "ALTER SCHEMA eventmill RENAME TO" in message
            assert message == str(await failed_start(empty))
        assert (
            await connection.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'eventmill'::regnamespace")
            == 2
        )


async def failed_start(dsn: str) -> StartupError:
    with pytest.raises(StartupError) as caught:
        async with node(dsn):
            pass
    return caught.value


async def test_a_schema_that_was_made_for_the_role(dsn: str) -> None:
    """Whoever may make no schema can be given one."""
    empty = empty_database()
    async with connected(empty) as connection:
        await connection.execute("DROP ROLE IF EXISTS tenant")
        await connection.execute("CREATE ROLE tenant LOGIN; CREATE SCHEMA eventmill AUTHORIZATION tenant")
    async with node(empty.replace("//gateway@", "//tenant@")) as store:
        assert await append(store, []) == [1]


def test_packaged_steps_are_numbered() -> None:
    """From one, without a hole."""
    assert [each.number for each in packaged()] == list(range(1, len(packaged()) + 1))


async def waits(dsn: str, count: int) -> None:
    """Until so many sessions wait for a lock."""
    async with connected(dsn) as connection:

        async def waiting() -> bool:
            found = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            return bool(found >= count)

        await eventually(waiting, f"{count} sessions that wait for a lock")
