"""Tokens of our own: JWT-shaped like those of the IMS, because official clients read their expiry from the payload.

RS256 with a token signing key and nothing else; times are machine time. Says what a token says and who signed it;
whether it is still good is `web.standing`'s to judge.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from eventmill.errors import GatewayError, Reason
from eventmill.flow.catalogue import Catalogue
from eventmill.model import Credential, SigningKey
from eventmill.store.seal import Sealer

TOKEN_CHARS_MAX = 16 * 1024
REQUIRED_SCOPE = "adobeio_api"
"""The I/O Management API scope; a token without it opens nothing."""
ADMIN_SCOPE = "eventmill_admin"
"""The operator's: every organization, tenants, and publishing for built-in providers. Never given to a client."""
ADMIN_CLIENT = "eventmill-admin"
CONSOLE_CLIENTS = ("aio-cli-console-auth", "aio-cli-console-auth-stage")
"""Api keys of the official CLI: clients of people, without a credential and without a secret."""
PEOPLES_CLIENTS = frozenset((ADMIN_CLIENT, *CONSOLE_CLIENTS))
"""No credential may have one of these as its client id."""
DEFAULT_SCOPE = (
    "AdobeID,openid,read_organizations,additional_info.projectedProductContext,additional_info.roles,"
    "adobeio_api,read_client_secret,manage_client_secrets"
)
UNVERIFIED_CLAIMS: jwt.types.Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""Only the signature is PyJWT's to check: it reads times from a clock of its own, and trips over odd ones."""
_ALGORITHM = "RS256"
_MILLISECONDS = re.compile(r"[0-9]{1,15}")

TokenType = Literal["access_token", "refresh_token", "authorization_code"]


class TokenKey(msgspec.Struct, frozen=True):
    """The key that signs new tokens, with its private half opened."""

    id: str
    private: RSAPrivateKey


class TokenKeys:
    """Opens the newest token key of a catalogue, whichever that is by now."""

    def __init__(self, catalogue: Catalogue, sealer: Sealer) -> None:
        self._catalogue = catalogue
        self._sealer = sealer
        self._opened: TokenKey | None = None

    def __call__(self) -> TokenKey:
        keys = self._catalogue.signing_keys()
        if self._opened is None or self._opened.id != _newest(keys).id:
            self._opened = load_token_key(keys, self._sealer)
        return self._opened


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a token is issued for."""

    client_id: str
    user_id: str
    ims_org_id: str
    lifetime_s: int
    scope: str = DEFAULT_SCOPE
    """Separated by commas."""
    type: TokenType = "access_token"
    id: str = ""
    """Tells apart what is otherwise equal, so that one of two tokens of the same millisecond can be revoked."""

    @classmethod
    def for_credential(
        cls, credential: Credential, ims_org_id: str, lifetime_s: int, scope: str = DEFAULT_SCOPE
    ) -> Grant:
        """A service token: the credential acts for itself."""
        return cls(
            client_id=credential.client_id,
            user_id=credential.technical_account_id,
            ims_org_id=ims_org_id,
            lifetime_s=lifetime_s,
            scope=scope,
        )

    @classmethod
    def for_operator(cls, lifetime_s: int) -> Grant:
        """An admin token, of no organization."""
        return cls(
            client_id=ADMIN_CLIENT, user_id=ADMIN_CLIENT, ims_org_id="", lifetime_s=lifetime_s, scope=ADMIN_SCOPE
        )


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token whose signature was verified: who issued it to whom, for what, from when to when."""

    type: TokenType
    client_id: str
    user_id: str
    org: str
    """IMS organization id; empty in the operator's."""
    scopes: frozenset[str]
    created_ms: int
    expires_ms: int
    fingerprint: str
    """Of what was signed: another spelling of the signature is the same token."""
    key_id: str
    is_outside: bool = False
    """Of the OpenID Connect issuer, not ours."""

    @property
    def is_operator(self) -> bool:
        """The scope alone is not enough: it takes the client that only whoever holds the keys can name."""
        return ADMIN_SCOPE in self.scopes and self.client_id == ADMIN_CLIENT and not self.is_outside

    @property
    def subject(self) -> str:
        """What is revoked when everything of this client and user is."""
        return subject_of(self.client_id, self.user_id)


