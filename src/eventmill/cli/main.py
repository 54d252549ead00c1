"""The `eventmill` command: its subcommands, and how failures look to whoever typed it.

Subcommands are imported when they run, so that `eventmill --help` answers at once.
"""

from __future__ import annotations

import sys

import click

from eventmill import __version__
from eventmill.cli.hidden_arguments import hide_passwords
from eventmill.cli.lazy import LazyCommand, LazyGroup
from eventmill.errors import StartupError

_COMMANDS = (
    LazyCommand("serve", "serve", "Run the gateway"),
    LazyCommand("env", "env", "Print what a client needs: URLs, ids, credential, token"),
    LazyCommand("demo", "demo", "Watch events on their way to verified deliveries"),
    LazyCommand("simulate", "simulate", "Publish believable events of the built-in channels"),
    LazyCommand("provider", "provider", "Providers: who publishes events"),
    LazyCommand("eventmetadata", "eventmetadata", "Event metadata: the event codes of a provider"),
    LazyCommand("registration", "registration", "Registrations: who gets which events, and how"),
    LazyCommand("plan", "apply", "Show what `apply` would do"),
    LazyCommand("apply", "apply", "Make a workspace have what files declare"),
    LazyCommand("destroy", "apply", "Delete what `apply` has made"),
    LazyCommand("export", "export", "Write a workspace as a file for `apply`"),
    LazyCommand("publish", "publish", "Publish events, from options, a file or a pipe"),
    LazyCommand("journal", "journal", "The journal of a registration: read it, follow it, keep a place"),
    LazyCommand("listen", "listen", "Hand a registration's events on to a receiver on this machine"),
    LazyCommand("receiver-check", "receiver_check", "Check a webhook receiver before events depend on it"),
    LazyCommand("filter", "filter", "Try a filter: on an event, on samples, on a journal", "filter_"),
    LazyCommand("explain", "explain", "What became of an event, and why it did not arrive"),
    LazyCommand("unmatched", "explain", "Events of the last 24 hours that nobody was to get"),
    LazyCommand("traces", "traces", "The last attempts of a registration, and how long each took"),
    LazyCommand("undelivered", "undelivered", "What a registration did not get, and why"),
    LazyCommand("replay", "replay", "Send a registration events again"),
    LazyCommand("resend", "undelivered", "Send one event to a registration again"),
    LazyCommand("org", "org", "Organizations: the tenants, each apart from the others"),
    LazyCommand("project", "project", "Projects of an organization"),
    LazyCommand("workspace", "workspace", "Workspaces of a project"),
    LazyCommand("credential", "credential", "Credentials: client ids and their secrets"),
    LazyCommand("keys", "keys", "Keys that sign access tokens"),
    LazyCommand("user", "user", "People who sign in to the console"),
    LazyCommand("doctor", "doctor", "Find what is amiss with settings and surroundings"),
    LazyCommand("backup", "backup", "Copy a data directory beside its running gateway"),
    LazyCommand("restore", "restore", "Put a backup of a data directory back"),
    LazyCommand("migrate", "migrate", "The schema of the store, before and after an upgrade"),
    LazyCommand("asyncapi", "asyncapi", "AsyncAPI documents of providers, both ways"),
    LazyCommand("phi-audit", "phi_audit", "The audit trail of protected health information"),
    LazyCommand("dev", "dev", "Dev mode: turn the clock, break the network, read mails, start afresh"),
    LazyCommand("config", "config", "Settings: their values, and where those come from"),
    LazyCommand("proxy", "proxy", "Let the aio command line reach the gateway"),
    LazyCommand("aio-config", "aio_config", "Print or write the configuration of aio"),
    LazyCommand("login", "login", "Complete `aio login --no-open`"),
    LazyCommand("completion", "completion", "Print what bash, zsh or fish needs to complete commands"),
)
"""Name, module and what it is for, in the order of `--help`: what comes first in use comes first."""


@click.group(
    cls=LazyGroup,
    lazy_commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="eventmill")
def cli() -> None:
    """Eventmill: a self-hosted event gateway that speaks the Adobe I/O Events wire contract.

    Try it: `eventmill serve --dev`, then `eventmill env` in a second terminal.
    """


def main() -> None:
    """Run the command; a start that cannot go on is one message and an exit code, never a traceback."""
    hide_passwords(sys.argv[1:])
    try:
        sys.exit(cli.main(prog_name="eventmill", standalone_mode=False))
    except StartupError as error:
        click.echo(f"eventmill: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort as abort:
        is_interrupt = isinstance(abort.__cause__ or abort.__context__, KeyboardInterrupt)
        if not is_interrupt:
            click.echo("Aborted!", err=True)
        sys.exit(130 if is_interrupt else 1)
