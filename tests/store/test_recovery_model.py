"""Delivery's bookkeeping, disabling and replays on a real store against a plain model, in any order, with restarts.

In the model a position is waiting, scheduled, delivered or undelivered, and nothing else.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from eventmill.flow.catalogue import Catalogue
from eventmill.flow.lane import Bodies, Lane, Unit
from eventmill.flow.registration_change import replacement
from eventmill.flow.replaying import Replaying
from eventmill.flow.replays import ReplayRequest, Replays
from eventmill.flow.targets import delivers
from eventmill.flow.undelivered import count_undelivered, view_after
from eventmill.ids import IdSource
from eventmill.model import Registration, ReplayScope
from eventmill.store.control import Create, OpenLane
from eventmill.store.sqlite.layout import Layout
from eventmill.store.sqlite.store import SqliteStore
from eventmill.store.work import Ended, RetryUnit
from tests.store.builders import ORG, Stores, append, commit, webhook_registration
from tests.store.test_health_model import LANE

State = Literal["waiting", "scheduled", "delivered", "undelivered"]
Fate = Literal["delivered", "retried", "refused", "gave_up"]
FATES: dict[Fate, State] = {
    "delivered": "delivered",
    "retried": "scheduled",
    "refused": "undelivered",
    "gave_up": "undelivered",
}
WINDOW = 50
"""More than is ever published: a replay hands out everything at once."""


class Recovery(RuleBasedStateMachine):
    batch = False

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.stores = Stores(SqliteStore, Path(self.directory.name) / "data")
        self.states: dict[int, State] = {}
        self.taken: set[int] = set()
        """Replayed while their first attempt was under way."""
        self.ids = IdSource()
        self.runner.run(self._open())
        document = webhook_registration(LANE, "https://erp.example/hook", self.stores.clock.at_ms)
        create = Create("registration", ORG, "r1", msgspec.json.encode(document))
        self.runner.run(self.store.write([create, OpenLane(LANE, ORG, "r1")]))
        self.runner.run(self._adopt())

    async def _open(self) -> None:
        config = self.stores.config(replay_window_events=WINDOW)
        layout = Layout(chunk_positions=4, snapshot_events=16, batch_events=3, wal_checkpoint_bytes=1)
        self.store = SqliteStore(config, self.stores.clock, layout)
        await self.store.open()
        catalogue = Catalogue(self.store)
        await catalogue.load()
        self.replaying = Replaying(self.store, self.stores.clock, self.ids, config)
        self.replays = Replays(self.store, self.stores.clock, self.ids, config, self.replaying.note)

    async def _adopt(self) -> None:
        record = await self.store.lane(LANE)
        assert record is not None
        self.lane = Lane(record, Bodies(), in_flight_max=100, pending_max=100, traces_kept=0)
        self.flying: list[Unit] = []
        await self._aim()

    async def _aim(self) -> None:
        """As delivery does when the registration has changed."""
        record = await self.store.lane(LANE)
        assert record is not None
        if record.disabled:
            self.lane.shut()
        elif not self.lane.open or record.mark > self.lane.mark:
            self.lane.reopen(record)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.store.close())
            self.runner.close()
            self.directory.cleanup()

    async def _stored(self) -> Registration:
        found = await self.store.get("registration", ORG, "r1")
        assert found is not None
        return msgspec.json.decode(found.doc, type=Registration)

    def _is_enabled(self) -> bool:
        return delivers(self.runner.run(self._stored()))

    # --- What happens ---

    @rule(number=st.integers(1, 6))
    def events_come(self, number: int) -> None:
        fresh: State = "waiting" if self._is_enabled() else "undelivered"
        for seq in self.runner.run(append(self.store, [LANE], number)):
            self.states[seq] = fresh

    @rule(size=st.integers(1, 3))
    def a_first_attempt_begins(self, size: int) -> None:
        self.runner.run(self._launch_new(size if self.batch else 1))

    async def _launch_new(self, size: int) -> None:
        lane = self.lane
        if lane.open and lane.behind:
            lane.fill(await self.store.lane_page(LANE, lane.taken, lane.room()), lane.room(), 0.0)
            lane.behind = True  # nothing here reads the log
        seqs = lane.first_pending(size)
        if not lane.open or not seqs:
            return
        lane.fetch(seqs, await self.store.fetch(0, seqs))
        unit = Unit(lane.take_fetched(len(seqs)), self.batch, None)
        assert {self.states[seq] for seq in unit.positions} == {"waiting"}, "sent though nobody asked"
        lane.launch(unit)
        self.flying.append(unit)

    @rule(of_replays=st.booleans())
    def a_stored_unit_is_attempted(self, of_replays: bool) -> None:
        self.runner.run(self._launch_stored(of_replays))

    async def _launch_stored(self, of_replays: bool) -> None:
        for stored in await self.store.due_units(LANE, 1 << 60, 100, of_replays=of_replays):
            if stored.unit_id not in self.lane.busy_units:
                unit = Unit(tuple(await self.store.fetch(0, stored.positions)), stored.batch, stored)
                assert {self.states[seq] for seq in unit.positions} == {"scheduled"}
                self.lane.launch(unit)
                self.flying.append(unit)
                return

    @rule(at=st.integers(0, 20), fate=st.sampled_from(list(FATES)))
    def an_attempt_ends(self, at: int, fate: Fate) -> None:
        if self.flying:
            self.runner.run(self._settle(self.flying.pop(at % len(self.flying)), fate))

    async def _settle(self, unit: Unit, fate: Fate) -> None:
        now_ms = self.stores.clock.at_ms
        stored = unit.retry or RetryUnit(
            self.ids.event_id(now_ms), LANE, unit.positions, unit.batch, now_ms, retries=0, due_ms=now_ms, cause=0
        )
        put: RetryUnit | None = None
        ended: tuple[Ended, ...] = ()
        if fate == "retried":
            put = msgspec.structs.replace(stored, retries=stored.retries + 1, due_ms=now_ms + 60_000, cause=503)
        elif fate != "delivered":
            ended = (Ended(unit.positions, fate, 503, now_ms, stored.replay),)
        self.lane.settle(unit, put=put, ended=ended)
        self.lane.land(unit)
        progress = self.lane.progress(0.0)
        await commit(self.store, progress)
        self.lane.committed(progress)
        for seq in unit.positions:
            if unit.retry is not None or seq not in self.taken:
                self.states[seq] = FATES[fate]

    @rule(enabled=st.booleans())
    def somebody_enables_or_disables(self, enabled: bool) -> None:
        self.runner.run(self._edit(enabled))
        if not enabled:
            self.states = {s: "undelivered" if state == "waiting" else state for s, state in self.states.items()}

    async def _edit(self, enabled: bool) -> None:
        stored = await self.store.get("registration", ORG, "r1")
        assert stored is not None
        known = msgspec.json.decode(stored.doc, type=Registration)
        await self.store.write(replacement(stored, msgspec.structs.replace(known, enabled=enabled)))
        await self._aim()

    @rule(first=st.integers(0, 30), span=st.integers(0, 30), scope=st.sampled_from(["undelivered", "all"]))
    def somebody_replays(self, first: int, span: int, scope: ReplayScope) -> None:
        if self._is_enabled():
            chosen = ("undelivered",) if scope == "undelivered" else ("undelivered", "delivered")
            seqs = [s for s, state in self.states.items() if first < s <= first + span and state in chosen]
            self._take(seqs)
            self.runner.run(self._replay(ReplayRequest(after_seq=first, to_seq=first + span, scope=scope), len(seqs)))

    async def _replay(self, request: ReplayRequest, count: int) -> None:
        made = await self.replays.create(await self._stored(), request)
        if request.scope == "undelivered":
            assert made.replay.total == count
        assert await self.replaying.step() == count
        report = await self.replays.read(await self._stored(), made.replay.id)
        if report.replay.state == "running":
            await self.replays.cancel(await self._stored(), made.replay.id)

    @rule(seq=st.integers(1, 30))
    def somebody_resends(self, seq: int) -> None:
        if seq in self.states:
            outcome = self.runner.run(self._resend(seq))
            is_settled = self.states[seq] in ("delivered", "undelivered")
            assert (outcome == "scheduled") == is_settled
            if is_settled:
                self._take([seq])

    async def _resend(self, seq: int) -> str:
        (event,) = await self.store.fetch(0, [seq])
        return (await self.replays.resend(await self._stored(), event.event_id)).outcome

    def _take(self, seqs: Sequence[int]) -> None:
        flying = {seq for unit in self.flying if unit.retry is None for seq in unit.positions}
        self.taken |= flying.intersection(seqs)
        self.states.update(dict.fromkeys(seqs, "scheduled"))

    @rule()
    def time_passes(self) -> None:
        self.stores.clock.at_ms += 30_000

    @rule()
    def the_gateway_restarts(self) -> None:
        self.runner.run(self.store.close())
        self.runner.run(self._open())
        self.runner.run(self._adopt())

    # --- What must hold ---

    @invariant()
    def every_position_is_where_the_model_says(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._compare())

    async def _compare(self) -> None:
        scheduled: list[int] = []
        for of_replays in (False, True):
            for unit in await self.store.due_units(LANE, 1 << 60, 1000, of_replays=of_replays):
                scheduled += unit.positions
        in_view = [each.seq for each in await view_after(self.store, LANE, 0, 1 << 60, 1000)]
        record = await self.store.lane(LANE)
        assert record is not None
        waiting = [] if record.disabled else [s for s in self.states if s > record.mark and s not in record.done]
        found: dict[int, State] = dict.fromkeys(self.states, "delivered")
        for state, seqs in (("waiting", waiting), ("scheduled", scheduled), ("undelivered", in_view)):
            for seq in seqs:
                assert found[seq] == "delivered", f"{seq} is {found[seq]} and {state}"
                found[seq] = state  # type: ignore[assignment]
        assert found == self.states
        assert (await count_undelivered(self.store, await self._stored())).total == len(in_view)


@pytest.mark.parametrize("batch", [False, True])
def test_each_position_is_in_one_state(batch: bool) -> None:
    """Never two units for a position, nothing lost, and nothing undelivered sent unless somebody asked."""
    run_state_machine_as_test(
        type("Recovery", (Recovery,), {"batch": batch}),
        settings=settings(
            max_examples=4, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
