"""The event log in the store: accepted events in order, and the journal of every lane over them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from eventmill.model import DeliveryFormat, Lane, OrgId, Origin


class NewEvent(msgspec.Struct, frozen=True):
    """An accepted event on its way to the log."""

    org: OrgId
    event_id: bytes
    """UUIDv7, 16 bytes."""
    origin: Origin
    body: bytes
    """Pre-cut (`core.envelope`): everything but the recipient fields."""
    lanes: tuple[Lane, ...]
    """Matched registrations, ascending."""
    routing_epoch: int
    """Change epoch of the catalogue that was matched against: current unless the organisation changed after it."""
    audit_id: str = ""
    """The CloudEvents `id` of an event with protected health information, whose way is put on record (`store.audit`);
    empty: the event is not audited."""


class Head(msgspec.Struct, frozen=True):
    generation: int
    seq: int
    """Last assigned; 0 when nothing was ever appended."""
    day: int
    """Day of the shard's monotone last timestamp, as yyyymmdd."""


class Bounds(msgspec.Struct, frozen=True):
    """Where a lane's journal begins and ends, at one moment."""

    head: Head
    floor: int
    """Highest seq of the lane that was dropped by retention; 0 when none was."""


class Appended(msgspec.Struct, frozen=True):
    first_seq: int
    day: int


class StoredEvent(msgspec.Struct, frozen=True):
    seq: int
    day: int
    ts_ms: int
    """Business time of the append; monotone per shard."""
    event_id: bytes
    origin: Origin
    body: bytes


class EventOutline(msgspec.Struct, frozen=True):
    """A stored event without its body."""

    seq: int
    day: int
    ts_ms: int
    event_id: bytes
    origin: Origin
    body_bytes: int


class LogEntry(msgspec.Struct, frozen=True):
    seq: int
    lanes: tuple[int, ...]


class LogPage(msgspec.Struct, frozen=True):
    entries: list[LogEntry]
    epoch: int
    """Change epoch read after the entries: a catalogue at this epoch knows every lane in them."""


class JournalStretch(msgspec.Struct, frozen=True):
    """Neighbouring events of a page that share day and format, as columns: a page is joined from them, not walked."""

    day: int
    delivery_format: DeliveryFormat
    seqs: Sequence[int]
    bodies: Sequence[bytes]


class JournalPage(msgspec.Struct, frozen=True):
    stretches: list[JournalStretch]
    more: bool
    """Whether the lane holds events after the last one here."""
    floor: int = 0
    """Of the lane when the page was read: retention may have moved it since the caller asked for it."""

    @property
    def seqs(self) -> list[int]:
        return [seq for stretch in self.stretches for seq in stretch.seqs]


class EventLog(Protocol):
    def append_durable(self, events: Sequence[NewEvent]) -> Awaitable[Appended]:
        """All events (of one organisation) in one durable commit shared with other callers, or none. Consecutive seqs.

        Raises `RoutingStale`, `StoreUnavailable`. Awaiting may be abandoned; the append then still completes."""

    def refusal(self) -> Exception | None:
        """Why appends are refused now (disk reserve, failed fsync, closing), or None. Cheap; called per publish."""

    def stored_bytes(self, org: OrgId) -> int:
        """Bytes of bodies kept for the organisation. Cheap; called per publish when a quota is set."""

    def on_append(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back in the event loop when events may have been appended, whoever they are for, or documents changed,
        until the returned function is called. A hint: coalesced, possibly spurious; `head` and `read_log` show what it
        speaks of. What others append is not told to a process in which nobody waits."""

    async def shard(self, org: OrgId) -> int: ...

    async def head(self, shard: int) -> Head: ...

    async def bounds(self, shard: int, lane: Lane) -> Bounds: ...

    async def journal_page(self, lane: Lane, after: int, limit: int, bytes_max: int) -> JournalPage:
        """Events of the lane with seq > after: exactly min(limit, remaining), cut before the bodies exceed
        `bytes_max`, but at least one; none that retention has taken. The floor is the caller's to check."""

    async def floor(self, lane: Lane) -> int:
        """Highest seq of the lane that was dropped by retention; 0 when none was."""

    async def count_after(self, lane: Lane, after: int, at_most: int) -> int: ...

    async def count_between(self, lane: Lane, after: int, upto: int) -> int:
        """How many positions in (after, upto] the lane holds."""

    async def seek(self, shard: int, ts_ms: int) -> int:
        """A seq such that every event after it was appended at or after `ts_ms` (or slightly earlier)."""

    async def outlines(self, shard: int, seqs: Sequence[int]) -> list[EventOutline]:
        """Events by ascending position; those that expired are missing. No body is read."""

    async def find_event(self, org: OrgId, event_id: bytes) -> StoredEvent | None: ...

    async def expire(self, before_ms: int) -> int:
        """*System*: drop whole segments whose last event is older; returns how many. First, durably, positions that
        were never delivered are recorded as `expired`, those of gaps (but `PULLED` ones) included and out of their
        gaps; lane floors and marks move past."""
