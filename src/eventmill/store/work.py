"""Delivery's work in the store: who holds which lanes, how far each has come, what waits to be tried again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from eventmill.model import Lane, OrgId
from eventmill.store.log import LogPage, StoredEvent

SLOTS = 1024
"""Number of slots; a lane belongs to slot `lane % SLOTS`."""


class SlotLease(msgspec.Struct, frozen=True):
    slot: int
    epoch: int
    leaving: bool = False
    """Given up in a moment for another process: nothing new is sent, what is under way may end and be committed."""


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
    """Earliest due time of its retry units, those of replays aside."""
    next_replay_ms: int | None = None
    """Earliest due time of its units that are of replays."""
    behind: bool = True
    """Whether its journal may hold positions above the mark; whoever takes the lane over looks there."""

    @property
    def is_bare(self) -> bool:
        """Of a registration, without units, and with nothing settled above the mark."""
        return self.tombstone is None and not self.done and self.next_due_ms is None and self.next_replay_ms is None


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
    replay: bytes = b""
    """UUID, 16 bytes, of the replay or resend that it comes from; empty for events on their first way."""


EndedOutcome = Literal["refused", "gave_up", "expired"]


class Ended(msgspec.Struct, frozen=True):
    """A unit that ended without delivery: kept in view as undelivered."""

    positions: tuple[int, ...]
    outcome: EndedOutcome
    cause: int
    at_ms: int
    replay: bytes = b""
    """As the unit's."""


PULLED = "journal"
"""Cause of the gap of a lane whose events are not to be pushed: nothing is missed there, and nothing expires in it."""


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
    """Positions inside it that were attempted after all (in flight at the disable), or are replayed."""


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

    async def heads(self) -> dict[int, int]:
        """The last position of every shard, as `read_log` would reach it."""

    async def lane_page(self, lane: Lane, after: int, limit: int) -> list[int]:
        """The lane's positions > after, ascending."""

    async def fetch(self, shard: int, seqs: Sequence[int]) -> list[StoredEvent]:
        """Events by seq, ascending; expired ones are missing."""

    async def due_units(self, lane: Lane, until_ms: int, limit: int, *, of_replays: bool = False) -> list[RetryUnit]:
        """Units due at or before `until_ms`, earliest first: those of replays, or all others."""

    async def units_at(self, lane: Lane, positions: Sequence[int]) -> list[RetryUnit]:
        """Units that hold any of the positions, which ascend; in no order."""

    async def next_due(self, lane: Lane) -> int | None:
        """The earliest due time of the lane's units, those of replays among them."""

    async def commit(self, work: WorkCommit) -> frozenset[int]:
        """One durable transaction; returns the slots whose lease was lost (nothing of theirs was written)."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back in the event loop when the log of a lane that pushes, the change epoch, the leases or the clock may
        have moved. A hint: coalesced, possibly spurious."""

    def take_hints(self) -> dict[int, int] | None:
        """What moved since the last call, for the one caller who follows the log: shards, with heads that they have
        reached at least, and the leases. None: anything may have."""
