"""Access tokens of an outside OpenID Connect issuer: its keys, kept current, and what its tokens must say (RFC 9068).

Checking is synchronous and stands on the publish path; fetching never does. `prepare` is the one place where a request
waits for the issuer: when its token names a key that is not known yet, as right after the issuer changed keys.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import jwt
import msgspec
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import GatewayError, Reason
from eventmill.send.issuer import IssuerError
from eventmill.web.tokens import UNVERIFIED_CLAIMS, Token, fingerprint, invalid_token, key_id_of

LEEWAY_S = 60
"""How far the issuer's clock may be off."""
REFETCH_INTERVAL_S = 60.0
"""Unknown keys have the key set fetched at most this often: anybody can make up a key id."""
_REFRESH_S = 600.0
_RETRY_S = 5.0
_RETRY_MAX_S = 60.0
_KEYS_MAX = 100
_RSA_BITS_MIN: Final = 2048
_RSA_BITS_MAX: Final = 8192
_SECONDS_MAX = 1e11
"""Year 5138: later is the same as never, and numbers stay small."""
_NO_KID = ""

FetchKeys = Callable[[], Awaitable[list[dict[str, Any]]]]

log = structlog.get_logger()


class _Key(msgspec.Struct, frozen=True):
    public: RSAPublicKey | EllipticCurvePublicKey
    algorithm: str
    source: Mapping[str, Any]


class _Claims(msgspec.Struct, frozen=True):
    """Registered claims (RFC 7519 §4.1), in seconds; the others have configured names."""

    iss: str
    exp: float
    aud: str | list[str]
    sub: str = ""
    nbf: float = 0
    iat: float = 0


