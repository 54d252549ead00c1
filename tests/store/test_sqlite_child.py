"""SQLite engine: a delivery child over its socket pair: it reads what the front wrote, and has the front write."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventmill.clock import VirtualClock
from eventmill.errors import Reason, StoreUnavailable
from eventmill.model import Lane
from eventmill.store.control import CloseLane, DisableLane
from eventmill.store.sqlite.child import SqliteChild
from eventmill.store.sqlite.layout import Layout
from eventmill.store.sqlite.store import SqliteStore
from eventmill.store.work import SLOTS, SlotLease, WorkCommit
from tests.store.builders import (
    DAY_MS,
    ORG,
    START_MS,
    Stores,
    append,
    append_batch,
    ended,
    open_lane,
    positions,
    progress,
    trace,
    unit,
)
from tests.store.conftest import open_sqlite

pytestmark = pytest.mark.anyio
SMALL = Layout(chunk_positions=4, snapshot_events=16, batch_events=3)


class Family:
    """A front and its children, in one process."""

    def __init__(self, front: SqliteStore, stores: Stores, layout: Layout) -> None:
        self.front = front
        self._stores = stores
        self._layout = layout

    @asynccontextmanager
    async def child(self, index: int = 0, count: int = 1) -> AsyncIterator[SqliteChild]:
        """A child that holds its slots."""
        ours, theirs = socket.socketpair()
        child = SqliteChild(self._stores.config(dev=False), self._stores.clock, theirs, self._layout)
        self.front.attach_child(ours, index, count)
        await child.open()
        try:
            await until(child, lambda: bool(child._leases))
            yield child
        finally:
            await child.close()


@asynccontextmanager
async def family(stores: Stores, layout: Layout = SMALL) -> AsyncIterator[Family]:
    front = SqliteStore(stores.config(dev=False), stores.clock, layout)
    await front.open()
    try:
        yield Family(front, stores, layout)
    finally:
        await front.close()


async def until(store: SqliteChild, reached: Callable[[], bool]) -> None:
    """Wait for the store's calls until the condition holds."""
    moved = asyncio.Event()
    store.on_change(moved.set)
    async with asyncio.timeout(10):
        while not reached():
            moved.clear()
            await moved.wait()


async def held_by(child: SqliteChild, *lanes: int) -> tuple[SlotLease, ...]:
    slots = {lane % SLOTS for lane in lanes}
    return tuple(lease for lease in await child.leases() if lease.slot in slots)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(open_sqlite, tmp_path / "data")


async def test_children_share_the_slots(stores: Stores) -> None:
    """Each child holds the slots of its remainder, together all of them once; the front itself holds none."""
    async with family(stores) as those, those.child(0, 2) as one, those.child(1, 2) as two:
        assert await those.front.leases() == ()
        slots = [[lease.slot for lease in await child.leases()] for child in (one, two)]
        assert slots == [list(range(0, SLOTS, 2)), list(range(1, SLOTS, 2))]


async def test_a_child_reads_what_the_front_wrote(stores: Stores) -> None:
    """Catalogue, lanes, log, journals, bodies, units and the head are the same in both processes, as soon as the front
    has answered."""
    async with family(stores) as those, those.child() as child:
        front = those.front
        lane, other = await open_lane(front), await open_lane(front)
        await append(front, [lane], 9)
        await append(front, [lane, other], 5)
        await front.write([DisableLane(other, "user", START_MS)])
        await until(child, lambda: child._newest()[0] == 14)
        assert await child.epoch() == await front.epoch()
        assert await child.changes(0, 100) == await front.changes(0, 100)
        assert await child.scan("registration") == await front.scan("registration")
        assert await child.get("registration", ORG, f"r{lane}") == await front.get("registration", ORG, f"r{lane}")
        assert await child.list_docs("registration", ORG) == await front.list_docs("registration", ORG)
        assert await child.lanes(range(SLOTS)) == await front.lanes(range(SLOTS))
        assert await child.lane(other) == await front.lane(other)
        assert await child.heads() == await front.heads()
        assert await child.read_log(0, 3, 100) == await front.read_log(0, 3, 100)
        assert await child.fetch(0, [2, 14]) == await front.fetch(0, [2, 14])
        for each in (lane, other):
            assert await child.lane_page(each, 0, 100) == await positions(front, each)


