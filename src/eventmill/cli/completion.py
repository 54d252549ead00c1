"""`eventmill completion`: what a shell needs to complete commands, options and values."""

from __future__ import annotations

import click

_SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print what bash, zsh or fish needs to complete commands")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that has the shell complete commands and options.

    \b
    eval "$(eventmill completion bash)"      in ~/.bashrc
    eval "$(eventmill completion zsh)"       in ~/.zshrc, after compinit
    eventmill completion fish | source       in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, "every shell of the choice has one"
    root = context.find_root()
    script = kind(root.command, {}, "eventmill", "_EVENTMILL_COMPLETE").source_vars()
    click.echo(kind.source_template % script)
