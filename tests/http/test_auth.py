"""Who may call: tokens, api keys and organisation headers, strict and lenient; nobody reaches another organisation."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest

from eventmill.errors import GatewayError
from eventmill.model import Caller, OrgId
from eventmill.store.control import Create
from eventmill.web.caller import API_KEY_CHARS_MAX, KEPT_BYTES_MAX, KEPT_MAX
from eventmill.web.tokens import Grant, mint_token
from tests.http.world import (
    CLIENT,
    FOREIGN_CLIENT,
    FOREIGN_IMS_ORG,
    IMS_ORG,
    OTHER_CLIENT,
    TOKEN_KEY,
    World,
    running,
    signing_key,
)

pytestmark = pytest.mark.anyio

PATH = "/events/1001/providers"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Strict; no test changes it."""
    async with running(tmp_path_factory.mktemp("strict")) as each:
        yield each


@pytest.fixture(scope="module")
async def lenient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running(tmp_path_factory.mktemp("lenient"), auth="lenient") as each:
        yield each


def bearer(token: str, api_key: str | None = CLIENT, **headers: str) -> dict[str, str]:
    key = {} if api_key is None else {"x-api-key": api_key}
    return {"authorization": f"Bearer {token}", **key, **{k.replace("_", "-"): v for k, v in headers.items()}}


def forged(world: World, **claims: Any) -> str:
    """Signed with the right key, with claims of its own."""
    good = jwt.decode(world.token(), options={"verify_signature": False})
    kept = {name: value for name, value in {**good, **claims}.items() if value is not ...}
    return jwt.encode(kept, world.parts.token_key().private, algorithm="RS256", headers={"kid": TOKEN_KEY})


async def refusal(world: World, headers: Mapping[str, str]) -> tuple[int, str]:
    answer = await world.call("GET", PATH, headers=headers)
    if answer.status == 200:
        return 200, ""
    body = answer.json()
    assert list(body) == ["reason", "message", "error_code"]
    assert body["error_code"].startswith(str(answer.status))
    assert answer.header("www-authenticate") == ("Bearer" if answer.status == 401 else None)
    assert answer.header("retry-after") is None
    assert body["message"]
    return answer.status, body["reason"]


# --- Strict ---


async def test_valid_callers(world: World) -> None:
    """The scheme in any case, both organisation headers, another client's key of the same organisation."""
    token = world.token()
    user = world.token(client_id="aio-cli-console-auth", scope="openid adobeio_api")
    for headers in (
        bearer(token),
        {**bearer(token), "authorization": f"bearer  {token} "},
        bearer(token, x_ims_org_id=IMS_ORG, x_gw_ims_org_id=IMS_ORG),
        bearer(token, OTHER_CLIENT),
        bearer(user),
        bearer(token, x_ims_org_id=""),
    ):
        assert await refusal(world, headers) == (200, "")


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer  ", "Basic dXNlcg==", "Token x"])
async def test_missing_token(world: World, authorization: str | None) -> None:
    """No bearer token is 401, whatever else is sent."""
    headers = {"x-api-key": CLIENT} if authorization is None else {"x-api-key": CLIENT, "authorization": authorization}

    assert await refusal(world, headers) == (401, "missing_token")


async def test_invalid_tokens(world: World) -> None:
    """Not a JWT, another key or algorithm, a tampered payload, a missing or odd claim: 401, and nothing is revealed."""
    token = world.token()
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    swapped = base64.urlsafe_b64encode(json.dumps({**claims, "org": FOREIGN_IMS_ORG}).encode()).decode().rstrip("=")
    public_pem = signing_key(TOKEN_KEY, "token").public_pem
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": TOKEN_KEY})
    assert public_pem.startswith("-----BEGIN PUBLIC KEY-----")
    for bad in (
        "x",
        "a.b.c",
        f"{head}.{payload}.",
        f"{head}.{swapped}.{signature}",
        unsigned,
        jwt.encode(claims, "k" * 32, algorithm="HS256", headers={"kid": TOKEN_KEY}),
        jwt.encode(claims, world.parts.token_key().private, algorithm="RS512", headers={"kid": TOKEN_KEY}),
        jwt.encode(claims, world.parts.token_key().private, algorithm="RS256", headers={"kid": "other"}),
        jwt.encode(claims, world.parts.token_key().private, algorithm="RS256"),
        forged(world, type="refresh_token"),
        forged(world, type=...),
        forged(world, org=...),
        forged(world, created_at="soon"),
        forged(world, expires_in=86_399_000),
        forged(world, expires_in="-1"),
        "\xff\xfe",
    ):
        assert await refusal(world, bearer(bad)) == (401, "invalid_token")


