"""Applies control operations inside one transaction; nothing here commits.

The lock on the gateway's row is taken first: writes of the catalogue come one after the other over all nodes, so that
what a write checks is still so when it commits, and epochs have no gap. The rows of the touched shards are locked next,
ascending, as appends do: whoever appends under an older picture commits before, or finds the new epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

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
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.recovery import apply_units, hasten_unit
from eventmill.store.work import PULLED, SLOTS
from eventmill.store.write_rules import (
    CHANGES_KEPT,
    EMPTIED_KINDS,
    GLOBAL_KEYS,
    TRIM_EVERY,
    is_document,
    is_unrouted,
    key_refusal,
)

_SQL = load_queries("catalogue")

_FORGET = ("gaps", "units", "ended", "traces", "tallies", "replay_tallies", "lane")

LaneOp = DisableLane | EnableLane | SplitTallies | CloseLane
UnitOp = PutUnits | HastenUnit


class ControlWrite:
    """One `write` under way: `docs` count once the transaction is committed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._epoch = 0
        self._changed = False
        self._epochs: dict[OrgId, int] = {}
        self._heads: dict[int, int] = {}
        self._shards: dict[OrgId, int] = {}
        self.docs: list[Versioned] = []

    async def apply(self, ops: Sequence[ControlOp]) -> None:
        """Raises `GatewayError` (`Conflict`, `LimitReached`, `StaleVersion`, not found); the caller then rolls back."""
        if not is_unrouted(ops):
            await self._begin()
            lanes = [op.lane for op in ops if isinstance(op, LaneOp | UnitOp)]
            orgs = {op.org for op in ops if isinstance(op, Create | Replace | Delete | OpenLane)}
            if lanes:
                orgs.update(OrgId(row["org"]) for row in await self._fetch("orgs_of_lanes", lanes))
            await self._lock_shards(orgs)
        for kind, org in sorted({(op.kind, op.org) for op in ops if is_document(op) and op.kind in UNROUTED}):
            await self._connection.execute(_SQL["lock_unrouted"], f"{kind} {org}")
        for op in ops:
            await self._apply(op)
        await self._end()

    async def empty(self) -> None:
        """All registrations, providers, event metadata and what hangs on lanes; events, and the generation raised."""
        await self._begin()
        docs = await self._fetch("docs_of_kinds", EMPTIED_KINDS)
        await self._lock_shards(None)
        for row in docs:
            await self._delete(Delete(row["kind"], OrgId(row["org"]), row["id"]))
        await self._connection.execute(_SQL["empty"])
        await self._end()

    async def _begin(self) -> None:
        self._epoch = await self._connection.fetchval(_SQL["lock_gateway"])

    async def _lock_shards(self, orgs: set[OrgId] | None) -> None:
        """None: all shards."""
        if orgs is not None:
            for org in sorted(orgs):  # in one order, so that the same writes give the same shards
                await self._connection.execute(_SQL["add_org"], org)
        for row in await self._fetch("lock_shards", None if orgs is None else list(orgs)):
            self._heads[row["id"]] = row["head"]
        for row in await self._fetch("shards_of", None if orgs is None else list(orgs)):
            self._shards[OrgId(row["org"])] = row["shard"]

    async def _end(self) -> None:
        if self._epochs:
            await self._connection.execute(_SQL["set_epochs"], list(self._epochs), list(self._epochs.values()))
        if self._changed:
            await self._connection.execute(_SQL["set_epoch"], self._epoch)

    async def _apply(self, op: ControlOp) -> None:
        match op:
            case Create():
                await self._create(op)
            case Replace():
                await self._replace(op)
            case Delete():
                await self._delete(op)
            case Require():
                if not await self._connection.fetchval(_SQL["require"], op.kind, op.org, op.id):
                    raise GatewayError(Reason.NOT_FOUND, f"{op.kind} {op.id} does not exist")
            case RequireNone():
                await self._require_none(op)
            case OpenLane():
                await self._open_lane(op)
            case DisableLane() | EnableLane() | SplitTallies() | CloseLane():
                await self._change_lane(op)
            case PutUnits() | HastenUnit():
                await self._deliver_again(op)

    async def note_change(self, kind: Kind, org: OrgId, doc_id: str, *, routes: bool = True) -> int:
        if kind in UNROUTED:
            return self._epoch
        self._epoch += 1
        self._changed = True
        if routes:
            self._epochs[org] = self._epoch
        await self._connection.execute(_SQL["insert_change"], self._epoch, org, kind, doc_id)
        if self._epoch % TRIM_EVERY == 0:
            await self._connection.execute(_SQL["trim_changes"], self._epoch - CHANGES_KEPT)
        return self._epoch

    async def _create(self, op: Create) -> None:
        if await self._version(op.kind, op.org, op.id) is not None:
            raise Conflict(f"{op.kind} {op.id} already exists", op.id)
        created = await self.note_change(op.kind, op.org, op.id)
        await self._connection.execute(_SQL["insert_doc"], op.kind, op.org, op.id, op.doc, created)
        await self._put_keys(op.kind, op.org, op.id, op.keys)
        self.docs.append(Versioned(op.kind, op.org, op.id, 1, op.doc))

    async def _replace(self, op: Replace) -> None:
        await self._check_version(op.kind, op.org, op.id, op.if_version)
        await self._connection.execute(_SQL["update_doc"], op.kind, op.org, op.id, op.doc)
        if op.keys is not None:
            await self._connection.execute(_SQL["delete_keys"], op.kind, op.org, op.id)
            await self._put_keys(op.kind, op.org, op.id, op.keys)
        await self.note_change(op.kind, op.org, op.id)
        self.docs.append(Versioned(op.kind, op.org, op.id, op.if_version + 1, op.doc))

    async def _delete(self, op: Delete) -> None:
        await self._check_version(op.kind, op.org, op.id, op.if_version)
        await self._connection.execute(_SQL["delete_doc"], op.kind, op.org, op.id)
        await self._connection.execute(_SQL["delete_keys"], op.kind, op.org, op.id)
        await self.note_change(op.kind, op.org, op.id)

    async def _require_none(self, op: RequireNone) -> None:
        name, value = op.key
        holders = await self._fetch("key_holders", op.kind, name, value.encode(), op.org, op.org, "", 1)
        if holders:
            holder = holders[0]["id"]
            raise Conflict(f"{op.kind} {holder} has the {name} {value}", holder)

    async def _version(self, kind: Kind, org: OrgId, doc_id: str) -> int | None:
        version: int | None = await self._connection.fetchval(_SQL["get_version"], kind, org, doc_id)
        return version

    async def _check_version(self, kind: Kind, org: OrgId, doc_id: str, if_version: int | None) -> None:
        version = await self._version(kind, org, doc_id)
        if version is None or (if_version is not None and version != if_version):
            raise StaleVersion(kind, doc_id)

    async def _put_keys(self, kind: Kind, org: OrgId, doc_id: str, keys: Sequence[Key]) -> None:
        for key in keys:
            value = key.value.encode()
            if key.at_most:
                within = None if key.name in GLOBAL_KEYS else org
                holders = await self._fetch("key_holders", kind, key.name, value, within, org, doc_id, key.at_most)
                if len(holders) >= key.at_most:
                    raise key_refusal(kind, org, key, (holders[0]["org"], holders[0]["id"]))
            await self._connection.execute(_SQL["insert_key"], kind, key.name, value, org, doc_id)

    async def _open_lane(self, op: OpenLane) -> None:
        if await self._connection.fetchval(_SQL["has_lane"], op.lane):
            raise Conflict(f"lane {op.lane} already exists", op.registration_id)
        shard = self._shards[op.org]
        await self._connection.execute(
            _SQL["insert_lane"], op.lane, self._heads[shard], shard, op.lane % SLOTS, op.org, op.registration_id
        )
        await self.note_change("registration", op.org, op.registration_id)

    async def _change_lane(self, op: LaneOp) -> None:
        """Without effect on a lane that is gone or closed: its registration was deleted."""
        state = await self._connection.fetchrow(_SQL["lock_lane"], op.lane)
        if state is None or state["tombstone"] is not None:
            return
        execute = self._connection.execute
        match op:
            case DisableLane():
                await self._disable(op, state)
            case EnableLane():
                await execute(_SQL["split_tallies"], op.lane, op.now_ms, op.now_ms)
                if state["disabled"]:
                    head = self._heads[state["shard"]]
                    await execute(_SQL["close_gap"], op.lane, head, op.now_ms)
                    await execute(_SQL["enable_lane"], op.lane, max(head, state["mark"]))
            case SplitTallies():
                await execute(_SQL["split_tallies"], op.lane, None, op.now_ms)
            case CloseLane():
                if op.tombstone:
                    await execute(_SQL["close_lane"], op.lane, op.tombstone)
                else:
                    await forget_lane(self._connection, op.lane)
        await self.note_change("registration", OrgId(state["org"]), state["registration_id"])

    async def _disable(self, op: DisableLane, state: asyncpg.Record) -> None:
        from_seq, settled = state["mark"] + 1, state["done"]
        if state["disabled"]:
            gap = await self._connection.fetchrow(_SQL["open_gap"], op.lane)
            assert gap is not None
            if (gap["cause"] == PULLED) == (op.cause == PULLED):
                return
            from_seq, settled = max(self._heads[state["shard"]] + 1, gap["from_seq"]), []
            await self._connection.execute(_SQL["close_gap"], op.lane, from_seq - 1, op.now_ms)
        await self._connection.execute(_SQL["insert_gap"], op.lane, from_seq, op.now_ms, op.cause, settled)
        await self._connection.execute(_SQL["disable_lane"], op.lane)

    async def _deliver_again(self, op: UnitOp) -> None:
        state = await self._connection.fetchrow(_SQL["lock_lane"], op.lane)
        if state is None or state["tombstone"] is not None:
            raise StaleVersion("lane", str(op.lane))
        if isinstance(op, PutUnits):
            await apply_units(self._connection, state, op)
        else:
            await hasten_unit(self._connection, state, op)
        await self.note_change("registration", OrgId(state["org"]), state["registration_id"], routes=False)

    async def _fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        return list(await self._connection.fetch(_SQL[query], *values))


async def forget_lane(connection: Connection, lane: Lane) -> None:
    """The lane and everything that hangs on it."""
    for table in _FORGET:
        await connection.execute(_SQL[f"forget_{table}"], lane)
