"""`eventmill doctor`: what is amiss with the settings and surroundings of a gateway, each with its remedy."""

from __future__ import annotations

import os
import sys

import click
import msgspec

from eventmill.cli.table import print_json
from eventmill.errors import Exit


@click.command(short_help="Find what is amiss with settings and surroundings")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--dev", is_flag=True, default=None, help="The gateway runs with --dev.")
@click.option("--data", metavar="DIR", help="Data directory of the gateway.  [default: .eventmill]")
@click.option("--store", metavar="URL", help="Database of the gateway, better in EVENTMILL_STORE.")
@click.option("--host", metavar="ADDRESS", help="The gateway's --host.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="The gateway's --port.  [default: 8080]")
def doctor(*, as_json: bool, **flags: object) -> None:
    """Look for what commonly goes wrong: rights, keys, disk, schema, base URL, clock, mail, webhooks that may not be
    dialled. Run it where the gateway runs, as its user, with its environment and flags. It changes nothing.

    \b
    Exit codes:   0  no problem; there may be warnings
                  1  problems were found
                  2  wrong usage, or a setting that cannot be read
    """
    from eventmill.cli.diagnosis import diagnose
    from eventmill.config_sources import load_config

    found = diagnose(load_config(flags, os.environ), os.environ)
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        for finding in found:
            click.echo(f"{finding.level}  {finding.about}: {finding.cause}\n         {finding.remedy}")
        if not found:
            click.echo("Nothing is amiss.")
    sys.exit(Exit.FAILED if any(finding.level == "problem" for finding in found) else 0)
