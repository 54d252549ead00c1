"""Applies control operations inside one state transaction; nothing here commits.

Every operation is a change with an epoch of its own, which also is its organisation's new routing epoch.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from eventmill.errors import Conflict, GatewayError, Reason, StaleVersion
from eventmill.model import Lane, OrgId
from eventmill.store.control import (
    UNROUTED,
    CloseLane,
    ControlOp,
    Create,
    Delete,
    DisableLane,
    EnableLane,
    HastenUnit,
    Key,
    Kind,
    OpenLane,
    PutUnits,
    Replace,
    Require,
    RequireNone,
    SplitTallies,
    Versioned,
)
from eventmill.store.sqlite.memory import LaneState, Memory, Outcome
from eventmill.store.sqlite.packing import pack_seqs
from eventmill.store.sqlite.queries import load_queries
from eventmill.store.sqlite.recovery import apply_units, hasten_unit
from eventmill.store.work import PULLED
from eventmill.store.write_rules import CHANGES_KEPT, EMPTIED_KINDS, GLOBAL_KEYS, TRIM_EVERY, key_refusal

_SQL = load_queries("state")

_FORGET = ("lane", "progress", "gaps", "units", "ended", "traces", "tallies", "replay_tallies")
_EMPTY = (
    *("lanes", "progress", "gaps", "units", "ended", "traces", "tallies"),
    *("replay_tallies", "unmatched", "unmatched_tallies"),
)


class ControlWrite:
    """One `write` under way: `docs` and `outcome` count once the transaction is committed."""

    def __init__(self, connection: sqlite3.Connection, memory: Memory, head: int) -> None:
        self._connection = connection
        self._head = head
        self.outcome = Outcome(memory)
        self.docs: list[Versioned] = []

    def apply(self, ops: Sequence[ControlOp]) -> None:
        """Raises `GatewayError` (`Conflict`, `LimitReached`, `StaleVersion`, not found); the caller then rolls back."""
        for op in ops:
            match op:
                case Create():
                    self._create(op)
                case Replace():
                    self._replace(op)
                case Delete():
                    self._delete(op)
                case Require():
                    self._require(op)
                case RequireNone():
                    self._require_none(op)
                case OpenLane():
                    self._open_lane(op)
                case DisableLane() | EnableLane() | SplitTallies() | CloseLane():
                    self._change_lane(op)
                case PutUnits() | HastenUnit():
                    self._deliver_again(op)

    def empty(self) -> None:
        """All registrations, providers, event metadata and what hangs on lanes."""
        for kind in EMPTIED_KINDS:
            for org, doc_id in self._connection.execute(_SQL["docs_of_kind"], (kind,)).fetchall():
                self._delete(Delete(kind, OrgId(org), doc_id))
        for table in _EMPTY:
            self._connection.execute(_SQL[f"empty_{table}"])

    def note_change(self, kind: Kind, org: OrgId, doc_id: str, *, routes: bool = True) -> int:
        if kind in UNROUTED:
            return self.outcome.epoch
        epoch = self.outcome.epoch + 1
        self._connection.execute(_SQL["insert_change"], (epoch, org, kind, doc_id))
        self.outcome.epoch = epoch
        if routes:
            self.outcome.routing_epochs[org] = epoch
        if epoch % TRIM_EVERY == 0:
            self._connection.execute(_SQL["trim_changes"], (epoch - CHANGES_KEPT,))
        return epoch

    def _create(self, op: Create) -> None:
        if self._connection.execute(_SQL["get_doc"], (op.kind, op.org, op.id)).fetchone() is not None:
            raise Conflict(f"{op.kind} {op.id} already exists", op.id)
        created = self.note_change(op.kind, op.org, op.id)
        self._connection.execute(_SQL["insert_doc"], (op.kind, op.org, op.id, op.doc, created))
        self._put_keys(op.kind, op.org, op.id, op.keys)
        self.docs.append(Versioned(op.kind, op.org, op.id, 1, op.doc))

    def _replace(self, op: Replace) -> None:
        self._check_version(op.kind, op.org, op.id, op.if_version)
        self._connection.execute(_SQL["update_doc"], (op.doc, op.kind, op.org, op.id))
        if op.keys is not None:
            self._connection.execute(_SQL["delete_keys"], (op.kind, op.org, op.id))
            self._put_keys(op.kind, op.org, op.id, op.keys)
        self.note_change(op.kind, op.org, op.id)
        self.docs.append(Versioned(op.kind, op.org, op.id, op.if_version + 1, op.doc))

    def _delete(self, op: Delete) -> None:
        self._check_version(op.kind, op.org, op.id, op.if_version)
        self._connection.execute(_SQL["delete_doc"], (op.kind, op.org, op.id))
        self._connection.execute(_SQL["delete_keys"], (op.kind, op.org, op.id))
        self.note_change(op.kind, op.org, op.id)

    def _require(self, op: Require) -> None:
        if self._connection.execute(_SQL["get_doc"], (op.kind, op.org, op.id)).fetchone() is None:
            raise GatewayError(Reason.NOT_FOUND, f"{op.kind} {op.id} does not exist")

    def _require_none(self, op: RequireNone) -> None:
        name, value = op.key
        holder = self._connection.execute(_SQL["key_holders"], (op.kind, name, value, op.org, op.org, "", 1)).fetchone()
        if holder is not None:
            raise Conflict(f"{op.kind} {holder[1]} has the {name} {value}", holder[1])

    def _check_version(self, kind: Kind, org: OrgId, doc_id: str, if_version: int | None) -> None:
        row = self._connection.execute(_SQL["get_doc"], (kind, org, doc_id)).fetchone()
        if row is None or (if_version is not None and row[0] != if_version):
            raise StaleVersion(kind, doc_id)

    def _put_keys(self, kind: Kind, org: OrgId, doc_id: str, keys: Sequence[Key]) -> None:
        for key in keys:
            if key.at_most:
                within = None if key.name in GLOBAL_KEYS else org
                values = (kind, key.name, key.value, within, org, doc_id, key.at_most)
                holders = self._connection.execute(_SQL["key_holders"], values).fetchall()
                if len(holders) >= key.at_most:
                    raise key_refusal(kind, org, key, holders[0])
            self._connection.execute(_SQL["insert_key"], (kind, key.name, key.value, org, doc_id))

    def _open_lane(self, op: OpenLane) -> None:
        if self.outcome.lane(op.lane) is not None:
            raise Conflict(f"lane {op.lane} already exists", op.registration_id)
        self._connection.execute(_SQL["insert_lane"], (op.lane, op.org, op.registration_id, self._head))
        put_progress(self._connection, op.lane, self._head, ())
        self.outcome.lanes[op.lane] = LaneState(
            op.lane, op.org, op.registration_id, self._head, 0, False, None, self._head, ()
        )
        self.note_change("registration", op.org, op.registration_id)

    def _change_lane(self, op: DisableLane | EnableLane | SplitTallies | CloseLane) -> None:
        """Without effect on a lane that is gone or closed: its registration was deleted."""
        state = self.outcome.lane(op.lane)
        if state is None or state.tombstone is not None:
            return
        match op:
            case DisableLane():
                self._disable(op, state)
            case EnableLane():
                self._enable(op, self._split(state, op.now_ms, op.now_ms))
            case SplitTallies():
                self._split(state, state.counted_ms, op.now_ms)
            case CloseLane():
                self._close(op, state)
        self.note_change("registration", state.org, state.registration_id)

    def _deliver_again(self, op: PutUnits | HastenUnit) -> None:
        state = self.outcome.lane(op.lane)
        if state is None or state.tombstone is not None:
            raise StaleVersion("lane", str(op.lane))
        if isinstance(op, PutUnits):
            apply_units(self._connection, state, op)
        else:
            hasten_unit(self._connection, state, op)
        self.note_change("registration", state.org, state.registration_id, routes=False)

    def _disable(self, op: DisableLane, state: LaneState) -> None:
        from_seq, settled = state.mark + 1, pack_seqs(state.done)
        if state.disabled:
            gap_id, open_seq, cause = self._connection.execute(_SQL["open_gap"], (op.lane,)).fetchone()
            if (cause == PULLED) == (op.cause == PULLED):
                return
            from_seq, settled = max(self._head + 1, open_seq), b""
            self._connection.execute(_SQL["close_gap"], (from_seq - 1, op.now_ms, gap_id))
        self._connection.execute(_SQL["insert_gap"], (op.lane, from_seq, op.cause, op.now_ms, settled))
        self._connection.execute(_SQL["set_lane_state"], (True, None, op.lane))
        self.outcome.lanes[op.lane] = msgspec.structs.replace(state, disabled=True)
        self.outcome.gapped.add(op.lane)

    def _enable(self, op: EnableLane, state: LaneState) -> None:
        if not state.disabled:
            return
        gap_id, from_seq, _ = self._connection.execute(_SQL["open_gap"], (op.lane,)).fetchone()
        self._connection.execute(_SQL["close_gap"], (max(self._head, from_seq - 1), op.now_ms, gap_id))
        self._connection.execute(_SQL["set_lane_state"], (False, None, op.lane))
        mark = max(self._head, state.mark)
        put_progress(self._connection, op.lane, mark, ())
        self.outcome.lanes[op.lane] = msgspec.structs.replace(state, disabled=False, mark=mark, done=())

    def _split(self, state: LaneState, counted_ms: int, split_ms: int) -> LaneState:
        self._connection.execute(_SQL["set_lane_tallies"], (counted_ms, split_ms, state.lane))
        state = msgspec.structs.replace(state, counted_ms=counted_ms, split_ms=split_ms)
        self.outcome.lanes[state.lane] = state
        return state

    def _close(self, op: CloseLane, state: LaneState) -> None:
        if op.tombstone:
            self._connection.execute(_SQL["set_lane_state"], (state.disabled, op.tombstone, op.lane))
            self.outcome.lanes[op.lane] = msgspec.structs.replace(state, tombstone=op.tombstone)
        else:
            forget_lane(self._connection, self.outcome, op.lane)


def forget_lane(connection: sqlite3.Connection, outcome: Outcome, lane: Lane) -> None:
    """The lane and everything that hangs on it."""
    for table in _FORGET:
        connection.execute(_SQL[f"forget_{table}"], (lane,))
    outcome.lanes[lane] = None


def put_progress(connection: sqlite3.Connection, lane: Lane, mark: int, done: Sequence[int]) -> None:
    connection.execute(_SQL["put_progress"].replace("{rows}", "(?, ?, ?)"), (lane, mark, pack_seqs(done)))