async def test_hostile_tokens(world: World, lenient: World) -> None:
    """Endless depth or length in header or claims, odd types everywhere: 401, or in lenient mode a bearer like any."""
    good = world.token().split(".")
    deep, wide = encoded("[" * 6000), encoded('{"a":' * 2000)
    heads = ("[]", "5", '"x"', "null", '{"kid":[1]}', '{"kid":{"a":1}}', '{"alg":["RS256"]}', f'{{"kid":{"9" * 5000}}}')
    tokens = [f"{encoded(head)}.{good[1]}.{good[2]}" for head in heads]
    tokens += [f"{deep}.{good[1]}.{good[2]}", f"{wide}.{good[1]}.{good[2]}", f"{good[0]}.{deep}.{good[2]}"]
    tokens += [f"{good[0]}..{good[2]}", "." * 9000, "..", "=.=.=", f"{'.'.join(good)}.{good[2]}", "\x00.\x00.\x00"]
    tokens += [forged(world, **odd) for odd in ({"org": [IMS_ORG]}, {"scope": {"adobeio_api": 1}}, {"client_id": None})]
    tokens += [forged(world, **odd) for odd in ({"created_at": "9" * 5000}, {"expires_in": "\u0663"}, {"type": ["x"]})]
    for token in tokens:
        assert await refusal(world, bearer(token)) == (401, "invalid_token"), token[:80]
        assert await refusal(lenient, bearer(token)) == (200, ""), token[:80]
    for each in (world, lenient):
        assert await refusal(each, bearer("x" * 20_000)) == (401, "invalid_token")


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_far_future(world: World) -> None:
    """A token that never ends is as good as what signed it; numbers stay numbers."""
    assert await refusal(world, bearer(forged(world, expires_in="9" * 15))) == (200, "")
    assert await refusal(world, bearer(forged(world, expires_in="9" * 16))) == (401, "invalid_token")


async def test_repeated_headers(world: World) -> None:
    """Of several the last counts, for everything: two heads cannot be taken apart differently."""
    token = f"Bearer {world.token()}".encode()
    key = (b"x-api-key", CLIENT.encode())
    caller = world.parts.authenticator.authenticate([(b"authorization", b"x"), (b"authorization", token), key])
    with pytest.raises(GatewayError):
        world.parts.authenticator.authenticate([(b"authorization", token), (b"authorization", b"x"), key])

    assert caller.org == OrgId("1001")


async def test_delivery_key_signs_no_tokens(world: World) -> None:
    """Only keys made for tokens are trusted for them."""
    claims = jwt.decode(world.token(), options={"verify_signature": False})
    delivery_id = next(key.id for key in world.parts.catalogue.signing_keys() if key.purpose == "delivery")
    token = jwt.encode(claims, world.parts.token_key().private, algorithm="RS256", headers={"kid": delivery_id})

    assert await refusal(world, bearer(token)) == (401, "invalid_token")


async def test_expired_token(world: World) -> None:
    """One millisecond past its life by the machine's clock."""
    now_ms = world.parts.clock.machine_ms()

    assert await refusal(world, bearer(world.token(now_ms=now_ms - 3_600_000))) == (401, "expired_token")
    assert await refusal(world, bearer(world.token(now_ms=now_ms - 3_500_000))) == (200, "")


