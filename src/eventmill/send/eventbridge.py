"""Calls Amazon EventBridge: one signed POST for each operation, by the same guarded sender as webhooks.

Signatures, tokens and keys are in no request that is returned. Must not judge outcomes, build entries or retry.
"""

from __future__ import annotations

import os

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.eventbridge import CONTENT_TYPE, endpoint, error_code, refusal_status, refuses_credentials
from eventmill.core.sigv4 import Credentials, Scope, signed_headers
from eventmill.errors import TraceCode
from eventmill.ids import IdSource
from eventmill.send.client_error import client_error
from eventmill.send.webhook import Headers, Request, Response, WebhookSender

_SERVICE = "events"
_CAUSE_CHARS_MAX = 500
_NOT_SHOWN = frozenset({"authorization", "x-amz-security-token"})
NO_CREDENTIALS = "there are no AWS credentials: EVENTMILL_AWS_ACCESS_KEY_ID and EVENTMILL_AWS_SECRET_ACCESS_KEY"


class EventBridge:
    def __init__(self, sender: WebhookSender, config: Config, clock: Clock, ids: IdSource) -> None:
        self._sender = sender
        self._endpoint = config.eventbridge_endpoint
        self._timeout_s = config.eventbridge_timeout_s
        self._credentials = find_credentials(config)
        self._clock = clock
        self._ids = ids

    async def call(
        self, operation: str, region: str, body: bytes, registration_id: str, extra: Headers = ()
    ) -> tuple[Request, Response]:
        """The request as traces may show it, and what came of it. `extra` headers are sent unsigned.

        Raises nothing but `CancelledError`."""
        url = self._endpoint or endpoint(region)
        headers = [("content-type", CONTENT_TYPE), ("x-amz-target", f"AWSEvents.{operation}")]
        if self._credentials is None:
            request = Request("POST", url, (*headers, *extra), body, self._timeout_s)
            return request, client_error(NO_CREDENTIALS, self._ids, registration_id)
        scope = Scope(region, _SERVICE)
        signed = signed_headers(url, headers, body, scope, self._credentials, self._clock.machine_ms())
        sent = Request("POST", url, (*signed, *extra), body, self._timeout_s, registration_id=registration_id)
        shown = tuple(header for header in sent.headers if header[0] not in _NOT_SHOWN)
        response = self._explained(await self._sender.send(sent), registration_id)
        return msgspec.structs.replace(sent, headers=shown), response

    def _explained(self, response: Response, registration_id: str) -> Response:
        """A refusal that somebody can set right gets a 6xx code, as nothing was made of the events."""
        code = "" if response.status == 200 else error_code(response.body)
        ours = refuses_credentials(code)
        if not ours and refusal_status(response.status, code) != TraceCode.CLIENT_ERROR:
            return response
        said = " ".join(response.body.decode("utf-8", "replace").split())[:_CAUSE_CHARS_MAX]
        cause = f"EventBridge answered {response.status}: {said}"
        return client_error(cause, self._ids, registration_id, after=response, blames_endpoint=not ours)


def find_credentials(config: Config) -> Credentials | None:
    """Those of the settings, else those of the environment as every AWS tool reads them."""
    if config.aws_access_key_id:
        return Credentials(config.aws_access_key_id, config.aws_secret_access_key, config.aws_session_token)
    key_id, secret, token = (
        os.environ.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    )
    return Credentials(key_id, secret, token) if key_id and secret else None
