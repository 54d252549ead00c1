"""Invokes Runtime actions: at an OpenWhisk host, at a URL that stands for an action, or as a file run on this machine.

The call is the blocking invocation of the Apache OpenWhisk REST API. Nobody but the gateway knows its credentials, so
what the signature validator in front of an action would check holds by construction. A URL gets the signatures and may
check them. Credentials are in no request that is returned. Must not judge outcomes or retry.
"""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote

import msgspec

from eventmill.config import Config
from eventmill.core.openwhisk import activation_id_in, judge_invocation
from eventmill.errors import TraceCode
from eventmill.ids import IdSource
from eventmill.send.client_error import client_error
from eventmill.send.failures import explain_failure
from eventmill.send.local_actions import LocalActions
from eventmill.send.webhook import Headers, Request, Response, WebhookSender

UNCONFIGURED = (
    "action {action} is not mapped by EVENTMILL_RUNTIME_ACTIONS, and EVENTMILL_RUNTIME_APIHOST names no OpenWhisk host"
)


class ActionCall(msgspec.Struct, frozen=True):
    action: str
    """`<package>/<action>`."""
    params: bytes
    headers: Headers
    """Of the delivery: without signatures unless `signs` asked for them."""
    registration_id: str


class ActionSender:
    """`mapped` targets come before the OpenWhisk host."""

    def __init__(self, sender: WebhookSender, config: Config, ids: IdSource) -> None:
        self._sender = sender
        self._ids = ids
        self._mapped = config.mapped_actions
        self._base = config.runtime_apihost.rstrip("/")
        self._namespace = config.runtime_namespace
        self._auth = config.runtime_auth
        self._timeout_s = config.runtime_timeout_s
        self._local = LocalActions(config, ids)

    def signs(self, action: str) -> bool:
        """Whether the call goes to a URL, where signatures can be checked."""
        return _is_url(self._mapped.get(action, ""))

    async def invoke(self, call: ActionCall) -> tuple[Request, Response]:
        """The request as traces may show it, and what came of it. Raises nothing but `CancelledError`."""
        target = self._mapped.get(call.action, "")
        url = target if _is_url(target) else self._action_url(call.action)
        request = Request("POST", url, call.headers, call.params, self._timeout_s, registration_id=call.registration_id)
        if _is_url(target):
            return request, await self._sender.send(request)
        if target:
            file_request = msgspec.structs.replace(request, url=f"file:{target}")
            return file_request, await self._local.run(target, call.action, call.params, call.registration_id)
        if not self._base:
            cause = UNCONFIGURED.format(action=call.action)
            return request, client_error(cause, self._ids, call.registration_id, blames_endpoint=True)
        return request, await self._invoke(request)

    def _action_url(self, action: str) -> str:
        package, _, name = action.partition("/")
        path = "/".join(quote(part, safe="") for part in ("namespaces", self._namespace, "actions", package, name))
        return f"{self._base}/api/v1/{path}?blocking=true&result=false"

    async def _invoke(self, request: Request) -> Response:
        login = "Basic " + b64encode(self._auth.encode()).decode()
        sent = msgspec.structs.replace(request, headers=(*request.headers, ("authorization", login)))
        response = await self._sender.send(sent)
        if response.status in (401, 403):
            cause = f"the OpenWhisk host refused EVENTMILL_RUNTIME_AUTH with status {response.status}"
            return client_error(cause, self._ids, request.registration_id, after=response)
        if response.status == 202:
            return self._timed_out(response, request.registration_id)
        verdict = judge_invocation(response.status, response.body)
        if verdict is None:
            return response
        return msgspec.structs.replace(response, status=verdict.status, body=verdict.body)

    def _timed_out(self, response: Response, registration_id: str) -> Response:
        """The action goes on, and nobody will hear of its end: as good as no answer."""
        code = TraceCode.TIMEOUT
        cause = f"the action goes on; activation_id {activation_id_in(response.body) or 'unknown'}"
        body = explain_failure(code, [cause], self._ids, registration_id=registration_id)
        return msgspec.structs.replace(response, status=int(code), body=body)


def _is_url(target: str) -> bool:
    return target.startswith(("http://", "https://"))
