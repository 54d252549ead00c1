"""`eventmill backup`: a copy of a data directory, taken beside the gateway that uses it."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from eventmill.cli.table import print_json


@click.command(short_help="Copy a data directory beside its running gateway")
@click.argument("place", metavar="PLACE", type=click.Path(path_type=Path))
@click.option("--without-key", is_flag=True, help="Leave seal.key out: who has both has the secrets.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--data", metavar="DIR", help="Data directory of the gateway.  [default: .eventmill]")
def backup(place: Path, data: str | None, *, without_key: bool, as_json: bool) -> None:
    """Copy a data directory to PLACE, a new directory, while its gateway runs or not. `eventmill restore` puts it back.

    All that was acknowledged before is in it, and journals go on at the positions that readers have. PLACE appears when
    everything is on its disk. A database is backed up by its own tools, which the command names.

    \b
    Exit codes:   0  done
                  2  wrong usage, or it cannot be done like this: the message says what to change
                  5  changes were made faster than they could be copied: try again
    """
    from eventmill.config_sources import load_config
    from eventmill.errors import StartupError
    from eventmill.store.sqlite.backup import back_up

    config = load_config({"data": data}, os.environ)
    if config.store and data is None:
        raise StartupError(
            "the store is a database, which has tools of its own: pg_dump --format=custom while the gateways run, and "
            "pg_restore; or pg_basebackup with its write-ahead log. Keep EVENTMILL_SEAL_KEY apart from it. "
            "For a data directory give --data"
        )
    made = back_up(Path(config.data), place, key=not without_key)
    if as_json:
        print_json(msgspec.to_builtins(made))
        return
    click.echo(f"{made.place}: {made.segments} segments, {made.bytes} bytes")
    if not made.sealing_key:
        click.echo("The key that opens its secrets is not in it: keep EVENTMILL_SEAL_KEY, or seal.key.", err=True)
