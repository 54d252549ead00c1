"""Asynchronous validation: the link that a webhook was offered makes its registration `verified`, or runs out.

Follows "Introduction to Adobe I/O Events Webhooks" (asynchronous validation). What is waited for is part of the
registration's document, so it survives a restart, and whatever changes or deletes the registration voids it. Every
step is a compare-and-set of that document: of an opened link, its expiry and a change at once, one wins.
"""

from __future__ import annotations

import msgspec
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.core.challenge import is_secret, secret_sha256
from eventmill.errors import GatewayError, Reason, StaleVersion
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.registration_change import find_stored, replacement
from eventmill.flow.stage import repeat
from eventmill.flow.writes import WRITES_MAX, write_change
from eventmill.model import OrgId, Registration, Validation
from eventmill.store.control import ControlOp, ControlStore, Versioned

log = structlog.get_logger()

_LOOK_S = 1.0
"""A link that nobody opened counts as expired after this long at the latest; it cannot be opened meanwhile."""


class Validations:
    """`catalogue` is the front's; it is refreshed after each write."""

    def __init__(self, store: ControlStore, catalogue: Catalogue, clock: Clock, window_s: int) -> None:
        self._store = store
        self._catalogue = catalogue
        self._clock = clock
        self._window_ms = window_s * 1000
        self._epoch = -1
        self._waiting: list[Registration] = []
        """Those that wait for their link, as of `_epoch`."""

    def begin(self, secret: str) -> Validation:
        """A validation that starts now. To be stored before the link is offered: a webhook may open it at once."""
        return Validation(secret_sha256=secret_sha256(secret), deadline_ms=self._clock.patient_ms() + self._window_ms)

    async def check(self, registration_id: str, secret: str) -> None:
        """Raises what `open` would raise."""
        await self._find(registration_id, secret)

    async def open(self, registration_id: str, secret: str) -> Registration:
        """The link was opened: the registration is `verified`, and new events are pushed from now on.

        Raises `NOT_FOUND` when nothing waits for this secret, `VALIDATION_OVER` when it was used or has expired."""
        for _ in range(WRITES_MAX):
            stored, registration, validation = await self._find(registration_id, secret)
            opened = msgspec.structs.replace(
                registration,
                webhook_status="verified",
                validation=msgspec.structs.replace(validation, opened=True),
                updated_ms=self._clock.now_ms(),
            )
            if await write_change(self._store, self._catalogue, replacement(stored, opened)):
                return opened
        raise StaleVersion("registration", registration_id)

    async def refuse(self, org: OrgId, registration_id: str, secret: str) -> None:
        """The webhook did not take the link, so that it is void, and what came of it too.

        Without effect once the registration was changed or deleted."""
        for _ in range(WRITES_MAX):
            found = await find_stored(self._store, org, registration_id)
            if found is None:
                return
            stored, registration = found
            if registration.validation is None:
                return
            if not registration.enabled or not is_secret(secret, registration.validation.secret_sha256):
                return
            if await write_change(self._store, self._catalogue, self._failure(stored, registration)):
                return
        raise StaleVersion("registration", registration_id)

    # --- Time ---

    def next_due_ms(self) -> int | None:
        """When the first of the links expires."""
        deadlines = [each.validation.deadline_ms for each in self._known_waiting() if each.validation is not None]
        if not deadlines:
            return None
        return self._clock.now_ms() + max(0, min(deadlines) - self._clock.patient_ms())

    async def step(self) -> int:
        """Fail those that waited in vain; returns how many."""
        await self._catalogue.refresh()
        expired = 0
        for each in self._known_waiting():
            if each.validation is not None and each.validation.deadline_ms <= self._clock.patient_ms():
                expired += await self._expire(each.org, each.registration_id)
        return expired

    async def run(self) -> None:
        await repeat("validation", self.step, _LOOK_S)

    async def _expire(self, org: OrgId, registration_id: str) -> bool:
        """Whether it still waited in vain when the write came to it."""
        for _ in range(WRITES_MAX):
            found = await find_stored(self._store, org, registration_id)
            if found is None:
                return False
            stored, registration = found
            if not _waits(registration):
                return False
            assert registration.validation is not None
            if registration.validation.deadline_ms > self._clock.patient_ms():
                return False
            if await write_change(self._store, self._catalogue, self._failure(stored, registration)):
                log.info(telemetry.VALIDATION_EXPIRED, org=org, registration_id=registration_id)
                return True
        raise StaleVersion("registration", registration_id)

    def _known_waiting(self) -> list[Registration]:
        if self._epoch != self._catalogue.epoch:
            self._epoch = self._catalogue.epoch
            self._waiting = [each for each in self._catalogue.registrations() if _waits(each)]
        return self._waiting

    # --- Documents ---

    async def _find(self, registration_id: str, secret: str) -> tuple[Versioned, Registration, Validation]:
        """The registration that waits for this secret."""
        await self._catalogue.refresh()
        orgs = [each.id for each in self._catalogue.organizations()]
        org = next((org for org in orgs if self._catalogue.registration(org, registration_id)), None)
        found = None if org is None else await find_stored(self._store, org, registration_id)
        if found is None:
            raise _unknown()
        stored, registration = found
        validation = registration.validation
        if validation is None or not is_secret(secret, validation.secret_sha256):
            raise _unknown()
        if validation.opened:
            raise GatewayError(Reason.VALIDATION_OVER, "this link was opened before; it is good for once")
        if not _waits(registration) or validation.deadline_ms <= self._clock.patient_ms():
            raise GatewayError(Reason.VALIDATION_OVER, "this link has expired; have the webhook challenged again")
        return stored, registration, validation

    def _failure(self, stored: Versioned, registration: Registration) -> list[ControlOp]:
        failed = msgspec.structs.replace(
            registration, webhook_status="verification_failed", enabled=False, updated_ms=self._clock.now_ms()
        )
        return replacement(stored, failed)


def _waits(registration: Registration) -> bool:
    return registration.webhook_status == "accepted" and registration.validation is not None


def _unknown() -> GatewayError:
    message = "nothing waits for this link; its registration may have been changed, challenged again or deleted since"
    return GatewayError(Reason.NOT_FOUND, message)
