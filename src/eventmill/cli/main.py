"""The `eventmill` command: its subcommands, and how failures look to whoever typed it.

Subcommands import what they need when they run, so that `eventmill --help` answers at once.
"""

from __future__ import annotations

import sys

import click

from eventmill import __version__
from eventmill.cli.aio_config import aio_config
from eventmill.cli.asyncapi import asyncapi
from eventmill.cli.credential import credential
from eventmill.cli.demo import demo
from eventmill.cli.env import env
from eventmill.cli.explain import explain, unmatched
from eventmill.cli.keys import keys
from eventmill.cli.login import login
from eventmill.cli.org import org
from eventmill.cli.phi_audit import phi_audit
from eventmill.cli.project import project
from eventmill.cli.proxy import proxy
from eventmill.cli.replay import replay
from eventmill.cli.serve import serve
from eventmill.cli.simulate import simulate
from eventmill.cli.traces import traces
from eventmill.cli.undelivered import resend, undelivered
from eventmill.cli.user import user
from eventmill.cli.workspace import workspace
from eventmill.errors import StartupError


class _InOrder(click.Group):
    """Lists its commands as they were added: what comes first in use comes first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="eventmill")
def cli() -> None:
    """Eventmill: a self-hosted event gateway that speaks the Adobe I/O Events wire contract.

    Try it: `eventmill serve --dev`, then `eventmill env` in a second terminal.
    """


for command in (
    *(serve, env, demo, simulate),
    *(explain, unmatched, traces),
    *(undelivered, replay, resend),
    *(org, project, workspace, credential, keys, user),
    *(asyncapi, phi_audit),
    *(proxy, aio_config, login),
):
    cli.add_command(command)


def main() -> None:
    """Run the command; a start that cannot go on is one message and an exit code, never a traceback."""
    try:
        cli(prog_name="eventmill")
    except StartupError as error:
        click.echo(f"eventmill: {error}", err=True)
        sys.exit(error.exit_code)
