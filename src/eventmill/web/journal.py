"""The journal over HTTP: finds the registration of a path and hands the parameters to `flow.journal`.

Every path family that links or official clients use is served ("Journaling API"); browsers may read it (CORS). Waiting
(`Prefer: wait=N`, RFC 7240) and the live tail (`Accept: text/event-stream`) are additions of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from eventmill.core.preference import names_type, read_wait
from eventmill.errors import GatewayError, Reason
from eventmill.flow.journal import JournalAnswer, JournalRequest
from eventmill.model import Caller, Registration
from eventmill.web.checks import show
from eventmill.web.http import JSON_TYPE, NOT_STORED, Reply, Request
from eventmill.web.parts import Parts
from eventmill.web.paths import path_registration
from eventmill.web.streaming import while_there

EVENT_STREAM = "text/event-stream"

_ALLOWED_HEADERS = (
    b"X-Requested-With, Origin, Content-Type, Accept, Accept-Language, Authorization, "
    b"x-api-key, x-ims-org-id, x-request-id, "
    # beyond the service's own: what a page needs to read a journal and to use our additions
    b"x-adobe-io-events-url-links, prefer, last-event-id, if-match, if-none-match"
)
_EXPOSED_HEADERS = b"link, retry-after, x-request-id, preference-applied, etag"
"""Without this a browser keeps them from the page: no next link, no end to the waiting."""
CORS_HEADERS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-credentials", b"true"),
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS, PATCH"),
    (b"access-control-allow-headers", _ALLOWED_HEADERS),
    (b"access-control-expose-headers", _EXPOSED_HEADERS),
    (b"access-control-max-age", b"60"),
)


async def read_journal(parts: Parts, request: Request, caller: Caller) -> Reply:
    if names_type(request.header(b"accept"), EVENT_STREAM):
        return await _tail(parts, request, caller)
    return await _answer(parts.journal.read, parts, request, caller)


async def validate_position(parts: Parts, request: Request, caller: Caller) -> Reply:
    return await _answer(parts.journal.validate, parts, request, caller)


async def count_events(parts: Parts, request: Request, caller: Caller) -> Reply:
    return await _answer(parts.journal.count, parts, request, caller)


async def _tail(parts: Parts, request: Request, caller: Caller) -> Reply:
    """The live tail, for who asks for it by its media type."""
    opened = await parts.journal.tail(_journal_request(parts, request, caller), request.header(b"last-event-id"))
    if isinstance(opened, JournalAnswer):
        return Reply(opened.status, opened.body or b"", headers=opened.headers)
    unbuffered = (b"x-accel-buffering", b"no")
    return Reply(200, content_type=EVENT_STREAM, headers=(*NOT_STORED, unbuffered), stream=opened)


async def _answer(
    ask: Callable[[JournalRequest], Coroutine[Any, Any, JournalAnswer]], parts: Parts, request: Request, caller: Caller
) -> Reply:
    asked = _journal_request(parts, request, caller)
    answer = await (while_there(request, ask(asked)) if asked.wait_s else ask(asked))
    return Reply(answer.status, answer.body or b"", headers=answer.headers)


def _journal_request(parts: Parts, request: Request, caller: Caller) -> JournalRequest:
    registration = journal_registration(parts, request, caller)
    return JournalRequest(
        registration=registration,
        credential_id=request.params["credential"],
        query=request.query(),
        links_absolute=request.header(b"x-adobe-io-events-url-links").strip().lower() == "true",
        wants_json=names_type(request.header(b"accept"), JSON_TYPE, "text/plain"),
        wait_s=read_wait(request.header_values(b"prefer")),
    )


def journal_registration(parts: Parts, request: Request, caller: Caller) -> Registration:
    """The registration of the path. A journal belongs to its registration's client; lenient mode takes any api key."""
    registration = path_registration(parts, request, caller)
    if not parts.config.lenient and caller.client_id != registration.client_id:
        message = f"the api key {show(caller.client_id)} is not that of registration {registration.registration_id}"
        raise GatewayError(Reason.WRONG_API_KEY, message)
    return registration
