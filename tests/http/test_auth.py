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
from eventmill.store.base import Create
from eventmill.web import routes
from tests.http.world import (
    CLIENT,
    FOREIGN_CLIENT,
    FOREIGN_IMS_ORG,
    IMS_ORG,
    OTHER_CLIENT,
    TOKEN_KEY,
    World,
    registration_form,
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
    return jwt.encode(kept, world.parts.token_key.private, algorithm="RS256", headers={"kid": TOKEN_KEY})


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
        jwt.encode(claims, world.parts.token_key.private, algorithm="RS512", headers={"kid": TOKEN_KEY}),
        jwt.encode(claims, world.parts.token_key.private, algorithm="RS256", headers={"kid": "other"}),
        jwt.encode(claims, world.parts.token_key.private, algorithm="RS256"),
        forged(world, type="refresh_token"),
        forged(world, type=...),
        forged(world, org=...),
        forged(world, created_at="soon"),
        forged(world, expires_in=86_399_000),
        forged(world, expires_in="-1"),
        "\xff\xfe",
    ):
        assert await refusal(world, bearer(bad)) == (401, "invalid_token")


async def test_delivery_key_signs_no_tokens(world: World) -> None:
    """Only keys made for tokens are trusted for them."""
    claims = jwt.decode(world.token(), options={"verify_signature": False})
    delivery_id = next(key.id for key in world.parts.catalogue.signing_keys() if key.purpose == "delivery")
    token = jwt.encode(claims, world.parts.token_key.private, algorithm="RS256", headers={"kid": delivery_id})

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

    assert len(authenticator._known) <= 4096


# --- Lenient ---


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-api-key": "any"}, (200, "")),
        ({"x-api-key": CLIENT}, (200, "")),
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


# --- Walking the routes ---

WALKED = [(method, pattern) for method, pattern, _ in (*routes.CALLERS, *routes.JOURNAL)]
WITHOUT_ORGANIZATION = {("GET", "/events/providermetadata")}


async def paths_of_the_first_organization(world: World) -> dict[str, str]:
    """A value for every path parameter, all of them existing and the first organisation's."""
    topic = await world.topic()
    registration = await world.register(topic)
    return {
        "org": "1001",
        "project": "2001",
        "workspace": "3001",
        "credential": "4001",
        "provider": topic["provider_id"],
        "code": topic["event_code"],
        "registration": registration["registration_id"],
    }


async def test_foreign_token_opens_no_route(tmp_path: Path) -> None:
    """Every route of an organisation refuses another organisation's token, and none of the calls changes anything."""
    async with running(tmp_path) as world:
        values = await paths_of_the_first_organization(world)
        body = registration_form({"provider_id": values["provider"], "event_code": values["code"]}, label="x")
        epoch = await world.epoch()
        opened = []
        for method, pattern in WALKED:
            answer = await world.call(method, pattern.format(**values), body, headers=world.foreign_auth())
            if answer.status not in (403, 404):
                opened.append((method, pattern))
            else:
                assert answer.json()["reason"] in ("wrong_organization", "not_found")

        assert set(opened) == WITHOUT_ORGANIZATION
        assert await world.epoch() == epoch


async def test_foreign_ids_below_ones_own_organization_open_nothing(tmp_path: Path) -> None:
    """With one's own organisation in the path and somebody else's ids behind it, there is nothing to see either."""
    async with running(tmp_path) as world:
        values = await paths_of_the_first_organization(world)
        values |= {"org": "1002", "project": "2009", "workspace": "3009", "credential": "4009"}
        body = registration_form({"provider_id": values["provider"], "event_code": values["code"]}, label="x")
        epoch = await world.epoch()
        foreign_things = {"provider", "registration", "code"}
        for method, pattern in WALKED:
            if not any(f"{{{name}}}" in pattern for name in foreign_things):
                continue
            answer = await world.call(method, pattern.format(**values), body, headers=world.foreign_auth())
            assert answer.status in (403, 404), (method, pattern)
        assert await world.epoch() == epoch


async def test_every_route_needs_a_token(tmp_path: Path) -> None:
    """Without one, each is 401, whatever else is wrong with the request."""
    async with running(tmp_path) as world:
        names = ("org", "project", "workspace", "credential", "provider", "code", "registration")
        for method, pattern in WALKED:
            answer = await world.call(method, pattern.format(**dict.fromkeys(names, "x")), b"{", headers={})
            assert (answer.status, answer.json()["reason"]) == (401, "missing_token")
