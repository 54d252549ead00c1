"""POST /ims/token/v1, v2, v3 and /ims/exchange/jwt: access tokens for secrets, codes, refresh tokens and assertions.

Grants of RFC 6749 (client credentials, authorization code, refresh token) and the IMS's exchange of signed assertions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from eventmill.errors import Conflict, GatewayError, Reason
from eventmill.model import Credential, Organization
from eventmill.web.checks import show
from eventmill.web.http import NOT_STORED, Reply, Request, json_reply
from eventmill.web.ims.assertion import read_assertion
from eventmill.web.ims.form import TokenRefusal, check_client, read_fields, require
from eventmill.web.ims.shapes import TokenBody
from eventmill.web.parts import Parts
from eventmill.web.standing import check_standing, earliest_issue_ms, organization_of, use_up
from eventmill.web.tokens import ADMIN_SCOPE, DEFAULT_SCOPE, Grant, Token, mint_token, read_token, subject_of

_SCOPE = re.compile(r"[\w.:/,\-]{1,1000}", re.ASCII)
_GRANTS = {"authorization_code": "code", "refresh_token": "refresh_token"}
"""Grant types that hand in a token of ours, and the field that it comes in."""


async def issue_token(parts: Parts, request: Request) -> Reply:
    fields = await read_fields(request)
    await parts.catalogue.refresh()  # what another node has answered is obeyed here
    grant_type = fields.get("grant_type", "client_credentials")
    try:
        if grant_type in _GRANTS:
            return await _trade(parts, fields, grant_type)
        if grant_type != "client_credentials":
            raise TokenRefusal(400, "unsupported_grant_type", f"grant_type {show(grant_type)} is not supported")
        require(fields, "client_id", "client_secret")
        scope = _asked_scope(fields)
        credential = check_client(parts, fields)
        if credential is None:
            raise TokenRefusal(401, "invalid_client", "client_id or client_secret is wrong")
        return _answer(_service_grant(parts, credential, fields.get("org_id"), scope or DEFAULT_SCOPE), parts)
    except TokenRefusal as refusal:
        return refusal.reply()


async def exchange_assertion(parts: Parts, request: Request) -> Reply:
    """The deprecated JWT credential: an assertion that one of its registered keys has signed."""
    fields = await read_fields(request)
    await parts.catalogue.refresh()  # what another node has answered is obeyed here
    try:
        require(fields, "client_id", "client_secret", "jwt_token")
        credential = check_client(parts, fields)
        if credential is None:
            raise TokenRefusal(401, "invalid_client", "client_id or client_secret is wrong")
        now_s = parts.clock.machine_ms() // 1000
        scope = read_assertion(
            fields["jwt_token"], credential, _organization(parts, credential), own_url=parts.config.url, now_s=now_s
        )
        return _answer(_service_grant(parts, credential, None, scope), parts)
    except TokenRefusal as refusal:
        return refusal.reply()


def _asked_scope(fields: Mapping[str, str]) -> str:
    scope = ",".join(fields.get("scope", "").replace(",", " ").split())
    if scope and not _SCOPE.fullmatch(scope):
        raise TokenRefusal(400, "invalid_scope", f"scope: {show(scope)} is not a list of scopes")
    if ADMIN_SCOPE in scope.split(","):
        raise TokenRefusal(400, "invalid_scope", f"scope: {ADMIN_SCOPE} is the operator's")
    return scope


def _service_grant(parts: Parts, credential: Credential, org_id: str | None, scope: str) -> Grant:
    organization = _organization(parts, credential)
    if org_id is not None and org_id != organization.ims_org_id:
        raise TokenRefusal(400, "invalid_request", f"org_id: the client is not of the organization {show(org_id)}")
    return Grant.for_credential(credential, organization.ims_org_id, parts.config.token_lifetime_s, scope)


def _organization(parts: Parts, credential: Credential) -> Organization:
    organization = parts.catalogue.organization(credential.org)
    assert organization is not None, "a credential never outlives its organization"
    return organization


async def _trade(parts: Parts, fields: Mapping[str, str], grant_type: str) -> Reply:
    """An access and a refresh token for a code, once, or for a refresh token, as often as one likes."""
    field = _GRANTS[grant_type]
    require(fields, "client_id", field)
    check_client(parts, fields)
    scope = _asked_scope(fields)
    token = _read_traded(parts, fields[field], grant_type, field)
    if token.client_id != fields["client_id"]:
        raise TokenRefusal(400, "invalid_grant", f"{field}: was issued to another client")
    if organization_of(token, parts.catalogue) is None:
        raise TokenRefusal(400, "invalid_grant", f"{field}: is for no organization of this gateway")
    if not token.scopes.issuperset(scope.split(",") if scope else ()):
        raise TokenRefusal(400, "invalid_scope", "scope: more than was granted at first")
    if grant_type == "authorization_code":
        try:
            await use_up(parts.store, parts.catalogue, token)
        except Conflict:
            raise TokenRefusal(400, "invalid_grant", "code: was used already") from None
    grant = Grant(
        client_id=token.client_id,
        user_id=token.user_id,
        ims_org_id=token.org,
        lifetime_s=parts.config.token_lifetime_s,
        scope=scope or ",".join(sorted(token.scopes)),
    )
    lifetime_s = parts.config.refresh_token_lifetime_s
    granted = ",".join(sorted(token.scopes))
    refresh = msgspec.structs.replace(grant, type="refresh_token", lifetime_s=lifetime_s, scope=granted)
    return _answer(grant, parts, refresh)


def _read_traded(parts: Parts, text: str, wanted_type: str, field: str) -> Token:
    try:
        token = read_token(text, parts.catalogue.signing_keys())
        check_standing(token, parts.catalogue, parts.clock.machine_ms())
    except GatewayError as error:
        if wanted_type == "authorization_code" and error.reason is Reason.REVOKED_TOKEN:
            raise TokenRefusal(400, "invalid_grant", "code: was used already") from None
        raise TokenRefusal(400, "invalid_grant", f"{field}: {_why(error)}") from None
    if token.type != wanted_type:
        raise TokenRefusal(400, "invalid_grant", f"{field}: is no {wanted_type.replace('_', ' ')}")
    return token


def _why(error: GatewayError) -> str:
    return error.message.replace("the access token is ", "is ").replace("the access token ", "")


def _answer(grant: Grant, parts: Parts, refresh: Grant | None = None) -> Reply:
    refresh_token = UNSET if refresh is None else issue(parts, refresh)
    body = TokenBody(issue(parts, grant), "bearer", grant.lifetime_s, refresh_token)
    return json_reply(200, body, headers=NOT_STORED)


def issue(parts: Parts, grant: Grant) -> str:
    """A token for the grant, distinct from every other and not void from the start."""
    subject = subject_of(grant.client_id, grant.user_id)
    now_ms = earliest_issue_ms(parts.catalogue, grant.client_id, subject, parts.clock.machine_ms())
    return mint_token(parts.token_key(), msgspec.structs.replace(grant, id=parts.ids.uuid()), now_ms=now_ms)
