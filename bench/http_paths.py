"""Publishing and journal pages, each beside the bare server in the same round."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bare import save_page
from gateway import Gateway, call
from processes import BENCH, Process, free_port, listens, run_tool, wait_for
from report import Row, progress

CONNECTIONS = 64
PAGE_EVENTS = 100
PAGES = 100
Found = TypeVar("Found")


def bench_publish(directory: Path, rounds: int, seconds: float) -> list[Row]:
    """Durable publishing of 1 KB events to one journal registration, beside the server that only says OK."""
    row = Row("publish, 64 connections", "events/s", 0.4, over="bare server")
    p50 = Row("publish, p50 of an answer", "ms", None, over="bare server")
    p99 = Row("publish, p99 of an answer", "ms", None, over="bare server")
    port = free_port()
    with Gateway(directory / "publish") as gateway, Process(str(BENCH / "bare.py"), str(port)):
        gateway.register("journal", "journal")
        wait_for(lambda: listens(port), 10, "the bare server's start")
        files = (gateway.head_file(), gateway.event_file())
        for number in range(rounds):
            progress(f"publish: round {number + 1} of {rounds}")
            base, ours = in_turns(
                number,
                lambda: publish(port, files, seconds=seconds),
                lambda: publish(gateway.port, files, seconds=seconds),
            )
            row.add(ours["per_s"], base["per_s"])
            p50.add(ours["p50_ms"], base["p50_ms"])
            p99.add(ours["p99_ms"], base["p99_ms"])
    return [row, p50, p99]


def publish(port: int, files: tuple[Path, Path], *, seconds: float = 0, count: int = 0) -> dict[str, float]:
    """For so many seconds, or so many events."""
    args = ["--count", count, "--seconds", 3600] if count else ["--seconds", seconds]
    limit_s = 60 + seconds + count / 200
    found: dict[str, float] = run_tool(
        "load.py", "publish", port, *files, "--connections", CONNECTIONS, *args, seconds_max=limit_s
    )
    return found


def bench_journal(directory: Path, rounds: int, seconds: float) -> list[Row]:
    """Pages of 100 events on one connection, following `next`, beside the server that sends such a page from memory."""
    row = Row("journal, pages of 100 x 1 KB, 1 connection", "pages/s", 0.5, over="bare server")
    port = free_port()
    with Gateway(directory / "journal") as gateway:
        path = gateway.register("journal", "journal")
        files = (gateway.head_file(), gateway.event_file())
        publish(gateway.port, files, count=PAGES * PAGE_EVENTS)
        start = f"{path}?limit={PAGE_EVENTS}"
        page = directory / "page"
        headers, body = call("GET", gateway.url + start, gateway.headers)
        wanted = [(name, value) for name, value in headers.items() if name.lower() not in {"date", "connection"}]
        save_page(page, wanted, body)
        with Process(str(BENCH / "bare.py"), str(port), str(page)):
            wait_for(lambda: listens(port), 10, "the bare server's start")
            for number in range(rounds):
                progress(f"journal: round {number + 1} of {rounds}")
                base, ours = in_turns(
                    number,
                    lambda: read_journal(port, files[0], start, seconds),
                    lambda: read_journal(gateway.port, files[0], start, seconds),
                )
                row.add(ours, base)
    return [row]


def read_journal(port: int, head: Path, path: str, seconds: float) -> float:
    found = run_tool("load.py", "journal", port, head, path, "--seconds", seconds, seconds_max=60 + seconds)
    return float(found["per_s"])


def in_turns(number: int, first: Callable[[], Found], second: Callable[[], Found]) -> tuple[Found, Found]:
    """Both measurements, in changing order: what drifts slowly hits both alike."""
    if number % 2:
        later = second()
        return first(), later
    return first(), second()
