"""`eventmill serve`: reads flags and environment into a `Config` and hands it to the server; in dev mode, greets."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from eventmill.config import Config


@click.command(short_help="Run the gateway")
@click.option("--dev", is_flag=True, default=None, help="Emulator: one process, a ready-made tenant, virtual clock.")
@click.option("--host", metavar="ADDRESS", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port of every role.  [default: 8080]")
@click.option("--data", metavar="DIR", help="Data directory.  [default: .eventmill]")
@click.option(
    "--store", metavar="URL", help="postgresql://..., shared by any number of nodes.  [default: files in DIR]"
)
@click.option("--roles", metavar="ROLES", help="With --store: front, deliver or both.  [default: front,deliver]")
@click.option("--base-url", metavar="URL", help="Public base URL in all links.  [default: http://127.0.0.1:<port>]")
@click.option(
    "--auth",
    type=click.Choice(["strict", "lenient"]),
    help="strict checks tokens, lenient takes any bearer.  [default: strict; lenient with --dev]",
)
@click.option("--bootstrap", metavar="FILE", help="JSON file of organizations and credentials to create at start.")
@click.option("--catalog", metavar="FILE", help='Catalogue of built-in events, or "off".  [default: the built-in one]')
@click.option(
    "--catalog-delivery-format",
    type=click.Choice(["adobe_io", "cloud_events_v1"]),
    help="How catalogue events are delivered.  [default: adobe_io]",
)
@click.option("--clock-rate", type=float, help="With --dev: business seconds per machine second.  [default: 1]")
@click.option("--seed", metavar="FILE", help="With --dev: snapshot that an empty data directory begins with.")
@click.option("--delivery-processes", type=int, help="Delivery processes.  [default: cores - 1, at least 1]")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="[default: text on a terminal, else json]")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[default: info]")
def serve(**flags: Any) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Every flag, and every further setting, is also an environment variable: EVENTMILL_ and the name in capitals, such as
    EVENTMILL_PORT. A flag beats the environment, the environment beats the default. docs/configuration.md lists all.

    \b
    Exit codes:   0  it was asked to end, and did
                  1  it had to be cut off at the end, or fell
                  2  it cannot start like this: the message says what to change
                  4  the schema of the store is of a newer version, or of another build
                  5  the database cannot be reached, or writes nothing now: try again
    """
    from eventmill.config_sources import load_config
    from eventmill.errors import StartupError

    config = load_config(flags, os.environ)
    if config.clock_rate != 1 and not config.dev:
        raise StartupError("--clock-rate moves the virtual clock, which only --dev has")
    if config.roles and not config.store:
        raise StartupError(
            "--roles is for nodes that share a database; on files one gateway does everything: "
            "leave it away, or name a database with --store postgresql://..."
        )
    if config.roles and config.dev:
        raise StartupError("--roles and --dev exclude each other: in dev mode one process does everything")

    from eventmill.server import run

    run(config, lambda: click.echo(dev_banner(config)) if config.dev else None)


def dev_banner(config: Config) -> str:
    """Where things are, and a first publish to copy."""
    from eventmill.cli.hidden_arguments import without_passwords
    from eventmill.store.open import place_of

    data = [] if config.data == ".eventmill" else ["--data", config.data]
    if config.store and os.environ.get("EVENTMILL_STORE") != config.store:
        data += ["--store", without_passwords(config.store)]
    port = [] if config.port == 8080 else ["--port", str(config.port)]
    command = shlex.join(["eventmill", "env", *data, *port])
    simulate = shlex.join(["eventmill", "simulate", "--count", "20", *data, *port])
    return f"""
  Eventmill in dev mode   {config.url}   data in {place_of(config)}   Ctrl-C stops it
  Console                 {config.url}/ui/

  In a second terminal, in this directory:

    export PATH="$PWD/.venv/bin:$PATH"       # after `make run`
    eval "$({command})"
    curl -sS "$INGRESS_URL" -H "authorization: Bearer $ACCESS_TOKEN" -H "x-api-key: $CLIENT_ID" \\
      -H 'content-type: application/cloudevents+json' \\
      -d '{{"specversion": "1.0", "id": "1", "source": "urn:uuid:'"$PROVIDER_ID"'", "type": "com.acme.stock.low",
           "data": {{"sku": "A1"}}}}'

  The console, or "Five minutes" in README.md, makes the provider whose id is PROVIDER_ID, and a webhook that gets the
  event. Without one, there are the built-in events, to which docs/catalog.md subscribes:

    {simulate}
"""
