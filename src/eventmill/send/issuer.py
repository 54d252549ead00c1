"""Fetches the signing keys of the OpenID Connect issuer that the operator named (OpenID Connect Discovery, RFC 7517).

The operator's own choice, so no webhook guard stands before it; still bounded in time and size, without redirects and
proxies.
"""

from __future__ import annotations

from typing import Any, TypeVar

import aiohttp
import msgspec

from eventmill.config import Config

_TIMEOUT_S = 5.0
_BYTES_MAX = 256 * 1024
_DISCOVERY = "/.well-known/openid-configuration"

Document = TypeVar("Document")


class IssuerError(Exception):
    """The keys could not be fetched; the message says which address failed, and how."""


class _Discovery(msgspec.Struct, frozen=True):
    issuer: str
    jwks_uri: str


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


class IssuerClient:
    def __init__(self, config: Config) -> None:
        self._issuer = config.oidc_issuer
        self._jwks_url = config.oidc_jwks_url

    async def fetch_keys(self) -> list[dict[str, Any]]:
        """The issuer's JSON Web Keys, unjudged. Raises `IssuerError`."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            url = self._jwks_url or await self._discover(session)
            return (await _get(session, url, _KeySet)).keys

    async def _discover(self, session: aiohttp.ClientSession) -> str:
        found = await _get(session, self._issuer.rstrip("/") + _DISCOVERY, _Discovery)
        if found.issuer != self._issuer:
            raise IssuerError(f"{self._issuer} says that it is {found.issuer!r}; the setting must be the same text")
        if self._issuer.startswith("https:") and not found.jwks_uri.startswith("https:"):
            raise IssuerError(f"{self._issuer} has its keys at {found.jwks_uri!r}, which is no https URL")
        return found.jwks_uri


async def _get(session: aiohttp.ClientSession, url: str, of: type[Document]) -> Document:
    try:
        async with session.get(url, allow_redirects=False, headers={"accept": "application/json"}) as response:
            if response.status != 200:
                raise IssuerError(f"{url} answered {response.status}")
            body = await _read(response)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise IssuerError(f"{url} cannot be read: {type(error).__name__} {error}".rstrip()) from error
    if len(body) > _BYTES_MAX:
        raise IssuerError(f"{url} answered more than {_BYTES_MAX} bytes")
    try:
        return msgspec.json.decode(body, type=of)
    except (msgspec.DecodeError, RecursionError) as error:
        raise IssuerError(f"{url} answered something else: {error}") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, or a little more than `_BYTES_MAX` of it."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _BYTES_MAX:
            break
    return bytes(body)
