"""Finds the organization, project, workspace or credential that a command means, by id or name.

What is not named is the only one there is; where there are several, the refusal lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import click

from eventmill.cli.remote import Failed, Refused, Remote

Json = dict[str, Any]

_LISTED_MAX = 20
_ROOT = "/console/organizations"

org_option = click.option("--org", metavar="ORG", help="Organization, by id, code or name.  [default: the only one]")
project_option = click.option("--project", metavar="PROJECT", help="Project, by id or name.  [default: the only one]")
workspace_option = click.option("--workspace", metavar="ID", help="Workspace, by id or name.  [default: the only one]")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def org_path(org: Json) -> str:
    return f"{_ROOT}/{org['id']}"


def project_path(project: Json) -> str:
    return f"{_ROOT}/{project['org_id']}/projects/{project['id']}"


def workspace_path(project: Json, workspace: Json) -> str:
    return f"{project_path(project)}/workspaces/{workspace['id']}"


def list_orgs(remote: Remote) -> list[Json]:
    return _get(remote, _ROOT)


def find_org(remote: Remote, wanted: str | None) -> Json:
    return _choose("organization", list_orgs(remote), wanted, "--org")


def list_projects(remote: Remote, org: Json) -> list[Json]:
    return _get(remote, f"{org_path(org)}/projects")


def find_project(remote: Remote, org: str | None, wanted: str | None) -> Json:
    return _choose("project", list_projects(remote, find_org(remote, org)), wanted, "--project")


def list_workspaces(remote: Remote, project: Json) -> list[Json]:
    return _get(remote, f"{project_path(project)}/workspaces")


def find_workspace(remote: Remote, org: str | None, project: str | None, wanted: str | None) -> tuple[Json, Json]:
    """The workspace after its project. By its own id or name it is found in any project, if none was named."""
    if project is not None or wanted is None:
        parent = find_project(remote, org, project)
        return parent, _choose("workspace", list_workspaces(remote, parent), wanted, "--workspace")
    owner = find_org(remote, org)
    place = _look_up(remote, f"{org_path(owner)}/projects_workspaces/workspaces/{quote(wanted, safe='')}")
    parents = list_projects(remote, owner)
    if place is not None:
        parents = [each for each in parents if each["id"] == place[0]["projectId"]]
    found = [{**each, "project": parent} for parent in parents for each in list_workspaces(remote, parent)]
    workspace = _choose("workspace", found, wanted, "--workspace", or_else="--project")
    return workspace["project"], workspace


def list_credentials(remote: Remote, project: Json, workspace: Json) -> list[Json]:
    return _get(remote, f"{workspace_path(project, workspace)}/credentials")


def find_credential(remote: Remote, org: str | None, wanted: str) -> Json:
    """By its id or client id, in any workspace of the organization."""
    parent = org_path(find_org(remote, org))
    found: Json | None = _look_up(remote, f"{parent}/integrations/{quote(wanted, safe='')}")
    if found is None:
        place = _look_up(remote, f"{parent}/clients/{quote(wanted, safe='')}/project_workspace")
        found = None if place is None else _look_up(remote, f"{parent}/integrations/{place['integrationId']}")
    if found is None:
        raise Failed(f"there is no credential {wanted!r}; `eventmill credential list` shows those of a workspace")
    return found


def credential_path(credential: Json) -> str:
    """Where its secrets are."""
    return f"{_ROOT}/{credential['orgId']}/credentials/{credential['id']}"


def _get(remote: Remote, path: str) -> list[Json]:
    found = remote.call("GET", path)[1]
    if isinstance(found, list) and all(isinstance(each, dict) for each in found):
        return found
    raise Failed(f"{remote.url} does not answer as a gateway would: {path} is no list")


def _look_up(remote: Remote, path: str) -> Any:
    """The answer; None when there is none such."""
    try:
        return remote.call("GET", path)[1]
    except Refused as refused:
        if refused.status != HTTPStatus.NOT_FOUND:
            raise
        return None


def _choose(kind: str, items: Sequence[Json], wanted: str | None, flag: str, *, or_else: str = "") -> Json:
    """`or_else`: a further flag that would tell things of the same name apart."""
    if wanted is None:
        chosen = list(items)
    else:
        chosen = [each for each in items if wanted == each["id"]] or [
            each for each in items if wanted in (each.get("name"), each.get("code"))
        ]
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(f"{each['id']} {each.get('name') or ''}".rstrip() for each in (chosen or items)[:_LISTED_MAX])
    if chosen and wanted is None:
        raise click.UsageError(f"which {kind}? Say it with {flag}; there are: {listed}")
    if chosen:
        remedy = "use an id" + (f" or {or_else}" if or_else else "")
        raise click.UsageError(f"{wanted!r} is the name of several {kind}s; {remedy}: {listed}")
    missing = f"there is no {kind}" + ("" if wanted is None else f" {wanted!r}")
    command = "org" if kind == "organization" else kind
    raise Failed(missing + (f"; there are: {listed}" if items else f" yet; make one: eventmill {command} create NAME"))


def called(thing: Json) -> str:
    """Name and id, as a question names it; what a bootstrap file made may have no name."""
    return f"{thing['name']} ({thing['id']})" if thing.get("name") else str(thing["id"])


def confirm(question: str, yes: bool) -> None:
    """Ask before something is gone. Raises `click.Abort` or `Failed` (exit code 1) unless the answer is yes."""
    if yes:
        return
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort as abort:
        if not isinstance(abort.__context__, EOFError):
            raise
        click.echo(err=True)
        raise Failed("nothing was done: nobody answered; with --yes it is not asked") from None


def ask(label: str, option: str) -> str:
    """What the option would have said. Raises `click.UsageError` where nobody answers."""
    try:
        answer: str = click.prompt(label, err=True)
    except click.Abort as abort:
        if not isinstance(abort.__context__, EOFError):
            raise
        click.echo(err=True)
        raise click.UsageError(f"{option} is missing") from None
    return answer
