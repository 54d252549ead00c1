"""The catalogue in the store: documents, the conditions under which they are written, and the log of changes.

A write is a list of operations, all of them or none; lanes are opened, shut and closed by the same write as the
registration they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from eventmill.model import Lane, OrgId
from eventmill.store.work import RetryUnit

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
    "schema_history",
    "cursor",
    "replay",
    "user",
    "session",
    "action",
]

UNROUTED: frozenset[Kind] = frozenset({"schema_history", "cursor", "replay", "user", "session", "action"})
"""Kinds that no routing depends on and nobody follows: a write of such documents is not in the log of changes and
leaves every routing epoch as it is, so that it may happen many times a second without a publish being matched again."""


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
    """Opens a gap from the first position never settled. No effect while one is open, unless only one of the two is
    `PULLED`: then that one is closed at the head, and the new one begins there."""

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


class PutUnits(msgspec.Struct, frozen=True, tag=True):
    """Has events delivered again: adds units, and takes their positions out of view (out of `ended`, out of gaps).

    Raises `StaleVersion`, and nothing of the write happens, when the lane is gone or closed, when it is disabled and
    `while_disabled` is not set, or when any of the positions is not free: it has a unit, its first attempt is yet to be
    settled (above the mark of a lane that is not disabled, and not done), or, with `from_view`, it is not in view.
    Notes a change of the registration, so that delivery looks; where new events go is not touched, and no routing epoch
    raised.

    A first attempt that was under way all the while (since before a gap opened over it) is void for these positions
    when it settles: neither a unit nor an end of theirs is kept."""

    lane: Lane
    units: tuple[RetryUnit, ...]
    """At least one: new ones, `retries` 0, all with the same `replay`, whose `ReplayTally.handed` grows by their
    positions. Their positions ascend, within units and from unit to unit."""
    now_ms: int
    cleared: tuple[tuple[int, int], ...] = ()
    """Ranges (first, last) of gaps whose positions of the lane are all settled or among those of `units`: so a gap can
    shrink or be cut in two, and a million positions of it, taken in order, cost no list of a million."""
    from_view: bool = True
    while_disabled: bool = False


class HastenUnit(msgspec.Struct, frozen=True, tag=True):
    """A scheduled retry is due at `due_ms` if that is earlier; all else about it stays. Raises `StaleVersion` when the
    lane is gone or closed, or there is no such unit. Notes a change as `PutUnits` does."""

    lane: Lane
    unit_id: bytes
    due_ms: int


ControlOp = (
    Create
    | Replace
    | Delete
    | Require
    | RequireNone
    | OpenLane
    | DisableLane
    | EnableLane
    | SplitTallies
    | CloseLane
    | PutUnits
    | HastenUnit
)


class Change(msgspec.Struct, frozen=True):
    """One touched document of a kind that routes, in commit order. `epoch` is gap-free per store; an organisation's
    routing epoch is that of its last change."""

    epoch: int
    org: OrgId
    kind: Kind
    id: str


class ControlReads(Protocol):
    """The catalogue as every process may read it."""

    async def get(self, kind: Kind, org: OrgId, doc_id: str) -> Versioned | None: ...

    async def list_docs(self, kind: Kind, org: OrgId, key: tuple[str, str] | None = None) -> list[Versioned]:
        """All documents of a kind in creation order, or those holding the key (name, value). Those of a kind in
        `UNROUTED` come in any order."""

    async def scan(self, kind: Kind, key: tuple[str, str] | None = None) -> list[Versioned]:
        """*System*: all documents of a kind, of every organisation, in creation order, or those holding the key. Those
        of a kind in `UNROUTED` come in any order."""

    async def scan_page(self, kind: Kind, after: tuple[str, str], limit: int) -> list[Versioned]:
        """*System*: the first `limit` of those whose (organisation, id) is above `after`, ascending; above two empty
        texts are all of them. For kinds of which there are thousands: they need not be in memory together.

        Texts compare as their UTF-8 does, and a page costs what is in it, wherever it begins. Pages are of different
        moments: what is written between two of them is in the log of changes."""

    async def epoch(self) -> int:
        """*System*: the epoch of the last change."""

    async def changes(self, after: int, limit: int) -> list[Change]:
        """*System*: changes with epoch > after, oldest first."""


class ControlStore(ControlReads, Protocol):
    def on_documents(self, callback: Callable[[], None]) -> None:
        """Call back in the event loop when another process may have written documents. A hint: coalesced, possibly
        spurious."""

    async def write(self, ops: Sequence[ControlOp]) -> list[Versioned]:
        """All ops in one durable transaction, in order, or none. Returns created and replaced documents in op order.
        Afterwards the routing epoch of each organisation with a touched document is raised, unless its kind is in
        `UNROUTED`. Writes of nothing but those (`Require` aside) may share their commit with others."""

    async def allocate(self, counter: Literal["lane", "tenant"]) -> int:
        """The next number of a durable counter; never twice the same, gaps allowed. Starts at 1001."""
