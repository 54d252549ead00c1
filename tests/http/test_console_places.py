"""The Console API's organisations, projects and workspaces: what clients read, who may write, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.certificates import certificate
from tests.http.console import CLI_KEY, ORG, ORGS, PROJECT, WORKSPACE, admin, ask, made
from tests.http.world import (
    CLIENT,
    FOREIGN_CLIENT,
    FOREIGN_IMS_ORG,
    IMS_ORG,
    SECRET,
    TENANTS,
    World,
    running,
)

pytestmark = pytest.mark.anyio


def cli_auth(world: World, ims_org: str = IMS_ORG) -> dict[str, str]:
    """A token of the organisation with the official command line's own api key."""
    return {"authorization": f"Bearer {world.token(ims_org)}", "x-api-key": CLI_KEY}


async def test_the_official_command_line_sees_its_organization(tmp_path: Path) -> None:
    """A bare array of `entp` organisations, only the token's own, for the api key that belongs to nobody."""
    async with running(tmp_path) as world:
        answer = await ask(world, "GET", ORGS, headers=cli_auth(world))
        assert answer.status == 200
        assert answer.json() == [
            {
                "id": "1001",
                "code": IMS_ORG,
                "name": "Acme",
                "description": "Acme",
                "type": "entp",
                "role": "ADMIN",
                "notice_recipients": [],
            }
        ]


async def test_the_operator_sees_every_organization(tmp_path: Path) -> None:
    """An admin token lists all, and needs no api key."""
    async with running(tmp_path) as world:
        answer = await ask(world, "GET", ORGS)
        assert [each["id"] for each in answer.json()] == ["1001", "1002"]


async def test_lenient_mode_shows_every_organization_to_any_bearer(tmp_path: Path) -> None:
    """What the CLI lists in dev mode does not depend on its token."""
    async with running(tmp_path, auth="lenient") as world:
        answer = await ask(world, "GET", ORGS, headers={"authorization": "Bearer x", "x-api-key": CLI_KEY})
        assert [each["id"] for each in answer.json()] == ["1001", "1002"]


async def test_projects_and_workspaces_as_clients_read_them(tmp_path: Path) -> None:
    """Members that the official CLI filters and prints by are there: enabled, type, runtime_enabled."""
    async with running(tmp_path) as world:
        projects = (await ask(world, "GET", f"{ORG}/projects")).json()
        assert projects[0] == {
            "id": "2001",
            "org_id": "1001",
            "name": "Shop",
            "title": "Shop",
            "description": "",
            "type": "jaeger",
            "appId": None,
            "enabled": True,
            "deleted": False,
            "pause_notices": False,
        }
        assert (await ask(world, "GET", PROJECT)).json() == projects[0]
        workspaces = (await ask(world, "GET", f"{PROJECT}/workspaces")).json()
        assert [each["id"] for each in workspaces] == ["3001", "3002", "3003"]
        assert workspaces[0]["enabled"] is True
        assert workspaces[0]["runtime_enabled"] is True
        assert (await ask(world, "GET", WORKSPACE)).json() == workspaces[0]


async def test_a_project_is_created_as_the_official_command_line_does_it(tmp_path: Path) -> None:
    """POST project, POST workspace Stage, list, POST namespace for each, GET project: the calls of `aio console project
    create`, in their order."""
    async with running(tmp_path) as world:
        headers = cli_auth(world)
        body = {"name": "Orders", "title": "Orders of 2026", "description": "d", "type": "jaeger"}
        created = await ask(world, "POST", f"{ORG}/projects", body, headers=headers)
        assert created.status == 201
        assert created.json()["projectType"] == "jaeger"
        project = f"{ORG}/projects/{created.json()['projectId']}"
        staged = await ask(world, "POST", f"{project}/workspaces", {"name": "Stage"}, headers=headers)
        assert staged.status == 201
        workspaces = (await ask(world, "GET", f"{project}/workspaces", headers=headers)).json()
        assert [each["name"] for each in workspaces] == ["Production", "Stage"]
        assert created.json()["workspaceId"] == workspaces[0]["id"]
        assert staged.json()["workspaceId"] == workspaces[1]["id"]
        for each in workspaces:
            named = await ask(world, "POST", f"{project}/workspaces/{each['id']}/namespace", headers=headers)
            assert named.status == 200
            assert named.json()["name"] == f"1001-orders-{each['name'].lower()}"
        assert (await ask(world, "GET", project, headers=headers)).json()["title"] == "Orders of 2026"


