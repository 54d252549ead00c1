"""Who asks: bearer token, api key and organisation header become a `Caller`, or a 401 or 403.

Strict: tokens of this gateway only, fully checked. Lenient: any non-empty bearer and any api key. Answers are kept by
the raw header values, so that the publish path pays for one look-up; a catalogue change or the token's end voids them.
"""

from __future__ import annotations

from typing import NamedTuple

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import GatewayError, Reason
from eventmill.flow.catalogue import Catalogue
from eventmill.model import Caller
from eventmill.web.checks import show
from eventmill.web.http import Headers
from eventmill.web.tokens import REQUIRED_SCOPE, Claims, verify_token

_KEPT_MAX = 4096
_NEVER_MS = 1 << 62

_Key = tuple[bytes | None, bytes | None, bytes | None, bytes | None]


class _Known(NamedTuple):
    caller: Caller
    expires_ms: int
    epoch: int


class Authenticator:
    """One per process; used from its event loop only."""

    def __init__(self, config: Config, catalogue: Catalogue, clock: Clock) -> None:
        self._lenient = config.lenient
        self._catalogue = catalogue
        self._clock = clock
        self._known: dict[_Key, _Known] = {}
        self._claims: dict[str, Claims] = {}

    def authenticate(self, headers: Headers) -> Caller:
        """Raises `GatewayError`: 401 about the token, 403 about api key, scope and organisation.

        Header names must be lower-case, as ASGI has them; of a repeated header the last counts.
        """
        get = dict(headers).get
        key = (get(b"authorization"), get(b"x-api-key"), get(b"x-ims-org-id"), get(b"x-gw-ims-org-id"))
        known = self._known.get(key)
        if known is not None:
            caller, expires_ms, epoch = known
            if epoch == self._catalogue.epoch and expires_ms > self._clock.machine_ms():
                return caller
        return self._remember(key, self._examine(*(_text(value) for value in key)))

    def _remember(self, key: _Key, known: _Known) -> Caller:
        if len(self._known) >= _KEPT_MAX:
            self._known.clear()
        self._known[key] = known
        return known.caller

    def _examine(self, authorization: str, api_key: str, ims_org_id: str, gw_ims_org_id: str) -> _Known:
        token = _bearer(authorization)
        epoch = self._catalogue.epoch
        asked_orgs = [org for org in (ims_org_id, gw_ims_org_id) if org]
        if self._lenient:
            return _Known(self._believe(api_key, asked_orgs), _NEVER_MS, epoch)
        claims = self._verify(token)
        return _Known(self._admit(claims, api_key, asked_orgs), claims.expires_ms, epoch)

    def _verify(self, token: str) -> Claims:
        claims = self._claims.get(token)
        if claims is None:
            claims = verify_token(token, self._catalogue.signing_keys())
            if len(self._claims) >= _KEPT_MAX:
                self._claims.clear()
            self._claims[token] = claims
        if claims.expires_ms <= self._clock.machine_ms():
            raise GatewayError(Reason.EXPIRED_TOKEN, "the access token has expired; get a new one")
        if REQUIRED_SCOPE not in claims.scopes:
            raise GatewayError(Reason.MISSING_SCOPE, f"the access token lacks the scope {REQUIRED_SCOPE}")
        return claims

    def _admit(self, claims: Claims, api_key: str, asked_orgs: list[str]) -> Caller:
        """A user token's own client may differ from the api key; the organisation may not."""
        if not api_key:
            raise GatewayError(Reason.MISSING_API_KEY, "the header x-api-key is missing")
        credential = self._catalogue.credential_by_client(api_key)
        if credential is None:
            raise GatewayError(Reason.UNKNOWN_API_KEY, f"the api key {show(api_key)} is not known")
        organization = self._catalogue.organization_by_ims(claims.org)
        if organization is None or organization.id != credential.org:
            message = f"the api key {show(api_key)} belongs to another organization than the access token"
            raise GatewayError(Reason.WRONG_ORGANIZATION, message)
        for asked in asked_orgs:
            if asked != organization.ims_org_id:
                message = f"the access token is not for the organization {show(asked)} of the headers"
                raise GatewayError(Reason.WRONG_ORGANIZATION, message)
        return Caller(organization.id, api_key)

    def _believe(self, api_key: str, asked_orgs: list[str]) -> Caller:
        if not api_key:
            raise GatewayError(Reason.MISSING_API_KEY, "the header x-api-key is missing")
        if not asked_orgs:
            credential = self._catalogue.credential_by_client(api_key)
            return Caller(None if credential is None else credential.org, api_key)
        organization = self._catalogue.organization_by_ims(asked_orgs[0])
        if organization is None:
            raise GatewayError(Reason.WRONG_ORGANIZATION, f"the organization {show(asked_orgs[0])} is not known")
        if asked_orgs[-1] != asked_orgs[0]:
            message = "the headers x-ims-org-id and x-gw-ims-org-id name different organizations"
            raise GatewayError(Reason.WRONG_ORGANIZATION, message)
        return Caller(organization.id, api_key)


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("latin-1").strip()


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise GatewayError(Reason.MISSING_TOKEN, "no access token: send the header Authorization: Bearer <token>")
    return token.strip()
