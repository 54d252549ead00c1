"""Conformance: documents, their keys and limits, the change feed and the counters."""

from __future__ import annotations

import asyncio

import pytest

from eventmill.errors import Conflict, GatewayError, LimitReached, Reason, RoutingStale, StaleVersion
from eventmill.model import Lane
from eventmill.store.base import Store
from eventmill.store.control import ControlOp, Create, Delete, Key, OpenLane, Replace, Require, RequireNone, Versioned
from tests.store.builders import ORG, OTHER_ORG, Stores, event, open_lane

pytestmark = pytest.mark.anyio


def named(doc_id: str, name: str, at_most: int = 1) -> Create:
    return Create("registration", ORG, doc_id, b"{}", (Key("name", name, at_most),))


async def ids(store: Store, key: tuple[str, str] | None = None) -> list[str]:
    return [doc.id for doc in await store.list_docs("registration", ORG, key)]


async def test_documents_survive_a_restart(stores: Stores) -> None:
    """What `write` answered is read back, also by the next process, with its version."""
    async with stores.opened() as store:
        created = await store.write([Create("project", ORG, "2001", b'{"name":"a"}')])
        assert created == [Versioned("project", ORG, "2001", 1, b'{"name":"a"}')]
        replaced = await store.write([Replace("project", ORG, "2001", b'{"name":"b"}', 1)])
        assert replaced == [Versioned("project", ORG, "2001", 2, b'{"name":"b"}')]
    async with stores.opened() as store:
        assert await store.get("project", ORG, "2001") == replaced[0]
        assert await store.scan("project") == replaced


async def test_unrouted_documents(stores: Stores) -> None:
    """Cursors are compared and set as all documents are, but no write of theirs is a change: an append that was matched
    before it is still good. One that deletes them with a registration is a change of the registration."""
    key = Key("registration", "r1", 2)
    async with stores.opened() as store:
        lane = await open_lane(store)
        epoch = await store.epoch()
        [first] = await store.write(
            [Require("registration", ORG, f"r{lane}"), Create("cursor", ORG, "a", b"1", (key,))]
        )
        with pytest.raises(Conflict):
            await store.write([Create("cursor", ORG, "a", b"", (key,))])
        [second] = await store.write([Replace("cursor", ORG, "a", b"2", first.version, None)])
        for lost in (Replace("cursor", ORG, "a", b"3", first.version, None), Delete("cursor", ORG, "a", first.version)):
            with pytest.raises(StaleVersion):
                await store.write([lost])
        with pytest.raises(GatewayError) as caught:
            await store.write([Create("cursor", ORG, "b", b"", (key,)), Require("registration", ORG, "none")])
        assert caught.value.reason is Reason.NOT_FOUND
        await store.write([Create("cursor", ORG, "c", b"", (key,))])
        with pytest.raises(LimitReached):
            await store.write([Create("cursor", ORG, "d", b"", (key,))])

        assert await store.epoch() == epoch
        assert await store.changes(epoch, 10) == []
        await store.append_durable([event([lane], epoch)])
        assert second == Versioned("cursor", ORG, "a", 2, b"2")
    async with stores.opened() as store:
        assert await store.get("cursor", ORG, "a") == second
        assert {doc.id for doc in await store.list_docs("cursor", ORG, ("registration", "r1"))} == {"a", "c"}
        await store.write(
            [Delete("cursor", ORG, "a"), Delete("cursor", ORG, "c"), Delete("registration", ORG, f"r{lane}")]
        )
        assert [change.kind for change in await store.changes(epoch, 10)] == ["registration"]
        with pytest.raises(RoutingStale):
            await store.append_durable([event([lane], epoch)])


