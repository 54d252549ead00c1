"""Who asks: bearer token, api key and organization header become a `Caller`, or a 401 or 403.

Strict: tokens of this gateway and, by setting, of one OpenID Connect issuer, fully checked. Lenient: any non-empty
bearer and any api key. The operator's tokens are recognised in both, and need neither an api key nor an organization.
Answers are kept by the raw header values, so that the publish path pays for one look-up; a catalogue change, other keys
of the issuer or the token's end voids them.
"""

from __future__ import annotations

from typing import NamedTuple

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import GatewayError, Reason
from eventmill.flow.catalogue import Catalogue
from eventmill.model import Caller, OrgId
from eventmill.web.checks import show
from eventmill.web.http import Headers
from eventmill.web.oidc import OutsideIssuer
from eventmill.web.recent import Recent
from eventmill.web.second_look import SecondLook
from eventmill.web.standing import check_standing, organization_of
from eventmill.web.tokens import (
    ADMIN_CLIENT,
    CONSOLE_CLIENTS,
    REQUIRED_SCOPE,
    TOKEN_CHARS_MAX,
    Token,
    invalid_token,
    key_id_of,
    read_token,
)

KEPT_MAX = 4096
KEPT_BYTES_MAX = 4096
"""Of header values that an answer is kept for. Padded ones would fill the memory; they are examined each time."""
API_KEY_CHARS_MAX = 128
"""Of the longest client id. Lenient mode believes every other key, and what it was is kept with the event."""
_NEVER_MS = 1 << 62
_NO_SCOPE = "none"

_Key = tuple[bytes | None, bytes | None, bytes | None, bytes | None, bool]


class _Known(NamedTuple):
    caller: Caller
    expires_ms: int
    epoch: int


