"""The text of a filter as JSON with places: every value knows where it stands, every member of an object is kept.

A common JSON reader would drop repeated names and forget positions, which refusals of a filter need. Must not: know
what a filter means.
"""

from __future__ import annotations

import json
import re
from typing import Literal, NamedTuple, NoReturn

from eventmill.errors import GatewayError, Reason

DEPTH_MAX = 100
"""Levels of arrays and objects in a filter."""

_BLANKS = re.compile(r"[ \t\n\r]*+")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?![0-9A-Za-z.+-])")
_LITERAL = re.compile(r"(?:true|false|null)(?![0-9A-Za-z_])")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN_CHARS = 20


class Member(NamedTuple):
    """Of an object; names may repeat."""

    name: str
    at: int
    value: Value


class Value(NamedTuple):
    kind: Literal["object", "array", "string", "number", "literal"]
    start: int
    """Offset of its first character in the text."""
    end: int
    """Offset after its last one."""
    text: str = ""
    """A string's characters, a number or a literal as written."""
    members: tuple[Member, ...] = ()
    items: tuple[Value, ...] = ()


def read_json(text: str) -> Value:
    """The one JSON value in the text. Raises `INVALID_FILTER`."""
    reader = _Reader(text)
    start = reader.skip(0)
    if start == len(text):
        refuse(text, start, "the filter is empty; a JSON object is expected")
    value = reader.value(start, 0)
    end = reader.skip(value.end)
    if end < len(text):
        refuse(text, end, f"nothing may follow the object, but there is {_shown(text, end)}")
    return value


def refuse(text: str, at: int, what: str) -> NoReturn:
    """Raises `INVALID_FILTER` with the place, counted from 1."""
    before = text[:at]
    line, column = before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
    raise GatewayError(Reason.INVALID_FILTER, f"subscriber_filter: {what} (line {line} column {column})")


def _shown(text: str, at: int) -> str:
    return ascii(text[at : at + _SHOWN_CHARS]) if at < len(text) else "the end"


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text

    def skip(self, at: int) -> int:
        found = _BLANKS.match(self._text, at)
        return found.end() if found else at

    def value(self, at: int, depth: int) -> Value:
        text = self._text
        if text.startswith("{", at) or text.startswith("[", at):
            if depth == DEPTH_MAX:
                refuse(text, at, f"arrays and objects are nested deeper than {DEPTH_MAX} levels")
            return self._object(at, depth + 1) if text[at] == "{" else self._array(at, depth + 1)
        if text.startswith('"', at):
            return self._string(at)
        if found := _NUMBER.match(text, at):
            return Value("number", at, found.end(), found[0])
        if found := _LITERAL.match(text, at):
            return Value("literal", at, found.end(), found[0])
        refuse(text, at, f"not JSON: a value is expected, but there is {_shown(text, at)}")

    def _string(self, at: int) -> Value:
        found = _STRING.match(self._text, at)
        if found is None:
            refuse(self._text, at, "not JSON: a string that does not end, or holds a bad escape or control character")
        chars = json.loads(found[0])
        if _SURROGATE.search(chars):
            refuse(self._text, at, "a string holds one half of a surrogate pair, which is no character")
        return Value("string", at, found.end(), chars)

    def _array(self, at: int, depth: int) -> Value:
        items: list[Value] = []
        end = self.skip(at + 1)
        while not self._text.startswith("]", end):
            if items:
                end = self._expect(",", end)
            items.append(self.value(end, depth))
            end = self.skip(items[-1].end)
        return Value("array", at, end + 1, items=tuple(items))

    def _object(self, at: int, depth: int) -> Value:
        members: list[Member] = []
        end = self.skip(at + 1)
        while not self._text.startswith("}", end):
            if members:
                end = self._expect(",", end)
            if not self._text.startswith('"', end):
                refuse(
                    self._text, end, f"not JSON: a name in quotes is expected, but there is {_shown(self._text, end)}"
                )
            name = self._string(end)
            value = self.value(self._expect(":", self.skip(name.end)), depth)
            members.append(Member(name.text, name.start, value))
            end = self.skip(value.end)
        return Value("object", at, end + 1, members=tuple(members))

    def _expect(self, mark: str, at: int) -> int:
        """The place of what follows `mark`, which must stand at `at`."""
        if not self._text.startswith(mark, at):
            refuse(self._text, at, f"not JSON: {mark!r} is expected, but there is {_shown(self._text, at)}")
        return self.skip(at + 1)
