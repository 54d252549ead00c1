"""Having events delivered again: the calls that make, steer and show replays, and the resend of a single event.

An addition of ours. A replay is a stored job that `flow.replaying` works off; nothing is replayed unless somebody asks.
The calls raise `GatewayError` for what the caller can mend.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Literal
from uuid import UUID

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import Conflict, GatewayError, Reason, StaleVersion
from eventmill.flow.replay_docs import UNFINISHED, creation, find_replay, replacement, replays_of
from eventmill.flow.replay_units import is_under_way, replay_unit
from eventmill.flow.targets import delivers
from eventmill.flow.undelivered import count_view
from eventmill.ids import IdSource, uuid_text
from eventmill.model import Registration, Replay, ReplayScope, ReplayState
from eventmill.store.base import Store
from eventmill.store.control import Delete, HastenUnit, PutUnits, Require
from eventmill.store.observe import ReplayTally

_WRITES_MAX = 8
"""How often a write is tried against others of the same job or lane."""


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which events: those within both ranges, as far as they are given and retention has not dropped them."""

    from_ms: int | None = None
    """Published at this business time or later."""
    to_ms: int | None = None
    """Published before it."""
    after_seq: int | None = None
    """Behind this position."""
    to_seq: int | None = None
    """Up to this position, itself included."""
    scope: ReplayScope = "undelivered"
    """`all`: also those that were delivered, and those that passed while the registration was a journal."""
    causes: tuple[str, ...] = ()
    """Of undelivered ones, only those for these causes (see `flow.undelivered.InView.cause`). None with `all`."""
    events_per_second: float | None = None
    """Above 0, in business time; None: as fast as they are taken."""


class ReplayReport(msgspec.Struct, frozen=True):
    replay: Replay
    tally: ReplayTally
    """How the events handed out so far fared."""


class Resent(msgspec.Struct, frozen=True):
    outcome: Literal["scheduled", "hastened", "under_way"]
    """`scheduled`: sent once more, at once. `hastened`: its next retry is due now. `under_way`: its attempt is due or
    being made anyway, and nothing was changed."""
    replay_id: str | None = None
    """UUID in the header of the delivery, when it was scheduled."""


