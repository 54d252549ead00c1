"""The deprecated JWT credential: signed assertions become tokens, and everything unsound about one is named."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from functools import cache
from typing import Any
from urllib.parse import urlencode

import jwt
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from eventmill.model import Credential, OrgId
from eventmill.store.control import Create, Key
from tests.http.client import Answer
from tests.http.issuer import sign
from tests.http.world import BASE, CLIENT, IMS_ORG, SEALER, SECRET, World, running

pytestmark = pytest.mark.anyio

URLENCODED = {"content-type": "application/x-www-form-urlencoded"}
JWT_CLIENT, JWT_SECRET, OLD_CLIENT = (
    "0a0b0000000000000000000000000005",
    "s8e-jwt-secret",
    "0a0b0000000000000000000000000006",
)
IMS = "https://ims-na1.adobelogin.com"


@cache
def private_key(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def public_pem(number: int) -> str:
    return private_key(number).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def certificate(number: int, days: int) -> str:
    """Self-signed, ending in so many days."""
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "acme")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.public_key(private_key(number).public_key()).not_valid_before(now - datetime.timedelta(days=400))
    made = builder.not_valid_after(now + datetime.timedelta(days=days)).sign(private_key(number), hashes.SHA256())
    return made.public_bytes(Encoding.PEM).decode()


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Two JWT credentials: one with a certificate and a bare key, one whose only certificate has ended."""
    async with running(tmp_path_factory.mktemp("exchange")) as each:
        ops = []
        for id, client_id, keys in (
            ("4005", JWT_CLIENT, (certificate(1, 30), public_pem(2))),
            ("4006", OLD_CLIENT, (certificate(1, -1),)),
        ):
            credential = Credential(
                id=id,
                org=OrgId("1001"),
                project_id="2001",
                workspace_id="3001",
                name=id,
                client_id=client_id,
                sealed_secret=SEALER.seal(JWT_SECRET.encode(), f"credential:{id}"),
                kind="jwt",
                public_keys=keys,
            )
            names = (Key("workspace", "3001"), Key("client_id", client_id, at_most=1))
            ops.append(Create("credential", OrgId("1001"), id, msgspec.json.encode(credential), names))
        await each.store.write(ops)
        await each.parts.catalogue.refresh()
        yield each


def assertion(world: World, *, key: Any = None, algorithm: str = "RS256", **changes: Any) -> str:
    """A sound one of the first JWT credential, unless changed; `...` leaves a claim out."""
    claims = {
        "iss": IMS_ORG,
        "sub": "4005@techacct.adobe.com",
        "aud": f"{IMS}/c/{JWT_CLIENT}",
        "exp": world.parts.clock.machine_ms() // 1000 + 300,
        f"{IMS}/s/ent_adobeio_sdk": True,
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value is not ...}
    return sign(kept, key or private_key(1), algorithm, {})


async def exchange(world: World, token: str, **fields: str) -> Answer:
    form = {"client_id": JWT_CLIENT, "client_secret": JWT_SECRET, "jwt_token": token, **fields}
    return await world.call("POST", "/ims/exchange/jwt", urlencode(form).encode(), headers=URLENCODED)


async def test_assertion_becomes_a_token(world: World) -> None:
    """With each of the keys registered; the token is the technical account's, and opens the API."""
    for number in (1, 2):
        answer = await exchange(world, assertion(world, key=private_key(number)))

        body = answer.json()
        assert (answer.status, list(body)) == (200, ["access_token", "token_type", "expires_in"])
        claims = jwt.decode(body["access_token"], options={"verify_signature": False})
        assert (claims["client_id"], claims["user_id"]) == (JWT_CLIENT, "4005@techacct.adobe.com")
        headers = {"authorization": f"Bearer {body['access_token']}", "x-api-key": JWT_CLIENT}
        assert (await world.call("GET", "/events/1001/providers", headers=headers)).status == 200


async def test_issuers_that_clients_know(world: World) -> None:
    """The audience may be the real service's, which official clients know by heart, its stage, or ours; in a list."""
    for ims in (IMS, "https://ims-na1-stg1.adobelogin.com", BASE):
        claims: dict[str, Any] = {f"{IMS}/s/ent_adobeio_sdk": ..., f"{ims}/s/ent_adobeio_sdk": True}
        for audience in (f"{ims}/c/{JWT_CLIENT}", [f"{ims}/c/{JWT_CLIENT}"]):
            assert (await exchange(world, assertion(world, aud=audience, **claims))).status == 200


