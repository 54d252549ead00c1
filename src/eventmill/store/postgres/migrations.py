"""Brings the database to the schema this version works with: numbered `.sql` files, each applied in one transaction.

One process at a time does so, under an advisory lock that it holds to the end of each transaction; a process that was
killed leaves whole steps. Steps that only add run at the first start of a version, beside nodes of the one before;
those that take away only when asked for, and not before those nodes are gone. Never goes back: a schema from which a
later version took something away stops the start.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import cache
from uuid import UUID

import asyncpg
import msgspec

from eventmill import __version__
from eventmill.errors import Exit, StartupError
from eventmill.store.migrate import LiveNode, Migration, SchemaStatus, Step, load_migrations, steps_of
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.queries import load_queries

_SQL = load_queries("schema")
_MADE = re.compile(r"^CREATE (?:UNLOGGED )?TABLE eventmill\.(\w+)", re.MULTILINE)
_DROPPED = re.compile(r"^DROP TABLE eventmill\.(\w+)", re.MULTILINE)
_COLUMNS = {"number", "name", "checksum", "additive", "applied"}
_QUIET_S = 60.0
"""A node that gave no sign of life for so long is gone; it says something every five seconds."""
_ROUNDS = 30
"""How often a step that meets others' locks is tried. Each time it waits two seconds for them."""
_PAUSE_S = 0.5


@cache
def packaged() -> tuple[Migration, ...]:
    return tuple(load_migrations(__package__, "sql/migrations"))


class Applied(msgspec.Struct, frozen=True):
    number: int
    name: str
    checksum: str
    additive: bool


