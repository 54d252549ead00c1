"""Work on a large PostgreSQL store, through the store protocol alone.

    python bench/postgres_store.py DSN retries SECONDS
    python bench/postgres_store.py DSN drop EVENTS LANES

`retries` claims delayed retries and puts each off by a day, with four workers that take 100 of a lane at a time; the
store was filled before. `drop` appends so many events two days ago, and drops that day while 32 publishers go on.
Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import asyncpg
import msgspec
import uvloop

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.model import Lane, OrgId, Origin
from eventmill.store.log import NewEvent
from eventmill.store.postgres.store import PostgresStore
from eventmill.store.work import SLOTS, LaneProgress, SlotLease, WorkCommit
from eventmill.telemetry import setup_logging

_DAY_MS = 86_400_000
_AT_ONCE = 100
_WORKERS = 4
_ORGS = 256
_PUBLISHERS = 32
_APPENDED_AT_ONCE = 500
_BODY = b"x" * 1000
_FIRST_LANE = 1024
"""An organization has those lanes that leave its number when divided by how many there are."""
_LANES_BEHIND = 100
"""Events of these expire undelivered."""
_LANES = """
INSERT INTO eventmill.lane (lane, mark, opened, shard, slot, org, registration_id)
SELECT lane, 0, 0, shard, lane % 1024, org, md5(lane::text)::uuid::text
FROM generate_series($1::bigint, $2::bigint) AS lane JOIN eventmill.org ON org = (2000 + lane % $3)::text
"""
_DELIVERED = """
UPDATE eventmill.lane SET mark = head FROM eventmill.shard WHERE shard.id = shard AND lane > $1
"""


class ShiftedClock(SystemClock):
    days = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.days * _DAY_MS


async def retries(store: PostgresStore, dsn: str, seconds: float) -> dict[str, float]:
    connection = await asyncpg.connect(dsn)
    lanes = [Lane(row[0]) for row in await connection.fetch("SELECT lane FROM eventmill.lane ORDER BY lane")]
    await connection.close()
    leases = {lease.slot: lease for lease in await store.leases()}
    turns = itertools.cycle(lanes)
    until_s = time.perf_counter() + seconds

    async def work() -> int:
        claimed = 0
        while time.perf_counter() < until_s:
            claimed += await claim(store, next(turns), leases)
        return claimed

    started_s = time.perf_counter()
    claimed = sum(await asyncio.gather(*(work() for _ in range(_WORKERS))))
    return {"per_s": claimed / (time.perf_counter() - started_s)}


async def claim(store: PostgresStore, lane: Lane, leases: dict[int, SlotLease]) -> int:
    """The earliest retries of the lane, each put off until the next day."""
    units = await store.due_units(lane, 1 << 62, _AT_ONCE)
    later = [msgspec.structs.replace(unit, due_ms=unit.due_ms + _DAY_MS, retries=unit.retries + 1) for unit in units]
    progress = LaneProgress(lane=lane, mark=0, done=(), settled=(), put_units=tuple(later))
    lost = await store.commit(WorkCommit((leases[lane % SLOTS],), (progress,)))
    assert not lost
    return len(units)


async def drop(store: PostgresStore, dsn: str, clock: ShiftedClock, counts: tuple[int, int]) -> dict[str, float]:
    events, lanes = counts
    orgs = [OrgId(str(2000 + number)) for number in range(_ORGS)]
    numbers = itertools.count(1)

    def make(org_number: int) -> NewEvent:
        number = next(numbers)
        lane = Lane(_FIRST_LANE + number % (lanes // _ORGS) * _ORGS + org_number)
        origin = Origin(orgs[org_number], "p", "com.acme.stock.low", "p", "Stock", "cloud_events_v1", "client")
        return NewEvent(orgs[org_number], number.to_bytes(16, "big"), origin, _BODY, (lane,), 1 << 40)

    async def publish(org_number: int, count: int) -> None:
        await store.append_durable([make(org_number) for _ in range(count)])

    await asyncio.gather(*(publish(number, 1) for number in range(_ORGS)))
    connection = await asyncpg.connect(dsn)
    await connection.execute(_LANES, _FIRST_LANE, _FIRST_LANE + lanes - 1, _ORGS)
    for _ in range(0, events, _ORGS * _APPENDED_AT_ONCE // 10):
        await asyncio.gather(*(publish(number, _APPENDED_AT_ONCE // 10) for number in range(_ORGS)))
    await connection.execute(_DELIVERED, _FIRST_LANE + _LANES_BEHIND - 1)
    await connection.execute("VACUUM (ANALYZE)")
    await connection.close()

    clock.days = 0
    waits: list[float] = []
    stopped = asyncio.Event()

    async def go_on(org_number: int) -> None:
        while not stopped.is_set():
            began_s = time.perf_counter()
            await publish(org_number, 1)
            waits.append(time.perf_counter() - began_s)

    publishers = [asyncio.create_task(go_on(number)) for number in range(_PUBLISHERS)]
    await asyncio.sleep(2)
    before_s = max(waits)
    waits.clear()
    began_s = time.perf_counter()
    dropped = await store.expire(clock.now_ms() - _DAY_MS)
    took_s = time.perf_counter() - began_s
    await asyncio.sleep(0.2)
    stopped.set()
    await asyncio.gather(*publishers)
    assert dropped == 1, dropped
    return {"drop_s": took_s, "before_ms": before_s * 1000, "meanwhile_ms": max(waits) * 1000}


async def main(dsn: str, what: str, counts: list[str]) -> dict[str, float]:
    config, clock = Config(store=dsn, log_level="error"), ShiftedClock()
    setup_logging(config)
    clock.days = -2 if what == "drop" else 0
    store = PostgresStore(config, clock, delivers=what == "retries")
    await store.open()
    try:
        if what == "drop":
            return await drop(store, dsn, clock, (int(counts[0]), int(counts[1])))
        return await retries(store, dsn, float(counts[0]))
    finally:
        await store.close()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))))
