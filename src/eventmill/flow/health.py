"""Watches the webhooks of registrations: what their attempts, and time, make of `webhook_status` by `core.health`.

One front of a gateway does so, the one that presides: it sees the counts that delivery, in whatever process of whatever
node, has committed. A change of status is one write: the document (refused when anybody changed it since it was
judged), the lane, and the notice for those who want to know. What is counted is durable, so a restart forgets nothing;
all else here is a plan of whom to look at when.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import Protocol

import msgspec
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.health import DAY_MS, WATCHED, Case, Outlook, Rule, judge, rules_for
from eventmill.errors import StaleVersion
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.presiding import Presided
from eventmill.flow.registration_change import find_stored
from eventmill.flow.stage import Passes
from eventmill.flow.targets import delivers
from eventmill.flow.writes import WRITES_MAX, write_change
from eventmill.ids import IdSource
from eventmill.model import Lane, Notice, Registration, WebhookStatus
from eventmill.store.control import ControlOp, ControlStore, Create, DisableLane, EnableLane, Replace, SplitTallies
from eventmill.store.observe import ObserveStore

log = structlog.get_logger()

_LOOK_S = 0.25
_AT_ONCE = 10
"""Judged before others get the event loop: each may take half a millisecond."""
_IDLE_SHARE = 9
"""Seconds of rest for each second of work: however many webhooks fail, a tenth of a core must do."""
_ALL = 1 << 31


class HealthStore(ControlStore, ObserveStore, Presided, Protocol):
    """What is asked of the store here."""


def is_watched(registration: Registration) -> bool:
    """Whether attempts and time can change its status: it is pushed to, and was not disabled by hand."""
    return registration.webhook_status in WATCHED and delivers(registration)


def status_since_ms(registration: Registration) -> int:
    if registration.webhook_status in ("unstable", "hook_unreachable"):
        return registration.status_since_ms
    return max(registration.status_since_ms, registration.updated_ms)


def configured_rules(config: Config) -> tuple[Rule, ...]:
    return rules_for(config.state_rules, config.early_recovery)


async def read_case(store: ObserveStore, registration: Registration, now_ms: int) -> Case:
    tallies = await store.health_tallies(registration.id, now_ms - DAY_MS)
    return Case(registration.webhook_status, status_since_ms(registration), tallies)


class Health:
    """`catalogue` is the front's; it is refreshed after each write."""

    def __init__(self, store: HealthStore, catalogue: Catalogue, clock: Clock, ids: IdSource, config: Config) -> None:
        self._store = store
        self._catalogue = catalogue
        self._clock = clock
        self._ids = ids
        self._rules = configured_rules(config)
        self._stepping = asyncio.Lock()
        """The stage's own steps and those of a moving clock take turns."""
        self._has_begun = False
        self._term = 0
        self._waiting: dict[Lane, None] = {}
        """To be judged, in order."""
        self._failing: set[Lane] = set()
        """Unstable, or with failures in the last day. To the others further successes change nothing."""
        self._planned: dict[Lane, int] = {}
        self._due: list[tuple[int, Lane]] = []
        """Heap of (business time, lane); an entry counts only while it is the planned one."""

    def next_due_ms(self) -> int | None:
        """When time alone may change a status next. Possibly too early, never too late."""
        while self._due and self._planned.get(self._due[0][1]) != self._due[0][0]:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    async def run(self) -> None:
        passes = Passes("health")
        while True:
            began_s = self._clock.machine_s()
            await passes.make(self._preside)
            rest_s = _IDLE_SHARE * (self._clock.machine_s() - began_s)
            await asyncio.sleep(rest_s if self._waiting else max(rest_s, _LOOK_S))

    async def _preside(self) -> None:
        term = await self._store.presidency()
        if term != self._term:
            # What another process found, and planned, meanwhile is to be found again.
            self._term, self._has_begun = term, False
        if term:
            await self.step(_AT_ONCE)

    async def step(self, limit: int = _ALL) -> int:
        """Judge those that have new attempts or are due, `limit` at most; returns how many."""
        async with self._stepping:
            await self._catalogue.refresh()
            await self._gather()
            judged = 0
            while self._waiting and judged < limit:
                lane = next(iter(self._waiting))
                await self._judge(lane)
                judged += 1
                if judged % _AT_ONCE == 0:
                    await asyncio.sleep(0)
            return judged

    async def _gather(self) -> None:
        if not self._has_begun:
            await self._begin()
            self._has_begun = True
        for lane in await self._store.counted(self._failing):
            self._waiting[lane] = None
        now_ms = self._clock.now_ms()
        while self._due and self._due[0][0] <= now_ms:
            due_ms, lane = heapq.heappop(self._due)
            if self._planned.get(lane) == due_ms:
                del self._planned[lane]
                self._waiting[lane] = None

    async def _begin(self) -> None:
        """Who is to be looked at after a start: to one that is verified, and has not failed for a day, neither what was
        counted nor time does anything."""
        failed = await self._store.lanes_with_failures(self._clock.now_ms() - DAY_MS)
        for each in self._catalogue.registrations():
            if is_watched(each) and (each.webhook_status != "verified" or each.id in failed):
                self._waiting[each.id] = None

    async def _judge(self, lane: Lane) -> None:
        """Takes the lane from those waiting once that is done; one whose status changes is judged again."""
        registration = self._catalogue.registration_of_lane(lane)
        self._failing.discard(lane)
        if registration is None or not is_watched(registration):
            del self._waiting[lane]
            self._planned.pop(lane, None)
            return
        now_ms = self._clock.now_ms()
        outlook = judge(await read_case(self._store, registration, now_ms), self._rules, now_ms)
        if outlook.becomes is not None:
            await self._change(registration)
            return
        del self._waiting[lane]
        self._plan(lane, outlook)
        if registration.webhook_status != "verified" or outlook.day.failed:
            self._failing.add(lane)

    def _plan(self, lane: Lane, outlook: Outlook) -> None:
        """An earlier look that was planned stays: it does no harm."""
        due_ms = outlook.next_ms
        if due_ms is not None and due_ms < self._planned.get(lane, due_ms + 1):
            self._planned[lane] = due_ms
            heapq.heappush(self._due, (due_ms, lane))

    async def _change(self, known: Registration) -> None:
        """Write what the rules make of the registration as it is stored now; somebody else's change comes first."""
        for _ in range(WRITES_MAX):
            found = await find_stored(self._store, known.org, known.registration_id)
            if found is None or not is_watched(found[1]):
                await self._catalogue.refresh()
                return
            stored, registration = found
            now_ms = self._clock.now_ms()
            case = await read_case(self._store, registration, now_ms)
            outlook = judge(case, self._rules, now_ms)
            if outlook.becomes is None:
                await self._catalogue.refresh()
                return
            # The buckets before and after the change are told apart by their start.
            at_ms = max(now_ms, case.tallies[-1].start_ms + 1 if case.tallies else 0)
            changed = _changed(registration, outlook.becomes, at_ms)
            replace = Replace(
                "registration", changed.org, stored.id, msgspec.json.encode(changed), stored.version, None
            )
            ops = [replace, *self._consequences(registration, changed, outlook)]
            if not await write_change(self._store, self._catalogue, ops):
                continue
            log.info(
                telemetry.HEALTH_CHANGED,
                registration=changed.registration_id,
                before=registration.webhook_status,
                after=changed.webhook_status,
                attempts=outlook.day.attempts,
                failed=outlook.day.failed,
            )
            return
        raise StaleVersion("registration", known.registration_id)

    def _consequences(self, before: Registration, after: Registration, outlook: Outlook) -> list[ControlOp]:
        at_ms = after.status_since_ms
        match after.webhook_status:
            case "verified":
                return [EnableLane(after.id, at_ms)]
            case "unstable":
                return [SplitTallies(after.id, at_ms), self._notice(before, after, outlook)]
        return [DisableLane(after.id, after.webhook_status, at_ms), self._notice(before, after, outlook)]

    def _notice(self, before: Registration, after: Registration, outlook: Outlook) -> Create:
        notice = Notice(
            id=self._ids.uuid(),
            org=after.org,
            project_id=after.project_id,
            workspace_id=after.workspace_id,
            registration_id=after.registration_id,
            name=after.name,
            before=before.webhook_status,
            after=after.webhook_status,
            at_ms=after.status_since_ms,
            attempts=outlook.day.attempts,
            failed=outlook.day.failed,
        )
        return Create("notice", notice.org, notice.id, msgspec.json.encode(notice))


def _changed(registration: Registration, status: WebhookStatus, at_ms: int) -> Registration:
    return msgspec.structs.replace(
        registration, webhook_status=status, enabled=status in WATCHED, status_since_ms=at_ms
    )
