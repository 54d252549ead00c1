"""Small builders for the store tests: a clock set by hand, stores over one data directory, events, progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from eventmill.clock import Clock, SystemClock
from eventmill.config import Config
from eventmill.model import Lane, OrgId, Origin, Registration
from eventmill.store.base import Store
from eventmill.store.control import Create, OpenLane
from eventmill.store.log import Appended, NewEvent, StoredEvent
from eventmill.store.work import SLOTS, AttemptCount, Ended, LaneProgress, RetryUnit, TraceRecord, WorkCommit

ORG = OrgId("1001")
OTHER_ORG = OrgId("1002")
DAY_MS = 86_400_000
START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""

OpenEngine = Callable[[Config, Clock], Store]
"""What a second engine has to give for the conformance suite: a store, not open yet, over `config.data`."""

_numbers = count(1)


class HandClock(SystemClock):
    """Both times stand still until the test moves them, business time also backwards."""

    def __init__(self, at_ms: int = START_MS) -> None:
        self.at_ms = at_ms
        self.at_s = 0.0

    def now_ms(self) -> int:
        return self.at_ms

    def machine_s(self) -> float:
        return self.at_s


class Stores:
    """Stores over one data directory, one after the other, as a gateway that is restarted."""

    def __init__(self, engine: OpenEngine, data: Path) -> None:
        self._engine = engine
        self.data = data
        self.clock = HandClock()

    def config(self, **settings: Any) -> Config:
        known: dict[str, Any] = {"data": str(self.data), "dev": True, "disk_reserve_bytes": 0}
        return Config(**(known | settings))

    @asynccontextmanager
    async def opened(self, **settings: Any) -> AsyncIterator[Store]:
        store = self._engine(self.config(**settings), self.clock)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def origin(org: OrgId = ORG, code: str = "com.acme.stock.low") -> Origin:
    return Origin(org, "p1", code, "3rd_party_custom_events_X@AdobeOrg_p1", "Stock", "cloud_events_v1", "client")


def event(
    lanes: Sequence[int], epoch: int, *, org: OrgId = ORG, body: bytes = b'{"a":1', event_id: bytes | None = None
) -> NewEvent:
    number = next(_numbers) if event_id is None else 0
    return NewEvent(
        org, event_id or number.to_bytes(16, "big"), origin(org), body, tuple(Lane(lane) for lane in lanes), epoch
    )


async def append(store: Store, lanes: Sequence[int], number: int = 1, **fields: Any) -> list[int]:
    """Append events one by one; returns their positions."""
    epoch = await store.epoch()
    done = await asyncio.gather(*(store.append_durable([event(lanes, epoch, **fields)]) for _ in range(number)))
    return [appended.first_seq for appended in done]


async def append_batch(store: Store, lanes: Sequence[Sequence[int]]) -> Appended:
    """One call with an event for each tuple of lanes."""
    epoch = await store.epoch()
    return await store.append_durable([event(matched, epoch) for matched in lanes])


async def open_lane(store: Store, org: OrgId = ORG) -> Lane:
    """A new lane, with the document of its registration."""
    lane = Lane(await store.allocate("lane"))
    await store.write([Create("registration", org, f"r{lane}", b"{}"), OpenLane(lane, org, f"r{lane}")])
    return lane


async def journal(store: Store, lane: int, page: int = 100) -> list[StoredEvent]:
    """The whole journal, page by page."""
    found: list[StoredEvent] = []
    more = True
    while more:
        read = await store.journal_page(Lane(lane), found[-1].seq if found else 0, page, 1 << 40)
        found.extend(await store.fetch(0, read.seqs))
        more = read.more
    return found


async def positions(store: Store, lane: int, page: int = 100) -> list[int]:
    return [stored.seq for stored in await journal(store, lane, page)]


def progress(lane: int, mark: int = 0, done: Sequence[int] = (), **fields: Any) -> LaneProgress:
    return LaneProgress(lane=Lane(lane), mark=mark, done=tuple(done), **{"settled": (), **fields})


async def commit(store: Store, *lanes: LaneProgress) -> frozenset[int]:
    """Commit under the leases that the store grants its own process."""
    touched = {each.lane % SLOTS for each in lanes}
    leases = tuple(lease for lease in await store.leases() if lease.slot in touched)
    return await store.commit(WorkCommit(leases, lanes))


def unit(lane: int, seqs: Sequence[int], *, due_ms: int = START_MS, retries: int = 1, key: int = 0) -> RetryUnit:
    return RetryUnit(
        unit_id=(key or next(_numbers)).to_bytes(16, "big"),
        lane=Lane(lane),
        positions=tuple(seqs),
        batch=len(seqs) > 1,
        first_ms=START_MS,
        retries=retries,
        due_ms=due_ms,
        cause=503,
    )


def tried(ok: int, failed: int, at_ms: int = START_MS) -> AttemptCount:
    return AttemptCount(at_ms, ok, failed)


def ended(seqs: Sequence[int], at_ms: int = START_MS) -> Ended:
    return Ended(tuple(seqs), "refused", 404, at_ms)


def trace(ok: bool, number: int) -> TraceRecord:
    return TraceRecord(ok, START_MS + number, (number,), f"trace {number}".encode())


def webhook_registration(lane: Lane, url: str, now_ms: int) -> Registration:
    """An enabled one whose webhook is verified."""
    return Registration(
        id=lane,
        registration_id="r1",
        org=ORG,
        project_id="p",
        workspace_id="w",
        client_id="c",
        name="Stock",
        description="",
        events_of_interest=(),
        delivery_type="webhook",
        webhook_url=url,
        enabled=True,
        webhook_status="verified",
        created_ms=now_ms,
        updated_ms=now_ms,
    )