async def test_cached_token_expires_too(tmp_path: Path) -> None:
    """A caller that was let in before is refused once the token has expired."""
    async with running(tmp_path) as world:
        authenticator, clock = world.parts.authenticator, world.parts.clock
        token = world.token(lifetime_s=60)
        headers = [(b"authorization", f"Bearer {token}".encode()), (b"x-api-key", CLIENT.encode())]
        before = [authenticator.authenticate(headers) for _ in range(2)]
        now_ms = clock.machine_ms()
        clock.machine_ms = lambda: now_ms + 61_000  # type: ignore[method-assign]

        with pytest.raises(GatewayError) as caught:
            authenticator.authenticate(headers)

        assert before == [Caller(OrgId("1001"), CLIENT)] * 2
        assert caught.value.reason.code == "expired_token"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda w: bearer(w.token(), None), "missing_api_key"),
        (lambda w: bearer(w.token(), ""), "missing_api_key"),
        (lambda w: bearer(w.token(), "unknown"), "unknown_api_key"),
        (lambda w: bearer(w.token(), FOREIGN_CLIENT), "wrong_organization"),
        (lambda w: bearer(w.token(FOREIGN_IMS_ORG)), "wrong_organization"),
        (lambda w: bearer(w.token("NOBODY@AdobeOrg")), "wrong_organization"),
        (lambda w: bearer(w.token(), x_ims_org_id=FOREIGN_IMS_ORG), "wrong_organization"),
        (lambda w: bearer(w.token(), x_gw_ims_org_id="nobody"), "wrong_organization"),
        (lambda w: bearer(w.token(), x_ims_org_id=IMS_ORG, x_gw_ims_org_id=FOREIGN_IMS_ORG), "wrong_organization"),
        (lambda w: bearer(w.token(scope="openid,AdobeID")), "missing_scope"),
        (lambda w: w.foreign_auth(), "wrong_organization"),
    ],
)
async def test_forbidden_callers(world: World, make: Any, reason: str) -> None:
    """A valid token with a wrong key, scope or organisation is 403."""
    assert await refusal(world, make(world)) == (403, reason)


async def test_publishing_obeys_the_same_rules(world: World) -> None:
    """The ingress authenticates like the management API."""
    for path in ("/", "/ingress", "/ingress/"):
        answer = await world.call("POST", path, {}, headers=bearer("x"))
        assert (answer.status, answer.json()["reason"]) == (401, "invalid_token")
        assert answer.header("x-request-id")


async def test_new_credentials_count_at_once(tmp_path: Path) -> None:
    """A refusal is not remembered, and a catalogue change voids what is."""
    async with running(tmp_path) as world:
        headers = bearer(world.token(), "late-client")
        before = await refusal(world, headers)
        known = world.parts.catalogue.credential_by_client(CLIENT)
        assert known is not None
        late = msgspec.structs.replace(known, id="4444", client_id="late-client")
        await world.store.write([Create("credential", late.org, late.id, msgspec.json.encode(late))])
        await world.parts.catalogue.refresh()

        assert (before, await refusal(world, headers)) == ((403, "unknown_api_key"), (200, ""))


async def test_cache_is_bounded(lenient: World) -> None:
    """Any number of different tokens leaves a bounded number of entries."""
    authenticator = lenient.parts.authenticator
    for number in range(10_000):
        authenticator.authenticate([(b"authorization", b"Bearer %d" % number), (b"x-api-key", b"k")])

    assert len(authenticator._known) <= 2 * KEPT_MAX


async def test_padded_headers_are_not_kept(world: World, lenient: World) -> None:
    """A long bearer that lenient mode believes, or blanks around what strict mode believes, must not fill memory."""
    padded = {**bearer(world.token()), "x-api-key": CLIENT + "\u00a0" * KEPT_BYTES_MAX}
    for place, headers in ((lenient, bearer("x" * KEPT_BYTES_MAX)), (world, padded)):
        authenticator = place.parts.authenticator
        before = len(authenticator._known)
        answer = await place.call("GET", "/events/1001/providers", headers=headers)
        assert (answer.status, len(authenticator._known)) == (200, before)


async def test_flood_of_strangers_costs_the_busy_nothing(world: World) -> None:
    """Refused tokens are not remembered at all, and never push out those that are in use."""
    authenticator = world.parts.authenticator
    headers = [(b"authorization", f"Bearer {world.token()}".encode()), (b"x-api-key", CLIENT.encode())]
    authenticator.authenticate(headers)
    known = len(authenticator._known), len(authenticator._tokens)
    for number in range(1000):
        with pytest.raises(GatewayError):
            authenticator.authenticate([(b"authorization", b"Bearer a.b.%d" % number), (b"x-api-key", b"k")])

    assert (len(authenticator._known), len(authenticator._tokens)) == known


