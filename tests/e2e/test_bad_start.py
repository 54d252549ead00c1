"""A start that cannot go on: the real command names cause and remedy in one line, exits as documented, and leaves
nothing half-done. No password is ever shown."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eventmill.errors import Exit
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import auth_headers, call, free_port
from tests.e2e.harness.database import DatabaseServer
from tests.store.pg_binaries import server_user
from tests.waiting import eventually

SECRET = "Keep/this%out-of-sight"
WRITTEN = "Keep%2Fthis%25out-of-sight"
_numbers = count(1)


class Servers(NamedTuple):
    primary: DatabaseServer
    standby: DatabaseServer

    def run(self, statement: str, database: str = "postgres") -> Any:
        return asyncio.run(self.primary.execute(statement, database))

    def dsn(self, database: str, user: str = f"gateway:{WRITTEN}") -> str:
        return f"postgresql://{user}@{self.primary.address}/{database}"

    def empty(self, *, name: str = "", how: str = "") -> str:
        """A new database."""
        name = name or f"empty{next(_numbers)}"
        self.run(f"CREATE DATABASE {name} {how}")
        return name

    def made(self) -> str:
        """A new database with this version's schema."""
        name = self.empty()
        assert eventmill("migrate", "up", "--store", self.dsn(name)).returncode == 0
        return name


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """A server whose databases `locked` and `wrapped` ask for a password and for TLS, and a standby of it."""
    with DatabaseServer.new() as primary:
        rules = primary.data / "pg_hba.conf"
        asks = ("host locked all all scram-sha-256", "hostssl wrapped all all trust", "host wrapped all all reject")
        rules.write_text("\n".join((*asks, rules.read_text())))
        with primary.standby() as standby:
            primary.start()
            standby.start()
            yield Servers(primary, standby)


