"""`eventmill keys`: the keys that sign access tokens."""

from __future__ import annotations

import click

from eventmill.cli.places import confirm, yes_option
from eventmill.cli.remote import Remote, remote_options
from eventmill.cli.table import json_option, print_json


@click.group(short_help="Keys that sign access tokens")
def keys() -> None:
    """Keys that sign access tokens. They change by themselves every EVENTMILL_TOKEN_KEY_ROTATION_DAYS days."""


@keys.command()
@click.option("--revoke-earlier", is_flag=True, help="Withdraw all earlier keys: every token there is becomes void.")
@yes_option
@remote_options
def rotate(remote: Remote, *, revoke_earlier: bool, yes: bool) -> None:
    """Let a new key sign from now on. Tokens of the earlier ones stay good until they expire."""
    if revoke_earlier:
        confirm("Withdraw all earlier keys? Every client has to get a new token.", yes)
    made = remote.call("POST", "/ims/keys", {"revoke_earlier": revoke_earlier})[1]
    click.echo(f"{made['kid']} signs tokens from now on.")


@keys.command("list")
@json_option
@remote_options
def list_(remote: Remote, *, as_json: bool) -> None:
    """List the ids of the keys whose tokens are good, oldest first; the last one signs."""
    body = remote.call("GET", "/ims/keys")[1]
    if as_json:
        print_json(body)
        return
    for key in body["keys"]:
        click.echo(key["kid"])
