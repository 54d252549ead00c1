"""What the processes take: memory after many events, CPU when nothing happens, time until ready."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from deliveries import BATCH, Drain
from gateway import Gateway
from http_paths import publish
from processes import (
    BENCH,
    Process,
    cpu_s,
    free_port,
    listens,
    peak_rss_mb,
    rss_mb,
    wait_for,
)
from report import Row, progress

SLICE_EVENTS = 50_000
IDLE_S = 10.0


def bench_memory(directory: Path, events: int) -> list[Row]:
    """Publish and deliver in batches, then look at the processes; afterwards let them idle."""
    sink_port = free_port()
    with Process(str(BENCH / "sink.py"), str(sink_port)), Gateway(directory / "memory") as gateway:
        wait_for(lambda: listens(sink_port), 10, "the sink's start")
        drain = Drain(gateway, sink_port)
        files = (gateway.head_file(), gateway.event_file(BATCH))
        for done in range(0, events, SLICE_EVENTS):
            progress(f"memory: {done:,} of {events:,} events published")
            publish(gateway.port, files, count=min(SLICE_EVENTS, events - done))
        progress(f"memory: waiting for {events:,} deliveries")
        wait_for(lambda: drain.counts()["events"] >= events, 60 + events / 500, "the deliveries", 0.5)
        pids = {"front": gateway.front}
        pids |= {f"delivery process {number + 1}": pid for number, pid in enumerate(gateway.delivery())}
        rows = []
        for name, pid in pids.items():
            rows.append(Row(f"memory after {events:,} events, {name}", "MB", 120, at_most=True))
            rows[-1].add(rss_mb(pid))
            rows.append(Row(f"its peak, {name}", "MB", None))
            rows[-1].add(peak_rss_mb(pid))
        return [*rows, _idle(list(pids.values()))]


def _idle(pids: list[int]) -> Row:
    row = Row("idle, all processes", "% of a core", 1, at_most=True)
    progress(f"memory: idling for {IDLE_S:.0f} s")
    time.sleep(3)
    before_s = sum(map(cpu_s, pids))
    time.sleep(IDLE_S)
    row.add((sum(map(cpu_s, pids)) - before_s) / IDLE_S * 100)
    return row


def bench_start(directory: Path, rounds: int) -> list[Row]:
    """From the process's creation to the first 200 of /readyz, `serve --dev`; and all of `eventmill --help`."""
    first = Row("ready, dev mode, first start", "s", 1, at_most=True)
    second = Row("ready, dev mode, second start", "s", 1, at_most=True)
    for number in range(rounds):
        progress(f"start: round {number + 1} of {rounds}")
        data = directory / f"start{number}"
        first.add(_ready_s(data))
        second.add(_ready_s(data))
    return [first, second, *_bench_help(rounds)]


def _bench_help(rounds: int) -> list[Row]:
    """What a keystroke costs. CPU time is the same on a machine that has other things to do."""
    took = Row("`eventmill --help`", "ms", 150, at_most=True)
    busy = Row("its CPU time", "ms", 150, at_most=True)
    command = [sys.executable, "-m", "eventmill", "--help"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)  # compiles what was not compiled yet
    for _ in range(3 * rounds):
        before_s, began_s = _children_cpu_s(), time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        took.add((time.perf_counter() - began_s) * 1000)
        busy.add((_children_cpu_s() - before_s) * 1000)
    return [took, busy]


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ready_s(data: Path) -> float:
    gateway = Gateway(data, dev=True)
    started_s = time.perf_counter()
    with gateway:
        return time.perf_counter() - started_s
