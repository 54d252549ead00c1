"""The shared engine: one node's view of a database that any number of nodes use, behind the store protocol.

Writes go over channels, on which each piece is done exactly once; reads over a pool. Everything here runs in one event
loop. What this process caches never decides: routing epochs, leases and limits are checked where they are committed.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Literal
from uuid import uuid4

import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import Reason, StoreUnavailable
from eventmill.model import Lane, OrgId
from eventmill.store.children import Heard, ignore_beat
from eventmill.store.control import ControlOp, Versioned
from eventmill.store.log import Appended, NewEvent
from eventmill.store.observe import Totals, UnmatchedBatch
from eventmill.store.postgres.appends import Appends
from eventmill.store.postgres.audit import drop_records
from eventmill.store.postgres.backlog import BacklogReads
from eventmill.store.postgres.channel import Channel, Work
from eventmill.store.postgres.channel import Terms as ChannelTerms
from eventmill.store.postgres.children import ChildLines
from eventmill.store.postgres.commits import Commits, TraceCall, WorkCall
from eventmill.store.postgres.connect import Connection, Hosts, shown
from eventmill.store.postgres.control import ControlWrite
from eventmill.store.postgres.counted import Counted
from eventmill.store.postgres.days import DAY_MS
from eventmill.store.postgres.drift import Drift, DriftReads
from eventmill.store.postgres.facts import Facts
from eventmill.store.postgres.feed import Feed
from eventmill.store.postgres.fellows import PostgresFellows
from eventmill.store.postgres.hints import Hint
from eventmill.store.postgres.leases import Leases, Terms
from eventmill.store.postgres.listeners import Listeners
from eventmill.store.postgres.migrations import Migrations, note_node
from eventmill.store.postgres.nodes import NodeReads
from eventmill.store.postgres.partitions import Partitions
from eventmill.store.postgres.permits import PostgresPermits
from eventmill.store.postgres.pooling import check_sessions
from eventmill.store.postgres.presidency import Presidency
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading
from eventmill.store.postgres.retention import Expiry
from eventmill.store.postgres.starting import check_clock, check_mode, check_rights, connect_first, explained
from eventmill.store.postgres.unmatched import drop_observed, put_unmatched
from eventmill.store.work import SlotLease, TraceRecord, WorkCommit
from eventmill.store.write_rules import is_unrouted

_log = structlog.get_logger()
_CATALOGUE, _SCHEMA = load_queries("catalogue"), load_queries("schema")
_APPEND_CHANNELS = 2
_UNTIL_KNOWN = ChannelTerms(patience_s=math.inf)
"""Progress is not given up while its outcome is unknown: given again, it would count twice."""
_MANY_OPS = ChannelTerms(answer_s=20)
"""A write may hold thousands of documents, and one after it waits for it."""
_AT_LEISURE = ChannelTerms(answer_s=600)
"""However much has to be put on record before a day is dropped, or is to be deleted."""
_TRACES_S = 10.0
_LAST_S = 2.0
_START_S = 60
"""For other nodes that are starting, one after the other; longer only if one hangs."""


class PostgresStore(BacklogReads, DriftReads, NodeReads):
    """Implements `store.base.Store`. `delivers`: whether this process takes slots."""

    def __init__(
        self, config: Config, clock: Clock, *, delivers: bool | None = None, terms: Terms | None = None
    ) -> None:
        self._config = config
        self._dsn = config.store
        self._clock = clock
        self._traces_kept = config.traces_kept
        self._delivers = config.dev if delivers is None else delivers
        self._terms = terms or Terms.of(config.lease_ttl_s)
        self._node = uuid4()
        self._hosts: Hosts
        self._pool = Reading(self._lost)
        self._facts = Facts(self._pool)
        self._drift = Drift(shown(self._dsn))
        self._partitions = Partitions(self._pool)
        self._counted = Counted(self._pool, clock)
        self.permits = PostgresPermits(self._pool)
        self.fellows = PostgresFellows(self._pool, self._node, self._has_moved)
        self._presidency = Presidency(self._pool, self._node, self._terms)
        self._listeners = Listeners()
        self._dropped = self._expired = 0
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []
        appending = [Channel(self._dial, uuid4(), lost=self._lost) for _ in range(_APPEND_CHANNELS)]
        self._control, self._unrouted = self._channel(_MANY_OPS), self._channel(_MANY_OPS)
        self._work, self._upkeep = self._channel(_UNTIL_KNOWN), self._channel(_AT_LEISURE)
        self._channels = [*appending, self._control, self._unrouted, self._work, self._upkeep]
        self._appends = Appends(appending, self._facts, self._partitions, clock)
        self._appends.on_appended = self._has_appended
        self._commits = Commits(self._work, self._node, self._traces_kept, self._partitions, clock)
        self._feed = Feed(self._dial, clock, self._notify, self._hear, self._do_chores)
        self._feed.on_fallen_back = self._facts.forget_everything
        self._feed.wants_appends = lambda: self._delivers or bool(self._listeners.of_appends)
        self._leases: Leases | None = None
        self._children = ChildLines()

    # Life

    async def open(self) -> None:
        with explained(self._dsn):
            await self._migrate()
            try:
                await self._begin()
            except BaseException:
                await self.close()
                raise
        _log.info(telemetry.STORE_OPENED, data=shown(self._dsn), node=str(self._node))

    async def _migrate(self) -> None:
        connection = await connect_first(self._dsn)
        try:
            await check_sessions(self._dsn)
            await check_clock(connection, self._drift, self._clock)
            migrations = Migrations(connection, shown(self._dsn))
            before, now = await migrations.add()
            await migrations.check_whole()
            await check_rights(connection, shown(self._dsn))
            await check_mode(connection, shown(self._dsn), dev=self._config.dev)
            await migrations.join(self._node)
            await connection.execute(load_queries("channel")["forget_old"])
        finally:
            await connection.close()
        self._hosts = Hosts(self._dsn)
        self._feed.on_silent = self._hosts.drop_all
        if 0 < before < now:
            _log.info(telemetry.STORE_MIGRATED, before=before, now=now)

    async def _begin(self) -> None:
        self._appends.start()
        self._commits.start()
        await self._pool.open(self._hosts)
        await self._partitions.make_ahead(self._clock.now_ms() // DAY_MS)
        await self._facts.refresh_bytes()
        self._feed.seen_clock = await self._clock_row()
        self._tasks.append(asyncio.create_task(self._feed.run()))
        if self._delivers:
            self._leases = Leases(self._dial, self._node, self._terms, self._notify)
            self._feed.on_freed = self._leases.look
            await self._leases.turn()
            self._tasks.append(asyncio.create_task(self._leases.run()))

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        for channel in self._channels:
            channel.hurry()
        await self._appends.stop()
        await self._commits.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._leases is not None:
            await self._leases.close()
        await self._children.close()
        await asyncio.gather(*[channel.close() for channel in self._channels])
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_LAST_S):
                await self._presidency.close()
                await self._pool.execute(load_queries("work")["leave"], self._node)
        await self._pool.close()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        with explained(self._dsn):
            connection = await self._dial()
            try:
                await connection.execute(_SCHEMA["wait_at_most"], f"{_START_S}s")
                await connection.execute(_SCHEMA["lock_start"])
                yield
            finally:
                await connection.close(timeout=_LAST_S)  # and with it the lock

    def on_change(self, callback: Callable[[], None]) -> None:
        self._listeners.of_changes.append(callback)

    def on_append(self, callback: Callable[[], None]) -> Callable[[], None]:
        stop = self._listeners.hear_appends(callback)
        self._feed.wake()
        return stop

    def on_documents(self, callback: Callable[[], None]) -> None:
        self._listeners.of_documents.append(callback)

    def take_hints(self) -> dict[int, int] | None:
        return self._listeners.take_heads()

    # Control

    async def write(self, ops: Sequence[ControlOp]) -> list[Versioned]:
        self._check_open()
        docs: list[Versioned] = []

        async def write(connection: Connection) -> list[int]:
            control = ControlWrite(connection)
            await control.apply(ops)
            docs[:] = control.docs
            return []

        await (self._unrouted if is_unrouted(ops) else self._control).run(write)
        self._has_moved()
        return docs

    async def allocate(self, counter: Literal["lane", "tenant"]) -> int:
        self._check_open()

        async def allocate(connection: Connection) -> list[int]:
            return [await connection.fetchval(_CATALOGUE["next_number"], counter)]

        return (await self._control.run(allocate))[0]

    async def set_clock(self, offset_ms: int, jumped_ms: int) -> None:
        self._feed.own_clock = offset_ms, jumped_ms
        await self._run(self._control, lambda connection: _set_clock(connection, offset_ms, jumped_ms))

    async def reset(self) -> None:
        await self._run(self._control, _empty)
        self._facts.forget()
        await self._facts.refresh_bytes()

    # Event log

    def append_durable(self, events: Sequence[NewEvent]) -> asyncio.Future[Appended]:
        future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        refusal = self.refusal()
        if refusal is not None:
            future.set_exception(refusal)
        elif not events:
            future.set_exception(ValueError("an append needs an event"))
        else:
            self._appends.put(events, future)
        return future

    def refusal(self) -> StoreUnavailable | None:
        if self._closing:
            return StoreUnavailable("the gateway is shutting down", Reason.SHUTTING_DOWN)
        if lost := self._feed.lost:
            return StoreUnavailable(lost)
        if wrong := self._drift.refusal():
            return StoreUnavailable(wrong)
        return self._appends.refusal()

    def stored_bytes(self, org: OrgId) -> int:
        return self._facts.stored_bytes.get(org, 0)

    async def expire(self, before_ms: int) -> int:
        self._check_open()
        expiry = Expiry(self._pool, self._upkeep, before_ms, self._clock.now_ms())
        try:
            await expiry.run()
        finally:
            self._facts.forget()
            self._partitions.forget()
            self._dropped += expiry.dropped
            self._expired += expiry.expired
            self._has_moved()
        await self._facts.refresh_bytes()
        return expiry.dropped

    # Looking back

    async def drop_observed(self, traces_before_ms: int, unmatched_before_ms: int) -> None:
        before = (traces_before_ms, unmatched_before_ms)
        await self._run(self._upkeep, lambda connection: drop_observed(connection, self._config, *before))
        await self.permits.forget_full()

    async def note_unmatched(self, batches: Sequence[UnmatchedBatch]) -> None:
        await self._run(self._upkeep, lambda connection: put_unmatched(connection, batches, self._config))

    async def totals(self) -> Totals:
        stored = sum(self._facts.stored_bytes.values())
        sums = self.delivered + self._children.sums + Counter(expired=self._expired)
        return Totals(events=self._appends.appended, stored_bytes=stored, dropped_segments=self._dropped, **sums)

    async def drop_phi_audit(self, before_ms: int) -> None:
        await self._run(self._upkeep, lambda connection: drop_records(connection, before_ms))

    # Work

    async def leases(self) -> tuple[SlotLease, ...]:
        return () if self._leases is None else self._leases.held()

    @property
    def slots_held(self) -> int:
        return 0 if self._leases is None else len(self._leases.held())

    @property
    def delivered(self) -> Counter[str]:
        """What this process's commits counted, as `Totals` names it."""
        return self._commits.sums

    async def commit(self, work: WorkCommit) -> frozenset[int]:
        self._check_open()
        future: asyncio.Future[frozenset[int]] = asyncio.get_running_loop().create_future()
        self._commits.put(WorkCall(work, future))
        return await future

    async def add_traces(self, lane: Lane, traces: Sequence[TraceRecord]) -> None:
        self._check_open()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._commits.put(TraceCall(lane, traces, future))
        try:
            async with asyncio.timeout(_TRACES_S):  # a request waits for this
                await future
        except TimeoutError:
            raise StoreUnavailable("the database does not answer") from None

    async def counted(self, watched: Collection[Lane]) -> set[Lane]:
        return await self._counted.grown(watched)

    async def presidency(self) -> int:
        self._check_open()
        return await self._presidency.term()

    # Delivery children

    def attach_child(self, sock: socket.socket, _index: int, _count: int, heard: Heard = ignore_beat) -> None:
        """They find their slots themselves."""
        self._children.attach(sock, heard)

    def drain_children(self) -> None:
        self._children.drain()

    # Below

    def _channel(self, terms: ChannelTerms) -> Channel:
        return Channel(self._dial, uuid4(), terms, str if terms is _UNTIL_KNOWN else self._takes_no_writes)

    def _takes_no_writes(self) -> str:
        return self._lost() or self._appends.unconfirmed

    def _lost(self) -> str:
        return self._feed.lost

    async def _dial(self) -> Connection:
        return await self._hosts.connect()

    async def _run(self, channel: Channel, work: Work) -> Sequence[int]:
        self._check_open()
        result = await channel.run(work)
        self._has_moved()
        return result

    def _check_open(self) -> None:
        if self._closing:
            raise StoreUnavailable("the gateway is shutting down", Reason.SHUTTING_DOWN)

    def _has_moved(self) -> None:
        self._notify()
        self._feed.tell()

    def _notify(self) -> None:
        self._listeners.tell_anything(self._feed.epoch)

    def _has_appended(self, heads: dict[int, int], slots: set[int]) -> None:
        self._listeners.tell_appended(heads)
        self._feed.tell_appended(heads, slots)

    def _hear(self, hint: Hint) -> None:
        """Of another node's append. What is for none of this process's lanes is passed over; it is read when something
        else is, because the log is read from where it was read to."""
        if hint.slots is None or (self._leases is not None and self._leases.holds_any(hint.slots)):
            self._listeners.tell_appended(hint.heads)
        else:
            self._listeners.tell_of_others()

    async def _do_chores(self, connection: Connection) -> None:
        asked_ms = self._clock.machine_ms()
        self._drift.note(asked_ms, await note_node(connection, self._node), self._clock.machine_ms())
        self._drift.tell()
        await self._partitions.make_ahead(self._clock.now_ms() // DAY_MS)
        await self._facts.refresh_bytes()


async def _set_clock(connection: Connection, offset_ms: int, jumped_ms: int) -> list[int]:
    await connection.execute(_CATALOGUE["set_clock"], offset_ms, jumped_ms)
    return []


async def _empty(connection: Connection) -> list[int]:
    await ControlWrite(connection).empty()
    return []
