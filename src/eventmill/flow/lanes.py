"""The lanes of this process's slots, kept in step with the leases, the catalogue and the log.

Follows only: it tells `on_ready` which lane may have something to send, and launches nothing itself. The store may fail
at any of its questions; whoever follows again then goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.pace import Rate
from eventmill.flow.aims import Aims
from eventmill.flow.attempt import Attempter
from eventmill.flow.lane import Bodies, Lane
from eventmill.flow.targets import Target
from eventmill.model import Lane as LaneNumber
from eventmill.store.work import SLOTS, LaneRecord, SlotLease, WorkStore

log = structlog.get_logger()

_LOG_PAGE = 2000
_SLOTS_AT_ONCE = 64
"""Taken over together: the records of ten thousand lanes would take a quarter of what the lanes themselves do."""
_ADOPTED_AT_ONCE = 256


class Lanes:
    def __init__(self, store: WorkStore, aims: Aims, attempter: Attempter, clock: Clock, config: Config) -> None:
        self._store = store
        self._aims = aims
        self._attempter = attempter
        self._clock = clock
        self._config = config
        self._tails: dict[int, int] = {}
        self._heads: dict[int, int] = {}
        """What the head was when the log was last read to its end. A reset leaves it above every entry."""
        self._lanes: dict[int, Lane] = {}
        self._asleep: dict[LaneNumber, int] = {}
        """Marks of lanes that have had nothing to do since they were taken over: nearly all of them, where there are
        very many. Their first event wakes them."""
        self._granted: tuple[SlotLease, ...] = ()
        """What the leases were when they were looked at last."""
        self._unsure = True
        """Anything may have moved."""
        self._following = False
        self._touched: set[LaneNumber] = set()
        """Lanes whose registrations changed, and which were not looked at since."""
        self.bodies = Bodies()
        self.leases: dict[int, SlotLease] = {}
        """Of the slots whose lanes are here."""
        self._leaving: frozenset[int] = frozenset()
        """Slots whose lanes launch nothing any more."""
        self.on_ready: Callable[[Lane], None] = lambda lane: None
        self.on_forgotten: Callable[[Lane], None] = lambda lane: None

    def holds(self, lane: Lane) -> bool:
        """Whether this very lane is ours: not lost and adopted anew meanwhile."""
        return self._lanes.get(lane.number) is lane

    def may_launch(self, lane: Lane) -> bool:
        """Ours, and not about to be another process's."""
        return self.holds(lane) and lane.number % SLOTS not in self._leaving

    def get(self, number: int) -> Lane | None:
        return self._lanes.get(number)

    def all(self) -> Iterable[Lane]:
        return self._lanes.values()

    def tail(self, shard: int) -> int:
        """The log was read up to here, and the lanes are as the catalogue was then or later."""
        return self._tails[shard]

    def has_read(self, goal: dict[int, int]) -> bool:
        """Whether the log was read up to these heads."""
        return all(self._heads.get(shard, 0) >= goal.get(shard, 0) for shard in self._tails)

    def is_current(self, granted: tuple[SlotLease, ...]) -> bool:
        """Whether the lanes of these leases are here, and nothing is known that was not looked at since."""
        return not self._unsure and not self._following and granted is self._granted

    def doubt(self) -> None:
        """Anything may have moved, whatever the store hints at."""
        self._unsure = True

    async def follow(self) -> None:
        """Catch up with everything that moved."""
        hinted = self._store.take_hints()
        unsure, self._unsure = self._unsure or hinted is None, False
        self._following = True
        try:
            await self._follow_leases()
            if hinted is None or unsure:
                await self._follow_catalogue()
                await self._tail_log()
            else:  # the catalogue is followed where the log shows that it moved
                for shard, head in hinted.items():
                    await self._tail_shard(shard, head)
        except BaseException:
            self._unsure = True
            raise
        finally:
            self._following = False

    def forget(self, lane: Lane) -> None:
        """The lane is another process's now, or gone; attempts under way end without effect here."""
        lane.shut()
        del self._lanes[lane.number]
        self.on_forgotten(lane)

    async def _follow_leases(self) -> None:
        granted = await self._store.leases()
        if granted is self._granted:
            return
        self._follow_leaving(frozenset(lease.slot for lease in granted if lease.leaving))
        held = {lease.slot: SlotLease(lease.slot, lease.epoch) for lease in granted}
        before = self.leases
        if held == before:
            self._granted = granted
            return
        lost = {slot for slot, lease in before.items() if held.get(slot) != lease}
        gained = [slot for slot, lease in held.items() if before.get(slot) != lease]
        for lane in [lane for number, lane in self._lanes.items() if number % SLOTS in lost]:
            self.forget(lane)
        for asleep in [number for number in self._asleep if number % SLOTS in lost]:
            del self._asleep[asleep]
        self.leases = {slot: lease for slot, lease in before.items() if slot not in lost}
        for shard, head in (await self._store.heads()).items():
            self._tails.setdefault(shard, head)  # what lanes missed before the head they read from their journals
        await self._follow_catalogue()
        for at in range(0, len(gained), _SLOTS_AT_ONCE):
            slots = gained[at : at + _SLOTS_AT_ONCE]
            records = await self._store.lanes(slots)
            self.leases |= {slot: held[slot] for slot in slots}  # from here on the catalogue's changes are for them too
            for count, record in enumerate(records, 1):
                self._adopt(record)
                if count % _ADOPTED_AT_ONCE == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)
        self._granted = granted

    def _follow_leaving(self, leaving: frozenset[int]) -> None:
        staying, self._leaving = self._leaving - leaving, leaving
        if staying:  # who was to have them is gone
            for lane in self._lanes.values():
                if lane.number % SLOTS in staying:
                    self.on_ready(lane)

    async def _follow_catalogue(self) -> None:
        self._touched |= await self._aims.follow()
        while self._touched:
            number = self._touched.pop()
            if number % SLOTS not in self.leases:
                continue
            try:
                record = await self._store.lane(number)
            except BaseException:
                self._touched.add(number)
                raise
            self._renew(number, record)

    def _renew(self, number: LaneNumber, record: LaneRecord | None) -> None:
        self._asleep.pop(number, None)
        lane = self._lanes.get(number)
        if record is None:
            if lane is not None:
                self.forget(lane)
        elif lane is None:
            self._adopt(record)
        else:
            self._aim(lane, record)

    def _adopt(self, record: LaneRecord) -> None:
        target = self._aims.target(record.lane)
        if target is None or record.behind or not record.is_bare:
            self._open(record)
        elif self._aims.is_pushed(record.lane) and not record.disabled:
            self._asleep[target.lane] = record.mark

    def _wake(self, number: LaneNumber, shard: int) -> Lane | None:
        """The lane, if it is asleep."""
        mark = self._asleep.pop(number, None)
        target = self._aims.target(number)
        if mark is None or target is None:
            return None
        return self._open(
            LaneRecord(number, target.org, shard, target.registration_id, mark, (), False, None, None, None, False)
        )

    def _open(self, record: LaneRecord) -> Lane:
        config = self._config
        lane = Lane(
            record,
            self.bodies,
            in_flight_max=config.lane_in_flight_max,
            pending_max=config.lane_pending_max,
            traces_kept=config.traces_kept,
        )
        self._lanes[record.lane] = lane
        self._aim(lane, record)
        return lane

    def _aim(self, lane: Lane, record: LaneRecord) -> None:
        """Point the lane at its current target; open or shut it."""
        target = self._aims.target(record.lane)
        lane.closed = target is None or record.tombstone is not None
        wanted = not lane.closed and self._aims.is_pushed(record.lane) and not record.disabled
        if lane.closed:
            target = Target.decode(record.tombstone) if record.tombstone else None
        if target is not None and target != lane.target:
            lane.target = target
            lane.secret = self._attempter.unseal_secret(target)
            self._pace(lane, target)
        lane.hasten(record.next_due_ms, of_replays=False)
        lane.hasten(record.next_replay_ms, of_replays=True)
        if not wanted:
            lane.shut()
        elif not lane.open or record.mark > lane.mark:
            lane.reopen(record)
        self.on_ready(lane)

    def _pace(self, lane: Lane, target: Target) -> None:
        lane.window.recap(min(target.max_in_flight or self._config.lane_in_flight_max, self._config.lane_in_flight_max))
        if target.events_per_second != (lane.rate.events_per_s if lane.rate else 0):
            lane.rate = Rate(target.events_per_second) if target.events_per_second else None

    async def _start_over(self) -> None:
        """The store has lost what it had shown: a database that was restored, or failed over without its last commits.
        Positions that were seen come again with other events."""
        log.error(telemetry.LOG_WENT_BACK)
        for lane in list(self._lanes.values()):
            self.forget(lane)
        self.leases = {}
        self._asleep.clear()
        self._granted = ()
        self._tails.clear()
        await self._follow_leases()

    async def _tail_log(self) -> None:
        heads = await self._store.heads()
        if any(head < self._tails.get(shard, head) for shard, head in heads.items()):
            await self._start_over()
        for shard, head in heads.items():
            await self._tail_shard(shard, head)
            self._heads[shard] = head

    async def _tail_shard(self, shard: int, head: int) -> None:
        while self._tails.get(shard, head) < head:
            page = await self._store.read_log(shard, self._tails[shard], _LOG_PAGE)
            if page.epoch != self._aims.epoch:
                await self._follow_catalogue()
            now_s = self._clock.machine_s()
            for entry in page.entries:
                for number in entry.lanes:
                    lane = self._lanes.get(number) or self._wake(LaneNumber(number), shard)
                    if lane is not None and lane.offer(entry.seq, now_s):
                        self.on_ready(lane)
            if page.entries:
                self._tails[shard] = page.entries[-1].seq
            if len(page.entries) < _LOG_PAGE:
                break
            await asyncio.sleep(0)  # attempts under way go on during a long catch-up
