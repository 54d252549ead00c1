"""`eventmill aio-config`: the configuration of the `aio` command line, so that it asks for nothing it was not told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from eventmill.cli.remote import store_option


@click.command(name="aio-config", short_help="Print or write the configuration of aio")
@click.option("--data", metavar="DIR", help="Data directory of the gateway.  [default: .eventmill]")
@store_option
@click.option("--workspace", metavar="ID", help="Workspace that is selected.  [default: first with a credential]")
@click.option("--write", metavar="PATH", help="Write into this file, keeping its other members: ./.aio, ~/.config/aio.")
def aio_config(data: str | None, store: str | None, workspace: str | None, write: str | None) -> None:
    """Print the organization, project, workspace and credential as `aio` stores what was selected.

    With them `aio event …` works without `aio console … select`.
    """
    from eventmill.cli.client_variables import aio_config as members
    from eventmill.cli.client_variables import merge_config
    from eventmill.cli.environment import find_coordinates
    from eventmill.config_sources import load_config
    from eventmill.errors import StartupError

    ours = members(find_coordinates(load_config({"data": data, "store": store}, os.environ), workspace))
    if write is None:
        click.echo(json.dumps(ours, indent=2))
        return
    path = Path(write).expanduser()
    try:
        existing = path.read_text("utf-8") if path.exists() else ""
        text = json.dumps(merge_config(existing, ours, str(path)), indent=2, ensure_ascii=False) + "\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, text)
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"cannot write {path}: {error}") from error
    click.echo(f"{path} selects {ours['console']['workspace']['name']} of {ours['console']['org']['name']}")


def _replace(path: Path, text: str) -> None:
    """As a whole; a new file is the owner's only, like the one that `aio` makes: it keeps tokens there too."""
    import tempfile

    target = path.resolve()  # a link stays a link
    descriptor, fresh = tempfile.mkstemp(prefix=f"{target.name}.", dir=target.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    if target.exists():
        Path(fresh).chmod(target.stat().st_mode & 0o777)
    Path(fresh).replace(target)