class _Claims(msgspec.Struct, frozen=True):
    """Of a token of ours. The two times are milliseconds, as text."""

    type: TokenType
    client_id: str
    user_id: str
    org: str
    scope: str
    created_at: str
    expires_in: str


class _Header(msgspec.Struct, frozen=True):
    """Of any JWT."""

    alg: str
    kid: str | None = None


_HEADER = msgspec.json.Decoder(_Header)


def subject_of(client_id: str, user_id: str) -> str:
    return "s" + hashlib.sha256(f"{client_id}\0{user_id}".encode()).hexdigest()


def fingerprint(token: str) -> str:
    return "t" + hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()


def load_token_key(keys: Iterable[SigningKey], sealer: Sealer) -> TokenKey:
    """The newest token key of `keys`. Raises `LookupError` when there is none."""
    newest = _newest(keys)
    pem = sealer.unseal(newest.sealed_private_pem, f"signing_key:{newest.id}")
    private = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)  # as in `core.signing`
    if not isinstance(private, RSAPrivateKey):
        raise LookupError(f"token signing key {newest.id} is not an RSA key")
    return TokenKey(newest.id, private)


def _newest(keys: Iterable[SigningKey]) -> SigningKey:
    candidates = sorted((key for key in keys if key.purpose == "token"), key=lambda key: key.created_ms)
    if not candidates:
        raise LookupError("the store holds no token signing key")
    return candidates[-1]


def mint_token(key: TokenKey, grant: Grant, *, now_ms: int) -> str:
    """A signed token; `now_ms` is machine time."""
    claims = {
        **({"id": grant.id} if grant.id else {}),
        "type": grant.type,
        "client_id": grant.client_id,
        "user_id": grant.user_id,
        "as": "ims-na1",
        "org": grant.ims_org_id,
        "scope": grant.scope,
        "created_at": str(now_ms),
        "expires_in": str(grant.lifetime_s * 1000),
    }
    return jwt.encode(claims, key.private, algorithm=_ALGORITHM, headers={"kid": key.id, "itt": "at"})


def key_id_of(token: str) -> str | None:
    """The `kid` in a token's header, unverified. Raises `INVALID_TOKEN` for what is no signed JWT at all.

    By hand, because it is all that most made-up tokens are ever asked, and PyJWT walks a token character by character.
    """
    head, _, rest = token.partition(".")
    if len(token) > TOKEN_CHARS_MAX or rest.count(".") != 1:
        raise invalid_token(f"it is no JSON Web Token of at most {TOKEN_CHARS_MAX} characters")
    try:
        return _HEADER.decode(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))).kid
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise invalid_token(f"its header cannot be read: {error}") from None


def read_token(token: str, keys: Iterable[SigningKey]) -> Token:
    """What a token says that one of `keys` signed, whatever its age. Raises `INVALID_TOKEN`."""
    kid = key_id_of(token)
    key = next((each for each in keys if each.purpose == "token" and each.id == kid), None)
    if key is None:
        raise invalid_token("it was not issued by this gateway")
    public = load_pem_public_key(key.public_pem.encode())
    if not isinstance(public, RSAPublicKey):
        raise invalid_token("its key is not an RSA key")
    try:
        claims = msgspec.convert(jwt.decode(token, public, algorithms=[_ALGORITHM], options=UNVERIFIED_CLAIMS), _Claims)
    except (jwt.InvalidTokenError, msgspec.ValidationError) as error:
        raise invalid_token(str(error)) from None
    if not (_MILLISECONDS.fullmatch(claims.created_at) and _MILLISECONDS.fullmatch(claims.expires_in)):
        raise invalid_token("its times are not numbers")
    return Token(
        type=claims.type,
        client_id=claims.client_id,
        user_id=claims.user_id,
        org=claims.org,
        scopes=frozenset(claims.scope.replace(",", " ").split()),
        created_ms=int(claims.created_at),
        expires_ms=int(claims.created_at) + int(claims.expires_in),
        fingerprint=fingerprint(token),
        key_id=key.id,
    )


def invalid_token(why: str) -> GatewayError:
    return GatewayError(Reason.INVALID_TOKEN, f"the access token is not valid: {why}")
