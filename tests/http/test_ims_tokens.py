"""Validating and ending tokens, and whose they are: at once here, soon elsewhere, after a restart too, and bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from eventmill.errors import GatewayError
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.token_upkeep import TokenUpkeep
from eventmill.model import OrgId, Revocation
from eventmill.store.control import Create, Delete, Replace
from eventmill.web import standing
from eventmill.web.caller import Authenticator
from eventmill.web.ims.grants import issue
from eventmill.web.tokens import Grant
from tests.http.client import Answer
from tests.http.issuer import AUDIENCE, issuing
from tests.http.world import (
    CLIENT,
    FOREIGN_CLIENT,
    FOREIGN_IMS_ORG,
    FOREIGN_SECRET,
    IMS_ORG,
    OTHER_CLIENT,
    OTHER_SECRET,
    SECRET,
    World,
    running,
)

pytestmark = pytest.mark.anyio

URLENCODED = {"content-type": "application/x-www-form-urlencoded"}
CONSOLE = "aio-cli-console-auth"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as each:
        yield each


def issued(world: World, client_id: str = CLIENT, **changes: Any) -> str:
    """An access token of the credential 4001, unless changed."""
    grant = Grant(client_id=client_id, user_id="4001@techacct.adobe.com", ims_org_id=IMS_ORG, lifetime_s=3600)
    return issue(world.parts, msgspec.structs.replace(grant, **changes))


async def post(world: World, target: str, fields: dict[str, str], **headers: str) -> Answer:
    return await world.call("POST", target, urlencode(fields).encode(), headers={**URLENCODED, **headers})


async def invalidate(world: World, token: str, **fields: str) -> Answer:
    form = {"token": token, "token_type": "access_token", "client_id": CLIENT, "client_secret": SECRET, **fields}
    return await post(world, "/ims/invalidate_token/v2", form)


async def ask(world: World, token: str, api_key: str = CLIENT) -> str:
    """Reason of the refusal, or nothing."""
    headers = {"authorization": f"Bearer {token}", "x-api-key": api_key}
    answer = await world.call("GET", "/events/1001/providers", headers=headers)
    return "" if answer.status == 200 else f"{answer.status} {answer.json()['reason']}"


async def verdict(world: World, fields: dict[str, str], **headers: str) -> Any:
    answer = await post(world, "/ims/validate_token/v1", fields, **headers)
    assert answer.status == 200
    return answer.json()


# --- Validating ---


async def test_validating_a_good_token(world: World) -> None:
    """In the form as the Java client sends it, as the bearer as the JavaScript client does; with the right names."""
    token = issued(world)
    form = {"type": "access_token", "client_id": CLIENT}

    assert await verdict(world, {**form, "token": token}) == {"valid": True}
    assert await verdict(world, form, authorization=f"Bearer {token}") == {"valid": True}
    assert await verdict(world, {"token": token}) == {"valid": True}


async def test_validating_a_bad_token(world: World) -> None:
    """200 with the reason: official clients take any other status for a failure of the service."""
    token = issued(world)
    await invalidate(world, token)
    for fields in (
        {"token": token},
        {"token": "x"},
        {"token": "\u20ac"},
        {},
        {"token": issued(world, lifetime_s=0)},
        {"token": issued(world), "type": "refresh_token"},
        {"token": issued(world), "client_id": OTHER_CLIENT},
    ):
        answer = await verdict(world, fields)
        assert answer["valid"] is False and answer["reason"]


async def test_validating_in_lenient_mode(tmp_path: Path) -> None:
    """Whatever it would believe is valid; of its own tokens it knows better."""
    async with running(tmp_path, auth="lenient") as world:
        assert await verdict(world, {"token": "anything"}) == {"valid": True}
        assert await verdict(world, {"token": issued(world)}) == {"valid": True}
        assert (await verdict(world, {"token": issued(world, lifetime_s=0)}))["valid"] is False
        assert (await verdict(world, {}))["valid"] is False


# --- Ending ---


async def test_ended_token(world: World) -> None:
    """It and no other stops working at once, whatever was remembered of it, however its signature is spelled."""
    token, other = issued(world), issued(world)
    before = [await ask(world, each) for each in (token, other)]
    respelled = token[:-1] + chr(ord(token[-1]) + 1)
    answer = await invalidate(world, token)

    assert (answer.status, answer.json()) == (200, {})
    assert before == ["", ""]
    assert [await ask(world, each) for each in (token, other)] == ["401 revoked_token", ""]
    assert (await ask(world, respelled)).startswith("401")


async def test_ending_all_of_a_client_and_user(world: World) -> None:
    """`cascading=all` ends what was issued until now, refresh tokens too; what is issued next is good at once."""
    token, other = issued(world), issued(world)
    refresh = issued(world, type="refresh_token")
    colleague = issued(world, user_id="bob@acme.example")
    stranger = issued(world, OTHER_CLIENT, user_id="4002@techacct.adobe.com")

    await invalidate(world, token, cascading="all")

    assert [await ask(world, each) for each in (token, other)] == ["401 revoked_token"] * 2
    assert [await ask(world, each) for each in (colleague, stranger, issued(world))] == ["", "", ""]
    form = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": CLIENT, "client_secret": SECRET}
    answer = await post(world, "/ims/token/v1", form)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_grant")


async def test_ending_is_durable_and_seen_elsewhere(tmp_path: Path) -> None:
    """Another process sees it once it looked at the store; a restart does not bring the token back."""
    async with running(tmp_path) as world:
        token, cascaded = issued(world), issued(world, user_id="bob@acme.example")
        catalogue = Catalogue(world.store)
        await catalogue.load()
        elsewhere = Authenticator(world.parts.config, catalogue, world.parts.clock)
        headers = [(b"authorization", f"Bearer {token}".encode()), (b"x-api-key", CLIENT.encode())]
        elsewhere.authenticate(headers)
        await invalidate(world, token)
        await invalidate(world, cascaded, cascading="all")
        await catalogue.refresh()

        with pytest.raises(GatewayError, match="revoked"):
            elsewhere.authenticate(headers)
    async with running(tmp_path) as world:
        assert [await ask(world, each) for each in (token, cascaded)] == ["401 revoked_token"] * 2
        assert await ask(world, issued(world)) == ""


async def test_many_endings_become_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered is bounded per client and user: beyond it, all that was issued so far ends."""
    monkeypatch.setattr(standing, "REVOCATIONS_PER_SUBJECT", 3)
    tokens = [issued(world) for _ in range(5)]
    for token in tokens[:4]:
        await invalidate(world, token)

    assert len(await world.store.scan("revocation")) == 1
    assert [await ask(world, each) for each in tokens] == ["401 revoked_token"] * 5
    assert await ask(world, issued(world)) == ""


