"""`eventmill restore`: puts a backup where a gateway can start on it."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from eventmill.cli.table import print_json


@click.command(short_help="Put a backup of a data directory back")
@click.argument("place", metavar="PLACE", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--data", metavar="DIR", help="Data directory to make; it must hold none.  [default: .eventmill]")
def restore(place: Path, data: str | None, *, as_json: bool) -> None:
    """Put what `eventmill backup` made at PLACE into a data directory that holds nothing yet. PLACE stays as it is.

    \b
    Exit codes:   0  done: start the gateway
                  2  wrong usage, a damaged backup, or a directory in use: the message says what to change
                  4  the backup was made by a newer version, or another build
    """
    from eventmill.config_sources import load_config
    from eventmill.store.sqlite.backup import put_back

    made = put_back(place, Path(load_config({"data": data, "store": ""}, os.environ).data))
    if as_json:
        print_json(msgspec.to_builtins(made))
        return
    click.echo(f"{made.place}: {made.segments} segments, {made.bytes} bytes. Start the gateway on it.")
    if not made.sealing_key:
        click.echo("No seal.key is there: set EVENTMILL_SEAL_KEY to the key it had.", err=True)
