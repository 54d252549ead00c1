"""A webhook as a view of Flask: `app.add_url_rule("/hook", view_func=flask_webhook(...), methods=["GET", "POST"])`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eventmill.client.adapters.receive import Handler, receive
from eventmill.client.deduplication import Deduplicator
from eventmill.client.verifier import Verifier
from eventmill.client.webhook import BODY_BYTES_MAX, NO_LENGTH, TOO_LARGE, WebhookAnswer, answer_challenge


def flask_webhook(
    verifier: Verifier, handler: Handler, deduplicator: Deduplicator | None = None
) -> Callable[[], tuple[bytes, int, Any]]:
    """The view function. Flask itself must not have parsed the body before."""
    from flask import request

    def eventmill_webhook() -> tuple[bytes, int, Any]:
        answer = respond()
        return answer.body, answer.status, answer.headers

    def respond() -> WebhookAnswer:
        if request.method != "POST":  # also HEAD, which Flask adds
            return answer_challenge(request.query_string.decode("latin-1"))
        length = request.content_length
        if length is None and not request.environ.get("wsgi.input_terminated"):
            return NO_LENGTH
        if length is not None and length > BODY_BYTES_MAX:
            return TOO_LARGE
        body = request.stream.read(BODY_BYTES_MAX + 1) if length is None else request.get_data()
        if len(body) > BODY_BYTES_MAX:
            return TOO_LARGE
        headers = {name.lower(): value for name, value in request.headers.items()}
        return receive(verifier, handler, deduplicator, body, headers)

    return eventmill_webhook
