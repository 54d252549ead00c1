"""Signing in at the OpenID Connect issuer of the settings: what is asked there, and who it says has come back.

What has to be remembered meanwhile is sealed in a cookie, so that any node of a cluster can take the person back.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import jwt
import msgspec

from eventmill.config import Config
from eventmill.errors import GatewayError, Reason, StartupError
from eventmill.model import OrgId, Role
from eventmill.send.issuer import IssuerClient, IssuerError
from eventmill.send.issuer_sign_in import SignInClient
from eventmill.ui.cookies import ROOT
from eventmill.ui.person import Person, highest_role
from eventmill.web.oidc import OutsideIssuer
from eventmill.web.parts import Parts

CALLBACK = f"{ROOT}/sign-in/oidc/callback"
ASKED_FOR_S = 600
"""How long a person may take at the issuer."""
_CONTEXT = "console sign-in"
_ROLES: Mapping[str, Role] = {"viewer": "viewer", "developer": "developer", "admin": "admin"}


class Asked(msgspec.Struct, frozen=True):
    """What was sent along, to be recognised."""

    state: str
    nonce: str
    verifier: str
    next: str
    at_ms: int


class OutsideSignIn:
    """One per process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        config = parts.config
        self._client = SignInClient(config)
        # An id token is for the client that asked; everything else is checked as of access tokens.
        for_us = msgspec.structs.replace(config, oidc_audience=config.console_oidc_client_id)
        self._issuer = OutsideIssuer(for_us, parts.clock, IssuerClient(config).fetch_keys)

    async def ask(self, wanted: str) -> tuple[str, str]:
        """Where the person goes, and what the browser's cookie holds until it is back."""
        ids, config = self._parts.ids, self._parts.config
        asked = Asked(
            state=_text(ids.random(24)),
            nonce=_text(ids.random(24)),
            verifier=_text(ids.random(48)),
            next=wanted,
            at_ms=self._parts.clock.machine_ms(),
        )
        try:
            endpoints = await self._client.endpoints()
        except IssuerError as error:
            raise GatewayError(Reason.ISSUER_UNAVAILABLE, str(error)) from error
        query = {
            "response_type": "code",
            "client_id": config.console_oidc_client_id,
            "redirect_uri": config.url + CALLBACK,
            "scope": config.console_oidc_scope,
            "state": asked.state,
            "nonce": asked.nonce,
            "code_challenge": _text(hashlib.sha256(asked.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        mark = "&" if "?" in endpoints.authorization_endpoint else "?"
        sealed = self._parts.sealer.seal(msgspec.json.encode(asked), _CONTEXT)
        return f"{endpoints.authorization_endpoint}{mark}{urlencode(query)}", sealed

    def remember(self, sealed: str, state: str) -> Asked:
        """What was asked, when this is the answer to it."""
        try:
            asked = msgspec.json.decode(self._parts.sealer.unseal(sealed, _CONTEXT), type=Asked)
        except (StartupError, msgspec.MsgspecError):
            raise _refused("this browser did not ask for it: sign in from here") from None
        is_late = self._parts.clock.machine_ms() - asked.at_ms > ASKED_FOR_S * 1000
        if is_late or not hmac.compare_digest(asked.state.encode(), state.encode()):
            raise _refused("that took too long, or is the answer to another question: sign in once more")
        return asked

    async def come_back(self, asked: Asked, code: str) -> Person:
        """Who it is. Raises `NOT_PERMITTED` when the issuer's word does not let the person in."""
        config = self._parts.config
        try:
            endpoints = await self._client.endpoints()
            token = await self._client.exchange(endpoints, code, asked.verifier, config.url + CALLBACK)
        except IssuerError as error:
            raise GatewayError(Reason.ISSUER_UNAVAILABLE, str(error)) from error
        await self._issuer.prepare(token)
        read = self._issuer.read_token(token)
        if read.expires_ms <= self._parts.clock.machine_ms():
            raise _refused("the issuer's word is over already")
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), asked.nonce.encode()):
            raise _refused("the issuer answered another question")
        role = highest_role(roles_of(config, claims))
        if role is None:
            raise _refused(f"nothing in {config.console_oidc_role_claim} gives you a role here; ask an admin")
        name = str(claims.get("email") or claims.get("preferred_username") or read.user_id)[:128]
        return Person(name, role, self._organizations(read.org))

    def _organizations(self, named: str) -> tuple[OrgId, ...]:
        """Of the issuer's claim; none: every organization."""
        if not named:
            return ()
        catalogue = self._parts.catalogue
        found = catalogue.organization_by_ims(named) or catalogue.organization(OrgId(named))
        if found is None:
            raise _refused("your organization is none of this gateway")
        return (found.id,)


def roles_of(config: Config, claims: Mapping[str, Any]) -> list[Role]:
    value = claims.get(config.console_oidc_role_claim, [])
    held = {each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)}
    pairs = (entry.rpartition("=") for entry in config.console_oidc_roles)
    return [_ROLES[role] for claim, _, role in pairs if claim in held and role in _ROLES]


def _refused(message: str) -> GatewayError:
    return GatewayError(Reason.NOT_PERMITTED, message)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
