"""What checking data against a JSON Schema may cost at most, told before it is done. Pure.

A check cannot be interrupted, and the whole process waits for it. Costs are steps of some 10 ns, measured for the worst
case of each keyword and rounded up. Must not: know what keywords mean beyond which of them meet which parts of data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

_VISIT = 100
"""A pair of value and schema that is estimated here."""
_KEYWORD = 2
_CHILD = 6
"""A member or item, by each keyword that looks at them."""
_NAME = 10
"""A name in `required`, `dependencies` or `propertyNames`."""
_COMPARED_BYTE = 10
"""Of `enum` and `const` with objects or arrays in them, which are compared one by one."""
_UNIQUE_BYTE = 10
_MULTIPLE = 5_000
"""`multipleOf` is exact, and slow but for whole numbers."""
_FORMAT, _FORMAT_CHAR = 10, 5
_SLOW_FORMAT, _SLOW_FORMAT_CHAR = 200, 40
_SLOW_FORMATS = frozenset({"idn-hostname", "idn-email"})
_PATTERN_BYTES_PER_STEP = 128
"""Each character may meet every state of a pattern."""
_OF_NAMES = ("properties", "patternProperties", "definitions", "dependencies")
_NO_SCHEMAS = frozenset({"const", "enum", "default", "examples", "required", "type"})
_IN_PLACE = ("allOf", "anyOf", "oneOf")
_IN_PLACE_ONE = ("not", "if", "then", "else")
_OF_CHILDREN = ("properties", "patternProperties", "additionalProperties", "items", "additionalItems", "contains")


def inner_schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and all in it, whether or not they are well formed."""
    if isinstance(schema, list):
        for each in schema:
            yield from inner_schemas(each)
    if not isinstance(schema, dict):
        return
    yield schema
    for keyword, value in schema.items():
        if keyword in _OF_NAMES and isinstance(value, dict):
            for each in value.values():
                yield from inner_schemas(each)
        elif keyword not in _NO_SCHEMAS:
            yield from inner_schemas(value)


def patterns_in(schema: dict[str, Any]) -> list[str]:
    """Those of this schema, not of the ones inside it."""
    found = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    named = schema.get("patternProperties")
    return found + list(named) if isinstance(named, dict) else found


