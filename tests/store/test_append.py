"""Conformance: durable appends, their positions and times, and what refuses them."""

from __future__ import annotations

import asyncio

import pytest

from eventmill.errors import Reason, RoutingStale, StoreUnavailable
from eventmill.store.base import Store
from eventmill.store.control import Create, DisableLane, Replace
from tests.store.builders import (
    DAY_MS,
    ORG,
    OTHER_ORG,
    START_MS,
    Stores,
    append,
    append_batch,
    event,
    journal,
    open_lane,
    origin,
    positions,
)

pytestmark = pytest.mark.anyio


async def test_followers_are_told(stores: Stores) -> None:
    """Every append is hinted at, also one that is for nobody who is pushed to, until the follower has enough; `head`
    shows it by then."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await store.write([DisableLane(lane, "disabled", 0)])
        told, told_other = asyncio.Event(), asyncio.Event()
        stop = store.on_append(told.set)
        for seq in (1, 2, 3):
            told.clear()
            await append(store, [lane])
            await told.wait()
            assert (await store.head(0)).seq == seq
        stop()
        told.clear()
        store.on_append(told_other.set)
        await append(store, [lane])
        await told_other.wait()
        assert not told.is_set()


async def everything(store: Store) -> list[tuple[int, tuple[int, ...]]]:
    page = await store.read_log(0, 0, 10_000)
    return [(entry.seq, entry.lanes) for entry in page.entries]


async def test_an_append_is_read_back_as_it_was(stores: Stores) -> None:
    """Body, id, origin, time and position come back byte for byte, from the journal, by position and by event id, and
    in the next process."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        wanted = event([lane], await store.epoch(), body=b'{"data":{"x":1.0}', event_id=bytes(range(16)))
        appended = await store.append_durable([wanted])
        assert (appended.first_seq, appended.day) == (1, 20260101)
    async with stores.opened() as store:
        (stored,) = await journal(store, lane)
        assert (stored.seq, stored.day, stored.ts_ms) == (1, 20260101, START_MS)
        assert (stored.event_id, stored.origin, stored.body) == (wanted.event_id, origin(), wanted.body)
        assert await store.fetch(0, [1]) == [stored]
        assert await store.find_event(ORG, wanted.event_id) == stored


async def test_an_event_is_found_by_its_organisation_only(stores: Stores) -> None:
    """Looking up a foreign or unknown event id finds nothing."""
    async with stores.opened() as store:
        await append(store, [], event_id=bytes(16))
        assert await store.find_event(OTHER_ORG, bytes(16)) is None
        assert await store.find_event(ORG, bytes([1] * 16)) is None


async def test_concurrent_appends_get_consecutive_positions(stores: Stores) -> None:
    """Many callers at once: every position once, none skipped, the log in position order with its lanes."""
    async with stores.opened() as store:
        one, two = await open_lane(store), await open_lane(store)
        first, second = await asyncio.gather(append(store, [one], 40), append(store, [one, two], 40))
        assert sorted(first + second) == list(range(1, 81))
        log = await everything(store)
        assert [seq for seq, _ in log] == list(range(1, 81))
        assert {seq for seq, lanes in log if lanes == (one, two)} == set(second)
        assert await positions(store, one) == list(range(1, 81))
        assert await positions(store, two) == sorted(second)


async def test_a_call_with_several_events_is_one_unit(stores: Stores) -> None:
    """Its events stand together, in order; the answer names the first position."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        done = await asyncio.gather(*(append_batch(store, [[lane]] * 5) for _ in range(6)))
        assert sorted(appended.first_seq for appended in done) == [1, 6, 11, 16, 21, 26]


async def test_an_event_without_lanes_is_in_the_log_only(stores: Stores) -> None:
    """An event nobody wants takes a position and is in no journal."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [])
        assert await everything(store) == [(1, ())]
        assert await journal(store, lane) == []


async def test_stale_routing_leaves_nothing(stores: Stores) -> None:
    """An append matched before the organisation's last change is refused whole and takes no position; matched again it
    passes, and changes of other organisations do not matter."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        before = await store.epoch()
        await store.write([Replace("registration", ORG, f"r{lane}", b"{}", 1)])
        with pytest.raises(RoutingStale):
            await store.append_durable([event([lane], before)])
        with pytest.raises(RoutingStale):
            await store.append_durable([event([lane], before + 1), event([lane], before)])
        assert (await store.head(0)).seq == 0
        current = await store.epoch()
        await store.write([Create("project", OTHER_ORG, "p", b"{}")])
        assert (await store.append_durable([event([lane], current)])).first_seq == 1


async def test_routing_is_stale_across_a_restart(stores: Stores) -> None:
    """The organisation's epoch is durable: an old picture stays stale for the next process."""
    async with stores.opened() as store:
        await open_lane(store)
        before = await store.epoch()
        await open_lane(store)
    async with stores.opened() as store:
        with pytest.raises(RoutingStale):
            await store.append_durable([event([], before)])
        await store.append_durable([event([], before + 2)])


