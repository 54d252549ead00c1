"""Checks the data of an event against a JSON Schema (draft 7), and says where it does not fit. Pure.

The work is bounded whatever schema and data are: patterns run in linear time (no look-around, no back-reference), no
reference is followed, only the first faults are looked for, and `work_max` bounds data times schema. So must not: ask
the library for its list of errors, which it makes whole, however long it gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from jsonschema_rs import Draft7Validator

FAULTS_MAX = 3
"""That are told of one event."""
PATTERNS_MAX = 50
"""Regular expressions in one schema: they take memory for as long as it is kept."""
_PATTERN_BYTES_MAX = 1024 * 1024
"""What a compiled pattern may take, and once more for its automaton."""
_PATTERN_WEIGHT = 1024
"""Bytes of schema that a pattern counts for in the bound of the work."""
_MULTIPLE_WEIGHT = 16 * 1024
"""Likewise `multipleOf`, which is exact, and slow for numbers with large exponents."""
_PLACE_CHARS_MAX = 120
_SHOWN_CHARS_MAX = 60
_WITH_PARTS = frozenset({"properties", "items", "allOf"})
"""Keywords that are descended into: their parts tell the place better."""
_COMPANIONS = {
    "additionalProperties": ("properties", "patternProperties"),
    "additionalItems": ("items",),
    "if": ("then", "else"),
}
"""Keywords that mean nothing without these."""
_SILENT = frozenset({"then", "else", "title", "description", "default", "examples", "$schema", "$id", "$comment"})


class UnusableSchema(Exception):
    """It cannot be compiled; says why."""


class DataSchema:
    """One schema, compiled. Used by one thread."""

    def __init__(self, text: str) -> None:
        """Raises `UnusableSchema`."""
        try:
            self._schema = msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise UnusableSchema(f"is not JSON: {error}") from None
        patterns = text.count('"pattern') + text.count('"regex"')
        if patterns > PATTERNS_MAX:
            raise UnusableSchema(f"has more than {PATTERNS_MAX} patterns")
        self._validator = _compile(self._schema)
        self._parts: dict[tuple[int, str], Draft7Validator] = {}
        """Compiled parts, by the identity of the part and its keyword: made when a fault is looked for."""
        self.bytes = len(text)
        self.patterns = patterns
        self._weight = len(text) + patterns * _PATTERN_WEIGHT + text.count('"multipleOf"') * _MULTIPLE_WEIGHT

    def faults(self, data: bytes | msgspec.Raw, work_max: int) -> list[str]:
        """What is wrong with the JSON text `data`, each opened by its place; none when it fits."""
        if len(data) * self._weight > work_max:
            return [f"data: its {len(data)} bytes are too many to be checked against a schema of {self.bytes} bytes"]
        try:
            value = msgspec.json.decode(data)
            if self._validator.is_valid(value):
                return []
            found = list(islice(self._walk(self._schema, value, "data"), FAULTS_MAX))
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return ["data: holds a value that cannot be checked"]
        return found or ["data: does not fit its schema"]

    def _walk(self, schema: Any, value: Any, place: str) -> Iterator[str]:
        """Faults at the place and below, those below first."""
        if not isinstance(schema, dict):
            if schema is False:
                yield f"{_cut_place(place)}: is not allowed"
            return
        has_told = False
        for part, inner, inner_place in _parts(schema, value, place):
            if not self._part(part, "").is_valid(inner):
                has_told = True
                yield from self._walk(part, inner, inner_place)
        for keyword in schema:
            if keyword in _SILENT or (keyword in _WITH_PARTS and has_told):
                continue
            if not self._part(schema, keyword).is_valid(value):
                yield f"{_cut_place(place)}: {_wording(schema, keyword, value)}"

    def _part(self, schema: Any, keyword: str) -> Draft7Validator:
        """Of one keyword of a schema, or of the whole when it is empty."""
        key = (id(schema), keyword)
        known = self._parts.get(key)
        if known is None:
            part = schema
            if keyword:
                part = {keyword: schema[keyword]}
                for name in _COMPANIONS.get(keyword, ()):
                    if name in schema:
                        part[name] = _shape(name, schema[name]) if keyword.startswith("additional") else schema[name]
            known = self._parts[key] = _compile(part)
        return known


def _compile(schema: Any) -> Draft7Validator:
    # 15 MB that nobody needs who has no schemas checked.
    from jsonschema_rs import Draft7Validator, ReferencingError, RegexOptions

    options = RegexOptions(size_limit=_PATTERN_BYTES_MAX, dfa_size_limit=_PATTERN_BYTES_MAX)
    try:
        return Draft7Validator(schema, pattern_options=options, validate_formats=True, offline=True)
    except (ValueError, ReferencingError) as error:
        said = str(getattr(error, "message", error)).partition("\n")[0]
        if said.endswith('is not a "regex"'):
            pattern = _cut(said.removesuffix(' is not a "regex"'))
            said = f"{pattern} is no pattern that can be checked in linear time: "
            said += "it is faulty or too large, or has look-around or a back-reference"
        raise UnusableSchema(said[:300]) from None


def _parts(schema: dict[str, Any], value: Any, place: str) -> Iterator[tuple[Any, Any, str]]:
    """Schemas inside a schema, each with the value that it is for, and its place."""
    properties, items = schema.get("properties"), schema.get("items")
    if isinstance(value, dict) and isinstance(properties, dict):
        for name, part in properties.items():
            if name in value:
                yield part, value[name], f"{place}.{name}"
    if isinstance(value, list) and items is not None:
        of_each = items if isinstance(items, list) else [items] * len(value)
        for at, (part, inner) in enumerate(zip(of_each, value, strict=False)):
            yield part, inner, f"{place}[{at}]"
    for part in schema.get("allOf", ()):
        yield part, value, place


def _shape(keyword: str, schemas: Any) -> Any:
    """Which properties or items they are about; anything goes there."""
    if keyword == "items":
        return [True] * len(schemas) if isinstance(schemas, list) else True
    return dict.fromkeys(schemas, True)


def _wording(schema: dict[str, Any], keyword: str, value: Any) -> str:
    wanted = schema[keyword]
    if keyword == "type":
        kinds = " or ".join(wanted) if isinstance(wanted, list) else str(wanted)
        return f"must be {kinds}, but is {_kind(value)}"
    if keyword == "required":
        return f"{_names([each for each in wanted if each not in value])} required, but missing"
    if keyword == "additionalProperties" and wanted is False and "patternProperties" not in schema:
        return f"{_names([each for each in value if each not in schema.get('properties', {})])} not allowed"
    return f"does not satisfy {keyword} {_cut(msgspec.json.encode(wanted).decode())}"


def _names(names: list[str]) -> str:
    shown = ", ".join(_cut(each) for each in names[:FAULTS_MAX])
    more = len(names) - FAULTS_MAX
    return f"{shown}{f' and {more} more' if more > 0 else ''} {'is' if len(names) == 1 else 'are'}"


def _kind(value: Any) -> str:
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return kinds.get(type(value), "null")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "..."


def _cut_place(place: str) -> str:
    return place if len(place) <= _PLACE_CHARS_MAX else "..." + place[-_PLACE_CHARS_MAX:]
