"""`eventmill workspace`: the workspaces of a project, and the project file of each."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from eventmill.cli.places import (
    Json,
    called,
    confirm,
    find_project,
    find_workspace,
    list_workspaces,
    org_option,
    project_option,
    project_path,
    workspace_path,
    yes_option,
)
from eventmill.cli.remote import Failed, Remote, remote_options
from eventmill.cli.table import json_option, print_fields, print_json, print_list


@click.group(short_help="Workspaces of a project")
def workspace() -> None:
    """Workspaces: where providers, registrations and credentials live.

    WORKSPACE is an id or a name.
    """


@workspace.command("list")
@org_option
@project_option
@json_option
@remote_options
def list_(remote: Remote, org: str | None, project: str | None, *, as_json: bool) -> None:
    """List the workspaces of a project."""
    found = list_workspaces(remote, find_project(remote, org, project))
    print_list(found, {"ID": "id", "NAME": "name", "TITLE": "title"}, "no workspace yet", as_json=as_json)


@workspace.command()
@click.argument("workspace")
@org_option
@project_option
@json_option
@remote_options
def get(remote: Remote, workspace: str, org: str | None, project: str | None, *, as_json: bool) -> None:
    """Show one workspace."""
    parent, found = find_workspace(remote, org, project, workspace)
    _show(remote.call("GET", workspace_path(parent, found))[1], as_json=as_json)


@workspace.command()
@click.argument("name")
@click.option("--title", default="", help="Shown to people.  [default: the name]")
@click.option("--description", default="", help="What it is for.")
@org_option
@project_option
@json_option
@remote_options
def create(remote: Remote, name: str, org: str | None, project: str | None, *, as_json: bool, **texts: str) -> None:
    """Create a workspace. NAME: letters and digits."""
    path = f"{project_path(find_project(remote, org, project))}/workspaces"
    made = remote.call("POST", path, {"name": name, **texts})[1]
    _show(remote.call("GET", f"{path}/{made['workspaceId']}")[1], as_json=as_json)


@workspace.command()
@click.argument("workspace")
@click.option("--name", help="New name.")
@click.option("--title", help="New title.")
@click.option("--description", help="New description.")
@org_option
@project_option
@json_option
@remote_options
def update(
    remote: Remote, workspace: str, org: str | None, project: str | None, *, as_json: bool, **changes: str | None
) -> None:
    """Change the name, the title or the description of a workspace."""
    given = {name: value for name, value in changes.items() if value is not None}
    parent, found = find_workspace(remote, org, project, workspace)
    _show(remote.call("PATCH", workspace_path(parent, found), given)[1], as_json=as_json)


@workspace.command()
@click.argument("workspace")
@org_option
@project_option
@yes_option
@remote_options
def delete(remote: Remote, workspace: str, org: str | None, project: str | None, *, yes: bool) -> None:
    """Delete a workspace with its credentials.

    Refused while a provider or a registration is in it.
    """
    parent, found = find_workspace(remote, org, project, workspace)
    confirm(f"Delete workspace {called(found)} with its credentials?", yes)
    remote.call("DELETE", workspace_path(parent, found))
    click.echo(f"deleted workspace {found['id']}")


@workspace.command()
@click.argument("workspace", required=False)
@org_option
@project_option
@click.option("--output", metavar="FILE", help="File to write, readable by you only.  [default: standard output]")
@remote_options
def download(remote: Remote, workspace: str | None, org: str | None, project: str | None, output: str | None) -> None:
    """Print the project file of a workspace, as the Developer Console gives it for download.

    It holds the client secrets of the workspace's credentials.
    """
    parent, found = find_workspace(remote, org, project, workspace)
    body = remote.call("GET", f"{workspace_path(parent, found)}/download")[1]
    if output is None:
        print_json(body)
    else:
        _write_private(Path(output), json.dumps(body, indent=2, ensure_ascii=False) + "\n")
        click.echo(f"wrote {output}; it holds client secrets", err=True)


def _write_private(path: Path, text: str) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
    except OSError as error:
        raise Failed(f"{path} cannot be written: {error.strerror or error}") from error


def _show(body: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(body)
    else:
        members = (("workspace", "id"), ("name", "name"), ("title", "title"), ("project", "project_id"))
        print_fields([(label, body[member]) for label, member in members])
