"""SQLite engine: packing, chunk boundaries, snapshots, and recovery from whatever a crash left on the disk."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.store.base import Store
from eventmill.store.sqlite.layout import Layout
from eventmill.store.sqlite.packing import count_seqs, pack_lanes, pack_seqs, unpack_lanes, unpack_seqs
from eventmill.store.sqlite.store import SqliteStore
from tests.store.builders import (
    DAY_MS,
    ORG,
    START_MS,
    OpenEngine,
    Stores,
    append,
    append_batch,
    commit,
    open_lane,
    positions,
    progress,
)

pytestmark = pytest.mark.anyio

seqs = st.lists(st.integers(0, (1 << 63) - 1), max_size=200)


def with_layout(layout: Layout) -> OpenEngine:
    def open_engine(config: Config, clock: Clock) -> Store:
        return SqliteStore(config, clock, layout)

    return open_engine


def segment_files(data: Path) -> list[Path]:
    return sorted((data / "segments").glob("*.db"))


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def crash_image(stores: Stores, name: str) -> Stores:
    """The files as a killed process leaves them: copied while the store is open, so without its orderly close."""
    image = stores.data.with_name(name)
    shutil.copytree(stores.data, image)
    copied = Stores(stores._engine, image)
    copied.clock.at_ms = stores.clock.at_ms
    return copied


@given(seqs)
def test_positions_pack_in_any_order(values: list[int]) -> None:
    """Any list of positions comes back in its order, and is counted without unpacking."""
    assert list(unpack_seqs(pack_seqs(values))) == values
    assert count_seqs(pack_seqs(values)) == len(values)


@given(st.integers(0, 1 << 62), st.lists(st.integers(1, 1 << 34), max_size=140))
def test_ascending_positions_pack_at_every_width(first: int, steps: list[int]) -> None:
    """Ascending positions survive whatever their span is."""
    values = [first]
    for step in steps:
        values.append(values[-1] + step)
    assert list(unpack_seqs(pack_seqs(values))) == values


@given(st.sets(st.integers(1, (1 << 32) - 1)))
def test_lanes_pack(lanes: set[int]) -> None:
    """The lanes of an event come back as they were."""
    assert unpack_lanes(pack_lanes(sorted(lanes))) == tuple(sorted(lanes))


def test_runs_pack_small() -> None:
    """A lane that gets every event costs a few bytes a chunk, a scattered one two bytes a position."""
    assert len(pack_seqs(range(10**9, 10**9 + 128))) < 16
    assert len(pack_seqs(range(10**9, 10**9 + 128 * 300, 300))) < 300


@pytest.mark.parametrize("count", [1, 127, 128, 129, 255, 256, 257, 300])
@pytest.mark.parametrize("step", [1, 3])
async def test_chunk_boundaries(tmp_path: Path, count: int, step: int) -> None:
    """Just below, at and above a full chunk, from one commit or many, the journal is whole, also after reopening."""
    stores = Stores(with_layout(Layout()), tmp_path / "data")
    async with stores.opened() as store:
        one, many = await open_lane(store), await open_lane(store)
        await append_batch(store, [[one], *[[]] * (step - 1)] * count)
        for at in range(0, count, 60):
            await append_batch(store, [[many], *[[]] * (step - 1)] * min(60, count - at))
        wanted_one = list(range(1, 1 + count * step, step))
        wanted_many = [seq + count * step for seq in wanted_one]
        image = crash_image(stores, "image")
        for reopened in (None, stores, image):
            if reopened is not None:
                async with reopened.opened() as again:
                    assert await positions(again, one) == wanted_one
                    assert await positions(again, many, page=50) == wanted_many
            else:
                assert await positions(store, one) == wanted_one
                assert await positions(store, many, page=50) == wanted_many
                await store.close()


async def test_a_snapshot_bounds_the_scan_at_open(tmp_path: Path) -> None:
    """After so many events all tails are saved, as the files of a killed process show; an orderly close saves them
    too."""
    stores = Stores(with_layout(Layout(snapshot_events=100)), tmp_path / "data")
    async with stores.opened() as store:
        lanes = [await open_lane(store) for _ in range(30)]
        for number in range(25):
            await append_batch(store, [[lanes[number % 30]]] * 10)
        image = crash_image(stores, "image")
        (path,) = segment_files(image.data)
        assert query(path, "SELECT seq FROM snapshot") == [(200,)]
    (path,) = segment_files(stores.data)
    assert query(path, "SELECT seq FROM snapshot") == [(250,)]
    for each in (image, stores):
        async with each.opened() as store:
            found = [await positions(store, lane) for lane in lanes]
            assert sorted(seq for lane in found for seq in lane) == list(range(1, 251))
            assert store.stored_bytes(ORG) == 250 * 6


async def test_a_crash_between_the_two_commits_repeats_only_state(tmp_path: Path) -> None:
    """State behind the segments, as after a kill between the two commits of a batch: every event is there, positions go
    on above, and the lane's progress is the older one."""
    stores = Stores(with_layout(Layout()), tmp_path / "data")
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 5)
        before = crash_image(stores, "before")
        await append(store, [lane], 5)
        await commit(store, progress(lane, 9))
        after = crash_image(stores, "after")
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        shutil.copy(before.data / name, after.data / name)
    async with after.opened() as store:
        assert await positions(store, lane) == list(range(1, 11))
        record = await store.lane(lane)
        assert record is not None
        assert record.mark == 0
        assert await append(store, [lane]) == [11]


