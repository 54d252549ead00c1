"""What stages of several nodes on one database rely on: one that presides, counts of all nodes, permits for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventmill.config import Config
from eventmill.flow.throttle import WINDOW_S, SharedThrottle
from eventmill.store.postgres.leases import Terms
from eventmill.store.postgres.store import PostgresStore
from tests.store.builders import ORG, START_MS, HandClock, commit, open_lane, progress, tried
from tests.store.postgres import database_of, plain
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

SHORT = Terms(ttl_s=0.6, renew_s=0.1, margin_s=0.2)


@asynccontextmanager
async def nodes(
    tmp_path: Path, count: int = 2, terms: Terms | None = None
) -> AsyncIterator[tuple[list[PostgresStore], HandClock]]:
    """Nodes of one database, of which the first delivers, and the clock of all."""
    config = Config(data=str(tmp_path), dev=True, store=database_of(str(tmp_path)))
    clock = HandClock()
    opened = [PostgresStore(config, clock, delivers=number == 0, terms=terms) for number in range(count)]
    for node in opened:
        await node.open()
    try:
        yield opened, clock
    finally:
        for node in opened:
            await node.close()


# --- Who presides ---


async def test_one_presides_until_it_leaves(tmp_path: Path) -> None:
    """Of nodes that ask at once one is told a term; when it leaves the next one gets a later term, without a wait."""
    async with nodes(tmp_path, 3, SHORT) as (members, _):
        terms = await asyncio.gather(*(node.presidency() for node in members * 4))
        assert sorted(set(terms)) == [0, 1]
        assert len({number % 3 for number, term in enumerate(terms) if term}) == 1
        first = members.pop(next(number for number, term in enumerate(terms) if term))
        await first.close()

        async def next_terms() -> list[int]:
            return [term for node in members if (term := await node.presidency())]

        assert await eventually(next_terms, "a node that presides") == [2]


async def test_a_president_that_dies_is_replaced(tmp_path: Path) -> None:
    """Who does not ask any more stops presiding before anybody else begins to, though the database says nothing."""
    async with nodes(tmp_path, 2, SHORT) as ((one, two), _):
        assert await one.presidency() == 1
        assert await two.presidency() == 0

        async def asked_again() -> int:
            """The first one is stopped: nobody asks it, and so it does not renew."""
            return await two.presidency()

        assert await eventually(asked_again, "the other one") == 2
        assert await one.presidency() == 0


async def test_nobody_presides_whom_the_database_does_not_know(tmp_path: Path) -> None:
    """A president that cannot renew its term stops by its own clock, some time before the term ends."""
    async with nodes(tmp_path, 1, Terms(ttl_s=5, renew_s=0.0, margin_s=5)) as ((one,), _):
        assert await one.presidency() == 0


# --- What is counted ---


async def test_failures_counted_elsewhere_are_told_here(tmp_path: Path) -> None:
    """Every node learns of failures that another one's deliveries met, each once, however late it asks first; of
    successes on lanes that it watches."""
    async with nodes(tmp_path) as ((one, two), clock):
        failing, fine = await open_lane(one), await open_lane(one)
        assert await two.counted(()) == set()
        await commit(one, progress(failing, counts=(tried(0, 1),)), progress(fine, counts=(tried(1, 0),)))
        assert await two.counted(()) == {failing}
        assert await two.counted(()) == set()
        await commit(one, progress(fine, counts=(tried(1, 0),)), progress(failing, counts=(tried(1, 0),)))
        assert await two.counted({fine, failing}) == {fine, failing}
        clock.at_ms += 3_600_000
        assert await two.counted({fine, failing}) == set()
        await commit(one, progress(failing, counts=(tried(0, 1, clock.at_ms - 60_000),)))
        assert await two.counted(()) == await one.counted(()) == {failing}


async def test_a_pause_between_two_looks_loses_nothing(tmp_path: Path) -> None:
    """What was counted in the buckets since the look before is told, were it hours ago."""
    async with nodes(tmp_path) as ((one, two), clock):
        failing = await open_lane(one)
        assert await two.counted(()) == set()
        await commit(one, progress(failing, counts=(tried(0, 1, START_MS + 600_000),)))
        clock.at_ms += 5 * 3_600_000
        assert await two.counted(()) == {failing}


# --- Permits ---


async def test_a_limit_holds_for_all_nodes_together(tmp_path: Path) -> None:
    """Two nodes that are asked for far more than the limit let a burst through, what refills meanwhile, and at most a
    block each beyond it; and both say how long to wait."""
    async with nodes(tmp_path) as (members, _):
        loop = asyncio.get_running_loop()
        throttles = [SharedThrottle(node.permits, 200) for node in members]
        began_s = loop.time()
        served = 0
        waits: set[int] = set()

        async def ask(throttle: SharedThrottle) -> None:
            nonlocal served
            for _ in range(400):
                wait_s = await throttle.take("key", loop.time())
                served += wait_s == 0
                waits.add(wait_s)

        await asyncio.gather(*map(ask, throttles))
        refilled = (loop.time() - began_s) * 200 / WINDOW_S
        assert 200 <= served <= 200 + refilled + 2 * 10 + 1
        assert waits == {0, 1}


async def test_buckets_refill_and_are_apart(tmp_path: Path) -> None:
    """One key's burst costs another nothing; a bucket is never fuller than full; full ones are forgotten."""
    async with nodes(tmp_path) as ((one, two), _), plain(tmp_path) as connection:
        assert await one.permits.take("a", 7, 5, 5) == (5, 0.0)
        granted, wait_s = await two.permits.take("a", 1, 5, 5)
        assert (granted, 0 < wait_s <= 1) == (0, True)
        assert await two.permits.take("b", 1, 5, 5) == (1, 0.0)
        await connection.execute("UPDATE eventmill.permit SET full_ns = full_ns - 2000000000 WHERE key = 'a'")
        assert await one.permits.take("a", 9, 5, 5) == (2, 0.0)
        await connection.execute("UPDATE eventmill.permit SET full_ns = full_ns - 60000000000")
        assert await one.permits.take("a", 9, 5, 5) == (5, 0.0)
        await two.drop_observed(0, 0)
        assert await connection.fetchval("SELECT array_agg(key) FROM eventmill.permit") == ["a"]


