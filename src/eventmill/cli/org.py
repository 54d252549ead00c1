"""`eventmill org`: the organisations of a gateway."""

from __future__ import annotations

import click

from eventmill.cli.places import Json, called, confirm, find_org, list_orgs, org_path, yes_option
from eventmill.cli.remote import Remote, remote_options
from eventmill.cli.table import json_option, print_fields, print_json, print_table


@click.group(short_help="Organizations: the tenants, each apart from the others")
def org() -> None:
    """Organizations: the tenants of the gateway, each apart from the others.

    ORG is an id, a code (the IMS organization id) or a name.
    """


@org.command("list")
@json_option
@remote_options
def list_(remote: Remote, *, as_json: bool) -> None:
    """List the organizations."""
    found = list_orgs(remote)
    if as_json:
        print_json(found)
    else:
        print_table(found, {"ID": "id", "NAME": "name", "CODE": "code"}, "no organization yet")


@org.command()
@click.argument("org")
@json_option
@remote_options
def get(remote: Remote, org: str, *, as_json: bool) -> None:
    """Show one organization."""
    _show(find_org(remote, org), as_json=as_json)


@org.command()
@click.argument("name")
@click.option("--code", metavar="IMS_ORG_ID", help="IMS organization id.  [default: made up]")
@json_option
@remote_options
def create(remote: Remote, name: str, code: str | None, *, as_json: bool) -> None:
    """Create an organization."""
    form = {"name": name} if code is None else {"name": name, "code": code}
    _show(remote.call("POST", "/console/organizations", form)[1], as_json=as_json)


@org.command()
@click.argument("org")
@click.option("--name", required=True, help="New name.")
@json_option
@remote_options
def update(remote: Remote, org: str, name: str, *, as_json: bool) -> None:
    """Rename an organization."""
    _show(remote.call("PATCH", org_path(find_org(remote, org)), {"name": name})[1], as_json=as_json)


@org.command()
@click.argument("org")
@yes_option
@remote_options
def delete(remote: Remote, org: str, *, yes: bool) -> None:
    """Delete an organization that has no project any more."""
    found = find_org(remote, org)
    confirm(f"Delete organization {called(found)}?", yes)
    remote.call("DELETE", org_path(found))
    click.echo(f"deleted organization {found['id']}")


def _show(body: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(body)
    else:
        print_fields([("organization", body["id"]), ("name", body["name"]), ("code", body["code"])])
