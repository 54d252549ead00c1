"""How soon readers that wait (`Prefer: wait=30`) have an event, from the moment its publisher began to send it."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

from gateway import Gateway
from processes import run_tool
from report import Row, progress

RATE = 500
READERS = 10
PUBLISHERS = 32


def bench_longpoll(directory: Path, rounds: int, seconds: float) -> list[Row]:
    p50 = Row(f"long poll, {READERS} readers at {RATE} events/s, p50 from send to read", "ms", None)
    p99 = Row(f"long poll, {READERS} readers at {RATE} events/s, p99 from send to read", "ms", 50, at_most=True)
    answer = Row("long poll, p99 of the publisher's own answer meanwhile", "ms", None)
    with Gateway(directory / "longpoll") as gateway:
        paths = [gateway.register(f"journal-{number}", "journal", codes=(number,)) for number in range(READERS)]
        plan = directory / "longpoll.json"
        events = [json.loads(gateway.event_file(code).read_bytes()) for code in range(READERS)]
        plan.write_text(json.dumps({"url": gateway.url, "headers": gateway.headers, "paths": paths, "events": events}))
        for number in range(rounds):
            progress(f"longpoll: round {number + 1} of {rounds}")
            found = run_tool("longpoll.py", plan, "--seconds", seconds, seconds_max=60 + seconds)
            p50.add(found["p50_ms"])
            p99.add(found["p99_ms"])
            answer.add(found["answer_p99_ms"])
    return [p50, p99, answer]


async def read(session: Any, url: str, path: str, headers: dict[str, str], found: list[float]) -> None:
    """Until it is cancelled."""
    following = f"{path}?latest=true"
    while True:
        async with session.get(url + following, headers={**headers, "prefer": "wait=30"}) as response:
            body = await response.read()
            now_s = time.monotonic()
            following = next(
                value.partition(">")[0].removeprefix("<")
                for value in response.headers.getall("link")
                if value.endswith('rel="next"')
            )
        if response.status == 200:
            found += [now_s - entry["event"]["data"]["sent_s"] for entry in json.loads(body)["events"]]


async def publish(session: Any, url: str, headers: dict[str, str], events: list[Any], ends_s: float) -> list[float]:
    """Open loop: an event every 1 / RATE s, however long the answers take, for each reader in turn. Returns how long
    they took."""
    free = asyncio.Semaphore(PUBLISHERS)
    sent = 0
    took: list[float] = []
    at_s = time.monotonic()

    async def send(number: int) -> None:
        sent_s = time.monotonic()
        body = json.dumps({**events[number % len(events)], "data": {"sent_s": sent_s}}).encode()
        async with session.post(url + "/", data=body, headers=headers) as response:
            assert response.status == 200, await response.text()
        took.append(time.monotonic() - sent_s)
        free.release()

    async with asyncio.TaskGroup() as sending:
        while at_s < ends_s:
            await free.acquire()
            sending.create_task(send(sent))
            sent += 1
            at_s += 1 / RATE
            await asyncio.sleep(max(0.0, at_s - time.monotonic()))
    return took


async def measure(plan: dict[str, Any], seconds: float) -> dict[str, float]:
    import aiohttp

    url, headers = plan["url"], {**plan["headers"], "content-type": "application/cloudevents+json"}
    found: list[float] = []
    ends_s = time.monotonic() + 1 + seconds
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        readers = [asyncio.create_task(read(session, url, path, plan["headers"], found)) for path in plan["paths"]]
        await asyncio.sleep(0.5)  # until they wait
        took = await publish(session, url, headers, plan["events"], ends_s - 0.2)
        await asyncio.sleep(0.3)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    assert len(found) == len(took), f"{len(took)} were sent, but {len(found)} read"
    return {
        "p50_ms": percentile_ms(found, 50),
        "p99_ms": percentile_ms(found, 99),
        "answer_p99_ms": percentile_ms(took, 99),
    }


def percentile_ms(seconds: list[float], percent: int) -> float:
    return sorted(seconds)[len(seconds) * percent // 100] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description="Publish and wait for it; prints figures as JSON.")
    parser.add_argument("plan", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    args = parser.parse_args()
    print(json.dumps(asyncio.run(measure(json.loads(args.plan.read_text()), args.seconds))))


if __name__ == "__main__":
    main()
