"""Asks the OpenID Connect issuer when a person signs in there: where its pages are, and which id token a code gives.

OpenID Connect Core 1.0, authorization code flow, with PKCE (RFC 7636). Bounded in time and size, without redirects and
proxies, as `send.issuer` is.
"""

from __future__ import annotations

from typing import TypeVar

import aiohttp
import msgspec

from eventmill.config import Config
from eventmill.send.issuer import IssuerError

_TIMEOUT_S = 10.0
_BYTES_MAX = 256 * 1024
_DISCOVERY = "/.well-known/openid-configuration"

Document = TypeVar("Document")


class Endpoints(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str


class SignInClient:
    def __init__(self, config: Config) -> None:
        self._config = config

    async def endpoints(self) -> Endpoints:
        """Raises `IssuerError`; likewise the next."""
        issuer = self._config.oidc_issuer
        found = await self._ask("GET", issuer.rstrip("/") + _DISCOVERY, None, Endpoints)
        if found.issuer != issuer:
            raise IssuerError(f"{issuer} says that it is {found.issuer!r}; the setting must be the same text")
        addresses = (found.authorization_endpoint, found.token_endpoint)
        if issuer.startswith("https:") and not all(each.startswith("https:") for each in addresses):
            raise IssuerError(f"{issuer} has people sign in at an address that is no https URL")
        return found

    async def exchange(self, endpoints: Endpoints, code: str, verifier: str, redirect_url: str) -> str:
        """The id token, unjudged."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_url,
            "client_id": self._config.console_oidc_client_id,
            "code_verifier": verifier,
        }
        if self._config.console_oidc_client_secret:
            form["client_secret"] = self._config.console_oidc_client_secret
        return (await self._ask("POST", endpoints.token_endpoint, form, _Tokens)).id_token

    async def _ask(self, method: str, url: str, form: dict[str, str] | None, of: type[Document]) -> Document:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.request(
                    method, url, data=form, allow_redirects=False, headers={"accept": "application/json"}
                ) as response,
            ):
                body = b"".join([chunk async for chunk in response.content.iter_any()])[:_BYTES_MAX]
                if response.status != 200:
                    raise IssuerError(f"{url} answered {response.status}")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise IssuerError(f"{url} cannot be reached: {type(error).__name__} {error}".rstrip()) from error
        try:
            return msgspec.json.decode(body, type=of)
        except (msgspec.DecodeError, RecursionError) as error:
            raise IssuerError(f"{url} answered something else: {error}") from error
