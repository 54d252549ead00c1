"""Conformance: the audit trail of events with protected health information, from receipt to their end."""

from __future__ import annotations

import pytest

from eventmill.core.attempts import Attempt, pack_attempts
from eventmill.errors import RoutingStale
from eventmill.model import Lane
from eventmill.store.audit import AuditRecord
from eventmill.store.base import Store
from eventmill.store.control import CloseLane, Delete
from eventmill.store.log import NewEvent
from tests.store.builders import (
    DAY_MS,
    ORG,
    OTHER_ORG,
    START_MS,
    Stores,
    commit,
    ended,
    event,
    open_lane,
    origin,
    progress,
    unit,
)

pytestmark = pytest.mark.anyio

YEAR_MS = 365 * DAY_MS


def audited(lanes: list[Lane], epoch: int, number: int) -> NewEvent:
    body = b'{"secret":1'
    return NewEvent(ORG, number.to_bytes(16, "big"), origin(), body, tuple(lanes), epoch, f"order-{number}")


async def trail(store: Store, from_ms: int = 0, to_ms: int = 1 << 62, after: int = 0) -> list[AuditRecord]:
    return await store.phi_audit(ORG, from_ms, to_ms, after, 100)


def told(records: list[AuditRecord]) -> list[tuple[str, str, str, int]]:
    return [(each.id, each.registration_id, each.outcome, each.status) for each in records]


async def test_received(stores: Stores) -> None:
    """Each audited event has a record when its append returns, others have none; all of it survives a restart."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        epoch = await store.epoch()
        await store.append_durable([event([lane], epoch), audited([lane], epoch, 1), audited([lane], epoch, 2)])
        records = await trail(store)
        assert records[0] == AuditRecord(
            1, START_MS, "order-1", (1).to_bytes(16, "big"), "p1", "com.acme.stock.low", "client", "", "received", 0
        )
        assert [each.id for each in records] == ["order-1", "order-2"]
        assert await store.phi_audit(OTHER_ORG, 0, 1 << 62, 0, 100) == []
        with pytest.raises(RoutingStale):
            await store.append_durable([audited([lane], 0, 3)])
        assert await trail(store) == records
    async with stores.opened() as store:
        assert await trail(store) == records


async def test_attempts_and_ends(stores: Stores) -> None:
    """What became of it at each registration, in order, also when its registration is deleted meanwhile; nothing of
    events beside it, nor of a commit whose lease is lost."""
    async with stores.opened() as store:
        first, second = await open_lane(store), await open_lane(store)
        epoch = await store.epoch()
        await store.append_durable([event([first, second], epoch), audited([first, second], epoch, 1)])
        tried = pack_attempts([Attempt(1, 0, 200, 5, START_MS), Attempt(2, 0, 503, 7, START_MS + 1)])
        waiting = unit(second, [2])
        await commit(store, progress(first, 2, attempts=pack_attempts([Attempt(2, 0, 204, 9, START_MS)])))
        await commit(store, progress(second, 2, attempts=tried, put_units=(waiting,)))
        await store.write([Delete("registration", ORG, f"r{second}"), CloseLane(second, b"where", START_MS)])
    async with stores.opened() as store:
        again = pack_attempts([Attempt(2, 1, 404, 1, START_MS + 60_000)])
        await commit(store, progress(second, 2, attempts=again, ended=(ended([2]),), end_units=(waiting.unit_id,)))

        records = (await trail(store))[1:]
        assert told(records) == [
            ("order-1", f"r{first}", "delivered", 204),
            ("order-1", f"r{second}", "failed", 503),
            ("order-1", f"r{second}", "failed", 404),
            ("order-1", f"r{second}", "refused", 404),
        ]
        assert [each.at_ms for each in records[:3]] == [START_MS + 9, START_MS + 8, START_MS + 60_001]


async def test_pages(stores: Stores) -> None:
    """By time, from one included to one excluded, and on from a record."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        epoch = await store.epoch()
        for number in range(4):
            stores.clock.at_ms = START_MS + number
            await store.append_durable([audited([lane], epoch, number)])
        within = await trail(store, START_MS + 1, START_MS + 3)
        assert [each.id for each in within] == ["order-1", "order-2"]
        assert await trail(store, START_MS + 1, START_MS + 3, within[0].number) == within[1:]
        assert [each.id for each in await store.phi_audit(ORG, 0, 1 << 62, 0, 3)] == ["order-0", "order-1", "order-2"]


async def test_a_year(stores: Stores) -> None:
    """The trail outlives its events by far, with their expiry on record, and goes by age."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        epoch = await store.epoch()
        await store.append_durable([audited([lane], epoch, 1)])
        stores.clock.at_ms += 10 * DAY_MS
        await store.append_durable([event([lane], epoch)])
        assert await store.expire(stores.clock.at_ms - 7 * DAY_MS) == 1
        assert told(await trail(store)) == [("order-1", "", "received", 0), ("order-1", f"r{lane}", "expired", 0)]
        await store.drop_phi_audit(START_MS + 1)
        assert [each.outcome for each in await trail(store)] == ["expired"]
        await store.drop_phi_audit(START_MS + YEAR_MS)
        assert await trail(store) == []
