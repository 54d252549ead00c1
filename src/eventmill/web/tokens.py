"""Access tokens: JWT-shaped like those of the IMS, because official clients read their expiry from the payload.

RS256 with the token signing key and nothing else; times are machine time. Pure but for the key material given.
"""

from __future__ import annotations

from collections.abc import Iterable

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from eventmill.errors import GatewayError, Reason
from eventmill.model import Credential, SigningKey
from eventmill.store.seal import Sealer

REQUIRED_SCOPE = "adobeio_api"
"""The I/O Management API scope; a token without it opens nothing."""
DEFAULT_SCOPE = (
    "AdobeID,openid,read_organizations,additional_info.projectedProductContext,additional_info.roles,"
    "adobeio_api,read_client_secret,manage_client_secrets"
)
_ALGORITHM = "RS256"
_OPTIONS: jwt.types.Options = {
    # Lifetime is in `created_at` and `expires_in`; the registered claims are not used.
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
}


class TokenKey(msgspec.Struct, frozen=True):
    """The key that signs new tokens, with its private half opened."""

    id: str
    private: RSAPrivateKey


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a token is issued for."""

    client_id: str
    user_id: str
    ims_org_id: str
    lifetime_s: int
    scope: str = DEFAULT_SCOPE
    """Separated by commas."""

    @classmethod
    def for_credential(
        cls, credential: Credential, ims_org_id: str, lifetime_s: int, scope: str = DEFAULT_SCOPE
    ) -> Grant:
        """A service token: the credential acts for itself."""
        return cls(
            client_id=credential.client_id,
            user_id=f"{credential.id}@techacct.adobe.com",
            ims_org_id=ims_org_id,
            lifetime_s=lifetime_s,
            scope=scope,
        )


class Claims(msgspec.Struct, frozen=True):
    """What a token says. The two times are milliseconds, as text."""

    type: str
    client_id: str
    user_id: str
    org: str
    scope: str
    created_at: str
    expires_in: str

    @property
    def expires_ms(self) -> int:
        return int(self.created_at) + int(self.expires_in)

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self.scope.replace(",", " ").split())


def load_token_key(keys: Iterable[SigningKey], sealer: Sealer) -> TokenKey:
    """The newest token key of `keys`. Raises `LookupError` when there is none."""
    candidates = [key for key in keys if key.purpose == "token"]
    if not candidates:
        raise LookupError("the store holds no token signing key")
    newest = max(candidates, key=lambda key: key.created_ms)
    pem = sealer.unseal(newest.sealed_private_pem, f"signing_key:{newest.id}")
    private = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)  # as in `core.signing`
    if not isinstance(private, RSAPrivateKey):
        raise LookupError(f"token signing key {newest.id} is not an RSA key")
    return TokenKey(newest.id, private)


def mint_token(key: TokenKey, grant: Grant, *, now_ms: int) -> str:
    """A signed access token; `now_ms` is machine time."""
    claims = {
        "type": "access_token",
        "client_id": grant.client_id,
        "user_id": grant.user_id,
        "as": "ims-na1",
        "org": grant.ims_org_id,
        "scope": grant.scope,
        "created_at": str(now_ms),
        "expires_in": str(grant.lifetime_s * 1000),
    }
    return jwt.encode(claims, key.private, algorithm=_ALGORITHM, headers={"kid": key.id, "itt": "at"})


def verify_token(token: str, keys: Iterable[SigningKey]) -> Claims:
    """The claims of an access token that one of `keys` signed, whatever its age. Raises `INVALID_TOKEN`."""
    try:
        kid = jwt.get_unverified_header(token).get("kid")
        key = next((each for each in keys if each.purpose == "token" and each.id == kid), None)
        if key is None:
            raise _invalid("it was not issued by this gateway")
        public = load_pem_public_key(key.public_pem.encode())
        if not isinstance(public, RSAPublicKey):
            raise _invalid("its key is not an RSA key")
        claims = msgspec.convert(jwt.decode(token, public, algorithms=[_ALGORITHM], options=_OPTIONS), Claims)
    except jwt.InvalidTokenError as error:
        raise _invalid(str(error)) from None
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    if claims.type != "access_token":
        raise _invalid("it is not an access token")
    if not (claims.created_at.isdecimal() and claims.expires_in.isdecimal()):
        raise _invalid("its times are not numbers")
    return claims


def _invalid(why: str) -> GatewayError:
    return GatewayError(Reason.INVALID_TOKEN, f"the access token is not valid: {why}")