async def test_what_app_init_asks_before_it_begins(tmp_path: Path) -> None:
    """Terms are accepted, one service is enabled, extension points are none."""
    async with running(tmp_path) as world:
        headers = cli_auth(world)
        terms = "/console/services/ims/organizations/1001/terms"
        for method in ("GET", "POST"):
            answer = await ask(world, method, terms, headers=headers)
            assert answer.json() == {"accepted": True, "current": True}
        assert "text" in (await ask(world, "GET", "/console/services/ims/terms", headers=headers)).json()["tc"][0]
        services = (await ask(world, "GET", f"{ORG}/services", headers=headers)).json()
        assert [(each["code"], each["enabled"], each["type"]) for each in services] == [
            ("AdobeIOManagementAPISDK", True, "entp")
        ]
        assert (await ask(world, "GET", f"{WORKSPACE}/endpoints", headers=headers)).json() == {}
        features = await ask(world, "GET", "/console/api/organizations/1001/features", headers=headers)
        assert {"name": "RUNTIME"} in features.json()


async def test_event_providers_come_as_bare_arrays(tmp_path: Path) -> None:
    """Templates read the lists without HAL around them, with the members that the Events API lacks."""
    async with running(tmp_path) as world:
        topic = await world.topic()
        families = (await ask(world, "GET", f"{ORG}/events/providermetadata")).json()
        assert {"id", "label", "description", "group", "type", "has_multiple_providers"} <= set(families[0])
        providers = (await ask(world, "GET", f"{ORG}/events/providers?eventmetadata=true")).json()
        own = next(each for each in providers if each["id"] == topic["provider_id"])
        assert own["provider_metadata"] == "3rd_party_custom_events"
        assert own["environment_type"] is None
        assert [each["event_code"] for each in own["eventmetadata"]] == ["com.acme.low"]
        assert "eventmetadata" not in (await ask(world, "GET", f"{ORG}/events/providers")).json()[0]


async def test_an_organization_comes_and_goes(tmp_path: Path) -> None:
    """The operator creates, renames and deletes one; its code is made up unless given, and known at once."""
    async with running(tmp_path) as world:
        first = await made(world, ORGS, {"name": "New & Co"})
        assert first["code"].endswith("@AdobeOrg")
        second = await made(world, ORGS, {"name": "Other", "code": "ABCDEF0123456789ABCDEF01@AdobeOrg"})
        path = f"{ORGS}/{second['id']}"
        changed = await ask(world, "PATCH", path, {"name": "Renamed"})
        assert (changed.status, changed.json()["name"]) == (200, "Renamed")
        assert (await ask(world, "GET", path)).json() == changed.json()
        assert world.parts.catalogue.organization_by_ims(second["code"]) is not None
        assert (await ask(world, "DELETE", path)).status == 200
        assert (await ask(world, "GET", path)).status == 404
        reborn = await made(world, ORGS, {"name": "Again", "code": second["code"]})
        assert reborn["id"] != second["id"]


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_organizations_are_the_operators(tmp_path: Path, method: str) -> None:
    """An organisation's own token changes no organisation, not even its own."""
    async with running(tmp_path) as world:
        before = await world.epoch()
        path = ORGS if method == "POST" else ORG
        answer = await ask(world, method, path, {"name": "Mine"}, headers=world.auth())
        assert (answer.status, answer.json()["reason"]) == (403, "not_permitted")
        assert await world.epoch() == before


