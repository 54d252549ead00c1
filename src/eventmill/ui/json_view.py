"""JSON for people: indented, coloured by classes, long strings folded, whatever is in it harmless to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from eventmill.ui.shown import mark_hidden

_LONG_CHARS = 400
_STRING_CHARS_MAX = 65_536
"""Of one string, folded out."""
_NODES_MAX = 5_000
"""Members and items; what comes after is left out, and said so."""
_DEPTH_MAX = 60
_BRACES, _BRACKETS = Markup("{}"), Markup("[]")


class _Budget:
    def __init__(self) -> None:
        self.left = _NODES_MAX

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0


def json_view(value: Any, label: str = "JSON") -> Markup:
    """`value`: what was decoded, or text, shown as it is when it is not JSON."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            body = _long(value)
            return _frame(body, label)
    budget = _Budget()
    body = Markup("").join(_value(value, 0, budget))
    if budget.left < 0:
        body += Markup('\n<span class="faint">… cut here: too much to show</span>')
    return _frame(body, label)


def _frame(body: Markup, label: str) -> Markup:
    return Markup('<pre class="json" dir="ltr" tabindex="0" role="region" aria-label="{}">{}</pre>').format(label, body)


def _value(value: Any, depth: int, budget: _Budget) -> Iterator[Markup]:
    if not budget.take():
        return
    if depth > _DEPTH_MAX:
        yield Markup('<span class="faint">…</span>')
    elif isinstance(value, dict):
        members = [(_member(name), each) for name, each in value.items()]
        yield from _block(_BRACES, members, depth, budget)
    elif isinstance(value, list):
        yield from _block(_BRACKETS, [(Markup(""), each) for each in value], depth, budget)
    elif isinstance(value, str):
        yield Markup('<span class="j-s">"{}"</span>').format(_long(json.dumps(value, ensure_ascii=False)[1:-1]))
    else:
        yield Markup('<span class="j-n">{}</span>').format(json.dumps(value))


def _member(name: str) -> Markup:
    shown = mark_hidden(json.dumps(name[:_LONG_CHARS], ensure_ascii=False))
    return Markup('<span class="j-k"><bdi>{}</bdi></span>: ').format(shown)


def _block(ends: Markup, members: list[tuple[Markup, Any]], depth: int, budget: _Budget) -> Iterator[Markup]:
    if not members:
        yield ends
        return
    indent = "  " * (depth + 1)
    yield ends[0]
    for at, (name, each) in enumerate(members):
        if budget.left <= 0:
            budget.take()
            break
        yield Markup("\n{}{}").format(indent, name)
        yield from _value(each, depth + 1, budget)
        if at < len(members) - 1:
            yield Markup(",")
    yield Markup("\n{}{}").format("  " * depth, ends[1])


def _long(value: str) -> Markup:
    if len(value) <= _LONG_CHARS:
        return Markup("<bdi>{}</bdi>").format(mark_hidden(value))
    rest = value[_LONG_CHARS:_STRING_CHARS_MAX]
    cut = len(value) - _STRING_CHARS_MAX
    more = Markup('<span class="faint">… {} characters more</span>').format(cut) if cut > 0 else Markup("")
    return Markup(
        '<bdi>{}</bdi><details class="fold"><summary>show all {} characters</summary><bdi>{}</bdi>{}</details>'
    ).format(mark_hidden(value[:_LONG_CHARS]), len(value), mark_hidden(rest), more)
