"""A small OpenID Connect issuer on a loopback port: discovery, key set, and tokens as the test wants them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from eventmill.clock import SystemClock
from tests.http.world import IMS_ORG

AUDIENCE = "eventmill"


@cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_jwk(key: Any, kid: str | None, **members: Any) -> dict[str, Any]:
    algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    named = {} if kid is None else {"kid": kid}
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), **named, **members}


def sign(claims: Any, key: Any, algorithm: str, headers: Mapping[str, Any]) -> str:
    """A JWT of claims that no library would sign: any JSON, with NaN and Infinity."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), key, algorithm=algorithm, headers=dict(headers))


@dataclass
class Issuer:
    """`url` is its issuer identifier. `fault` answers instead: a status, or bytes."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=lambda: [public_jwk(rsa_key(1), "k1")])
    says_issuer: str = ""
    says_keys_at: str = ""
    fault: int | bytes | None = None
    asked: list[str] = field(default_factory=list)

    async def discovery(self, request: web.Request) -> web.Response:
        body = {"issuer": self.says_issuer or self.url, "jwks_uri": self.says_keys_at or f"{self.url}/keys"}
        return self._answer(request, json.dumps(body).encode())

    async def key_set(self, request: web.Request) -> web.Response:
        return self._answer(request, json.dumps({"keys": self.keys}).encode())

    async def elsewhere(self, request: web.Request) -> web.Response:
        raise AssertionError("a redirect was followed")

    def _answer(self, request: web.Request, body: bytes) -> web.Response:
        self.asked.append(request.path)
        if isinstance(self.fault, int):
            return web.Response(status=self.fault, headers={"location": f"{self.url}/elsewhere"})
        return web.Response(body=body if self.fault is None else self.fault, content_type="application/json")

    @property
    def fetches(self) -> int:
        return self.asked.count("/keys")

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Of a sound token, unless changed; `...` leaves a claim out."""
        now_s = SystemClock().machine_ms() // 1000
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ann",
            "iat": now_s,
            "exp": now_s + 300,
            "org": IMS_ORG,
            "scope": "openid adobeio_api",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not ...}

    def token(self, *, key: Any = None, kid: str | None = "k1", algorithm: str = "RS256", **changes: Any) -> str:
        headers = {} if kid is None else {"kid": kid}
        return sign(self.claims(**changes), rsa_key(1) if key is None else key, algorithm, headers)


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", issuer.discovery)
    app.router.add_get("/keys", issuer.key_set)
    app.router.add_get("/elsewhere", issuer.elsewhere)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        issuer.url = f"http://127.0.0.1:{port}"
        yield issuer
    finally:
        await runner.cleanup()
