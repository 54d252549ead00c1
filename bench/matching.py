"""What filters cost: the time to decide about an event, by how many registrations of its code have one."""

from __future__ import annotations

from processes import run_tool
from report import Row, progress

COUNTS = (1, 100, 2_500)


def bench_filters(rounds: int, seconds: float) -> list[Row]:
    """Each count beside a single filter of the same round."""
    single = Row("filters: event, 1 filtered registration", "us", None)
    many = {
        count: Row(
            f"filters: event, {count:,} filtered registrations",
            "us",
            30.0 if count == COUNTS[-1] else None,
            at_most=True,
            over="one",
        )
        for count in COUNTS[1:]
    }
    largest = Row("filters: event, the costliest filter allowed", "us", 1000.0, at_most=True)
    for number in range(rounds):
        progress(f"filters: round {number + 1} of {rounds}")
        found: dict[str, float] = run_tool("filters.py", "--seconds", seconds / 4, seconds_max=120)
        single.add(found["with_1_us"])
        for count, row in many.items():
            row.add(found[f"with_{count}_us"], found["with_1_us"])
        largest.add(found["largest_us"])
    return [single, *many.values(), largest]
