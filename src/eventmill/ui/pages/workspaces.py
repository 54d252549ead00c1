"""Workspaces of a project: created, deleted, and their project file for download."""

from __future__ import annotations

from eventmill.errors import GatewayError, Reason
from eventmill.ui.page import Page
from eventmill.ui.pages.obstacles import find_obstacles
from eventmill.ui.pages.projects import project_path
from eventmill.ui.visit import Visit
from eventmill.web.http import NOT_STORED, Reply


def workspace_path(visit: Visit) -> str:
    """Of the API."""
    return f"{project_path(visit)}/workspaces/{visit.params['workspace']}"


def _back(visit: Visit) -> str:
    return visit.url("projects", visit.params["project"])


async def new_workspace(visit: Visit) -> Reply:
    project = await visit.read(project_path(visit))
    curl = visit.curl("POST", f"{project_path(visit)}/workspaces", {"name": "Stage"})
    return visit.render("projects/workspace_form.html", project=project, refusal=None, curl=curl)


async def create_workspace(visit: Visit) -> Reply:
    form = {"name": visit.field("name"), "title": visit.field("title"), "description": visit.field("description")}
    made = await visit.act("POST", f"{project_path(visit)}/workspaces", form)
    if not made.ok:
        project = await visit.read(project_path(visit))
        return visit.refusal("projects/workspace_form.html", made, project=project, curl=made.curl)
    return visit.redirect(_back(visit), f"Workspace {form['name']} is there.")


async def download(visit: Visit) -> Reply:
    """The project file, which holds the secrets of its credentials: for those who may write."""
    outcome = await visit.act("GET", f"{workspace_path(visit)}/download")
    if not outcome.ok or outcome.reply is None:
        raise GatewayError(Reason.NOT_FOUND, outcome.message)
    name = f"workspace-{visit.params['project']}-{visit.params['workspace']}.json"
    disposition = (b"content-disposition", f'attachment; filename="{_plain(name)}"'.encode())
    return Reply(200, outcome.reply.body, outcome.reply.content_type, (*NOT_STORED, disposition))


def _plain(name: str) -> str:
    return "".join(each if each.isascii() and (each.isalnum() or each in "-_.") else "_" for each in name)


async def ask_deletion(visit: Visit) -> Reply:
    workspace = await visit.read(workspace_path(visit))
    return visit.render(
        "projects/workspace_delete.html",
        workspace=workspace,
        obstacles=find_obstacles(visit, {workspace["id"]}),
        refusal=None,
        curl=visit.curl("DELETE", workspace_path(visit)),
    )


async def delete_workspace(visit: Visit) -> Reply:
    workspace = await visit.read(workspace_path(visit))
    done = await visit.act("DELETE", workspace_path(visit))
    if not done.ok:
        return visit.refusal("projects/workspace_delete.html", done, workspace=workspace, obstacles=[], curl=done.curl)
    return visit.redirect(_back(visit), f"Workspace {workspace['title']} is deleted.")


_WORKSPACES = "/projects/{project}/workspaces"
_WORKSPACE = _WORKSPACES + "/{workspace}"

PAGES = (
    Page("GET", _WORKSPACES + "/new", new_workspace, "New workspace", role="developer", section="projects"),
    Page("POST", _WORKSPACES, create_workspace, "New workspace", role="developer", section="projects"),
    Page("GET", _WORKSPACE + "/download", download, role="developer"),
    Page("GET", _WORKSPACE + "/delete", ask_deletion, "Delete workspace", role="developer", section="projects"),
    Page("POST", _WORKSPACE + "/delete", delete_workspace, "Delete workspace", role="developer", section="projects"),
)