class SchemaCost:
    """Of one schema, which is valid; `pattern_bytes` is what each of its patterns takes when compiled."""

    def __init__(self, schema: Any, pattern_bytes: Mapping[str, int]) -> None:
        self._pattern_bytes = pattern_bytes
        self._per_value = self._per_char = 0
        self._root = self._node(schema)

    def is_surely_within(self, data_bytes: int, steps_max: int) -> bool:
        """Without looking at the data. Every value has a byte, and one beside it."""
        return (data_bytes // 2 + 1) * self._per_value + data_bytes * self._per_char <= steps_max

    def is_within(self, value: Any, steps_max: int) -> bool:
        """By what is where in the data."""
        return self._left(self._root, value, steps_max) >= 0

    def _node(self, schema: Any) -> _Node | None:
        if not isinstance(schema, dict):
            return None
        node = _Node(schema, self._pattern_bytes)
        self._per_value += node.flat + node.per_child + node.composite + node.number
        self._per_char += node.per_char + node.per_name_char + node.per_unique_byte
        for each in self._nodes(_in_place(schema)):
            if each.is_leaf:
                node.absorb(each)
            else:
                node.in_place.append(each)
        node.properties = {name: self._node(each) for name, each in schema.get("properties", {}).items()}
        node.patterned = self._nodes(list(schema.get("patternProperties", {}).values()))
        node.names = self._node(schema.get("propertyNames"))
        node.more_properties = self._node(schema.get("additionalProperties"))
        node.contains = self._node(schema.get("contains"))
        items = schema.get("items")
        if isinstance(items, list):
            node.placed_items = [self._node(each) for each in items]
            node.items = self._node(schema.get("additionalItems"))
        else:
            node.items = self._node(items)
        node.is_leaf = not (node.in_place or any(each in schema for each in (*_OF_CHILDREN, "propertyNames")))
        return node

    def _nodes(self, schemas: list[Any]) -> list[_Node]:
        made = (self._node(each) for each in schemas)
        return [each for each in made if each is not None]

    def _left(self, node: _Node | None, value: Any, left: int) -> int:
        """What is left of so many steps; below 0 it is less than none."""
        if node is None:
            return left
        left -= _VISIT + node.flat
        if isinstance(value, str):
            left -= node.per_char * len(value)
        elif isinstance(value, dict | list):
            left -= node.composite + node.per_child * len(value)
            if node.per_unique_byte and left >= 0:
                left -= node.per_unique_byte * len(msgspec.json.encode(value))
        elif not isinstance(value, int) or node.is_fractional:
            left -= node.number
        for each in node.in_place:
            if left < 0:
                return left
            left = self._left(each, value, left)
        if isinstance(value, dict):
            return self._left_of_object(node, value, left)
        return self._left_of_array(node, value, left) if isinstance(value, list) else left

    def _left_of_object(self, node: _Node, value: dict[str, Any], left: int) -> int:
        properties, more = node.properties, node.more_properties
        for name, inner in value.items():
            if left < 0:
                return left
            left -= node.per_name_char * len(name)
            left = self._left(node.names, name, left)
            left = self._left(properties.get(name, more), inner, left)
            for each in node.patterned:
                left = self._left(each, inner, left)
        return left

    def _left_of_array(self, node: _Node, value: list[Any], left: int) -> int:
        placed = node.placed_items
        if not placed and node.items is None and node.contains is None:
            return left
        for at, inner in enumerate(value):
            if left < 0:
                return left
            left = self._left(placed[at] if at < len(placed) else node.items, inner, left)
            left = self._left(node.contains, inner, left)
        return left


class _Node:
    """What the keywords of one schema cost, and the schemas inside it."""

    __slots__ = (
        *("flat", "per_char", "per_child", "per_name_char", "composite", "number", "is_fractional"),
        *(
            "per_unique_byte",
            "is_leaf",
            "in_place",
            "properties",
            "patterned",
            "names",
            "more_properties",
            "items",
            "placed_items",
            "contains",
        ),
    )

    def __init__(self, schema: dict[str, Any], pattern_bytes: Mapping[str, int]) -> None:
        format_flat, format_char = _format_cost(schema)
        dependencies = schema.get("dependencies", {})
        self.flat: int = _KEYWORD * len(schema) + format_flat
        self.per_char: int = 1 + format_char
        if "pattern" in schema:
            self.per_char += pattern_bytes[schema["pattern"]] // _PATTERN_BYTES_PER_STEP
        self.per_child: int = _CHILD * sum(each in schema for each in _OF_CHILDREN)
        self.per_name_char: int = 0
        for pattern in schema.get("patternProperties", ()):
            self.per_child += _KEYWORD
            self.per_name_char += pattern_bytes[pattern] // _PATTERN_BYTES_PER_STEP
        self.per_child += _NAME if "propertyNames" in schema else 0
        self.composite: int = _NAME * (len(schema.get("required", ())) + len(dependencies)) + _comparing_cost(schema)
        self.composite += _NAME * sum(len(each) for each in dependencies.values() if isinstance(each, list))
        self.number: int = _MULTIPLE if "multipleOf" in schema else 0
        self.is_fractional: bool = not isinstance(schema.get("multipleOf", 0), int)
        self.per_unique_byte: int = _UNIQUE_BYTE if schema.get("uniqueItems") is True else 0
        self.is_leaf = False
        self.in_place: list[_Node] = []
        self.properties: dict[str, _Node | None] = {}
        self.patterned: list[_Node] = []
        self.names: _Node | None = None
        self.more_properties: _Node | None = None
        self.items: _Node | None = None
        self.placed_items: list[_Node | None] = []
        self.contains: _Node | None = None

    def absorb(self, other: _Node) -> None:
        """Count what another one costs, for the same values, with this one."""
        self.flat += other.flat
        self.per_char += other.per_char
        self.composite += other.composite
        self.number += other.number
        self.is_fractional |= other.is_fractional
        self.per_unique_byte += other.per_unique_byte


def _in_place(schema: dict[str, Any]) -> list[Any]:
    """Schemas inside that are for the same value."""
    found = [schema[each] for each in _IN_PLACE_ONE if each in schema]
    for keyword in _IN_PLACE:
        found += schema.get(keyword, ())
    return found + list(schema.get("dependencies", {}).values())


def _comparing_cost(schema: dict[str, Any]) -> int:
    values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    compared = [each for each in values if isinstance(each, dict | list)]
    return _COMPARED_BYTE * len(msgspec.json.encode(compared)) if compared else 0


def _format_cost(schema: dict[str, Any]) -> tuple[int, int]:
    """Of a value, and of each of its characters."""
    if "format" not in schema:
        return 0, 0
    return (_SLOW_FORMAT, _SLOW_FORMAT_CHAR) if schema["format"] in _SLOW_FORMATS else (_FORMAT, _FORMAT_CHAR)
