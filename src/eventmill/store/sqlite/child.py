"""The embedded engine in a delivery child: reads the files directly, has everything written by the front.

Commits, leases, wake-ups and the clock go over the socket pair inherited from the front; when that closes the child's
leases are void and `lost` is set.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from eventmill.clock import Clock, VirtualClock
from eventmill.config import Config
from eventmill.errors import Reason, StoreUnavailable
from eventmill.model import Lane
from eventmill.store.children import Beat, Drain, keep_beating
from eventmill.store.framed import FramedLink
from eventmill.store.log import LogEntry, LogPage
from eventmill.store.sqlite.connect import open_reader
from eventmill.store.sqlite.engine import Paths
from eventmill.store.sqlite.frames import AddTraces, Commit, FromFront, Granted, Result, Wake
from eventmill.store.sqlite.layout import SHARD, Layout
from eventmill.store.sqlite.logreads import LogReads
from eventmill.store.sqlite.memory import get_meta
from eventmill.store.sqlite.queries import load_queries
from eventmill.store.sqlite.segments import SegmentFile, list_segments
from eventmill.store.sqlite.statereads import StateReads
from eventmill.store.sqlite.tails import TailIndex
from eventmill.store.work import SlotLease, TraceRecord, WorkCommit

_SQL = load_queries("log")
_LOG_PAGE = 4096
_LAST_SEQ = (1 << 63) - 1


class SqliteChild(LogReads, StateReads):
    """Implements `store.base.WorkStore`, the reading half of `ControlStore`, and `add_traces`."""

    def __init__(self, config: Config, clock: Clock, sock: socket.socket, layout: Layout | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._paths = Paths(config)
        self._link = _FrontLink(self, sock)
        self._tail_kept = (layout or Layout()).chunk_positions
        self._known: tuple[SegmentFile, ...] = ()
        self._segments_version = -1
        self._tails = TailIndex()
        self._followed = 0
        """The tails hold what is not in a chunk, up to this position."""
        self._leases: tuple[SlotLease, ...] = ()
        self._callbacks: list[Callable[[], None]] = []
        self.lost = asyncio.Event()
        """The front is gone, or has let this child go: nothing it does counts any more."""
        self.drain_asked = asyncio.Event()

    async def open(self) -> None:
        self._reader = open_reader(self._paths.state)
        self._rescan()
        await self._link.connect()
        self._beating = asyncio.create_task(keep_beating(self._link, lambda: Beat(len(self._leases))))

    async def close(self) -> None:
        self._beating.cancel()
        self._link.close()
        self._reader.close()
        self._readers.close()

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def take_hints(self) -> dict[int, int] | None:
        return None

    async def leases(self) -> tuple[SlotLease, ...]:
        return self._leases

    async def epoch(self) -> int:
        return self._last_epoch()

    async def heads(self) -> dict[int, int]:
        return {SHARD: self._newest()[0]}

    async def read_log(self, shard: int, after: int, limit: int) -> LogPage:
        entries = self._log(after, _LAST_SEQ, limit)
        if after <= self._followed:
            self._follow(entries)
        return LogPage(entries, self._last_epoch())

    async def commit(self, work: WorkCommit) -> frozenset[int]:
        return await self._link.call(lambda call: Commit(call, work))

    async def add_traces(self, lane: Lane, traces: Sequence[TraceRecord]) -> None:
        await self._link.call(lambda call: AddTraces(call, lane, tuple(traces)))

    # Told by the link

    def granted(self, leases: tuple[SlotLease, ...]) -> None:
        self._leases = leases
        self._link.send(Beat(len(leases)))
        self._notify()

    def woken(self, wake: Wake) -> None:
        if isinstance(self._clock, VirtualClock):
            self._clock.follow(wake.clock_offset_ms)
        if wake.segments_version != self._segments_version:
            self._segments_version = wake.segments_version
            self._rescan()
        self._notify()

    def let_go(self) -> None:
        self._leases = ()
        self.lost.set()
        self._notify()

    def _notify(self) -> None:
        for callback in self._callbacks:
            callback()

    # Segments and tails

    def _segments(self) -> Sequence[SegmentFile]:
        return self._known

    def _tail(self, lane: int, after: int) -> Sequence[int]:
        """Catches up first, so that nothing the log has shown is missing here."""
        while True:
            entries = self._log(self._followed, _LAST_SEQ, _LOG_PAGE)
            self._follow(entries)
            if len(entries) < _LOG_PAGE:
                return self._tails.after(lane, after)

    def _rescan(self) -> None:
        """Opens every segment at once: one that is dropped later stays readable until the next call."""
        segments = tuple(each for each in list_segments(self._paths.segments) if self._readers.find(each) is not None)
        self._readers.keep(segments)
        if segments[-1:] != self._known[-1:]:
            self._restart_tails(segments[-1:])
        self._known = segments

    def _restart_tails(self, newest: Sequence[SegmentFile]) -> None:
        """All of the earlier segments is in chunks; the newest has saved its tails now and then."""
        for reader in self._reading(newest):
            saved, tails = reader.connection.execute(_SQL["snapshot"]).fetchone()
            self._tails.clear()
            self._tails.load(tails)
            self._followed = max(saved, reader.segment.first_seq - 1)

    def _follow(self, entries: Iterable[LogEntry]) -> None:
        """Keeps a lane's newest positions. As many as the front may hold back from the chunks are enough."""
        fresh: dict[int, list[int]] = defaultdict(list)
        for entry in entries:
            if entry.seq > self._followed:
                self._followed = entry.seq
                for lane in entry.lanes:
                    fresh[lane].append(entry.seq)
        for lane, seqs in fresh.items():
            self._tails.extend(lane, seqs)
            if self._tails.size(lane) > 2 * self._tail_kept:
                self._tails.replace(lane, self._tails.after(lane, 0)[-self._tail_kept :])

    def _newest(self) -> tuple[int, int]:
        """Position and time of the last event."""
        for reader in self._reading(reversed(self._known)):
            row = reader.connection.execute(_SQL["last_event"]).fetchone()
            if row is not None:
                return row[0], row[1]
        return get_meta(self._reader, "next_seq", 1) - 1, get_meta(self._reader, "last_ts_ms", 0)


