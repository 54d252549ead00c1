"""`eventmill doctor`: what is amiss with the settings and surroundings of a gateway, each with its remedy."""

from __future__ import annotations

import os
import sys

import click
import msgspec

from eventmill.cli.table import print_json
from eventmill.cli.wire import NoAnswer, Wire, local_url
from eventmill.errors import Exit

_ANSWER_S = 5.0


@click.command(short_help="Find what is amiss with settings and surroundings")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--dev/--no-dev",
    default=None,
    help="Whether the gateway runs with --dev.  [default: asked of it]",
)
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

    config = load_config(flags, os.environ)
    if flags["dev"] is None and not config.dev and _runs_in_dev_mode(local_url(config)):
        config = load_config({**flags, "dev": True}, os.environ)
    found = diagnose(config, os.environ)
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        for finding in found:
            click.echo(f"{finding.level}  {finding.about}: {finding.cause}\n         {finding.remedy}")
        if not found:
            click.echo("Nothing is amiss.")
    sys.exit(Exit.FAILED if any(finding.level == "problem" for finding in found) else 0)


def _runs_in_dev_mode(url: str) -> bool:
    """Only a gateway in dev mode has a clock to turn."""
    wire = Wire()
    try:
        return wire.send("GET", f"{url}/_dev/clock", {}, timeout_s=_ANSWER_S).status in (200, 401)
    except NoAnswer:
        return False
    finally:
        wire.close()
