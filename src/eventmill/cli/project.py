"""`eventmill project`: the projects of an organization."""

from __future__ import annotations

import click

from eventmill.cli.places import (
    Json,
    called,
    confirm,
    find_org,
    find_project,
    list_projects,
    org_option,
    org_path,
    project_path,
    yes_option,
)
from eventmill.cli.remote import Remote, remote_options
from eventmill.cli.table import json_option, print_fields, print_json, print_list


@click.group(short_help="Projects of an organization")
def project() -> None:
    """Projects: what belongs together in an organization.

    PROJECT is an id or a name.
    """


@project.command("list")
@org_option
@json_option
@remote_options
def list_(remote: Remote, org: str | None, *, as_json: bool) -> None:
    """List the projects of an organization."""
    found = list_projects(remote, find_org(remote, org))
    print_list(found, {"ID": "id", "NAME": "name", "TITLE": "title"}, "no project yet", as_json=as_json)


@project.command()
@click.argument("project")
@org_option
@json_option
@remote_options
def get(remote: Remote, project: str, org: str | None, *, as_json: bool) -> None:
    """Show one project."""
    _show(find_project(remote, org, project), as_json=as_json)


@project.command()
@click.argument("name")
@click.option("--title", help="Shown to people.  [default: the name]")
@click.option("--description", default="", help="What it is for.")
@org_option
@json_option
@remote_options
def create(remote: Remote, name: str, title: str | None, description: str, org: str | None, *, as_json: bool) -> None:
    """Create a project, with a workspace named Production. NAME: letters and digits."""
    path = f"{org_path(find_org(remote, org))}/projects"
    made = remote.call("POST", path, {"name": name, "title": title or name, "description": description})[1]
    body = remote.call("GET", f"{path}/{made['projectId']}")[1]
    if as_json:
        print_json({**body, **made})
    else:
        print_fields(
            [("project", body["id"]), ("name", body["name"]), ("workspace", f"{made['workspaceId']} Production")]
        )


@project.command()
@click.argument("project")
@click.option("--name", help="New name.")
@click.option("--title", help="New title.")
@click.option("--description", help="New description.")
@click.option(
    "--pause-notices/--resume-notices",
    default=None,
    help="Mail nobody about failing webhooks of the project, or again.",
)
@org_option
@json_option
@remote_options
def update(remote: Remote, project: str, org: str | None, *, as_json: bool, **changes: str | bool | None) -> None:
    """Change the name, the title or the description of a project, or pause its mails."""
    given = {name: value for name, value in changes.items() if value is not None}
    found = find_project(remote, org, project)
    _show(remote.call("PATCH", project_path(found), given)[1], as_json=as_json)


@project.command()
@click.argument("project")
@org_option
@yes_option
@remote_options
def delete(remote: Remote, project: str, org: str | None, *, yes: bool) -> None:
    """Delete a project with its workspaces and credentials.

    Refused while a provider or a registration is in it.
    """
    found = find_project(remote, org, project)
    confirm(f"Delete project {called(found)} with its workspaces and credentials?", yes)
    remote.call("DELETE", project_path(found))
    click.echo(f"deleted project {found['id']}")


def _show(body: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(body)
    else:
        members = (("project", "id"), ("name", "name"), ("title", "title"), ("organization", "org_id"))
        paused = [("notices", "paused")] if body.get("pause_notices") else []
        print_fields([*((label, body[member]) for label, member in members), *paused])
