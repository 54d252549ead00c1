"""A webhook as a WSGI application (PEP 3333), for any server or framework that mounts one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from eventmill.client.adapters.receive import Handler, receive
from eventmill.client.deduplication import Deduplicator
from eventmill.client.verifier import Verifier
from eventmill.client.webhook import BODY_BYTES_MAX, TOO_LARGE, WRONG_METHOD, WebhookAnswer, answer_challenge

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
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
        return TOO_LARGE
    body = environ["wsgi.input"].read(int(length))
    headers = {name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name[:5] == "HTTP_"}
    return receive(verifier, handler, deduplicator, body, headers)
