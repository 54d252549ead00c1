"""What filters see of an event: the values below each field, and which elements of which arrays they stand in.

An array is transparent: the field of its elements is its own. Two spellings of one field, dotted or nested, are one.
Must not: know operators.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from eventmill.core.ruler_values import Number, comparable

_decode = json.JSONDecoder(object_pairs_hook=tuple, parse_int=Number, parse_float=Number).decode
"""Objects become tuples of pairs, so that repeated names are kept; arrays stay lists."""

_LITERALS = {True: "true", False: "false", None: "null"}

Document = Any
"""A decoded JSON value: tuples of pairs, lists, strings, `Number`, booleans and None."""


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
    return _decode(body.decode())


def read_leaves(document: Document, paths: Paths) -> Leaves:
    """The values of the wanted fields; nothing else of the document is looked at."""
    wanted, prefixes = paths.wanted, paths.prefixes
    by_path: dict[str, list[Leaf]] = {}
    elements: list[tuple[int, int]] = [(0, 0)]
    arrays = 0
    waiting: list[tuple[str, Document, int]] = [("", document, 0)]
    is_top = True
    for path, value, element in waiting:
        if type(value) is tuple:
            for name, child in value:
                full = name if is_top else f"{path}.{name}"
                if type(child) is tuple or type(child) is list:
                    if full in prefixes or (full in wanted and type(child) is list):
                        waiting.append((full, child, element))
                elif full in wanted:
                    by_path.setdefault(full, []).append(_leaf(child, element))
        else:
            arrays += 1
            is_wanted, goes_on = path in wanted, path in prefixes
            for child in value:
                if type(child) is list or (type(child) is tuple and goes_on):
                    elements.append((element, arrays))
                    waiting.append((path, child, len(elements) - 1))
                elif is_wanted and type(child) is not tuple:
                    by_path.setdefault(path, []).append(_leaf(child, element))
        is_top = False
    return Leaves(by_path, elements)


def _leaf(value: Document, element: int) -> Leaf:
    if type(value) is str:
        return Leaf('"' + value, value, None, element)
    if type(value) is Number:
        return Leaf(value, None, comparable(value), element)
    return Leaf(_LITERALS[value], None, None, element)
