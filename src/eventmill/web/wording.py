"""Words for what msgspec refuses: the member first, then what is allowed, then what was given.

msgspec names the place and the broken rule; the limits and the value are looked up in the model and in the document.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from eventmill.web.fields import ALLOWED, FORM

_SHOWN_CHARS = 64

_WHERE = re.compile(r"(?P<what>.*) - at `(?:key in )?\$\.?(?P<path>[^`]*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`(?: - at `\$\.?(?P<path>[^`]*)`)?")
_STEP = re.compile(r"\[(?P<index>\d+)\]|\.?(?P<name>[^.\[\]]+)")


def show(value: str) -> str:
    """A caller's text in a message: quoted, escaped where it is not printable ASCII, and cut."""
    return ascii(value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "...")


class _Place(NamedTuple):
    """A member: its type, the words that `web.fields` gives it, and its value."""

    kind: inspect.Type
    wording: dict[str, Any]
    value: Any


def describe_refusal(error: msgspec.ValidationError, document: object, model: object) -> str:
    """For example `label: must have 1 to 255 characters, but has 0`."""
    text = str(error)
    if missing := _MISSING.fullmatch(text):
        path = f"{missing['path']}." if missing["path"] else ""
        return f"{path}{missing['name']}: required, but missing"
    where = _WHERE.fullmatch(text)
    path = where["path"] if where else ""
    place = _find(path, document, model)
    what = (place and _broken_rule(place)) or (where["what"] if where else text).replace("`", "")
    return f"{path and path + ': '}{what[:1].lower()}{what[1:]}"


@cache
def _type_of(model: Any) -> inspect.Type:
    return inspect.type_info(model)


def _find(path: str, value: Any, model: object) -> _Place | None:
    """None where the path leads into what has no fields of its own."""
    kind, wording = _plain(_type_of(model))
    for step in _STEP.finditer(path):
        if isinstance(kind, inspect.StructType) and step["name"]:
            field = next((field for field in kind.fields if field.encode_name == step["name"]), None)
            if field is None:
                return None
            kind, wording = _plain(field.type)
            value = value[step["name"]]
        elif isinstance(kind, inspect.ListType | inspect.VarTupleType) and step["index"]:
            kind, wording = _plain(kind.item_type)
            value = value[int(step["index"])]
        else:
            return None
    return _Place(kind, wording, value)


def _plain(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """Without `| None` and without the annotations, whose words come along."""
    if isinstance(kind, inspect.UnionType):
        kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
    if isinstance(kind, inspect.Metadata):
        return kind.type, kind.extra or {}
    return kind, {}


def _broken_rule(place: _Place) -> str:
    """Empty when it is the type itself that is wrong: msgspec says that well."""
    kind, wording, value = place
    if isinstance(kind, inspect.LiteralType) and isinstance(value, str):
        return f"must be one of {', '.join(map(str, kind.values))}, but is {show(value)}"
    if isinstance(kind, inspect.StrType) and isinstance(value, str):
        return _wrong_length(kind, value, "characters") or _wrong_text(kind, wording, value)
    if isinstance(kind, inspect.ListType) and isinstance(value, list):
        return _wrong_length(kind, value, "elements")
    return ""


def _wrong_length(kind: inspect.StrType | inspect.ListType, value: str | list[Any], unit: str) -> str:
    shortest = kind.min_length or 0
    if shortest <= len(value) and (kind.max_length is None or len(value) <= kind.max_length):
        return ""
    allowed = f"at least {shortest}" if kind.max_length is None else f"{shortest} to {kind.max_length}"
    return f"must have {allowed} {unit}, but has {len(value)}"


def _wrong_text(kind: inspect.StrType, wording: dict[str, Any], value: str) -> str:
    if kind.pattern is None:
        return ""
    if FORM in wording:
        return f"must be {wording[FORM]}, but is {show(value)}"
    found = next((at for at, character in enumerate(value) if not re.search(kind.pattern, character)), 0)
    if ALLOWED not in wording:
        return f"holds the character U+{ord(value[found]):04X} at offset {found}"
    given = f"is {show(value)}" if len(value) <= _SHOWN_CHARS else f"has {show(value[found])} at offset {found}"
    return f"may only hold {wording[ALLOWED]}, but {given}"
