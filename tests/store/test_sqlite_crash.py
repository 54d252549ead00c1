"""SQLite engine: SIGKILL at random moments under full load loses nothing that was acknowledged."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventmill.model import Lane
from eventmill.store.base import Store
from tests.store import crash_writer
from tests.store.builders import ORG, Stores, positions
from tests.store.conftest import open_sqlite, open_sqlite_small

pytestmark = pytest.mark.anyio
KILLS = 60 if os.environ.get("EVENTMILL_E2E") == "full" else 5


class Report:
    """Everything that was acknowledged so far."""

    def __init__(self) -> None:
        self.lanes: list[Lane] = []
        self.acked: dict[int, int] = {}
        self.marks: dict[int, int] = {}
        self.units: dict[int, set[int]] = {}

    def note(self, line: str) -> None:
        match line.split():
            case ["lanes", *lanes]:
                self.lanes = [Lane(int(lane)) for lane in lanes]
            case ["acked", call, seq]:
                self.acked[int(call)] = int(seq)
            case ["mark", lane, seq]:
                self.marks[int(lane)] = int(seq)
            case ["unit", lane, seq]:
                self.units.setdefault(int(lane), set()).add(int(seq))


def killed_run(data: Path, first_call: int, lines: int) -> Iterator[str]:
    """Lines of a writer that is killed once it has said so many; those still in the pipe are acknowledgements too."""
    command = [sys.executable, crash_writer.__file__, str(data), str(first_call)]
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    with victim.stdout:
        for number, line in enumerate(victim.stdout):
            if number == lines:
                victim.kill()
            if line.endswith("\n"):
                yield line
    assert victim.wait() == -9


async def check(store: Store, report: Report) -> None:
    log = (await store.read_log(0, 0, 1 << 30)).entries
    assert [entry.seq for entry in log] == list(range(1, len(log) + 1))
    head = (await store.head(0)).seq
    assert head == len(log)
    calls: dict[int, list[tuple[int, int]]] = {}
    for at in range(1, head + 1, 500):
        for stored in await store.fetch(0, list(range(at, min(at + 500, head + 1)))):
            call, index = int.from_bytes(stored.event_id[:8], "big"), int.from_bytes(stored.event_id[8:], "big")
            calls.setdefault(call, []).append((index, stored.seq))
            assert log[stored.seq - 1].lanes == crash_writer.lanes_of(call, report.lanes)
            assert len(stored.body) == call * 37 % 3000
    for call, found in calls.items():  # no part of a call, nothing twice
        first_seq = found[0][1]
        assert found == [(index, first_seq + index) for index in range(crash_writer.size_of(call))]
    assert {call: calls[call][0][1] for call in report.acked} == report.acked
    for lane in report.lanes:
        wanted = [entry.seq for entry in log if lane in entry.lanes]
        assert await positions(store, lane, page=997) == wanted
        assert await store.lane_page(lane, 0, 1 << 30) == wanted
        assert await store.count_after(lane, 0, 1 << 30) == len(wanted)
        record = await store.lane(lane)
        assert record is not None
        assert report.marks.get(lane, 0) <= record.mark <= head
        units = {each.positions[0] for each in await store.due_units(lane, 1 << 60, 1 << 30)}
        assert report.units.get(lane, set()) <= units
        assert all(seq <= record.mark for seq in units)
    assert store.stored_bytes(ORG) == sum(call * 37 % 3000 * len(found) for call, found in calls.items())


async def test_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    """Again and again killed under load and reopened: every acknowledged call is there whole, exactly once, at its
    position and in its journals; no call is there in part; acknowledged progress stands and is never ahead of the
    events; positions go on without a hole."""
    report = Report()
    stores = Stores(open_sqlite, tmp_path / "data")
    stores.clock.at_ms = 0
    first_call = 0
    for number in range(KILLS):
        for line in killed_run(stores.data, first_call, random.randint(1, 1500)):
            report.note(line)
        first_call += 100_000
        if number < KILLS - 1 and random.random() < 0.3:
            continue  # two crashes in a row, no orderly close in between
        stores._engine = open_sqlite if number % 2 else open_sqlite_small
        async with stores.opened() as store:
            await check(store, report)
    assert report.acked
