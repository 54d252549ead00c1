"""The audit trail of events with protected health information: who got which, and when; never what was in them.

Append-only: records are written by the store itself, and go by age alone. The commit that takes an event in comes after
the record of it, so that no such event is kept, or sent, that is not on record.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from eventmill.model import OrgId

AuditOutcome = Literal["received", "delivered", "failed", "refused", "gave_up", "expired"]
"""`received`: stored in the journals of its registrations (should the gateway stop right then, perhaps not: then its
publisher was not told that it was). `delivered` and `failed` are attempts; the others say that no more will follow."""


class AuditRecord(msgspec.Struct, frozen=True):
    number: int
    """Ascending in the order of writing."""
    at_ms: int
    """Business time; of an attempt, when it ended."""
    id: str
    """The CloudEvents `id`, its publisher's."""
    event_id: bytes
    """The gateway's own: UUIDv7, 16 bytes."""
    provider_id: str
    event_code: str
    client_id: str
    """Api key of the publisher."""
    registration_id: str
    """Empty when it was received: a registration has records of its own from its first attempt on."""
    outcome: AuditOutcome
    status: int
    """HTTP or 6xx status of the attempt; 0 where there was none."""


class AuditStore(Protocol):
    async def phi_audit(self, org: OrgId, from_ms: int, to_ms: int, after: int, limit: int) -> list[AuditRecord]:
        """Records of [from_ms, to_ms) with number > after, in order."""

    async def drop_phi_audit(self, before_ms: int) -> None:
        """*System*: forget older records."""
