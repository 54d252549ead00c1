"""Does what a page asks for by calling the handler of the API in process: one set of rules, refusals and log lines.

Whoever may only read can have nothing changed here, whatever a page offers; what is another organization's is not
there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from eventmill.errors import GatewayError, Reason
from eventmill.flow.answers import error_answer
from eventmill.model import Caller, OrgId
from eventmill.ui.person import Person
from eventmill.ui.shell import shell_word
from eventmill.web.http import JSON_TYPE, Message, Reply, Request, Scope, path_segments
from eventmill.web.invoking import changes_nothing, invoke
from eventmill.web.parts import Parts
from eventmill.web.routes import Route, build_router
from eventmill.web.tokens import Grant, mint_token

_TOKEN_LIFETIME_S = 60
EVENT_TYPE = "application/cloudevents+json"


class Outcome(msgspec.Struct, frozen=True):
    """What a call of the API came to."""

    status: int
    body: Any
    """The JSON; None when there is none."""
    curl: str
    """The same call, to be made from a shell."""
    reply: Reply | None = None
    """None of a refusal."""

    @property
    def ok(self) -> bool:
        return self.status < 300

    @property
    def message(self) -> str:
        """Of a refusal."""
        return str(self.body.get("message", "")) if isinstance(self.body, dict) else ""

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", "")) if isinstance(self.body, dict) else ""


class Actions:
    """One per process: the routes of the API."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._router = build_router(dev_mode=parts.dev is not None)

    async def call(
        self, person: Person, org: OrgId | None, method: str, path: str, body: object = None, peer: str = ""
    ) -> Outcome:
        """`org`: whom the person acts for; None for what concerns the installation. Raises nothing but what the
        handler does not answer for either."""
        curl = self.curl(org, method, path, body)
        scope = _scope(method, path, b"" if body is None else JSON_TYPE.encode(), peer)
        payload = b"" if body is None else msgspec.json.encode(body)
        try:
            self._permit(person, method, path)
            methods, params = self._router.find(path_segments(scope)) or ({}, {})
            route = methods.get(method)
            if route is None:
                raise GatewayError(Reason.NOT_FOUND, f"there is nothing at {path}")
            caller = Caller(org, person.client_id or f"console:{person.name}", is_admin=person.runs_gateway)
            reply = await self._handle(route, Request(scope, _Body(payload), params), caller)
        except GatewayError as error:
            return _refused(error, curl)
        parsed = msgspec.json.decode(reply.body) if reply.body and "json" in reply.content_type else None
        return Outcome(reply.status, parsed, curl, reply)

    async def publish(self, person: Person, org: OrgId, client_id: str, event: Mapping[str, Any]) -> Outcome:
        """One CloudEvent, by the credential with this client id."""
        curl = self.curl(org, "POST", "/ingress", event, EVENT_TYPE)
        organization = self._parts.catalogue.organization(org)
        try:
            self._permit(person, "POST", "/")
            if organization is None:
                raise GatewayError(Reason.NOT_FOUND, "there is no such organization")
            grant = Grant(
                client_id=client_id,
                user_id=person.name,
                ims_org_id=organization.ims_org_id,
                lifetime_s=_TOKEN_LIFETIME_S,
            )
            token = mint_token(self._parts.token_key(), grant, now_ms=self._parts.clock.machine_ms())
        except GatewayError as error:
            return _refused(error, curl)
        payload = json.dumps(event, ensure_ascii=False).encode()
        scope = _scope("POST", "/", EVENT_TYPE.encode(), "")
        scope["headers"] += [
            (b"authorization", f"Bearer {token}".encode()),
            (b"x-api-key", client_id.encode()),
            (b"content-length", b"%d" % len(payload)),
        ]
        status, answer = await _collect(self._parts, scope, payload)
        # Who publishes is told by the status alone; only a refusal says more.
        return Outcome(status, msgspec.json.decode(answer) if status >= 400 else None, curl)

    def curl(self, org: OrgId | None, method: str, path: str, body: object = None, media_type: str = JSON_TYPE) -> str:
        """What `eventmill env` sets stands for the token and the api key."""
        words = ["curl -sS"] if method == "GET" else [f"curl -sS -X {method}"]
        words.append(shell_word(self._parts.config.url + path))
        words += ['-H "authorization: Bearer $ACCESS_TOKEN"', '-H "x-api-key: $CLIENT_ID"']
        organization = None if org is None else self._parts.catalogue.organization(org)
        if organization is not None:
            words.append(f"-H {shell_word(f'x-ims-org-id: {organization.ims_org_id}')}")
        if body is not None:
            words.append(f"-H {shell_word(f'content-type: {media_type}')}")
            words.append(f"-d {shell_word(json.dumps(msgspec.to_builtins(body), ensure_ascii=False))}")
        return " \\\n  ".join(words)

    def _permit(self, person: Person, method: str, path: str) -> None:
        if not changes_nothing(method, path.partition("?")[0]) and not person.may("developer"):
            raise GatewayError(Reason.NOT_PERMITTED, f"{person.name} is a viewer, who may look at everything only")

    async def _handle(self, route: Route, request: Request, caller: Caller) -> Reply:
        if route.handler is not None:
            return await invoke(self._parts, route.handler, request, caller)
        assert route.open_handler is not None, "a route has one of the two handlers"
        return await route.open_handler(self._parts, request)


class _Body:
    """A request's body, as a server hands it over."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __call__(self) -> Message:
        body, self._body = self._body, b""
        return {"type": "http.request", "body": body, "more_body": False}


def _scope(method: str, path: str, content_type: bytes, peer: str) -> Scope:
    plain, _, query = path.partition("?")
    return {
        "type": "http",
        "method": method,
        "path": plain,
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "headers": [(b"content-type", content_type)] if content_type else [],
        "client": (peer, 0) if peer else None,
    }


def _refused(error: GatewayError, curl: str) -> Outcome:
    if error.reason is Reason.WRONG_ORGANIZATION:
        error = GatewayError(Reason.NOT_FOUND, "there is no such thing in this organization")
    status, _, body = error_answer(error, "")
    return Outcome(status, msgspec.json.decode(body), curl)


async def _collect(parts: Parts, scope: Scope, payload: bytes) -> tuple[int, bytes]:
    """Status and body of what publishing answers."""
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    await parts.ingest(scope, _Body(payload), keep)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return int(sent[0]["status"]), body
