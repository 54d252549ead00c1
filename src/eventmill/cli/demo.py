"""`eventmill demo`: a gateway, a receiver that verifies, and events between them, to be watched."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from eventmill.config import Config
    from eventmill.demo.show import Access


@click.command(short_help="Watch events on their way to verified deliveries")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="Port of the gateway.  [default: a free one]")
def demo(port: int | None) -> None:
    """Show events on their way, from publisher to verified delivery.

    Starts a gateway of its own in a temporary directory. In a terminal it goes on until Ctrl-C; otherwise it ends by
    itself, with exit code 0 when everything was verified.
    """
    from eventmill.demo.screen import Screen
    from eventmill.demo.show import run_demo

    is_terminal = sys.stdout.isatty()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # arrows and dots are no reason to end in a traceback
    screen = Screen(sys.stdout, colour=is_terminal and not _wants_no_colour())
    sys.exit(run_demo(screen, port, _read_access, stays=is_terminal))


def _wants_no_colour() -> bool:
    """By the convention of no-color.org, or because the terminal has none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def _read_access(config: Config) -> Access:
    from eventmill.cli.environment import mint_admin_token, read_environment
    from eventmill.demo.show import Access

    return Access(read_environment(config, None), mint_admin_token(config))
