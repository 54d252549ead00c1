"""Health end to end in process: real deliveries, the stage, the virtual clock, and the endpoint that shows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventmill.clock import VirtualClock
from eventmill.core.envelope import format_time
from eventmill.flow.health import Health
from eventmill.flow.timetravel import TimeTravel
from eventmill.flow.upkeep import Upkeep
from eventmill.model import Lane, Notice
from eventmill.store.control import ControlOp, Versioned
from eventmill.store.work import Ended
from tests.http.delivery import FAILED, REGISTRATIONS, Delivery, delivering
from tests.http.world import World, running
from tests.store.builders import commit, progress, tried
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

MINUTE_S = 60
DAY_S = 24 * 60 * MINUTE_S
REFUSED = "404 Not Found"


def health_of(world: World) -> Health:
    parts = world.parts
    return Health(parts.store, parts.catalogue, parts.clock, parts.ids, parts.config)


class Watched:
    """A delivery with its health stage, and one registration."""

    def __init__(self, delivery: Delivery) -> None:
        parts = delivery.world.parts
        assert isinstance(parts.clock, VirtualClock)
        self.world, self.hook, self.deliver = delivery.world, delivery.hook, delivery.deliver
        self.health = health_of(self.world)
        upkeep = Upkeep(parts.store, parts.clock, parts.config)
        self.travel = TimeTravel(parts.clock, self.world.store, self.deliver, upkeep, (self.health,))
        self.topic: dict[str, Any] = {}
        self.registration: dict[str, Any] = {}
        self._published = 0

    @property
    def path(self) -> str:
        return f"{REGISTRATIONS}/{self.registration['registration_id']}"

    @property
    def lane(self) -> Lane:
        return Lane(self.registration["id"])

    def received(self) -> int:
        return len(self.hook.bodies.get("/hook", ()))

    async def attempts(self, count: int, answer: str) -> None:
        """Events whose first attempts are all answered this way; then the stage looks."""
        self.hook.status = answer
        for _ in range(count):
            self._published += 1
            assert await self.world.publish(self.topic, str(self._published)) == 200
        await self.advance(0)

    async def advance(self, seconds: float) -> None:
        await self.travel.advance(seconds)

    async def status(self) -> tuple[str, bool]:
        body = (await self.world.call("GET", self.path)).json()
        return body["webhook_status"], body["enabled"]

    async def shown(self) -> dict[str, Any]:
        answer = await self.world.call("GET", f"{self.path}/health")
        assert answer.status == 200, answer.body
        body: dict[str, Any] = answer.json()
        return body

    async def put(self, **members: Any) -> None:
        kept = {name: self.registration[name] for name in ("name", "description", "delivery_type", "webhook_url")}
        answer = await self.world.call("PUT", self.path, {**kept, "events_of_interest": [self.topic], **members})
        assert answer.status == 200, answer.body

    async def notices(self) -> list[Notice]:
        found = [msgspec.json.decode(each.doc, type=Notice) for each in await self.world.store.scan("notice")]
        return sorted(found, key=lambda notice: notice.at_ms)


@asynccontextmanager
async def watching(tmp_path: Path, **settings: Any) -> AsyncIterator[Watched]:
    async with delivering(tmp_path, **settings) as delivery:
        watched = Watched(delivery)
        watched.topic = await delivery.world.topic()
        watched.registration = await delivery.register(watched.topic, "/hook")
        yield watched


async def test_a_dead_webhook_becomes_unstable_and_then_disabled(tmp_path: Path) -> None:
    """Ten failures make it unstable; 24 hours of failing retries later it is disabled, with a gap and two notices."""
    async with watching(tmp_path) as watched:
        await watched.attempts(9, REFUSED)
        assert await watched.status() == ("verified", True)
        await watched.attempts(1, FAILED)
        assert await watched.status() == ("unstable", True)

        await watched.advance(DAY_S - MINUTE_S)
        assert await watched.status() == ("unstable", True)
        await watched.advance(2 * MINUTE_S)
        assert await watched.status() == ("hook_unreachable", False)
        assert watched.received() == 9 + 100

        (gap,) = await watched.world.store.gaps(watched.lane)
        assert (gap.cause, gap.to_seq) == ("hook_unreachable", None)
        first, second = await watched.notices()
        assert (first.before, first.after, first.attempts, first.failed) == ("verified", "unstable", 10, 10)
        assert (second.before, second.after, second.name) == ("unstable", "hook_unreachable", "/hook")
        assert second.at_ms - first.at_ms == pytest.approx(DAY_S * 1000, abs=200)
        assert second.registration_id == watched.registration["registration_id"]


async def test_while_disabled_and_enabled_again(tmp_path: Path) -> None:
    """Scheduled retries go on and may succeed without enabling anything; an edit enables, for new events only, and
    counts afresh."""
    async with watching(tmp_path) as watched:
        await watched.attempts(9, REFUSED)
        await watched.attempts(1, FAILED)
        await watched.advance(DAY_S / 2)
        await watched.attempts(1, FAILED)
        await watched.advance(DAY_S / 2 + MINUTE_S)
        assert await watched.status() == ("hook_unreachable", False)

        before = watched.received()
        await watched.attempts(3, "200 OK")
        assert watched.received() == before
        await watched.advance(20 * MINUTE_S)
        assert watched.received() == before + 1
        assert await watched.status() == ("hook_unreachable", False)

        await watched.put()
        assert await watched.status() == ("verified", True)
        assert (await watched.shown())["last_24_hours"]["attempts"] == 0
        await watched.attempts(9, REFUSED)
        assert watched.received() == before + 10
        assert await watched.status() == ("verified", True)
        assert len(await watched.notices()) == 2


@pytest.mark.parametrize(("successes", "status"), [(2, "verified"), (1, "unstable")])
async def test_a_fifth_is_enough(tmp_path: Path, successes: int, status: str) -> None:
    """Exactly 20 % of ten succeed: it stays verified. One fewer does not do."""
    async with watching(tmp_path) as watched:
        await watched.attempts(successes, "200 OK")
        await watched.attempts(10 - successes, REFUSED)
        assert await watched.status() == (status, True)


async def test_few_attempts_say_nothing(tmp_path: Path) -> None:
    """Nine refusals a day for a week: a final refusal is a failure, but nine are too few."""
    async with watching(tmp_path) as watched:
        for _ in range(7):
            await watched.attempts(9, REFUSED)
            await watched.advance(DAY_S + MINUTE_S)
        assert await watched.status() == ("verified", True)
        assert await watched.notices() == []


async def test_the_next_success_recovers(tmp_path: Path) -> None:
    """One delivery after it became unstable makes it verified, and what failed before is forgotten."""
    async with watching(tmp_path) as watched:
        await watched.attempts(1, "200 OK")
        await watched.attempts(10, REFUSED)
        assert await watched.status() == ("unstable", True)
        await watched.advance(MINUTE_S)
        await watched.attempts(1, "200 OK")
        assert await watched.status() == ("verified", True)
        await watched.advance(MINUTE_S)
        await watched.attempts(9, REFUSED)
        assert await watched.status() == ("verified", True)
        await watched.attempts(1, REFUSED)
        assert await watched.status() == ("unstable", True)


class Counted:
    """A gateway whose attempts are only told of, and its health stage."""

    def __init__(self, world: World, registration: dict[str, Any]) -> None:
        assert isinstance(world.parts.clock, VirtualClock)
        self.world, self.registration, self.clock = world, registration, world.parts.clock
        self.health = health_of(world)
        self.path = f"{REGISTRATIONS}/{registration['registration_id']}"

    async def tell(self, ok: int, failed: int, began_s_ago: int = 0, **fields: Any) -> None:
        counts = (tried(ok, failed, self.clock.now_ms() - began_s_ago * 1000),)
        await commit(self.world.store, progress(self.registration["id"], counts=counts, **fields))

    async def status(self) -> str:
        await self.health.step()
        status: str = (await self.world.call("GET", self.path)).json()["webhook_status"]
        return status

    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds * 1000)

    async def shown(self) -> dict[str, Any]:
        body: dict[str, Any] = (await self.world.call("GET", f"{self.path}/health")).json()
        return body


@asynccontextmanager
async def counting(tmp_path: Path, **settings: Any) -> AsyncIterator[Counted]:
    async with running(tmp_path, dev=True, **settings) as world:
        yield Counted(world, await world.register(await world.topic()))


async def test_failures_under_way_at_the_recovery_do_not_count(tmp_path: Path) -> None:
    """Attempts that began before the recovery and fail after it change nothing, so the status does not flap."""
    async with counting(tmp_path) as counted:
        counted.advance(MINUTE_S)
        await counted.tell(0, 10)
        assert await counted.status() == "unstable"
        counted.advance(10)
        await counted.tell(1, 0)
        assert await counted.status() == "verified"
        counted.advance(9)
        await counted.tell(0, 15, began_s_ago=18)
        assert await counted.status() == "verified"
        assert (await counted.shown())["last_24_hours"]["attempts"] == 0
        await counted.tell(0, 10)
        assert await counted.status() == "unstable"


async def test_a_success_under_way_when_it_became_unstable_recovers(tmp_path: Path) -> None:
    """The next delivery that succeeds counts, whenever it began; one before the change does not."""
    async with counting(tmp_path) as counted:
        counted.advance(MINUTE_S)
        await counted.tell(2, 20)
        assert await counted.status() == "unstable"
        counted.advance(8)
        assert await counted.status() == "unstable"
        await counted.tell(1, 0, began_s_ago=9)
        assert await counted.status() == "verified"


@pytest.mark.parametrize(
    ("early", "statuses"),
    [
        ("next_success", ("verified", "verified")),
        ("window", ("unstable", "verified")),
        ("off", ("unstable", "unstable")),
    ],
)
async def test_settings_of_the_early_recovery(tmp_path: Path, early: str, statuses: tuple[str, str]) -> None:
    """At once, once the last half hour is not failing, or not before the 24 hours are over."""
    async with counting(tmp_path, early_recovery=early) as counted:
        await counted.tell(0, 12)
        assert await counted.status() == "unstable"
        counted.advance(MINUTE_S)
        await counted.tell(1, 0)
        assert await counted.status() == statuses[0]
        counted.advance(40 * MINUTE_S)
        assert await counted.status() == statuses[1]
        counted.advance(DAY_S)
        assert await counted.status() == "verified"


async def test_v1_disables_when_retries_run_out(tmp_path: Path) -> None:
    """By the rules of then one event that was given up is enough; by those of now it is not."""
    for rules, status in (("v1", "hook_unreachable"), ("v3", "verified")):
        directory = tmp_path / rules
        directory.mkdir()
        async with counting(directory, state_rules=rules) as counted:
            gave_up = Ended((1,), "gave_up", 503, counted.clock.now_ms())
            await counted.tell(0, 1, ended=(gave_up,))
            assert await counted.status() == status


async def test_windows_age_without_traffic(tmp_path: Path) -> None:
    """When the successes of yesterday leave the window, the failures of today are too many; no attempt is needed."""
    async with counting(tmp_path) as counted:
        await counted.tell(10, 0)
        counted.advance(12 * 60 * MINUTE_S)
        await counted.tell(0, 12)
        assert await counted.status() == "verified"
        shown = await counted.shown()
        assert shown["next_status"] == "unstable"
        counted.advance(DAY_S // 2 - 10 * MINUTE_S)
        assert await counted.status() == "verified"
        counted.advance(10 * MINUTE_S + 1)
        assert await counted.status() == "unstable"


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """Counts and the 24 hours go on: what was failing before is judged with what fails after."""
    async with counting(tmp_path) as counted:
        counted.advance(0)
        await counted.tell(0, 6)
        assert await counted.status() == "verified"
    async with running(tmp_path, dev=True) as world:
        restarted = Counted(world, counted.registration)
        await restarted.tell(0, 4)
        assert await restarted.status() == "unstable"
    async with running(tmp_path, dev=True) as world:
        restarted = Counted(world, counted.registration)
        restarted.advance(DAY_S - MINUTE_S)
        await restarted.tell(0, 10)
        assert await restarted.status() == "unstable"
        restarted.advance(2 * MINUTE_S)
        assert await restarted.status() == "hook_unreachable"


Change = Callable[["Counted"], Any]


async def _put(counted: Counted) -> None:
    registration = counted.registration
    kept = {name: registration[name] for name in ("delivery_type", "webhook_url")}
    interests = [
        {name: each[name] for name in ("provider_id", "event_code")} for each in registration["events_of_interest"]
    ]
    body = {**kept, "name": "Another", "events_of_interest": interests}
    assert (await counted.world.call("PUT", counted.path, body)).status == 200


async def _disable(counted: Counted) -> None:
    patch = [{"op": "replace", "path": "/enabled", "value": False}]
    headers = {**counted.world.auth(), "content-type": "application/json-patch+json"}
    assert (await counted.world.call("PATCH", counted.path, patch, headers=headers)).status == 200


async def _delete(counted: Counted) -> None:
    assert (await counted.world.call("DELETE", counted.path)).status == 204


@pytest.mark.parametrize(
    ("change", "found"), [(_put, ("verified", True)), (_disable, ("verified", False)), (_delete, None)]
)
async def test_a_change_between_judgement_and_write_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change, found: tuple[str, bool] | None
) -> None:
    """The write is refused, and what was changed is judged by itself: no status, gap or notice of the old one."""
    async with counting(tmp_path) as counted:
        await counted.tell(0, 12)
        counted.advance(1)
        write, changes = counted.world.store.write, [change]

        async def write_late(ops: Sequence[ControlOp]) -> list[Versioned]:
            if changes:
                await changes.pop()(counted)
            return await write(ops)

        monkeypatch.setattr(counted.world.store, "write", write_late)
        await counted.health.step()
        answer = await counted.world.call("GET", counted.path)
        if found is None:
            assert answer.status == 404
        else:
            assert (answer.json()["webhook_status"], answer.json()["enabled"]) == found
        assert await counted.world.store.scan("notice") == []
        assert counted.health.next_due_ms() is None


async def test_what_is_shown(tmp_path: Path) -> None:
    """Figures of both windows, the next evaluation and what would come of it; also as a sentence."""
    async with counting(tmp_path) as counted:
        await counted.tell(3, 9)
        counted.advance(50 * MINUTE_S)
        await counted.tell(0, 9)
        assert await counted.status() == "unstable"
        shown = await counted.shown()
        since_ms = counted.clock.now_ms()

        assert (shown["webhook_status"], shown["enabled"], shown["rules"]) == ("unstable", True, "v3")
        assert shown["last_24_hours"] == {"attempts": 21, "successful": 3, "failed": 18, "failing": True}
        assert shown["last_30_minutes"] == {"attempts": 9, "successful": 0, "failed": 9, "failing": False}
        assert shown["next_evaluation"] == format_time(since_ms + DAY_S * 1000)
        assert shown["since"] == format_time(since_ms)
        assert shown["summary"] == (
            f"18 of 21 attempts failed in 24 h; next evaluation {shown['next_evaluation']}: "
            "becomes hook_unreachable unless attempts change that"
        )

        counted.advance(MINUTE_S)
        await _disable(counted)
        paused = await counted.shown()
        assert (paused["webhook_status"], paused["since"]) == ("unstable", shown["since"])
        assert (paused["next_evaluation"], paused["next_status"]) == (None, None)
        assert paused["summary"].startswith("disabled by a change")


async def test_a_journal_has_nothing_to_watch(tmp_path: Path) -> None:
    """What is not pushed has no attempts, and is shown as what it is."""
    async with running(tmp_path, dev=True) as world:
        registration = await world.register(await world.topic(), delivery_type="journal", webhook_url=...)
        answer = await world.call("GET", f"{REGISTRATIONS}/{registration['registration_id']}/health")

        assert answer.json()["summary"] == "nothing is pushed: there is no status to change"
        assert await health_of(world).step() == 0


async def test_many_healthy_lanes_cost_no_look(tmp_path: Path) -> None:
    """Successes of webhooks without failures are not even looked at."""
    async with counting(tmp_path) as counted:
        assert await counted.health.step() == 0
        await counted.tell(100, 0)
        assert await counted.health.step() == 0
        await counted.tell(0, 1)
        assert await counted.health.step() == 1
        await counted.tell(1, 0)
        assert await counted.health.step() == 1


async def test_a_start_looks_at_those_in_trouble(tmp_path: Path) -> None:
    """After a restart, only at what is not verified, or has failed within a day: not at thousands that are well."""
    async with running(tmp_path, dev=True) as world:
        topic = await world.topic()
        names = [f"Registration {number}" for number in range(4)]
        told = [Counted(world, await world.register(topic, name=name)) for name in names]
        fine, old, unstable, failing = told
        await old.tell(0, 9)
        await unstable.tell(0, 10)
        assert await unstable.status() == "unstable"
        fine.advance(DAY_S + 10 * MINUTE_S)
        await fine.tell(100, 0)
        await failing.tell(9, 1)
        assert await health_of(world).step() == 3  # one of the two twice: its status changes
        assert [await each.status() for each in told] == ["verified"] * 4


async def test_a_step_has_a_limit(tmp_path: Path) -> None:
    """Those that are left over come with the next one."""
    async with running(tmp_path, dev=True) as world:
        topic = await world.topic()
        for number in range(5):
            registration = await world.register(topic, name=f"Registration {number}")
            await Counted(world, registration).tell(0, 1)
        health = health_of(world)
        assert [await health.step(2) for _ in range(4)] == [2, 2, 1, 0]


async def test_steps_take_turns(tmp_path: Path) -> None:
    """The stage's own step and that of a moving clock at once make one change, and one notice, of each registration."""
    async with counting(tmp_path) as counted:
        await counted.tell(0, 10)
        await asyncio.gather(*(counted.health.step() for _ in range(3)))
        assert await counted.status() == "unstable"
        assert len(await counted.world.store.scan("notice")) == 1


async def test_the_stage_looks_by_itself(tmp_path: Path) -> None:
    """`run` needs no call to notice failures."""
    async with counting(tmp_path) as counted:
        running_stage = asyncio.create_task(counted.health.run())
        await counted.tell(0, 10)

        async def is_unstable() -> bool:
            status: str = (await counted.world.call("GET", counted.path)).json()["webhook_status"]
            return status == "unstable"

        await eventually(is_unstable, "an unstable registration")
        running_stage.cancel()
