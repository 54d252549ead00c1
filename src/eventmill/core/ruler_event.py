"""What filters see of an event: the values below each field, and which elements of which arrays they stand in.

An array is transparent: the field of its elements is its own. Two spellings of one field, dotted or nested, are one.
What is looked at is bounded, so that no event costs more than a moment. Must not: know operators.
"""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from eventmill.core.ruler_values import comparable

VALUES_MAX = 1_000
"""Of each array the first so many elements are looked at, of each field the first so many values, and so many objects
and so many arrays at one place. A filter sees the same of an event whatever other filters there are."""

_decode = json.JSONDecoder(object_pairs_hook=tuple, parse_int=str.encode, parse_float=str.encode).decode
"""Objects become tuples of pairs, so that repeated names are kept; arrays stay lists. Numbers become bytes, which JSON
has no other use for: their digits must be kept, and they must be no strings."""

_LITERALS = {True: "true", False: "false", None: "null"}

Document = Any
"""A decoded JSON value: tuples of pairs, lists, strings, numbers as bytes, booleans and None."""


class Leaf(NamedTuple):
    """A string, number, boolean or null."""

    key: str
    """Equal for equal strings and for numbers and literals that are written alike; strings begin with a quote."""
    text: str | None
    """Of a string."""
    number: float | None
    """Of a number that can be compared."""
    element: int
    """Index into `Leaves.elements` of the innermost array element around it."""


class Leaves(NamedTuple):
    by_path: Mapping[str, Sequence[Leaf]]
    """Of the wanted fields; a field without values is not there."""
    elements: Sequence[tuple[int, int]]
    """Array elements that are objects or arrays: the element around the array, and the array's number. The first one
    is the document itself. An element comes after the one around it."""


class Paths:
    """Fields that are wanted of an event."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.wanted = frozenset(paths)
        self.prefixes = frozenset(path[:at] for path in self.wanted for at, char in enumerate(path) if char == ".")
        """Every place above a wanted field."""


def read_event(body: bytes) -> Document:
    """The event as JSON; the caller vouches that it is."""
    gc.disable()  # it would walk what is being made again and again, three quarters of the time, and JSON has no cycles
    try:
        return _decode(body.decode())
    finally:
        gc.enable()


def read_leaves(document: Document, paths: Paths) -> Leaves:
    """The values of the wanted fields; nothing else of the document is looked at."""
    wanted, prefixes = paths.wanted, paths.prefixes
    by_path: dict[str, list[Leaf]] = {}
    elements: list[tuple[int, int]] = [(0, 0)]
    arrays = 0
    inner: Counter[tuple[str, type]] = Counter()
    waiting: list[tuple[str, Document, int]] = [("", document, 0)]
    for path, value, element in waiting:
        children: Iterable[tuple[str, Document]]
        is_array = type(value) is list
        if is_array:
            arrays += 1
            children = zip(repeat(path), value[:VALUES_MAX], strict=False)
        else:
            children = _named(path, value, is_top=value is document)
        for place, child in children:
            kind = type(child)
            if kind is list or kind is tuple:
                if place in prefixes or (kind is list and place in wanted):
                    inner[place, kind] += 1
                    if inner[place, kind] <= VALUES_MAX:
                        if is_array:
                            elements.append((element, arrays))
                        waiting.append((place, child, len(elements) - 1 if is_array else element))
            elif place in wanted:
                leaves = by_path.setdefault(place, [])
                if len(leaves) < VALUES_MAX:
                    leaves.append(_leaf(child, element))
    return Leaves(by_path, elements)


def _named(path: str, members: Document, *, is_top: bool) -> Iterable[tuple[str, Document]]:
    """The members of an object by their places."""
    return members if is_top else [(f"{path}.{name}", child) for name, child in members]


def _leaf(value: Document, element: int) -> Leaf:
    if type(value) is str:
        return Leaf('"' + value, value, None, element)
    if type(value) is bytes:
        number = value.decode()
        return Leaf(number, None, comparable(number), element)
    return Leaf(_LITERALS[value], None, None, element)