async def test_metascopes_decide_the_scope(world: World) -> None:
    """Another metascope than that of I/O Events is given as it is, and does not open the API."""
    other: dict[str, Any] = {f"{IMS}/s/ent_adobeio_sdk": ..., f"{IMS}/s/ent_campaign_sdk": True}
    answer = await exchange(world, assertion(world, **other))

    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert claims["scope"] == "openid,AdobeID,ent_campaign_sdk"


@pytest.mark.parametrize(
    ("changes", "error", "about"),
    [
        ({"iss": "NOBODY@AdobeOrg"}, "invalid_token", "iss"),
        ({"iss": 5}, "invalid_token", "iss"),
        ({"sub": "4001@techacct.adobe.com"}, "invalid_token", "sub"),
        ({"aud": f"{IMS}/c/{CLIENT}"}, "invalid_token", "aud"),
        ({"aud": f"https://evil.example/c/{JWT_CLIENT}"}, "invalid_token", "aud"),
        ({"aud": "https://[/c/x"}, "invalid_token", "aud"),
        ({"aud": [{"a": 1}, 5, None]}, "invalid_token", "aud"),
        ({"aud": ...}, "invalid_token", "aud"),
        ({"exp": ...}, "invalid_token", "exp"),
        ({"exp": 1}, "invalid_token", "exp"),
        ({"exp": "soon"}, "invalid_token", "exp"),
        ({"exp": True}, "invalid_token", "exp"),
        ({"exp": 10**30}, "invalid_token", "exp"),
        ({"exp": 10**400}, "invalid_token", "exp"),
        ({"nbf": -(10**400)}, "invalid_token", "nbf"),
        ({"exp": float("inf")}, "invalid_token", "exp"),
        ({"exp": float("nan")}, "invalid_token", "exp"),
        ({"nbf": 10**12}, "invalid_token", "nbf"),
        ({"iat": 10**12}, "invalid_token", "iat"),
        ({f"{IMS}/s/ent_adobeio_sdk": ...}, "invalid_scope", "metascope"),
        ({f"{IMS}/s/ent_adobeio_sdk": "true"}, "invalid_scope", "metascope"),
        ({f"{IMS}/s/ent_adobeio_sdk": ..., f"{IMS}/s/a,eventmill_admin": True}, "invalid_scope", "metascope"),
        ({f"{IMS}/s/ent_adobeio_sdk": ..., f"{IMS}/s/eventmill_admin": True}, "invalid_scope", "metascope"),
        ({f"{IMS}/s/ent_adobeio_sdk": ..., "https://evil.example/s/x": True}, "invalid_scope", "metascope"),
    ],
)
async def test_unsound_claims(world: World, changes: dict[str, Any], error: str, about: str) -> None:
    """Each refusal names the claim."""
    answer = await exchange(world, assertion(world, **changes))

    body = answer.json()
    assert (answer.status, body["error"]) == (400, error)
    assert about in body["message"]


@pytest.mark.parametrize(
    "make",
    [
        lambda w: "x",
        lambda w: "a.b.c",
        lambda w: assertion(w, key=private_key(3)),
        lambda w: assertion(w, algorithm="RS512"),
        lambda w: assertion(w, key="k" * 32, algorithm="HS256"),
        lambda w: jwt.encode({"iss": IMS_ORG}, "", algorithm="none"),
        lambda w: assertion(w)[:-20],
        lambda w: "\u00e9." * 3,
        lambda w: jwt.encode({"iss": IMS_ORG}, private_key(1), algorithm="RS256", headers={"kid": "x", "alg": "RS256"}),
    ],
)
async def test_unsound_signatures(world: World, make: Any) -> None:
    """No JWT, another key, another algorithm, none at all: 400, never 500."""
    answer = await exchange(world, make(world))

    assert (answer.status, answer.json()["error"]) == (400, "invalid_token")


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"client_secret": "x"}, 401, "invalid_client"),
        ({"client_secret": ""}, 400, "invalid_request"),
        ({"client_id": "unknown"}, 401, "invalid_client"),
        ({"client_id": "aio-cli-console-auth"}, 401, "invalid_client"),
        ({"client_id": CLIENT, "client_secret": SECRET}, 400, "invalid_token"),
        ({"client_id": OLD_CLIENT}, 400, "invalid_token"),
        ({"jwt_token": ""}, 400, "invalid_request"),
    ],
)
async def test_unsound_clients(world: World, fields: dict[str, str], status: int, error: str) -> None:
    """Secret, client, a credential without keys, one whose certificate has ended."""
    answer = await exchange(world, assertion(world), **fields)

    assert (answer.status, answer.json()["error"]) == (status, error)
