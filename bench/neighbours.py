"""Many registrations: what one whose endpoint hangs does to the others, and what they take when nothing happens."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gateway import Gateway, call
from http_paths import in_turns, publish
from load import percentile
from processes import BENCH, Process, cpu_s, free_port, listens, rss_mb, run_tool, wait_for
from report import Row, progress

HEALTHY = 99
HANGING = HEALTHY
"""Its event code; the healthy ones have those below."""
CAPACITY_EVENTS = 1500
CONNECTIONS = 8
IDLE_S = 20.0


class Neighbourhood:
    """A gateway with 99 registrations that each get events of their own code, and possibly one more that hangs."""

    def __init__(self, gateway: Gateway, sink_port: int) -> None:
        self.gateway = gateway
        self._sink = f"http://127.0.0.1:{sink_port}"
        self.head = gateway.head_file()
        for code in range(HEALTHY):
            gateway.register(f"healthy{code}", "webhook", sink_port, (code,))
        self._bodies = gateway.directory / "bodies"
        self._bodies.mkdir()
        for code in range(HEALTHY):
            gateway.event_file(code).rename(self._bodies / f"{code:03}")

    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(call("GET", f"{self._sink}/counts")[1])
        return found

    def capacity_per_s(self) -> float:
        """Events a second that are published and delivered when they are published as fast as they are taken."""
        call("GET", f"{self._sink}/reset")
        began_s = time.monotonic()
        sent = self._pace(1e6, CAPACITY_EVENTS / 1e6)
        wait_for(lambda: self.counts()["events"] >= sent, 60, "the deliveries", 0.1)
        return sent / float(self.counts()["last_s"] - began_s)

    def lags_ms(self, per_s: float, seconds: float) -> list[float]:
        """Ascending, from just before each publish request to the arrival of its delivery."""
        call("GET", f"{self._sink}/reset")
        sent = self._pace(per_s, seconds)
        wait_for(lambda: self.counts()["events"] >= sent, 60, "the paced deliveries", 0.1)
        return sorted(self.counts()["lags_ms"])

    def _pace(self, per_s: float, seconds: float) -> int:
        args = ("--rate", per_s, "--seconds", seconds, "--connections", CONNECTIONS)
        sent = run_tool("load.py", "pace", self.gateway.port, self.head, self._bodies, *args, seconds_max=60 + seconds)
        return int(sent["total"])


def bench_neighbour(directory: Path, rounds: int, seconds: float, waiting: int) -> list[Row]:
    """At half the load that is possible, beside a hanging endpoint with so many waiting events, and without it.

    Two gateways with a sink each, in turns; the other one's delivery is stopped meanwhile."""
    name = f"publish to arrival of {HEALTHY}, beside one that hangs with {waiting:,} waiting"
    p50 = Row(f"{name}, p50", "ms", 1.1, at_most=True, over="without it")
    p99 = Row(f"{name}, p99", "ms", 1.25, at_most=True, over="without it")
    load = Row("their load: half of what is possible", "events/s", None)
    ports = free_port(), free_port()
    with (
        Process(str(BENCH / "sink.py"), str(ports[0])),
        Process(str(BENCH / "sink.py"), str(ports[1])),
        Gateway(directory / "alone", codes=HEALTHY + 1) as first,
        Gateway(directory / "beside", codes=HEALTHY + 1) as second,
    ):
        for port in ports:
            wait_for(lambda port=port: listens(port), 10, "a sink's start")  # type: ignore[misc]
        progress("neighbour: registering")
        alone, beside = Neighbourhood(first, ports[0]), Neighbourhood(second, ports[1])
        second.register("hang", "webhook", ports[1], (HANGING,))
        per_s = alone.capacity_per_s() / 2
        load.add(per_s)
        progress(f"neighbour: publishing {waiting:,} events that will wait")
        publish(second.port, (beside.head, second.event_file(HANGING)), count=waiting)
        first.pause_delivery()
        for number in range(rounds):
            progress(f"neighbour: round {number + 1} of {rounds}")
            base, ours = in_turns(
                number,
                lambda: _measured(alone, beside, per_s, seconds),
                lambda: _measured(beside, alone, per_s, seconds),
            )
            p50.add(percentile(ours, 0.5), percentile(base, 0.5))
            p99.add(percentile(ours, 0.99), percentile(base, 0.99))
        first.resume_delivery()
        second.resume_delivery()
    return [load, p50, p99]


def _measured(chosen: Neighbourhood, other: Neighbourhood, per_s: float, seconds: float) -> list[float]:
    other.gateway.pause_delivery()
    chosen.gateway.resume_delivery()
    chosen.lags_ms(per_s, 0.5)  # connections are open again
    return chosen.lags_ms(per_s, seconds)


def bench_idle(directory: Path, registrations: int) -> list[Row]:
    """Started anew, with so many registrations that nothing is published for, and with none: the difference."""
    sink_port = free_port()
    memory = Row(f"{registrations:,} registrations with idle lanes, more memory, all processes", "MB", 40, at_most=True)
    cpu = Row("likewise, more CPU", "% of a core", 1, at_most=True)
    with Process(str(BENCH / "sink.py"), str(sink_port)):
        wait_for(lambda: listens(sink_port), 10, "the sink's start")
        none = _idle(Gateway(directory / "none"), "none")
        gateway = Gateway(directory / "many")
        with gateway:
            gateway.register("registration0", "webhook", sink_port)
            register = lambda number: gateway.register(f"registration{number}", "webhook", sink_port)  # noqa: E731
            with ThreadPoolExecutor(4) as pool:
                for number, _ in enumerate(pool.map(register, range(1, registrations)), 2):
                    if number % 1000 == 0:
                        progress(f"idle: {number:,} of {registrations:,} registered")
        many = _idle(gateway, f"{registrations:,}")
    memory.add(many[0] - none[0])
    cpu.add(many[1] - none[1])
    return [memory, cpu]


def _idle(gateway: Gateway, name: str) -> tuple[float, float]:
    """Memory in MB and CPU in percent of all processes."""
    with gateway:
        progress(f"idle: resting with {name}")
        pids = [gateway.front, *gateway.delivery()]
        _wait_for_rest(pids)
        before_s = sum(map(cpu_s, pids))
        time.sleep(IDLE_S)
        return sum(map(rss_mb, pids)), (sum(map(cpu_s, pids)) - before_s) / IDLE_S * 100


def _wait_for_rest(pids: list[int]) -> None:
    """A start looks at every registration once, at a tenth of a core; a minute is more than that takes."""
    until_s = time.monotonic() + 60
    spent_s = 1.0
    while spent_s > 0.04 and time.monotonic() < until_s:
        before_s = sum(map(cpu_s, pids))
        time.sleep(3)
        spent_s = sum(map(cpu_s, pids)) - before_s
