"""The journal over HTTP: finds the registration of a path and hands the parameters to `flow.journal`.

Every path family that links or official clients use is served ("Journaling API"); browsers may read it (CORS).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from eventmill.errors import GatewayError, Reason
from eventmill.flow.journal import JournalAnswer, JournalRequest
from eventmill.model import Caller, Registration
from eventmill.web.checks import show
from eventmill.web.http import Reply, Request
from eventmill.web.parts import Parts
from eventmill.web.paths import path_registration

_ALLOWED_HEADERS = (
    b"X-Requested-With, Origin, Content-Type, Accept, Accept-Language, Authorization, "
    b"x-api-key, x-ims-org-id, x-request-id"
)
CORS_HEADERS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-credentials", b"true"),
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS, PATCH"),
    (b"access-control-allow-headers", _ALLOWED_HEADERS),
    (b"access-control-max-age", b"60"),
)


async def read_journal(parts: Parts, request: Request, caller: Caller) -> Reply:
    return await _answer(parts.journal.read, parts, request, caller)


async def validate_position(parts: Parts, request: Request, caller: Caller) -> Reply:
    return await _answer(parts.journal.validate, parts, request, caller)


async def count_events(parts: Parts, request: Request, caller: Caller) -> Reply:
    return await _answer(parts.journal.count, parts, request, caller)


async def _answer(
    ask: Callable[[JournalRequest], Awaitable[JournalAnswer]], parts: Parts, request: Request, caller: Caller
) -> Reply:
    registration = path_registration(parts, request, caller)
    _check_api_key(parts, registration, caller)
    answer = await ask(
        JournalRequest(
            registration=registration,
            credential_id=request.params["credential"],
            query=request.query(),
            links_absolute=request.header(b"x-adobe-io-events-url-links").strip().lower() == "true",
            wants_json=request.header(b"accept").strip().lower() == "application/json",
        )
    )
    return Reply(answer.status, answer.body or b"", headers=answer.headers)


def _check_api_key(parts: Parts, registration: Registration, caller: Caller) -> None:
    """A journal belongs to its registration's client; lenient mode takes any api key."""
    if not parts.config.lenient and caller.client_id != registration.client_id:
        message = f"the api key {show(caller.client_id)} is not that of registration {registration.registration_id}"
        raise GatewayError(Reason.WRONG_API_KEY, message)
