"""What the writing process keeps in memory of the state file: read everywhere, replaced by the writer thread only,
and only after the commit that made it true."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Mapping

import msgspec

from eventmill.model import Lane, OrgId
from eventmill.store.sqlite.connect import drop_cache
from eventmill.store.sqlite.packing import unpack_seqs
from eventmill.store.sqlite.queries import load_queries

_SQL = load_queries("state")


class LaneState(msgspec.Struct, frozen=True, gc=False):
    lane: Lane
    org: OrgId
    registration_id: str
    opened: int
    """Head when the lane began: its journal lies above."""
    floor: int
    disabled: bool
    tombstone: bytes | None
    mark: int
    done: tuple[int, ...]
    counted_ms: int = 0
    """Attempts that began earlier do not count for its health."""
    split_ms: int = 0
    """Start of its last bucket out of turn; no bucket lies across it."""


class Counted:
    """Lanes whose tallies grew; filled by the writer thread, taken by the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[Lane, bool] = {}

    def note(self, lanes: Mapping[Lane, bool]) -> None:
        with self._lock:
            for lane, failed in lanes.items():
                self._lanes[lane] = failed or self._lanes.get(lane, False)

    def take(self) -> dict[Lane, bool]:
        with self._lock:
            taken, self._lanes = self._lanes, {}
        return taken


class Memory:
    def __init__(self) -> None:
        self.generation = 1
        self.epoch = 0
        self.trimmed = 0
        """Newest epoch that was trimmed from the change feed at open; stands in for organisations without a change
        since."""
        self.routing_epochs: dict[OrgId, int] = {}
        self.lanes: dict[Lane, LaneState] = {}
        self.gapped: set[Lane] = set()
        """Lanes with gaps; the others need no look at the gap table when something settles."""
        self.leases: dict[int, int] = {}
        """Slot -> current fencing epoch. Empty at open, which voids what an earlier process granted."""
        self.lease_epoch = 0

    def apply(self, outcome: Outcome) -> None:
        """Take over a committed transaction."""
        for lane, state in outcome.lanes.items():
            if state is None:
                self.lanes.pop(lane, None)
                self.gapped.discard(lane)
            else:
                self.lanes[lane] = state
        self.gapped.update(lane for lane in outcome.gapped if lane in self.lanes)
        self.routing_epochs.update(outcome.routing_epochs)
        self.epoch = outcome.epoch


class Outcome:
    """What a transaction under way will change in memory: a view over it, dropped when the transaction fails."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.epoch = memory.epoch
        self.routing_epochs: dict[OrgId, int] = {}
        self.lanes: dict[Lane, LaneState | None] = {}
        self.gapped: set[Lane] = set()

    def lane(self, lane: Lane) -> LaneState | None:
        if lane in self.lanes:
            return self.lanes[lane]
        return self._memory.lanes.get(lane)

    def has_gaps(self, lane: Lane) -> bool:
        return lane in self.gapped or lane in self._memory.gapped


def load_memory(connection: sqlite3.Connection) -> Memory:
    memory = Memory()
    memory.generation = get_meta(connection, "generation", 1)
    memory.epoch = connection.execute(_SQL["last_change"]).fetchone()[0] or 0
    memory.trimmed = (connection.execute(_SQL["first_change"]).fetchone()[0] or 1) - 1
    memory.routing_epochs = {OrgId(org): epoch for org, epoch in connection.execute(_SQL["routing_epochs"])}
    memory.gapped = {lane for (lane,) in connection.execute(_SQL["gapped_lanes"])}
    for row in connection.execute(_SQL["all_lanes"]):
        lane, org, registration_id, opened, floor, disabled, tombstone, mark, done, counted_ms, split_ms = row
        done_seqs = tuple(unpack_seqs(done))
        memory.lanes[lane] = LaneState(
            lane,
            OrgId(sys.intern(org)),
            registration_id,
            opened,
            floor,
            bool(disabled),
            tombstone,
            mark,
            done_seqs,
            counted_ms,
            split_ms,
        )
    drop_cache(connection)
    return memory


def get_meta(connection: sqlite3.Connection, name: str, default: int) -> int:
    row = connection.execute(_SQL["get_meta"], (name,)).fetchone()
    return default if row is None else int(row[0])


def set_meta(connection: sqlite3.Connection, name: str, value: int) -> None:
    connection.execute(_SQL["set_meta"], (name, value))
