"""Finds the registration that a command means: by id or name, in any workspace of the organization."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import click

from eventmill.cli.places import Json, find_org, find_workspace, org_option, project_option
from eventmill.cli.remote import Failed, Remote, remote_options

_PAGE_SIZE = 100
_LISTED_MAX = 20


def registration_path(registration: Json) -> str:
    """Of the management API."""
    place = f"{registration['consumer_id']}/{registration['project_id']}/{registration['workspace_id']}"
    return f"/events/{place}/registrations/{quote(str(registration['registration_id']), safe='')}"


def find_registration(remote: Remote, org: str | None, project: str | None, workspace: str | None, wanted: str) -> Json:
    """Where no workspace is named, all of the organization are looked through."""
    if project is None and workspace is None:
        found = _list_all(remote, str(find_org(remote, org)["id"]))
    else:
        parent, place = find_workspace(remote, org, project, workspace)
        path = f"/events/{parent['org_id']}/{parent['id']}/{place['id']}/registrations"
        found = _embedded(remote.call("GET", path)[1])
    return choose_registration(found, wanted)


def choose_registration(registrations: list[Json], wanted: str) -> Json:
    """Names are unique in a workspace only."""
    chosen = [each for each in registrations if wanted == each["registration_id"]]
    chosen = chosen or [each for each in registrations if wanted == each["name"]]
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(f"{each['registration_id']} {each['name']}" for each in (chosen or registrations)[:_LISTED_MAX])
    if chosen:
        raise click.UsageError(f"{wanted!r} is the name of several; use an id or --workspace: {listed}")
    raise Failed(f"there is no registration {wanted!r}" + (f"; there are: {listed}" if listed else ""))


def _list_all(remote: Remote, org_id: str) -> list[Json]:
    found: list[Json] = []
    number, pages = 0, 1
    while number < pages:
        body = remote.call("GET", f"/events/{org_id}/registrations?page={number}&size={_PAGE_SIZE}")[1]
        found += _embedded(body)
        number, pages = number + 1, body["page"]["totalPages"]
    return found


def _embedded(body: Any) -> list[Json]:
    registrations: list[Json] = body["_embedded"]["registrations"]
    return registrations


def registration_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the argument REGISTRATION and the options that say where it is and which gateway's; hands over `remote`, and
    the `registration` as the gateway answers it."""

    @click.argument("registration")
    @org_option
    @project_option
    @click.option("--workspace", metavar="ID", help="Workspace, by id or name.  [default: any]")
    @remote_options
    @functools.wraps(command)
    def with_registration(
        *args: Any,
        remote: Remote,
        registration: str,
        org: str | None,
        project: str | None,
        workspace: str | None,
        **options: Any,
    ) -> None:
        found = find_registration(remote, org, project, workspace, registration)
        command(*args, remote=remote, registration=found, **options)

    return with_registration
