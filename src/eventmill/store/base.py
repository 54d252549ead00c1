"""The store protocol: what the stages need, shaped so that each engine can give it in one commit.

Words: a *shard* is a domain of append order (organisation -> shard; one in SQLite, many in PostgreSQL). A *position* is
(shard, seq); `seq` grows by one per event of the shard and never falls back, not even when everything expired. A *lane*
is one registration's way out. A *slot* is a share of the lanes, leased to one delivery process with a fencing epoch.

Promises every engine keeps (the conformance suite in tests/store checks them):
- `append_durable` returns only when the events, and their place in every matched lane's journal, survive a power cut.
- An append whose routing epoch is below its organisation's (the epoch of its last change) raises `RoutingStale` and
  leaves nothing behind.
- A control write and the raise of its organisations' routing epochs are one transaction. Kinds in `control.UNROUTED`
  raise none.
- A work commit is one transaction, applied only while the lease's epoch is current.
- No method without the organisation, except those marked *system*, which no request handler may call.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from eventmill.store.audit import AuditStore
from eventmill.store.control import ControlStore
from eventmill.store.drift import Drifting
from eventmill.store.fellows import Fellows
from eventmill.store.log import EventLog
from eventmill.store.observe import ObserveStore
from eventmill.store.permits import Permits
from eventmill.store.work import WorkStore


class Store(ControlStore, EventLog, WorkStore, ObserveStore, AuditStore, Drifting, Protocol):
    async def open(self) -> None:
        """Lock, recover, migrate. Raises `StartupError` naming cause and remedy."""

    async def close(self) -> None:
        """Finish queued commits, then release everything."""

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Inside, no other process is: what a first start makes is made once."""

    @property
    def permits(self) -> Permits | None:
        """Where the fronts of all nodes draw permits from; None: this process is the only front."""

    @property
    def fellows(self) -> Fellows | None:
        """Development mode: other nodes; None where there cannot be any."""

    async def presidency(self) -> int:
        """Number of this process's term as the one that does what is done once for all; 0: another has it now. A later
        term has a higher number. Two processes may have one for a moment: to be asked for before each piece of work,
        which must bear being done by both. Raises `StoreUnavailable` when that cannot be known."""

    async def clock_offset_ms(self) -> int: ...

    async def clock_jumped_ms(self) -> int: ...

    async def set_clock(self, offset_ms: int, jumped_ms: int) -> None:
        """`jumped_ms`: how much of the offset advances made, and not a rate."""

    async def reset(self) -> None:
        """Dev mode: empty journals, registrations, providers, event metadata, retries and traces, and raise the
        generation; tenants, credentials, keys and the clock stay."""
