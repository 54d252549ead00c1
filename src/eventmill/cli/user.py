"""`eventmill user`: the people who sign in to the console."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from urllib.parse import quote

import click

from eventmill.cli.places import Json, confirm, find_org, yes_option
from eventmill.cli.remote import Remote, remote_options
from eventmill.cli.table import json_option, print_fields, print_json, print_list

_ROLES = click.Choice(["viewer", "developer", "admin"])
_USERS = "/console/users"

_org_option = click.option(
    "--org",
    "orgs",
    multiple=True,
    metavar="ORG",
    help="Organization that the user may see: id, code or name; may be repeated.  [default: all]",
)
_stdin_option = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@click.group(short_help="People who sign in to the console")
def user() -> None:
    """People who sign in to the console.

    A viewer reads, a developer also changes, an admin also runs the gateway.
    """


@user.command("list")
@json_option
@remote_options
def list_(remote: Remote, *, as_json: bool) -> None:
    """List the users."""
    found = remote.call("GET", _USERS)[1]
    if not as_json:
        found = [{**each, "organizations": " ".join(each["organizations"]) or "all"} for each in found]
    columns = {"NAME": "name", "ROLE": "role", "ORGANIZATIONS": "organizations"}
    print_list(found, columns, "no user yet", as_json=as_json)


@user.command()
@click.argument("name")
@click.option("--role", type=_ROLES, default="viewer", show_default=True)
@_org_option
@_stdin_option
@json_option
@remote_options
def add(remote: Remote, name: str, role: str, orgs: Sequence[str], *, password_stdin: bool, as_json: bool) -> None:
    """Add a user, with a password that is asked for."""
    form: Json = {"name": name, "role": role, "organizations": _org_ids(remote, orgs)}
    form["password"] = _password(from_stdin=password_stdin)
    _show(remote.call("POST", _USERS, form)[1], as_json=as_json)


@user.command()
@click.argument("name")
@_stdin_option
@remote_options
def passwd(remote: Remote, name: str, *, password_stdin: bool) -> None:
    """Change a user's password; ends the user's sessions."""
    remote.call("PATCH", _path(name), {"password": _password(from_stdin=password_stdin)})
    click.echo(f"changed the password of {name}")


@user.command()
@click.argument("name")
@click.argument("role", type=_ROLES)
@_org_option
@json_option
@remote_options
def role(remote: Remote, name: str, role: str, orgs: Sequence[str], *, as_json: bool) -> None:
    """Change what a user may do and, with --org, where."""
    form: Json = {"role": role}
    if orgs:
        form["organizations"] = _org_ids(remote, orgs)
    _show(remote.call("PATCH", _path(name), form)[1], as_json=as_json)


@user.command()
@click.argument("name")
@yes_option
@remote_options
def delete(remote: Remote, name: str, *, yes: bool) -> None:
    """Delete a user; ends the user's sessions."""
    confirm(f"Delete user {name}?", yes)
    remote.call("DELETE", _path(name))
    click.echo(f"deleted user {name}")


def _path(name: str) -> str:
    return f"{_USERS}/{quote(name, safe='')}"


def _org_ids(remote: Remote, orgs: Sequence[str]) -> list[str]:
    return [find_org(remote, each)["id"] for each in orgs]


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return asked


def _show(body: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(body)
    else:
        orgs = " ".join(body["organizations"]) or "all"
        print_fields([("user", body["name"]), ("role", body["role"]), ("organizations", orgs)])
