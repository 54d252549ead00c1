"""Works off replays: hands out units bit by bit, each time in one write with how far the replay has come.

What happens to a unit from there on is delivery's: so a crash neither loses nor doubles anything, and what fails for
good is listed as undelivered again. One node drives them all, the one that presides; should two for a moment, each
write of the one has the other look again.
"""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

import msgspec
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import StaleVersion
from eventmill.flow.registration_change import find_stored, pause_cause
from eventmill.flow.replay_docs import UNFINISHED_KEY, decode_replay, replacement
from eventmill.flow.replay_units import UnitCutter
from eventmill.flow.stage import Passes
from eventmill.flow.targets import delivers
from eventmill.flow.upkeep import DAY_MS
from eventmill.ids import IdSource
from eventmill.model import OrgId, Registration, Replay, ReplayState
from eventmill.store.base import Store
from eventmill.store.control import Delete, Versioned
from eventmill.store.observe import ReplayTally

log = structlog.get_logger()

_WRITES_MAX = 8
"""How often a write is tried against others of the same job or lane."""
_LOOK_S = 0.1
"""Between two looks at replays that run."""
_IDLE_S = 1.0
"""Between two looks for those that other nodes were asked for."""
_SWEEP_MS = 3_600_000
_RETRYING_WINDOWS = 10
_QUANTUM_MS = 250
"""A rate lets a quarter of a second's events go at once, or one."""
_LAG_MS = 1000
"""What a rate did not use is made up for as far as this."""


