"""Sends a delivery unit to where its registration wants it: a webhook, a Runtime action or an event bus.

Builds the requests and says which status each event got. Judges no status, schedules and commits nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core import eventbridge
from eventmill.core.delivery_headers import REPLAY_HEADER, delivery_headers
from eventmill.core.envelope import recipient_suffix, webhook_body
from eventmill.core.eventbridge import BusForm, Entry, entry_of, entry_statuses, split_calls
from eventmill.core.openwhisk import action_form
from eventmill.core.signing import DeliverySigner, hmac_signature
from eventmill.core.trace_context import shared_context
from eventmill.flow.lane import Unit
from eventmill.flow.sent import Sent
from eventmill.flow.targets import Target
from eventmill.ids import IdSource, uuid_text
from eventmill.model import EventBridgeDestination
from eventmill.send.client_error import client_error
from eventmill.send.eventbridge import EventBridge
from eventmill.send.openwhisk import ActionCall, ActionSender
from eventmill.send.webhook import Headers, Request, Response, WebhookSender
from eventmill.store.log import StoredEvent

if TYPE_CHECKING:
    from eventmill.flow.spans import Spans

UNCONFIGURED_BUS = "EVENTMILL_EVENTBRIDGE_MODE is not set, so that nothing is sent to event buses"
_REPLACED = ("accept-encoding", "content-type")
"""Of a webhook's headers: services get what their interfaces want."""
_TO_ACTION = (("accept-encoding", "identity"), ("content-type", "application/json"))


class BatchLimits(NamedTuple):
    events_max: int
    bytes_max: int
    wait_ms: int
    """How long the first event waits for others."""


