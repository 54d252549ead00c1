"""What the control plane costs: checking the publisher's token, and listing every registration there may be."""

from __future__ import annotations

import json
from pathlib import Path

from bare import save_page
from gateway import ORG, PROJECT, WORKSPACE, Gateway, call
from http_paths import in_turns
from processes import BENCH, Process, free_port, listens, run_tool, wait_for
from report import Row, progress

REGISTRATIONS = 2500
"""As many as an organisation may have by default."""


def bench_tokens(directory: Path, rounds: int) -> list[Row]:
    """What a publish pays for its token, which is nearly always known, and what the first one of a token pays."""
    known = Row("token check of a publish", "us", 20, at_most=True)
    first = Row("token check, a token not seen before", "us", None, over="a known one")
    for number in range(rounds):
        progress(f"tokens: round {number + 1} of {rounds}")
        found: dict[str, float] = run_tool("token_check.py", directory / f"tokens-{number}", seconds_max=120)
        known.add(found["known_us"])
        first.add(found["first_us"], found["known_us"])
    return [known, first]


def bench_listing(directory: Path, rounds: int, seconds: float) -> list[Row]:
    """One answer with all registrations of a workspace, beside the server that sends those bytes from memory."""
    row = Row(f"listing {REGISTRATIONS:,} registrations", "ms", 3.0, at_most=True, over="bare server")
    port = free_port()
    path = f"/events/{ORG}/{PROJECT}/{WORKSPACE}/registrations"
    with Gateway(directory / "listing") as gateway:
        for number in range(REGISTRATIONS):
            if number % 250 == 0:
                progress(f"listing: registration {number} of {REGISTRATIONS}")
            gateway.register(f"registration {number}", "journal")
        head = gateway.head_file()
        page = directory / "listing" / "page"
        headers, body = call("GET", gateway.url + path, gateway.headers)
        listed = len(json.loads(body)["_embedded"]["registrations"])
        if listed != REGISTRATIONS:
            raise SystemExit(f"the listing holds {listed} registrations")
        wanted = [(name, value) for name, value in headers.items() if name.lower() not in {"date", "connection"}]
        save_page(page, wanted, body)
        with Process(str(BENCH / "bare.py"), str(port), str(page)):
            wait_for(lambda: listens(port), 10, "the bare server's start")
            for number in range(rounds):
                progress(f"listing: round {number + 1} of {rounds}")
                base, ours = in_turns(
                    number,
                    lambda: fetch_ms(port, head, path, seconds),
                    lambda: fetch_ms(gateway.port, head, path, seconds),
                )
                row.add(ours, base)
    return [row]


def fetch_ms(port: int, head: Path, path: str, seconds: float) -> float:
    found = run_tool("load.py", "fetch", port, head, path, "--seconds", seconds, seconds_max=60 + seconds)
    return float(found["p50_ms"])
