"""Webhook deliveries: draining a backlog, single and in batches, and the lag of a quiet stream."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from gateway import Gateway, call
from http_paths import publish
from load import percentile
from processes import BENCH, Process, free_port, listens, run_tool, wait_for
from report import Row, progress

SINGLE, BATCH = 0, 1
"""Event codes with a registration of their own."""
SEVERAL = (2, 3, 4, 5)
LAG_EVENTS_PER_S = 100


class Drain:
    """A gateway whose delivery is stopped while a backlog is published, and timed from its resumption on."""

    def __init__(self, gateway: Gateway, sink_port: int) -> None:
        self.gateway = gateway
        self._sink = f"http://127.0.0.1:{sink_port}"
        self._head = gateway.head_file()
        gateway.register("single", "webhook", sink_port, (SINGLE,))
        gateway.register("batch", "webhook_batch", sink_port, (BATCH,))
        for code in SEVERAL:
            gateway.register(f"several{code}", "webhook", sink_port, (code,))

    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(call("GET", f"{self._sink}/counts")[1])
        return found

    def per_s(self, events: int, codes: tuple[int, ...]) -> float:
        """Events a second from the resumption to the last event's arrival, `events` in all."""
        call("GET", f"{self._sink}/reset")
        self.gateway.pause_delivery()
        for code in codes:
            publish(self.gateway.port, (self._head, self.gateway.event_file(code)), count=events // len(codes))
        resumed_s = self.gateway.resume_delivery()
        wait_for(lambda: self.counts()["events"] >= events, 60 + events / 50, f"{events} deliveries", 0.1)
        time.sleep(0.3)  # the last checkpoint, and duplicates if there were any
        found = self.counts()
        if found["events"] != events:
            raise SystemExit(f"{found['events']} deliveries of {events} events: something was sent twice")
        return events / float(found["last_s"] - resumed_s)

    def lags_ms(self, seconds: float) -> list[float]:
        """From just before each publish request to the arrival of its delivery, at an even and moderate rate."""
        call("GET", f"{self._sink}/reset")
        args = ("--rate", LAG_EVENTS_PER_S, "--seconds", seconds, "--connections", 1)
        files = (self._head, self.gateway.event_file(SINGLE))
        sent = run_tool("load.py", "pace", self.gateway.port, *files, *args, seconds_max=60 + seconds)
        wait_for(lambda: self.counts()["events"] >= sent["total"], 30, "the paced deliveries", 0.1)
        return sorted(self.counts()["lags_ms"])


def bench_deliver(directory: Path, rounds: int, seconds: float, names: list[str]) -> list[Row]:
    """With one delivery process and with two. Single deliveries are timed always: they are the measure of batches."""
    rows: list[Row] = []
    for processes in (1, 2):
        sink_port = free_port()
        with (
            Process(str(BENCH / "sink.py"), str(sink_port)),
            Gateway(directory / f"deliver{processes}", processes) as gateway,
        ):
            wait_for(lambda port=sink_port: listens(port), 10, "the sink's start")  # type: ignore[misc]
            drain = Drain(gateway, sink_port)
            name = f"{processes} delivery process{'es' if processes > 1 else ''}"
            rows += _measure(drain, name, rounds, seconds, names)
    return rows


def _measure(drain: Drain, name: str, rounds: int, seconds: float, names: list[str]) -> list[Row]:
    single = Row(f"single, 1 registration, {name}", "events/s", 0.5, over="2 RSA signatures, all cores")
    several = Row(f"single, 4 registrations, {name}", "events/s", 0.5, over="2 RSA signatures, all cores")
    batch = Row(f"batch, 1 registration, {name}", "events/s", 8, over="single")
    p50 = Row(f"publish to arrival at {LAG_EVENTS_PER_S}/s, p50, {name}", "ms", None)
    p99 = Row(f"publish to arrival at {LAG_EVENTS_PER_S}/s, p99, {name}", "ms", None)
    events = int(500 * seconds)
    body = drain.gateway.event_file(SINGLE)
    for number in range(rounds):
        progress(f"deliver: {name}, round {number + 1} of {rounds}")
        limit = float(run_tool("signing.py", seconds, body, seconds_max=60 + seconds))
        one = drain.per_s(events, (SINGLE,))
        single.add(one, limit)
        if "deliver" in names:
            several.add(drain.per_s(events, SEVERAL), limit)
            lags = drain.lags_ms(seconds)
            p50.add(percentile(lags, 0.5))
            p99.add(percentile(lags, 0.99))
        if "batch" in names:
            batch.add(drain.per_s(events * 10, (BATCH,)), one)
    return [row for row in (single, several, p50, p99, batch) if row.ours]
