"""The victim of the crash suite: appends and commits at full speed and reports what was acknowledged, until killed.

Run as `python crash_writer.py DATA FIRST_CALL`. Each line on standard output is written at once, after the
acknowledgement it reports: `lanes L L L`, `acked CALL SEQ`, `mark LANE SEQ`, `unit LANE SEQ`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.model import Lane, OrgId, Origin
from eventmill.store.control import Create, OpenLane
from eventmill.store.log import NewEvent
from eventmill.store.sqlite.layout import Layout
from eventmill.store.sqlite.store import SqliteStore
from eventmill.store.work import SLOTS, LaneProgress, RetryUnit, WorkCommit

ORG = OrgId("1001")
ORIGIN = Origin(ORG, "p", "c", "n", "l", "cloud_events_v1", "client")
LANES = 3
PUBLISHERS = 24
SMALL = Layout(chunk_positions=16, snapshot_events=300, wal_checkpoint_bytes=1 << 16, wal_bytes_max=1 << 18)


class RacingClock(SystemClock):
    """Half a day passes between two looks, so that segments roll all the time."""

    def __init__(self, start_ms: int) -> None:
        self._at_ms = start_ms

    def now_ms(self) -> int:
        self._at_ms += 1_200_000
        return self._at_ms


def event_id(call: int, index: int) -> bytes:
    return call.to_bytes(8, "big") + index.to_bytes(8, "big")


def size_of(call: int) -> int:
    return 1 + call % 4


def lanes_of(call: int, lanes: list[Lane]) -> tuple[Lane, ...]:
    return tuple(lane for index, lane in enumerate(lanes) if call >> index & 1)


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def open_lanes(store: SqliteStore) -> list[Lane]:
    known = [record.lane for record in await store.lanes(range(SLOTS))]
    while len(known) < LANES:
        lane = Lane(await store.allocate("lane"))
        await store.write([Create("registration", ORG, f"r{lane}", b"{}"), OpenLane(lane, ORG, f"r{lane}")])
        known.append(lane)
    say("lanes", *known)
    return known


async def publish(store: SqliteStore, lanes: list[Lane], call: int) -> None:
    epoch = await store.epoch()
    while True:
        matched = lanes_of(call, lanes)
        body = b"x" * (call * 37 % 3000)
        events = [NewEvent(ORG, event_id(call, i), ORIGIN, body, matched, epoch) for i in range(size_of(call))]
        appended = await store.append_durable(events)
        say("acked", call, appended.first_seq)
        call += PUBLISHERS


async def deliver(store: SqliteStore, lane: Lane) -> None:
    leases = tuple(lease for lease in await store.leases() if lease.slot == lane % SLOTS)
    record = await store.lane(lane)
    assert record is not None
    mark = record.mark
    while True:
        taken = await store.lane_page(lane, mark, 20)
        if not taken:
            await asyncio.sleep(0)
            continue
        mark = taken[-1]
        failed = RetryUnit(lane.to_bytes(8, "big") + mark.to_bytes(8, "big"), lane, (mark,), False, 0, 1, 0, 503)
        progress = LaneProgress(lane=lane, mark=mark, done=(), settled=tuple(taken), put_units=(failed,), attempts=b"a")
        await store.commit(WorkCommit(leases, (progress,)))
        say("mark", lane, mark)
        say("unit", lane, mark)


async def main(data: str, first_call: int) -> None:
    start_ms = 1_767_225_600_000 + first_call * 86_400
    store = SqliteStore(Config(data=data, dev=True, disk_reserve_bytes=0), RacingClock(start_ms), SMALL)
    await store.open()
    lanes = await open_lanes(store)
    publishing = [publish(store, lanes, first_call + number) for number in range(PUBLISHERS)]
    await asyncio.gather(*publishing, *(deliver(store, lane) for lane in lanes))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
