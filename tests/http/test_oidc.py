"""Tokens of an outside OpenID Connect issuer: accepted when sound, and whenever its keys can be known; else named."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from eventmill.config import Config
from eventmill.config_sources import load_config
from eventmill.errors import StartupError
from eventmill.send.issuer import IssuerClient, IssuerError
from tests.http.issuer import AUDIENCE, Issuer, ec_key, issuing, public_jwk, rsa_key, sign
from tests.http.world import CLIENT, FOREIGN_CLIENT, FOREIGN_IMS_ORG, IMS_ORG, OTHER_CLIENT, World, running

pytestmark = pytest.mark.anyio

PATH = "/events/1001/providers"


@asynccontextmanager
async def trusting(directory: Path, **settings: Any) -> AsyncIterator[tuple[World, Issuer]]:
    """A strict gateway that trusts a running issuer; it has not asked it for its keys yet."""
    async with issuing() as issuer:
        trust = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, **settings}
        async with running(directory, **trust) as world:
            yield world, issuer


@pytest.fixture(scope="module")
async def trusted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[World, Issuer]]:
    """No test changes it."""
    async with trusting(tmp_path_factory.mktemp("oidc")) as (world, issuer):
        yield world, issuer


async def ask(world: World, token: str, api_key: str | None = CLIENT, **headers: str) -> tuple[int, str]:
    """Status and reason."""
    key = {} if api_key is None else {"x-api-key": api_key}
    sent = {"authorization": f"Bearer {token}", **key, **{k.replace("_", "-"): v for k, v in headers.items()}}
    answer = await world.call("GET", PATH, headers=sent)
    return answer.status, "" if answer.status == 200 else answer.json()["reason"]


async def test_sound_tokens(trusted: tuple[World, Issuer]) -> None:
    """The organisation by either of its ids, one audience or several, scopes as text or list, any key of the org."""
    world, issuer = trusted
    for token in (
        issuer.token(),
        issuer.token(org="1001"),
        issuer.token(aud=["other", AUDIENCE]),
        issuer.token(scope=["adobeio_api"]),
        issuer.token(scope="openid,adobeio_api"),
        issuer.token(iat=...),
        issuer.token(sub=...),
        issuer.token(nbf=0, exp=4_000_000_000.5),
        issuer.token(exp=1e300),
        issuer.token(jti=5, nonce={"a": [1]}),
    ):
        assert await ask(world, token) == (200, "")
    assert await ask(world, issuer.token(), OTHER_CLIENT, x_ims_org_id=IMS_ORG) == (200, "")


async def test_our_own_tokens_still_count(trusted: tuple[World, Issuer]) -> None:
    """Beside the issuer's, and without asking it."""
    world, issuer = trusted
    await ask(world, issuer.token())
    before = issuer.fetches

    assert await ask(world, world.token()) == (200, "")
    assert issuer.fetches == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"iss": "https://other.example"}, (401, "invalid_token")),
        ({"iss": ...}, (401, "invalid_token")),
        ({"iss": {"a": 1}}, (401, "invalid_token")),
        ({"aud": "other"}, (401, "invalid_token")),
        ({"aud": []}, (401, "invalid_token")),
        ({"aud": [[AUDIENCE]]}, (401, "invalid_token")),
        ({"aud": ...}, (401, "invalid_token")),
        ({"exp": 1}, (401, "expired_token")),
        ({"exp": ...}, (401, "invalid_token")),
        ({"exp": "4000000000"}, (401, "invalid_token")),
        ({"exp": True}, (401, "invalid_token")),
        ({"exp": None}, (401, "invalid_token")),
        ({"exp": -1}, (401, "invalid_token")),
        ({"exp": float("inf")}, (401, "invalid_token")),
        ({"exp": float("nan")}, (401, "invalid_token")),
        ({"exp": 10**400}, (401, "invalid_token")),
        ({"nbf": 4_000_000_000}, (401, "invalid_token")),
        ({"iat": 4_000_000_000}, (401, "invalid_token")),
        ({"iat": float("-inf")}, (401, "invalid_token")),
        ({"sub": ["ann"]}, (401, "invalid_token")),
        ({"org": ["1001"]}, (401, "invalid_token")),
        ({"org": {"id": "1001"}}, (401, "invalid_token")),
        ({"org": 1001}, (401, "invalid_token")),
        ({"scope": {"adobeio_api": True}}, (401, "invalid_token")),
        ({"scope": [["adobeio_api"]]}, (401, "invalid_token")),
        ({"org": ...}, (403, "wrong_organization")),
        ({"org": ""}, (403, "wrong_organization")),
        ({"org": "nobody"}, (403, "wrong_organization")),
        ({"org": FOREIGN_IMS_ORG}, (403, "wrong_organization")),
        ({"scope": ...}, (403, "missing_scope")),
        ({"scope": "openid"}, (403, "missing_scope")),
        ({"scope": []}, (403, "missing_scope")),
        ({"scope": "eventmill_admin"}, (403, "missing_scope")),
    ],
)
async def test_unsound_claims(
    trusted: tuple[World, Issuer], changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    """401 for what is wrong with the token, 403 for what it does not permit; wrong types are refused like wrong values.

    The issuer never makes an operator."""
    world, issuer = trusted

    assert await ask(world, issuer.token(**changes)) == expected


async def test_headers_count_as_with_our_own_tokens(trusted: tuple[World, Issuer]) -> None:
    """Api key and organisation headers belong to the token's organisation."""
    world, issuer = trusted
    token = issuer.token()

    assert await ask(world, token, None) == (403, "missing_api_key")
    assert await ask(world, token, "unknown") == (403, "unknown_api_key")
    assert await ask(world, token, FOREIGN_CLIENT) == (403, "wrong_organization")
    assert await ask(world, token, x_ims_org_id=FOREIGN_IMS_ORG) == (403, "wrong_organization")


async def test_unsound_signatures(trusted: tuple[World, Issuer]) -> None:
    """No algorithm, a shared secret made of the public key, another key, another algorithm, no token: 401."""
    world, issuer = trusted
    public_pem = rsa_key(1).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = issuer.token()
    head, payload, signature = good.split(".")
    claims = issuer.claims()
    for token in (
        sign(claims, "", "none", {"kid": "k1"}),
        sign(claims, b"k" * 64, "HS256", {"kid": "k1"}),
        f"{head}.{payload}.",
        f"{head}.{payload[:-2]}.{signature}",
        f"{good}.{signature}",
        issuer.token(key=rsa_key(2)),
        issuer.token(algorithm="PS256"),
        issuer.token(algorithm="RS512"),
        issuer.token(key=ec_key(1), algorithm="ES256"),
        sign([claims], rsa_key(1), "RS256", {"kid": "k1"}),
        sign("x", rsa_key(1), "RS256", {"kid": "k1"}),
        sign(claims, rsa_key(1), "RS256", {"kid": "k1", "crit": ["exp"], "exp": 1}),
    ):
        assert await ask(world, token) == (401, "invalid_token")
    assert public_pem


async def test_deeply_nested_token(trusted: tuple[World, Issuer]) -> None:
    """Header or claims of endless depth or length are 401, not a fault of the gateway."""
    world, issuer = trusted
    await ask(world, issuer.token())
    deep = base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=")
    nested: Any = []
    for _ in range(400):
        nested = [nested]
    for token in (f"{deep}.e30.AAAA", f"{issuer.token().split('.')[0]}.{deep}.AAAA", "a" * 100_000, "." * 5000):
        assert await ask(world, token) == (401, "invalid_token")
    assert await ask(world, issuer.token(nested=nested)) == (200, "")


async def test_p256_keys_and_keys_without_a_name(tmp_path: Path) -> None:
    """ES256 with a P-256 key; a token without key id means the only key there is."""
    async with trusting(tmp_path) as (world, issuer):
        issuer.keys = [public_jwk(ec_key(1), None, use="sig", alg="ES256")]

        assert await ask(world, issuer.token(key=ec_key(1), kid=None, algorithm="ES256")) == (200, "")
        assert await ask(world, issuer.token(kid=None)) == (401, "invalid_token")


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_keys_that_may_not_sign(tmp_path: Path) -> None:
    """Encryption keys, weak RSA, other curves and algorithms, shared secrets, garbage: the others of the set count."""
    async with trusting(tmp_path) as (world, issuer):
        issuer.keys = [
            public_jwk(rsa_key(2), "enc", use="enc"),
            public_jwk(rsa_key(3, 1024), "weak"),
            public_jwk(rsa_key(2), "rs512", alg="RS512"),
            public_jwk(ec.generate_private_key(ec.SECP384R1()), "p384"),
            {"kty": "oct", "kid": "shared", "k": "AAAA"},
            {"kty": "RSA", "kid": "half"},
            {"kty": "RSA", "kid": "odd", "n": 5, "e": []},
            {"kty": ["RSA"], "kid": {}},
            {},
            public_jwk(rsa_key(1), "k1"),
        ]
        refused = [
            await ask(world, issuer.token(key=rsa_key(2), kid="enc")),
            await ask(world, issuer.token(key=rsa_key(3, 1024), kid="weak")),
            await ask(world, issuer.token(key=rsa_key(2), kid="rs512", algorithm="RS512")),
        ]

        assert refused == [(401, "invalid_token")] * 3
        assert await ask(world, issuer.token()) == (200, "")


async def test_configured_claims_and_scope(tmp_path: Path) -> None:
    """Other claim names and another scope."""
    names = {"oidc_org_claim": "https://acme.example/org", "oidc_scope_claim": "scp"}
    async with trusting(tmp_path, **names, oidc_required_scope="events") as (world, issuer):
        named: dict[str, Any] = {"https://acme.example/org": "1001", "scp": ["events"]}
        assert await ask(world, issuer.token(**named)) == (200, "")
        assert await ask(world, issuer.token(**{**named, "scp": ["adobeio_api"]})) == (403, "missing_scope")


async def test_configured_key_set_and_no_scope(tmp_path: Path) -> None:
    """The key set at an address of its own, without discovery; any scope will do."""
    async with issuing() as issuer:
        settings = {
            "oidc_issuer": "https://issuer.example",
            "oidc_audience": AUDIENCE,
            "oidc_jwks_url": f"{issuer.url}/keys",
            "oidc_required_scope": "none",
        }
        async with running(tmp_path, **settings) as world:
            assert await ask(world, issuer.token(iss="https://issuer.example", scope=...)) == (200, "")
            assert issuer.asked == ["/keys"]


# --- Keys come and go ---


def advance(world: World, seconds: float) -> None:
    """Machine time, which nothing else can move."""
    machine_s = world.parts.clock.machine_s
    world.parts.clock.machine_s = lambda: machine_s() + seconds  # type: ignore[method-assign]


async def test_first_token_of_a_new_key_is_good(tmp_path: Path) -> None:
    """Also when many come at once, and when it is a publish: the keys are fetched once, while they wait."""
    async with trusting(tmp_path) as (world, issuer):
        assert await ask(world, issuer.token()) == (200, "")
        issuer.keys = [public_jwk(rsa_key(2), "k2")]
        advance(world, 61)
        token = issuer.token(key=rsa_key(2), kid="k2")
        headers = {
            "authorization": f"Bearer {token}",
            "x-api-key": CLIENT,
            "content-type": "application/cloudevents+json",
        }
        event = {"specversion": "1.0", "id": "1", "source": "urn:uuid:none", "type": "t", "data": 1}

        publishing = asyncio.create_task(world.call("POST", "/", event, headers=headers))
        answers = await asyncio.gather(*(ask(world, token) for _ in range(5)))
        published = await publishing

        assert published.status == 404  # it got past authorisation: that provider does not exist
        assert answers == [(200, "")] * 5
        assert issuer.fetches == 2


async def test_withdrawn_key_is_forgotten(tmp_path: Path) -> None:
    """Tokens that were let in before are refused as soon as their key is gone."""
    async with trusting(tmp_path) as (world, issuer):
        token = issuer.token()
        before = await ask(world, token)
        issuer.keys = [public_jwk(rsa_key(2), "k2")]
        assert world.issuer is not None
        await world.issuer.refresh()

        assert (before, await ask(world, token)) == ((200, ""), (401, "invalid_token"))


async def test_unknown_keys_are_asked_for_once_a_minute(tmp_path: Path) -> None:
    """Anybody can make up a key id; the issuer must not be flooded for it."""
    async with trusting(tmp_path) as (world, issuer):
        await ask(world, issuer.token())
        for number in range(20):
            assert await ask(world, issuer.token(kid=f"made-up-{number}")) == (401, "invalid_token")
        at_once = issuer.fetches
        advance(world, 61)
        for number in range(20):
            await ask(world, issuer.token(kid=f"made-up-{number}"))

        assert (at_once, issuer.fetches) == (1, 2)


@pytest.mark.parametrize("fault", [500, 302, b"{", b"[]", b'{"keys": 5}', b'{"keys": []}', b" " * 300_000, b"[" * 9000])
async def test_last_good_keys_stay(tmp_path: Path, fault: int | bytes) -> None:
    """While the issuer is down or talks nonsense, its tokens are good as before, and new keys are not known."""
    async with trusting(tmp_path) as (world, issuer):
        await ask(world, issuer.token())
        issuer.fault = fault
        advance(world, 61)
        unknown = await ask(world, issuer.token(key=rsa_key(2), kid="k2"))

        assert unknown == (401, "invalid_token")
        assert await ask(world, issuer.token(sub="bob")) == (200, "")


async def test_issuer_that_was_never_reached(tmp_path: Path) -> None:
    """503 with Retry-After: the token may be good. Ours are, all the time; and the issuer's once it is there."""
    async with trusting(tmp_path) as (world, issuer):
        issuer.fault = 503
        headers = {"authorization": f"Bearer {issuer.token()}", "x-api-key": CLIENT}
        answer = await world.call("GET", PATH, headers=headers)

        assert (answer.status, answer.json()["reason"]) == (503, "issuer_unavailable")
        assert answer.header("retry-after") == "5"
        assert await ask(world, world.token()) == (200, "")
        issuer.fault = None
        assert world.issuer is not None
        await world.issuer.refresh()
        assert await ask(world, issuer.token()) == (200, "")


async def test_issuer_asks_again_by_itself(tmp_path: Path) -> None:
    """The background task has the keys before anybody needs them."""
    async with trusting(tmp_path) as (world, issuer):
        assert world.issuer is not None
        changed = asyncio.Event()
        world.issuer.on_change = changed.set
        running_task = asyncio.create_task(world.issuer.run())
        await changed.wait()
        running_task.cancel()

        assert await ask(world, issuer.token()) == (200, "")
        assert issuer.fetches == 1


async def test_first_token_comes_before_the_keys(tmp_path: Path) -> None:
    """A request that arrives while the background task is still fetching waits for it."""
    async with trusting(tmp_path) as (world, issuer):
        assert world.issuer is not None
        fetching = asyncio.create_task(world.issuer.refresh())
        await asyncio.sleep(0)

        assert await ask(world, issuer.token()) == (200, "")
        assert await fetching and issuer.fetches == 1


@pytest.mark.parametrize(
    ("issuer_id", "keys_at"),
    [
        ("https://other.example", ""),
        ("", "file:///etc/passwd"),
        ("", "http://[::1"),
        ("", "http://127.0.0.1:99999/"),
        ("", "/keys"),
        ("", "\x00"),
    ],
)
async def test_unsound_discovery(issuer_id: str, keys_at: str) -> None:
    """A document of another issuer is not believed; keys at an address that is none are a named error like any."""
    async with issuing() as issuer:
        issuer.says_issuer, issuer.says_keys_at = issuer_id, keys_at
        config = Config(oidc_issuer=issuer.url, oidc_audience=AUDIENCE)
        with pytest.raises(IssuerError):
            await IssuerClient(config).fetch_keys()


# --- Settings ---


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"EVENTMILL_OIDC_ISSUER": "http://issuer.example", "EVENTMILL_OIDC_AUDIENCE": "x"}, "EVENTMILL_OIDC_ISSUER"),
        ({"EVENTMILL_OIDC_ISSUER": "https://[", "EVENTMILL_OIDC_AUDIENCE": "x"}, "EVENTMILL_OIDC_ISSUER"),
        ({"EVENTMILL_OIDC_ISSUER": "issuer", "EVENTMILL_OIDC_AUDIENCE": "x"}, "EVENTMILL_OIDC_ISSUER"),
        ({"EVENTMILL_OIDC_ISSUER": "https://issuer.example"}, "EVENTMILL_OIDC_AUDIENCE"),
        (
            {
                "EVENTMILL_OIDC_ISSUER": "https://issuer.example",
                "EVENTMILL_OIDC_AUDIENCE": "x",
                "EVENTMILL_OIDC_JWKS_URL": "ftp://issuer.example/keys",
            },
            "EVENTMILL_OIDC_JWKS_URL",
        ),
    ],
)
def test_unsound_settings(environ: dict[str, str], names: str) -> None:
    """Keys over plain http and tokens for everybody are refused at start, by the name of the setting."""
    with pytest.raises(StartupError, match=names):
        load_config({}, environ)


def test_sound_settings() -> None:
    """https, and http on this machine."""
    for url in ("https://issuer.example/realm", "http://localhost:8081/realm", "http://127.0.0.1:1"):
        environ = {"EVENTMILL_OIDC_ISSUER": url, "EVENTMILL_OIDC_AUDIENCE": "x"}
        assert load_config({}, environ).oidc_issuer == url
