"""What handlers work with: the collaborators that `server` builds and hands over, and the shapes of its callables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from eventmill.clock import Clock, VirtualClock
from eventmill.config import Config
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.cursors import Cursors
from eventmill.flow.journal import Journal
from eventmill.flow.placing import Placing
from eventmill.flow.probe import ChallengeResult
from eventmill.flow.replays import Replays
from eventmill.flow.unmatched import Unmatched
from eventmill.flow.validation import Validations
from eventmill.ids import IdSource
from eventmill.send.faults import Faults
from eventmill.send.mailbox import Mailbox
from eventmill.store.base import Store
from eventmill.store.observe import Backlog, Totals
from eventmill.store.seal import Sealer
from eventmill.web.caller import Authenticator
from eventmill.web.http import ASGIApp, Reply
from eventmill.web.listings import Listings
from eventmill.web.tokens import TokenKey


class Challenge(Protocol):
    """Asks a webhook whether it wants to be called. Answers within the time limit of an attempt, raises nothing."""

    def __call__(
        self, url: str, registration_id: str, client_id: str, ca_bundle: str = ""
    ) -> Awaitable[ChallengeResult]: ...


class Offer(Protocol):
    """Offers a webhook the link to validate later, with this secret; likewise. It passes when the webhook took it."""

    def __call__(
        self, url: str, registration_id: str, client_id: str, secret: str, ca_bundle: str = ""
    ) -> Awaitable[ChallengeResult]: ...


class DevHooks(msgspec.Struct, frozen=True):
    """Development mode only."""

    clock: VirtualClock
    advance: Callable[[float], Awaitable[None]]
    """Move business time forward by so many seconds; returns when every attempt due on the way has ended."""
    set_rate: Callable[[float], Awaitable[None]]
    reset: Callable[[], Awaitable[None]]
    """Empty journals, registrations, providers, retries and traces; returns when publishing and reading see it."""
    mailbox: Mailbox = msgspec.field(default_factory=Mailbox)
    """Stays empty when mails are really sent."""
    faults: Faults = msgspec.field(default_factory=Faults)
    """What deliveries suffer where they are made by a `FaultySender`."""
    snapshot: Callable[[], Awaitable[bytes]] | None = None
    """The data directory as one file. Raises `NOT_FOUND` where there is none, `TOO_LARGE`."""
    restore: Callable[[bytes], Awaitable[None]] | None = None
    """Has the gateway begin anew with such a file. Raises `NOT_FOUND` where there is no directory, `INVALID_BODY`."""


class VitalStore(Protocol):
    """What a node has to ask its store to say how it is."""

    def refusal(self) -> Exception | None: ...

    async def totals(self) -> Totals: ...

    async def backlog(self, limit: int) -> Backlog: ...

    def clock_ahead_ms(self) -> int: ...

    def clock_doubt(self) -> str: ...


class DeliveryProcess(msgspec.Struct, frozen=True):
    index: int
    pid: int
    is_running: bool
    slots: int
    """Shares of the registrations, of `store.work.SLOTS`, that are its to deliver for."""
    restarts: int


class Vitals(Protocol):
    """Those parts from which a node says how it is."""

    @property
    def config(self) -> Config: ...

    @property
    def store(self) -> VitalStore: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def unready(self) -> Callable[[], str | None]: ...

    @property
    def placing(self) -> Placing | None:
        """None: nothing is published here."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    config: Config
    store: Store
    catalogue: Catalogue
    clock: Clock
    ids: IdSource
    sealer: Sealer
    token_key: Callable[[], TokenKey]
    """The key that signs tokens now."""
    authenticator: Authenticator
    placing: Placing
    ingest: ASGIApp
    journal: Journal
    cursors: Cursors
    replays: Replays
    unmatched: Unmatched
    challenge: Challenge
    offer: Offer
    validations: Validations
    unready: Callable[[], str | None]
    """Why no events can be taken now, or None."""
    dev: DevHooks | None = None
    processes: Callable[[], tuple[DeliveryProcess, ...]] = tuple
    """The delivery children; none: this process delivers."""
    listings: Listings = msgspec.field(default_factory=Listings)
    documents: dict[tuple[str, str], Reply] = msgspec.field(default_factory=dict)
    """Made so far, by name and content type: what `web.documents` keeps."""
