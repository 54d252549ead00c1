"""The writer thread: takes whatever has queued and commits it as one batch. No timers: the next batch forms while the
last one syncs.

Flow calls (appends, work commits, traces, unrouted documents) that stand together in the queue share one segment commit
and one state commit; control calls run singly, in queue order. Appends are answered right after the segment commit.
"""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import structlog

from eventmill import telemetry
from eventmill.errors import GatewayError, Reason, RoutingStale, StoreUnavailable
from eventmill.model import Lane
from eventmill.store.control import ControlOp, Versioned
from eventmill.store.log import Appended, NewEvent
from eventmill.store.sqlite.checkpointer import Checkpointer
from eventmill.store.sqlite.engine import Engine
from eventmill.store.sqlite.layout import Layout, day_of
from eventmill.store.sqlite.progress import lost_slots
from eventmill.store.work import SLOTS, TraceRecord, WorkCommit

T = TypeVar("T")
_log = structlog.get_logger()

_FATAL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_STATE_RETRIES = 5
_STATE_RETRY_S = 0.2

Results = list[tuple["asyncio.Future[Any]", object]]
"""Futures with what they shall hold; an exception is raised in the waiter."""


class AppendCall:
    __slots__ = ("events", "future")

    def __init__(self, events: Sequence[NewEvent], future: asyncio.Future[Appended]) -> None:
        self.events = events
        self.future = future


class WorkCall:
    __slots__ = ("future", "work")

    def __init__(self, work: WorkCommit, future: asyncio.Future[frozenset[int]]) -> None:
        self.work = work
        self.future = future


class TraceCall:
    __slots__ = ("future", "lane", "traces")

    def __init__(self, lane: Lane, traces: Sequence[TraceRecord], future: asyncio.Future[None]) -> None:
        self.lane = lane
        self.traces = traces
        self.future = future


class UnroutedCall:
    """A write of documents that no routing depends on."""

    __slots__ = ("future", "ops")

    def __init__(self, ops: Sequence[ControlOp], future: asyncio.Future[list[Versioned]]) -> None:
        self.ops = ops
        self.future = future


class ControlCall:
    __slots__ = ("future", "run")

    def __init__(self, run: Callable[[], object], future: asyncio.Future[Any]) -> None:
        self.run = run
        self.future = future


class StopCall:
    __slots__ = ()


FlowCall = AppendCall | WorkCall | TraceCall | UnroutedCall


