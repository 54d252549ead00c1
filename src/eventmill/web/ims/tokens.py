"""POST /ims/validate_token/v1 and /ims/invalidate_token/v2: whether a token is good, and the end of its being so.

The answer of the first is always 200: official clients take every other status for a failure of the service.
"""

from __future__ import annotations

from msgspec import UNSET

from eventmill.errors import GatewayError, StoreUnavailable
from eventmill.model import Credential
from eventmill.web.http import NOT_STORED, Reply, Request, json_reply
from eventmill.web.ims.form import TokenRefusal, check_client, read_fields, require
from eventmill.web.ims.shapes import Done, TokenVerdict
from eventmill.web.parts import Parts
from eventmill.web.standing import organization_of, revoke_subject, revoke_token
from eventmill.web.tokens import Token


async def validate_token(parts: Parts, request: Request) -> Reply:
    fields = await read_fields(request)
    headers = [_bearer_header(fields["token"])] if "token" in fields else request.headers
    try:
        await parts.authenticator.prepare(headers)
        token = await parts.authenticator.identify_newest(headers)
    except StoreUnavailable:
        raise  # nothing is known of the token
    except GatewayError as error:
        return _verdict(error.message)
    if token is None:  # lenient mode believes it
        return _verdict()
    if fields.get("type", token.type) != token.type:
        return _verdict(f"it is of the type {token.type}")
    if not token.is_outside and fields.get("client_id", token.client_id) != token.client_id:
        return _verdict("it was issued to another client")
    return _verdict()


def _verdict(reason: str = "") -> Reply:
    return json_reply(200, TokenVerdict(valid=not reason, reason=reason or UNSET), headers=NOT_STORED)


async def invalidate_token(parts: Parts, request: Request) -> Reply:
    """Also 200 when there is nothing to end (RFC 7009 §2.2). `cascading=all`: everything of its client and user."""
    fields = await read_fields(request)
    await parts.catalogue.refresh()  # what another node has answered is obeyed here
    try:
        require(fields, "client_id", "token")
        credential = check_client(parts, fields)
        token = await _find(parts, fields["token"])
        if token is not None:
            _check_owner(parts, token, fields["client_id"], credential)
            await _invalidate(parts, token, is_cascading=fields.get("cascading") == "all")
    except TokenRefusal as refusal:
        return refusal.reply()
    return json_reply(200, Done(), headers=NOT_STORED)


async def _find(parts: Parts, text: str) -> Token | None:
    """None unless the token is good now."""
    headers = [_bearer_header(text)]
    await parts.authenticator.prepare(headers)
    try:
        return parts.authenticator.identify(headers)
    except GatewayError:
        return None


def _bearer_header(text: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + text.encode("latin-1", "replace")


def _check_owner(parts: Parts, token: Token, client_id: str, credential: Credential | None) -> None:
    """An outside token names no client of ours: there, any client of its organization may."""
    if token.is_outside:
        organization = organization_of(token, parts.catalogue)
        is_owner = organization is not None and credential is not None and organization.id == credential.org
    else:
        is_owner = token.client_id == client_id
    if not is_owner:
        raise TokenRefusal(403, "unauthorized_client", "token: was issued to another client")


async def _invalidate(parts: Parts, token: Token, *, is_cascading: bool) -> None:
    if not is_cascading and await revoke_token(parts.store, parts.catalogue, token):
        return
    await revoke_subject(
        parts.store,
        parts.catalogue,
        token,
        now_ms=parts.clock.machine_ms(),
        lifetime_s=max(parts.config.token_lifetime_s, parts.config.refresh_token_lifetime_s),
    )
