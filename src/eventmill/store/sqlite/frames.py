"""What the front and a delivery child say to each other over their socket pair, beside what `store.children` names."""

from __future__ import annotations

import msgspec

from eventmill.errors import Reason
from eventmill.model import Lane
from eventmill.store.children import Beat, Drain
from eventmill.store.work import SlotLease, TraceRecord, WorkCommit


class Granted(msgspec.Struct, frozen=True, tag=True):
    """Front to child: the slots it holds from now on."""

    leases: tuple[SlotLease, ...]


class Wake(msgspec.Struct, frozen=True, tag=True):
    """Front to child: the head, the change epoch or the clock may have moved."""

    clock_offset_ms: int
    segments_version: int
    """Another number than before: the list of segment files changed."""


class Result(msgspec.Struct, frozen=True, tag=True):
    """Front to child: the end of a call; a refusal or the slots that were lost."""

    call: int
    lost: frozenset[int] = frozenset()
    refusal: str | None = None
    reason: str = Reason.STORE_UNAVAILABLE.name


class Commit(msgspec.Struct, frozen=True, tag=True):
    """Child to front."""

    call: int
    work: WorkCommit


class AddTraces(msgspec.Struct, frozen=True, tag=True):
    """Child to front."""

    call: int
    lane: Lane
    traces: tuple[TraceRecord, ...]


FromFront = Granted | Wake | Result | Drain
FromChild = Commit | AddTraces | Beat
