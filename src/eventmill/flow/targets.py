"""Where a lane delivers to: the part of a registration that delivery needs, and that outlives it as a tombstone."""

from __future__ import annotations

import msgspec

from eventmill.model import Credential, Lane, OrgId, Registration


class Target(msgspec.Struct, frozen=True):
    """Encoded into `CloseLane.tombstone` when the registration is deleted, so that its scheduled retries can run on."""

    lane: Lane
    org: OrgId
    registration_id: str
    client_id: str
    credential_id: str
    """Empty when the client id names no stored credential (lenient mode)."""
    sealed_secret: str
    """The client secret, sealed under `credential:<credential_id>`; empty without a stored credential."""
    url: str
    batch: bool

    @classmethod
    def for_registration(cls, registration: Registration, credential: Credential | None) -> Target:
        """The target of a registration; `credential` is the one its client id names."""
        return cls(
            lane=registration.id,
            org=registration.org,
            registration_id=registration.registration_id,
            client_id=registration.client_id,
            credential_id="" if credential is None else credential.id,
            sealed_secret="" if credential is None else credential.sealed_secret,
            url=registration.webhook_url or registration.retry_url or "",
            batch=registration.delivery_type == "webhook_batch",
        )

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, tombstone: bytes) -> Target:
        return msgspec.msgpack.decode(tombstone, type=cls)


def delivers(registration: Registration) -> bool:
    """Whether new events are pushed: to a webhook, enabled, and not waiting for its validation."""
    return (
        registration.webhook_url is not None and registration.enabled and registration.webhook_status != "accepted"
    )
