"""Projects: what belongs together in an organization, with its workspaces and their credentials."""

from __future__ import annotations

from eventmill.ui.page import Page
from eventmill.ui.pages.listing import next_after, page_of
from eventmill.ui.pages.obstacles import find_obstacles
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply

_LISTED = 50


def project_path(visit: Visit) -> str:
    """Of the API."""
    return f"/console/organizations/{visit.org.id}/projects/{visit.params['project']}"


async def list_projects(visit: Visit) -> Reply:
    found = await visit.read(f"/console/organizations/{visit.org.id}/projects")
    wanted = visit.query("q").lower()
    if wanted:
        found = [each for each in found if wanted in f"{each['name']} {each['title']} {each['id']}".lower()]
    found.sort(key=lambda each: each["title"].lower())
    shown = page_of(found, visit.query("after"), _LISTED, lambda each: str(each["id"]))
    return visit.render(
        "projects/list.html",
        projects=shown,
        q=visit.query("q"),
        next=next_after(found, shown, lambda each: str(each["id"])),
        curl=visit.curl("GET", f"/console/organizations/{visit.org.id}/projects"),
    )


async def new_project(visit: Visit) -> Reply:
    return visit.render("projects/form.html", project=None, refusal=None, curl=_create_curl(visit))


def _create_curl(visit: Visit) -> str:
    return visit.curl("POST", f"/console/organizations/{visit.org.id}/projects", {"name": "Shop", "title": "The shop"})


async def create_project(visit: Visit) -> Reply:
    made = await visit.act("POST", f"/console/organizations/{visit.org.id}/projects", _form(visit))
    if not made.ok:
        return visit.refusal("projects/form.html", made, project=None, curl=made.curl)
    return visit.redirect(
        visit.url("projects", made.body["projectId"]), "The project is there, with a first workspace."
    )


def _form(visit: Visit) -> dict[str, object]:
    return {
        "name": visit.field("name"),
        "title": visit.field("title") or visit.field("name"),
        "description": visit.field("description"),
    }


async def show_project(visit: Visit) -> Reply:
    path = project_path(visit)
    project = await visit.read(path)
    workspaces = []
    for each in await visit.read(f"{path}/workspaces"):
        credentials = await visit.read(f"{path}/workspaces/{each['id']}/credentials")
        workspaces.append({**each, "credentials": credentials})
    providers = [
        each for each in visit.console.own_providers(visit.org.id) if each.project_id == visit.params["project"]
    ]
    return visit.render(
        "projects/show.html", project=project, workspaces=workspaces, providers=providers, curl=visit.curl("GET", path)
    )


async def edit_project(visit: Visit) -> Reply:
    project = await visit.read(project_path(visit))
    body = {"title": project["title"]}
    return visit.render(
        "projects/form.html", project=project, refusal=None, curl=visit.curl("PATCH", project_path(visit), body)
    )


async def update_project(visit: Visit) -> Reply:
    form = {**_form(visit), "pause_notices": bool(visit.field("pause_notices"))}
    changed = await visit.act("PATCH", project_path(visit), form)
    if not changed.ok:
        project = await visit.read(project_path(visit))
        return visit.refusal("projects/form.html", changed, project=project, curl=changed.curl)
    return visit.redirect(visit.url("projects", visit.params["project"]), "The project is changed.")


async def ask_deletion(visit: Visit) -> Reply:
    """Names what keeps it, before anybody tries."""
    project = await visit.read(project_path(visit))
    places = {
        each.id for each in visit.parts.catalogue.workspaces(visit.org.id) if each.project_id == visit.params["project"]
    }
    return visit.render(
        "projects/delete.html",
        project=project,
        obstacles=find_obstacles(visit, places),
        refusal=None,
        curl=visit.curl("DELETE", project_path(visit)),
    )


async def delete_project(visit: Visit) -> Reply:
    project = await visit.read(project_path(visit))
    done = await visit.act("DELETE", project_path(visit))
    if not done.ok:
        return visit.refusal("projects/delete.html", done, project=project, obstacles=[], curl=done.curl)
    return visit.redirect(visit.url("projects"), f"Project {project['title']} is deleted.")


_PROJECT = "/projects/{project}"

PAGES = (
    Page("GET", "/projects", list_projects, "Projects", section="projects"),
    Page("POST", "/projects", create_project, "New project", role="developer", section="projects"),
    Page("GET", "/projects/new", new_project, "New project", role="developer", section="projects"),
    Page("GET", _PROJECT, show_project, "Project", section="projects"),
    Page("POST", _PROJECT, update_project, "Edit project", role="developer", section="projects"),
    Page("GET", _PROJECT + "/edit", edit_project, "Edit project", role="developer", section="projects"),
    Page("GET", _PROJECT + "/delete", ask_deletion, "Delete project", role="developer", section="projects"),
    Page("POST", _PROJECT + "/delete", delete_project, "Delete project", role="developer", section="projects"),
)