async def test_unrouted_writes_beside_appends(stores: Stores) -> None:
    """Many writes of one document at once: each version is won by exactly one of them, and the appends between them are
    all stored with the epoch of before."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        epoch = await store.epoch()
        await store.write([Create("cursor", ORG, "a", b"0")])
        tries = [store.write([Replace("cursor", ORG, "a", b"%d" % n, 1, None)]) for n in range(8)]
        appends = [store.append_durable([event([lane], epoch)]) for _ in range(8)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        stored = await asyncio.gather(*appends)

        assert sorted(isinstance(each, StaleVersion) for each in outcomes) == [False] + [True] * 7
        assert sorted(each.first_seq for each in stored) == list(range(1, 9))


async def test_organisations_do_not_see_each_other(stores: Stores) -> None:
    """The same id may live in two organisations; every read without *system* stays within its own."""
    async with stores.opened() as store:
        await store.write([Create("project", ORG, "1", b"mine"), Create("project", OTHER_ORG, "1", b"theirs")])
        mine = await store.get("project", ORG, "1")
        assert mine is not None
        assert mine.doc == b"mine"
        assert [doc.doc for doc in await store.list_docs("project", OTHER_ORG)] == [b"theirs"]
        assert [doc.org for doc in await store.scan("project")] == [ORG, OTHER_ORG]
        assert await store.get("workspace", ORG, "1") is None


async def test_a_kind_is_read_page_by_page(stores: Stores) -> None:
    """By organisation and id, whatever order they were created in; every document once, and no other kind's."""
    async with stores.opened() as store:
        wanted = [(ORG, "B"), (ORG, "a"), (ORG, "a1"), (OTHER_ORG, "A"), (OTHER_ORG, "é")]
        assert wanted == sorted(wanted)
        for org, doc_id in reversed(wanted):
            await store.write(
                [Create("registration", org, doc_id, doc_id.encode()), Create("provider", org, doc_id, b"")]
            )
        for limit in (1, 2, 5, 6):
            found: list[Versioned] = []
            after = ("", "")
            while page := await store.scan_page("registration", after, limit):
                assert len(page) <= limit
                found += page
                after = page[-1].org, page[-1].id
            assert found == [Versioned("registration", org, doc_id, 1, doc_id.encode()) for org, doc_id in wanted]
        assert await store.scan_page("workspace", ("", ""), 5) == []


async def test_lists_come_in_creation_order_and_by_key(stores: Stores) -> None:
    """A list is ordered by creation whatever the ids are, and a key narrows it to its holders; replacing moves nothing
    but the keys."""
    async with stores.opened() as store:
        for doc_id, workspace in (("z", "w1"), ("a", "w2"), ("m", "w1")):
            await store.write([Create("registration", ORG, doc_id, b"{}", (Key("workspace", workspace),))])
        await store.write([Replace("registration", ORG, "z", b"{}", 1, (Key("workspace", "w2"),))])
        assert await ids(store) == ["z", "a", "m"]
        assert await ids(store, ("workspace", "w1")) == ["m"]
        assert await ids(store, ("workspace", "w2")) == ["z", "a"]
        assert await ids(store, ("workspace", "w3")) == []


async def test_an_id_is_taken_once(stores: Stores) -> None:
    """Creating an id that exists is a conflict that names it; after its deletion the id is free."""
    async with stores.opened() as store:
        await store.write([named("a", "x")])
        with pytest.raises(Conflict) as caught:
            await store.write([named("a", "y")])
        assert caught.value.conflicting_id == "a"
        await store.write([Delete("registration", ORG, "a")])
        await store.write([named("a", "x")])


async def test_a_unique_key_names_its_holder(stores: Stores) -> None:
    """A second holder of a unique key is refused with the first one's id, on create and on replace; a holder may keep
    its own key, and a deleted one frees it."""
    async with stores.opened() as store:
        await store.write([named("a", "x"), named("b", "y")])
        for op in (named("c", "x"), Replace("registration", ORG, "b", b"{}", 1, (Key("name", "x", 1),))):
            with pytest.raises(Conflict) as caught:
                await store.write([op])
            assert caught.value.conflicting_id == "a"
        await store.write([Replace("registration", ORG, "a", b"{}", 1, (Key("name", "x", 1),))])
        await store.write([Delete("registration", ORG, "a"), named("c", "x")])
        assert await ids(store, ("name", "x")) == ["c"]


async def test_keys_of_other_organisations_do_not_count(stores: Stores) -> None:
    """Names are unique within an organisation only."""
    async with stores.opened() as store:
        await store.write([named("a", "x")])
        await store.write([Create("registration", OTHER_ORG, "b", b"{}", (Key("name", "x", 1),))])


