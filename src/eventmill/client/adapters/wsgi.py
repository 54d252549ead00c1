"""A webhook as a WSGI application (PEP 3333), for any server or framework that mounts one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from eventmill.client.adapters.receive import Handler, receive
from eventmill.client.deduplication import Deduplicator
from eventmill.client.verifier import Verifier
from eventmill.client.webhook import BODY_BYTES_MAX, NO_LENGTH, TOO_LARGE, WRONG_METHOD, WebhookAnswer, answer_challenge

Application = Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]


def wsgi_webhook(verifier: Verifier, handler: Handler, deduplicator: Deduplicator | None = None) -> Application:
    """Whatever the path: mount it at the webhook's."""

    def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        answer = _answer(environ, verifier, handler, deduplicator)
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", answer.headers)
        return [answer.body]

    return application


def _answer(
    environ: dict[str, Any], verifier: Verifier, handler: Handler, deduplicator: Deduplicator | None
) -> WebhookAnswer:
    method = environ["REQUEST_METHOD"]
    if method == "GET":
        return answer_challenge(environ.get("QUERY_STRING", ""))
    if method != "POST":
        return WRONG_METHOD
    body = _read_body(environ)
    if isinstance(body, WebhookAnswer):
        return body
    named = {name[5:]: value for name, value in environ.items() if name[:5] == "HTTP_"}
    named["CONTENT_TYPE"] = environ.get("CONTENT_TYPE", "")
    headers = {name.lower().replace("_", "-"): value for name, value in named.items()}
    return receive(verifier, handler, deduplicator, body, headers)


def _read_body(environ: dict[str, Any]) -> bytes | WebhookAnswer:
    """A chunked body, as a proxy may make one, has no length: servers that end it by themselves say so."""
    length = environ.get("CONTENT_LENGTH") or ""
    if not length and not environ.get("wsgi.input_terminated"):
        return NO_LENGTH
    if length and not (length.isdecimal() and int(length) <= BODY_BYTES_MAX):
        return TOO_LARGE
    wanted = int(length) if length else BODY_BYTES_MAX + 1
    body: bytes = b""
    while len(body) < wanted and (part := environ["wsgi.input"].read(wanted - len(body))):
        body += part
    return TOO_LARGE if len(body) > BODY_BYTES_MAX else body
