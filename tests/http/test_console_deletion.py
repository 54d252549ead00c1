"""Deleting tenants: what is refused and named, what goes along, and that no race leaves anything behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from eventmill.model import OrgId
from eventmill.store.control import Kind
from tests.http.client import Answer
from tests.http.console import ORG, PROJECT, WORKSPACE, admin, ask, made, new_workspace
from tests.http.world import World, registration_form, running

pytestmark = pytest.mark.anyio

ACME = OrgId("1001")


async def ids(world: World, kind: Kind) -> set[str]:
    return {stored.id for stored in await world.store.list_docs(kind, ACME)}


async def test_a_provider_keeps_its_project(tmp_path: Path) -> None:
    """The refusal names the provider by label and id, for the project and for its workspace, and changes nothing."""
    async with running(tmp_path) as world:
        provider = await world.provider("Warehouse")
        before = await world.epoch()
        for path in (PROJECT, WORKSPACE):
            answer = await ask(world, "DELETE", path)
            assert (answer.status, answer.json()["reason"]) == (409, "conflict")
            assert f"provider 'Warehouse' ({provider['id']}) belongs to it" in answer.json()["message"]
            assert answer.header("x-conflicting-id") == provider["id"]
        assert await world.epoch() == before


async def test_registrations_keep_their_workspace_too(tmp_path: Path) -> None:
    """Their journals would be gone with them; so they are named, and deleted by whoever means it."""
    async with running(tmp_path) as world:
        topic = await world.topic()
        registration = await world.register(topic)
        message = (await ask(world, "DELETE", WORKSPACE)).json()["message"]
        assert "provider 'Warehouse'" in message
        assert f"registration 'Stock to ERP' ({registration['registration_id']})" in message
        assert "belong to it" in message


async def test_a_long_list_is_cut(tmp_path: Path) -> None:
    """Ten are named, the rest is counted."""
    async with running(tmp_path) as world:
        for number in range(12):
            await world.provider(f"Provider {number}")
        message = (await ask(world, "DELETE", WORKSPACE)).json()["message"]
        assert message.count("provider '") == 10
        assert "and 2 more" in message


async def test_can_delete_tells_the_same_beforehand(tmp_path: Path) -> None:
    """Each obstacle with its workspace; none when there is none."""
    async with running(tmp_path) as world:
        assert (await ask(world, "POST", f"{PROJECT}/can-delete")).json() == {"errors": []}
        provider = await world.provider("Warehouse")
        (error,) = (await ask(world, "POST", f"{PROJECT}/can-delete")).json()["errors"]
        assert (error["code"], error["workspaceId"]) == ("provider_exists", "3001")
        assert provider["id"] in error["message"]


async def test_workspaces_and_credentials_go_with_their_project(tmp_path: Path) -> None:
    """One write, after which nothing of the project is there and its credentials' tokens are void."""
    async with running(tmp_path) as world:
        headers = world.auth()
        assert (await world.call("GET", "/events/1001/providers", headers=headers)).status == 200
        assert (await ask(world, "DELETE", PROJECT)).status == 200
        assert await ids(world, "project") == {"2002"}
        assert await ids(world, "workspace") == set()
        assert await ids(world, "credential") == set()
        assert (await world.call("GET", "/events/1001/providers", headers=headers)).status in (401, 403)
        assert (await ask(world, "DELETE", PROJECT)).status == 404


async def test_an_organization_needs_to_be_empty(tmp_path: Path) -> None:
    """Its projects are named."""
    async with running(tmp_path) as world:
        answer = await ask(world, "DELETE", ORG)
        assert answer.status == 409
        assert "project 'Shop' (2001), project 'Empty' (2002)" in answer.json()["message"]
        for path in (PROJECT, f"{ORG}/projects/2002", ORG):
            assert (await ask(world, "DELETE", path)).status == 200
        assert (await ask(world, "GET", ORG)).status == 404


async def test_a_registration_keeps_its_credential(tmp_path: Path) -> None:
    """Without it nobody could read its journal, and its deliveries would lose a signature."""
    async with running(tmp_path) as world:
        registration = await world.register(await world.topic())
        answer = await ask(world, "DELETE", f"{WORKSPACE}/credentials/4001")
        assert answer.status == 409
        assert f"registration 'Stock to ERP' ({registration['registration_id']}) uses it" in answer.json()["message"]


