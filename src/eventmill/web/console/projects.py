"""Projects and workspaces in the Console API.

As in the Developer Console, a new project has a workspace already, and a provider keeps its project from being deleted.
"""

from __future__ import annotations

import re

import msgspec

from eventmill.model import Caller, Project, Workspace
from eventmill.web import tenancy
from eventmill.web.checks import read_object
from eventmill.web.console.bodies import PROJECT_TYPE, project_body, workspace_body
from eventmill.web.console.forms import PlaceForm, PlaceUpdate, ProjectUpdate
from eventmill.web.console.organizations import DONE
from eventmill.web.console.paths import path_project
from eventmill.web.console.shapes import Namespace, NewProject, NoEndpoints, Obstacle, Obstacles, WorkspacePlace
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import path_organization, path_workspace
from eventmill.web.tenancy_deletion import delete_tenant, find_occupants

FIRST_WORKSPACE = "Production"


async def list_projects(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/projects: a bare array, all of them."""
    org = path_organization(parts, request, caller).id
    stored = await parts.store.list_docs("project", org)
    projects = [msgspec.json.decode(each.doc, type=Project) for each in stored]
    return json_reply(200, [project_body(each) for each in projects])


async def get_project(parts: Parts, request: Request, caller: Caller) -> Reply:
    return json_reply(200, project_body(path_project(parts, request, caller)))


async def create_project(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST …/projects: the project and its first workspace."""
    org = path_organization(parts, request, caller).id
    form = read_object(await request.json_body(parts.config.request_bytes_max), PlaceForm)
    project = Project(
        id=await tenancy.new_id(parts, "project", org),
        org=org,
        name=form.name,
        title=form.title or "",
        description=form.description or "",
    )
    workspace_id = await tenancy.new_id(parts, "workspace", org)
    workspace = Workspace(id=workspace_id, org=org, project_id=project.id, name=FIRST_WORKSPACE)
    await tenancy.create(parts, project, caller.client_id, workspace)
    return json_reply(201, NewProject(project.id, PROJECT_TYPE, workspace.id))


async def update_project(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PATCH …/projects/{project}: what the body leaves out stays."""
    known = path_project(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), ProjectUpdate)

    def decide(stored: Project) -> Project:
        return msgspec.structs.replace(stored, **_given(form))

    return json_reply(200, project_body(await tenancy.change(parts, known, caller.client_id, decide)))


def _given(form: PlaceUpdate) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(form).items() if value is not None}


async def delete_project(parts: Parts, request: Request, caller: Caller) -> Reply:
    await delete_tenant(parts, path_project(parts, request, caller), caller.client_id)
    return json_reply(200, DONE)


async def check_project_deletion(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST …/projects/{project}/can-delete: what would keep it from being deleted; an empty list when nothing does."""
    occupants = await find_occupants(parts, path_project(parts, request, caller))
    errors = [
        Obstacle(code=f"{each.kind}_exists", message=f"{each} belongs to it", workspace_id=each.workspace_id)
        for each in occupants
    ]
    return json_reply(200, Obstacles(errors))


async def list_workspaces(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/workspaces: a bare array."""
    project = path_project(parts, request, caller)
    stored = await parts.store.list_docs("workspace", project.org, ("project", project.id))
    workspaces = [msgspec.json.decode(each.doc, type=Workspace) for each in stored]
    return json_reply(200, [workspace_body(each) for each in workspaces])


async def get_workspace(parts: Parts, request: Request, caller: Caller) -> Reply:
    return json_reply(200, workspace_body(path_workspace(parts, request, caller)))


async def create_workspace(parts: Parts, request: Request, caller: Caller) -> Reply:
    project = path_project(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), PlaceForm)
    workspace = Workspace(
        id=await tenancy.new_id(parts, "workspace", project.org),
        org=project.org,
        project_id=project.id,
        name=form.name,
        title=form.title or "",
        description=form.description or "",
    )
    await tenancy.create(parts, workspace, caller.client_id)
    return json_reply(201, WorkspacePlace(project.id, workspace.id))


async def update_workspace(parts: Parts, request: Request, caller: Caller) -> Reply:
    known = path_workspace(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), PlaceUpdate)

    def decide(stored: Workspace) -> Workspace:
        return msgspec.structs.replace(stored, **_given(form))

    return json_reply(200, workspace_body(await tenancy.change(parts, known, caller.client_id, decide)))


async def delete_workspace(parts: Parts, request: Request, caller: Caller) -> Reply:
    await delete_tenant(parts, path_workspace(parts, request, caller), caller.client_id)
    return json_reply(200, DONE)


async def name_namespace(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST …/namespace: the name a Runtime namespace would have. There is none, so there is no key to it either."""
    workspace = path_workspace(parts, request, caller)
    project = parts.catalogue.project(workspace.org, workspace.project_id)
    names = [re.sub(r"[^a-z0-9]", "", each.name.lower())[:20] for each in (project, workspace) if each is not None]
    return json_reply(200, Namespace(name="-".join([workspace.org, *names]), auth=""))


async def list_endpoints(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/endpoints: extension points, of which there are none."""
    path_workspace(parts, request, caller)
    return json_reply(200, NoEndpoints())
