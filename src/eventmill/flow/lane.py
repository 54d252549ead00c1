"""One registration's way out, in memory: what waits, what is under way, what is settled but not yet committed.

Bookkeeping only: no I/O, no clock. `flow.deliver` feeds it from the log, launches what it offers and commits what it
reports. Its memory is bounded whatever the backlog: positions beyond `pending_max` stay in the journal (`behind`).
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from eventmill.core.attempts import Attempt, pack_attempts
from eventmill.core.pace import Rate, Window
from eventmill.flow.targets import Target
from eventmill.flow.traces import TraceDetail
from eventmill.store.log import StoredEvent
from eventmill.store.work import AttemptCount, Ended, LaneProgress, LaneRecord, RetryUnit, TraceRecord

UNKNOWN_BODY_BYTES = 1 << 20
"""Until a lane has read its first body, it is taken for a large one."""
_NO_EVENTS: list[StoredEvent] = []
_NO_POSITIONS: list[int] = []
_NO_OUTSTANDING: dict[int, None] = {}
_NO_UNITS: dict[bytes, None] = {}
"""All idle lanes share these: own ones would be half of what a lane takes. Nothing is ever put into them."""
_TRACES_AT_ONCE = 20
"""A lane with at most this many new traces writes them with every checkpoint, a busier one once a second."""


class Unit(msgspec.Struct, frozen=True, eq=False):
    """One attempt to make: an event, or a batch that keeps its members."""

    events: tuple[StoredEvent, ...]
    batch: bool
    retry: RetryUnit | None
    """The stored unit when this is a retry; None on the first attempt."""

    @property
    def positions(self) -> tuple[int, ...]:
        return tuple(event.seq for event in self.events)


class Bodies:
    """The bodies that all lanes of a process hold: read and waiting for their attempt, or under way."""

    __slots__ = ("held_bytes",)

    def __init__(self) -> None:
        self.held_bytes = 0


class _News:
    """What is to be committed next."""

    __slots__ = ("attempts", "counts", "end_units", "ended", "put_units", "settled")

    def __init__(self) -> None:
        self.settled: list[int] = []
        self.put_units: list[RetryUnit] = []
        self.end_units: list[bytes] = []
        self.ended: list[Ended] = []
        self.attempts: list[Attempt] = []
        self.counts: dict[tuple[int, bool], int] = {}
        """Number of attempts by begin and whether they succeeded."""


class Lane:
    """Used from one event loop only. There may be ten thousand, nearly all of them idle, so an idle one is small: no
    dictionary of attributes, no deques, no sets."""

    __slots__ = (
        *(
            "_bodies",
            "_news",
            "_pending_max",
            "_traces",
            "_traces_flushed_s",
            "_traces_kept",
            "behind",
            "body_bytes",
            "busy_units",
            "closed",
            "dirty",
        ),
        *("done", "fetched", "in_flight", "mark", "next_due_ms", "next_replay_ms", "number", "open", "org"),
        *("outstanding", "pending", "pending_since_s", "planned_due_ms", "queued", "rate", "replays_first", "secret"),
        *("shard", "taken", "target", "wake_s", "window"),
    )

    def __init__(
        self, record: LaneRecord, bodies: Bodies, *, in_flight_max: int, pending_max: int, traces_kept: int
    ) -> None:
        self.number = record.lane
        self.org = record.org
        self.shard = record.shard
        self.target: Target | None = None
        self.open = False
        """Whether new events are pushed."""
        self.closed = record.tombstone is not None
        self.secret = b""

        self.mark = self.taken = record.mark
        """`taken`: every position of the lane up to here was taken from the log."""
        self.done: list[int] = list(record.done) or _NO_POSITIONS
        self.pending: list[int] = _NO_POSITIONS
        self.pending_since_s = 0.0
        """Machine time at which the oldest waiting position came."""
        self.fetched: list[StoredEvent] = _NO_EVENTS
        self.body_bytes = UNKNOWN_BODY_BYTES
        """Size of the largest body among those read last."""
        self.behind = True
        self.outstanding: dict[int, None] = _NO_OUTSTANDING
        """Positions whose first attempt is under way, in order."""

        self.next_due_ms = record.next_due_ms
        """When the next of its stored units is due; the next line's: those of replays."""
        self.next_replay_ms = record.next_replay_ms
        self.replays_first = True
        """Whether a replay's unit goes before a new event; they take turns."""
        self.planned_due_ms: int | None = None
        """The due time for which the scheduler has planned a wake-up."""
        self.busy_units: dict[bytes, None] = _NO_UNITS
        """Stored units under way, or ended but not yet committed: due rows that must not be taken again."""
        self.in_flight = 0
        self.window = Window(in_flight_max)
        """How many attempts may be under way."""
        self.rate: Rate | None = None
        self.wake_s = 0.0
        """Machine time for which the scheduler has planned its last look at what waits for a flush, or for the rate."""
        self.queued = False
        """Whether the scheduler holds this lane in its ready queue."""

        self._bodies = bodies
        self._pending_max = pending_max
        self.dirty = False
        self._news: _News | None = None
        self._traces_kept = traces_kept
        self._traces: dict[bool, deque[tuple[tuple[int, ...], TraceDetail]]] | None = None
        """Of successes and of failures, where there are any."""
        self._traces_flushed_s = 0.0

    # --- Intake ---

    def offer(self, seq: int, now_s: float) -> bool:
        """A position just read from the log; True when the lane keeps it in memory."""
        if seq <= self.taken or self.behind or not self.open:
            return False
        if len(self.pending) >= self._pending_max:
            self.behind = True
            return False
        self._take(seq, now_s)
        return True

    def room(self) -> int:
        """How many positions may be read from the journal now."""
        return self._pending_max - len(self.pending)

    def fill(self, page: list[int], limit: int, now_s: float) -> None:
        """Positions read from the journal after `taken`; fewer than `limit` means the lane has caught up."""
        for seq in page:
            self._take(seq, now_s)
        if len(page) < limit:
            self.behind = False

    def _take(self, seq: int, now_s: float) -> None:
        self.taken = seq
        if self.done and seq in self.done:
            return  # settled before this process took the lane over
        if not self.pending and not self.fetched:
            self.pending_since_s = now_s
        self.pending = self.pending or []
        self.pending.append(seq)

    def first_pending(self, count: int) -> list[int]:
        return self.pending[:count]

    def fetch(self, seqs: list[int], events: list[StoredEvent]) -> None:
        """The bodies of the first pending positions, but for expired ones. They were pending until now, so that no
        outcome could let the mark pass them meanwhile; without effect when the lane was shut meanwhile."""
        if self.first_pending(len(seqs)) != seqs:
            return
        del self.pending[: len(seqs)]
        self.fetched = self.fetched or []
        self.fetched += events
        self._bodies.held_bytes += _body_bytes(events)
        self.body_bytes = max((len(event.body) for event in events), default=1) or 1

    def take_fetched(self, count: int) -> tuple[StoredEvent, ...]:
        """The first of them, to be launched."""
        taken = tuple(self.fetched[:count])
        del self.fetched[:count]
        return taken

    def fetched_bytes(self) -> int:
        return _body_bytes(self.fetched)

    def _drop_fetched(self) -> None:
        self._bodies.held_bytes -= self.fetched_bytes()
        self.fetched.clear()

    def shut(self) -> None:
        """No new events from now on; what is under way settles as it would. When they come again, they come slowly."""
        self.open = False
        self.taken = self._last_launched()
        self.pending.clear()
        self._drop_fetched()
        self.window.restart()
        self.behind = False

    def reopen(self, record: LaneRecord) -> None:
        """Push again after the stored mark; everything before it is settled or in a gap."""
        self.open = True
        self.behind = record.behind
        if record.mark > self.mark:
            self.mark = record.mark
            self.outstanding = {seq: None for seq in self.outstanding if seq > record.mark}
            self.done = [seq for seq in self.done if seq > record.mark]
        self.pending.clear()
        self._drop_fetched()
        self.taken = max(self.mark, max(self.outstanding, default=0))

    # --- Stored units ---

    @property
    def soonest_ms(self) -> int | None:
        """When the next of its stored units is due."""
        if self.next_due_ms is None or self.next_replay_ms is None:
            return self.next_replay_ms if self.next_due_ms is None else self.next_due_ms
        return min(self.next_due_ms, self.next_replay_ms)

    def set_due(self, due_ms: int | None, *, of_replays: bool) -> None:
        if of_replays:
            self.next_replay_ms = due_ms
        else:
            self.next_due_ms = due_ms

    def hasten(self, due_ms: int | None, *, of_replays: bool) -> None:
        """A stored unit is due then, if no other is before."""
        known_ms = self.next_replay_ms if of_replays else self.next_due_ms
        if due_ms is not None and (known_ms is None or due_ms < known_ms):
            self.set_due(due_ms, of_replays=of_replays)

    # --- Attempts ---

    def launch(self, unit: Unit) -> None:
        """The attempt starts; `land` follows in any case."""
        self.in_flight += 1
        if unit.retry is None:
            self.outstanding = self.outstanding or {}
            self.outstanding.update(dict.fromkeys(unit.positions))
        else:
            self._bodies.held_bytes += _body_bytes(unit.events)
            self._hold_back(unit.retry.unit_id)

    def land(self, unit: Unit) -> None:
        """The attempt is no longer under way, whatever became of it."""
        self.in_flight -= 1
        self._bodies.held_bytes -= _body_bytes(unit.events)

    def settle(self, unit: Unit, *, put: RetryUnit | None = None, ended: Sequence[Ended] = ()) -> None:
        """The attempt has an outcome: delivered (neither given), to be retried (`put`), or over without (`ended`); of a
        unit whose events fared differently, both for some of them.
        One that was cut off has none, and is made again after the restart."""
        self.dirty = True
        if put is not None:
            self._gathered().put_units.append(put)
            self._hold_back(put.unit_id)
        if unit.retry is not None and (put is None or put.unit_id != unit.retry.unit_id):
            self._gathered().end_units.append(unit.retry.unit_id)
        self._gathered().ended += ended
        if unit.retry is None:
            self._settle_positions(unit.positions)

    def _hold_back(self, unit_id: bytes) -> None:
        self.busy_units = self.busy_units or {}
        self.busy_units[unit_id] = None

    def _settle_positions(self, positions: tuple[int, ...]) -> None:
        self._gathered().settled += positions
        for seq in positions:
            known = seq in self.outstanding
            self.outstanding.pop(seq, None)
            if known:  # else a gap was closed over it meanwhile
                self.done = self.done or []
                insort(self.done, seq)
        first = next(iter(self.outstanding), None)
        if first is not None:
            self.mark = max(self.mark, first - 1)
        elif self.done:
            self.mark = max(self.mark, self._last_launched())
        if self.done and self.done[0] <= self.mark:
            self.done = [seq for seq in self.done if seq > self.mark]

    def _last_launched(self) -> int:
        """Every position of the lane up to here was launched."""
        if self.fetched:
            return self.fetched[0].seq - 1
        if self.pending:
            return self.pending[0] - 1
        return self.taken

    def note_attempt(self, unit: Unit, trace: TraceDetail, *, counts: bool = True) -> None:
        """Remember an attempt for explain and debug tracing; and for the endpoint's health, if it `counts`."""
        retry = unit.retry.retries if unit.retry else 0
        news = self._gathered()
        for seq in unit.positions:
            news.attempts.append(Attempt(seq, retry, trace.status, trace.duration_ms, trace.started_ms))
        ok = 200 <= trace.status <= 299
        if counts:
            key = trace.started_ms, ok
            news.counts[key] = news.counts.get(key, 0) + 1
        traces = self._traces = self._traces or {}
        kept = traces.get(ok)
        if kept is None:
            kept = traces[ok] = deque(maxlen=self._traces_kept)
        kept.append((unit.positions, trace))

    def unsettled(self, goal: int, now_ms: int) -> bool:
        """Whether a position up to `goal`, or a retry due by `now_ms`, still needs an attempt or its commit."""
        due_ms = self.soonest_ms
        if self.dirty or (due_ms is not None and due_ms <= now_ms):
            return True
        if self.busy_units or (self.open and self.behind):
            return True
        first = next(iter(self.outstanding), None) or (self.fetched[0].seq if self.fetched else None)
        first = first or (self.pending[0] if self.pending else None)
        return first is not None and first <= goal

    # --- Checkpoint ---

    def _gathered(self) -> _News:
        if self._news is None:
            self._news = _News()
        return self._news

    def holds_traces(self) -> bool:
        return self._traces is not None and any(self._traces.values())

    def has_late_traces(self, now_s: float) -> bool:
        return now_s - self._traces_flushed_s >= 1 and self.holds_traces()

    def progress(self, now_s: float) -> LaneProgress:
        """What changed since the last call, to be committed; the lane counts as clean from here on."""
        traces: tuple[TraceRecord, ...] = ()
        held = self._traces or {}
        waiting = sum(len(kept) for kept in held.values())
        if waiting <= _TRACES_AT_ONCE or now_s - self._traces_flushed_s >= 1:
            traces = _encode_traces(held)
            self._traces = None
            self._traces_flushed_s = now_s
        news, self._news, self.dirty = self._gathered(), None, False
        return LaneProgress(
            lane=self.number,
            mark=self.mark,
            done=tuple(self.done),
            settled=tuple(news.settled),
            put_units=tuple(news.put_units),
            end_units=tuple(news.end_units),
            ended=tuple(news.ended),
            attempts=pack_attempts(news.attempts) if news.attempts else b"",
            traces=traces,
            counts=tuple(
                AttemptCount(at_ms, number if ok else 0, 0 if ok else number)
                for (at_ms, ok), number in news.counts.items()
            ),
            finished=self.closed and self.in_flight == 0,
        )

    def committed(self, progress: LaneProgress) -> None:
        """The progress is durable: its units may be read from the store again."""
        for unit in progress.put_units:
            self.busy_units.pop(unit.unit_id, None)
            self.hasten(unit.due_ms, of_replays=bool(unit.replay))
        for unit_id in progress.end_units:
            self.busy_units.pop(unit_id, None)


def _body_bytes(events: Iterable[StoredEvent]) -> int:
    return sum([len(event.body) for event in events])


def _encode_traces(traces: Mapping[bool, Iterable[tuple[tuple[int, ...], TraceDetail]]]) -> tuple[TraceRecord, ...]:
    """Only now, when most attempts of a busy lane have already dropped out of the ring again."""
    records = [
        TraceRecord(ok=ok, ts_ms=trace.started_ms + trace.duration_ms, positions=positions, detail=trace.encode())
        for ok, kept in traces.items()
        for positions, trace in kept
    ]
    return tuple(sorted(records, key=lambda record: record.ts_ms))