async def race(world: World, first: Any, second: Any, *, swapped: bool) -> list[Answer]:
    """Both requests at once; the answers in the order given."""
    both = [second, first] if swapped else [first, second]
    answers = await asyncio.gather(*(ask(world, *each[:-1], headers=each[-1]) for each in both))
    return list(reversed(answers)) if swapped else list(answers)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("child", ["provider", "registration", "credential", "workspace"])
async def test_no_orphan_whoever_comes_first(tmp_path: Path, child: Kind, *, swapped: bool) -> None:
    """Something is created in a workspace or a project while that is deleted: afterwards nothing is without its parent,
    and whoever was refused was told so."""
    async with running(tmp_path) as world:
        topic = await world.topic()
        for number in range(8):
            workspace = await new_workspace(world, f"Race{number}")
            credential = await made(world, f"{workspace}/credentials/oauth-server-to-server", {"name": "Raced"})
            project = workspace.rpartition("/workspaces/")[0]
            events = workspace.replace("/console/organizations/", "/events/").replace("/projects", "")
            events = events.replace("/workspaces", "")
            creation: dict[str, tuple[str, dict[str, Any]]] = {
                "provider": (f"{events}/providers", {"label": f"Raced {number}"}),
                "registration": (
                    f"{events}/registrations",
                    registration_form(topic, client_id=credential["apiKey"], delivery_type="journal", webhook_url=...),
                ),
                "credential": (f"{workspace}/credentials/oauth-server-to-server", {"name": "Second"}),
                "workspace": (f"{project}/workspaces", {"name": "Late"}),
            }
            victim = project if child in ("workspace", "provider") else workspace
            path, body = creation[child]
            created, deleted = await race(
                world, ("POST", path, body, admin(world)), ("DELETE", victim, None, admin(world)), swapped=swapped
            )
            assert created.status in (200, 201, 404), created.body
            assert deleted.status in (200, 409), deleted.body
            await assert_no_orphans(world)
            if created.status == 404:
                assert deleted.status == 200
            if child in ("provider", "registration"):
                assert (created.status == 201) == (deleted.status == 409)


async def assert_no_orphans(world: World) -> None:
    """Every document names parents that exist."""
    projects, workspaces = await ids(world, "project"), await ids(world, "workspace")
    for stored in await world.store.list_docs("workspace", ACME):
        workspace = world.parts.catalogue.workspace(ACME, stored.id)
        assert workspace is not None
        assert workspace.project_id in projects
    assert {each.workspace_id for each in world.parts.catalogue.registrations()} <= workspaces
    for provider_id in await ids(world, "provider"):
        provider = world.parts.catalogue.provider(provider_id)
        assert provider is not None
        assert provider.workspace_id in workspaces
    for credential_id in await ids(world, "credential"):
        credential = world.parts.catalogue.credential(ACME, credential_id)
        assert credential is not None
        assert credential.workspace_id in workspaces


async def test_a_registration_and_the_end_of_its_credential(tmp_path: Path) -> None:
    """While the webhook is challenged, its credential is deleted: the registration is refused, not left without one."""
    async with running(tmp_path) as world:
        topic = await world.topic()

        async def delete_credential() -> None:
            assert (await ask(world, "DELETE", f"{WORKSPACE}/credentials/4001")).status == 200

        world.hooks.on_ask = delete_credential
        path = "/events/1001/2001/3001/registrations"
        answer = await ask(world, "POST", path, registration_form(topic))
        assert answer.status == 404
        assert "credential 4001" in answer.json()["message"]
        assert await ids(world, "registration") == set()


async def test_changes_at_once_are_all_made(tmp_path: Path) -> None:
    """Four renames and a new secret at the same time: each is decided on what was there, none is lost or fails."""
    async with running(tmp_path) as world:
        path = f"{WORKSPACE}/credentials/4001"
        renames = [ask(world, "PATCH", path, {"name": f"Name {number}"}) for number in range(4)]
        answers = await asyncio.gather(*renames, ask(world, "POST", f"{ORG}/credentials/4001/secrets"))
        assert [answer.status for answer in answers] == [200] * 5
        credential = world.parts.catalogue.credential(ACME, "4001")
        assert credential is not None
        assert len(credential.sealed_secrets) == 2
        assert credential.name.startswith("Name ")
