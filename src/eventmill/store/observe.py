"""Looking back in the store: traces, attempts, what ended undelivered, and what is counted for health."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, Protocol

import msgspec

from eventmill.core.health import Tally
from eventmill.model import Lane, OrgId
from eventmill.store.work import Ended, EndedOutcome, Gap, TraceRecord


class AttemptBlock(msgspec.Struct, frozen=True):
    lane: Lane
    attempts: bytes


WhyUnmatched = Literal["unknown_event_code", "no_registration", "filtered"]


class UnmatchedEvent(msgspec.Struct, frozen=True, gc=False):
    """A published event that nobody was to get."""

    event_id: bytes
    """That it would have had: UUIDv7, 16 bytes."""
    published_id: str
    """Its publisher's."""
    at_ms: int
    """Business time."""
    provider_id: str
    provider_label: str
    event_code: str
    client_id: str
    """Api key of the publisher."""
    why: WhyUnmatched


class UnmatchedBatch(msgspec.Struct, frozen=True):
    """Those of one organisation, of about the same time."""

    org: OrgId
    events: tuple[UnmatchedEvent, ...]
    """The newest, oldest first."""
    count: int
    """All of them."""


class EndedPosition(msgspec.Struct, frozen=True):
    """One position of an `Ended`."""

    seq: int
    outcome: EndedOutcome
    cause: int
    at_ms: int
    replay: bytes


class ReplayTally(msgspec.Struct, frozen=True):
    """What became of the positions that `PutUnits` handed out under one `RetryUnit.replay`; the rest was delivered."""

    handed: int = 0
    waiting: int = 0
    """In units whose first attempt is yet to come, or under way."""
    retrying: int = 0
    """In units that wait for a retry."""
    failed: int = 0
    """Ended undelivered; also counted when they were taken out of view again since."""

    @property
    def delivered(self) -> int:
        return self.handed - self.waiting - self.retrying - self.failed


class Waiting(msgspec.Struct, frozen=True):
    """What a lane still has to deliver."""

    lane: Lane
    registration_id: str
    since_ms: int
    """When the oldest of it was appended, or first attempted when it waits for a retry; business time."""


class Backlog(msgspec.Struct, frozen=True):
    units: int
    """Delivery units that wait for another attempt, on all lanes."""
    oldest: tuple[Waiting, ...]
    """The lanes that have waited longest, longest first."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A process that has the store open beside others."""

    id: str
    version: str
    """Of its program."""
    slots: int
    """That it holds."""
    is_this: bool
    presides: bool
    """Does now what is done once for all of them."""
    seen_s: float
    """How long ago it gave a sign, in machine time."""


class Totals(msgspec.Struct):
    """Counted since the process started, once durable."""

    events: int = 0
    succeeded: int = 0
    """Attempts; likewise the next."""
    failed: int = 0
    refused: int = 0
    """Events that delivery ended so; likewise the next two."""
    gave_up: int = 0
    expired: int = 0
    dropped_segments: int = 0
    stored_bytes: int = 0
    """Of event bodies, now."""
    disk_free_bytes: int | None = None
    """None: the store is elsewhere, and nobody here knows."""


class ObserveStore(Protocol):
    async def traces(self, lane: Lane) -> list[TraceRecord]:
        """Newest first, successes and errors together."""

    async def add_traces(self, lane: Lane, traces: Sequence[TraceRecord]) -> None:
        """Traces of attempts made outside delivery (challenges)."""

    async def ended(self, lane: Lane, limit: int) -> list[Ended]:
        """Newest first."""

    async def ended_after(self, lane: Lane, after: int, limit: int) -> list[EndedPosition]:
        """The lowest positions > after that ended undelivered, ascending; each once."""

    async def count_ended(self, lane: Lane, after: int, upto: int) -> dict[EndedOutcome, int]:
        """How many positions in (after, upto] ended undelivered, by outcome; outcomes of none are missing."""

    async def gaps(self, lane: Lane) -> list[Gap]:
        """By position."""

    async def replay_tally(self, replay: bytes) -> ReplayTally:
        """All zero for an unknown one. Kept for as long as records of ends are, and while the lane exists."""

    async def attempts(self, lane: Lane, limit: int) -> list[AttemptBlock]:
        """Newest blocks first."""

    async def attempts_at(self, lane: Lane, seq: int) -> list[AttemptBlock]:
        """Blocks that hold attempts of the position, oldest first, and possibly others. A long search goes in steps, so
        that it holds up nobody."""

    async def counts(self, lane: Lane, since_ms: int) -> tuple[int, int]:
        """(successful, failed) attempts in the 5-minute buckets from `since_ms` on."""

    async def health_tallies(self, lane: Lane, since_ms: int) -> list[Tally]:
        """The buckets that begin at `since_ms` or later, and not before the last `EnableLane`, oldest first.

        Buckets are of 5 minutes, but for those that an `EnableLane` or `SplitTallies` began: none lies across one."""

    async def lanes_with_failures(self, since_ms: int) -> set[Lane]:
        """*System*: those with failed attempts, or given-up events, in the buckets from `since_ms` on. Possibly others
        whose failures a later `EnableLane` made void. In one read that holds up nobody."""

    async def counted(self, watched: Collection[Lane]) -> set[Lane]:
        """*System*: the lanes whose tallies grew by a failure, durably, since the last call or about the start; of the
        watched ones also those that grew by successes. Possibly others. For one caller in a process that writes."""

    async def drop_observed(self, traces_before_ms: int, unmatched_before_ms: int) -> None:
        """*System*: forget older traces and unmatched events, and those unmatched events that are beyond what all
        organisations together may have remembered."""

    async def note_unmatched(self, batches: Sequence[UnmatchedBatch]) -> None:
        """*System*: remember the newest of each organisation, and count all of them."""

    async def unmatched(self, org: OrgId, since_ms: int, limit: int) -> list[UnmatchedEvent]:
        """Newest first."""

    async def count_unmatched(self, org: OrgId, since_ms: int) -> int:
        """By buckets of 5 minutes: those in the one of `since_ms` count from its start."""

    async def find_unmatched(self, org: OrgId, since_ms: int, event_id: str) -> UnmatchedEvent | None:
        """The newest with this id, be it ours, as text, or its publisher's."""

    async def backlog(self, limit: int) -> Backlog:
        """*System*: at most `limit` lanes. What a lane pushes counts from above its mark on, unless settled; of one
        that pushes nothing, its units only."""

    async def waiting_since(self, lane: Lane) -> int | None:
        """`Waiting.since_ms` of one lane; None when nothing waits."""

    async def nodes(self) -> list[Node]:
        """*System*: this one first; none where the store is this process's own."""

    async def totals(self) -> Totals:
        """*System*: for one caller in the writing process."""
