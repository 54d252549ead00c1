"""Whether a JSON value can serve as a JSON Schema (draft 7): enough to refuse a slip in a catalogue file by its place.

Validates no data against a schema. References are refused: schemas are copied into documents, where they would dangle.
"""

from __future__ import annotations

import re
from typing import Any

_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_SCHEMA_OF_NAMES = ("properties", "patternProperties", "definitions")
_SCHEMA = ("items", "additionalProperties", "additionalItems", "contains", "propertyNames", "not", "if", "then", "else")
_SCHEMAS = ("allOf", "anyOf", "oneOf")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_TEXTS = ("title", "description", "format", "pattern")
_NOT_PYTHONS = re.compile(r"\\[pPckux]|\(\?<[A-Za-z_]")
"""What patterns of JSON Schema may have and Python's have not, or otherwise: left to whoever uses them."""


def schema_fault(schema: Any, where: str) -> str | None:
    """What is wrong with a schema, opened by the place; None when nothing is. `where` is the schema's own place."""
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, dict):
        return f"{where}: a JSON Schema is an object, but this is {_kind(schema)}"
    fault = _keyword_fault(schema, where)
    if fault is not None:
        return fault
    for place, inner in _inner(schema, where):
        fault = schema_fault(inner, place)
        if fault is not None:
            return fault
    return None


def _keyword_fault(schema: dict[str, Any], where: str) -> str | None:
    if isinstance(schema.get("$ref"), str):
        return f"{where}.$ref: references are not followed; write the schema itself here"
    for keyword, value in schema.items():
        expected = _expected(keyword, value)
        if expected is not None:
            return f"{where}.{keyword}: must be {expected}, but is {_kind(value)}"
    return _pattern_fault(schema, where)


def _expected(keyword: str, value: Any) -> str | None:
    """What the value of a keyword must be, when it is not."""
    checks = (
        (keyword == "type", _is_type(value), "one of " + ", ".join(sorted(_TYPES)) + ", or a list of those"),
        (keyword == "enum", isinstance(value, list) and bool(value), "a list of at least one value"),
        (keyword == "required", _is_names(value), "a list of different names"),
        (keyword in _SCHEMA_OF_NAMES, isinstance(value, dict), "an object of schemas"),
        (keyword in _SCHEMAS, isinstance(value, list) and bool(value), "a list of at least one schema"),
        (keyword in _COUNTS, isinstance(value, int) and not isinstance(value, bool) and value >= 0, "a count"),
        (keyword in _NUMBERS, isinstance(value, int | float) and not isinstance(value, bool), "a number"),
        (keyword == "multipleOf", not isinstance(value, int | float) or value > 0, "above 0"),
        (keyword in _TEXTS, isinstance(value, str), "a string"),
    )
    return next((text for applies, holds, text in checks if applies and not holds), None)


def _is_type(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in _TYPES for name in names)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value) and len(set(value)) == len(value)


def _pattern_fault(schema: dict[str, Any], where: str) -> str | None:
    pattern = schema.get("pattern", "")
    if _NOT_PYTHONS.search(pattern):
        return None
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"{where}.pattern: is not a regular expression: {error}"
    return None


def _inner(schema: dict[str, Any], where: str) -> list[tuple[str, Any]]:
    found = [
        (f"{where}.{each}.{name}", value) for each in _SCHEMA_OF_NAMES for name, value in schema.get(each, {}).items()
    ]
    single = [each for each in _SCHEMA if each in schema and not isinstance(schema[each], list)]
    found += [(f"{where}.{each}", schema[each]) for each in single]
    depending = schema.get("dependencies")
    if isinstance(depending, dict):
        found += [(f"{where}.dependencies.{name}", each) for name, each in depending.items() if isinstance(each, dict)]
    for each in (*_SCHEMAS, "items"):
        if isinstance(schema.get(each), list):
            found += [(f"{where}.{each}[{at}]", value) for at, value in enumerate(schema[each])]
    return found


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    shown = repr(value) if isinstance(value, str) and len(value) <= 40 else ""
    return shown or names.get(type(value), "a number")