@pytest.mark.parametrize(
    "path", [ORG, f"{ORG}/projects", PROJECT, WORKSPACE, f"{WORKSPACE}/download", f"{WORKSPACE}/credentials"]
)
async def test_a_foreign_organization_is_closed(tmp_path: Path, path: str) -> None:
    """Neither the foreign credential nor the command line's key with a foreign token gets in."""
    async with running(tmp_path) as world:
        for headers in (world.auth(FOREIGN_IMS_ORG, FOREIGN_CLIENT), cli_auth(world, FOREIGN_IMS_ORG)):
            answer = await ask(world, "GET", path, headers=headers)
            assert answer.status == 403


async def test_ids_that_do_not_belong_together_are_not_found(tmp_path: Path) -> None:
    """Every level of a path is checked against the one above."""
    async with running(tmp_path) as world:
        wrong = [
            f"{ORGS}/9",
            f"{ORG}/projects/2009",
            f"{ORG}/projects/2002/workspaces/3001",
            f"{PROJECT}/workspaces/3009",
            f"{PROJECT}/workspaces/3001/download/more",
        ]
        assert [(await ask(world, "GET", path)).status for path in wrong] == [404] * len(wrong)


BAD_PLACES: list[tuple[dict[str, Any], str]] = [
    ({}, "name: required"),
    ({"name": ""}, "name"),
    ({"name": "a" * 46}, "name"),
    ({"name": "My Project"}, "name"),
    ({"name": "under_score"}, "name"),
    ({"name": "line\n"}, "name"),
    ({"name": 7}, "name"),
    ({"name": None}, "name"),
    ({"name": "Good", "title": "t" * 46}, "title"),
    ({"name": "Good", "title": "bell\x07"}, "title"),
    ({"name": "Good", "description": "d" * 1001}, "description"),
    ({"name": "Good", "description": "nul\x00"}, "description"),
]


@pytest.mark.parametrize(("body", "member"), BAD_PLACES)
@pytest.mark.parametrize("path", [f"{ORG}/projects", f"{PROJECT}/workspaces"])
async def test_a_bad_member_is_named_and_nothing_is_stored(
    tmp_path: Path, path: str, body: dict[str, Any], member: str
) -> None:
    """400 with the member first, for projects and workspaces alike."""
    async with running(tmp_path) as world:
        before = await world.epoch()
        answer = await ask(world, "POST", path, body)
        assert answer.status == 400
        assert answer.json()["message"].startswith(member)
        assert await world.epoch() == before


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({}, "name"),
        ({"name": " \t "}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"name": "A", "code": "no-at"}, "code"),
        ({"name": "A", "code": "a b@AdobeOrg"}, "code"),
        ({"name": "A", "code": 1}, "code"),
    ],
)
async def test_a_bad_organization_is_refused(tmp_path: Path, body: dict[str, Any], member: str) -> None:
    """Names hold no control characters, codes look like IMS organisation ids."""
    async with running(tmp_path) as world:
        answer = await ask(world, "POST", ORGS, body)
        assert answer.status == 400
        assert answer.json()["message"].startswith(member)


async def test_names_are_unique_where_they_are_chosen_by(tmp_path: Path) -> None:
    """Projects in their organisation, workspaces in their project, codes everywhere: 409 names the holder."""
    async with running(tmp_path) as world:
        taken = await ask(world, "POST", f"{ORG}/projects", {"name": "Shop"})
        assert (taken.status, taken.header("x-conflicting-id")) == (409, "2001")
        first = await made(world, f"{PROJECT}/workspaces", {"name": "Test"})
        again = await ask(world, "POST", f"{PROJECT}/workspaces", {"name": "Test"})
        assert (again.status, again.header("x-conflicting-id")) == (409, first["workspaceId"])
        await made(world, f"{ORG}/projects/2002/workspaces", {"name": "Test"})
        code = await ask(world, "POST", ORGS, {"name": "Twin", "code": FOREIGN_IMS_ORG})
        assert (code.status, code.header("x-conflicting-id")) == (409, "1002")
        renamed = await ask(world, "PATCH", f"{ORG}/projects/2002", {"name": "Shop"})
        assert renamed.status == 409


