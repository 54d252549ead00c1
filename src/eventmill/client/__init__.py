"""The Python client of Adobe I/O Events, for the real service and for a gateway: blocking and asynchronous.

    with Client.from_env() as client:
        client.publish_event({"id": "1", "source": "urn:uuid:…", "type": "com.acme.stock.low", "data": {}})

Both clients and the receivers in `adapters` are thin: what is decided is decided without I/O, in `exchange`, `journal`
and `verification`. Needs nothing of the gateway; see `docs/python-sdk.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventmill.client.account import Account
from eventmill.client.blocking import Client
from eventmill.client.calls import Workspace
from eventmill.client.checkpoints import Checkpoint, Cursor, FileCheckpoint, MemoryCheckpoint
from eventmill.client.deduplication import Deduplicator, UnderWay, event_id
from eventmill.client.documents import (
    Event,
    EventMetadata,
    EventMetadataInput,
    EventOfInterest,
    JournalEntry,
    JournalPage,
    Provider,
    ProviderInput,
    ProviderMetadata,
    Registration,
    RegistrationInput,
    RegistrationPage,
    Trace,
    journal_url,
)
from eventmill.client.errors import (
    BadAnswer,
    BadRequest,
    ClientError,
    Conflict,
    Forbidden,
    NoAnswer,
    NotFound,
    PositionExpired,
    Refused,
    ServerFailed,
    Throttled,
    Unauthorized,
)
from eventmill.client.exchange import Patience
from eventmill.client.journal import Reading
from eventmill.client.verification import Check, Verification
from eventmill.client.verifier import AsyncVerifier, Verifier
from eventmill.client.webhook import Delivery

if TYPE_CHECKING:
    from eventmill.client.asynchronous import AsyncClient

__all__ = [
    "Account",
    "AsyncClient",
    "AsyncVerifier",
    "BadAnswer",
    "BadRequest",
    "Check",
    "Checkpoint",
    "Client",
    "ClientError",
    "Conflict",
    "Cursor",
    "Deduplicator",
    "Delivery",
    "Event",
    "EventMetadata",
    "EventMetadataInput",
    "EventOfInterest",
    "FileCheckpoint",
    "Forbidden",
    "JournalEntry",
    "JournalPage",
    "MemoryCheckpoint",
    "NoAnswer",
    "NotFound",
    "Patience",
    "PositionExpired",
    "Provider",
    "ProviderInput",
    "ProviderMetadata",
    "Reading",
    "Refused",
    "Registration",
    "RegistrationInput",
    "RegistrationPage",
    "ServerFailed",
    "Throttled",
    "Trace",
    "Unauthorized",
    "UnderWay",
    "Verification",
    "Verifier",
    "Workspace",
    "event_id",
    "journal_url",
]


def __getattr__(name: str) -> Any:
    # aiohttp takes a quarter of a second to import, and the blocking client does without.
    if name == "AsyncClient":
        from eventmill.client.asynchronous import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