async def test_a_database_clock_that_was_set_back_locks_nobody_out(tmp_path: Path) -> None:
    """A bucket that will be full in a year is one that was emptied just now."""
    async with nodes(tmp_path, 1) as ((one,), _), plain(tmp_path) as connection:
        await one.permits.take("a", 1, 5, 5)
        await connection.execute("UPDATE eventmill.permit SET full_ns = full_ns + 31536000000000000")
        granted, wait_s = await one.permits.take("a", 1, 5, 5)
        assert (granted, 0 < wait_s <= 1) == (0, True)


async def test_a_bucket_that_is_forgotten_in_the_same_moment(tmp_path: Path) -> None:
    """Whoever draws from it waits for that, and then finds a full one."""
    async with nodes(tmp_path, 1) as ((one,), _), plain(tmp_path) as connection:
        await one.permits.take("a", 1, 5, 5)
        async with connection.transaction():
            await connection.execute("SELECT FROM eventmill.permit FOR UPDATE")
            drawing = asyncio.create_task(one.permits.take("a", 5, 5, 5))
            while not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
                assert not drawing.done()
            await connection.execute("DELETE FROM eventmill.permit")
        assert await drawing == (5, 0.0)


async def test_many_requests_are_few_draws(tmp_path: Path) -> None:
    """The database is not asked for each request, and a key that asks little draws little."""
    async with nodes(tmp_path, 1) as ((one,), _):
        draws: list[int] = []
        permits = one.permits

        class Spied:
            async def take(self, key: str, wanted: int, requests: int, window_s: int) -> tuple[int, float]:
                draws.append(wanted)
                return await permits.take(key, wanted, requests, window_s)

        throttle = SharedThrottle(Spied(), 3000)
        assert [await throttle.take("busy", 1.0) for _ in range(1000)] == [0] * 1000
        assert len(draws) < 20
        draws.clear()
        assert [await throttle.take("quiet", at_s) for at_s in (1.0, 3.0, 5.0, 7.0)] == [0] * 4
        assert draws == [1, 1, 1, 1]


# --- The audit trail ---


async def test_readers_of_the_audit_trail_skip_nothing(tmp_path: Path) -> None:
    """A record whose commit comes late has a lower number than one that is there already: neither is shown before both
    are, so that who reads on after the highest number misses none."""
    async with nodes(tmp_path, 1) as ((one,), _), plain(tmp_path) as late, plain(tmp_path) as early:
        transaction = late.transaction()
        await transaction.start()
        await late.execute(_RECORD, "late")
        await early.execute(_RECORD, "early")
        assert await one.phi_audit(ORG, 0, START_MS, 0, 10) == []
        await transaction.commit()

        async def shown() -> list[str]:
            return [record.id for record in await one.phi_audit(ORG, 0, START_MS, 0, 10)]

        assert await eventually(shown, "the records") == ["late", "early"]


_RECORD = """
INSERT INTO eventmill.phi_audit
    (at_ms, status, org, event_id, id, provider_id, event_code, client_id, registration_id, outcome)
VALUES (1, 0, '1001', '', $1::text::bytea, '', '', '', '', 'received')
"""