class Replays:
    """`on_running` is told of each replay that runs from now on."""

    def __init__(
        self, store: Store, clock: Clock, ids: IdSource, config: Config, on_running: Callable[[Replay], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._kept = config.replays_kept
        self._on_running = on_running

    async def estimate(self, registration: Registration, request: ReplayRequest) -> int:
        """How many events a replay would send now; changes nothing, and is answered for a disabled one, too."""
        _check_pushed(registration)
        return await self._count(registration, request, await self._range(registration, request))

    async def create(self, registration: Registration, request: ReplayRequest) -> ReplayReport:
        """Raises `Conflict` while another replay of the registration is not finished."""
        _check_delivers(registration)
        after, upto = await self._range(registration, request)
        now_ms = self._clock.now_ms()
        replay = Replay(
            id=self._ids.uuid(),
            org=registration.org,
            registration_id=registration.registration_id,
            lane=registration.id,
            state="running",
            scope=request.scope,
            causes=request.causes,
            events_per_second=request.events_per_second,
            after_seq=after,
            to_seq=upto,
            cursor=after,
            next_ms=now_ms,
            total=await self._count(registration, request, (after, upto)),
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        finished = [each for each in await replays_of(self._store, registration) if each.state not in UNFINISHED]
        spare = [Delete("replay", each.org, each.id) for each in finished[self._kept - 1 :]]
        require = Require("registration", replay.org, replay.registration_id)
        try:
            await self._store.write([require, *spare, creation(replay)])
        except Conflict as conflict:
            message = (
                f"replay {conflict.conflicting_id} of this registration is not finished: wait for it, or cancel it"
            )
            raise Conflict(message, conflict.conflicting_id or "") from None
        self._on_running(replay)
        return ReplayReport(replay, ReplayTally())

    async def pause(self, registration: Registration, replay_id: str) -> ReplayReport:
        """Hands out no more until it is resumed; what was handed out runs on."""
        return await self._move(registration, replay_id, "paused", ("running",))

    async def resume(self, registration: Registration, replay_id: str) -> ReplayReport:
        """Goes on where it was, also after it paused itself."""
        _check_delivers(registration)
        return await self._move(registration, replay_id, "running", ("paused",))

    async def cancel(self, registration: Registration, replay_id: str) -> ReplayReport:
        """Hands out no more, for good; what was handed out runs on."""
        return await self._move(registration, replay_id, "cancelled", UNFINISHED)

    async def read(self, registration: Registration, replay_id: str) -> ReplayReport:
        _, replay = await find_replay(self._store, registration, replay_id)
        return await self._report(replay)

    async def list(self, registration: Registration) -> list[ReplayReport]:
        """Newest first."""
        return [await self._report(each) for each in await replays_of(self._store, registration)]

    async def resend(self, registration: Registration, event_id: bytes) -> Resent:
        """Have one event of the registration's journal delivered now; also while it is disabled."""
        _check_verified(registration)
        event = await self._store.find_event(registration.org, event_id)
        if event is None or await self._store.lane_page(registration.id, event.seq - 1, 1) != [event.seq]:
            message = f"event {uuid_text(event_id)} was never this registration's, or retention has dropped it"
            raise GatewayError(Reason.NOT_FOUND, message)
        for _ in range(_WRITES_MAX):
            with contextlib.suppress(StaleVersion):
                return await self._resend(registration, event.seq)
        raise StaleVersion("registration", registration.registration_id)

    async def _resend(self, registration: Registration, seq: int) -> Resent:
        """Raises `StaleVersion` when delivery got there first."""
        lane, now_ms = registration.id, self._clock.now_ms()
        units = await self._store.units_at(lane, [seq])
        if units and units[0].due_ms > now_ms:
            await self._store.write([HastenUnit(lane, units[0].unit_id, now_ms)])
            return Resent("hastened")
        record = await self._store.lane(lane)
        if record is None or record.tombstone is not None:
            message = f"registration {registration.registration_id} was deleted meanwhile"
            raise GatewayError(Reason.NOT_FOUND, message)
        if units or is_under_way(record, seq):
            return Resent("under_way")
        replay_id, unit_id = self._ids.uuid(), self._ids.event_id(now_ms)
        unit = replay_unit(registration, (seq,), replay=UUID(replay_id).bytes, unit_id=unit_id, now_ms=now_ms)
        await self._store.write([PutUnits(lane, (unit,), now_ms, from_view=False, while_disabled=True)])
        return Resent("scheduled", replay_id)

    # --- What a request asks for ---

    async def _range(self, registration: Registration, request: ReplayRequest) -> tuple[int, int]:
        """Positions in (first, last], as things are now."""
        store = self._store
        shard = await store.shard(registration.org)
        after = max(request.after_seq or 0, await store.floor(registration.id))
        upto = (await store.head(shard)).seq
        if request.from_ms is not None:
            after = max(after, await store.seek(shard, request.from_ms))
        if request.to_seq is not None:
            upto = min(upto, request.to_seq)
        if request.to_ms is not None:
            upto = min(upto, await store.seek(shard, request.to_ms))
        return after, max(after, upto)

    async def _count(self, registration: Registration, request: ReplayRequest, within: tuple[int, int]) -> int:
        if request.scope == "all":
            return await self._store.count_between(registration.id, *within)
        return sum((await count_view(self._store, registration.id, *within, request.causes)).values())

    # --- Documents ---

    async def _report(self, replay: Replay) -> ReplayReport:
        return ReplayReport(replay, await self._store.replay_tally(UUID(replay.id).bytes))

    async def _move(
        self, registration: Registration, replay_id: str, state: ReplayState, before: tuple[ReplayState, ...]
    ) -> ReplayReport:
        """Into a state that can be reached from those `before`, or is the present one."""
        for _ in range(_WRITES_MAX):
            stored, replay = await find_replay(self._store, registration, replay_id)
            if replay.state == state:
                return await self._report(replay)
            if replay.state not in before:
                raise Conflict(f"replay {replay_id} is {replay.state}", replay_id)
            now_ms = self._clock.now_ms()
            # A rate does not make up for the time that a replay stood still.
            next_ms = max(replay.next_ms, now_ms) if state == "running" else replay.next_ms
            moved = msgspec.structs.replace(replay, state=state, reason="", next_ms=next_ms, updated_ms=now_ms)
            with contextlib.suppress(StaleVersion):
                await self._store.write([replacement(stored, moved)])
                if moved.state == "running":
                    self._on_running(moved)
                return await self._report(moved)
        raise StaleVersion("replay", replay_id)


def _check_pushed(registration: Registration) -> None:
    if registration.delivery_type == "journal":
        message = "the registration is a journal, so that nothing is pushed: its events are there to be read"
        raise GatewayError(Reason.NOT_PUSHED, message)


def _check_verified(registration: Registration) -> None:
    """An endpoint that nobody has shown to want events gets none."""
    _check_pushed(registration)
    if registration.webhook_status in ("accepted", "verification_failed"):
        message = (
            f"the webhook is {registration.webhook_status}: it gets events once it has passed its challenge; "
            "have it challenged again with POST .../challenge"
        )
        raise GatewayError(Reason.REGISTRATION_DISABLED, message)


def _check_delivers(registration: Registration) -> None:
    _check_verified(registration)
    if not delivers(registration):
        message = (
            'the registration is disabled: enable it first (PUT it with "enabled": true), so that its endpoint is '
            "shown to be well again"
        )
        raise GatewayError(Reason.REGISTRATION_DISABLED, message)