async def test_a_client_id_is_unique_over_all_organisations(stores: Stores) -> None:
    """An api key decides who is asking, so two organisations cannot hold the same one; whose it is stays unsaid."""
    async with stores.opened() as store:
        await store.write([Create("credential", ORG, "a", b"{}", (Key("client_id", "c", 1),))])
        with pytest.raises(Conflict) as caught:
            await store.write([Create("credential", OTHER_ORG, "b", b"{}", (Key("client_id", "c", 1),))])
        assert caught.value.conflicting_id == ""
        assert await store.list_docs("credential", OTHER_ORG) == []


async def test_what_is_required_must_exist(stores: Stores) -> None:
    """A document is created below another one only while that exists, in the same organisation."""
    async with stores.opened() as store:
        below: list[ControlOp] = [Require("workspace", ORG, "w"), named("a", "x")]
        await store.write([Create("workspace", OTHER_ORG, "w", b"{}")])
        with pytest.raises(GatewayError) as caught:
            await store.write(below)
        assert caught.value.reason is Reason.NOT_FOUND
        assert await ids(store) == []
        await store.write([Create("workspace", ORG, "w", b"{}")])
        assert [doc.id for doc in await store.write(below)] == ["a"]


async def test_what_must_not_be_there_is_named(stores: Stores) -> None:
    """Nothing of the write happens while a document holds the key; those deleted in the same write do not count, nor do
    another organisation's or kind's."""
    async with stores.opened() as store:
        key = Key("workspace", "w")
        await store.write(
            [
                Create("registration", ORG, "a", b"{}", (key,)),
                Create("registration", OTHER_ORG, "b", b"{}", (key,)),
                Create("provider", ORG, "c", b"{}", (key,)),
            ]
        )
        none = RequireNone("registration", ORG, ("workspace", "w"))
        with pytest.raises(Conflict) as caught:
            await store.write([Delete("provider", ORG, "c"), none])
        assert caught.value.conflicting_id == "a"
        assert await store.get("provider", ORG, "c") is not None
        await store.write([Delete("registration", ORG, "a"), none, Delete("provider", ORG, "c")])


async def test_creating_and_deleting_at_once_leaves_no_orphan(stores: Stores) -> None:
    """Whichever of the two writes comes first, the other is refused."""
    async with stores.opened() as store:
        for number in range(20):
            parent = f"w{number}"
            await store.write([Create("workspace", ORG, parent, b"{}")])
            child = Create("provider", ORG, f"p{number}", b"{}", (Key("workspace", parent),))
            create = store.write([Require("workspace", ORG, parent), child])
            none = RequireNone("provider", ORG, ("workspace", parent))
            delete = store.write([none, Delete("workspace", ORG, parent)])
            both = [create, delete] if number % 2 else [delete, create]
            results = await asyncio.gather(*both, return_exceptions=True)
            assert sum(isinstance(result, GatewayError) for result in results) == 1
            orphan = await store.get("workspace", ORG, parent) is None
            assert (await store.get("provider", ORG, f"p{number}") is None) == orphan