class Migrations:
    """`database` names it in messages. Everything raises `StartupError`, and errors of asyncpg."""

    def __init__(self, connection: Connection, database: str, migrations: Sequence[Migration] | None = None) -> None:
        self._connection = connection
        self._database = database
        self._migrations = packaged() if migrations is None else migrations
        self._newest = self._migrations[-1].number

    async def add(self) -> tuple[int, int]:
        """Apply the steps that only add; on a database without a schema all there are, at once or not at all. Returns
        the highest step before and after."""
        before = max((each.number for each in await self.applied()), default=0)
        await self.bring_up(post=False)
        return before, max(each.number for each in await self.applied())

    async def bring_up(self, *, post: bool) -> list[Migration]:
        """Apply what is pending; with `post` the steps that take away too, after the others. Those are refused while a
        node is alive whose version may need what goes."""
        done = await self._apply([each for each in self._migrations if not each.post])
        if post:
            done += await self._apply([each for each in self._migrations if each.post])
        return done

    async def applied(self) -> list[Applied]:
        """What the database has, checked: this version can work with it."""
        present = await self._present()
        if present["columns"] is None:
            return []
        applied = [Applied(**row) for row in await self._connection.fetch(_SQL["applied"])]
        self._check(applied)
        return applied

    async def check_whole(self) -> None:
        """Whether the tables are there that the steps have made."""
        applied = {each.number for each in await self.applied()}
        made: set[str] = set()
        for step in self._migrations:
            if step.number in applied:
                made |= set(_MADE.findall(step.sql))
                made -= set(_DROPPED.findall(step.sql))
        missing = await self._connection.fetchval(_SQL["missing_table"], sorted(made))
        if missing is not None:
            raise StartupError(
                f"{self._database}: the schema eventmill lacks the table {missing}, which somebody dropped; "
                "restore the database from a backup"
            )

    async def join(self, node: UUID) -> None:
        """Put a node on record, and see once more that the schema is for it: no step comes in between."""
        async with self._connection.transaction():
            await self._connection.execute(_SQL["share_migrations"])
            await self.applied()
            await self._connection.execute(_SQL["note_node"], node, __version__, self._newest)

    async def status(self) -> SchemaStatus:
        applied = {each.number: each for each in await self.applied()}
        known = {each.number for each in self._migrations}
        later = (
            Step(each.number, each.name, "pre", "unknown") for number, each in applied.items() if number not in known
        )
        return SchemaStatus(
            store=self._database,
            schema=max(applied, default=0),
            program=self._newest,
            steps=(*steps_of(self._migrations, set(applied)), *later),
            nodes=await live_nodes(self._connection) if applied else (),
        )

    async def _present(self) -> asyncpg.Record:
        row = await self._connection.fetchrow(_SQL["present"])
        assert row is not None
        if row["has_schema"] and not row["usable"]:
            raise StartupError(
                f"{self._database}: the role {row['role']} may not use the schema eventmill; connect as its owner, "
                f'or make the role a member of it: GRANT "{row["owner"]}" TO "{row["role"]}"'
            )
        if row["any_table"] is not None and not set(row["columns"] or ()) >= _COLUMNS:
            raise StartupError(
                f"{self._database} has a schema eventmill that is not ours: it holds {row['any_table']!r}, and no "
                "record of our migrations; rename it (ALTER SCHEMA eventmill RENAME TO ...), or name another database"
            )
        return row

    def _check(self, applied: Sequence[Applied]) -> None:
        known = {each.number: each for each in self._migrations}
        for each in applied:
            migration = known.get(each.number)
            if migration is not None and migration.checksum != each.checksum:
                raise StartupError(
                    f"{self._database} was made by a build with another migration {each.number} ({migration.name}); "
                    "start that build, or name another database",
                    Exit.SCHEMA,
                )
            if migration is None and not each.additive:
                raise StartupError(
                    f"{self._database} has schema {max(row.number for row in applied)}, but this version works with up "
                    f"to {self._newest}; start the newer version that made it, or name another database",
                    Exit.SCHEMA,
                )

    async def _apply(self, wanted: Sequence[Migration]) -> list[Migration]:
        done: list[Migration] = []
        rounds = 0
        while True:
            try:
                made = await self._apply_next(wanted)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                rounds += 1
                if rounds == _ROUNDS:
                    raise StartupError(
                        f"{self._database}: a migration waits for a lock that something else holds ({error}); "
                        "end what runs there for long (see pg_stat_activity), and try again",
                        Exit.UNAVAILABLE,
                    ) from error
                await asyncio.sleep(_PAUSE_S)
                continue
            except asyncpg.InsufficientPrivilegeError as error:
                raise await self._say_right(error) from error
            if not made:
                return done
            done += made

    async def _apply_next(self, wanted: Sequence[Migration]) -> list[Migration]:
        """One step, or everything in an empty database; whichever process comes second finds it done."""
        async with self._connection.transaction():
            await self._connection.execute(_SQL["lock_migrations"])
            await self._connection.execute(_SQL["hurry"])
            applied = {each.number for each in await self.applied()}
            missing = [each for each in wanted if each.number not in applied]
            steps = missing[:1] if applied else list(self._migrations)
            if steps and not applied:
                await self._make_record()
            for step in steps:
                if step.post and applied:
                    await self._check_gone(step)
                await self._run(step)
            return steps

    async def _say_right(self, error: asyncpg.InsufficientPrivilegeError) -> StartupError:
        present = await self._present()
        if present["has_schema"]:
            remedy = (
                f'connect as its owner, or make the role a member: GRANT "{present["owner"]}" TO "{present["role"]}"'
            )
        else:
            remedy = (
                "give the role the right to make the schema: "
                f'GRANT CREATE ON DATABASE "{present["database"]}" TO "{present["role"]}"'
            )
        return StartupError(f"{self._database}: {error}; {remedy}")

    async def _make_record(self) -> None:
        present = await self._present()
        if not present["has_schema"]:
            await self._connection.execute(_SQL["make_schema"])
        if present["columns"] is None:
            await self._connection.execute(_SQL["make_record"])

    async def _run(self, step: Migration) -> None:
        await self._connection.execute(step.sql)
        await self._connection.execute(_SQL["note_applied"], step.number, step.name, step.checksum, not step.post)

    async def _check_gone(self, step: Migration) -> None:
        """No node can come while this transaction runs: it would join under the same lock."""
        older = [node for node in await live_nodes(self._connection) if node.schema < step.number]
        if older:
            listed = ", ".join(
                f"{node.id} (version {node.version or 'unknown'}, {node.seen_s} s ago)" for node in older
            )
            raise StartupError(
                f"{self._database}: step {step.number} ({step.name}) takes away what nodes of an earlier version use, "
                f"and such are alive: {listed}; stop them, or wait a minute after they ended",
                Exit.PENDING,
            )


async def note_node(connection: Connection, node: UUID) -> int:
    """A sign of life; returns the database's time, in milliseconds."""
    server_ms: int = await connection.fetchval(_SQL["note_node"], node, __version__, packaged()[-1].number)
    return server_ms


async def live_nodes(connection: Connection) -> tuple[LiveNode, ...]:
    """Those that gave a sign of life within a minute, or hold leases."""
    if not await connection.fetchval(_SQL["has_versions"]):
        return ()
    return tuple(LiveNode(**row) for row in await connection.fetch(_SQL["live_nodes"], _QUIET_S))
