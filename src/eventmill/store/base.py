"""The store protocol: what the stages need, shaped so that each engine can give it in one commit.

Words: a *shard* is a domain of append order (organisation -> shard; one in SQLite, many in PostgreSQL). A *position* is
(shard, seq); `seq` grows by one per event of the shard and never falls back, not even when everything expired. A *lane*
is one registration's way out. A *slot* is a share of the lanes, leased to one delivery process with a fencing epoch.

Promises every engine keeps (the conformance suite in tests/store checks them):
- `append_durable` returns only when the events, and their place in every matched lane's journal, survive a power cut.
- An append whose routing epoch is below its organisation's (the epoch of its last change) raises `RoutingStale` and
  leaves nothing behind.
- A control write and the raise of its organisations' routing epochs are one transaction.
- A work commit is one transaction, applied only while the lease's epoch is current.
- No method without the organisation, except those marked *system*, which no request handler may call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from eventmill.core.health import Tally
from eventmill.model import DeliveryFormat, Lane, OrgId, Origin

SLOTS = 1024
"""Number of slots; a lane belongs to slot `lane % SLOTS`."""


# --- Catalogue -------------------------------------------------------------------------------------------------------

Kind = Literal[
    "organization",
    "project",
    "workspace",
    "credential",
    "provider",
    "event_metadata",
    "registration",
    "signing_key",
    "revocation",
    "notice",
]


class Key(msgspec.Struct, frozen=True):
    """A name under which a document can be listed, and, with `at_most`, counted or made unique in its organisation."""

    name: str
    value: str
    at_most: int = 0
    """0: no limit. 1: unique, a second holder raises `Conflict`. n: the n+1st raises `LimitReached`."""


class Versioned(msgspec.Struct, frozen=True):
    kind: Kind
    org: OrgId
    id: str
    version: int
    doc: bytes


class Create(msgspec.Struct, frozen=True, tag=True):
    """Raises `Conflict` when the id or a unique key exists."""

    kind: Kind
    org: OrgId
    id: str
    doc: bytes
    keys: tuple[Key, ...] = ()


class Replace(msgspec.Struct, frozen=True, tag=True):
    """Replaces document and keys (None: they stay); raises `StaleVersion` unless the stored version is `if_version`."""

    kind: Kind
    org: OrgId
    id: str
    doc: bytes
    if_version: int
    keys: tuple[Key, ...] | None = ()


class Delete(msgspec.Struct, frozen=True, tag=True):
    """Raises `StaleVersion` when `if_version` is given and differs, and when there is nothing to delete."""

    kind: Kind
    org: OrgId
    id: str
    if_version: int | None = None


class Require(msgspec.Struct, frozen=True, tag=True):
    """Raises `NOT_FOUND` unless the document exists: what is created below it cannot be orphaned by its deletion."""

    kind: Kind
    org: OrgId
    id: str


class RequireNone(msgspec.Struct, frozen=True, tag=True):
    """Raises `Conflict`, naming one of them, while documents of the kind hold the key: `Require` seen from above."""

    kind: Kind
    org: OrgId
    key: tuple[str, str]
    """Name and value."""


class OpenLane(msgspec.Struct, frozen=True, tag=True):
    """A new registration's lane; its journal and its delivery start at the head."""

    lane: Lane
    org: OrgId
    registration_id: str


class DisableLane(msgspec.Struct, frozen=True, tag=True):
    """Opens a gap from the first position never settled. No effect while one is open."""

    lane: Lane
    cause: str
    now_ms: int


class EnableLane(msgspec.Struct, frozen=True, tag=True):
    """Closes the open gap, if there is one, at the head and moves the lane's mark there. In any case the lane's health
    is counted afresh: attempts that began before `now_ms` do not count any more (see `ObserveStore.health_tallies`)."""

    lane: Lane
    now_ms: int


class SplitTallies(msgspec.Struct, frozen=True, tag=True):
    """From here on the lane's attempts are counted in buckets that begin at `now_ms` or later; those counted so far
    stay in theirs. Of the attempts under way, failures that began earlier are counted where they began, successes here:
    a success is news whenever it began."""

    lane: Lane
    now_ms: int


class CloseLane(msgspec.Struct, frozen=True, tag=True):
    """Deletes the lane's journal at once. Its retry units, and those of attempts under way, run on under the tombstone
    until delivery reports the lane `finished` (see `LaneProgress`) and the last unit ended."""

    lane: Lane
    tombstone: bytes
    """What delivery still needs: encoded `flow.targets.Target`; opaque to the store. Empty: drop the units as well."""
    now_ms: int


