"""The embedded engine in the front process: the only writer, behind the store protocol.

Calls that write go to the writer thread and come back as futures; reads run on the caller's thread. Everything here
runs in one event loop.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Literal, TypeVar

import msgspec
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import MIB, Config
from eventmill.errors import Reason, StoreUnavailable
from eventmill.model import Lane, OrgId
from eventmill.store.audit import AuditRecord
from eventmill.store.children import Heard, ignore_beat
from eventmill.store.control import ControlOp, Versioned
from eventmill.store.log import Appended, Bounds, Head, JournalPage, LogPage, NewEvent
from eventmill.store.observe import Node, UnmatchedBatch
from eventmill.store.sqlite.backlog import BacklogReads
from eventmill.store.sqlite.connect import open_reader
from eventmill.store.sqlite.engine import Engine, Paths
from eventmill.store.sqlite.frames import Wake
from eventmill.store.sqlite.layout import SHARD, Layout, day_of
from eventmill.store.sqlite.link import ChildLinks
from eventmill.store.sqlite.lock import DirectoryLock
from eventmill.store.sqlite.memory import get_meta
from eventmill.store.sqlite.queries import load_queries
from eventmill.store.sqlite.segments import SegmentFile
from eventmill.store.sqlite.writer import (
    AppendCall,
    ControlCall,
    FlowCall,
    Results,
    TraceCall,
    UnroutedCall,
    WorkCall,
    Writer,
)
from eventmill.store.work import SLOTS, SlotLease, TraceRecord, WorkCommit
from eventmill.store.write_rules import is_unrouted

T = TypeVar("T")
_log = structlog.get_logger()
_AUDIT = load_queries("audit")
_SPACE_CHECK_S = 1.0
_SPACE_AFTER_FULL_BYTES = 16 * MIB


class SqliteStore(BacklogReads):
    """Implements `store.base.Store`. One instance per data directory and process."""

    def __init__(self, config: Config, clock: Clock, layout: Layout | None = None) -> None:
        super().__init__()
        self._config = config
        self._clock = clock
        self._layout = layout or Layout()
        self._paths = Paths(config)
        self._lock = DirectoryLock(self._paths.lock)
        self._engine = Engine(config, clock, self._layout)
        self._writer = Writer(self._engine, self._layout, self._done)
        self._callbacks: list[Callable[[], None]] = []
        self._followers: list[Callable[[], None]] = []
        self._leases: tuple[SlotLease, ...] = ()
        self._links = ChildLinks(self)
        self._fresh: list[AppendCall] = []
        """Appends of this turn of the loop. The writer gets them together: woken by the first, it would do no more than
        fight for the interpreter lock while the loop goes through the others."""
        self._closing = False
        self._low_disk = False
        self._next_space_check_s = 0.0

    # Life

    async def open(self) -> None:
        self._lock.acquire()
        try:
            self._engine.open()
            self._reader = open_reader(self._paths.state)
        except BaseException:
            self._lock.release()
            raise
        self._loop = asyncio.get_running_loop()
        self._writer.start()
        if self._config.delivery_children == 0:
            self._leases = await self.grant(range(SLOTS))
        _log.info(telemetry.STORE_OPENED, data=self._config.data, head=self._engine.log.head_seq)

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._hand_over()
        await self._links.close()
        await asyncio.to_thread(self._stop)
        self._reader.close()
        self._readers.close()
        self._lock.release()

    def alone(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()  # the lock on the data directory sees to it

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def on_append(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._followers.append(callback)
        return lambda: self._followers.remove(callback)

    def on_documents(self, callback: Callable[[], None]) -> None:
        self._followers.append(callback)

    def take_hints(self) -> dict[int, int] | None:
        return None

    # Control

    async def epoch(self) -> int:
        return self._engine.memory.epoch

    async def write(self, ops: Sequence[ControlOp]) -> list[Versioned]:
        if not is_unrouted(ops):
            return await self._control(lambda: self._engine.write(ops))
        future: asyncio.Future[list[Versioned]] = self._loop.create_future()
        self._put(UnroutedCall(ops, future), future)
        return await future

    async def allocate(self, counter: Literal["lane", "tenant"]) -> int:
        return await self._control(lambda: self._engine.allocate(counter))

    async def clock_offset_ms(self) -> int:
        return get_meta(self._reader, "clock_offset_ms", 0)

    async def clock_jumped_ms(self) -> int:
        return get_meta(self._reader, "clock_jumped_ms", 0)

    async def set_clock(self, offset_ms: int, jumped_ms: int) -> None:
        await self._control(lambda: self._engine.set_clock(offset_ms, jumped_ms))

    async def reset(self) -> None:
        await self._control(self._engine.reset)
        self._readers.keep(self._segments())

    # Event log

    def append_durable(self, events: Sequence[NewEvent]) -> asyncio.Future[Appended]:
        future: asyncio.Future[Appended] = self._loop.create_future()
        refusal = self.refusal()
        if refusal is not None:
            future.set_exception(refusal)
        elif not events:
            future.set_exception(ValueError("an append needs an event"))
        else:
            if not self._fresh:
                self._loop.call_soon(self._hand_over)
            self._fresh.append(AppendCall(events, future))
        return future

    def clock_ahead_ms(self) -> int:
        return 0

    def clock_doubt(self) -> str:
        return ""

    def refusal(self) -> StoreUnavailable | None:
        if self._closing:
            return StoreUnavailable("the gateway is shutting down", Reason.SHUTTING_DOWN)
        if self._writer.broken:
            return StoreUnavailable(self._writer.broken)
        now_s = self._clock.machine_s()
        if now_s >= self._next_space_check_s:
            self._next_space_check_s = now_s + _SPACE_CHECK_S
            self._check_space()
        if self._low_disk or self._writer.disk_full:
            return StoreUnavailable("the disk has reached its reserve", Reason.DISK_RESERVE_REACHED)
        if self._writer.waiting() + len(self._fresh) >= self._layout.queue_calls:
            return StoreUnavailable("too many publishes wait for the disk")
        return None

    def stored_bytes(self, org: OrgId) -> int:
        return self._engine.log.stored_bytes.get(org, 0)

    async def head(self, shard: int) -> Head:
        log = self._engine.log
        seq, ts_ms = log.head_seq, log.last_ts_ms
        return Head(self._engine.memory.generation, seq, day_of(ts_ms or self._clock.now_ms()))

    async def heads(self) -> dict[int, int]:
        return {SHARD: self._engine.log.head_seq}

    async def bounds(self, shard: int, lane: Lane) -> Bounds:
        return Bounds(await self.head(shard), await self.floor(lane))

    async def journal_page(self, lane: Lane, after: int, limit: int, bytes_max: int) -> JournalPage:
        state = self._engine.memory.lanes.get(lane)
        if state is None or state.tombstone is not None:
            return JournalPage([], False)
        page = self._page(lane, max(after, state.opened), limit, bytes_max)
        return msgspec.structs.replace(page, floor=state.floor)

    async def floor(self, lane: Lane) -> int:
        state = self._engine.memory.lanes.get(lane)
        return 0 if state is None else state.floor

    async def count_after(self, lane: Lane, after: int, at_most: int) -> int:
        state = self._engine.memory.lanes.get(lane)
        if state is None or state.tombstone is not None:
            return 0
        return self._count(lane, max(after, state.opened), at_most)

    async def count_between(self, lane: Lane, after: int, upto: int) -> int:
        state = self._engine.memory.lanes.get(lane)
        if state is None or state.tombstone is not None:
            return 0
        return self._count_range(lane, max(after, state.opened), upto)

    async def seek(self, shard: int, ts_ms: int) -> int:
        head_seq = self._engine.log.head_seq
        found = self._seek(ts_ms)
        return head_seq if found is None else found

    async def expire(self, before_ms: int) -> int:
        dropped = await self._control(lambda: self._engine.expire(before_ms))
        self._readers.keep(self._segments())
        return dropped

    # Looking back

    async def drop_observed(self, traces_before_ms: int, unmatched_before_ms: int) -> None:
        await self._control(lambda: self._engine.drop_observed(traces_before_ms, unmatched_before_ms))

    async def note_unmatched(self, batches: Sequence[UnmatchedBatch]) -> None:
        await self._control(lambda: self._engine.note_unmatched(batches))

    # Audit

    async def phi_audit(self, org: OrgId, from_ms: int, to_ms: int, after: int, limit: int) -> list[AuditRecord]:
        rows = self._reader.execute(_AUDIT["records"], (org, after, from_ms, to_ms, limit)).fetchall()
        return [AuditRecord(*row) for row in rows]

    async def drop_phi_audit(self, before_ms: int) -> None:
        await self._control(lambda: self._engine.drop_phi_audit(before_ms))

    # Work

    async def leases(self) -> tuple[SlotLease, ...]:
        return self._leases

    async def read_log(self, shard: int, after: int, limit: int) -> LogPage:
        # Not beyond the head, which moves last: what the log shows, the lane pages must hold too.
        entries = self._log(after, self._engine.log.head_seq, limit)
        return LogPage(entries, self._engine.memory.epoch)

    async def commit(self, work: WorkCommit) -> frozenset[int]:
        return await self.submit(work)

    async def add_traces(self, lane: Lane, traces: Sequence[TraceRecord]) -> None:
        await self.submit_traces(lane, traces)

    async def counted(self, watched: Collection[Lane]) -> set[Lane]:
        return {lane for lane, failed in self._engine.counted.take().items() if failed or lane in watched}

    async def presidency(self) -> int:
        return 1

    async def nodes(self) -> list[Node]:
        return []

    @property
    def permits(self) -> None:
        return None

    @property
    def fellows(self) -> None:
        return None

    def submit(self, work: WorkCommit) -> asyncio.Future[frozenset[int]]:
        future: asyncio.Future[frozenset[int]] = self._loop.create_future()
        self._put(WorkCall(work, future), future)
        return future

    def submit_traces(self, lane: Lane, traces: Sequence[TraceRecord]) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        self._put(TraceCall(lane, traces, future), future)
        return future

    # Delivery children

    def attach_child(self, sock: socket.socket, index: int, count: int, heard: Heard = ignore_beat) -> None:
        """Serve a child over its socket pair; it gets every slot s with s % count == index, until the socket closes."""
        self._links.attach(sock, index, count, heard)

    def drain_children(self) -> None:
        """Ask the children to finish what is under way and end."""
        self._links.drain()

    def wake_frame(self) -> Wake:
        return Wake(self._clock.now_ms() - self._clock.machine_ms(), self._engine.log.segments_version)

    async def grant(self, slots: Sequence[int]) -> tuple[SlotLease, ...]:
        """In the writer's order: every commit under older leases of these slots is written before, or fenced after."""
        return await self._control(lambda: self._engine.grant(slots))

    async def revoke(self, leases: Sequence[SlotLease]) -> None:
        if not self._closing:
            await self._control(lambda: self._engine.revoke(leases))

    # Below

    def _segments(self) -> Sequence[SegmentFile]:
        return self._engine.log.segments

    def _tail(self, lane: int, after: int) -> Sequence[int]:
        return self._engine.log.tails.after(lane, after)

    async def _control(self, run: Callable[[], T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(ControlCall(run, future), future)
        return await future

    def _hand_over(self) -> None:
        for call in self._fresh:
            self._writer.put(call)
        self._fresh.clear()

    def _put(self, call: ControlCall | FlowCall, future: asyncio.Future[Any]) -> None:
        if self._closing:
            future.set_exception(StoreUnavailable("the gateway is shutting down", Reason.SHUTTING_DOWN))
        else:
            self._hand_over()
            self._writer.put(call)

    def _done(self, results: Results, changed: bool) -> None:
        """In the writer thread."""
        self._loop.call_soon_threadsafe(self._settle, results, changed)

    def _settle(self, results: Results, changed: bool) -> None:
        for future, result in results:
            if not future.done():
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        for follower in tuple(self._followers):
            follower()
        if changed:
            for callback in self._callbacks:
                callback()
            self._links.wake()

    def _check_space(self) -> None:
        space = os.statvfs(self._paths.data)
        free = space.f_bavail * space.f_frsize
        low = free < self._config.disk_reserve_bytes
        if low != self._low_disk:
            _log.warning(telemetry.STORE_REFUSED if low else telemetry.STORE_ACCEPTING, cause="disk reserve", free=free)
            self._low_disk = low
        if not low and free >= _SPACE_AFTER_FULL_BYTES:
            self._writer.disk_full = False

    def _stop(self) -> None:
        self._writer.stop()
        if self._writer.broken:
            self._engine.abandon()
        else:
            try:
                self._engine.close()
            except sqlite3.Error as error:
                _log.error(telemetry.STORE_COMMIT_FAILED, file="state", error=repr(error))
                self._engine.abandon()
