"""POST /ims/token/v3 and /v2: an access token for the client id and secret of a stored credential (RFC 6749 §4.4).

Fields come in the query, in an urlencoded form or, as the JavaScript client sends them, in a multipart form. Refusals
carry RFC 6749's `error` beside this API's `reason`.
"""

from __future__ import annotations

import hmac
import re
from email import policy
from email.message import Message
from email.parser import BytesParser

from eventmill.errors import GatewayError, Reason
from eventmill.flow.answers import ERROR_CODES
from eventmill.model import Credential
from eventmill.web.checks import show
from eventmill.web.http import Reply, Request, json_reply, parse_urlencoded
from eventmill.web.parts import Parts
from eventmill.web.tokens import DEFAULT_SCOPE, Grant, mint_token

_FORM_BYTES_MAX = 64 * 1024
_FORM_PARTS_MAX = 100
_SCOPE = re.compile(r"[\w.:/,\-]{1,1000}", re.ASCII)
_NOT_STORED = ((b"cache-control", b"no-store"),)


async def issue_token(parts: Parts, request: Request) -> Reply:
    fields = dict(request.query())
    fields |= parse_form(request.header(b"content-type"), await request.body(_FORM_BYTES_MAX))
    grant_type = fields.get("grant_type", "client_credentials")
    if grant_type != "client_credentials":
        return _refuse(400, "unsupported_grant_type", f"grant_type {show(grant_type)} is not supported")
    for name in ("client_id", "client_secret"):
        if not fields.get(name):
            return _refuse(400, "invalid_request", f"{name}: required, but missing")
    scope = ",".join(fields.get("scope", "").replace(",", " ").split()) or DEFAULT_SCOPE
    if not _SCOPE.fullmatch(scope):
        return _refuse(400, "invalid_scope", f"scope: {show(scope)} is not a list of scopes")
    credential = parts.catalogue.credential_by_client(fields["client_id"])
    if credential is None or not _holds(parts, credential, fields["client_secret"]):
        return _refuse(401, "invalid_client", "client_id or client_secret is wrong")
    return json_reply(200, _token(parts, credential, scope), headers=_NOT_STORED)


def _holds(parts: Parts, credential: Credential, secret: str) -> bool:
    stored = parts.sealer.unseal(credential.sealed_secret, f"credential:{credential.id}")
    return hmac.compare_digest(stored, secret.encode())


def _token(parts: Parts, credential: Credential, scope: str) -> dict[str, object]:
    organization = parts.catalogue.organization(credential.org)
    assert organization is not None, "a credential never outlives its organization"
    lifetime_s = parts.config.token_lifetime_s
    grant = Grant.for_credential(credential, organization.ims_org_id, lifetime_s, scope)
    token = mint_token(parts.token_key, grant, now_ms=parts.clock.machine_ms())
    return {"access_token": token, "token_type": "bearer", "expires_in": lifetime_s}


def _refuse(status: int, error: str, message: str) -> Reply:
    reason = Reason.INVALID_CLIENT if status == 401 else Reason.INVALID_PARAMETER
    body = {"reason": reason.code, "message": message}
    if reason in ERROR_CODES:
        body["error_code"] = ERROR_CODES[reason]
    body |= {"error": error, "error_description": message}
    return json_reply(status, body, headers=_NOT_STORED)


def parse_form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of an urlencoded or multipart form; of a repeated field the last counts."""
    if not body:
        return {}
    if not content_type.lower().startswith("multipart/form-data"):
        return dict(parse_urlencoded(body, "the form"))
    head = b"Content-Type: " + content_type.encode("latin-1", "replace").replace(b"\n", b" ") + b"\r\n\r\n"
    message = BytesParser(policy=policy.HTTP).parsebytes(head + body)
    found = message.get_payload()
    if not isinstance(found, list) or len(found) > _FORM_PARTS_MAX:
        raise GatewayError(Reason.INVALID_PARAMETER, "the multipart form cannot be read")
    return dict(_form_field(part) for part in found if isinstance(part, Message))


def _form_field(part: Message) -> tuple[str, str]:
    name = part.get_param("name", header="content-disposition")
    value = part.get_payload(decode=True)
    if not isinstance(name, str) or not isinstance(value, bytes):
        raise GatewayError(Reason.INVALID_PARAMETER, "a part of the multipart form has no name or no value")
    try:
        return name, value.decode("utf-8")
    except UnicodeDecodeError:
        raise GatewayError(Reason.INVALID_PARAMETER, f"{show(name)}: is not UTF-8") from None