class _FrontLink(FramedLink[FromFront]):
    def __init__(self, child: SqliteChild, sock: socket.socket) -> None:
        super().__init__(msgspec.msgpack.Decoder(FromFront))
        self._child = child
        self._socket = sock
        self._calls: dict[int, asyncio.Future[frozenset[int]]] = {}
        self._last_call = 0

    async def connect(self) -> None:
        self._socket.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=self._socket)

    async def call(self, frame: Callable[[int], msgspec.Struct]) -> frozenset[int]:
        """Raises `StoreUnavailable` when the front refuses or is gone; then the outcome may be unknown."""
        if self._child.lost.is_set():
            raise StoreUnavailable("the front process is gone")
        self._last_call += 1
        done: asyncio.Future[frozenset[int]] = asyncio.get_running_loop().create_future()
        self._calls[self._last_call] = done
        self.send(frame(self._last_call))
        return await done

    def received(self, frame: FromFront) -> None:
        match frame:
            case Granted():
                self._child.granted(frame.leases)
            case Wake():
                self._child.woken(frame)
            case Result():
                self._settle(frame)
            case Drain():
                self._child.drain_asked.set()

    def ended(self) -> None:
        for done in self._calls.values():
            if not done.done():
                done.set_exception(StoreUnavailable("the front process is gone"))
        self._calls.clear()
        self._child.let_go()

    def _settle(self, result: Result) -> None:
        done = self._calls.pop(result.call)
        if done.done():
            return
        if result.refusal is None:
            done.set_result(result.lost)
        else:
            done.set_exception(StoreUnavailable(result.refusal, Reason[result.reason]))