async def test_a_counted_key_holds_its_limit_under_concurrency(stores: Stores) -> None:
    """Of many creations at once exactly as many succeed as the limit allows; the others name the key."""
    async with stores.opened() as store:
        writes = [store.write([named(f"r{i}", "c", at_most=5)]) for i in range(20)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        refused = [result for result in results if isinstance(result, LimitReached)]
        assert len(refused) == 15
        assert {error.key_name for error in refused} == {"name"}
        assert len(await ids(store, ("name", "c"))) == 5
        await store.write([Delete("registration", ORG, (await ids(store))[0])])
        await store.write([named("again", "c", at_most=5)])


async def test_limits_count_within_one_write(stores: Stores) -> None:
    """Two operations of the same write see each other."""
    async with stores.opened() as store:
        with pytest.raises(Conflict):
            await store.write([named("a", "x"), named("b", "x")])
        assert await ids(store) == []


@pytest.mark.parametrize("stale", [Replace("registration", ORG, "a", b"new", 1), Delete("registration", ORG, "a", 1)])
async def test_a_stale_version_is_refused(stores: Stores, stale: Replace | Delete) -> None:
    """Compare-and-set: an operation on an older version changes nothing."""
    async with stores.opened() as store:
        await store.write([named("a", "x")])
        current = await store.write([Replace("registration", ORG, "a", b"b", 1)])
        with pytest.raises(StaleVersion):
            await store.write([stale])
        assert await store.get("registration", ORG, "a") == current[0]


@pytest.mark.parametrize("op", [Replace("registration", ORG, "a", b"new", 1), Delete("registration", ORG, "a")])
async def test_what_is_not_there_is_stale(stores: Stores, op: Replace | Delete) -> None:
    """Replacing or deleting a missing document is a lost race, not a success."""
    async with stores.opened() as store:
        with pytest.raises(StaleVersion):
            await store.write([op])


async def test_one_replace_of_many_wins(stores: Stores) -> None:
    """Replacements racing on one version: exactly one succeeds."""
    async with stores.opened() as store:
        await store.write([named("a", "x")])
        writes = [store.write([Replace("registration", ORG, "a", str(i).encode(), 1)]) for i in range(10)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert sum(isinstance(result, list) for result in results) == 1
        assert sum(isinstance(result, StaleVersion) for result in results) == 9


async def test_a_failed_write_leaves_nothing(stores: Stores) -> None:
    """All operations of a write or none: documents, keys, lanes, changes and epochs."""
    async with stores.opened() as store:
        await store.write([named("a", "x")])
        epoch = await store.epoch()
        with pytest.raises(Conflict):
            await store.write(
                [named("b", "y"), OpenLane(Lane(1001), ORG, "b"), Delete("registration", ORG, "a"), named("c", "y")]
            )
        assert await ids(store) == ["a"]
        assert await store.list_docs("registration", ORG, ("name", "y")) == []
        assert await store.lane(Lane(1001)) is None
        assert await store.epoch() == epoch
        assert await store.changes(epoch, 10) == []


async def test_the_change_feed_is_gap_free_and_ordered(stores: Stores) -> None:
    """Every operation is one change; epochs count up by one across organisations, writes and restarts."""
    async with stores.opened() as store:
        await store.write([named("a", "x"), Create("project", OTHER_ORG, "p", b"{}")])
    async with stores.opened() as store:
        await store.write([Delete("registration", ORG, "a"), OpenLane(Lane(1001), ORG, "r")])
        changes = await store.changes(0, 10)
        assert [change.epoch for change in changes] == [1, 2, 3, 4]
        assert [(change.org, change.kind, change.id) for change in changes] == [
            (ORG, "registration", "a"),
            (OTHER_ORG, "project", "p"),
            (ORG, "registration", "a"),
            (ORG, "registration", "r"),
        ]
        assert await store.epoch() == 4
        assert [change.epoch for change in await store.changes(1, 2)] == [2, 3]


async def test_counters_never_repeat(stores: Stores) -> None:
    """Numbers start at 1001, each counter by itself, and go on after a restart."""
    async with stores.opened() as store:
        assert await asyncio.gather(*(store.allocate("lane") for _ in range(3))) == [1001, 1002, 1003]
        assert await store.allocate("tenant") == 1001
    async with stores.opened() as store:
        assert await store.allocate("lane") == 1004


async def test_the_clock_offset_survives(stores: Stores) -> None:
    """Business time goes on where it was after a restart."""
    async with stores.opened() as store:
        assert (await store.clock_offset_ms(), await store.clock_jumped_ms()) == (0, 0)
        await store.set_clock(86_400_000, 3_600_000)
    async with stores.opened() as store:
        assert (await store.clock_offset_ms(), await store.clock_jumped_ms()) == (86_400_000, 3_600_000)


async def test_changes_wake_listeners(stores: Stores) -> None:
    """Appends, writes and clock moves call back in the event loop."""
    async with stores.opened() as store:
        calls: list[int] = []
        store.on_change(lambda: calls.append(1))
        await store.write([named("a", "x")])
        assert calls
        calls.clear()
        await store.set_clock(5, 5)
        assert calls
