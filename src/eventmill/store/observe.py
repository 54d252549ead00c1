"""Looking back in the store: traces, attempts, what ended undelivered, and what is counted for health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from eventmill.core.health import Tally
from eventmill.model import Lane
from eventmill.store.work import Ended, Gap, TraceRecord


class AttemptBlock(msgspec.Struct, frozen=True):
    lane: Lane
    attempts: bytes


class ObserveStore(Protocol):
    async def traces(self, lane: Lane) -> list[TraceRecord]:
        """Newest first, successes and errors together."""

    async def add_traces(self, lane: Lane, traces: Sequence[TraceRecord]) -> None:
        """Traces of attempts made outside delivery (challenges)."""

    async def ended(self, lane: Lane, limit: int) -> list[Ended]: ...

    async def gaps(self, lane: Lane) -> list[Gap]: ...

    async def attempts(self, lane: Lane, limit: int) -> list[AttemptBlock]:
        """Newest blocks first."""

    async def counts(self, lane: Lane, since_ms: int) -> tuple[int, int]:
        """(successful, failed) attempts in the 5-minute buckets from `since_ms` on."""

    async def health_tallies(self, lane: Lane, since_ms: int) -> list[Tally]:
        """The buckets that begin at `since_ms` or later, and not before the last `EnableLane`, oldest first.

        Buckets are of 5 minutes, but for those that an `EnableLane` or `SplitTallies` began: none lies across one."""

    async def counted(self) -> dict[Lane, bool]:
        """*System*: the lanes whose tallies grew, durably, since the last call or the start; True where a failure was
        among them. For one caller in the writing process."""
