"""What matching filters costs per event, in a process of its own: reading the event and deciding, no store, no HTTP.

    python bench/filters.py [--seconds 1.0]

Prints one JSON object: microseconds per event of a code with 1, 100 and 2,500 filtered registrations, each with a
filter of its own, and the costliest verdict of a filter as large as the limits allow.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from itertools import cycle

from eventmill.core.ruler import BRANCHES_MAX, ITEMS_MAX, compile_filter
from eventmill.core.ruler_event import read_event
from eventmill.core.ruler_match import matches, view_event
from eventmill.flow.filters import LaneFilters
from eventmill.model import Lane

COUNTS = (1, 100, 2_500)
CODE = "com.acme.stock.low"


def text_of(number: int) -> str:
    """Filters as subscribers write them, in turns: a customer's events, a folder's files, a range of prices."""
    data: dict[str, object] = {"customer": [f"customer-{number}"]}
    if number % 5 == 3:
        data = {"file": {"path": [{"prefix": f"/store/{number}/"}], "name": [{"suffix": ".jpeg"}]}}
    elif number % 5 == 4:
        data = {"total": [{"numeric": [">", number, "<=", number + 10]}], "state": [{"anything-but": ["test"]}]}
    return json.dumps({"type": [CODE], "data": data})


def event_of(number: int) -> bytes:
    """About a kilobyte, as stored: without its end."""
    data = {
        "customer": f"customer-{number % 2_500}",
        "state": "open",
        "total": number % 2_500 + 0.5,
        "file": {"path": f"/store/{number % 2_500}/a.jpeg", "name": "a.jpeg", "size": 300_000},
        "items": [{"sku": f"SKU-{at}", "count": at, "price": at + 0.99} for at in range(8)],
        "note": "x" * 300,
    }
    event = {"specversion": "1.0", "id": str(number), "source": "urn:uuid:x", "type": CODE, "data": data}
    return json.dumps(event).encode()[:-1]


def largest_filters() -> Iterator[str]:
    """As large as the limits allow, and never satisfied by an event that is far too like."""
    yield json.dumps({"data": {"items": {"sku": [{"suffix": f"-{at:03}x"} for at in range(ITEMS_MAX)]}}})
    yield json.dumps({"data": {"note": [{"anything-but": {"prefix": "x" * (at % 20 + 1)}} for at in range(ITEMS_MAX)]}})
    yield json.dumps({"data": {"note": [{"equals-ignore-case": "X" * 20} for _ in range(ITEMS_MAX)]}})
    yield json.dumps({"data": {"total": [{"numeric": [">", 10_000 + at]} for at in range(ITEMS_MAX)]}})
    yield json.dumps({"data": {"note": [{"cidr": f"10.{at}.0.0/16"} for at in range(ITEMS_MAX)]}})
    halves = [{f"data.f{level}{side}": [{"exists": False}] for side in "ab"} for level in range(6)]
    ors = ",".join(
        '"$or":[' + ",".join(json.dumps({path: wanted}) for path, wanted in half.items()) + "]" for half in halves
    )
    assert 2 ** len(halves) <= BRANCHES_MAX
    yield "{" + ors + ',"data.items":{"sku":["SKU-1"],"count":[2],"price":[{"numeric":["<",5]}]}}'


def measure_us(one: Callable[[bytes], object], seconds: float) -> float:
    events = cycle([event_of(number) for number in range(200)])
    for _ in range(20):
        one(next(events))
    done, started_s = 0, time.perf_counter()
    while time.perf_counter() - started_s < seconds:
        for _ in range(20):
            one(next(events))
        done += 20
    return (time.perf_counter() - started_s) / done * 1e6


def with_filters(count: int) -> Callable[[bytes], object]:
    filters = {Lane(number): compile_filter(text_of(number)) for number in range(count)}
    index = LaneFilters((), filters, {})
    return lambda body: index.passing(body, legacy_fields=True)


def with_filter(text: str) -> Callable[[bytes], object]:
    wanted = compile_filter(text)
    return lambda body: matches(wanted, view_event(read_event(body + b"}"), wanted.paths))


def measure(seconds: float) -> dict[str, float]:
    found = {f"with_{count}_us": measure_us(with_filters(count), seconds) for count in COUNTS}
    found["largest_us"] = max(measure_us(with_filter(text), seconds / 4) for text in largest_filters())
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.0)
    print(json.dumps(measure(parser.parse_args().seconds)))


if __name__ == "__main__":
    main()
