"""The text of a filter for people: what it is, where a mistake stands, and how it is laid out."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from eventmill.core.ruler import Filter, compile_filter
from eventmill.errors import GatewayError
from eventmill.web.checks import parse_json

_PLACE = re.compile(r" \(line (\d+) column (\d+)\)$")
_EXCERPT_CHARS = 90
_LINE_CHARS = 56


class Verdict(msgspec.Struct, frozen=True):
    """What a text is as a filter."""

    paths: tuple[str, ...] = ()
    """The fields it looks at; none: it is no filter."""
    problem: str = ""
    line: int = 0
    """From 1; 0: no place is known."""
    column: int = 0
    excerpt: str = ""
    """Of that line."""
    marker: str = ""
    """Blanks, then a mark below the place in the excerpt."""


def judge(text: str) -> tuple[Verdict, Filter | None]:
    try:
        wanted = compile_filter(text)
    except GatewayError as error:
        return _problem(text, error.message), None
    return Verdict(paths=tuple(sorted(wanted.paths))), wanted


def _problem(text: str, message: str) -> Verdict:
    what = message.removeprefix("subscriber_filter: ")
    found = _PLACE.search(what)
    if found is None:
        return Verdict(problem=what)
    line, column = int(found[1]), int(found[2])
    whole = text.split("\n")[line - 1]
    start = max(0, column - 1 - _EXCERPT_CHARS // 2)
    excerpt = whole[start : start + _EXCERPT_CHARS]
    marker = " " * (column - 1 - start) + "^"
    return Verdict((), what[: found.start()], line, column, excerpt, marker)


def pretty(text: str) -> str:
    """On several lines where one would be long; as it is when that would change something in it."""
    try:
        return _laid_out(parse_json(text.encode()), "")
    except GatewayError:
        return text


def _laid_out(value: Any, indent: str) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    deeper = f"{indent}  "
    if not value or (len(indent) + len(flat) <= _LINE_CHARS and (indent or not isinstance(value, dict))):
        return flat
    if isinstance(value, dict):
        names = [json.dumps(name, ensure_ascii=False) for name in value]
        laid = [f"{name}: {_laid_out(each, deeper)}" for name, each in zip(names, value.values(), strict=True)]
        return "{\n" + ",\n".join(deeper + each for each in laid) + f"\n{indent}}}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(deeper + _laid_out(each, deeper) for each in value) + f"\n{indent}]"
    return flat
