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
from eventmill.errors import StaleVersion, StoreUnavailable
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.registration_change import decode_registration, replacement
from eventmill.flow.traces import TraceDetail
from eventmill.ids import IdSource
from eventmill.model import EventBridgeDestination, Registration
from eventmill.send.eventbridge import EventBridge
from eventmill.send.webhook import Request, Response
from eventmill.store.base import Store
from eventmill.store.work import TraceRecord

log = structlog.get_logger()

PENDING_MAX_MS = 7 * 86_400_000
"""How long an event source waits to be associated."""
_LOOK_S = 1.0
_POLL_S = 30.0
_INSIGHTS = (("Adobe IO Events", "Partner Event Source"),)

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
        """A failing pass is repeated with the next one."""
        while True:
            try:
                await self.step()
            except (StoreUnavailable, StaleVersion) as error:
                log.warning(telemetry.STAGE_FAILED, stage="event_buses", cause=error.message)
            await asyncio.sleep(_LOOK_S)

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
        state = await self._state(source, bus)
        if state == "ACTIVE":
            return await self._become(registration, "verified")
        if state == "DELETED" or is_over:
            await self._call("DeletePartnerEventSource", bus, {"Name": source, "Account": bus.aws_account_id})
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
        request, response = await self._call("CreatePartnerEventSource", bus, parameters)
        exists = response.status == 200 or error_code(response.body) == "ResourceAlreadyExistsException"
        if exists:
            self._created.add(_wait(registration))
        await self._store.add_traces(registration.id, [_trace(self._ids, registration, started_ms, request, response)])
        return exists

    async def _state(self, source: str, bus: EventBridgeDestination) -> State | None:
        """None when it cannot be told now."""
        _, response = await self._call("ListPartnerEventSourceAccounts", bus, {"EventSourceName": source})
        if response.status != 200:
            return None
        try:
            accounts = msgspec.json.decode(response.body, type=_Accounts).partner_event_source_accounts
        except (msgspec.DecodeError, RecursionError):
            return None
        return next((each.state for each in accounts if each.account == bus.aws_account_id), None)

    async def _call(
        self, operation: str, bus: EventBridgeDestination, parameters: dict[str, str]
    ) -> tuple[Request, Response]:
        request, response = await self._service.call(operation, bus.aws_region, msgspec.json.encode(parameters))
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
        stored = await self._store.get("registration", registration.org, registration.registration_id)
        current = None if stored is None else decode_registration(stored)
        if stored is None or current is None or current.updated_ms != registration.updated_ms or not _waits(current):
            return False
        now_ms, failed = self._clock.now_ms(), status == "verification_failed"
        changed = msgspec.structs.replace(current, webhook_status=status, enabled=not failed, updated_ms=now_ms)
        try:
            await self._store.write(replacement(stored, changed))
        except StaleVersion:
            return False
        finally:
            await self._catalogue.refresh()
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


def _trace(
    ids: IdSource, registration: Registration, started_ms: int, request: Request, response: Response
) -> TraceRecord:
    detail = TraceDetail(
        delivery_id=ids.uuid(),
        event_code="partner_event_source",
        client_id=registration.client_id,
        url=request.url,
        method=request.method,
        request_headers=request.headers,
        request_body=request.body.decode(),
        batch=False,
        status=response.status,
        response_headers=response.headers,
        response_body=response.body,
        duration_ms=response.duration_ms,
        started_ms=started_ms,
        insights=_INSIGHTS,
    )
    ended_ms = started_ms + response.duration_ms
    return TraceRecord(ok=response.status == 200, ts_ms=ended_ms, positions=(), detail=detail.encode())
