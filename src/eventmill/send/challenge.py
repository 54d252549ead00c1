"""The synchronous challenge: one GET to the webhook, which must give the value in its query back.

Follows "Introduction to Adobe I/O Events Webhooks" (The challenge request). Changes no registration and stores no
trace; its result holds both halves of the trace with the value already obscured.
"""

from __future__ import annotations

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.challenge import Answer, obscure, probe_url, refusal
from eventmill.core.delivery_headers import challenge_headers
from eventmill.core.signing import hmac_signature
from eventmill.ids import IdSource
from eventmill.send.webhook import Headers, Request, Response, WebhookSender


class ChallengeResult(msgspec.Struct, frozen=True):
    passed: bool
    explanation: str
    """Why it did not pass, for the caller; empty when it did."""
    request: Request
    response: Response


class Challenger:
    def __init__(self, sender: WebhookSender, config: Config, clock: Clock, ids: IdSource) -> None:
        self._sender = sender
        self._clock = clock
        self._ids = ids
        self._timeout_s = config.webhook_timeout_s
        self._strict = config.strict_challenge

    async def challenge(self, webhook_url: str, registration_id: str, client_secret: bytes) -> ChallengeResult:
        """Probe once. Raises nothing but `CancelledError`: an endpoint that cannot be reached has not passed."""
        value = self._ids.uuid()
        headers = challenge_headers(registration_id, self._clock.now_ms(), hmac_signature(b"", client_secret))
        request = Request("GET", probe_url(webhook_url, value), tuple(headers), b"", self._timeout_s)
        response = await self._sender.send(request)
        explanation = self._judge(response, value)
        return ChallengeResult(
            passed=explanation is None,
            explanation=explanation or "",
            request=msgspec.structs.replace(request, url=request.url.replace(value, obscure(value))),
            response=msgspec.structs.replace(
                response,
                headers=tuple((name, field.replace(value, obscure(value))) for name, field in response.headers),
                body=response.body.replace(value.encode(), obscure(value).encode()),
            ),
        )

    def _judge(self, response: Response, value: str) -> str | None:
        if response.status >= 600:
            return f"the challenge got no answer: {' '.join(response.body.decode().split())}"
        answer = Answer(
            status=response.status,
            content_type=_field(response.headers, "content-type"),
            content_encoding=_field(response.headers, "content-encoding"),
            body=response.body,
        )
        return refusal(answer, value, strict=self._strict)


def _field(headers: Headers, name: str) -> str:
    return next((value for field, value in headers if field.lower() == name), "")
