"""What the tests of the Console API share: its paths and callers."""

from __future__ import annotations

from typing import Any

from eventmill.web.tokens import ADMIN_SCOPE
from tests.http.client import Answer
from tests.http.world import World

ORGS = "/console/organizations"
ORG = f"{ORGS}/1001"
PROJECT = f"{ORG}/projects/2001"
WORKSPACE = f"{PROJECT}/workspaces/3001"
CLI_KEY = "aio-cli-console-auth"


def admin(world: World) -> dict[str, str]:
    """The operator, as the command line signs in."""
    token = world.token("", "eventmill-admin", scope=ADMIN_SCOPE)
    return {"authorization": f"Bearer {token}"}


async def ask(world: World, method: str, path: str, body: Any = None, **options: Any) -> Answer:
    """A request of the operator's, unless `headers` say otherwise."""
    return await world.call(method, path, body, headers=options.pop("headers", None) or admin(world), **options)


async def made(world: World, path: str, body: Any) -> dict[str, Any]:
    answer = await ask(world, "POST", path, body)
    assert answer.status in (200, 201), answer.body
    created: dict[str, Any] = answer.json()
    return created


async def new_workspace(world: World, name: str = "Stage") -> str:
    """Path of a workspace without anything in it, in a project of its own."""
    project = await made(world, f"{ORG}/projects", {"name": name + "Project"})
    path = f"{ORG}/projects/{project['projectId']}"
    workspace = await made(world, f"{path}/workspaces", {"name": name})
    return f"{path}/workspaces/{workspace['workspaceId']}"