async def test_a_stale_append_refuses_nobody_else(stores: Stores) -> None:
    """Appends queued together are judged one by one."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        epoch = await store.epoch()
        calls = [store.append_durable([event([lane], epoch - i % 2)]) for i in range(20)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(result, RoutingStale) for result in results] == [bool(i % 2) for i in range(20)]
        assert await positions(store, lane) == list(range(1, 11))


async def test_a_write_is_obeyed_by_the_next_append(stores: Stores) -> None:
    """Once a write was answered, no append that matched before it commits, however many are queued."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        for version in range(1, 30):
            epoch = await store.epoch()
            await store.write([Replace("registration", ORG, f"r{lane}", b"{}", version)])
            with pytest.raises(RoutingStale):
                await store.append_durable([event([lane], epoch)])


async def test_an_abandoned_append_completes(stores: Stores) -> None:
    """Whoever stops waiting does not stop the append: it is in the journal once."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        waiting = asyncio.ensure_future(store.append_durable([event([lane], await store.epoch())]))
        waiting.cancel()
        await append(store, [lane])
    async with stores.opened() as store:
        assert await positions(store, lane) == [1, 2]


async def test_time_never_falls_back(stores: Stores) -> None:
    """A clock set back changes neither order nor day: time and day of later events are at least those of earlier."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        stores.clock.at_ms = START_MS + DAY_MS
        await append(store, [lane])
        stores.clock.at_ms = START_MS
        await append(store, [lane])
    async with stores.opened() as store:
        await append(store, [lane])
        stored = await journal(store, lane)
        assert [each.ts_ms for each in stored] == [START_MS + DAY_MS] * 3
        assert [each.day for each in stored] == [20260102] * 3
        assert (await store.head(0)).day == 20260102


async def test_days_follow_one_another(stores: Stores) -> None:
    """Events over several days form one journal in position order, each with its day."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        for day in range(5):
            stores.clock.at_ms = START_MS + day * DAY_MS
            await append(store, [lane], 7)
        stored = await journal(store, lane, page=3)
        assert [each.seq for each in stored] == list(range(1, 36))
        assert [each.day for each in stored] == [20260101 + seq // 7 for seq in range(35)]
        assert [each.seq for each in await store.fetch(0, [1, 7, 8, 20, 35, 99])] == [1, 7, 8, 20, 35]
        events = await store.fetch(0, [1, 7, 8, 20, 35])
        outlines = await store.outlines(0, [1, 7, 8, 20, 35, 99])
        assert [(each.seq, each.day, each.ts_ms, each.event_id, each.origin) for each in outlines] == [
            (each.seq, each.day, each.ts_ms, each.event_id, each.origin) for each in events
        ]
        assert [each.body_bytes for each in outlines] == [len(each.body) for each in events]


async def test_the_head_moves_with_appends(stores: Stores) -> None:
    """The head is the last assigned position and its day; an empty store is at 0."""
    async with stores.opened() as store:
        head = await store.head(0)
        assert (head.generation, head.seq, head.day) == (1, 0, 20260101)
        await append(store, [], 3)
        assert (await store.head(0)).seq == 3


async def test_stored_bytes_count_bodies(stores: Stores) -> None:
    """Bytes are counted per organisation and once per event, whatever the number of lanes, also after a restart."""
    async with stores.opened() as store:
        one, two = await open_lane(store), await open_lane(store)
        await append(store, [one, two], 3, body=b"x" * 100)
        await append(store, [], 2, body=b"y" * 10, org=OTHER_ORG)
        assert (store.stored_bytes(ORG), store.stored_bytes(OTHER_ORG)) == (300, 20)
    async with stores.opened() as store:
        assert (store.stored_bytes(ORG), store.stored_bytes(OTHER_ORG)) == (300, 20)
        await append(store, [one], body=b"x")
        assert store.stored_bytes(ORG) == 301


async def test_large_bodies_pass(stores: Stores) -> None:
    """Bodies of the largest allowed size share a batch with small ones."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        bodies = [bytes([i]) * (1 << 20 if i % 3 == 0 else 10) for i in range(12)]
        epoch = await store.epoch()
        await asyncio.gather(*(store.append_durable([event([lane], epoch, body=body)]) for body in bodies))
        assert sorted(each.body for each in await journal(store, lane)) == sorted(bodies)


async def test_appends_wake_listeners(stores: Stores) -> None:
    """Delivery learns of a moved head by a call in the event loop."""
    async with stores.opened() as store:
        woken = asyncio.Event()
        store.on_change(woken.set)
        await append(store, [])
        assert woken.is_set()


async def test_a_closed_store_refuses(stores: Stores) -> None:
    """After close nothing is accepted; what was queued before is durable."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        queued = [store.append_durable([event([lane], await store.epoch())]) for _ in range(50)]
        await store.close()
        assert len(await asyncio.gather(*queued)) == 50
        with pytest.raises(StoreUnavailable) as caught:
            await store.append_durable([event([lane], 9)])
        assert caught.value.reason is Reason.SHUTTING_DOWN
        with pytest.raises(StoreUnavailable):
            await store.allocate("lane")
    async with stores.opened() as store:
        assert await positions(store, lane) == list(range(1, 51))
