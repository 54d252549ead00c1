"""Dev mode: sends like `send.webhook`, but suffers the faults that somebody set for a registration.

They are kept in memory, and are over with the process. Challenges are spared: a webhook stays verified.
"""

from __future__ import annotations

import asyncio

from eventmill.config import Config
from eventmill.core.delivery_headers import CHALLENGE_EVENT_CODE
from eventmill.core.faults import HARMLESS, Fault, Plan, plan_attempt
from eventmill.errors import TraceCode
from eventmill.send.webhook import Request, Response, WebhookSender

FAULTS_MAX = 1000
"""Of all registrations together."""
_HELD_S_MAX = 2.0
"""So long a held attempt waits for one that overtakes it."""
_CHALLENGE = ("x-adobe-event-code", CHALLENGE_EVENT_CODE)


class Faults:
    """What is set now, by registration id."""

    def __init__(self) -> None:
        self._set: dict[str, tuple[Fault, ...]] = {}
        self._held: dict[str, asyncio.Event] = {}

    def of(self, registration_id: str) -> tuple[Fault, ...]:
        return self._set.get(registration_id, ())

    def all(self) -> list[tuple[str, Fault]]:
        return [(each, fault) for each, faults in self._set.items() for fault in faults]

    def add(self, registration_id: str, fault: Fault) -> None:
        self._set[registration_id] = (*self.of(registration_id), fault)

    def clear(self, registration_id: str | None = None) -> None:
        """Of one registration, or all."""
        if registration_id is None:
            self._set.clear()
        else:
            self._set.pop(registration_id, None)

    def take(self, registration_id: str) -> Plan:
        """For the next attempt."""
        if registration_id not in self._set:
            return HARMLESS
        plan, left = plan_attempt(self._set[registration_id])
        if left:
            self._set[registration_id] = left
        else:
            del self._set[registration_id]
        return plan

    async def hold(self, registration_id: str) -> None:
        """Until another attempt of the registration has ended, or for a short while."""
        passed = self._held.setdefault(registration_id, asyncio.Event())
        try:
            async with asyncio.timeout(_HELD_S_MAX):
                await passed.wait()
        except TimeoutError:
            self._held.pop(registration_id, None)

    def ended(self, registration_id: str) -> None:
        """What was held may go."""
        if passed := self._held.pop(registration_id, None):
            passed.set()


class FaultySender(WebhookSender):
    def __init__(self, config: Config, faults: Faults) -> None:
        super().__init__(config)
        self._faults = faults

    async def send(self, request: Request) -> Response:
        """As `WebhookSender.send`, after whatever the registration is to suffer."""
        registration_id = request.registration_id
        if not registration_id or _CHALLENGE in request.headers:
            return await super().send(request)
        plan = self._faults.take(registration_id)
        if plan.latency_ms >= request.timeout_s * 1000:
            await asyncio.sleep(request.timeout_s)
            return _made_up(TraceCode.TIMEOUT, plan, round(request.timeout_s * 1000))
        if plan.latency_ms:
            await asyncio.sleep(plan.latency_ms / 1000)
        if plan.is_held:
            await self._faults.hold(registration_id)
        if plan.status or plan.is_dropped:
            response = _made_up(plan.status or 200, plan, plan.latency_ms)
        else:
            if plan.is_doubled:
                await super().send(request)
            response = await super().send(request)
        if not plan.is_held:
            self._faults.ended(registration_id)
        return response


def _made_up(status: int, plan: Plan, duration_ms: int) -> Response:
    said = "dropped on its way" if plan.is_dropped and not plan.status else f"answered with {status} in its place"
    return Response(status, (), f"The emulator's fault: {said}; the webhook saw nothing.".encode(), duration_ms)
