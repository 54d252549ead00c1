"""Which attempts Debug Tracing shows: read from the address, and written into the addresses of its links."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import msgspec

from eventmill.ui.visit import Visit

TIMES: Mapping[str, tuple[str, int, int | None]] = MappingProxyType(
    {
        "0-2": ("0-2 s", 0, 2000),
        "2-4": ("2-4 s", 2000, 4000),
        "4": ("> 4 s", 4000, None),
        "10": ("> 10 s", 10_000, None),
    }
)
"""What is shown, and the response times in milliseconds, from and below."""
RETRIES: Mapping[str, str] = MappingProxyType({"only": "retries only", "without": "all but retries"})
_CODES_MAX = 40


class Attempted(Protocol):
    ok: bool
    status: int
    duration_ms: int
    retry: str
    id: str
    event_ids: str


class TraceFilter(msgspec.Struct, frozen=True):
    outcome: str = ""
    """`success` or `error`; empty: both."""
    codes: tuple[int, ...] = ()
    """None: any."""
    time: str = ""
    retries: str = ""
    q: str = ""
    """Part of an event id or a delivery id."""
    after: str = ""

    @property
    def is_any(self) -> bool:
        return self.query() == {}

    def lets_through(self, attempt: Attempted) -> bool:
        if self.outcome and attempt.ok != (self.outcome == "success"):
            return False
        if self.codes and attempt.status not in self.codes:
            return False
        if self.time:
            _, least, below = TIMES[self.time]
            if attempt.duration_ms < least or (below is not None and attempt.duration_ms >= below):
                return False
        if self.retries and bool(attempt.retry) != (self.retries == "only"):
            return False
        return not self.q or self.q.lower() in f"{attempt.id} {attempt.event_ids}".lower()

    def with_code(self, code: int) -> tuple[int, ...]:
        """The codes once this one was clicked."""
        return tuple(each for each in self.codes if each != code) if code in self.codes else (*self.codes, code)

    def query(self, **change: object) -> dict[str, str]:
        """Of the address with one thing changed; a change begins at the first page."""
        changed = msgspec.structs.replace(self, **{"after": "", **change})
        codes = ",".join(str(each) for each in sorted(changed.codes))
        told = {"outcome": changed.outcome, "codes": codes, "time": changed.time, "retries": changed.retries}
        return {name: value for name, value in {**told, "q": changed.q, "after": changed.after}.items() if value}


def read_filter(visit: Visit) -> TraceFilter:
    """What means nothing is passed over."""
    codes = [each for each in visit.query("codes").split(",")[:_CODES_MAX] if each.isascii() and each.isdecimal()]
    return TraceFilter(
        outcome=_one_of(visit.query("outcome"), ("success", "error")),
        codes=tuple(int(each) for each in codes if len(each) <= 3),
        time=_one_of(visit.query("time"), TIMES),
        retries=_one_of(visit.query("retries"), RETRIES),
        q=visit.query("q"),
        after=visit.query("after"),
    )


def _one_of(value: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    return value if value in known else ""
