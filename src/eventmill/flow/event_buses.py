"""Event buses on their way to `verified`: a partner event source is created, and waited for until its owner has
associated it with a bus; a custom bus needs nothing.

Follows "Amazon EventBridge and Adobe I/O Events" and the EventBridge API reference. What is waited for is the
registration itself, `accepted` since its last change, so it survives a restart. Every change is a compare-and-set.
"""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.eventbridge import error_code, source_name
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.presiding import while_presiding
from eventmill.flow.probe_trace import Probe
from eventmill.flow.registration_change import find_stored, replacement
from eventmill.flow.stage import repeat
from eventmill.flow.writes import write_change
from eventmill.ids import IdSource
from eventmill.model import EventBridgeDestination, Registration
from eventmill.send.eventbridge import EventBridge
from eventmill.send.webhook import Request, Response
from eventmill.store.base import Store

log = structlog.get_logger()

PENDING_MAX_MS = 7 * 86_400_000
"""How long an event source waits to be associated."""
_LOOK_S = 1.0
_POLL_S = 30.0
_LABEL = "Partner Event Source"

_Wait = tuple[str, int]
"""Registration id, and the time of the change since which it waits."""
State = Literal["PENDING", "ACTIVE", "DELETED"]


class _Account(msgspec.Struct, rename="pascal"):
    account: str
    state: State = "PENDING"


class _Accounts(msgspec.Struct, rename="pascal"):
    partner_event_source_accounts: list[_Account] = []


class EventBuses:
    """`catalogue` is the front's; it is refreshed after each write. Without a mode there is nothing to wait for."""

    def __init__(self, store: Store, catalogue: Catalogue, service: EventBridge, clock: Clock, config: Config) -> None:
        self._store = store
        self._catalogue = catalogue
        self._service = service
        self._clock = clock
        self._mode = config.eventbridge_mode
        self._name = config.eventbridge_source
        self._ids = IdSource()
        self._epoch = -1
        self._waiting: list[Registration] = []
        """Those that wait for their association, as of `_epoch`."""
        self._created: set[_Wait] = set()
        """Those whose event source is known to exist."""
        self._polls: dict[_Wait, float] = {}
        """Machine time before which an event source is not asked for again."""
        self._stepping = asyncio.Lock()

    def next_due_ms(self) -> int | None:
        """Business time at which the first of the event sources has waited for too long."""
        waiting = self._known_waiting() if self._mode == "partner" else []
        return min((each.updated_ms + PENDING_MAX_MS for each in waiting), default=None)

    async def step(self) -> int:
        """Look after all that wait; returns how many changed their status."""
        if not self._mode:
            return 0
        async with self._stepping:
            await self._catalogue.refresh()
            changed = 0
            for each in self._known_waiting():
                changed += await self._attend(each)
            return changed

    async def run(self) -> None:
        await repeat("event_buses", while_presiding(self._store, self.step), _LOOK_S)

    def _known_waiting(self) -> list[Registration]:
        if self._epoch != self._catalogue.epoch:
            self._epoch = self._catalogue.epoch
            self._waiting = [each for each in self._catalogue.registrations() if _waits(each)]
            known = {_wait(each) for each in self._waiting}
            self._created &= known
            self._polls = {wait: at_s for wait, at_s in self._polls.items() if wait in known}
        return self._waiting

    async def _attend(self, registration: Registration) -> bool:
        """Whether its status changed."""
        bus, wait = registration.destination_metadata, _wait(registration)
        if bus is None or self._mode == "custom":
            return await self._become(registration, "verified")
        is_over = registration.updated_ms + PENDING_MAX_MS <= self._clock.now_ms()
        now_s = self._clock.machine_s()
        if now_s < self._polls.get(wait, now_s) and not is_over:
            return False
        self._polls[wait] = now_s + _POLL_S
        if not is_over and not await self._ensure_source(registration, bus):
            return False
        source = self._source(registration)
        state = await self._state(registration, bus)
        if state == "ACTIVE":
            return await self._become(registration, "verified")
        if state == "DELETED" or is_over:
            parameters = {"Name": source, "Account": bus.aws_account_id}
            await self._call("DeletePartnerEventSource", registration, bus, parameters)
            return await self._become(registration, "verification_failed")
        return False

    # --- The event source ---

    def _source(self, registration: Registration) -> str:
        return source_name(self._name, registration.registration_id, is_partner=True)

    async def _ensure_source(self, registration: Registration, bus: EventBridgeDestination) -> bool:
        if _wait(registration) in self._created:
            return True
        started_ms = self._clock.now_ms()
        parameters = {"Name": self._source(registration), "Account": bus.aws_account_id}
        request, response = await self._call("CreatePartnerEventSource", registration, bus, parameters)
        exists = response.status == 200 or error_code(response.body) == "ResourceAlreadyExistsException"
        if exists:
            self._created.add(_wait(registration))
        probe = Probe(self._ids.uuid(), registration.client_id, "partner_event_source", _LABEL, started_ms)
        await self._store.add_traces(registration.id, [probe.trace(request, response, ok=response.status == 200)])
        return exists

    async def _state(self, registration: Registration, bus: EventBridgeDestination) -> State | None:
        """None when it cannot be told now."""
        parameters = {"EventSourceName": self._source(registration)}
        _, response = await self._call("ListPartnerEventSourceAccounts", registration, bus, parameters)
        if response.status != 200:
            return None
        try:
            accounts = msgspec.json.decode(response.body, type=_Accounts).partner_event_source_accounts
        except (msgspec.DecodeError, RecursionError):
            return None
        return next((each.state for each in accounts if each.account == bus.aws_account_id), None)

    async def _call(
        self, operation: str, registration: Registration, bus: EventBridgeDestination, parameters: dict[str, str]
    ) -> tuple[Request, Response]:
        body = msgspec.json.encode(parameters)
        request, response = await self._service.call(operation, bus.aws_region, body, registration.registration_id)
        if response.status != 200 and error_code(response.body) != "ResourceAlreadyExistsException":
            log.warning(
                telemetry.EVENT_SOURCE_FAILED,
                operation=operation,
                status=response.status,
                cause=response.body.decode("utf-8", "replace"),
            )
        return request, response

    # --- The registration ---

    async def _become(self, registration: Registration, status: Literal["verified", "verification_failed"]) -> bool:
        """False: it no longer waits, or was changed meanwhile, and is looked at again."""
        found = await find_stored(self._store, registration.org, registration.registration_id)
        if found is None:
            return False
        stored, current = found
        if current.updated_ms != registration.updated_ms or not _waits(current):
            return False
        now_ms, failed = self._clock.now_ms(), status == "verification_failed"
        changed = msgspec.structs.replace(current, webhook_status=status, enabled=not failed, updated_ms=now_ms)
        if not await write_change(self._store, self._catalogue, replacement(stored, changed)):
            return False
        name = telemetry.EVENT_SOURCE_EXPIRED if failed else telemetry.EVENT_SOURCE_ACTIVE
        log.info(name, registration_id=registration.registration_id)
        return True


def _wait(registration: Registration) -> _Wait:
    return registration.registration_id, registration.updated_ms


def _waits(registration: Registration) -> bool:
    return (
        registration.delivery_type == "aws_eventbridge"
        and registration.webhook_status == "accepted"
        and registration.enabled
    )
