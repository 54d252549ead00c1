"""Appends to PostgreSQL: through the store protocol, and the bare statement with its arguments made before.

    python bench/postgres_append.py DSN SHARDS SECONDS ROUNDS

Prints JSON: for each round the events per second, `bare` and `store`. The store gets single events of as many
organizations as there are active shards from 512 publishers in a closed loop, each of which matches one of 1,000 lanes
of its organization. The bare statement gets batches of 256 such events over two connections, as the store has.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path
from uuid import UUID, uuid4

sys.path.insert(0, str(Path(__file__).parent.parent))

import uvloop

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.model import Lane, OrgId, Origin
from eventmill.store.log import Appended, NewEvent
from eventmill.store.postgres.batches import AppendCall, Batch
from eventmill.store.postgres.channel import Channel
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.store import PostgresStore
from eventmill.telemetry import setup_logging

_PUBLISHERS = 512
_BATCH = 256
_LANES = 1000
_BODY = b"x" * 1000
_numbers = itertools.count(1)


def make_event(org: OrgId) -> NewEvent:
    """For one of the organization's own lanes."""
    number = next(_numbers)
    origin = Origin(org, "p", "com.acme.stock.low", "p", "Stock", "cloud_events_v1", "client")
    return NewEvent(org, number.to_bytes(16, "big"), origin, _BODY, (Lane(1000 * int(org) + number % _LANES),), 1 << 40)


async def through_store(store: PostgresStore, orgs: list[OrgId], seconds: float) -> float:
    until = time.perf_counter() + seconds

    async def publish(org: OrgId) -> int:
        done = 0
        while time.perf_counter() < until:
            await store.append_durable([make_event(org)])
            done += 1
        return done

    started = time.perf_counter()
    done = await asyncio.gather(*(publish(orgs[number % len(orgs)]) for number in range(_PUBLISHERS)))
    return sum(done) / (time.perf_counter() - started)


async def bare(store: PostgresStore, orgs: list[OrgId], seconds: float) -> float:
    futures = [asyncio.get_running_loop().create_future() for _ in range(_BATCH)]

    def make_batch() -> Batch:
        calls: list[AppendCall] = []
        for number, future in enumerate(futures):
            kept: asyncio.Future[Appended] = future
            calls.append(AppendCall([make_event(orgs[number % len(orgs)])], kept, 1 << 40))
        return Batch(calls, store._facts)

    batches = [make_batch() for _ in range(20)]
    channels = [Channel(store._dial, uuid4()) for _ in range(2)]
    until = time.perf_counter() + seconds

    async def append(channel: Channel) -> int:
        done = 0
        turns = itertools.cycle(batches)
        while time.perf_counter() < until:
            batch = next(turns)

            async def send(connection: Connection, channel_id: UUID, number: int, batch: Batch = batch) -> list[int]:
                return await batch.send(connection, channel_id, number, SystemClock().now_ms())

            await channel.call(send)
            done += _BATCH
        return done

    started = time.perf_counter()
    done = await asyncio.gather(*map(append, channels))
    spent_s = time.perf_counter() - started
    await asyncio.gather(*(channel.close() for channel in channels))
    return sum(done) / spent_s


async def measure(dsn: str, shards: int, seconds: float, rounds: int) -> list[dict[str, float]]:
    config = Config(store=dsn, log_level="error")
    setup_logging(config)
    store = PostgresStore(config, SystemClock(), delivers=False)
    await store.open()
    orgs = [OrgId(f"{1001 + number}") for number in range(shards)]
    found = []
    try:
        await asyncio.gather(*(store.append_durable([make_event(org)]) for org in orgs))
        for number in range(rounds + 1):
            part_s = seconds if number else seconds / 3  # a short round first, to warm up
            one = {"bare": await bare(store, orgs, part_s), "store": await through_store(store, orgs, part_s)}
            found.append(one)
        return found[1:]
    finally:
        await store.close()


if __name__ == "__main__":
    arguments = (sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
    print(json.dumps(uvloop.run(measure(*arguments))))