async def test_reading_the_log_from_its_head_leaves_no_hole(stores: Stores) -> None:
    """Delivery tails the log from where it took over and reads what came before from the journals: there it finds also
    what is neither in a chunk nor in the part of the log that it read."""
    async with family(stores, Layout()) as those, those.child() as child:
        lane = await open_lane(those.front)
        await append(those.front, [lane], 9)
        await until(child, lambda: child._newest()[0] == 9)
        page = await child.read_log(0, 6, 100)
        assert [entry.seq for entry in page.entries] == [7, 8, 9]
        assert await child.lane_page(lane, 0, 100) == list(range(1, 10))


async def test_a_child_commits_through_the_front(stores: Stores) -> None:
    """Progress, units, give-ups, attempts and traces of a child are durable when it is answered, and both read them."""
    async with family(stores) as those, those.child() as child:
        front = those.front
        lane = await open_lane(front)
        await append(front, [lane], 5)
        retried = unit(lane, [3])
        work = progress(
            lane, 2, [4], put_units=(retried,), ended=(ended([5]),), attempts=b"a", traces=(trace(True, 1),)
        )
        assert await child.commit(WorkCommit(await held_by(child, lane), (work,))) == frozenset()
        await child.add_traces(lane, [trace(False, 2)])
        for store in (front, child):
            record = await store.lane(lane)
            assert record is not None
            assert (record.mark, record.done, record.next_due_ms) == (2, (4,), START_MS)
            assert await store.due_units(lane, START_MS, 10) == [retried]
            assert await store.next_due(lane) == START_MS
        assert await front.ended(lane, 10) == [ended([5])]
        assert [block.attempts for block in await front.attempts(lane, 10)] == [b"a"]
        assert await front.traces(lane) == [trace(False, 2), trace(True, 1)]


async def test_a_child_is_woken(stores: Stores) -> None:
    """Appends and catalogue writes call back in the child."""
    async with family(stores) as those, those.child() as child:
        await append(those.front, [])
        await until(child, lambda: child._newest()[0] == 1)
        before = await child.epoch()
        await open_lane(those.front)
        await until(child, lambda: child._last_epoch() > before)


async def test_a_child_follows_the_clock(stores: Stores) -> None:
    """The front's business time reaches the child's own clock."""
    async with family(stores) as those:
        ours, theirs = socket.socketpair()
        clock = VirtualClock()
        stores.clock.at_ms = clock.machine_ms() + DAY_MS
        child = SqliteChild(stores.config(dev=False), clock, theirs)
        those.front.attach_child(ours, 0, 1)
        await child.open()
        await until(child, lambda: clock.now_ms() > clock.machine_ms() + DAY_MS - 60_000)
        await child.close()


async def test_a_gone_child_loses_its_slots(stores: Stores) -> None:
    """When the socket closes the leases are void: a commit under them is fenced, before and after the slots are granted
    again, and the successor's commits pass."""
    async with family(stores) as those:
        front = those.front
        lane = await open_lane(front)
        await append(front, [lane], 3)
        async with those.child() as child:
            stale = await held_by(child, lane)
        await _until_revoked(front)
        assert await front.commit(WorkCommit(stale, (progress(lane, 1),))) == {lane % SLOTS}
        async with those.child() as successor:
            fresh = await held_by(successor, lane)
            assert fresh[0].epoch > stale[0].epoch
            assert await successor.commit(WorkCommit(stale, (progress(lane, 2),))) == {lane % SLOTS}
            assert await successor.commit(WorkCommit(fresh, (progress(lane, 3),))) == frozenset()
        record = await front.lane(lane)
        assert record is not None
        assert record.mark == 3


async def _until_revoked(front: SqliteStore) -> None:
    """The front has noticed that its child is gone, and its writer has freed the slots."""
    moved = asyncio.Event()
    front.on_change(moved.set)
    async with asyncio.timeout(10):
        while front._engine.memory.leases:
            moved.clear()
            await moved.wait()


async def test_a_lost_front_is_noticed(stores: Stores) -> None:
    """When the front goes, the child's leases are gone, `lost` is set, and calls fail instead of hanging."""
    async with family(stores) as those, those.child() as child:
        lane = await open_lane(those.front)
        work = WorkCommit(await held_by(child, lane), (progress(lane, 0),))
        await those.front.close()
        async with asyncio.timeout(10):
            await child.lost.wait()
        assert await child.leases() == ()
        with pytest.raises(StoreUnavailable):
            await child.commit(work)


