"""The challenge: a GET to the webhook, which must give the value in its query back, and the POST that may come after.

Follows "Introduction to Adobe I/O Events Webhooks" (The challenge request). Changes no registration and stores no
trace; its results hold both halves of the trace with the value already obscured.
"""

from __future__ import annotations

import re

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.challenge import Answer, obscure, offer_body, probe_url, refusal, validation_url
from eventmill.core.delivery_headers import challenge_headers
from eventmill.core.signing import hmac_signature
from eventmill.ids import IdSource
from eventmill.send.webhook import Headers, Request, Response, WebhookSender

_NO_HTTP_STATUS = 600
"""From here on, codes of attempts without an HTTP response."""


class ChallengeResult(msgspec.Struct, frozen=True):
    passed: bool
    explanation: str
    """Why it did not pass, for the caller; empty when it did."""
    request: Request
    response: Response

    @property
    def answered(self) -> bool:
        """Whether there was an HTTP response, however wrong."""
        return self.response.status < _NO_HTTP_STATUS


class Challenger:
    def __init__(self, sender: WebhookSender, config: Config, clock: Clock, ids: IdSource) -> None:
        self._sender = sender
        self._clock = clock
        self._ids = ids
        self._timeout_s = config.webhook_timeout_s
        self._strict = config.strict_challenge
        self._base_url = config.url

    async def challenge(
        self, webhook_url: str, registration_id: str, client_secret: bytes, ca_bundle: str = ""
    ) -> ChallengeResult:
        """Probe once. Raises nothing but `CancelledError`: an endpoint that cannot be reached has not passed."""
        value = self._ids.uuid()
        headers = challenge_headers(registration_id, self._clock.now_ms(), hmac_signature(b"", client_secret))
        url = probe_url(webhook_url, value)
        request = Request("GET", url, tuple(headers), b"", self._timeout_s, ca_bundle, registration_id)
        response = await self._sender.send(request)
        return _result(request, response, value, self._judge(response, value))

    async def offer(
        self, webhook_url: str, registration_id: str, client_secret: bytes, value: str, ca_bundle: str = ""
    ) -> ChallengeResult:
        """Post the validation URL with the secret `value`, once; it passes when the endpoint answers 200."""
        body = offer_body(validation_url(self._base_url, registration_id, value))
        signature = hmac_signature(body, client_secret)
        headers = challenge_headers(registration_id, self._clock.now_ms(), signature, with_body=True)
        request = Request("POST", webhook_url, tuple(headers), body, self._timeout_s, ca_bundle, registration_id)
        response = await self._sender.send(request)
        explanation = None
        if response.status >= _NO_HTTP_STATUS:
            explanation = f"the validation URL got no answer: {' '.join(response.body.decode().split())}"
        elif response.status != 200:
            explanation = f"the endpoint answered the validation URL with status {response.status}, not 200"
        return _result(request, response, value, explanation)

    def _judge(self, response: Response, value: str) -> str | None:
        if response.status >= _NO_HTTP_STATUS:
            return f"the challenge got no answer: {' '.join(response.body.decode().split())}"
        answer = Answer(
            status=response.status,
            content_type=_field(response.headers, "content-type"),
            content_encoding=_field(response.headers, "content-encoding"),
            body=response.body,
        )
        return refusal(answer, value, strict=self._strict)


def _result(request: Request, response: Response, value: str, explanation: str | None) -> ChallengeResult:
    """With the value obscured wherever it shows. An answer in a content coding may hide it, so its body is left out."""
    shown = obscure(value)
    text, raw = re.compile(value, re.IGNORECASE), re.compile(value.encode(), re.IGNORECASE)
    is_coded = _field(response.headers, "content-encoding").strip().lower() not in ("", "identity")
    return ChallengeResult(
        passed=explanation is None,
        explanation=explanation or "",
        request=msgspec.structs.replace(
            request, url=request.url.replace(value, shown), body=raw.sub(shown.encode(), request.body)
        ),
        response=msgspec.structs.replace(
            response,
            headers=tuple((name, text.sub(shown, field)) for name, field in response.headers),
            body=b"" if is_coded else raw.sub(shown.encode(), response.body),
        ),
    )


def _field(headers: Headers, name: str) -> str:
    return next((value for field, value in headers if field.lower() == name), "")