class Replaying:
    """One per front."""

    def __init__(self, store: Store, clock: Clock, ids: IdSource, config: Config) -> None:
        self._store = store
        self._clock = clock
        self._window = config.replay_window_events
        self._kept_ms = config.journal_retention_days * DAY_MS
        self._cutter = UnitCutter(store, ids, config)
        self._running: dict[tuple[OrgId, str], Replay] = {}
        """As last seen."""
        self._stepping = asyncio.Lock()
        """The stage's own steps and those of a moving clock take turns."""
        self._handed = 0
        """Events, since `step` was asked last."""
        self._kick = asyncio.Event()
        self._next_look_s = 0.0
        self._next_sweep_ms = 0

    def note(self, replay: Replay) -> None:
        """It runs from now on."""
        self._running[replay.org, replay.id] = replay
        self._kick.set()

    async def run(self) -> None:
        passes = Passes("replays")
        while True:
            self._kick.clear()
            await passes.make(self._preside)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S if self._running else _IDLE_S):
                    await self._kick.wait()

    async def _preside(self) -> None:
        if await self._store.presidency():
            await self._step()
        else:
            self._running.clear()

    def next_due_ms(self) -> int | None:
        """When the rate of a replay lets the next events go."""
        now_ms = self._clock.now_ms()
        waiting = [each.next_ms for each in self._running.values() if each.next_ms > now_ms and not _is_through(each)]
        return min(waiting, default=None)

    async def step(self) -> int:
        """Hand out what may be; returns how many events were since the last call, by the stage's own steps too."""
        self._next_look_s = 0.0
        await self._step()
        handed, self._handed = self._handed, 0
        return handed

    async def _step(self) -> None:
        async with self._stepping:
            await self._look()
            for org, replay_id in list(self._running):
                self._handed += await self._advance(org, replay_id)

    # --- Which there are ---

    async def _look(self) -> None:
        now_s = self._clock.machine_s()
        if self._clock.now_ms() >= self._next_sweep_ms:
            self._next_sweep_ms, self._next_look_s = self._clock.now_ms() + _SWEEP_MS, now_s + _IDLE_S
            await self._sweep()
        elif now_s >= self._next_look_s:
            self._next_look_s = now_s + _IDLE_S
            for stored in await self._store.scan("replay", UNFINISHED_KEY):
                self._remember(decode_replay(stored))

    async def _sweep(self) -> None:
        """Finds those that run; drops all whose registration is gone, and those that stood still for so long that none
        of their events is kept."""
        oldest_ms = self._clock.now_ms() - self._kept_ms
        for stored in await self._store.scan("replay"):
            replay = decode_replay(stored)
            is_old = replay.state != "running" and replay.updated_ms < oldest_ms
            if is_old or await self._store.get("registration", replay.org, replay.registration_id) is None:
                with contextlib.suppress(StaleVersion):
                    await self._drop(stored, replay)
            else:
                self._remember(replay)
            await asyncio.sleep(0)

    def _remember(self, replay: Replay) -> None:
        if replay.state == "running":
            self._running[replay.org, replay.id] = replay
        else:
            self._running.pop((replay.org, replay.id), None)

    # --- One replay ---

    async def _advance(self, org: OrgId, replay_id: str) -> int:
        """Its next events; returns how many. Others' writes come first."""
        for _ in range(_WRITES_MAX):
            stored = await self._store.get("replay", org, replay_id)
            replay = None if stored is None else decode_replay(stored)
            if stored is None or replay is None or replay.state != "running":
                self._running.pop((org, replay_id), None)
                return 0
            with contextlib.suppress(StaleVersion):
                return await self._hand_out(stored, replay)
        log.warning(telemetry.STAGE_FAILED, stage="replays", cause=f"replay {replay_id} is overtaken again and again")
        return 0

    async def _hand_out(self, stored: Versioned, replay: Replay) -> int:
        """One write, or none. Raises `StaleVersion` when something has changed that it was decided by."""
        found = await find_stored(self._store, replay.org, replay.registration_id)
        if found is None:
            await self._drop(stored, replay)
            return 0
        registration = found[1]
        if not delivers(registration):
            await self._stop(stored, replay, registration)
            return 0
        tally = await self._store.replay_tally(UUID(replay.id).bytes)
        if _is_through(replay):
            if not tally.waiting:
                await self._save(stored, replay, "done")
            return 0
        room = self._room(replay, tally)
        if room <= 0:
            return 0
        now_ms = self._clock.now_ms()
        cut = await self._cutter.cut(replay, registration, room, now_ms)
        next_ms = _next_ms(replay, cut.count, now_ms)
        moved = msgspec.structs.replace(replay, cursor=cut.cursor, next_ms=next_ms, updated_ms=now_ms)
        await self._store.write([replacement(stored, moved), *([cut.put] if cut.put else [])])
        self._remember(moved)
        return cut.count

    def _room(self, replay: Replay, tally: ReplayTally) -> int:
        """How many events may be handed out now. Half a window at least, or none, but for the last few and a rate."""
        if tally.waiting > self._window // 2 or tally.retrying >= _RETRYING_WINDOWS * self._window:
            return 0
        room = self._window - tally.waiting
        if replay.events_per_second is None:
            return room
        if replay.next_ms > self._clock.now_ms():
            return 0
        return min(room, max(1, int(replay.events_per_second * _QUANTUM_MS / 1000)))

    async def _stop(self, stored: Versioned, replay: Replay, registration: Registration) -> None:
        """Nothing new is sent to a registration that is disabled; one that is a journal now gets nothing at all."""
        if registration.delivery_type == "journal":
            await self._save(stored, replay, "cancelled", "the registration became a journal")
        else:
            cause = pause_cause(registration)
            by = "was disabled by hand" if cause == "disabled" else f"is disabled ({cause})"
            await self._save(stored, replay, "paused", f"the registration {by}")

    async def _save(self, stored: Versioned, replay: Replay, state: ReplayState, reason: str = "") -> None:
        changed = msgspec.structs.replace(replay, state=state, reason=reason, updated_ms=self._clock.now_ms())
        await self._store.write([replacement(stored, changed)])
        self._remember(changed)
        log.info(telemetry.REPLAY_CHANGED, replay=replay.id, registration=replay.registration_id, state=state)

    async def _drop(self, stored: Versioned, replay: Replay) -> None:
        await self._store.write([Delete("replay", replay.org, replay.id, stored.version)])
        self._running.pop((replay.org, replay.id), None)


def _is_through(replay: Replay) -> bool:
    return replay.cursor >= replay.to_seq


def _next_ms(replay: Replay, count: int, now_ms: int) -> int:
    if replay.events_per_second is None:
        return 0
    return max(replay.next_ms, now_ms - _LAG_MS) + round(count * 1000 / replay.events_per_second)
