"""A group of commands that are imported when one is run or asked for its options, not when all are listed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click


class LazyCommand(NamedTuple):
    """A command that stands in `module` of `eventmill.cli`, under its own name with `_` for `-`."""

    name: str
    module: str
    about: str
    """Its `short_help`, for the list."""
    attribute: str = ""
    """Where its function is called otherwise."""


class LazyGroup(click.Group):
    def __init__(self, *args: Any, lazy_commands: Sequence[LazyCommand], **options: Any) -> None:
        super().__init__(*args, **options)
        self.lazy_commands = {each.name: each for each in lazy_commands}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy_commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As it is inherited; a name that is nearly one of them is told."""
        if args and args[0] not in self.lazy_commands and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.lazy_commands, n=1)
            if near:
                ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = self.lazy_commands.get(cmd_name)
        if found is None:
            return None
        module = import_module(f"eventmill.cli.{found.module}")
        command: click.Command = getattr(module, found.attribute or cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As it is inherited, without a look at the commands themselves."""
        with formatter.section("Commands"):
            formatter.write_dl([(each.name, each.about) for each in self.lazy_commands.values()])
