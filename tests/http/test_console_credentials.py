"""Credentials over the Console API: their kinds, the rotation of secrets, public keys, the project file."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from eventmill.flow.aims import Aims
from tests.certificates import certificate
from tests.http.console import ORG, WORKSPACE, admin, ask, made, new_workspace
from tests.http.world import (
    BASE,
    CLIENT,
    FOREIGN_CLIENT,
    IMS_ORG,
    OTHER_CLIENT,
    SECRET,
    World,
    registration_form,
    running,
)

pytestmark = pytest.mark.anyio

CREDENTIALS = f"{WORKSPACE}/credentials"
SECRETS = f"{ORG}/credentials/4001/secrets"
MASK = "********"


async def token_status(world: World, client_id: str, secret: str) -> int:
    """Status of asking for a token with the secret."""
    form = f"client_id={client_id}&client_secret={secret}&grant_type=client_credentials"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return (await world.call("POST", "/ims/token/v3", form.encode(), headers=headers)).status


async def secrets(world: World, path: str = SECRETS) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await ask(world, "GET", path)).json()["client_secrets"]
    return found


def multipart(**fields: str) -> tuple[bytes, dict[str, str]]:
    """A form as the official client sends a certificate: with a file name and without a charset."""
    parts = []
    for name, value in fields.items():
        file = '; filename="certificate"\r\ncontent-type: application/octet-stream' if name == "certificate" else ""
        parts.append(f'--b0undary\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n{value}\r\n')
    return ("".join(parts) + "--b0undary--\r\n").encode(), {"content-type": "multipart/form-data; boundary=b0undary"}


async def test_an_oauth_credential_works_at_once(tmp_path: Path) -> None:
    """The answer has its secret, this once; the secret gets a token; lists and details do not have it."""
    async with running(tmp_path) as world:
        body = {"name": "Backend", "description": "ignored"}
        answer = await ask(world, "POST", f"{CREDENTIALS}/oauth-server-to-server", body)
        assert (answer.status, answer.header("cache-control")) == (200, "no-store")
        created = answer.json()
        assert created["orgId"] == "1001"
        assert len(created["apiKey"]) == 32
        assert await token_status(world, created["apiKey"], created["client_secret"]) == 200
        listed = (await ask(world, "GET", CREDENTIALS)).json()
        assert listed[-1] == {
            "id_workspace": "3001",
            "id_integration": created["id"],
            "name": "Backend",
            "client_id": created["apiKey"],
            "flow_type": "entp",
            "integration_type": "oauth_server_to_server",
            "credential_type": "oauth_server_to_server",
        }
        details = await ask(world, "GET", f"{ORG}/integrations/{created['id']}")
        assert details.json()["apikey"] == created["apiKey"]
        for shown in (json.dumps(listed), details.body.decode(), json.dumps(await secrets(world))):
            assert created["client_secret"] not in shown


@pytest.mark.parametrize("is_json", [True, False])
async def test_a_jwt_credential_brings_its_certificate(tmp_path: Path, *, is_json: bool) -> None:
    """As the official client sends it, multipart, or as JSON; the binding shows fingerprint and end of validity."""
    async with running(tmp_path) as world:
        pem = certificate()[0]
        fields = {"name": "Legacy", "description": "d", "certificate": pem}
        path = f"{CREDENTIALS}/entp"
        if is_json:
            answer = await ask(world, "POST", path, fields)
        else:
            body, headers = multipart(**fields)
            answer = await ask(world, "POST", path, body, headers={**admin(world), **headers})
        assert answer.status == 200, answer.body
        credential_id = answer.json()["id"]
        listed = (await ask(world, "GET", CREDENTIALS)).json()
        assert (listed[-1]["flow_type"], listed[-1]["integration_type"]) == ("entp", "service")
        bindings = (await ask(world, "GET", f"{ORG}/integrations/entp/{credential_id}/bindings")).json()
        der = base64.b64decode("".join(pem.splitlines()[1:-1]))
        mark = hashlib.sha1(der, usedforsecurity=False).hexdigest()
        assert bindings == [
            {
                "bindingId": mark,
                "orgId": "1001",
                "technicalAccountId": f"{credential_id}@techacct.adobe.com",
                "certificateFingerprint": mark,
                "notAfter": 2051222400000,
            }
        ]


async def test_public_keys_come_and_go(tmp_path: Path) -> None:
    """A second certificate is bound beside the first; the same one twice is one; a removed one is gone."""
    async with running(tmp_path) as world:
        first = certificate()[0]
        created = await made(world, f"{CREDENTIALS}/entp", {"name": "Legacy", "certificate": first})
        path = f"{ORG}/integrations/entp/{created['id']}/bindings"
        body, headers = multipart(certificate=certificate(name="second")[0])
        added = await ask(world, "POST", path, body, headers={**admin(world), **headers})
        assert added.status == 200
        again = await made(world, path, {"certificate": first})
        marks = [each["bindingId"] for each in (await ask(world, "GET", path)).json()]
        assert marks == [again["bindingId"], added.json()["bindingId"]]
        assert (await ask(world, "DELETE", f"{path}/{marks[0]}")).status == 200
        assert (await ask(world, "DELETE", f"{path}/{marks[0]}")).status == 404
        assert [each["bindingId"] for each in (await ask(world, "GET", path)).json()] == marks[1:]


async def test_an_oauth_credential_has_no_public_keys(tmp_path: Path) -> None:
    """Binding a certificate to it is refused rather than forgotten."""
    async with running(tmp_path) as world:
        path = f"{ORG}/integrations/entp/4001/bindings"
        answer = await ask(world, "POST", path, {"certificate": certificate()[0]})
        assert (answer.status, answer.json()["reason"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({"certificate": "x"}, "name"),
        ({"name": "", "certificate": "x"}, "name"),
        ({"name": "Legacy"}, "certificate"),
        ({"name": "Legacy", "certificate": "no pem"}, "certificate"),
        ({"name": "Legacy", "certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "certif"),
        ({"name": "Legacy", "certificate": "\u00fcml\u00e4ut"}, "certificate"),
        ({"name": "Legacy", "certificate": "x" * 20000}, "certificate"),
        ({"name": "Legacy", "certificate": 5}, "certificate"),
        ({"name": "Legacy", "certificate": certificate(1024)[0]}, "certificate"),
    ],
)
async def test_a_bad_certificate_is_refused(tmp_path: Path, body: dict[str, Any], member: str) -> None:
    """No PEM, no certificate, too long, too weak: 400 by name, and no credential is made."""
    async with running(tmp_path) as world:
        before = await world.epoch()
        answer = await ask(world, "POST", f"{CREDENTIALS}/entp", body)
        assert answer.status == 400, answer.body
        assert answer.json()["message"].startswith(member)
        assert await world.epoch() == before


async def test_forms_that_cannot_be_read(tmp_path: Path) -> None:
    """A broken multipart form, a certificate in DER, a wrong media type: a 4xx each."""
    async with running(tmp_path) as world:
        path = f"{CREDENTIALS}/entp"
        for content_type, body, status in (
            ("multipart/form-data; boundary=x", b"nothing", 400),
            ("multipart/form-data", b"--x\r\n\r\n--x--", 400),
            (
                "multipart/form-data; boundary=x",
                b'--x\r\ncontent-disposition: form-data; name="certificate"\r\n\r\n\x30\x82\xff\xfe\r\n--x--\r\n',
                400,
            ),
            ("text/plain", b"{}", 415),
            ("application/json", b"{", 400),
        ):
            answer = await ask(world, "POST", path, body, headers={**admin(world), "content-type": content_type})
            assert answer.status == status, (content_type, answer.body)


async def test_a_rotation(tmp_path: Path) -> None:
    """The new secret gets tokens beside the old one; the deleted one gets none; tokens that it got run on."""
    async with running(tmp_path) as world:
        headers = world.auth()
        added = await ask(world, "POST", SECRETS)
        assert (added.status, added.header("cache-control")) == (200, "no-store")
        listed = await secrets(world)
        assert [each["current"] for each in listed] == [True, False]
        assert [each["client_secret"] for each in listed] == [MASK, MASK]
        assert listed[0]["uuid"] == added.json()["uuid"]
        for secret in (SECRET, added.json()["client_secret"]):
            assert await token_status(world, CLIENT, secret) == 200
        assert (await ask(world, "DELETE", f"{SECRETS}/{listed[1]['uuid']}")).status == 200
        assert await token_status(world, CLIENT, SECRET) == 401
        assert await token_status(world, CLIENT, added.json()["client_secret"]) == 200
        assert (await world.call("GET", "/events/1001/providers", headers=headers)).status == 200
        assert await secrets(world) == listed[:1]


async def test_lanes_learn_of_a_new_secret(tmp_path: Path) -> None:
    """Whoever delivers is told which lanes sign with the credential, and of no others."""
    async with running(tmp_path) as world:
        topic = await world.topic()
        registration = await world.register(topic)
        other = "/events/1001/2001/3002/registrations"
        assert (await ask(world, "POST", other, registration_form(topic, client_id=OTHER_CLIENT))).status == 201
        aims = Aims(world.store)
        await aims.load()
        await made(world, SECRETS, None)
        assert await aims.follow() == {registration["id"]}
        assert await aims.follow() == set()


async def test_deleting_the_current_secret_makes_the_one_before_current(tmp_path: Path) -> None:
    """A rotation can be taken back."""
    async with running(tmp_path) as world:
        added = await made(world, SECRETS, None)
        assert (await ask(world, "DELETE", f"{SECRETS}/{added['uuid']}")).status == 200
        assert await token_status(world, CLIENT, SECRET) == 200
        assert [each["current"] for each in await secrets(world)] == [True]


async def test_a_credential_keeps_one_secret_and_has_two_at_most(tmp_path: Path) -> None:
    """The only one is not deleted, a third is not made, an unknown one is not found; nothing changes."""
    async with running(tmp_path) as world:
        (only,) = await secrets(world)
        before = await world.epoch()
        kept = await ask(world, "DELETE", f"{SECRETS}/{only['uuid']}")
        assert (kept.status, kept.json()["reason"]) == (409, "conflict")
        assert (await ask(world, "DELETE", f"{SECRETS}/nonsense")).status == 404
        assert (await ask(world, "DELETE", f"{SECRETS}/{only['uuid']}?revoke_tokens=perhaps")).status == 400
        assert await world.epoch() == before
        await made(world, SECRETS, None)
        third = await ask(world, "POST", SECRETS)
        assert (third.status, third.json()["reason"]) == (409, "quota_reached")


async def test_after_a_leak_tokens_end_too(tmp_path: Path) -> None:
    """With revoke_tokens, what was issued until then is void at once, and new tokens are good."""
    async with running(tmp_path) as world:
        headers = world.auth()
        assert (await world.call("GET", "/events/1001/providers", headers=headers)).status == 200
        added = await made(world, SECRETS, None)
        leaked = (await secrets(world))[1]["uuid"]
        assert (await ask(world, "DELETE", f"{SECRETS}/{leaked}?revoke_tokens=true")).status == 200
        assert (await world.call("GET", "/events/1001/providers", headers=headers)).status == 401
        form = f"client_id={CLIENT}&client_secret={added['client_secret']}&grant_type=client_credentials"
        urlencoded = {"content-type": "application/x-www-form-urlencoded"}
        fresh = await world.call("POST", "/ims/token/v3", form.encode(), headers=urlencoded)
        headers["authorization"] = f"Bearer {fresh.json()['access_token']}"
        assert (await world.call("GET", "/events/1001/providers", headers=headers)).status == 200


async def test_a_deleted_credential_stops_at_once(tmp_path: Path) -> None:
    """Its tokens, its api key and its secret: none is good for anything any more."""
    async with running(tmp_path) as world:
        created = await made(world, f"{CREDENTIALS}/oauth-server-to-server", {"name": "Short"})
        headers = world.auth(IMS_ORG, created["apiKey"])
        assert (await world.call("GET", "/events/1001/providers", headers=headers)).status == 200
        assert (await ask(world, "DELETE", f"{CREDENTIALS}/{created['id']}")).status == 200
        assert (await world.call("GET", "/events/1001/providers", headers=headers)).status in (401, 403)
        assert await token_status(world, created["apiKey"], created["client_secret"]) == 401
        assert (await ask(world, "DELETE", f"{CREDENTIALS}/{created['id']}")).status == 404


async def test_a_credential_is_renamed(tmp_path: Path) -> None:
    """The name only; an empty body leaves it."""
    async with running(tmp_path) as world:
        path = f"{CREDENTIALS}/4001"
        renamed = await ask(world, "PATCH", path, {"name": "Front"})
        assert (renamed.status, renamed.json()["name"]) == (200, "Front")
        assert (await ask(world, "PATCH", path, {})).json() == renamed.json()
        assert (await ask(world, "PATCH", path, {"name": "x\ny"})).status == 400
        assert await token_status(world, CLIENT, SECRET) == 200


async def test_a_credential_is_found_in_its_own_workspace_only(tmp_path: Path) -> None:
    """By a path through another workspace it is not there; by id alone it is."""
    async with running(tmp_path) as world:
        assert (await ask(world, "DELETE", f"{CREDENTIALS}/4002")).status == 404
        assert (await ask(world, "GET", f"{ORG}/integrations/4002")).status == 200
        assert (await ask(world, "GET", f"{ORG}/integrations/4009")).status == 404


async def test_credentials_of_a_workspace_are_limited(tmp_path: Path) -> None:
    """By setting; the refusal says the limit."""
    async with running(tmp_path, credentials_per_workspace=2) as world:
        path = f"{await new_workspace(world)}/credentials/oauth-server-to-server"
        for number in range(2):
            await made(world, path, {"name": f"Number {number}"})
        over = await ask(world, "POST", path, {"name": "Third"})
        assert (over.status, over.json()["reason"]) == (409, "quota_reached")
        assert "2 credentials" in over.json()["message"]


async def test_services_are_accepted_as_they_come(tmp_path: Path) -> None:
    """`aio app` attaches services to its credential; all of them may do everything here anyway."""
    async with running(tmp_path) as world:
        path = f"{CREDENTIALS}/oauth_server_to_server/4001/services"
        body = [{"sdkCode": "AdobeIOManagementAPISDK", "roles": None, "licenseConfigs": None}]
        answer = await ask(world, "PUT", path, body)
        assert answer.json() == {"sdkList": ["AdobeIOManagementAPISDK"]}
        wrong: tuple[Any, ...] = ({}, [{}], [{"sdkCode": 1}], [{"sdkCode": ""}], ["x"])
        for bad in wrong:
            assert (await ask(world, "PUT", path, bad)).status == 400


async def test_the_project_file_is_all_that_a_client_needs(tmp_path: Path) -> None:
    """In the shape that the events plugin reads, with every secret in the clear, the current one first."""
    async with running(tmp_path) as world:
        added = await made(world, SECRETS, None)
        answer = await ask(world, "GET", f"{WORKSPACE}/download")
        assert (answer.status, answer.header("cache-control")) == (200, "no-store")
        project = answer.json()["project"]
        assert project["org"] == {"id": "1001", "name": "Acme", "ims_org_id": IMS_ORG}
        assert (project["id"], project["name"], project["title"]) == ("2001", "Shop", "Shop")
        workspace = project["workspace"]
        assert (workspace["id"], workspace["action_url"], workspace["app_url"]) == ("3001", "", "")
        details = workspace["details"]
        assert details["runtime"] == {"namespaces": []}
        (credential,) = details["credentials"]
        assert (credential["id"], credential["integration_type"]) == ("4001", "oauth_server_to_server")
        known = credential["oauth_server_to_server"]
        assert known["client_id"] == CLIENT
        assert known["client_secrets"] == [added["client_secret"], SECRET]
        assert known["technical_account_id"].endswith("@techacct.adobe.com")
        assert "adobeio_api" in known["scopes"]


async def test_the_project_file_of_a_jwt_credential(tmp_path: Path) -> None:
    """The deprecated kind comes as `service`, with the member `jwt`."""
    async with running(tmp_path) as world:
        path = await new_workspace(world)
        pem = certificate()[0]
        created = await made(world, f"{path}/credentials/entp", {"name": "Legacy", "certificate": pem})
        file = (await ask(world, "GET", f"{path}/download")).json()
        (credential,) = file["project"]["workspace"]["details"]["credentials"]
        assert credential["integration_type"] == "service"
        assert credential["jwt"]["client_id"] == created["apiKey"]
        assert credential["jwt"]["client_secret"] == created["client_secret"]
        assert credential["jwt"]["meta_scopes"] == ["ent_adobeio_sdk"]


async def test_registrations_link_to_what_the_project_file_names(tmp_path: Path) -> None:
    """A journal address has the id of the credential in the project file."""
    async with running(tmp_path) as world:
        registration = await world.register(await world.topic(), delivery_type="journal", webhook_url=...)
        href: str = registration["_links"]["rel:events"]["href"]
        assert href.startswith(f"{BASE}/events/organizations/1001/integrations/4001/")


async def test_where_something_is(tmp_path: Path) -> None:
    """By credential, by client id and by workspace; foreign ones are not found."""
    async with running(tmp_path) as world:
        place = {"projectId": "2001", "workspaceId": "3001"}
        found = await ask(world, "GET", f"{ORG}/projects_workspaces/credentials/4001")
        assert found.json() == [{**place, "credentialId": "4001"}]
        assert (await ask(world, "GET", f"{ORG}/projects_workspaces/workspaces/3001")).json() == [place]
        client = await ask(world, "GET", f"{ORG}/clients/{CLIENT}/project_workspace")
        assert client.json() == {**place, "integrationId": "4001"}
        for path in (
            "projects_workspaces/credentials/4009",
            "projects_workspaces/workspaces/3009",
            f"clients/{FOREIGN_CLIENT}/project_workspace",
        ):
            assert (await ask(world, "GET", f"{ORG}/{path}")).status == 404


async def test_credentials_of_an_organization_come_in_pages(tmp_path: Path) -> None:
    """Pages count from 1; a number out of range is refused by name; a page beyond the end is empty."""
    async with running(tmp_path) as world:
        page = (await ask(world, "GET", f"{ORG}/integrations?size=1&page=2")).json()
        assert [each["id"] for each in page["content"]] == ["4002"]
        assert (page["page"], page["pages"], page["size"], page["total"]) == (2, 2, 1, 2)
        assert (await ask(world, "GET", f"{ORG}/integrations?page=9")).json()["content"] == []
        for query in ("size=0", "size=101", "page=-1", "page=x", "page=99999999999999", "size=%D9%A1"):
            answer = await ask(world, "GET", f"{ORG}/integrations?{query}")
            assert (answer.status, answer.json()["reason"]) == (400, "invalid_parameter")
        properties = await ask(world, "GET", f"{ORG}/integrations/entp/4001/service/AnySDK/properties")
        assert properties.status == 200