async def test_what_is_remembered_goes_with_the_tokens(world: World) -> None:
    """A revocation is deleted once every token that it voids would have expired anyway."""
    parts = world.parts
    upkeep = TokenUpkeep(world.store, parts.catalogue, parts.sealer, parts.clock, parts.ids, parts.config)
    await invalidate(world, issued(world, lifetime_s=60))
    await invalidate(world, issued(world, user_id="bob@acme.example"), cascading="all")
    now_ms = parts.clock.machine_ms()
    left = []
    for seconds in (0, 61, parts.config.refresh_token_lifetime_s + 60):
        parts.clock.machine_ms = lambda: now_ms + seconds * 1000  # type: ignore[method-assign]  # noqa: B023
        await upkeep.step()
        left.append(len(await world.store.scan("revocation")))

    assert left == [2, 1, 0]


async def test_a_renewed_revocation_stays(world: World) -> None:
    """One that is over as it is known here, but was renewed in the store meanwhile, is not taken for over."""
    parts, now_ms = world.parts, world.parts.clock.machine_ms()
    over = Revocation(id="s1", org=OrgId("1001"), before_ms=1, expires_ms=now_ms - 1)
    await world.store.write([Create("revocation", over.org, over.id, msgspec.json.encode(over))])
    await parts.catalogue.refresh()
    renewed = msgspec.structs.replace(over, before_ms=now_ms, expires_ms=now_ms + 3_600_000)
    stored = await world.store.get("revocation", over.org, over.id)
    assert stored is not None
    await world.store.write([Replace("revocation", over.org, over.id, msgspec.json.encode(renewed), stored.version)])

    upkeep = TokenUpkeep(world.store, parts.catalogue, parts.sealer, parts.clock, parts.ids, parts.config)
    deleted = await upkeep.step()

    assert (deleted, parts.catalogue.revocation("s1")) == (0, renewed)


