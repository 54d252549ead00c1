"""The challenge of a registration's webhook, as the control plane asks for it, with the traces that it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.delivery_headers import CHALLENGE_EVENT_CODE
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.probe_trace import Probe
from eventmill.ids import IdSource
from eventmill.send import challenge as sending
from eventmill.send.webhook import WebhookSender
from eventmill.store.seal import Sealer
from eventmill.store.work import TraceRecord

if TYPE_CHECKING:
    from eventmill.flow.spans import Spans

_LABEL = "Challenge Probe"


class ChallengeResult(msgspec.Struct, frozen=True):
    passed: bool
    explanation: str
    """Why it did not pass; empty when it did."""
    traces: tuple[TraceRecord, ...] = ()
    """Of its probes; stored once the registration is."""
    answered: bool = False
    """Whether there was an HTTP response, however wrong: then the webhook may be offered to validate later."""
    blames_endpoint: bool = True
    """False: the egress proxy failed, and nothing is known about the webhook."""


class Prober:
    def __init__(
        self, sender: WebhookSender, catalogue: Catalogue, sealer: Sealer, clock: Clock, config: Config
    ) -> None:
        self._ids = IdSource()
        self._challenger = sending.Challenger(sender, config, clock, self._ids)
        self._catalogue = catalogue
        self._sealer = sealer
        self._clock = clock
        self.spans: Spans | None = None
        """Where they are wanted."""

    async def challenge(self, url: str, registration_id: str, client_id: str, ca_bundle: str = "") -> ChallengeResult:
        """Ask once, within the time limit of an attempt. Raises nothing but `CancelledError`."""
        started_ms = self._clock.now_ms()
        result = await self._challenger.challenge(url, registration_id, self._client_secret(client_id), ca_bundle)
        return self._traced(result, client_id, started_ms)

    async def offer(
        self, url: str, registration_id: str, client_id: str, secret: str, ca_bundle: str = ""
    ) -> ChallengeResult:
        """Offer the validation URL with this secret once, likewise; it passes when the webhook took it."""
        started_ms = self._clock.now_ms()
        client_secret = self._client_secret(client_id)
        result = await self._challenger.offer(url, registration_id, client_secret, secret, ca_bundle)
        return self._traced(result, client_id, started_ms)

    def _client_secret(self, client_id: str) -> bytes:
        credential = self._catalogue.credential_by_client(client_id)
        if credential is None:
            return b""
        return self._sealer.unseal(credential.sealed_secret, f"credential:{credential.id}")

    def _traced(self, result: sending.ChallengeResult, client_id: str, started_ms: int) -> ChallengeResult:
        if self.spans is not None:
            self.spans.record_challenge(result)
        response = result.response
        probe = Probe(self._ids.uuid(), client_id, CHALLENGE_EVENT_CODE, _LABEL, started_ms)
        trace = probe.trace(result.request, response, ok=result.passed)
        blames_endpoint = response.blames_endpoint
        return ChallengeResult(result.passed, result.explanation, (trace,), result.answered, blames_endpoint)
