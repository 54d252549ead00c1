"""What the token endpoints read and answer: forms in three spellings, and RFC 6749's `error` beside our own `reason`.

Fields come in the query, in an urlencoded form or, as the JavaScript client sends them, in a multipart form.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from msgspec import UNSET

from eventmill.errors import Reason
from eventmill.flow.answers import ERROR_CODES
from eventmill.model import Credential
from eventmill.store.seal import Sealer
from eventmill.web.client_secrets import open_secret
from eventmill.web.http import NOT_STORED, Reply, Request, json_reply, parse_urlencoded
from eventmill.web.ims.multipart import parse_multipart
from eventmill.web.ims.shapes import TokenRefusalBody
from eventmill.web.parts import Parts
from eventmill.web.tokens import CONSOLE_CLIENTS

_FORM_BYTES_MAX = 64 * 1024
_REASONS = {401: Reason.INVALID_CLIENT, 403: Reason.NOT_PERMITTED}


class TokenRefusal(Exception):
    """A refusal in the words of RFC 6749 §5.2."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error

    def reply(self) -> Reply:
        reason, message = _REASONS.get(self.status, Reason.INVALID_PARAMETER), str(self)
        body = TokenRefusalBody(
            reason=reason.code,
            message=message,
            error_code=ERROR_CODES.get(reason, UNSET),
            error=self.error,
            error_description=message,
        )
        return json_reply(self.status, body, headers=NOT_STORED)


async def read_fields(request: Request) -> dict[str, str]:
    """Those of the query and of the form; the form wins. The JavaScript client writes a value it has not as text."""
    fields = dict(request.query())
    fields |= parse_form(request.header(b"content-type"), await request.body(_FORM_BYTES_MAX))
    return {name: value for name, value in fields.items() if value not in ("", "undefined", "null")}


def require(fields: Mapping[str, str], *names: str) -> None:
    for name in names:
        if name not in fields:
            raise TokenRefusal(400, "invalid_request", f"{name}: required, but missing")


def check_client(parts: Parts, fields: Mapping[str, str]) -> Credential | None:
    """The credential of `client_id`, whose secret was given; None for the official CLI, which has none.

    An unknown client and a wrong secret are refused in the same words."""
    require(fields, "client_id")
    if fields["client_id"] in CONSOLE_CLIENTS:
        return None
    require(fields, "client_secret")
    credential = parts.catalogue.credential_by_client(fields["client_id"])
    if credential is None or not _holds(parts.sealer, credential, fields["client_secret"]):
        raise TokenRefusal(401, "invalid_client", "client_id or client_secret is wrong")
    return credential


def _holds(sealer: Sealer, credential: Credential, secret: str) -> bool:
    """Any of its secrets will do; all are compared."""
    given = secret.encode()
    stored = [open_secret(sealer, credential, sealed) for sealed in credential.sealed_secrets]
    matches = [hmac.compare_digest(each.encode(), given) for each in stored]
    return any(matches)


def parse_form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of an urlencoded or multipart form; of a repeated field the last counts."""
    if not body:
        return {}
    if not content_type.lower().startswith("multipart/form-data"):
        return dict(parse_urlencoded(body, "the form"))
    return parse_multipart(content_type, body)