async def test_other_processes_endings_are_noticed(world: World) -> None:
    """The next request obeys what somebody else wrote to the store."""
    parts = world.parts
    token = issued(world)
    read = parts.authenticator.verify(token)
    before = await ask(world, token)
    revocation = Revocation(id=read.fingerprint, org=OrgId("1001"), before_ms=1 << 53, expires_ms=read.expires_ms)
    await world.store.write([Create("revocation", OrgId("1001"), revocation.id, msgspec.json.encode(revocation))])

    assert (before, await ask(world, token)) == ("", "401 revoked_token")


async def test_ending_nothing(world: World) -> None:
    """A token that is no good any more, or never was, is 200 as well (RFC 7009)."""
    token = issued(world)
    await invalidate(world, token)
    for bad in (token, "x", issued(world, lifetime_s=0)):
        assert (await invalidate(world, bad)).status == 200


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"client_id": OTHER_CLIENT, "client_secret": OTHER_SECRET}, 403, "unauthorized_client"),
        ({"client_id": FOREIGN_CLIENT, "client_secret": FOREIGN_SECRET}, 403, "unauthorized_client"),
        ({"client_id": CONSOLE}, 403, "unauthorized_client"),
        ({"client_secret": "x"}, 401, "invalid_client"),
        ({"client_secret": ""}, 400, "invalid_request"),
        ({"client_id": ""}, 400, "invalid_request"),
    ],
)
async def test_nobody_ends_anothers_tokens(world: World, fields: dict[str, str], status: int, error: str) -> None:
    """Only the client itself, by its secret; the token stays good."""
    token = issued(world)
    answer = await invalidate(world, token, cascading="all", **fields)

    assert (answer.status, answer.json()["error"]) == (status, error)
    assert await ask(world, token) == ""


async def test_people_sign_out(world: World) -> None:
    """The official CLI has no secret: the token in hand is enough."""
    token = issued(world, CONSOLE, user_id="ann@acme.example")
    answer = await invalidate(world, token, client_id=CONSOLE, client_secret="undefined", cascading="all")

    assert answer.status == 200
    assert await ask(world, token) == "401 revoked_token"


async def test_ending_a_token_of_the_issuer(tmp_path: Path) -> None:
    """By any client of its organisation; the issuer itself knows nothing of it."""
    async with issuing() as issuer, running(tmp_path, oidc_issuer=issuer.url, oidc_audience=AUDIENCE) as world:
        token, other = issuer.token(), issuer.token(sub="bob")
        refused = await invalidate(world, token, client_id=FOREIGN_CLIENT, client_secret=FOREIGN_SECRET)
        still = await ask(world, token)
        ended = await invalidate(world, token)

        assert (refused.status, still, ended.status) == (403, "", 200)
        assert [await ask(world, each) for each in (token, other)] == ["401 revoked_token", ""]


# --- Credentials that end ---


async def test_revoked_credential(world: World) -> None:
    """Tokens from before are void from the moment it is known; new ones are good, and the api key all the time."""
    token, other = issued(world), issued(world, OTHER_CLIENT, user_id="4002@techacct.adobe.com")
    before = await ask(world, token)
    known = world.parts.catalogue.credential_by_client(CLIENT)
    assert known is not None
    stored = await world.store.get("credential", known.org, known.id)
    assert stored is not None
    revoked = msgspec.structs.replace(known, revoked_before_ms=world.parts.clock.machine_ms() + 1)
    await world.store.write([Replace("credential", known.org, known.id, msgspec.json.encode(revoked), stored.version)])
    await world.parts.catalogue.refresh()

    assert (before, await ask(world, token)) == ("", "401 revoked_token")
    assert [await ask(world, each) for each in (issued(world), other)] == ["", ""]


