"""`flow.health` on a real store against a plain model, for weeks of business time: attempts, edits, restarts, silence.

The model keeps every attempt and looks at all of them every minute; the stage looks when it says that something is due.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from eventmill.core.health import EarlyRecovery, RuleSet
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.health import Health
from eventmill.flow.registration_change import replacement
from eventmill.ids import IdSource
from eventmill.model import Lane, Notice, Registration
from eventmill.store.control import Create, OpenLane
from eventmill.store.sqlite.store import SqliteStore
from tests.store.builders import ORG, START_MS, Stores, commit, ended, progress, tried, webhook_registration

MINUTE = 60_000
HALF_MINUTE = 30_000
DAY = 1440 * MINUTE
LANE = Lane(1001)


class Model:
    """Looked at half a minute past; attempts begin on the minute, so that no two things happen at once."""

    def __init__(self, rules: RuleSet, early: EarlyRecovery) -> None:
        self.rules, self.early = rules, early
        self.status = "verified"
        self.enabled = True
        self.since = self.counted_from = 0
        self.cuts = [0]
        self.attempts: list[tuple[int, int, int]] = []
        """Begin, number, successes."""
        self.gave_up: list[int] = []
        self.announced: list[str] = []

    def attempt(self, began: int, ok: int, failed: int) -> None:
        self.attempts += [(max(began, self.cuts[-1]), ok, ok), (began, failed, 0)]

    def _counted_at(self, began: int) -> int:
        """Nothing is told apart within five minutes, unless a change lies between."""
        return max([began - began % (5 * MINUTE), *(cut for cut in self.cuts if cut <= began)])

    def _fails(self, now: int, window: int) -> bool:
        number = successes = 0
        for began, tried_then, ok_then in self.attempts:
            if began >= self.counted_from and now - self._counted_at(began) <= window:
                number, successes = number + tried_then, successes + ok_then
        return number >= 10 and successes / number < 0.2

    def _has_succeeded(self) -> bool:
        return any(ok and began >= self.since for began, _, ok in self.attempts)

    def look(self, now: int) -> None:
        self.attempts = [each for each in self.attempts if each[1] and now - each[0] <= 2 * DAY]
        while self.enabled:
            status = self._verdict(now)
            if status == self.status:
                return
            self.status, self.since = status, now
            self.cuts.append(now)
            if status == "verified":
                self.counted_from = now
            else:
                self.announced.append(status)
            self.enabled = status != "hook_unreachable"

    def _verdict(self, now: int) -> str:
        day, half_hour = self._fails(now, DAY), self._fails(now, 30 * MINUTE)
        if self.rules == "v1":
            if self.status == "unstable" and self._has_succeeded():
                return "verified"
            if day or any(at >= self.counted_from for at in self.gave_up):
                return "hook_unreachable"
            return "unstable" if half_hour or self.status == "unstable" else "verified"
        if self.status == "verified":
            return "unstable" if day else "verified"
        if self.early != "off" and self._has_succeeded() and not (self.early == "window" and half_hour):
            return "verified"
        if now - self.since >= DAY:
            return "hook_unreachable" if day else "verified"
        return "unstable"

    def edit(self, now: int, enabled: bool) -> None:
        self.enabled = enabled
        if enabled:
            self.status, self.since, self.counted_from = "verified", now, now
            self.cuts.append(now)


class Weeks(RuleBasedStateMachine):
    rule_set: RuleSet = "v3"
    early: EarlyRecovery = "next_success"

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.stores = Stores(SqliteStore, Path(self.directory.name) / "data")
        self.stores.clock.at_ms = START_MS + HALF_MINUTE
        self.model = Model(self.rule_set, self.early)
        self.runner.run(self._open())
        document = webhook_registration(LANE, "https://erp.example/hook", self.now)
        create = Create("registration", ORG, "r1", msgspec.json.encode(document))
        self.runner.run(self.store.write([create, OpenLane(LANE, ORG, "r1")]))

    @property
    def now(self) -> int:
        return self.stores.clock.at_ms

    async def _open(self) -> None:
        config = self.stores.config(state_rules=self.rule_set, early_recovery=self.early)
        store = SqliteStore(config, self.stores.clock)
        await store.open()
        catalogue = Catalogue(store)
        await catalogue.load()
        self.store, self.health = store, Health(store, catalogue, self.stores.clock, IdSource(), config)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.store.close())
            self.runner.close()
            self.directory.cleanup()

    def stored(self) -> Registration:
        found = self.runner.run(self.store.get("registration", ORG, "r1"))
        assert found is not None
        return msgspec.json.decode(found.doc, type=Registration)

    def _advance(self, minutes: int) -> None:
        for _ in range(minutes):
            self.stores.clock.at_ms += MINUTE
            self.model.look(self.now)
            due_ms = self.health.next_due_ms()
            if due_ms is not None and due_ms <= self.now:
                self.runner.run(self.health.step())

    def _commit(self, **fields: Any) -> None:
        self.runner.run(commit(self.store, progress(LANE, **fields)))
        self.model.look(self.now)
        self.runner.run(self.health.step())

    @rule(ok=st.integers(0, 6), failed=st.integers(0, 12), took=st.integers(0, 12))
    def attempts_end(self, ok: int, failed: int, took: int) -> None:
        self._advance(1)
        began = self.now - HALF_MINUTE - took * MINUTE
        self.model.attempt(began, ok, failed)
        self._commit(counts=(tried(ok, failed, began),))

    @rule(number=st.integers(8, 25), took=st.integers(0, 1))
    def many_fail(self, number: int, took: int) -> None:
        self.attempts_end(0, number, took)

    @rule(number=st.integers(1, 12), every=st.sampled_from([15, 60, 150]))
    def retries_fail(self, number: int, every: int) -> None:
        for _ in range(number):
            self._advance(every - 1)
            self.attempts_end(0, 1, 0)

    @rule(minutes=st.sampled_from([1, 4, 29, 31, 200, 1430, 1441, 4000]))
    def silence(self, minutes: int) -> None:
        self._advance(minutes)

    @rule()
    def an_event_gives_up(self) -> None:
        self._advance(1)
        self.model.attempt(self.now - HALF_MINUTE, 0, 1)
        self.model.gave_up.append(self.now)
        gave_up = msgspec.structs.replace(ended([1], self.now), outcome="gave_up")
        self._commit(counts=(tried(0, 1, self.now - HALF_MINUTE),), ended=(gave_up,))

    @rule(enabled=st.sampled_from([True, True, False]))
    def somebody_edits(self, enabled: bool) -> None:
        self._advance(1)
        stored = self.runner.run(self.store.get("registration", ORG, "r1"))
        assert stored is not None
        known = msgspec.json.decode(stored.doc, type=Registration)
        status = "verified" if enabled else known.webhook_status
        edited = msgspec.structs.replace(known, webhook_status=status, enabled=enabled, updated_ms=self.now)
        self.runner.run(self.store.write(replacement(stored, edited)))
        self.model.edit(self.now, enabled)
        self.runner.run(self.health.step())

    @rule()
    def the_gateway_restarts(self) -> None:
        self.runner.run(self.store.close())
        self.runner.run(self._open())
        self.runner.run(self.health.step())

    @invariant()
    def both_say_the_same(self) -> None:
        if not hasattr(self, "runner"):
            return
        stored = self.stored()
        assert (stored.webhook_status, stored.enabled) == (self.model.status, self.model.enabled)
        notices = [msgspec.json.decode(each.doc, type=Notice) for each in self.runner.run(self.store.scan("notice"))]
        assert [notice.after for notice in sorted(notices, key=lambda each: each.at_ms)] == self.model.announced
        lane = self.runner.run(self.store.lane(LANE))
        assert lane is not None and lane.disabled is not self.model.enabled


@pytest.mark.parametrize(
    ("rule_set", "early"), [("v3", "next_success"), ("v3", "window"), ("v3", "off"), ("v1", "next_success")]
)
def test_weeks_of_health(rule_set: RuleSet, early: EarlyRecovery) -> None:
    """Status, lane and notices are at every moment what the plain model says."""
    machine = type("Weeks", (Weeks,), {"rule_set": rule_set, "early": early})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