async def test_a_lost_state_file_gives_no_position_twice(tmp_path: Path) -> None:
    """Without the state file the segments alone keep positions growing, and a reused lane number shows nothing old."""
    stores = Stores(with_layout(Layout()), tmp_path / "data")
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 5)
    (stores.data / "state.db").unlink()
    async with stores.opened() as store:
        assert await open_lane(store) == lane
        assert await append(store, [lane]) == [6]
        assert await positions(store, lane) == [6]


async def test_unfinished_segments_are_cleared_away(tmp_path: Path) -> None:
    """A segment in the making at the crash, and remains of dropped ones, are neither read nor kept."""
    stores = Stores(with_layout(Layout()), tmp_path / "data")
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 5)
    segments = stores.data / "segments"
    kept = {path.name for path in segments.glob("*.db")}
    for name in ("20260102-6.db.new", "20260102-6.db.new-wal", "20251231-1.db-wal", "20251231-1.db-shm"):
        (segments / name).write_bytes(b"half")
    async with stores.opened() as store:
        assert await append(store, [lane]) == [6]
    assert {path.name for path in segments.glob("*.db*") if path.stat().st_size and path.suffix == ".db"} == kept
    assert not list(segments.glob("*.new*"))


async def test_a_dropped_segment_does_not_come_back(tmp_path: Path) -> None:
    """A kill after the expiry was recorded but before the files were gone: the next open finishes the job."""
    stores = Stores(with_layout(Layout()), tmp_path / "data")
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 5)
        stores.clock.at_ms += DAY_MS
        await append(store, [lane], 5)
        copies = crash_image(stores, "image").data / "segments"
        await store.expire(START_MS + 1)
    for path in copies.glob("20260101-1.db*"):
        shutil.copy(path, stores.data / "segments")
    async with stores.opened() as store:
        assert await positions(store, lane) == [6, 7, 8, 9, 10]
        assert store.stored_bytes(ORG) == 30
    assert [path.name for path in segment_files(stores.data)] == ["20260102-6.db"]


async def test_one_segment_a_day(tmp_path: Path) -> None:
    """Segments are named by day and first position, finished ones have all positions in chunks."""
    stores = Stores(with_layout(Layout()), tmp_path / "data")
    async with stores.opened() as store:
        lane = await open_lane(store)
        for day in range(3):
            stores.clock.at_ms = START_MS + day * DAY_MS
            await append(store, [lane], 4)
    assert [path.name for path in segment_files(stores.data)] == ["20260101-1.db", "20260102-5.db", "20260103-9.db"]
    sizes = [query(path, "SELECT length(tails) FROM snapshot") for path in segment_files(stores.data)]
    assert sizes == [[(0,)], [(0,)], [(8 + 4 * 8,)]]
    assert [query(path, "SELECT last_seq FROM posting") for path in segment_files(stores.data)] == [[(4,)], [(8,)], []]


def sizes_of_logs(data: Path) -> Sequence[int]:
    return [path.stat().st_size for path in [*data.glob("*-wal"), *(data / "segments").glob("*-wal")]]


async def test_write_ahead_logs_stay_bounded(tmp_path: Path) -> None:
    """Under steady load the logs are restarted instead of growing with everything written."""
    layout = Layout(wal_checkpoint_bytes=64 * 1024, wal_bytes_max=256 * 1024)
    stores = Stores(with_layout(layout), tmp_path / "data")
    async with stores.opened() as store:
        lane = await open_lane(store)
        for _ in range(40):
            await append(store, [lane], 50, body=b"x" * 4000)
            await commit(store, progress(lane, 1, attempts=b"a" * 1000))
        written = 40 * 50 * 4000
        assert max(sizes_of_logs(stores.data)) < written / 3
        assert len(await positions(store, lane)) == 2000