class Writer:
    """`done` is called in the writer thread: results for many futures at once, and whether others should look."""

    def __init__(self, engine: Engine, layout: Layout, done: Callable[[Results, bool], None]) -> None:
        self._engine = engine
        self._layout = layout
        self._done = done
        self._queue: SimpleQueue[FlowCall | ControlCall | StopCall] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._checkpointer = Checkpointer(layout)
        self.put = self._queue.put
        self.waiting = self._queue.qsize
        self.broken = ""
        """Why nothing is written any more: after a failed write or sync nobody knows what the disk holds."""
        self.disk_full = False
        """Set when the disk was full; cleared by whoever sees space again."""

    def start(self) -> None:
        self._checkpointer.start()
        self._thread.start()

    def stop(self) -> None:
        """Finish what is queued, then end the threads. Nothing may be put any more. Blocks."""
        self._queue.put(StopCall())
        self._thread.join()
        self._checkpointer.stop()

    def _run(self) -> None:
        while True:
            group, follower = self._gather()
            if group:
                self._flow(group)
            if isinstance(follower, ControlCall):
                self._control(follower)
            elif follower is not None:
                return
            self._guarded("write-ahead log", lambda: self._checkpointer.pace(self._engine))

    def _gather(self) -> tuple[list[FlowCall], ControlCall | StopCall | None]:
        """Wait for a call; take flow calls up to the first other call, the bounds of a batch or the queue's end."""
        group: list[FlowCall] = []
        events, size = self._layout.batch_events, self._layout.batch_bytes
        call = self._queue.get()
        while True:
            if isinstance(call, AppendCall):
                events -= len(call.events)
                size -= sum([len(event.body) for event in call.events])
            elif isinstance(call, ControlCall | StopCall):
                return group, call
            group.append(call)
            if events <= 0 or size <= 0:
                return group, None
            try:
                call = self._queue.get_nowait()
            except Empty:
                return group, None

    def _flow(self, group: Sequence[FlowCall]) -> None:
        appends: list[AppendCall] = []
        works: list[tuple[WorkCall, frozenset[int]]] = []
        traces: list[TraceCall] = []
        unrouted: list[UnroutedCall] = []
        stale: Results = []
        for call in group:
            if isinstance(call, AppendCall):
                if self._is_current(call.events):
                    appends.append(call)
                else:
                    stale.append((call.future, RoutingStale()))
            elif isinstance(call, WorkCall):
                works.append((call, lost_slots(self._engine.memory, call.work)))
            elif isinstance(call, TraceCall):
                traces.append(call)
            else:
                unrouted.append(call)
        appends = self._audit(appends, stale)
        if self._commit_segment(appends, works, stale):
            self._commit_state(works, traces, unrouted)
        else:
            self._guarded("state", self._engine.forget_audited)
            refusal = StoreUnavailable("the commit failed and left nothing behind; try again")
            self._done([(call.future, refusal) for call in group if not isinstance(call, AppendCall)], False)

    def _audit(self, appends: list[AppendCall], results: Results) -> list[AppendCall]:
        """Puts audited events on record before they are stored. Returns what may be stored."""
        events = [event for call in appends for event in call.events]
        if not any(event.audit_id for event in events):
            return appends
        failure = self._guarded("state", lambda: self._engine.audit(events))
        if failure is None:
            return appends
        refused = [call for call in appends if any(event.audit_id for event in call.events)]
        results.extend((call.future, failure) for call in refused)
        return [call for call in appends if call not in refused]

    def _is_current(self, events: Sequence[NewEvent]) -> bool:
        memory = self._engine.memory
        return all(event.routing_epoch >= memory.routing_epochs.get(event.org, memory.trimmed) for event in events)

    def _commit_segment(
        self, appends: Sequence[AppendCall], works: Sequence[tuple[WorkCall, frozenset[int]]], results: Results
    ) -> bool:
        """Answers the appends, and `results` along. False when the commit failed."""
        events = [event for call in appends for event in call.events]
        attempts = [row for call, lost in works for row in attempt_rows(call.work, lost)]
        seq: int | GatewayError = 0
        if events or attempts:
            seq = self._guarded("segment", lambda: self._engine.write_events(events, attempts))
        day = day_of(self._engine.log.last_ts_ms)
        for call in appends:
            if isinstance(seq, int):
                results.append((call.future, Appended(seq, day)))
                seq += len(call.events)
            else:
                results.append((call.future, seq))
        if results:
            self._done(results, self._concerns_delivery(events))
        return isinstance(seq, int)

    def _concerns_delivery(self, events: Sequence[NewEvent]) -> bool:
        """False only when every matched lane is known not to push: journals alone wake nobody."""
        lanes = self._engine.memory.lanes
        matched = set[Lane]().union(*(event.lanes for event in events))
        return bool(events) and not (matched and all(lane in lanes and lanes[lane].disabled for lane in matched))

    def _commit_state(
        self,
        works: Sequence[tuple[WorkCall, frozenset[int]]],
        traces: Sequence[TraceCall],
        unrouted: Sequence[UnroutedCall],
    ) -> None:
        """Tried again for a while when it fails: what waits here was done already and would be done again."""
        if not works and not traces and not unrouted:
            return
        commits = [(call.work, lost) for call, lost in works]
        records = [(call.lane, call.traces) for call in traces]
        writes = [call.ops for call in unrouted]
        written = self._guarded("state", lambda: self._engine.write_state(commits, records, writes))
        for _ in range(_STATE_RETRIES):
            if isinstance(written, list) or self.broken:
                break
            time.sleep(_STATE_RETRY_S)
            written = self._guarded("state", lambda: self._engine.write_state(commits, records, writes))
        failure = written if isinstance(written, GatewayError) else None
        results: Results = [(call.future, failure or lost) for call, lost in works]
        results.extend((call.future, failure) for call in traces)
        answers = written if isinstance(written, list) else [written] * len(unrouted)
        results.extend((call.future, answer) for call, answer in zip(unrouted, answers, strict=True))
        self._done(results, False)

    def _control(self, call: ControlCall) -> None:
        self._done([(call.future, self._guarded("state", call.run))], True)

    def _guarded(self, file: str, run: Callable[[], T]) -> T | GatewayError:
        """The result, or what the waiters shall be told. Whatever fails, they must be answered and the thread go on."""
        if self.broken:
            return StoreUnavailable(self.broken)
        try:
            return run()
        except GatewayError as refusal:
            return refusal
        except Exception as error:  # noqa: BLE001 - the stage's loop
            _log.error(telemetry.STORE_COMMIT_FAILED, file=file, error=repr(error))
            return self._judge(error)

    def _judge(self, error: Exception) -> StoreUnavailable:
        """A full disk may pass. A failed write or sync may not: the kernel may have dropped what it could not write,
        and a later sync would report success."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        number = getattr(error, "errno", 0)
        if code == sqlite3.SQLITE_FULL or number == errno.ENOSPC:
            self.disk_full = True
            return StoreUnavailable("the disk is full", Reason.DISK_RESERVE_REACHED)
        if code in _FATAL or number == errno.EIO:
            self.broken = f"the store stopped writing after a failed commit ({error}); check the disk and restart"
            _log.critical(telemetry.STORE_REFUSED, cause=self.broken)
            return StoreUnavailable(self.broken)
        return StoreUnavailable("the commit failed and left nothing behind; try again")


def attempt_rows(work: WorkCommit, lost: frozenset[int]) -> list[tuple[object, ...]]:
    return [(p.lane, p.attempts) for p in work.lanes if p.attempts and p.lane % SLOTS not in lost]
