"""Everything that is written: the state file and the segments, in the order that recovery relies on.

Synchronous, used by one thread at a time (the writer's; the opener's before it starts). No transaction spans two files:
the segment commits first, the state file follows; recovery tolerates state behind the segments, never ahead.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import GatewayError, StartupError
from eventmill.model import Lane
from eventmill.store.control import ControlOp, Versioned
from eventmill.store.log import NewEvent
from eventmill.store.migrate import load_migrations, migrate, read_format
from eventmill.store.observe import Totals, UnmatchedBatch
from eventmill.store.sqlite.audit import PhiAudit
from eventmill.store.sqlite.connect import open_writer, transaction
from eventmill.store.sqlite.control import ControlWrite, forget_lane
from eventmill.store.sqlite.layout import Layout, day_of
from eventmill.store.sqlite.memory import Counted, Memory, Outcome, get_meta, load_memory, set_meta
from eventmill.store.sqlite.progress import TraceRings, WorkWrite, apply_traces
from eventmill.store.sqlite.queries import load_queries
from eventmill.store.sqlite.retention import Expiry
from eventmill.store.sqlite.segments import list_segments, remove_segment, remove_unfinished, sync_directory
from eventmill.store.sqlite.segwriter import SegmentWriter
from eventmill.store.sqlite.unmatched import drop_unmatched, put_unmatched
from eventmill.store.work import SlotLease, TraceRecord, WorkCommit

_log = structlog.get_logger()
_SQL = load_queries("state")


class Paths:
    def __init__(self, config: Config) -> None:
        self.data = Path(config.data)
        self.lock = self.data / "lock"
        self.state = self.data / "state.db"
        self.segments = self.data / "segments"


class Engine:
    memory: Memory

    def __init__(self, config: Config, clock: Clock, layout: Layout) -> None:
        self._paths = Paths(config)
        self._clock = clock
        self.log = SegmentWriter(self._paths.segments, layout)
        self._rings = TraceRings(config.traces_kept)
        self._config = config
        self.counted = Counted()
        self.state: sqlite3.Connection
        self.state_commits = 0
        self._sums: Counter[str] = Counter()
        """What `Totals` counts besides events."""

    def open(self) -> None:
        """Migrate, clear away what a crash left, and load. Raises `StartupError`."""
        try:
            self._paths.segments.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_writable(self._paths.segments)
            os.close(os.open(self._paths.state, os.O_RDWR | os.O_CREAT, 0o600))
            self.state = open_writer(self._paths.state)
            try:
                self._migrate()
                sync_directory(self._paths.data)
                sync_directory(self._paths.data.absolute().parent)
                self._recover()
            except BaseException:
                self.abandon()
                raise
        except (OSError, sqlite3.Error) as error:
            raise StartupError(
                f"data directory {self._paths.data} cannot be opened: {error}; "
                "check that it is writable and not full, and that its files are whole"
            ) from error

    def write_events(self, events: Sequence[NewEvent], attempts: Sequence[tuple[object, ...]] = ()) -> int:
        """The first half of a group; returns the position of the first event."""
        return self.log.write(events, self._clock.now_ms(), attempts)

    def audit(self, events: Sequence[NewEvent]) -> None:
        """Before the first half, when any of its events is audited."""
        with transaction(self.state):
            self.phi.note_received(events, self.log.head_seq + 1, self._clock.now_ms())
        self.state_commits += 1

    def forget_audited(self) -> None:
        """After a first half that failed: its records stay, but its positions are free again."""
        with transaction(self.state):
            self.phi.drop_above(self.log.head_seq)

    def write_state(
        self,
        works: Sequence[tuple[WorkCommit, frozenset[int]]],
        traces: Sequence[tuple[Lane, Sequence[TraceRecord]]],
        unrouted: Sequence[Sequence[ControlOp]] = (),
    ) -> list[list[Versioned] | GatewayError]:
        """The second half: commits with their lost slots, which are left out, loose traces, and writes of unrouted
        documents, each of which may be refused by itself; one transaction. Returns what became of the latter."""
        work = WorkWrite(self.state, self.memory, self._rings, self.phi)
        try:
            with transaction(self.state):
                for commit, lost in works:
                    work.add_all(commit, lost)
                work.flush()
                for lane, records in traces:
                    apply_traces(self.state, self._rings, lane, records)
                written = [self._write_unrouted(ops) for ops in unrouted]
        except BaseException:
            self._rings.forget()
            raise
        self.memory.apply(work.outcome)
        self.counted.note(work.counted)
        self._sums.update(work.sums)
        self.state_commits += 1
        return written

    def _write_unrouted(self, ops: Sequence[ControlOp]) -> list[Versioned] | GatewayError:
        control = ControlWrite(self.state, self.memory, self.log.head_seq)
        self.state.execute("SAVEPOINT unrouted")
        try:
            control.apply(ops)
        except GatewayError as refusal:
            self.state.execute("ROLLBACK TO unrouted")
            return refusal
        finally:
            self.state.execute("RELEASE unrouted")
        return control.docs

    # Control operations, each in a transaction of its own

    def write(self, ops: Sequence[ControlOp]) -> list[Versioned]:
        control = ControlWrite(self.state, self.memory, self.log.head_seq)
        with transaction(self.state):
            control.apply(ops)
        self.memory.apply(control.outcome)
        self.state_commits += 1
        return control.docs

    def allocate(self, counter: str) -> int:
        with transaction(self.state):
            self.state.execute(_SQL["next_number"], (counter,))
            return int(self.state.execute(_SQL["last_number"], (counter,)).fetchone()[0])

    def set_clock(self, offset_ms: int, jumped_ms: int) -> None:
        with transaction(self.state):
            set_meta(self.state, "clock_offset_ms", offset_ms)
            set_meta(self.state, "clock_jumped_ms", jumped_ms)

    def reset(self) -> None:
        control = ControlWrite(self.state, self.memory, self.log.head_seq)
        if self.log.segments:
            self.log.roll(self._day())
        with transaction(self.state):
            control.empty()
            set_meta(self.state, "generation", self.memory.generation + 1)
            self._save_place(self.log.head_seq)
        self._rings.forget()
        self.memory.generation += 1
        self.memory.lanes.clear()
        self.memory.gapped.clear()
        self.memory.apply(control.outcome)
        self.log.drop(self.log.segments[:-1])

    def drop_observed(self, traces_before_ms: int, unmatched_before_ms: int) -> None:
        with transaction(self.state):
            self.state.execute(_SQL["drop_old_traces"], (traces_before_ms,))
            drop_unmatched(self.state, unmatched_before_ms, self._config)

    def note_unmatched(self, batches: Sequence[UnmatchedBatch]) -> None:
        with transaction(self.state):
            put_unmatched(self.state, batches, self._config)

    def expire(self, before_ms: int) -> int:
        expiry = Expiry(self.state, self.memory, self.phi, before_ms)
        segments = expiry.choose(self.log.segments)
        if segments and segments[-1] == self.log.segments[-1]:
            self.log.roll(self._day())
        with transaction(self.state):
            if segments:
                end_seq = self.log.segments[len(segments)].first_seq - 1
                expiry.drop(segments, end_seq, self._clock.now_ms())
                self.phi.drop_upto(end_seq)
                self._save_place(end_seq)
            expiry.prune()
        self.memory.apply(expiry.outcome)
        self.log.drop(segments)
        self._sums["dropped_segments"] += len(segments)
        return len(segments)

    def drop_phi_audit(self, before_ms: int) -> None:
        with transaction(self.state):
            self.phi.drop_records(before_ms)

    def totals_now(self) -> Totals:
        """Called by another thread than the writer's."""
        space = os.statvfs(self._paths.data)
        return Totals(
            events=self.log.head_seq - self._first_head_seq,
            stored_bytes=sum(list(self.log.stored_bytes.values())),
            disk_free_bytes=space.f_bavail * space.f_frsize,
            **dict(self._sums),
        )

    def grant(self, slots: Sequence[int]) -> tuple[SlotLease, ...]:
        """New leases, with an epoch above all earlier ones; whoever held these slots is fenced from now on."""
        self.memory.lease_epoch += 1
        self.memory.leases.update(dict.fromkeys(slots, self.memory.lease_epoch))
        return tuple(SlotLease(slot, self.memory.lease_epoch) for slot in slots)

    def revoke(self, leases: Sequence[SlotLease]) -> None:
        for lease in leases:
            if self.memory.leases.get(lease.slot) == lease.epoch:
                del self.memory.leases[lease.slot]

    def close(self) -> None:
        """A clean end: the next open scans nothing."""
        self.log.close()
        with transaction(self.state):
            self._save_place(get_meta(self.state, "dropped_seq", 0))
        self.state.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.state.close()

    def abandon(self) -> None:
        """Close after a storage failure: what is committed is all there is."""
        self.log.abandon()
        self.state.close()

    def open_files(self) -> tuple[Path, ...]:
        """Files that are written now."""
        return (self._paths.state, *(segment.path for segment in self.log.segments[-1:]))

    def restart_wals(self, paths: Collection[Path]) -> None:
        """Let the next commit begin at the start of the log; skipped when a reader is in the way."""
        if self._paths.state in paths:
            self.state.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        if self.log.segments and self.log.segments[-1].path in paths:
            self.log.restart_wal()

    def _migrate(self) -> None:
        before = read_format(self.state)
        now = migrate(self.state, load_migrations(__package__, "sql/state"), str(self._paths.state))
        if 0 < before < now:
            _log.info(telemetry.STORE_MIGRATED, before=before, now=now)

    def _recover(self) -> None:
        dropped_seq = get_meta(self.state, "dropped_seq", 0)
        remove_unfinished(self._paths.segments)
        for segment in list_segments(self._paths.segments):
            if segment.first_seq <= dropped_seq:
                remove_segment(segment)
        self.log.open(get_meta(self.state, "next_seq", 1), get_meta(self.state, "last_ts_ms", 0))
        self._first_head_seq = self.log.head_seq
        self.memory = load_memory(self.state)
        self.phi = PhiAudit(self.state)
        outcome = Outcome(self.memory)
        with transaction(self.state):
            self.phi.drop_above(self.log.head_seq)
            self.state.execute(_SQL["drop_spare_traces"], (self._config.traces_kept,))
            for (lane,) in self.state.execute(_SQL["idle_tombstones"]).fetchall():
                forget_lane(self.state, outcome, lane)
        self.memory.apply(outcome)

    def _save_place(self, dropped_seq: int) -> None:
        """What must survive the segments: the next position, the time of the last, and what is dropped."""
        set_meta(self.state, "next_seq", self.log.head_seq + 1)
        set_meta(self.state, "last_ts_ms", self.log.last_ts_ms)
        set_meta(self.state, "dropped_seq", dropped_seq)

    def _day(self) -> int:
        return day_of(max(self.log.last_ts_ms, self._clock.now_ms()))


def _check_writable(directory: Path) -> None:
    """Now, not when the first event of a day finds no place. Raises `OSError`."""
    probe = directory / "probe.new"
    probe.touch(0o600)
    probe.unlink()
