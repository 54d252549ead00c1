"""Gateways over one PostgreSQL: what several cost beside one, and how one starts with very many registrations."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from gateway import Gateway, call
from http_paths import CONNECTIONS
from postgres_server import BenchServer, postgres
from processes import BENCH, Process, children_of, cpu_of_tree_s, free_port, listens, rss_mb, run_tool, wait_for
from report import Row, progress

NODES = (1, 2, 4)
_PUBLISHERS = max(NODES)
"""Each with an event code, a registration and a share of the connections; they turn to the nodes evenly."""


def bench_pgnodes(directory: Path, rounds: int, events: int) -> list[Row]:
    """The same events with one node, two and four: published singly, delivered in batches.

    All of them are up, each on a server of its own, and measured by turns: the speed of a machine changes within
    seconds by more than what is to be seen."""
    rate = {count: Row(f"published and delivered in batches, {_nodes(count)}", "events/s", None) for count in NODES}
    cpu = {
        count: Row(f"CPU of {_nodes(count)} and the database", "ms/event", 1.5, at_most=True, over="1 node")
        for count in NODES[1:]
    }
    share = Row("of it, the database's, 1 node", "ms/event", None)
    linked = Row("connections to the database, each of 4 nodes", "", None)
    sink_port = free_port()
    with Process(str(BENCH / "sink.py"), str(sink_port)), ExitStack() as stack:
        wait_for(lambda: listens(sink_port), 10, "the sink's start")
        clusters: dict[int, _Cluster] = {}
        for count in NODES:
            progress(f"pgnodes: starting {_nodes(count)}")
            server = stack.enter_context(postgres())
            clusters[count] = _Cluster(directory / f"pgnodes{count}", server, sink_port)
            clusters[count].start(stack, count)
        for number in range(rounds + 1):
            progress(f"pgnodes: round {number} of {rounds}")
            found = {count: cluster.measure(events) for count, cluster in clusters.items()}
            if number == 0:  # each connection keeps its plans from then on
                continue
            for count in NODES:
                rate[count].add(found[count]["per_s"])
                if count > 1:
                    cpu[count].add(found[count]["cpu_ms"], found[1]["cpu_ms"])
            share.add(found[1]["database_ms"])
        linked.add(found[NODES[-1]]["connections"])
    return [*rate.values(), *cpu.values(), share, linked]


def _nodes(count: int) -> str:
    return f"{count} node{'s' if count > 1 else ''}"


class _Cluster:
    """Nodes of one database."""

    def __init__(self, directory: Path, server: BenchServer, sink_port: int) -> None:
        self._directory = directory
        self._server = server
        self._nodes: list[Gateway] = []
        self._sink = f"http://127.0.0.1:{sink_port}"
        with Gateway(directory, store=server.dsn) as gateway:
            for code in range(_PUBLISHERS):
                gateway.register(f"code{code}", "webhook_batch", sink_port, (code,))
            self._head = gateway.head_file()
            self._bodies = [gateway.event_file(code) for code in range(_PUBLISHERS)]

    def start(self, stack: ExitStack, count: int) -> None:
        self._nodes = [stack.enter_context(Gateway(self._directory, store=self._server.dsn)) for _ in range(count)]

    def measure(self, events: int) -> dict[str, float]:
        nodes_s, database_s = self._cpu_s(), self._server.cpu_s()
        call("GET", f"{self._sink}/reset")
        started_s = time.monotonic()
        sent = self._publish(events)
        wait_for(lambda: self._counts()["events"] >= sent, 60 + sent / 100, "the deliveries", 0.1)
        time.sleep(0.5)  # the last checkpoint
        database_ms = (self._server.cpu_s() - database_s) * 1000 / sent
        return {
            "per_s": sent / (self._counts()["last_s"] - started_s),
            "cpu_ms": (self._cpu_s() - nodes_s) * 1000 / sent + database_ms,
            "database_ms": database_ms,
            "connections": self._server.connections() / len(self._nodes),
        }

    def _publish(self, events: int) -> int:
        def publish(number: int) -> None:
            port = self._nodes[number % len(self._nodes)].port
            ends = ("--connections", CONNECTIONS // _PUBLISHERS, "--count", events // _PUBLISHERS, "--seconds", 600)
            run_tool("load.py", "publish", port, self._head, self._bodies[number], *ends, seconds_max=660)

        with ThreadPoolExecutor(_PUBLISHERS) as pool:
            list(pool.map(publish, range(_PUBLISHERS)))
        return events // _PUBLISHERS * _PUBLISHERS

    def _counts(self) -> dict[str, float]:
        found: dict[str, float] = json.loads(call("GET", f"{self._sink}/counts")[1])
        return found

    def _cpu_s(self) -> float:
        return sum(cpu_of_tree_s(node.front) for node in self._nodes)


def bench_pgstart(directory: Path, registrations: int) -> list[Row]:
    """One node that owns every lane; its memory when it has taken all of them over."""
    ready = Row(f"ready with {registrations:,} registrations on PostgreSQL", "s", 10, at_most=True)
    memory = Row("its memory, all processes", "MB", 300, at_most=True)
    front = Row("of it, the front's", "MB", None)
    base = Row("memory with 1 registration, all processes", "MB", None)
    sink_port = free_port()
    with postgres() as server, Process(str(BENCH / "sink.py"), str(sink_port)):
        wait_for(lambda: listens(sink_port), 10, "the sink's start")
        gateway = Gateway(directory / "pgstart", store=server.dsn)
        with gateway:
            gateway.register("copied", "webhook", sink_port)
            base.add(_memory_mb(gateway))
        progress(f"pgstart: making {registrations:,} registrations")
        run_tool("postgres_filling.py", server.dsn, "registrations", registrations - 1, seconds_max=300)
        progress("pgstart: starting")
        started_s = time.perf_counter()
        with gateway:
            ready.add(time.perf_counter() - started_s)
            memory.add(_memory_at_rest_mb(gateway))
            front.add(rss_mb(gateway.front))
    return [ready, memory, front, base]


def _memory_mb(gateway: Gateway) -> float:
    return sum(map(rss_mb, [gateway.front, *children_of(gateway.front)]))


def _memory_at_rest_mb(gateway: Gateway) -> float:
    """Lanes are taken over after the start; the peak of that is what counts."""
    until_s = time.monotonic() + 60
    spent_s, peak_mb = 1.0, 0.0
    while spent_s > 0.1 and time.monotonic() < until_s:
        before_s = cpu_of_tree_s(gateway.front)
        time.sleep(2)
        spent_s = cpu_of_tree_s(gateway.front) - before_s
        peak_mb = max(peak_mb, _memory_mb(gateway))
    return peak_mb
