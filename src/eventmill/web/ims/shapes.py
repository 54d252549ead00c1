"""What the token endpoints take, which is for the API's description only, and the bodies that they answer with."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from eventmill.web.bodies import ErrorBody

_Text = Annotated[str, msgspec.Meta(min_length=1)]


def _said(description: str, **limits: Any) -> msgspec.Meta:
    return msgspec.Meta(description=description, **limits)


class TokenForm(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 6749: client credentials (§4.4), authorization code (§4.1.3), refresh token (§6)."""

    grant_type: Literal["client_credentials", "authorization_code", "refresh_token"] = "client_credentials"
    client_id: _Text
    client_secret: Annotated[str, _said("All but the official command line have one.")] | UnsetType = UNSET
    scope: Annotated[str, _said("Separated by commas or blanks.")] | UnsetType = UNSET
    org_id: Annotated[str, _said("The IMS organization id; must be the client's.")] | UnsetType = UNSET
    code: Annotated[str, _said("With grant_type authorization_code; good once.")] | UnsetType = UNSET
    refresh_token: Annotated[str, _said("With grant_type refresh_token.")] | UnsetType = UNSET


class AssertionForm(msgspec.Struct, frozen=True):
    client_id: _Text
    client_secret: _Text
    jwt_token: Annotated[str, _said("Signed (RS256) with a key that was registered for the credential.", min_length=1)]


class TokenQuestion(msgspec.Struct, frozen=True, kw_only=True):
    token: Annotated[str, _said("Left out: the bearer token.")] | UnsetType = UNSET
    type: (
        Annotated[str, _said("The type it must be of: access_token, refresh_token, authorization_code.")] | UnsetType
    ) = UNSET
    client_id: Annotated[str, _said("The client it must have been issued to.")] | UnsetType = UNSET


class TokenEnd(msgspec.Struct, frozen=True, kw_only=True):
    client_id: _Text
    client_secret: str | UnsetType = UNSET
    token: _Text
    cascading: Annotated[str, _said("`all`: every token of its client and user ends as well.")] | UnsetType = UNSET


class TokenBody(msgspec.Struct, frozen=True):
    access_token: str
    token_type: Literal["bearer"]
    expires_in: Annotated[int, _said("In seconds.", ge=1)]
    refresh_token: str | UnsetType = UNSET


class TokenRefusalBody(ErrorBody, frozen=True, kw_only=True):
    """A refusal in the words of RFC 6749 §5.2 too."""

    error: str | UnsetType = UNSET
    error_description: str | UnsetType = UNSET


class TokenVerdict(msgspec.Struct, frozen=True):
    valid: bool
    reason: Annotated[str, _said("Why it is not.")] | UnsetType = UNSET


class Done(msgspec.Struct, frozen=True):
    """Nothing to tell."""


class OrgRef(msgspec.Struct, frozen=True, rename="camel"):
    ident: str
    auth_src: str


class ImsOrganization(msgspec.Struct, frozen=True, rename="camel"):
    org_name: str
    org_ref: OrgRef
    org_type: Literal["Enterprise"]
    country_code: None
    groups: list[str]


class Profile(
    msgspec.Struct,
    frozen=True,
    rename={"user_id": "userId", "auth_id": "authId", "email_verified": "emailVerified", "display_name": "displayName"},
):
    user_id: str
    auth_id: str
    account_type: Literal["service", "type3"]
    email: str
    email_verified: Literal["true"]
    name: str
    display_name: str
    first_name: str
    last_name: str


class TokenKeyBody(msgspec.Struct, frozen=True):
    """A public key (RFC 7517)."""

    kty: Literal["RSA"]
    kid: str
    use: Literal["sig"]
    alg: Literal["RS256"]
    n: str
    e: str


class KeySet(msgspec.Struct, frozen=True):
    keys: list[TokenKeyBody]


class NewKey(msgspec.Struct, frozen=True):
    kid: str
    created_ms: int
    kids: Annotated[list[str], _said("All whose tokens are good now.")]