def eventmill(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "eventmill", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def refused(data: Path, dsn: str, code: Exit = Exit.SETTINGS, *, command: str = "serve") -> str:
    """The one line that a command says of why it does not start."""
    flags = ("serve", "--data", str(data), "--port", str(free_port())) if command == "serve" else command.split()
    done = eventmill(*flags, EVENTMILL_STORE=dsn)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert "Traceback" not in done.stderr
    assert (done.returncode, len(lines)) == (code, 1), done.stderr
    assert lines[0].startswith("eventmill: ")
    assert SECRET not in done.stderr and WRITTEN not in done.stderr
    return lines[0]


def tables(servers: Servers, database: str) -> int:
    """How much of ours is in a database."""
    found = servers.run("SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('eventmill')", database)
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize(
    ("dsn", "code", "cause", "remedy"),
    [
        ("postgres:/x@y/z", Exit.SETTINGS, "--store must be like postgresql://", "or empty for files"),
        (
            "postgresql://gateway@127.0.0.1:port/x",
            Exit.SETTINGS,
            "--store cannot be read",
            "must be like postgresql://",
        ),
        (f"postgresql://gateway:{SECRET}@h/x", Exit.SETTINGS, "--store cannot be read", "written as %XX"),
        (
            f"postgresql://gateway:{WRITTEN}@[::1/x",
            Exit.SETTINGS,
            "--store cannot be read",
            "must be like postgresql://",
        ),
        (
            "postgresql://u@host.invalid/x",
            Exit.UNAVAILABLE,
            "x at host.invalid cannot be reached",
            "check the host name",
        ),
        (
            "postgresql://u@127.0.0.1:1/x",
            Exit.UNAVAILABLE,
            "x at 127.0.0.1:1 cannot be reached",
            "check that PostgreSQL runs there",
        ),
        (
            "postgresql:///x?host=/nowhere",
            Exit.UNAVAILABLE,
            "at /nowhere cannot be reached",
            "host and port of --store",
        ),
    ],
)
def test_a_server_that_cannot_be_found(tmp_path: Path, dsn: str, code: Exit, cause: str, remedy: str) -> None:
    """A URL that cannot be read, or leads nowhere."""
    message = refused(tmp_path, dsn, code, command="migrate up")
    assert cause in message and remedy in message


def test_a_server_of_something_else(tmp_path: Path, start_gateway: StartGateway) -> None:
    """Who answers is no PostgreSQL."""
    other = start_gateway("--dev")
    message = refused(tmp_path, f"postgresql://u:{WRITTEN}@127.0.0.1:{other.port}/x", Exit.UNAVAILABLE)
    assert "cannot be reached" in message and "check that PostgreSQL runs there" in message


def not_let_in(data: Path, dsn: str, code: Exit = Exit.SETTINGS) -> str:
    return refused(data, dsn, code, command="migrate up")


def test_who_is_not_let_in(servers: Servers, tmp_path: Path) -> None:
    """The wrong password, role or database, or no TLS where it must be."""
    for name in ("locked", "wrapped"):
        servers.empty(name=name)
    servers.run("CREATE ROLE guarded LOGIN PASSWORD 'other'")
    assert "check user and password" in not_let_in(tmp_path, servers.dsn("locked", f"guarded:{WRITTEN}"))
    assert 'role "nobody" does not exist' in not_let_in(tmp_path, servers.dsn("postgres", "nobody"))
    missing = not_let_in(tmp_path, servers.dsn("missing"))
    assert 'database "missing" does not exist' in missing and "createdb" in missing
    assert "add ?sslmode=require" in not_let_in(tmp_path, servers.dsn("wrapped"))
    message = not_let_in(tmp_path, servers.dsn("wrapped") + "?sslmode=require", Exit.UNAVAILABLE)
    assert "rejected SSL upgrade" in message
    servers.run("CREATE DATABASE closed")
    servers.run("ALTER DATABASE closed CONNECTION LIMIT 0")
    servers.run("CREATE ROLE plain LOGIN")
    assert "connection limit" in not_let_in(tmp_path, servers.dsn("closed", "plain"), Exit.UNAVAILABLE)


@pytest.mark.slow
def test_a_standby_alone(servers: Servers, tmp_path: Path) -> None:
    """It takes no writes: name the primary, or all hosts. With all of them the order does not matter."""
    name = servers.made()
    standby = servers.standby.address
    message = refused(tmp_path, f"postgresql://gateway@{standby}/{name}", Exit.UNAVAILABLE)
    assert "only standbys answered" in message and "name the primary, or all hosts" in message
    both = f"postgresql://gateway@{standby},{servers.primary.address}/{name}"
    assert eventmill("migrate", "check", "--store", both).returncode == 0


def test_a_database_that_takes_no_writes(servers: Servers, tmp_path: Path) -> None:
    """Somebody has set it so."""
    name = servers.empty()
    servers.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "takes no writes" in refused(tmp_path, servers.dsn(name), Exit.UNAVAILABLE)


def test_an_encoding_that_cannot_hold_names(servers: Servers, tmp_path: Path) -> None:
    """Found before anything is made."""
    name = servers.empty(how="ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    message = refused(tmp_path, servers.dsn(name))
    assert "has the encoding SQL_ASCII" in message and "createdb --encoding=UTF8 --template=template0" in message
    assert tables(servers, name) == 0


@pytest.mark.slow
def test_rights_that_are_missing(servers: Servers, tmp_path: Path) -> None:
    """To make the schema, to see it, to write into one table, to make the tables of a day: each by its name."""
    servers.run("CREATE ROLE guest LOGIN")
    name = servers.empty()
    guest = servers.dsn(name, "guest")
    message = refused(tmp_path, guest)
    assert "permission denied" in message and f'GRANT CREATE ON DATABASE "{name}" TO "guest"' in message
    assert tables(servers, name) == 0
    assert eventmill("migrate", "up", "--store", servers.dsn(name)).returncode == 0
    assert "may not use the schema eventmill" in refused(tmp_path, guest)
    servers.run("GRANT USAGE ON SCHEMA eventmill TO guest", name)
    servers.run("GRANT SELECT ON ALL TABLES IN SCHEMA eventmill TO guest", name)
    message = refused(tmp_path, guest)
    assert "lacks INSERT, UPDATE, DELETE on the table eventmill." in message
    assert 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA eventmill TO "guest"' in message
    servers.run("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA eventmill TO guest", name)
    message = refused(tmp_path, guest)
    assert "does not own the table" in message and 'GRANT "gateway" TO "guest"' in message
    servers.run("CREATE DATABASE own OWNER guest")
    own = servers.dsn("own", "guest")
    assert eventmill("migrate", "up", "--store", own).returncode == 0
    servers.run("REVOKE INSERT ON eventmill.doc FROM guest", "own")
    assert "lacks INSERT on the table eventmill.doc" in refused(tmp_path, own)


def doctor(dsn: str, data: Path, **variables: str) -> dict[str, str]:
    """What `eventmill doctor` takes for a problem of the database and its secrets, and its remedy."""
    done = eventmill(
        "doctor", "--json", "--data", str(data), "--port", str(free_port()), EVENTMILL_STORE=dsn, **variables
    )
    problems = [each for each in json.loads(done.stdout) if each["level"] == "problem" and each["about"] != "base URL"]
    return {each["about"]: f"{each['cause']}; {each['remedy']}" for each in problems}


@pytest.mark.slow
def test_the_doctor_finds_them_beforehand(servers: Servers, tmp_path: Path, start_gateway: StartGateway) -> None:
    """What a start of one more node would be refused for: another key or none that can be read, missing rights, a
    database that takes no writes. It changes nothing, and where nothing is amiss it says so."""
    name = servers.empty()
    gateway = start_gateway("--dev", "--store", servers.dsn(name))
    assert doctor(servers.dsn(name), gateway.data) == {}
    gateway.stop()
    other = base64.b64encode(bytes(32)).decode()
    found = doctor(servers.dsn(name), gateway.data, EVENTMILL_SEAL_KEY=other)
    assert set(found) == {"sealing key"} and "sealed with another key" in found["sealing key"]
    found = doctor(servers.dsn(name), gateway.data, EVENTMILL_SEAL_KEY="short")
    assert set(found) == {"sealing key"} and "/dev/urandom" in found["sealing key"]
    servers.run("CREATE ROLE looker LOGIN")
    servers.run("GRANT USAGE ON SCHEMA eventmill TO looker", name)
    servers.run("GRANT SELECT ON ALL TABLES IN SCHEMA eventmill TO looker", name)
    assert "lacks INSERT, UPDATE, DELETE" in doctor(servers.dsn(name, "looker"), gateway.data)["store"]
    servers.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "takes no writes" in doctor(servers.dsn(name), gateway.data)["store"]


def test_a_schema_of_somebody_else(servers: Servers, tmp_path: Path) -> None:
    """It stays as it is; tables beside it are nobody's trouble."""
    name = servers.empty()
    servers.run("CREATE SCHEMA eventmill CREATE TABLE gateway (x integer)", name)
    servers.run("CREATE TABLE event (x integer)", name)
    message = refused(tmp_path, servers.dsn(name))
    assert "a schema eventmill that is not ours" in message and "ALTER SCHEMA eventmill RENAME TO" in message
    assert tables(servers, name) == 1
    servers.run("ALTER SCHEMA eventmill RENAME TO theirs", name)
    assert eventmill("migrate", "up", "--store", servers.dsn(name)).returncode == 0


@pytest.mark.slow
def test_a_schema_of_another_version(servers: Servers, tmp_path: Path) -> None:
    """Newer, of another build, or not whole: exit code 4 where another program is needed, and nothing is changed."""
    name = servers.made()
    before = tables(servers, name)
    servers.run("DROP TABLE eventmill.gateway", name)
    assert "restore the database from a backup" in refused(tmp_path, servers.dsn(name))
    servers.run("INSERT INTO eventmill.migration (number, name, checksum) VALUES (999, 'later', '')", name)
    assert "start the newer version that made it" in refused(tmp_path, servers.dsn(name), Exit.SCHEMA)
    assert eventmill("migrate", "check", "--store", servers.dsn(name)).returncode == Exit.SCHEMA
    servers.run("UPDATE eventmill.migration SET checksum = 'other'", name)
    assert "another migration 1 (initial)" in refused(tmp_path, servers.dsn(name), Exit.SCHEMA)
    assert tables(servers, name) == before - 2  # the table and its key


@pytest.fixture
def full(servers: Servers) -> Iterator[tuple[str, Callable[[], None]]]:
    """A database whose disk is full, and what makes room on it. A real small disk where one can be mounted, else what
    the server says of one."""
    name = f"full{next(_numbers)}"
    place = servers.primary.data.parent / name
    place.mkdir()
    if os.getuid() != 0 or not mount(place):
        servers.empty(name=name)
        for statement in FULL:
            servers.run(statement, name)
        yield name, lambda: servers.run("DROP EVENT TRIGGER full_disk", name)
        return
    ballast = place / "ballast"
    try:
        servers.run(f"CREATE TABLESPACE {name} LOCATION '{place}'")
        ballast.write_bytes(bytes(12 << 20))
        servers.empty(name=name, how=f"TABLESPACE {name}")
        for statement in FILL:
            servers.run(statement, name)
        yield name, ballast.unlink
    finally:
        ballast.unlink(missing_ok=True)  # the server writes on while it drops
        try:
            servers.run(f"DROP DATABASE {name} (FORCE)")
            servers.run(f"DROP TABLESPACE {name}")
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


FILL = (
    "CREATE TABLE junk (x text)",
    "ALTER TABLE junk ALTER x SET STORAGE PLAIN",
    # What was taken from the disk stays taken, though the transaction ends in an error.
    """DO $$ BEGIN LOOP
        INSERT INTO junk VALUES (repeat('x', 7000));
    END LOOP; EXCEPTION WHEN disk_full THEN END $$""",
)
FULL = (
    """CREATE FUNCTION full_disk() RETURNS event_trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$""",
    "CREATE EVENT TRIGGER full_disk ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION full_disk()",
)


def mount(place: Path) -> bool:
    user = server_user()
    command = ["mount", "-t", "tmpfs", "-o", f"size=32m,uid={user},mode=0700", "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
def test_a_full_disk(servers: Servers, full: tuple[str, Callable[[], None]], tmp_path: Path) -> None:
    """A first start leaves nothing of its schema; with room on the disk the next one goes through."""
    name, make_room = full
    message = refused(tmp_path, servers.dsn(name), Exit.UNAVAILABLE)
    assert "No space left on device" in message and "make room on the database's disk" in message
    make_room()  # first: to read, the server may have to write what it still has in memory
    assert tables(servers, name) == 0
    assert eventmill("migrate", "up", "--store", servers.dsn(name)).returncode == 0


@pytest.mark.on_files  # the format of the files; a database's is in the tests above
def test_a_directory_of_another_version(start_gateway: StartGateway) -> None:
    """Files of a newer version; and of this one, which a gateway has in use."""
    gateway = start_gateway("--dev")
    data = str(gateway.data)
    assert "in use by process" in eventmill("migrate", "up", "--data", data).stderr
    gateway.stop()
    assert "Nothing to do" in eventmill("migrate", "up", "--data", data).stdout
    make_newer = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version = 999')"
    subprocess.run([sys.executable, "-c", make_newer, f"{data}/state.db"], check=True)
    for command in (("serve", "--port", str(free_port())), ("migrate", "check")):
        done = eventmill(*command, "--data", data)
        assert done.returncode == Exit.SCHEMA
        assert "has format 999, but this version reads up to" in done.stderr


@pytest.mark.slow
def test_no_password_is_shown(servers: Servers, start_gateway: StartGateway) -> None:
    """In no log line, metric, page of the console, refusal or list of processes: not while all is well, and not while
    the database is lost."""
    servers.run("CREATE ROLE discreet LOGIN")
    name = servers.empty(how="OWNER discreet")
    dsn = servers.dsn(name, f"discreet:{WRITTEN}")
    gateway = start_gateway("--dev", "--store", dsn, "--log-level", "debug")
    env = gateway.env("--store", dsn)
    console = f"/ui/orgs/{env['consumer_org_id']}"
    seen = [str(env)]
    pages = ("/metrics", "/readyz", "/ui/", f"{console}/operations", f"{console}/operations/settings")
    seen += [call("GET", f"{gateway.url}{page}", auth_headers(env)).body.decode() for page in pages]
    assert any("postgresql://" in page for page in seen), "the settings show the store"
    assert gateway.process is not None
    commands = processes(gateway.process.pid)
    assert any(b"--store" in command for command in commands)
    servers.run(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    servers.run(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'")
    asyncio.run(eventually(lambda: call("GET", f"{gateway.url}/readyz").status == 503, "the gateway notices"))
    seen += [call("GET", f"{gateway.url}{page}", auth_headers(env)).body.decode() for page in pages]
    seen += [done.stdout + done.stderr for done in (eventmill("env", "--store", dsn), eventmill("migrate", "check"))]
    servers.run(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
    asyncio.run(eventually(lambda: call("GET", f"{gateway.url}/readyz").status == 200, "the gateway recovers"))
    gateway.stop()
    everything = b"\n".join((gateway.log_path.read_bytes(), *commands, *(text.encode() for text in seen)))
    for secret in (SECRET, WRITTEN, "out-of-sight"):
        assert secret.encode() not in everything


def processes(group: int) -> list[bytes]:
    """The command lines of a process group, as everybody on the machine sees them."""
    listed = subprocess.run(["ps", "-o", "pid=", "-g", str(group)], capture_output=True, text=True, check=True).stdout
    return [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in listed.split()]
