"""PostgreSQL engine: what stops a start, and how the schema comes to be."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import asyncpg
import pytest

from eventmill.config import Config
from eventmill.errors import Exit, StartupError
from eventmill.store.open import make_store
from eventmill.store.postgres.connect import shown
from eventmill.store.postgres.starting import check_server, explain
from eventmill.store.postgres.store import PostgresStore
from tests.store.builders import ORG, HandClock, append
from tests.store.postgres import empty_database, server

pytestmark = pytest.mark.anyio


def store_of(dsn: str) -> PostgresStore:
    return PostgresStore(Config(dev=True, store=dsn), HandClock())


async def refused(dsn: str) -> str:
    with pytest.raises(StartupError) as caught:
        await store_of(dsn).open()
    return str(caught.value)


async def run(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_nodes_that_start_at_once_make_the_schema_once() -> None:
    """On a database without it, whoever comes first makes it, and the others wait; all work on it then."""
    dsn = empty_database()
    nodes = [store_of(dsn) for _ in range(3)]
    await asyncio.gather(*(node.open() for node in nodes))
    assert [await append(node, []) for node in nodes] == [[1], [2], [3]]
    for node in nodes:
        await node.close()
    again = store_of(dsn)
    await again.open()
    assert (await again.head(await again.shard(ORG))).seq == 3
    await again.close()


async def test_a_node_that_hangs_in_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait for it say so after a while, and end; once it is gone they start."""
    monkeypatch.setattr("eventmill.store.postgres.store._START_S", 1)
    dsn = empty_database()
    hanging, waiting = store_of(dsn), store_of(dsn)
    await hanging.open()
    await waiting.open()
    async with hanging.alone():
        with pytest.raises(StartupError, match="another node hangs") as caught:
            await waiting.alone().__aenter__()
        assert caught.value.exit_code == Exit.UNAVAILABLE
    async with waiting.alone():
        pass
    for node in (hanging, waiting):
        await node.close()


async def test_a_database_that_is_not_there() -> None:
    """The message names it, and how to make it."""
    message = await refused(server().dsn("missing"))
    assert 'database "missing" does not exist' in message
    assert "createdb" in message


async def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    """Nobody listens: what to check."""
    for dsn in (f"postgresql://gateway@/d?host={tmp_path}", "postgresql://gateway@127.0.0.1:1/d"):
        assert "cannot be reached" in await refused(dsn)
        assert "check that PostgreSQL runs there" in await refused(dsn)


async def test_a_url_of_something_else() -> None:
    """Not a database URL, or one that cannot be read: what it must look like."""
    for dsn in ("mysql://x@y/z", "data"):
        with pytest.raises(StartupError, match="--store must be like postgresql://"):
            make_store(Config(store=dsn), HandClock())
    assert "must be like postgresql://" in await refused("postgresql://gateway@host:port/database")


async def test_a_role_without_rights() -> None:
    """Who may not make the schema: which right is missing, and how to grant it."""
    dsn = empty_database()
    await run(dsn, "DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN")
    message = await refused(dsn.replace("//gateway@", "//guest@"))
    assert "permission denied" in message
    assert 'GRANT CREATE ON DATABASE "e' in message
    assert '" TO "guest"' in message


@pytest.mark.parametrize(("ahead_s", "said"), [(3600, "s ahead of that of database"), (-3600, "s behind that of")])
async def test_a_clock_that_is_wrong(ahead_s: int, said: str) -> None:
    """A node whose clock is far from the database's would drop others' events too early: it does not start, and says
    what to do."""

    class Wrong(HandClock):
        def machine_ms(self) -> int:
            return super().machine_ms() + ahead_s * 1000

    with pytest.raises(StartupError, match=said) as caught:
        await PostgresStore(Config(dev=True, store=empty_database()), Wrong()).open()
    assert "NTP" in str(caught.value)
    assert caught.value.exit_code == Exit.UNAVAILABLE


@pytest.mark.parametrize(
    ("dev", "said"),
    [
        (False, "used by gateways that are not in dev mode, and --dev would let anybody on this machine empty it"),
        (True, "used by gateways in dev mode, so its events may be of any time and it may be emptied"),
    ],
)
async def test_dev_mode_beside_other_gateways(dev: bool, said: str) -> None:
    """The first start decides for good whose the database is; the other kind does not start, and changes nothing."""
    dsn = empty_database()
    first, same = (PostgresStore(Config(dev=dev, store=dsn), HandClock()) for _ in range(2))
    await first.open()
    await append(first, [])
    await first.close()
    with pytest.raises(StartupError, match=said) as caught:
        await PostgresStore(Config(dev=not dev, store=dsn), HandClock()).open()
    assert caught.value.exit_code == Exit.SETTINGS
    await same.open()
    assert (await same.head(await same.shard(ORG))).seq == 1
    await same.close()


async def test_a_newer_schema_is_refused() -> None:
    """There is no way back, and nothing is written."""
    dsn = empty_database()
    first = store_of(dsn)
    await first.open()
    await first.close()
    await run(dsn, "INSERT INTO eventmill.migration (number, name, checksum) VALUES (999, 'later', '')")
    assert "has schema 999, but this version works with up to" in await refused(dsn)
    assert "start the newer version that made it" in await refused(dsn)


async def test_another_builds_schema_is_refused() -> None:
    """A schema made with another text of a migration is not ours to continue."""
    dsn = empty_database()
    first = store_of(dsn)
    await first.open()
    await first.close()
    await run(dsn, "UPDATE eventmill.migration SET checksum = 'other'")
    assert "another migration 1 (initial)" in await refused(dsn)


def test_passwords_are_not_shown() -> None:
    """What messages and logs call a database."""
    assert shown("postgresql://u:secret@db.example:5433/events?sslmode=require") == "database events at db.example:5433"
    assert shown("postgresql://u:secret@/events?host=/run/pg") == "database events at /run/pg"
    for unescaped in ("sec/ret@[::1/x", "sec/secret@db/x", "sec#secret@db/x", "sec?secret@db/x", "s@c/ret@db/x"):
        assert shown(f"postgresql://u:{unescaped}") == "the database"


def test_servers_that_will_not_do() -> None:
    """Too old, or unable to hold names: what it is, what it must be, and what to do."""
    check_server("d", 15, "UTF8")
    with pytest.raises(StartupError, match="d is PostgreSQL 14; it must be 15 or later: upgrade it"):
        check_server("d", 14, "UTF8")
    with pytest.raises(StartupError, match="d has the encoding LATIN1"):
        check_server("d", 17, "LATIN1")


def test_every_refusal_has_a_remedy() -> None:
    """Errors that cannot be had from a server here; hints of the server's own are left out, ours stand instead."""
    untrusted = explain(ssl.SSLCertVerificationError("certificate verify failed"), "d")
    assert "sslrootcert" in str(untrusted) and untrusted.exit_code == Exit.SETTINGS
    assert "no firewall" in str(explain(TimeoutError(), "d"))
    assert explain(asyncpg.CannotConnectNowError("starting up"), "d").exit_code == Exit.UNAVAILABLE
    strange = explain(asyncpg.PostgresError("odd\nHINT:  none"), "d")
    assert str(strange) == "d: odd; the database's log may tell more"