async def test_a_refused_commit_is_told(stores: Stores) -> None:
    """The front's refusal reaches the child as the same error."""
    async with family(stores) as those, those.child() as child:
        lane = await open_lane(those.front)
        those.front._writer.broken = "the disk is gone"
        with pytest.raises(StoreUnavailable) as caught:
            await child.commit(WorkCommit(await held_by(child, lane), (progress(lane, 0),)))
        assert (caught.value.message, caught.value.reason) == ("the disk is gone", Reason.STORE_UNAVAILABLE)
        those.front._writer.broken = ""


async def test_children_are_asked_to_drain(stores: Stores) -> None:
    """The front's request reaches every child and ends nothing by itself."""
    async with family(stores) as those, those.child(0, 2) as one, those.child(1, 2) as two:
        those.front.drain_children()
        async with asyncio.timeout(10):
            await one.drain_asked.wait()
            await two.drain_asked.wait()
        assert not one.lost.is_set()


async def test_a_child_follows_rolls_expiry_and_reset(stores: Stores) -> None:
    """New segments appear and dropped ones vanish in the child; a child that begins late sees the same."""
    async with family(stores) as those, those.child(0, 2) as child:
        front = those.front
        lane = await open_lane(front)
        for day in range(4):
            stores.clock.at_ms = START_MS + day * DAY_MS
            await append(front, [lane], 6)
        await until(child, lambda: child._newest()[0] == 24)
        assert await child.lane_page(lane, 0, 100) == list(range(1, 25))
        await front.expire(START_MS + 2 * DAY_MS)
        await until(child, lambda: len(child._known) == 2)
        async with those.child(1, 2) as late:
            for each in (child, late):
                assert await each.lane_page(lane, 0, 100) == list(range(13, 25))
                assert [stored.seq for stored in await each.fetch(0, [1, 12, 13])] == [13]
        await front.write([CloseLane(lane, b"", START_MS)])
        assert await child.lane(lane) is None
        await front.reset()
        await until(child, lambda: len(child._known) == 1)
        assert (await child.read_log(0, 0, 100)).entries == []


async def test_a_dropped_segment_stays_readable_until_the_child_knows(stores: Stores) -> None:
    """A child in the middle of old events when they expire reads on, or finds them missing; it does not fail."""
    async with family(stores) as those, those.child() as child:
        front = those.front
        lane = await open_lane(front)
        await append(front, [lane], 6)
        stores.clock.at_ms += DAY_MS
        await append(front, [lane])
        await until(child, lambda: child._newest()[0] == 7)
        expiring = asyncio.ensure_future(front.expire(START_MS + 1))
        while not expiring.done():
            found = [stored.seq for stored in await child.fetch(0, list(range(1, 8)))]
            assert found in ([1, 2, 3, 4, 5, 6, 7], [7])
            await asyncio.sleep(0)
        assert await expiring == 1


LANES = (1001, 1002, 1003)
batches = st.lists(
    st.tuples(
        st.sampled_from(["read log", "read page", "nothing", "next day"]),
        st.lists(st.sets(st.sampled_from(LANES)).map(lambda lanes: tuple(sorted(lanes))), min_size=1, max_size=9),
    ),
    max_size=14,
)


async def check_pages(stores: Stores, steps: list[tuple[str, list[tuple[int, ...]]]]) -> None:
    """A child that looks in between, and one that begins at the end, both give every lane whole."""
    model: dict[int, list[int]] = {lane: [] for lane in LANES}
    seq = tail = 0
    async with family(stores) as those, those.child(0, 2) as child:
        for _ in LANES:
            await open_lane(those.front)
        for action, batch in steps:
            if action == "next day":
                stores.clock.at_ms += DAY_MS
            await append_batch(those.front, batch)
            for lanes in batch:
                seq += 1
                for lane in lanes:
                    model[lane].append(seq)
            if action == "read log":
                entries = (await child.read_log(0, tail, 5)).entries
                tail = entries[-1].seq if entries else tail
            elif action == "read page":
                await until(child, lambda seq=seq: child._newest()[0] == seq)  # type: ignore[misc]
                assert await child.lane_page(Lane(1001), 0, 1000) == model[1001]
        await until(child, lambda: child._newest()[0] == seq)
        async with those.child(1, 2) as late:
            for each in (child, late):
                for lane, wanted in model.items():
                    assert await each.lane_page(Lane(lane), 0, 1000) == wanted


@settings(max_examples=12)
@given(steps=batches)
def test_lane_pages_are_whole(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[tuple[int, ...]]]]
) -> None:
    """Whatever the front still keeps from the chunks, and whenever the child looked, its lane pages miss nothing."""
    asyncio.run(check_pages(Stores(open_sqlite, tmp_path_factory.mktemp("child") / "data"), steps))