async def test_a_patch_changes_what_it_names(tmp_path: Path) -> None:
    """What the body leaves out stays; an empty body changes nothing; a name of before is free again."""
    async with running(tmp_path) as world:
        changed = await ask(world, "PATCH", PROJECT, {"title": "The shop", "description": "lines\nof it"})
        assert (changed.json()["name"], changed.json()["title"]) == ("Shop", "The shop")
        renamed = await ask(world, "PATCH", PROJECT, {"name": "Store"})
        assert renamed.json() == {**changed.json(), "name": "Store"}
        before = await world.epoch()
        assert (await ask(world, "PATCH", PROJECT, {})).json() == renamed.json()
        assert await world.epoch() == before
        await made(world, f"{ORG}/projects", {"name": "Shop"})
        workspace = await ask(world, "PATCH", WORKSPACE, {"title": "First"})
        assert (workspace.json()["name"], workspace.json()["title"]) == ("Workspace 3001", "First")
        assert (await ask(world, "PATCH", WORKSPACE, {"name": "with blank"})).status == 400


async def test_quotas_are_settings(tmp_path: Path) -> None:
    """The project over the limit is refused with the limit in the message, and so is the workspace."""
    async with running(tmp_path, projects_per_org=3, workspaces_per_project=1) as world:
        created = await made(world, f"{ORG}/projects", {"name": "Third"})
        over = await ask(world, "POST", f"{ORG}/projects", {"name": "Fourth"})
        assert (over.status, over.json()["reason"]) == (409, "quota_reached")
        assert "3 projects" in over.json()["message"]
        path = f"{ORG}/projects/{created['projectId']}/workspaces"
        full = await ask(world, "POST", path, {"name": "Second"})
        assert (full.status, full.json()["reason"]) == (409, "quota_reached")


async def test_new_ids_avoid_those_of_the_bootstrap_file(tmp_path: Path) -> None:
    """The counter starts at 1001, where the file has an organisation already."""
    async with running(tmp_path) as world:
        created = await made(world, ORGS, {"name": "New"})
        assert created["id"] not in ("1001", "1002")


async def test_the_bootstrap_file_may_be_applied_again_after_changes(tmp_path: Path) -> None:
    """What was added by API - a title, a second secret, a public key - is no contradiction to the file, which names
    titles and credentials of the kind jwt itself."""
    pem = certificate()[0]
    keyed = {"id": "4003", "name": "Old", "client_id": "jwt-client", "client_secret": "s3cret", "kind": "jwt"}
    tenants = {
        "organizations": [
            {
                **TENANTS["organizations"][0],
                "projects": [
                    {
                        "id": "2001",
                        "name": "Shop",
                        "title": "The shop",
                        "workspaces": [
                            {
                                "id": "3001",
                                "name": "Stage",
                                "description": "First",
                                "credentials": [
                                    {"id": "4001", "client_id": CLIENT, "client_secret": SECRET},
                                    {**keyed, "public_keys": [pem]},
                                ],
                            }
                        ],
                    }
                ],
            }
        ]
    }
    async with running(tmp_path, tenants=tenants) as world:
        assert (await ask(world, "GET", PROJECT)).json()["title"] == "The shop"
        assert (await ask(world, "GET", WORKSPACE)).json()["description"] == "First"
        await made(world, f"{ORG}/credentials/4001/secrets", None)
        await made(world, f"{ORG}/integrations/entp/4003/bindings", {"certificate": certificate(name="more")[0]})
        await ask(world, "PATCH", WORKSPACE, {"title": "Stage of the shop"})
    async with running(tmp_path, tenants=tenants) as world:
        assert len((await ask(world, "GET", f"{ORG}/integrations/entp/4003/bindings")).json()) == 2
        assert (await ask(world, "GET", ORGS, headers=admin(world))).status == 200
