"""Where a lane delivers to: the part of a registration that delivery needs, and that outlives it as a tombstone."""

from __future__ import annotations

import msgspec

from eventmill.model import Credential, EventBridgeDestination, Lane, OrgId, Registration


class Target(msgspec.Struct, frozen=True, gc=False):
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
    """Of the webhook; empty when there is none."""
    batch: bool
    runtime_action: str = ""
    """`<package>/<action>`, in place of a webhook."""
    event_bus: EventBridgeDestination | None = None
    """In place of a webhook."""
    ca_bundle: str = ""
    """Of the webhook; empty: the system's certificate authorities."""
    max_in_flight: int = 0
    """Attempts under way at once; 0: as many as any."""
    events_per_second: float = 0
    """0: as fast as it takes them."""

    @classmethod
    def for_registration(cls, registration: Registration, credential: Credential | None) -> Target:
        """The target of a registration; `credential` is the one its client id names."""
        pushed = registration.delivery_type != "journal"
        return cls(
            lane=registration.id,
            org=registration.org,
            registration_id=registration.registration_id,
            client_id=registration.client_id,
            credential_id="" if credential is None else credential.id,
            sealed_secret="" if credential is None else credential.sealed_secret,
            url=(registration.webhook_url if pushed else registration.retry_url) or "",
            batch=registration.delivery_type in ("webhook_batch", "aws_eventbridge"),
            runtime_action=(registration.runtime_action if pushed else registration.retry_action) or "",
            event_bus=registration.destination_metadata if pushed else registration.retry_destination,
            ca_bundle=(registration.ca_bundle if pushed else registration.retry_ca_bundle) or "",
            max_in_flight=registration.max_in_flight or 0,
            events_per_second=registration.events_per_second or 0,
        )

    def signed_with(self, credential: Credential | None) -> Target:
        """The same, after its client's credential was changed, made or deleted."""
        return msgspec.structs.replace(
            self,
            credential_id="" if credential is None else credential.id,
            sealed_secret="" if credential is None else credential.sealed_secret,
        )

    @property
    def is_somewhere(self) -> bool:
        """False for a journal that was never anything else."""
        return bool(self.url or self.runtime_action or self.event_bus)

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, tombstone: bytes) -> Target:
        return msgspec.msgpack.decode(tombstone, type=cls)


def delivers(registration: Registration) -> bool:
    """Whether new events are pushed: enabled, not a journal, and not waiting for validation or association."""
    return (
        registration.delivery_type != "journal" and registration.enabled and registration.webhook_status != "accepted"
    )
