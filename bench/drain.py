"""Draining a long journal in pages of 100 on one connection, beside the bare server sending the same bytes.

    python bench/drain.py DATA EVENT --count 1000000 [--store DSN]

The command fills the journal of the only registration of a gateway that does not run, through its store: what
publishing costs is measured elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from bare import save_page
from gateway import Gateway, call
from processes import BENCH, Process, free_port, listens, run_tool, wait_for
from report import Row, progress

PAGE_EVENTS = 100
_BATCH_EVENTS = 500
_BATCHES_UNDER_WAY = 16


def bench_drain(directory: Path, rounds: int, events: int, store: str = "") -> list[Row]:
    """`store`: DSN of a database in place of files."""
    where, target = (" on PostgreSQL", None) if store else ("", 0.5)
    rate = Row(f"journal{where}, all of {events:,} x 1 KB drained, 1 connection", "pages/s", target, over="bare server")
    flat = Row("its last tenth beside its first", "ms/page", 1.25, at_most=True, over="first tenth")
    gateway = Gateway(directory / "drain", store=store)
    with gateway:
        path = gateway.register("journal", "journal")
        files = (gateway.head_file(), gateway.event_file())
    progress(f"drain: filling the journal with {events:,} events")
    filling = ("--count", events, "--store", store)
    run_tool("drain.py", gateway.data, files[1], *filling, seconds_max=60 + events / 1000)
    port, page = free_port(), directory / "page"
    start = f"{path}?limit={PAGE_EVENTS}"
    with gateway:
        headers, body = call("GET", gateway.url + start, gateway.headers)
        save_page(page, [each for each in headers.items() if each[0].lower() not in {"date", "connection"}], body)
        with Process(str(BENCH / "bare.py"), str(port), str(page)):
            wait_for(lambda: listens(port), 10, "the bare server's start")
            for number in range(rounds):
                progress(f"drain: round {number + 1} of {rounds}")
                pages = -(-events // PAGE_EVENTS)
                base = run_tool("load.py", "drain", port, files[0], start, "--count", pages, seconds_max=900)
                ours = run_tool("load.py", "drain", gateway.port, files[0], start, seconds_max=900)
                assert ours["pages"] == pages, f"{ours['pages']} pages of {pages}"
                rate.add(ours["per_s"], base["per_s"])
                flat.add(ours["last_tenth_ms"], ours["first_tenth_ms"])
    return [rate, flat]


async def fill(data: Path, event: bytes, count: int, place: str) -> None:
    """Appends an event so many times, each with an id of its own."""
    import msgspec

    from eventmill import telemetry
    from eventmill.clock import SystemClock
    from eventmill.config import Config
    from eventmill.core.cloudevent import parse_structured
    from eventmill.core.envelope import cut_cloud_event
    from eventmill.ids import IdSource, uuid_text
    from eventmill.model import OrgId, Origin, Registration
    from eventmill.store.log import NewEvent
    from eventmill.store.open import make_store

    clock, ids = SystemClock(), IdSource()
    config = Config(data=str(data), store=place, log_level="warning")
    telemetry.setup_logging(config)
    store = make_store(config, clock)
    await store.open()
    [stored] = await store.scan("registration")
    registration = msgspec.json.decode(stored.doc, type=Registration)
    published, org, epoch = parse_structured(event), OrgId(registration.org), await store.epoch()
    interest = json.loads(event)
    provider_id = interest["source"].rpartition(":")[2]
    origin = Origin(org, provider_id, interest["type"], "bench", "Bench", "cloud_events_v1", registration.client_id)

    def make() -> NewEvent:
        event_id = ids.event_id(clock.now_ms())
        body = cut_cloud_event(published, uuid_text(event_id), clock.now_ms())
        return NewEvent(org, event_id, origin, body, (registration.id,), epoch)

    for first in range(0, count, _BATCH_EVENTS * _BATCHES_UNDER_WAY):
        left = min(count - first, _BATCH_EVENTS * _BATCHES_UNDER_WAY)
        sizes = [min(_BATCH_EVENTS, left - at) for at in range(0, left, _BATCH_EVENTS)]
        await asyncio.gather(*(store.append_durable([make() for _ in range(size)]) for size in sizes))
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill the journal of the only registration; prints null.")
    parser.add_argument("data", type=Path)
    parser.add_argument("event", type=Path)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--store", default="", metavar="DSN")
    args = parser.parse_args()
    asyncio.run(fill(args.data, args.event.read_bytes(), args.count, args.store))
    print("null")


if __name__ == "__main__":
    main()