class OutsideIssuer:
    """One per process; used from its event loop only. `run` is to be owned by somebody."""

    def __init__(self, config: Config, clock: Clock, fetch: FetchKeys) -> None:
        self._config = config
        self._clock = clock
        self._fetch = fetch
        self._keys: dict[str, _Key] = {}
        self._fetching = asyncio.Lock()
        self._fetched_s = -math.inf
        self.on_change: Callable[[], None] = lambda: None
        """Called when the keys are others than before: what was verified with them may be void."""

    async def run(self) -> None:
        """Keep the keys current; while there are none, ask more often."""
        wait_s = _RETRY_S
        while True:
            if await self.refresh():
                wait_s = _REFRESH_S
            elif not self._keys:
                wait_s = min(max(wait_s, _RETRY_S) * 2, _RETRY_MAX_S)
            await asyncio.sleep(wait_s)

    async def refresh(self) -> bool:
        """Fetch the key set; the last good one stays when that fails. Returns whether it worked."""
        async with self._fetching:
            return await self._refresh()

    async def _refresh(self) -> bool:
        self._fetched_s = self._clock.machine_s()
        try:
            fetched = _read_keys(await self._fetch())
        except IssuerError as error:
            log.warning(telemetry.ISSUER_FAILED, issuer=self._config.oidc_issuer, cause=str(error))
            return False
        if {kid: key.source for kid, key in fetched.items()} != {kid: key.source for kid, key in self._keys.items()}:
            self._keys = fetched
            log.info(telemetry.ISSUER_KEYS_READ, issuer=self._config.oidc_issuer, keys=sorted(fetched))
            self.on_change()
        return True

    async def prepare(self, token: str) -> None:
        """Wait for a fresh key set when the token's key is unknown, so that a new key's first token is good already."""
        try:
            kid = key_id_of(token)
        except GatewayError:
            return
        if self._find(kid) is not None:
            return
        async with self._fetching:  # whoever waited here finds what the one before has fetched
            interval_s = REFETCH_INTERVAL_S if self._keys else _RETRY_S
            if self._find(kid) is None and self._clock.machine_s() - self._fetched_s >= interval_s:
                await self._refresh()

    def read_token(self, token: str) -> Token:
        """What a token of the issuer says. Raises `INVALID_TOKEN`, `EXPIRED_TOKEN`, `ISSUER_UNAVAILABLE`."""
        key = self._find(key_id_of(token))
        if key is None:
            if not self._keys:
                message = "the keys of the OpenID Connect issuer could not be read yet; try again"
                raise GatewayError(Reason.ISSUER_UNAVAILABLE, message, retry_after_s=int(_RETRY_S))
            raise invalid_token("no key of the gateway or of its OpenID Connect issuer has signed it")
        try:
            document = jwt.decode(token, key.public, algorithms=[key.algorithm], options=UNVERIFIED_CLAIMS)
            claims = msgspec.convert(document, _Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError, RecursionError) as error:
            raise invalid_token(str(error)) from None
        self._check(claims)
        return Token(
            type="access_token",
            client_id="",
            user_id=claims.sub,
            org=self._text(document, self._config.oidc_org_claim),
            scopes=frozenset(self._scopes(document)),
            created_ms=int(claims.iat * 1000),
            expires_ms=int((min(claims.exp, _SECONDS_MAX) + LEEWAY_S) * 1000),
            fingerprint=fingerprint(token),
            key_id="",
            is_outside=True,
        )

    def _find(self, kid: str | None) -> _Key | None:
        """A token without `kid` is good when there is only one key that it can mean."""
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid or _NO_KID)

    def _check(self, claims: _Claims) -> None:
        now_s = self._clock.machine_ms() / 1000
        if claims.iss != self._config.oidc_issuer:
            raise invalid_token("iss: it is of another issuer")
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if self._config.oidc_audience not in audiences:
            raise invalid_token(f"aud: it is not for {self._config.oidc_audience}")
        for name, value in (("exp", claims.exp), ("nbf", claims.nbf), ("iat", claims.iat)):
            if not math.isfinite(value) or value < 0:
                raise invalid_token(f"{name}: is no time")
        for name, value in (("nbf", claims.nbf), ("iat", claims.iat)):
            if value > now_s + LEEWAY_S:
                raise invalid_token(f"{name}: it is not good yet")

    def _text(self, document: Mapping[str, Any], name: str) -> str:
        value = document.get(name, "")
        if not isinstance(value, str):
            raise invalid_token(f"{name}: must be text")
        return value

    def _scopes(self, document: Mapping[str, Any]) -> list[str]:
        name = self._config.oidc_scope_claim
        value = document.get(name, "")
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return value
        return self._text(document, name).replace(",", " ").split()


def _read_keys(fetched: list[dict[str, Any]]) -> dict[str, _Key]:
    """By key id, those that may sign: RSA and P-256, of sound size. Raises `IssuerError` when none is left."""
    keys = {}
    for source in fetched[:_KEYS_MAX]:
        key = _read_key(source)
        if key is not None:
            kid = source.get("kid")
            keys[kid if isinstance(kid, str) else _NO_KID] = key
    if not keys:
        raise IssuerError("the key set has no RSA or P-256 key for signatures")
    return keys


def _read_key(source: Mapping[str, Any]) -> _Key | None:
    if source.get("use", "sig") != "sig" or source.get("kty") not in ("RSA", "EC"):
        return None
    try:
        public = jwt.PyJWK(dict(source), algorithm="RS256" if source["kty"] == "RSA" else "ES256").key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ArithmeticError, ValueError, TypeError, LookupError, AttributeError):
        return None  # whatever it is, the set's other keys count
    algorithm = _algorithm_of(public)
    if algorithm is None or source.get("alg", algorithm) != algorithm:
        return None
    return _Key(public, algorithm, dict(source))


def _algorithm_of(public: object) -> str | None:
    """The one algorithm that a key is used with, whatever a token's header asks for."""
    if isinstance(public, RSAPublicKey) and _RSA_BITS_MIN <= public.key_size <= _RSA_BITS_MAX:
        return "RS256"
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1):
        return "ES256"
    return None
