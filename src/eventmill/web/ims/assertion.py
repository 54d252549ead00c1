"""Assertions of the deprecated JWT credential: an RS256 JWT signed with a key registered for the credential.

Claims as the "Service Account (JWT) Authentication" guide lists them: `iss` the organization, `sub` the technical
account, `aud` the IMS with the client id, `exp` within a day, and a metascope as a claim of its own that is `true`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from eventmill.errors import GatewayError
from eventmill.model import Credential, Organization
from eventmill.web.certificates import not_after_ms, public_key
from eventmill.web.ims.form import TokenRefusal
from eventmill.web.tokens import ADMIN_SCOPE, DEFAULT_SCOPE, UNVERIFIED_CLAIMS, key_id_of

EVENTS_METASCOPE = "ent_adobeio_sdk"
"""Holds the scope of the I/O Management API."""
_LIFETIME_MAX_S = 24 * 3600
_LEEWAY_S = 60
_SECONDS_MAX = 1e300
"""Beyond it are infinity, no number, and integers that no float can hold."""
_IMS_HOSTS = frozenset({"ims-na1.adobelogin.com", "ims-na1-stg1.adobelogin.com"})
"""Official clients know the IMS by heart, whomever they talk to."""


def read_assertion(
    assertion: str, credential: Credential, organization: Organization, *, own_url: str, now_s: int
) -> str:
    """The scope that a sound assertion asks for, separated by commas. Raises `TokenRefusal` saying what is wrong."""
    claims = _verify(assertion, credential, now_s)
    if claims.get("iss") != organization.ims_org_id:
        raise _refuse(f"iss: must be the organization of the client, {organization.ims_org_id}")
    if claims.get("sub") != credential.technical_account_id:
        raise _refuse(f"sub: must be the technical account of the client, {credential.technical_account_id}")
    hosts = _IMS_HOSTS | {urlsplit(own_url).netloc}
    _check_audience(claims.get("aud"), credential.client_id, hosts)
    _check_times(claims, now_s)
    metascopes = sorted(_metascopes(claims, hosts))
    if not metascopes:
        raise TokenRefusal(400, "invalid_scope", "the assertion names no metascope: <ims>/s/<metascope> must be true")
    return DEFAULT_SCOPE if EVENTS_METASCOPE in metascopes else ",".join(["openid", "AdobeID", *metascopes])


def _verify(assertion: str, credential: Credential, now_s: int) -> Mapping[str, Any]:
    if credential.kind != "jwt" or not credential.public_keys:
        raise _refuse("the client has no public key registered; assertions are for JWT credentials")
    try:
        key_id_of(assertion)
    except GatewayError:
        raise _refuse("jwt_token: is not a JSON Web Token") from None
    for key in _keys_in_force(credential, now_s):
        try:
            return jwt.decode(assertion, key, algorithms=["RS256"], options=UNVERIFIED_CLAIMS)
        except jwt.InvalidAlgorithmError:
            raise _refuse("jwt_token: must be signed with RS256") from None
        except jwt.InvalidSignatureError:
            continue
        except (jwt.InvalidTokenError, RecursionError):
            raise _refuse("jwt_token: is not a JSON Web Token") from None
    raise _refuse("jwt_token: no key registered for the client has signed it")


def _keys_in_force(credential: Credential, now_s: int) -> list[RSAPublicKey]:
    ends = ((pem, not_after_ms(pem)) for pem in credential.public_keys)
    keys = [public_key(pem) for pem, end_ms in ends if end_ms is None or end_ms > now_s * 1000]
    if not keys:
        raise _refuse("every certificate registered for the client has expired")
    return keys


def _check_audience(audience: object, client_id: str, hosts: frozenset[str]) -> None:
    for each in audience if isinstance(audience, list) else [audience]:
        if isinstance(each, str) and _path_on(each, hosts) == f"/c/{client_id}":
            return
    raise _refuse(f"aud: must be <ims>/c/{client_id}")


def _path_on(url: str, hosts: frozenset[str]) -> str:
    """The path of a URL on one of the hosts, else nothing."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.path if parts.netloc in hosts else ""


def _check_times(claims: Mapping[str, Any], now_s: int) -> None:
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name, 0 if name != "exp" else None)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _SECONDS_MAX:
            raise _refuse(f"{name}: must be a time in seconds")
        if name == "exp" and value <= now_s - _LEEWAY_S:
            raise _refuse("exp: the assertion has expired")
        if name == "exp" and value > now_s + _LIFETIME_MAX_S + _LEEWAY_S:
            raise _refuse("exp: must be within 24 hours; it is in seconds, not in milliseconds")
        if name != "exp" and value > now_s + _LEEWAY_S:
            raise _refuse(f"{name}: the assertion is not good yet")


def _metascopes(claims: Mapping[str, Any], hosts: frozenset[str]) -> set[str]:
    paths = (_path_on(name, hosts) for name, value in claims.items() if value is True)
    names = {path.removeprefix("/s/") for path in paths if path.startswith("/s/")}
    return {name for name in names if name.replace("_", "").isalnum() and name.isascii() and name != ADMIN_SCOPE}


def _refuse(message: str) -> TokenRefusal:
    return TokenRefusal(400, "invalid_token", message)
