"""`eventmill org`: the organizations of a gateway."""

from __future__ import annotations

from collections.abc import Sequence

import click

from eventmill.cli.places import Json, called, confirm, find_org, list_orgs, org_path, yes_option
from eventmill.cli.remote import Remote, remote_options
from eventmill.cli.table import json_option, print_fields, print_json, print_list

_recipient_option = click.option(
    "--notice-recipient",
    multiple=True,
    metavar="ADDRESS",
    help="Mail address that is told of failing webhooks; may be repeated.  [default: those of the settings]",
)


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
    print_list(found, {"ID": "id", "NAME": "name", "CODE": "code"}, "no organization yet", as_json=as_json)


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
@_recipient_option
@json_option
@remote_options
def create(remote: Remote, name: str, code: str | None, notice_recipient: Sequence[str], *, as_json: bool) -> None:
    """Create an organization."""
    form: Json = {"name": name, "notice_recipients": notice_recipient}
    if code is not None:
        form["code"] = code
    _show(remote.call("POST", "/console/organizations", form)[1], as_json=as_json)


@org.command()
@click.argument("org")
@click.option("--name", help="New name.")
@_recipient_option
@click.option("--no-notice-recipients", is_flag=True, help="Mail those of the gateway's settings again.")
@json_option
@remote_options
def update(
    remote: Remote,
    org: str,
    name: str | None,
    notice_recipient: Sequence[str],
    *,
    no_notice_recipients: bool,
    as_json: bool,
) -> None:
    """Change the name of an organization, or who is mailed about its registrations."""
    if notice_recipient and no_notice_recipients:
        raise click.UsageError("--notice-recipient and --no-notice-recipients exclude each other")
    form: Json = {} if name is None else {"name": name}
    if notice_recipient or no_notice_recipients:
        form["notice_recipients"] = notice_recipient
    if not form:
        raise click.UsageError("nothing to change: give --name, --notice-recipient or --no-notice-recipients")
    _show(remote.call("PATCH", org_path(find_org(remote, org)), form)[1], as_json=as_json)


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
        recipients = [("notices to", each) for each in body.get("notice_recipients", ())]
        print_fields([("organization", body["id"]), ("name", body["name"]), ("code", body["code"]), *recipients])
