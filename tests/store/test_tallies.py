"""Conformance: the counters that health is judged by, and where they are cut."""

from __future__ import annotations

import msgspec
import pytest

from eventmill.core.health import Tally
from eventmill.store.control import CloseLane, Create, EnableLane, Key, Replace, SplitTallies
from eventmill.store.work import SLOTS, SlotLease, WorkCommit
from tests.store.builders import ORG, START_MS, Stores, commit, ended, open_lane, progress, tried

pytestmark = pytest.mark.anyio

BUCKET_MS = 300_000


async def test_attempts_are_counted_where_they_began(stores: Stores) -> None:
    """One commit may fill several buckets; what happens in a bucket later is added; all of it survives a restart."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await commit(store, progress(lane, counts=(tried(1, 2), tried(0, 4, START_MS + 299_999))))
        await commit(store, progress(lane, counts=(tried(8, 0, START_MS + 1), tried(0, 16, START_MS + BUCKET_MS))))
    async with stores.opened() as store:
        assert await store.health_tallies(lane, 0) == [Tally(START_MS, 9, 6), Tally(START_MS + BUCKET_MS, 0, 16)]
        assert await store.health_tallies(lane, START_MS + 1) == [Tally(START_MS + BUCKET_MS, 0, 16)]
        assert await store.counts(lane, 0) == (9, 22)


async def test_enabling_counts_afresh(stores: Stores) -> None:
    """Earlier attempts of the same five minutes stay out, also those that end later, but for successes; the plain
    counts keep all."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await commit(store, progress(lane, counts=(tried(1, 10, START_MS + 50_000),)))
        await store.write([EnableLane(lane, START_MS + 60_000)])
        assert await store.health_tallies(lane, 0) == []
        late = (tried(0, 20, START_MS + 59_999), tried(2, 0, START_MS + 59_999), tried(4, 40, START_MS + 60_000))
        await commit(store, progress(lane, counts=late))
    async with stores.opened() as store:
        await commit(store, progress(lane, counts=(tried(0, 80, START_MS + 61_000),)))
        assert await store.health_tallies(lane, 0) == [Tally(START_MS + 60_000, 6, 120)]
        await commit(store, progress(lane, counts=(tried(0, 1, START_MS + BUCKET_MS),)))
        assert (await store.health_tallies(lane, 0))[1:] == [Tally(START_MS + BUCKET_MS, 0, 1)]
        assert await store.counts(lane, 0) == (7, 151)


async def test_a_split_tells_before_from_after(stores: Stores) -> None:
    """Everything still counts, in buckets that do not lie across the split; twice in one bucket as well."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await commit(store, progress(lane, counts=(tried(1, 10),)))
        await store.write([SplitTallies(lane, START_MS + 60_000)])
        await commit(store, progress(lane, counts=(tried(3, 5, START_MS + 10),)))
        await store.write([SplitTallies(lane, START_MS + 90_000)])
        await commit(store, progress(lane, counts=(tried(0, 7, START_MS + 90_000),)))
        assert await store.health_tallies(lane, 0) == [
            Tally(START_MS, 1, 15),
            Tally(START_MS + 60_000, 3, 0),
            Tally(START_MS + 90_000, 0, 7),
        ]


async def test_units_given_up_are_counted(stores: Stores) -> None:
    """Only those whose retries ran out; a final refusal is not one."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        gave_up = msgspec.structs.replace(ended([1, 2]), outcome="gave_up")
        await commit(store, progress(lane, ended=(ended([3]), gave_up)))
        assert await store.health_tallies(lane, 0) == [Tally(START_MS, 0, 0, 1)]


async def test_lanes_with_failures_are_found(stores: Stores) -> None:
    """Those with a failure, or with retries that ran out, since then; not those that only succeeded."""
    async with stores.opened() as store:
        fine, failing, early, over = [await open_lane(store) for _ in range(4)]
        gave_up = msgspec.structs.replace(ended([1]), outcome="gave_up")
        await commit(store, progress(fine, counts=(tried(5, 0),)))
        await commit(store, progress(failing, counts=(tried(5, 1, START_MS + BUCKET_MS),)))
        await commit(store, progress(early, counts=(tried(0, 3),)))
        await commit(store, progress(over, ended=(gave_up,)))
        assert await store.lanes_with_failures(START_MS) == {failing, early, over}
        assert await store.lanes_with_failures(START_MS + 1) == {failing}


async def test_lanes_that_counted_are_told_once(stores: Stores) -> None:
    """Each lane with new failures, and of the watched ones those with new successes too; only what is durable, and
    nothing without a lease."""
    async with stores.opened() as store:
        healthy, failing, watched, quiet = [await open_lane(store) for _ in range(4)]
        assert await store.counted({watched}) == set()
        await commit(store, *(progress(lane, counts=(tried(3, 0),)) for lane in (healthy, watched)))
        await commit(store, progress(failing, counts=(tried(0, 1),)))
        await commit(store, progress(failing, counts=(tried(1, 0),)), progress(quiet))
        assert await store.counted({watched, quiet}) == {watched, failing}
        assert await store.counted({watched, failing, quiet}) == set()
        await commit(store, *(progress(lane, counts=(tried(1, 0),)) for lane in (healthy, watched, failing)))
        assert await store.counted({watched, failing, quiet}) == {watched, failing}
        (lease,) = [lease for lease in await store.leases() if lease.slot == quiet % SLOTS]
        lost = SlotLease(lease.slot, lease.epoch + 1)
        await store.commit(WorkCommit((lost,), (progress(quiet, counts=(tried(0, 1),)),)))
        assert await store.counted({quiet}) == set()


async def test_counters_of_a_lane_that_is_gone(stores: Stores) -> None:
    """They go with it, and no operation brings them back."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await commit(store, progress(lane, counts=(tried(0, 3),)))
        await store.write([CloseLane(lane, b"", START_MS)])
        await store.write([SplitTallies(lane, START_MS), EnableLane(lane, START_MS)])
        assert await store.health_tallies(lane, 0) == []


async def test_a_replaced_document_may_keep_its_keys(stores: Stores) -> None:
    """None leaves them as they are; none at all takes them away."""
    async with stores.opened() as store:
        await store.write([Create("registration", ORG, "r", b"1", (Key("name", "stock", at_most=1),))])
        await store.write([Replace("registration", ORG, "r", b"2", 1, None)])
        assert [each.doc for each in await store.list_docs("registration", ORG, ("name", "stock"))] == [b"2"]
        await store.write([Replace("registration", ORG, "r", b"3", 2)])
        assert await store.list_docs("registration", ORG, ("name", "stock")) == []
