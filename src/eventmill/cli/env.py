"""`eventmill env`: prints what a client needs to talk to a gateway, as shell exports or as one JSON object."""

from __future__ import annotations

import json
import os

import click


@click.command()
@click.option("--data", metavar="DIR", help="Data directory of the gateway.  [default: .eventmill]")
@click.option("--port", type=int, help="Port of the gateway.  [default: 8080]")
@click.option("--workspace", metavar="ID", help="Workspace whose credential is printed.  [default: the first]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of shell exports.")
def env(data: str | None, port: int | None, workspace: str | None, *, as_json: bool) -> None:
    """Print URLs, ids, credential and a fresh access token.

    In a shell:  eval "$(eventmill env)"
    """
    from eventmill.cli.environment import read_environment
    from eventmill.config import load_config

    values = read_environment(load_config({"data": data, "port": port}, os.environ), workspace)
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    for name, value in values.items():
        quoted = value.replace("'", "'\\''")
        click.echo(f"export {name.upper()}='{quoted}'")
