"""The form that a result is printed in: for people, or as JSON or YAML for programs; once, or again and again."""

from __future__ import annotations

import functools
import io
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, Literal

import click

from eventmill.cli.table import Row, print_fields, print_json, print_table

Form = Literal["text", "json", "yml"]

_EVERY_S = 1.0
_HOME_AND_CLEAR = "\x1b[H\x1b[J"


def form_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds -j/--json and -y/--yml, as the `aio` command line has them; handed over as `form`."""

    @functools.wraps(command)
    def with_form(*args: Any, as_json: bool, as_yml: bool, **options: Any) -> None:
        if as_json and as_yml:
            raise click.UsageError("--json and --yml do not go together")
        form: Form = "json" if as_json else "yml" if as_yml else "text"
        command(*args, form=form, **options)

    with_yml = click.option("-y", "--yml", "as_yml", is_flag=True, help="Print YAML.")(with_form)
    return click.option("-j", "--json", "as_json", is_flag=True, help="Print JSON.")(with_yml)


def print_value(value: object, form: Form) -> None:
    """For programs; `form` is not `text`."""
    if form == "json":
        print_json(value)
        return
    from eventmill.cli.yaml_text import yaml_text

    click.echo(yaml_text(value), nl=False)


def print_items(whole: object, items: Sequence[Row], columns: Mapping[str, str], none: str, form: Form) -> None:
    """A table of `items` for people, `whole` as it was answered for programs."""
    if form == "text":
        print_table(items, columns, none)
    else:
        print_value(whole, form)


def print_one(whole: object, fields: Sequence[tuple[str, object]], form: Form) -> None:
    """Likewise, of one thing; fields without a value are left out."""
    if form == "text":
        print_fields([(label, value) for label, value in fields if value not in (None, "")])
    else:
        print_value(whole, form)


def watch_option(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --watch, handed over as `watch`."""
    text = "Show it again every second, until Ctrl-C: over itself on a terminal, else whenever it changed."
    return click.option("--watch", is_flag=True, help=text)(command)


def show_again(show: Callable[[], None], *, watch: bool) -> None:
    """Run `show`, which prints; again and again if `watch`. Ctrl-C is exit code 130."""
    if not watch:
        show()
        return
    shown = None
    try:
        while True:
            with redirect_stdout(io.StringIO()) as caught:
                show()
            text = caught.getvalue()
            if sys.stdout.isatty():
                sys.stdout.write(_HOME_AND_CLEAR + text)
            elif text != shown:
                sys.stdout.write(text)
            sys.stdout.flush()
            shown = text
            time.sleep(_EVERY_S)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None
