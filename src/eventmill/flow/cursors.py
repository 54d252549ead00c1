"""Named cursors: how far the readers of a journal have come, kept by the gateway. An addition of ours.

A cursor moves by compare-and-set. Readers that share one take turns by lease: each lease has a number (a fence), and
only who knows the newest may move the cursor, however late its request arrives. Leases run on machine time, by
the clock that all nodes share. A fence is
higher than all before it, also those of a cursor of that name that was deleted.
"""

from __future__ import annotations

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.position import JournalQuery
from eventmill.errors import Conflict, GatewayError, Reason, StaleVersion
from eventmill.flow.journal_pages import Pages, Place
from eventmill.flow.upkeep import DAY_MS
from eventmill.flow.writes import WRITES_MAX
from eventmill.ids import IdSource
from eventmill.model import Cursor, Registration
from eventmill.store.base import Store
from eventmill.store.control import (
    ControlOp,
    ControlReads,
    Create,
    Delete,
    Key,
    Replace,
    Require,
    RequireNone,
    Versioned,
)


class Kept(msgspec.Struct, frozen=True):
    """A cursor as it is stored."""

    cursor: Cursor
    version: int

    @property
    def tag(self) -> str:
        """Changes with every write; another cursor of the same name never had it."""
        return f'"{self.cursor.born}-{self.version}"'


class Conditions(msgspec.Struct, frozen=True):
    """Of a write (RFC 9110 §13); empty: none."""

    tags: tuple[str, ...] = ()
    """`If-Match`: one of these tags, or `*` for any."""
    only_new: bool = False
    """`If-None-Match: *`."""

    def check(self, kept: Kept | None, name: str) -> None:
        """Raises `PRECONDITION_FAILED`."""
        if self.only_new and kept is not None:
            raise GatewayError(Reason.PRECONDITION_FAILED, f"cursor {name} exists")
        if self.tags and kept is None:
            raise GatewayError(Reason.PRECONDITION_FAILED, f"cursor {name} does not exist")
        if self.tags and kept is not None and "*" not in self.tags and kept.tag not in self.tags:
            raise GatewayError(Reason.PRECONDITION_FAILED, f"cursor {name} was changed; its tag is {kept.tag} now")


class Standing(msgspec.Struct, frozen=True):
    """Where a cursor is among the events of its journal."""

    lag_events: int
    """Events after it, up to `journal_count_max`."""
    lag_ms: int
    """Age of the first of them; 0 when there is none."""
    expires_in_ms: int | None
    """Until the first of them expires, at the earliest; 0: some have. None: there is none that could."""