class Authenticator:
    """One per process; used from its event loop only."""

    def __init__(self, config: Config, catalogue: Catalogue, clock: Clock, issuer: OutsideIssuer | None = None) -> None:
        self._lenient = config.lenient
        self._outside_scope = "" if config.oidc_required_scope == _NO_SCOPE else config.oidc_required_scope
        self._catalogue = catalogue
        self._clock = clock
        self._issuer = issuer
        self._known: Recent[_Key, _Known] = Recent(KEPT_MAX)
        self._tokens: Recent[str, Token] = Recent(KEPT_MAX)
        self._second_look = SecondLook(catalogue, self._tokens.get)
        if issuer is not None:
            issuer.on_change = self._forget

    def _forget(self) -> None:
        self._known.clear()
        self._tokens.clear()

    def authenticate(self, headers: Headers, *, console: bool = False) -> Caller:
        """Raises `GatewayError`: 401 about the token, 403 about api key, scope and organization.

        Header names must be lower-case, as ASGI has them; of a repeated header the last counts. `console`: the api keys
        of the official CLI, which belong to no organization, are good here too.
        """
        get = dict(headers).get
        key = (get(b"authorization"), get(b"x-api-key"), get(b"x-ims-org-id"), get(b"x-gw-ims-org-id"), console)
        known = self._known.get(key)
        if known is not None:
            caller, expires_ms, epoch = known
            if epoch == self._catalogue.epoch and expires_ms > self._clock.machine_ms():
                return caller
        fresh = self._examine(*(_text(value) for value in key[:4]), console=console)
        if sum(len(value) for value in key[:4] if value) <= KEPT_BYTES_MAX:
            self._known.put(key, fresh)
        return fresh.caller

    async def authenticate_newest(self, headers: Headers, *, console: bool = False) -> Caller:
        """As `authenticate`, by all that any node has answered before."""
        return await self._second_look.always(_token_of(headers), lambda: self.authenticate(headers, console=console))

    async def authenticate_anew(self, headers: Headers, refused: GatewayError) -> Caller:
        """As `authenticate`, after it has refused so by what this process knew."""
        return await self._second_look.after(refused, _token_of(headers), lambda: self.authenticate(headers))

    @property
    def waits_for_issuer(self) -> bool:
        """Whether `prepare` has to be awaited before each call."""
        return self._issuer is not None and not self._lenient

    async def prepare(self, headers: Headers) -> None:
        """Before `authenticate`: have the issuer's keys fetched should the token name a new one. Raises nothing."""
        if self._issuer is None:
            return
        token = _token_of(headers)
        if not token or self._tokens.get(token) is not None or self._is_ours(token):
            return
        await self._issuer.prepare(token)

    def identify(self, headers: Headers) -> Token | None:
        """Whose token it is, where no api key is asked for; None for a bearer that only lenient mode believes."""
        token = _bearer(_text(dict(headers).get(b"authorization")))
        try:
            return self.verify(token)
        except GatewayError:
            if self._lenient and not self._is_ours(token):
                return None
            raise

    async def identify_newest(self, headers: Headers) -> Token | None:
        """As `identify`, by all that any node has answered before."""
        return await self._second_look.always(_token_of(headers), lambda: self.identify(headers))

    def verify(self, token: str) -> Token:
        """A token that is good now, of any type and with any scope. Raises 401."""
        known = self._tokens.get(token)
        if known is None:
            if self._issuer is None or self._is_ours(token):
                known = read_token(token, self._catalogue.signing_keys())
            else:
                known = self._issuer.read_token(token)
            self._tokens.put(token, known)
        check_standing(known, self._catalogue, self._clock.machine_ms())
        return known

    def _is_ours(self, token: str) -> bool:
        try:
            kid = key_id_of(token)
        except GatewayError:
            return False
        return any(key.id == kid for key in self._catalogue.signing_keys())

    def _examine(
        self, authorization: str, api_key: str, ims_org_id: str, gw_ims_org_id: str, *, console: bool
    ) -> _Known:
        bearer = _bearer(authorization)
        epoch = self._catalogue.epoch
        asked_orgs = [org for org in (ims_org_id, gw_ims_org_id) if org]
        token = self._read_if_operator(bearer) if self._lenient else self._verify_access(bearer)
        if len(api_key) > API_KEY_CHARS_MAX:
            message = f"the api key is longer than {API_KEY_CHARS_MAX} characters, so it is no client's"
            raise GatewayError(Reason.UNKNOWN_API_KEY, message)
        if token is None:
            return _Known(self._believe(api_key, asked_orgs), _NEVER_MS, epoch)
        if token.is_operator:
            return _Known(self._admit_operator(token, api_key, asked_orgs), token.expires_ms, epoch)
        return _Known(self._admit(token, api_key, asked_orgs, console=console), token.expires_ms, epoch)

    def _read_if_operator(self, bearer: str) -> Token | None:
        """Lenient mode looks into a token for one thing only."""
        try:
            token = self._verify_access(bearer)
        except GatewayError:
            return None
        return token if token.is_operator else None

    def _verify_access(self, bearer: str) -> Token:
        token = self.verify(bearer)
        if token.type != "access_token":
            raise invalid_token("it is not an access token")
        wanted = self._outside_scope if token.is_outside else REQUIRED_SCOPE
        if wanted and wanted not in token.scopes and not token.is_operator:
            raise GatewayError(Reason.MISSING_SCOPE, f"the access token lacks the scope {wanted}")
        return token

    def _admit(self, token: Token, api_key: str, asked_orgs: list[str], *, console: bool) -> Caller:
        """A user token's own client may differ from the api key; the organization may not."""
        if not api_key:
            raise GatewayError(Reason.MISSING_API_KEY, "the header x-api-key is missing")
        organization = organization_of(token, self._catalogue)
        if not (console and api_key in CONSOLE_CLIENTS):
            credential = self._catalogue.credential_by_client(api_key)
            if credential is None:
                raise GatewayError(Reason.UNKNOWN_API_KEY, f"the api key {show(api_key)} is not known")
            if organization is None or organization.id != credential.org:
                message = f"the api key {show(api_key)} belongs to another organization than the access token"
                raise GatewayError(Reason.WRONG_ORGANIZATION, message)
        if organization is None:
            raise GatewayError(Reason.WRONG_ORGANIZATION, "the access token is for no organization of this gateway")
        for asked in asked_orgs:
            if asked != organization.ims_org_id:
                message = f"the access token is not for the organization {show(asked)} of the headers"
                raise GatewayError(Reason.WRONG_ORGANIZATION, message)
        return Caller(organization.id, api_key)

    def _admit_operator(self, token: Token, api_key: str, asked_orgs: list[str]) -> Caller:
        """Acts for the organization of the token, else for that of the headers, else for all."""
        asked = {org for org in (token.org, *asked_orgs) if org}
        if len(asked) > 1:
            message = "the access token and the headers x-ims-org-id and x-gw-ims-org-id name different organizations"
            raise GatewayError(Reason.WRONG_ORGANIZATION, message)
        org = self._known_organization(asked.pop()) if asked else None
        return Caller(org, api_key or ADMIN_CLIENT, is_admin=True)

    def _known_organization(self, ims_org_id: str) -> OrgId:
        organization = self._catalogue.organization_by_ims(ims_org_id)
        if organization is None:
            raise GatewayError(Reason.WRONG_ORGANIZATION, f"the organization {show(ims_org_id)} is not known")
        return organization.id

    def _believe(self, api_key: str, asked_orgs: list[str]) -> Caller:
        if not api_key:
            raise GatewayError(Reason.MISSING_API_KEY, "the header x-api-key is missing")
        if not asked_orgs:
            credential = self._catalogue.credential_by_client(api_key)
            return Caller(None if credential is None else credential.org, api_key)
        org = self._known_organization(asked_orgs[0])
        if asked_orgs[-1] != asked_orgs[0]:
            message = "the headers x-ims-org-id and x-gw-ims-org-id name different organizations"
            raise GatewayError(Reason.WRONG_ORGANIZATION, message)
        return Caller(org, api_key)


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("latin-1").strip()


def _token_of(headers: Headers) -> str:
    """Whatever the scheme; empty when there is none."""
    return _text(dict(headers).get(b"authorization")).partition(" ")[2].strip()


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise GatewayError(Reason.MISSING_TOKEN, "no access token: send the header Authorization: Bearer <token>")
    if len(token) > TOKEN_CHARS_MAX:
        raise invalid_token(f"it is longer than {TOKEN_CHARS_MAX} characters")
    return token.strip()