# --- Lenient ---


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-api-key": "any"}, (200, "")),
        ({"x-api-key": CLIENT}, (200, "")),
        ({"x-api-key": "k" * API_KEY_CHARS_MAX}, (200, "")),
        ({"x-api-key": "k" * (API_KEY_CHARS_MAX + 1)}, (403, "unknown_api_key")),
        ({"x-api-key": "any", "x-ims-org-id": IMS_ORG}, (200, "")),
        ({"x-api-key": "any", "x-gw-ims-org-id": IMS_ORG}, (200, "")),
        ({"x-api-key": FOREIGN_CLIENT, "x-ims-org-id": IMS_ORG}, (200, "")),
        ({"x-api-key": FOREIGN_CLIENT}, (403, "wrong_organization")),
        ({"x-api-key": CLIENT, "x-ims-org-id": FOREIGN_IMS_ORG}, (403, "wrong_organization")),
        ({"x-api-key": CLIENT, "x-ims-org-id": "nobody"}, (403, "wrong_organization")),
        (
            {"x-api-key": CLIENT, "x-ims-org-id": IMS_ORG, "x-gw-ims-org-id": FOREIGN_IMS_ORG},
            (403, "wrong_organization"),
        ),
        ({}, (403, "missing_api_key")),
    ],
)
async def test_lenient_callers(lenient: World, headers: dict[str, str], expected: tuple[int, str]) -> None:
    """Any token and any key pass; the organisation comes from the headers, else from the key, else it is open."""
    assert await refusal(lenient, {"authorization": "Bearer anything", **headers}) == expected


async def test_lenient_still_wants_a_token(lenient: World) -> None:
    """An empty bearer is refused as in strict mode."""
    assert await refusal(lenient, {"x-api-key": CLIENT, "authorization": "Bearer "}) == (401, "missing_token")


# --- The operator ---


def operator(world: World, **changes: Any) -> str:
    grant = msgspec.structs.replace(Grant.for_operator(3600), **changes)
    return mint_token(world.parts.token_key(), grant, now_ms=world.parts.clock.machine_ms())


def admitted(world: World, token: str, **headers: str) -> Caller:
    sent = bearer(token, None, **headers)
    return world.parts.authenticator.authenticate([(k.encode(), v.encode()) for k, v in sent.items()])


async def test_operator_token_opens_every_organization(world: World, lenient: World) -> None:
    """Strict and lenient: no api key is asked for; the organisation is the one of token or headers, else all."""
    for each in (world, lenient):
        token = operator(each)
        assert admitted(each, token) == Caller(None, "eventmill-admin", is_admin=True)
        assert admitted(each, token, x_ims_org_id=IMS_ORG) == Caller(OrgId("1001"), "eventmill-admin", is_admin=True)
        assert admitted(each, token, x_gw_ims_org_id=FOREIGN_IMS_ORG, x_api_key="k") == Caller(
            OrgId("1002"), "k", is_admin=True
        )
        assert admitted(each, operator(each, ims_org_id=IMS_ORG)).org == OrgId("1001")
        for path in (PATH, "/events/1002/providers"):
            assert (await each.call("GET", path, headers=bearer(token, None))).status == 200


async def test_operator_token_names_one_known_organization(world: World) -> None:
    """An unknown organisation, or two different ones, is 403 for the operator too."""
    token, theirs = operator(world), operator(world, ims_org_id=FOREIGN_IMS_ORG)
    for headers in (
        bearer(token, None, x_ims_org_id="nobody"),
        bearer(token, None, x_ims_org_id=IMS_ORG, x_gw_ims_org_id=FOREIGN_IMS_ORG),
        bearer(theirs, None, x_ims_org_id=IMS_ORG),
        bearer(theirs, None),
    ):
        assert await refusal(world, headers) == (403, "wrong_organization")


async def test_scope_alone_makes_no_operator(world: World) -> None:
    """Should the scope ever slip into a client's token, it opens nothing."""
    token = world.token(scope="eventmill_admin")
    both = world.token(scope="eventmill_admin,adobeio_api")

    assert await refusal(world, bearer(token)) == (403, "missing_scope")
    assert admitted(world, both, x_api_key=CLIENT) == Caller(OrgId("1001"), CLIENT)


async def test_lenient_mode_believes_no_forged_operator(lenient: World) -> None:
    """A forged or expired operator's token is a bearer like any other there: not the operator."""
    expired = operator(lenient, lifetime_s=0)
    claims = jwt.decode(operator(lenient), options={"verify_signature": False})
    for token in (expired, jwt.encode(claims, "k" * 32, algorithm="HS256", headers={"kid": TOKEN_KEY})):
        assert not admitted(lenient, token, x_api_key="any").is_admin