async def test_deleted_credential(world: World) -> None:
    """Its tokens are void, also beside another api key of the organisation."""
    token = issued(world)
    known = world.parts.catalogue.credential_by_client(CLIENT)
    assert known is not None
    await world.store.write([Delete("credential", known.org, known.id)])
    await world.parts.catalogue.refresh()

    assert await ask(world, token, OTHER_CLIENT) == "401 revoked_token"
    assert await ask(world, issued(world, CONSOLE), CLIENT) == "403 unknown_api_key"


# --- Whose token it is ---


async def test_organizations(world: World) -> None:
    """The one of the token; all of them for the operator. No api key is asked for."""
    own: dict[str, Any] = {
        "orgName": "Acme",
        "orgRef": {"ident": IMS_ORG.partition("@")[0], "authSrc": "AdobeOrg"},
        "orgType": "Enterprise",
        "countryCode": None,
        "groups": [],
    }
    operator = issue(world.parts, Grant.for_operator(60))
    answers = [
        await world.call("GET", "/ims/organizations/v6", headers={"authorization": f"Bearer {token}"})
        for token in (issued(world), operator)
    ]

    assert answers[0].json() == [own]
    assert [each["orgName"] for each in answers[1].json()] == ["Acme", "Foreign"]


async def test_profile(world: World) -> None:
    """What is known of the user: what the token says."""
    token = issued(world, CONSOLE, user_id="ann@acme.example")
    answer = await world.call("GET", "/ims/profile/v1", headers={"authorization": f"Bearer {token}"})
    service = await world.call("GET", "/ims/profile/v1", headers={"authorization": f"Bearer {issued(world)}"})

    profile = answer.json()
    assert (profile["userId"], profile["email"], profile["name"]) == ("ann@acme.example", "ann@acme.example", "ann")
    assert (profile["account_type"], service.json()["account_type"]) == ("type3", "service")


@pytest.mark.parametrize("path", ["/ims/organizations/v6", "/ims/profile/v1"])
async def test_whose_token_wants_a_good_one(world: World, path: str) -> None:
    """401 as everywhere; a refresh token is no access token."""
    ended = issued(world)
    await invalidate(world, ended)
    for token, reason in (
        ("", "missing_token"),
        ("x", "invalid_token"),
        (issued(world, lifetime_s=0), "expired_token"),
        (issued(world, type="refresh_token"), "invalid_token"),
        (ended, "revoked_token"),
    ):
        answer = await world.call("GET", path, headers={"authorization": f"Bearer {token}"})
        assert (answer.status, answer.json()["reason"]) == (401, reason)
    stranger = issued(world, ims_org_id="NOBODY@AdobeOrg")
    answer = await world.call("GET", "/ims/organizations/v6", headers={"authorization": f"Bearer {stranger}"})
    assert (answer.status, answer.json()["reason"]) == (403, "wrong_organization")
    theirs = issued(world, FOREIGN_CLIENT, ims_org_id=FOREIGN_IMS_ORG)
    answer = await world.call("GET", path, headers={"authorization": f"Bearer {theirs}"})
    assert answer.status == 200 and "Acme" not in answer.body.decode()


async def test_whose_token_in_lenient_mode(tmp_path: Path) -> None:
    """Any bearer may see all organisations there, and has a profile."""
    async with running(tmp_path, auth="lenient") as world:
        for path in ("/ims/organizations/v6", "/ims/profile/v1"):
            assert (await world.call("GET", path, headers={"authorization": "Bearer any"})).status == 200
            assert (await world.call("GET", path, headers={})).status == 401