ControlOp = (
    Create | Replace | Delete | Require | RequireNone | OpenLane | DisableLane | EnableLane | SplitTallies | CloseLane
)


class Change(msgspec.Struct, frozen=True):
    """One touched document, in commit order. `epoch` is gap-free per store; an organisation's routing epoch is that
    of its last change."""

    epoch: int
    org: OrgId
    kind: Kind
    id: str


class ControlReads(Protocol):
    """The catalogue as every process may read it."""

    async def get(self, kind: Kind, org: OrgId, doc_id: str) -> Versioned | None: ...

    async def list_docs(self, kind: Kind, org: OrgId, key: tuple[str, str] | None = None) -> list[Versioned]:
        """All documents of a kind in creation order, or those holding the key (name, value)."""

    async def scan(self, kind: Kind) -> list[Versioned]:
        """*System*: all documents of a kind, of every organisation."""

    async def epoch(self) -> int:
        """*System*: the epoch of the last change."""

    async def changes(self, after: int, limit: int) -> list[Change]:
        """*System*: changes with epoch > after, oldest first."""


class ControlStore(ControlReads, Protocol):
    async def write(self, ops: Sequence[ControlOp]) -> list[Versioned]:
        """All ops in one durable transaction, in order, or none. Returns created and replaced documents in op order.
        Afterwards each touched organisation's routing epoch is raised."""

    async def allocate(self, counter: Literal["lane", "tenant"]) -> int:
        """The next number of a durable counter; never twice the same, gaps allowed. Starts at 1001."""


# --- Event log and journal -------------------------------------------------------------------------------------------


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


class Head(msgspec.Struct, frozen=True):
    generation: int
    seq: int
    """Last assigned; 0 when nothing was ever appended."""
    day: int
    """Day of the shard's monotone last timestamp, as yyyymmdd."""


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

    async def shard(self, org: OrgId) -> int: ...

    async def head(self, shard: int) -> Head: ...

    async def journal_page(self, lane: Lane, after: int, limit: int, bytes_max: int) -> JournalPage:
        """Events of the lane with seq > after: exactly min(limit, remaining), cut before the bodies exceed
        `bytes_max`, but at least one. The floor is the caller's to check."""

    async def floor(self, lane: Lane) -> int:
        """Highest seq of the lane that was dropped by retention; 0 when none was."""

    async def count_after(self, lane: Lane, after: int, at_most: int) -> int: ...

    async def seek(self, shard: int, ts_ms: int) -> int:
        """A seq such that every event after it was appended at or after `ts_ms` (or slightly earlier)."""

    async def find_event(self, org: OrgId, event_id: bytes) -> StoredEvent | None: ...

    async def expire(self, before_ms: int) -> int:
        """*System*: drop whole segments whose last event is older; returns how many. Ranges never delivered are
        recorded as `expired`, lane floors and marks move past, first, durably."""


# --- Work ------------------------------------------------------------------------------------------------------------


class SlotLease(msgspec.Struct, frozen=True):
    slot: int
    epoch: int


class LaneRecord(msgspec.Struct, frozen=True):
    """A lane as delivery takes it over."""

    lane: Lane
    org: OrgId
    shard: int
    registration_id: str
    mark: int
    """Every position of the lane up to here is settled (delivered, scheduled as a unit, ended, or in a gap)."""
    done: tuple[int, ...]
    """Settled positions above the mark, ascending."""
    disabled: bool
    tombstone: bytes | None
    """Set when the registration is deleted: only its units run on."""
    next_due_ms: int | None
    """Earliest due time of its retry units."""


class RetryUnit(msgspec.Struct, frozen=True):
    """A delivery unit waiting for its next attempt: one event, or a batch whose membership never changes."""

    unit_id: bytes
    """UUID, 16 bytes."""
    lane: Lane
    positions: tuple[int, ...]
    batch: bool
    first_ms: int
    """Business time at which the first attempt started, moved on by the time that an egress proxy held the unit up."""
    retries: int
    """Number of the retry that is due: 1 for the first; 0 when no attempt got as far as the endpoint."""
    due_ms: int
    cause: int
    """Status of the last attempt (HTTP or 6xx)."""


Outcome = Literal["delivered", "refused", "gave_up", "expired"]


class Ended(msgspec.Struct, frozen=True):
    """A unit that ended without delivery: kept in view as undelivered."""

    positions: tuple[int, ...]
    outcome: Literal["refused", "gave_up", "expired"]
    cause: int
    at_ms: int