class Destinations:
    """One per event loop."""

    def __init__(self, sender: WebhookSender, signer: DeliverySigner, clock: Clock, config: Config) -> None:
        self._sender = sender
        self._signer = signer
        self._config = config
        self._ids = IdSource()
        self._actions = ActionSender(sender, config, self._ids)
        self._buses = EventBridge(sender, config, clock, self._ids)
        # Signing is most of what a delivery costs, and OpenSSL lets other threads run meanwhile: a thread per core uses
        # the cores that have no delivery process, and the event loop never waits for a signature.
        self._signers = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="signer")
        self._suffixes: dict[str, bytes] = {}
        self.spans: Spans | None = None
        """Where they are wanted."""

    def batch_limits(self, target: Target) -> BatchLimits:
        """What bounds a batch for this target. An event bus takes several events a call, but needs none to wait."""
        if target.event_bus is not None:
            form = self._bus_form(target, target.event_bus)
            return BatchLimits(form.entries_max, eventbridge.ENTRIES_BYTES_MAX, 0)
        config = self._config
        return BatchLimits(
            config.webhook_batch_events_max, config.webhook_batch_bytes_max, config.webhook_batch_flush_ms
        )

    def delivered_bytes(self, target: Target, event: StoredEvent) -> int:
        """Size of the event as this target's limits count it."""
        if target.event_bus is not None:
            return self._bus_form(target, target.event_bus).entry_bytes(self._entry(target, event))
        return len(event.body) + len(self._suffix(target))

    async def send(self, target: Target, secret: bytes, unit: Unit, delivery_id: str) -> list[Sent]:
        """What came of the attempt: every event of the unit is in one of them. Raises nothing but `CancelledError`."""
        if self.spans is None:
            context = shared_context([event.body for event in unit.events])
            return await self._send(target, secret, unit, delivery_id, context.headers if context else ())
        span = self.spans.begin_attempt(target, unit, delivery_id)
        sent: list[Sent] = []
        try:
            sent = await self._send(target, secret, unit, delivery_id, self.spans.headers_of(span))
        finally:
            self.spans.end_attempt(span, sent)
        return sent

    async def _send(
        self, target: Target, secret: bytes, unit: Unit, delivery_id: str, trace: Sequence[tuple[str, str]]
    ) -> list[Sent]:
        headers = delivery_headers(
            [(uuid_text(event.event_id), event.origin) for event in unit.events],
            batch=unit.batch,
            retry_count=unit.retry.retries if unit.retry else 0,
            delivery_id=delivery_id,
            request_id=self._ids.request_id(),
        )
        if unit.retry is not None and unit.retry.replay:
            headers.append((REPLAY_HEADER, uuid_text(unit.retry.replay)))
        headers += trace
        if target.event_bus is not None:
            return await self._to_bus(target, target.event_bus, unit, _service_headers(headers))
        body = webhook_body([event.body for event in unit.events], self._suffix(target), batch=unit.batch)
        if target.runtime_action:
            return [await self._to_action(target, secret, unit, headers, body)]
        headers += await self._sign(body, secret)
        timeout_s = self._config.webhook_timeout_s
        request = Request("POST", target.url, tuple(headers), body, timeout_s, target.ca_bundle, target.registration_id)
        return [Sent(unit.events, request, await self._sender.send(request))]

    def _suffix(self, target: Target) -> bytes:
        suffix = self._suffixes.get(target.client_id)
        if suffix is None:
            suffix = self._suffixes[target.client_id] = recipient_suffix(target.client_id, self._config.legacy_fields)
        return suffix

    async def _sign(self, body: bytes, secret: bytes) -> list[tuple[str, str]]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._signers, self._signer.headers, body, secret)

    # --- Runtime actions ---

    async def _to_action(
        self, target: Target, secret: bytes, unit: Unit, headers: list[tuple[str, str]], body: bytes
    ) -> Sent:
        """Parameters carry the headers of the delivery, with the HMAC over the event as a webhook would get it."""
        hmac = ("x-adobe-signature", hmac_signature(body, secret))
        form = action_form([*headers, hmac])
        params = form.params(body, batch=unit.batch)
        signatures = await self._sign(params, secret) if self._actions.signs(target.runtime_action) else [hmac]
        sent = (*_TO_ACTION, *_service_headers(headers), *signatures)
        call = ActionCall(target.runtime_action, params, sent, target.registration_id)
        request, response = await self._actions.invoke(call)
        return Sent(unit.events, request, response, form)

    # --- Event buses ---

    def _bus_form(self, target: Target, bus: EventBridgeDestination) -> BusForm:
        config = self._config
        is_partner = config.eventbridge_mode == "partner"
        name = "" if is_partner else config.eventbridge_bus
        return BusForm(
            eventbridge.source_name(config.eventbridge_source, target.registration_id, is_partner=is_partner),
            name and eventbridge.bus_name(name, bus.aws_region, bus.aws_account_id),
        )

    def _entry(self, target: Target, event: StoredEvent) -> Entry:
        return entry_of(event.origin, event.ts_ms, event.body + self._suffix(target))

    async def _to_bus(self, target: Target, bus: EventBridgeDestination, unit: Unit, headers: Headers) -> list[Sent]:
        """As many calls as the limits ask for: a unit may stem from when the registration was a webhook."""
        form = self._bus_form(target, bus)
        entries = [self._entry(target, event) for event in unit.events]
        sizes = [form.entry_bytes(entry) for entry in entries]
        sent: list[Sent] = []
        for places in split_calls(sizes, entries_max=form.entries_max, bytes_max=eventbridge.ENTRIES_BYTES_MAX):
            events, body = unit.events[places.start : places.stop], form.call_body([entries[at] for at in places])
            request, response = await self._put(form, target, body, headers, sizes[places.start])
            sent += _by_status(events, request, response, form)
        return sent

    async def _put(
        self, form: BusForm, target: Target, body: bytes, headers: Headers, first_bytes: int
    ) -> tuple[Request, Response]:
        assert target.event_bus is not None
        region = target.event_bus.aws_region
        request = Request("POST", eventbridge.endpoint(region), headers, body, self._config.eventbridge_timeout_s)
        if not self._config.eventbridge_mode:
            return request, client_error(UNCONFIGURED_BUS, self._ids, target.registration_id, blames_endpoint=True)
        if first_bytes > eventbridge.ENTRIES_BYTES_MAX:
            said = f"not sent: EventBridge takes entries of {eventbridge.ENTRIES_BYTES_MAX} bytes, not of {first_bytes}"
            return request, Response(413, (), said.encode(), duration_ms=0)
        return await self._buses.call(form.operation, region, body, target.registration_id, headers)


def _service_headers(headers: list[tuple[str, str]]) -> Headers:
    return tuple(header for header in headers if header[0] not in _REPLACED)


def _by_status(events: tuple[StoredEvent, ...], request: Request, response: Response, form: BusForm) -> list[Sent]:
    """EventBridge takes and refuses each entry of a call by itself."""
    statuses = entry_statuses(response.status, response.body, len(events))
    return [
        Sent(
            tuple(event for event, own in zip(events, statuses, strict=True) if own == status),
            request,
            msgspec.structs.replace(response, status=status),
            form,
        )
        for status in dict.fromkeys(statuses)
    ]
