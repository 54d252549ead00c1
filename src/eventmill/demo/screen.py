"""How the demo looks: acts with a headline, aligned rows, colours where a terminal shows them. Fits 100 columns."""

from __future__ import annotations

from typing import TextIO

import click

_INDENT = "   "
_NAME_WIDTH = 38
_DETAIL_WIDTH = 45
_POSITION_WIDTH = 20
_LABEL_WIDTH = 12
_COLOURS = {"verified": "green", "found": "green", "refused": "red", "503": "yellow"}


class Screen:
    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._acts = 0

    def title(self, text: str, rest: str) -> None:
        self._print(f"{self._style(text, bold=True)}  {rest}")

    def act(self, headline: str, why: str) -> None:
        """`why` is one sentence: why what follows matters."""
        self._acts += 1
        self._print(f"\n{self._style(f'{self._acts}  {headline}', fg='cyan', bold=True)}")
        self._print(f"{_INDENT}{self._style(why, dim=True)}\n")

    def result(self, text: str) -> None:
        self._print(f"\n{self._style(text, fg='green', bold=True)}\n")

    def row(self, name: str, detail: str, verdict: str = "") -> None:
        """`verdict` is coloured by its first word."""
        line = f"{_INDENT}{_fit(name, _NAME_WIDTH)}  {_fit(detail, _DETAIL_WIDTH)}  "
        colour = _COLOURS.get(verdict.partition(" ")[0])
        self._print(f"{line}{self._style(verdict, fg=colour)}".rstrip())

    def entry(self, position: str, name: str, detail: str) -> None:
        self._print(f"{_INDENT}{position:<{_POSITION_WIDTH}}{_fit(name, _NAME_WIDTH)}  {detail}")

    def place(self, label: str, text: str, rest: str = "") -> None:
        """`text` is something to copy: never shortened."""
        self._print(f"{_INDENT}{label:<{_LABEL_WIDTH}}{self._style(text, bold=True)}  {rest}".rstrip())

    def note(self, text: str) -> None:
        self._print(f"{_INDENT}{text}")

    def gap(self) -> None:
        self._print("")

    def failure(self, text: str) -> None:
        self._print(f"\n{_INDENT}{self._style(text, fg='red', bold=True)}")

    def _style(self, text: str, **style: object) -> str:
        is_styled = self._colour and any(style.values())
        return click.style(text, **style) if is_styled else text  # type: ignore[arg-type]

    def _print(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def _fit(text: str, width: int) -> str:
    return f"{text:<{width}}" if len(text) <= width else text[: width - 1] + "…"