class Cursors:
    def __init__(self, store: Store, clock: Clock, ids: IdSource, config: Config) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._config = config
        self._pages = Pages(store, clock, config)
        self._retention_ms = config.journal_retention_days * DAY_MS

    async def find(self, registration: Registration, name: str) -> Kept | None:
        stored = await self._store.get("cursor", registration.org, _doc_id(registration, name))
        return None if stored is None else _kept(stored)

    async def get(self, registration: Registration, name: str) -> Kept:
        """Raises `NOT_FOUND`."""
        kept = await self.find(registration, name)
        if kept is None:
            message = f"cursor {name[:80]!a} does not exist in registration {registration.registration_id}"
            raise GatewayError(Reason.NOT_FOUND, message)
        return kept

    async def all(self, registration: Registration) -> list[Kept]:
        """By name."""
        found = await self._store.list_docs("cursor", registration.org, cursor_key(registration))
        return sorted(map(_kept, found), key=lambda kept: kept.cursor.name)

    async def standing(self, registration: Registration, cursor: Cursor) -> Standing:
        try:
            place = await self._pages.find_place(registration, JournalQuery(since=cursor.position))
        except GatewayError as error:
            if error.reason is not Reason.POSITION_EXPIRED:
                raise
            return await self._standing_at(registration, await self._oldest(registration), expired=True)
        return await self._standing_at(registration, place, expired=False)

    async def _oldest(self, registration: Registration) -> Place:
        return await self._pages.find_place(registration, JournalQuery())

    async def _standing_at(self, registration: Registration, place: Place, *, expired: bool) -> Standing:
        count = await self._store.count_after(registration.id, place.after, self._config.journal_count_max)
        page = await self._store.journal_page(registration.id, place.after, 1, 1)
        first = await self._store.fetch(place.shard, page.seqs)
        if not first:
            return Standing(count, 0, 0 if expired else None)
        age_ms = max(0, self._clock.now_ms() - first[0].ts_ms)
        return Standing(count, age_ms, 0 if expired else max(0, self._retention_ms - age_ms))

    async def put(
        self, registration: Registration, name: str, position: str, fence: int | None, conditions: Conditions
    ) -> tuple[Kept, bool]:
        """The cursor at the position, and whether it is new.

        Raises `GatewayError`: INVALID_POSITION, POSITION_EXPIRED, PRECONDITION_FAILED, LEASE_LOST, QUOTA_REACHED."""
        await self._pages.find_place(registration, JournalQuery(since=position))
        for _ in range(WRITES_MAX):
            kept = await self.find(registration, name)
            conditions.check(kept, name)
            self._check_fence(kept, name, fence)
            try:
                if kept is None:
                    return await self._create(registration, name, position), True
                moved = msgspec.structs.replace(kept.cursor, position=position, changed_ms=self._clock.now_ms())
                return await self._replace(registration, kept, moved), False
            except (StaleVersion, Conflict):
                continue
        raise StaleVersion("cursor", name)

    def _check_fence(self, kept: Kept | None, name: str, fence: int | None) -> None:
        """A lease that ran out is good until somebody else took the next one."""
        if kept is None:
            if fence is not None:
                raise GatewayError(Reason.LEASE_LOST, f"cursor {name} does not exist any more")
            return
        cursor = kept.cursor
        if fence is None and self.lease_ms(cursor):
            message = f"cursor {name} is leased to {cursor.holder}; send the fence of the lease"
            raise GatewayError(Reason.LEASE_LOST, message)
        if fence is not None and fence != cursor.fence:
            message = f"lease {fence} of cursor {name} is lost; the newest is {cursor.fence}"
            raise GatewayError(Reason.LEASE_LOST, message)

    async def _create(self, registration: Registration, name: str, position: str) -> Kept:
        cursor = Cursor(
            org=registration.org,
            registration_id=registration.registration_id,
            name=name,
            position=position,
            changed_ms=self._clock.now_ms(),
            born=self._ids.uuid()[:8],
        )
        key = Key(*cursor_key(registration), self._config.cursors_per_registration)
        doc_id, doc = _doc_id(registration, name), msgspec.json.encode(cursor)
        written = await self._store.write(
            [
                Require("registration", registration.org, registration.registration_id),
                Create("cursor", registration.org, doc_id, doc, (key,)),
            ]
        )
        return _kept(written[0])

    async def _replace(self, registration: Registration, kept: Kept, cursor: Cursor) -> Kept:
        doc_id, doc = _doc_id(registration, cursor.name), msgspec.json.encode(cursor)
        return _kept((await self._store.write([Replace("cursor", cursor.org, doc_id, doc, kept.version, None)]))[0])

    async def delete(self, registration: Registration, name: str, conditions: Conditions) -> None:
        for _ in range(WRITES_MAX):
            kept = await self.get(registration, name)
            conditions.check(kept, name)
            try:
                await self._store.write([Delete("cursor", registration.org, _doc_id(registration, name), kept.version)])
            except StaleVersion:
                continue
            return
        raise StaleVersion("cursor", name)

    # Leases

    def _shared_ms(self) -> int:
        """The wall time of all nodes: one whose clock is fast must not end the leases of others."""
        return self._clock.machine_ms() - self._store.clock_ahead_ms()

    def lease_ms(self, cursor: Cursor) -> int:
        """How long its lease has still to go; 0 when nobody holds it."""
        return max(0, cursor.lease_until_ms - self._shared_ms())

    async def lease(self, registration: Registration, name: str, holder: str, ttl_ms: int) -> Kept:
        """A new lease, unless another holder has one. A holder that asks again, restarted perhaps, gets a new fence
        too: whatever it left under way before cannot move the cursor any more. Raises `LEASE_HELD`."""
        for _ in range(WRITES_MAX):
            kept = await self.get(registration, name)
            cursor, left_ms = kept.cursor, self.lease_ms(kept.cursor)
            if left_ms and cursor.holder != holder:
                message = f"cursor {name} is leased to {cursor.holder} for another {left_ms / 1000:.1f} s"
                raise GatewayError(Reason.LEASE_HELD, message, retry_after_s=-(-left_ms // 1000))
            now_ms = self._shared_ms()
            # The first fence is the time: a cursor that was deleted and made again does not repeat those of the former.
            fence = cursor.fence + 1 if cursor.fence else now_ms
            leased = msgspec.structs.replace(cursor, holder=holder, fence=fence, lease_until_ms=now_ms + ttl_ms)
            try:
                return await self._replace(registration, kept, leased)
            except StaleVersion:
                continue
        raise StaleVersion("cursor", name)

    async def hold(self, registration: Registration, name: str, fence: int, ttl_ms: int) -> Kept:
        """The same lease, from now on for so long; 0: given back. Raises `LEASE_LOST`."""
        for _ in range(WRITES_MAX):
            kept = await self.get(registration, name)
            self._check_fence(kept, name, fence)
            until_ms = self._shared_ms() + ttl_ms if ttl_ms else 0
            try:
                held = msgspec.structs.replace(kept.cursor, lease_until_ms=until_ms)
                return await self._replace(registration, kept, held)
            except StaleVersion:
                continue
        raise StaleVersion("cursor", name)


async def cursor_deletions(store: ControlReads, registration: Registration) -> list[ControlOp]:
    """What deletes the cursors of a registration with it. The write raises `StaleVersion` or `Conflict` when one of
    them came or went meanwhile."""
    key = cursor_key(registration)
    cursors = await store.list_docs("cursor", registration.org, key)
    gone = [Delete("cursor", registration.org, each.id) for each in cursors]
    return [*gone, RequireNone("cursor", registration.org, key)]


def cursor_key(registration: Registration) -> tuple[str, str]:
    """The key that all cursors of a registration hold."""
    return "registration", registration.registration_id


def _kept(stored: Versioned) -> Kept:
    return Kept(msgspec.json.decode(stored.doc, type=Cursor), stored.version)


def _doc_id(registration: Registration, name: str) -> str:
    return f"{registration.registration_id}/{name}"
