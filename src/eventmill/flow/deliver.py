"""Push delivery: launches attempts fairly, under a window per lane and a global cap, and has their progress committed.

One `Deliver` per delivery process. `flow.lanes` keeps its lanes in step with the store, `flow.attempt` makes an attempt
and judges it, `flow.checkpoint` makes progress durable; this file decides what goes out next. Nothing is written per
delivered event; a failed one becomes a stored unit before the lane's mark passes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque

from eventmill.clock import Clock
from eventmill.config import KIB, Config
from eventmill.core.envelope import fit_batch
from eventmill.core.pace import Rate
from eventmill.errors import Reason, StoreUnavailable
from eventmill.flow.aims import Aims
from eventmill.flow.attempt import Attempter
from eventmill.flow.checkpoint import Checkpoints
from eventmill.flow.lane import Lane, Unit
from eventmill.flow.lanes import Lanes
from eventmill.flow.stage import Passes
from eventmill.flow.targets import Target
from eventmill.store.work import LaneProgress, WorkStore

_FAR_FUTURE_MS = 1 << 62
_IDLE_S = 3600.0
_AGAIN_S = 0.5
"""After the store has failed."""
_FOLLOW_INTERVAL_S = 0.005
"""The store moves with every commit; looking that often would cost more than the events are worth."""
_LANES_PER_TURN = 64
"""Ready lanes looked at before others get the event loop: ten thousand at once would hold it for a second."""
_READ_AHEAD_BYTES = 256 * KIB
"""Bodies a lane reads before their turn, judged by the last ones it read; small ones spare a query each."""


class Deliver:
    """`aims` are its own: what changed in them is how it learns of changed lanes."""

    def __init__(self, store: WorkStore, aims: Aims, attempter: Attempter, clock: Clock, config: Config) -> None:
        self._store = store
        self._attempter = attempter
        self._destinations = attempter.destinations
        self._clock = clock
        self._config = config
        self._lanes = Lanes(store, aims, attempter, clock, config)
        self._lanes.on_ready = self._enqueue
        self._checkpoints = Checkpoints(store, clock, self._lanes, self._on_committed)
        self._lanes.on_forgotten = self._checkpoints.forget
        self._ready: deque[Lane] = deque()
        self._due: list[tuple[int, int]] = []
        """Heap of (due_ms, lane number); an entry counts only while it equals the lane's `soonest_ms`."""
        self._wakes: list[tuple[float, int]] = []
        """Heap of (machine time, lane number) at which a partly filled batch goes out, or a rate allows more."""
        self._attempts: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._active = 0
        """Lanes with an attempt under way."""
        self._stopping = False
        self._moved = True
        self._next_follow_s = 0.0
        self._kick = asyncio.Event()
        self._quiet_waiters: list[asyncio.Future[None]] = []
        self._passes = Passes("delivery")

    # --- Life ---

    async def run(self) -> None:
        """Until `stop`; attempts under way may then end, or are cut off after the drain time-out and repeated later."""
        self._store.on_change(self._hear)
        async with asyncio.TaskGroup() as owner:
            owner.create_task(self._checkpoints.run(self._config.checkpoint_interval_ms / 1000))
            while not self._stopping:
                self._kick.clear()
                if not await self._passes.make(lambda: self._turn(owner)):
                    self._moved = True
                    await asyncio.sleep(_AGAIN_S)
                self._answer_waiters()
                await self._sleep()
            await self._drain()
            self._checkpoints.stop()
        self._answer_waiters()

    def stop(self) -> None:
        self._stopping = True
        self._kick.set()

    def wake(self) -> None:
        """Something may have moved: the head, the catalogue, the leases, the clock."""
        self._lanes.doubt()
        self._hear()

    def _hear(self) -> None:
        """The store hints at something."""
        self._moved = True
        self._kick.set()

    def next_due_ms(self) -> int | None:
        """Business time of the earliest stored unit of this process's lanes."""
        return min((due_ms for lane in self._lanes.all() if (due_ms := lane.soonest_ms) is not None), default=None)

    async def quiesce(self) -> int:
        """Until everything now in the log, and every retry due now, has had its attempt and the outcome is durable.
        Returns for how many slots that is so: those whose lanes are here.

        Raises `StoreUnavailable` when delivery stops before that."""
        goal = await self._store.heads()
        self.wake()
        while not self._stopping:
            await self._checkpoints.commit()
            granted = await self._store.leases()
            if not self._unsettled(goal) and self._lanes.is_current(granted):
                return len(granted)
            if self._checkpoints.clean:  # only a turn can bring news; else an attempt ended during the commit
                waiter = asyncio.get_running_loop().create_future()
                self._quiet_waiters.append(waiter)
                await waiter
        raise StoreUnavailable("the gateway is shutting down", Reason.SHUTTING_DOWN)

    def _unsettled(self, goal: dict[int, int]) -> bool:
        if self._moved or not self._checkpoints.clean or not self._lanes.has_read(goal):
            return True
        now_ms = self._clock.now_ms()
        return any(lane.unsettled(goal.get(lane.shard, 0), now_ms) for lane in self._lanes.all())

    def _answer_waiters(self) -> None:
        waiters, self._quiet_waiters = self._quiet_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _turn(self, owner: asyncio.TaskGroup) -> None:
        if self._moved and self._clock.machine_s() >= self._next_follow_s:
            self._moved = False
            await self._lanes.follow()
            self._next_follow_s = self._clock.machine_s() + _FOLLOW_INTERVAL_S
        self._collect_due()
        self._collect_wakes()
        if not self._checkpoints.stalled:
            await self._launch_ready(owner)

    async def _sleep(self) -> None:
        """Until something may be launched: a wake-up, an ended attempt, a due retry, a batch flush."""
        delay_s = _IDLE_S
        if self._due:
            delay_s = min(delay_s, self._clock.machine_delay_s(self._due[0][0]))
        if self._wakes:
            delay_s = min(delay_s, self._wakes[0][0] - self._clock.machine_s())
        if self._moved:
            delay_s = min(delay_s, self._next_follow_s - self._clock.machine_s())
        if self._checkpoints.stalled:
            delay_s = min(delay_s, _AGAIN_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, delay_s)):
                await self._kick.wait()

    async def _drain(self) -> None:
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=self._config.drain_timeout_s)
        for task in list(self._attempts):
            task.cancel()

    # --- What may go out ---

    def _enqueue(self, lane: Lane) -> None:
        if not lane.queued:
            lane.queued = True
            self._ready.append(lane)

    def _push_due(self, lane: Lane) -> None:
        due_ms = lane.soonest_ms
        if due_ms is not None and due_ms != lane.planned_due_ms:
            lane.planned_due_ms = due_ms
            heapq.heappush(self._due, (due_ms, lane.number))

    def _collect_due(self) -> None:
        now_ms = self._clock.now_ms()
        while self._due and self._due[0][0] <= now_ms:
            due_ms, number = heapq.heappop(self._due)
            lane = self._lanes.get(number)
            if lane is None:
                continue
            if lane.planned_due_ms == due_ms:
                lane.planned_due_ms = None
            if lane.soonest_ms == due_ms:
                self._enqueue(lane)

    def _collect_wakes(self) -> None:
        now_s = self._clock.machine_s()
        while self._wakes and self._wakes[0][0] <= now_s:
            lane = self._lanes.get(heapq.heappop(self._wakes)[1])
            if lane is not None:
                self._enqueue(lane)

    async def _launch_ready(self, owner: asyncio.TaskGroup) -> None:
        """Round robin: each ready lane launches one unit a turn while it has a free place and the cap allows."""
        for _ in range(_LANES_PER_TURN):
            if not self._ready or self._is_full():
                return
            lane = self._ready.popleft()
            lane.queued = False
            if not self._lanes.may_launch(lane) or not self._has_place(lane):
                continue  # an ended attempt of its own enqueues it again
            if lane.rate is not None and self._waits_for_rate(lane, lane.rate):
                continue
            try:
                unit = await self._next_unit(lane)
            except StoreUnavailable:
                self._enqueue(lane)
                raise
            if unit is None:
                continue
            if lane.rate is not None:
                lane.rate.take(len(unit.events), self._clock.machine_s())
            self._in_flight += 1
            self._active += lane.in_flight == 0
            lane.launch(unit)
            task = owner.create_task(self._attempt(lane, unit))
            self._attempts.add(task)
            task.add_done_callback(self._attempts.discard)
            self._enqueue(lane)
        self._kick.set()  # there may be more
        await asyncio.sleep(0)

    def _is_full(self) -> bool:
        """Nothing at all may go; a single unit may, however large it is."""
        if self._in_flight >= self._config.in_flight_max:
            return True
        return self._in_flight > 0 and self._lanes.bodies.held_bytes >= 2 * self._config.in_flight_bytes_max

    def _is_heavy(self) -> bool:
        """Only lanes with nothing under way go on, and nothing is read ahead."""
        return self._lanes.bodies.held_bytes >= self._config.in_flight_bytes_max

    def _has_place(self, lane: Lane) -> bool:
        """A lane's window shrinks to its fair share of the cap, and the last eighth is kept for lanes with nothing
        under way: endpoints that hang take their own places only, however many they are."""
        cap = self._config.in_flight_max
        if lane.in_flight == 0:
            return True
        window = min(lane.window.size, max(1, cap // self._active))
        return lane.in_flight < window and self._in_flight < cap - cap // 8 and not self._is_heavy()

    def _waits_for_rate(self, lane: Lane, rate: Rate) -> bool:
        """Whether its rate allows nothing yet; then it is looked at again when it does."""
        if rate.free_s <= self._clock.machine_s():
            return False
        self._plan_look(lane, rate.free_s)
        return True

    def _plan_look(self, lane: Lane, at_s: float) -> None:
        if at_s != lane.wake_s:
            lane.wake_s = at_s
            heapq.heappush(self._wakes, (at_s, lane.number))

    async def _next_unit(self, lane: Lane) -> Unit | None:
        """A due retry first; then what is replayed and what is new by turns, so that neither waits for the other."""
        if lane.closed and lane.in_flight == 0:
            self._checkpoints.note(lane)  # a deleted lane without units is reported finished
        if lane.target is None:
            return None
        unit = await self._next_stored(lane, of_replays=False)
        if unit is not None:
            return unit
        if lane.replays_first:
            unit = await self._next_stored(lane, of_replays=True) or await self._next_new(lane, lane.target)
        else:
            unit = await self._next_new(lane, lane.target) or await self._next_stored(lane, of_replays=True)
        lane.replays_first = unit is not None and unit.retry is None
        return unit

    async def _next_new(self, lane: Lane, target: Target) -> Unit | None:
        """New events, unless too much is settled ahead of one slow attempt."""
        if not lane.open or len(lane.done) >= self._config.lane_reorder_max:
            return None
        await self._fetch(lane, target)
        if not lane.fetched:
            return None
        if target.batch:
            return self._cut_batch(lane, target)
        return Unit(lane.take_fetched(1), False, None)

    async def _next_stored(self, lane: Lane, *, of_replays: bool) -> Unit | None:
        """The earliest stored unit that is due and not under way; notes when the one after it is."""
        due_ms = lane.next_replay_ms if of_replays else lane.next_due_ms
        if due_ms is None or due_ms > self._clock.now_ms():
            self._push_due(lane)
            return None
        busy = frozenset(lane.busy_units)
        found = await self._store.due_units(lane.number, _FAR_FUTURE_MS, len(busy) + 2, of_replays=of_replays)
        # Some of them may have been committed since: the answer has those as they were before, and what it says of the
        # time after is left aside.
        free = [unit for unit in found if unit.unit_id not in busy and unit.unit_id not in lane.busy_units]
        first = free.pop(0) if free and free[0].due_ms <= self._clock.now_ms() else None
        if busy <= lane.busy_units.keys():
            lane.set_due(free[0].due_ms if free else None, of_replays=of_replays)
        self._push_due(lane)
        if first is None:
            return None
        try:
            events = await self._store.fetch(lane.shard, first.positions)
        except StoreUnavailable:
            lane.hasten(first.due_ms, of_replays=of_replays)
            raise
        return Unit(tuple(events), first.batch, first)

    async def _fetch(self, lane: Lane, target: Target) -> None:
        """Have enough bodies at hand for the lane's next unit; read ahead no further than its free places.

        Goes on until there is something: a whole page may be settled already, and pending events may have expired."""
        limits = self._destinations.batch_limits(target)
        wanted = limits.events_max if target.batch else 1
        bytes_max = limits.bytes_max if target.batch else 1
        while len(lane.fetched) < wanted and lane.fetched_bytes() < bytes_max and (lane.pending or lane.behind):
            if lane.behind and len(lane.pending) < wanted:
                room = lane.room()
                page = await self._store.lane_page(lane.number, lane.taken, room)
                tail = self._lanes.tail(lane.shard)
                # Beyond the tail the registration may have changed since; those positions come with the log.
                lane.fill([seq for seq in page if seq <= tail], room, self._clock.machine_s())
            places = 0 if self._is_heavy() else lane.window.size - lane.in_flight
            ahead = max(wanted, places) - len(lane.fetched)
            seqs = lane.first_pending(min(ahead, max(1, _READ_AHEAD_BYTES // lane.body_bytes)))
            if seqs:
                lane.fetch(seqs, await self._store.fetch(lane.shard, seqs))

    def _cut_batch(self, lane: Lane, target: Target) -> Unit | None:
        """A batch when it is full by count or bytes, or its first event has waited long enough; else plan the flush.
        None waits while too much memory is held."""
        limits = self._destinations.batch_limits(target)
        sizes = [self._destinations.delivered_bytes(target, event) for event in lane.fetched]
        count = fit_batch(sizes, events_max=limits.events_max, bytes_max=limits.bytes_max)
        now_s = self._clock.machine_s()
        flush_s = lane.pending_since_s + limits.wait_ms / 1000
        if count == len(sizes) < limits.events_max and flush_s > now_s and not self._is_heavy():
            self._plan_look(lane, flush_s)
            return None
        lane.pending_since_s = now_s
        return Unit(lane.take_fetched(count), True, None)

    # --- Attempts and progress ---

    async def _attempt(self, lane: Lane, unit: Unit) -> None:
        try:
            await self._attempter.attempt(lane, unit)
        finally:
            lane.land(unit)
            self._in_flight -= 1
            self._active -= lane.in_flight == 0
            if self._lanes.holds(lane):
                self._checkpoints.note(lane)
                self._enqueue(lane)
            self._kick.set()

    def _on_committed(self, lane: Lane, progress: LaneProgress) -> None:
        due_before = lane.soonest_ms
        lane.committed(progress)
        if lane.soonest_ms != due_before:
            self._push_due(lane)
            self._kick.set()
        if self._ready:
            self._kick.set()  # lanes that a failing commit held up
        ended = progress.finished and lane.closed and lane.soonest_ms is None and not lane.busy_units
        if ended and self._lanes.holds(lane):
            self._lanes.forget(lane)