class Gap(msgspec.Struct, frozen=True):
    """Positions that passed while the lane was disabled."""

    lane: Lane
    from_seq: int
    to_seq: int | None
    """None while open."""
    cause: str
    opened_ms: int
    closed_ms: int | None
    settled: tuple[int, ...]
    """Positions inside it that were attempted after all (in flight at the disable)."""


class TraceRecord(msgspec.Struct, frozen=True):
    """One attempt in full, for debug tracing; kept while among the last `traces_kept` of its kind."""

    ok: bool
    ts_ms: int
    positions: tuple[int, ...]
    """To rebuild the request body; empty for challenge probes."""
    detail: bytes
    """Encoded `flow.traces.TraceDetail`; opaque to the store."""


class AttemptCount(msgspec.Struct, frozen=True, array_like=True):
    """Attempts of a lane that began in the same millisecond; a batch attempt counts once."""

    at_ms: int
    """Business time."""
    ok: int
    failed: int


class LaneProgress(msgspec.Struct, frozen=True, kw_only=True):
    """What changed on one lane since its last commit."""

    lane: Lane
    mark: int
    done: tuple[int, ...]
    settled: tuple[int, ...]
    """Positions settled since the last commit; those inside a gap are noted there."""
    put_units: tuple[RetryUnit, ...] = ()
    """New or rescheduled units."""
    end_units: tuple[bytes, ...] = ()
    ended: tuple[Ended, ...] = ()
    attempts: bytes = b""
    """Packed block of attempts (`core.attempts`); opaque to the store."""
    traces: tuple[TraceRecord, ...] = ()
    counts: tuple[AttemptCount, ...] = ()
    finished: bool = False
    """Nothing is under way on this deleted lane: if no unit is left either, lane and tombstone go. `CloseLane` itself
    never removes them, because an attempt under way may still have to be retried."""


class WorkCommit(msgspec.Struct, frozen=True):
    leases: tuple[SlotLease, ...]
    """One per slot touched by `lanes`."""
    lanes: tuple[LaneProgress, ...]


class WorkStore(Protocol):
    """*System* throughout: used by delivery and upkeep only."""

    async def leases(self) -> tuple[SlotLease, ...]:
        """Slots this process holds now. They change only through the store; see `on_change`."""

    async def lanes(self, slots: Sequence[int]) -> list[LaneRecord]:
        """All lanes of the slots, deleted ones with units included."""

    async def lane(self, lane: Lane) -> LaneRecord | None: ...

    async def read_log(self, shard: int, after: int, limit: int) -> LogPage:
        """Every event of the shard with seq > after, as (seq, lanes), oldest first."""

    async def shards(self) -> list[int]: ...

    async def head(self, shard: int) -> Head:
        """The last position of the shard, as `read_log` would reach it."""

    async def lane_page(self, lane: Lane, after: int, limit: int) -> list[int]:
        """The lane's positions > after, ascending."""

    async def fetch(self, shard: int, seqs: Sequence[int]) -> list[StoredEvent]:
        """Events by seq, ascending; expired ones are missing."""

    async def due_units(self, lane: Lane, until_ms: int, limit: int) -> list[RetryUnit]:
        """Units due at or before `until_ms`, earliest first."""

    async def next_due(self, lane: Lane) -> int | None: ...

    async def commit(self, work: WorkCommit) -> frozenset[int]:
        """One durable transaction; returns the slots whose lease was lost (nothing of theirs was written)."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back in the event loop when the log of a lane that pushes, the change epoch, the leases or the clock may
        have moved. A hint: coalesced, possibly spurious."""


# --- Looking back ----------------------------------------------------------------------------------------------------


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


# --- The store -------------------------------------------------------------------------------------------------------


class Store(ControlStore, EventLog, WorkStore, ObserveStore, Protocol):
    async def open(self) -> None:
        """Lock, recover, migrate. Raises `StartupError` naming cause and remedy."""

    async def close(self) -> None:
        """Finish queued commits, then release everything."""

    async def clock_offset_ms(self) -> int: ...

    async def clock_jumped_ms(self) -> int: ...

    async def set_clock(self, offset_ms: int, jumped_ms: int) -> None:
        """`jumped_ms`: how much of the offset advances made, and not a rate."""

    async def reset(self) -> None:
        """Dev mode: empty journals, registrations, providers, event metadata, retries and traces, and raise the
        generation; tenants, credentials, keys and the clock stay."""
