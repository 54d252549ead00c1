"""Signing in to the console at an OpenID Connect issuer: the whole way there and back, and what is not let in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from eventmill.ui.app import ConsoleApp
from tests.http.issuer import public_jwk, rsa_key, sign
from tests.http.test_console_pages import ORG, Visitor
from tests.http.world import BASE, IMS_ORG, World, running

pytestmark = pytest.mark.anyio

CLIENT_ID = "eventmill-console"


@dataclass
class SignInPages:
    """An issuer whose people need not type anything. `claims` are those of the next id token, `...` leaves one out."""

    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    challenge: str = ""
    nonce: str = ""

    async def discovery(self, _request: web.Request) -> web.Response:
        pages = {"authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token"}
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **pages})

    async def keys(self, _request: web.Request) -> web.Response:
        return web.json_response({"keys": [public_jwk(rsa_key(1), "k1")]})

    async def token(self, request: web.Request) -> web.Response:
        """Checks PKCE, as a good issuer does."""
        form = await request.post()
        made = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        if base64.urlsafe_b64encode(made).decode().rstrip("=") != self.challenge or form["code"] != "c0de":
            return web.json_response({"error": "invalid_grant"}, status=400)
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": "u1",
            "email": "ann@example.com",
            "nonce": self.nonce,
        }
        claims |= {"iat": 0, "exp": 9_999_999_999, "groups": ["staff"], **self.claims}
        sound = {name: value for name, value in claims.items() if value is not ...}
        return web.json_response({"id_token": sign(sound, rsa_key(1), "RS256", {"kid": "k1"})})

    def visit(self, location: str) -> str:
        """What the issuer's page does with the browser: sends it back with a code. Returns the state."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert (query["client_id"], query["redirect_uri"]) == (CLIENT_ID, f"{BASE}/ui/sign-in/oidc/callback")
        assert query["code_challenge_method"] == "S256"
        self.challenge, self.nonce = query["code_challenge"], query["nonce"]
        return query["state"]


@asynccontextmanager
async def serving() -> AsyncIterator[SignInPages]:
    pages = SignInPages()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", pages.discovery)
    app.router.add_get("/keys", pages.keys)
    app.router.add_post("/token", pages.token)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pages.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield pages
    finally:
        await runner.cleanup()


@asynccontextmanager
async def console(directory: Path) -> AsyncIterator[tuple[SignInPages, World, ConsoleApp]]:
    async with serving() as pages:
        settings = {
            "oidc_issuer": pages.url,
            "oidc_audience": "the-api",
            "console_oidc_client_id": CLIENT_ID,
            "console_oidc_roles": ("staff=viewer", "builders=developer"),
        }
        async with running(directory, **settings) as world:
            yield pages, world, ConsoleApp(world.parts, world.app)


async def go(visitor: Visitor, pages: SignInPages, *, state: str = "", code: str = "c0de") -> int:
    """There and back; the status of coming back."""
    assert await visitor.get(f"/ui/sign-in/oidc?next={ORG}/projects") == 303
    told = pages.visit(visitor.headers["location"])
    return await visitor.get(f"/ui/sign-in/oidc/callback?code={code}&state={state or told}")


async def test_a_person_comes_back_signed_in(tmp_path: Path) -> None:
    """To the page that was asked for, with the role that a group gives: the highest counts."""
    async with console(tmp_path) as (pages, _, app):
        visitor = Visitor(app)
        assert await go(visitor, pages) == 303
        assert visitor.headers["location"] == f"{ORG}/projects"
        assert await visitor.get(ORG) == 200 and "ann@example.com" in visitor.body
        assert await visitor.get(f"{ORG}/projects/new") == 403
        pages.claims = {"groups": ["builders", "staff"]}
        builder = Visitor(app)
        assert await go(builder, pages) == 303
        assert await builder.get(f"{ORG}/projects/new") == 200


async def test_the_organization_of_the_claim_is_all_there_is(tmp_path: Path) -> None:
    """Others are not there; an organization that the gateway does not know lets nobody in."""
    async with console(tmp_path) as (pages, _, app):
        pages.claims = {"org": IMS_ORG}
        visitor = Visitor(app)
        assert await go(visitor, pages) == 303
        assert await visitor.get(ORG) == 200
        assert await visitor.get("/ui/orgs/1002") == 404
        pages.claims = {"org": "NOBODY@AdobeOrg"}
        assert await go(Visitor(app), pages) == 403


@pytest.mark.parametrize(
    "claims",
    [
        {"groups": ["guests"]},
        {"groups": ...},
        {"nonce": "another"},
        {"aud": "the-api"},
        {"iss": "https://else.example"},
        {"exp": 1},
    ],
    ids=str,
)
async def test_others_are_not_let_in(tmp_path: Path, claims: dict[str, Any]) -> None:
    """No role, the answer to another question, a token for the API, another issuer's, one that is over."""
    async with console(tmp_path) as (pages, _, app):
        pages.claims = claims
        visitor = Visitor(app)
        assert await go(visitor, pages) in (401, 403)
        assert await visitor.get(ORG) == 303


async def test_answers_nobody_asked_for_are_refused(tmp_path: Path) -> None:
    """Another state, a browser that did not ask, a code that the issuer does not know."""
    async with console(tmp_path) as (pages, _, app):
        assert await go(Visitor(app), pages, state="guessed") == 403
        assert await Visitor(app).get("/ui/sign-in/oidc/callback?code=c0de&state=s") == 403
        assert await go(Visitor(app), pages, code="stolen") == 503
