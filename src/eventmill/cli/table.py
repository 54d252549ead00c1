"""How answers look on a terminal: columns for lists, labelled lines for one thing, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from unicodedata import combining, east_asian_width

import click

Command = TypeVar("Command", bound=Callable[..., None])

Row = Mapping[str, Any]

_GAP = "  "


def json_option(command: Command) -> Command:
    """Adds --json, handed over as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON as the gateway answers it.")(command)


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_list(
    items: Sequence[Row],
    columns: Mapping[str, str],
    none: str,
    *,
    as_json: bool,
    show: Callable[[Row], Row] = lambda item: item,
) -> None:
    """As `print_table`, each item as `show` makes it for people; or as JSON, as it is."""
    if as_json:
        print_json(items)
    else:
        print_table([show(item) for item in items], columns, none)


def print_table(items: Sequence[Row], columns: Mapping[str, str], none: str) -> None:
    """One line per item; `columns` is heading to member. Without items, `none` on standard error."""
    if not items:
        click.echo(none, err=True)
        return
    rows = [[one_line(item.get(member)) for member in columns.values()] for item in items]
    widths = [max(_width(cell) for cell in cells) for cells in zip(columns, *rows, strict=True)]
    for row in (list(columns), *rows):
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        click.echo(_GAP.join(cells).rstrip())


def _width(text: str) -> int:
    """In terminal columns: names may be Japanese, or have their accents beside the letters."""
    wide = sum(east_asian_width(each) in ("W", "F") for each in text)
    return len(text) + wide - sum(combining(each) != 0 for each in text)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Labels in one column, values in the next."""
    lines = [(label, one_line(value)) for label, value in fields]
    width = max(len(label) for label, _ in lines)
    for label, value in lines:
        click.echo(f"{label.ljust(width)}{_GAP}{value}".rstrip())


def one_line(value: object) -> str:
    """On one line and without control characters: names are other people's."""
    text = "" if value is None else str(value)
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
