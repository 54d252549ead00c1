"""Checks the data of an event against a JSON Schema (draft 7), and says where it does not fit. Pure.

A check cannot be interrupted, so its work is bounded before, whatever schema and data are: patterns run in linear time
(no look-around, no back-reference) and are limited in size, no reference is followed, `schema_cost` tells what checking
may take, and faults are looked for in so many steps. So must not: ask the library for its list of errors, which it
makes whole, however long it gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from eventmill.core.schema_cost import SchemaCost, inner_schemas, patterns_in

if TYPE_CHECKING:
    from jsonschema_rs import Draft7Validator

FAULTS_MAX = 3
"""That are told of one event."""
PATTERNS_MAX = 50
"""Regular expressions in one schema."""
PATTERN_BYTES_MAX = 4 * 1024 * 1024
"""What all patterns of a schema may take when compiled, which is also what that costs: some 10 ms per MiB."""
_PATTERN_BYTES = tuple(1 << bits for bits in range(9, 21))
"""What one may take. The least that is enough is its size."""
_AUTOMATON_BYTES_MAX = 128 * 1024
_MEMORY_PER_BYTE = 64
"""Measured: up to 50 times the text, and what telling faults adds."""
_LOOKS_MAX = 50_000
"""Looks at a value and a keyword, to find faults: about as many microseconds."""
_LONG_ITEMS = 20
"""In longer arrays the items that fit are passed over as a whole."""
_PLACE_CHARS_MAX = 120
_SHOWN_CHARS_MAX = 60
_WITH_PARTS = frozenset({"properties", "items", "allOf"})
"""Keywords that are descended into: their parts tell the place."""
_COMPANIONS = {
    "additionalProperties": ("properties", "patternProperties"),
    "additionalItems": ("items",),
    "if": ("then", "else"),
}
"""Keywords that mean nothing without these."""
_SILENT = frozenset({"then", "else", "title", "description", "default", "examples", "definitions"})
_LATER = (
    *("prefixItems", "unevaluatedItems", "unevaluatedProperties", "dependentRequired", "dependentSchemas"),
    *("minContains", "maxContains", "$dynamicRef", "$recursiveRef"),
)
"""Keywords of later drafts that would be passed over unseen."""


class UnusableSchema(Exception):
    """It cannot be compiled; says why."""


class DataSchema:
    """One schema, compiled. Used by one thread."""

    def __init__(self, text: str) -> None:
        """Raises `UnusableSchema`."""
        try:
            self._schema = msgspec.json.decode(text)
            patterns = _check_parts(self._schema)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise UnusableSchema(f"is not JSON: {error}") from None
        self._pattern_bytes_max, sizes = _measure_patterns(patterns)
        self._validator = self._compile(self._schema)
        self._parts: dict[tuple[int, str], Draft7Validator] = {}
        """Compiled parts, by the identity of the part and its keyword: made when a fault is looked for."""
        self._cost = SchemaCost(self._schema, sizes)
        self._looks_left = 0
        self.bytes = len(text)
        self.memory_bytes = len(text) * _MEMORY_PER_BYTE + 2 * sum(sizes[each] for each in patterns)
        """Estimated."""

    def faults(self, data: bytes | msgspec.Raw, steps_max: int) -> list[str]:
        """What is wrong with the JSON text `data`, each opened by its place; none when it fits."""
        try:
            value = msgspec.json.decode(data)
            if not (self._cost.is_surely_within(len(data), steps_max) or self._cost.is_within(value, steps_max)):
                return [
                    f"data: its {len(data)} bytes are too many to be checked against a schema of {self.bytes} bytes"
                ]
            if self._validator.is_valid(value):
                return []
            self._looks_left = _LOOKS_MAX
            found = list(islice(self._walk(self._schema, value, "data"), FAULTS_MAX))
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return ["data: holds a value that cannot be checked"]
        return found or ["data: does not fit its schema"]

    def _walk(self, schema: Any, value: Any, place: str, *, is_item: bool = False) -> Iterator[str]:
        """Faults at the place and below, those below first. Each keyword is compiled by itself, at most once, so that
        this costs no more than checking did. `is_item`: some items around this place were already passed over."""
        self._looks_left -= 1
        if not isinstance(schema, dict):
            if schema is False:
                yield f"{_cut_place(place)}: is not allowed"
            return
        is_long = not is_item and isinstance(value, list) and len(value) > _LONG_ITEMS
        for part, inner, inner_place in _parts(schema, value, place):
            if self._looks_left < 0:
                return
            self._looks_left -= 1
            if is_long and inner is not value and self._part(part, "").is_valid(inner):
                continue
            yield from self._walk(part, inner, inner_place, is_item=is_item or is_long)
        for keyword in schema:
            self._looks_left -= 1
            if keyword in _SILENT or keyword in _WITH_PARTS or keyword.startswith("$"):
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
            known = self._parts[key] = self._compile(part)
        return known

    def _compile(self, schema: Any) -> Draft7Validator:
        # 15 MB that nobody needs who has no schemas checked.
        from jsonschema_rs import Draft7Validator, ReferencingError, RegexOptions

        options = RegexOptions(size_limit=self._pattern_bytes_max, dfa_size_limit=_AUTOMATON_BYTES_MAX)
        try:
            return Draft7Validator(schema, pattern_options=options, validate_formats=True, offline=True)
        except (ValueError, ReferencingError) as error:
            said = str(getattr(error, "message", error)).partition("\n")[0]
            raise UnusableSchema(said[:300]) from None


def _check_parts(schema: Any) -> list[str]:
    """The patterns of a schema. Raises `UnusableSchema` for a reference, and for too many patterns."""
    patterns: list[str] = []
    for each in inner_schemas(schema):
        later = next((keyword for keyword in _LATER if keyword in each), None)
        if later is not None:
            raise UnusableSchema(f"has {later}, which draft 7 does not know, so that it would not be checked")
        if isinstance(each.get("$ref"), str):
            raise UnusableSchema(f"has the reference {_cut(each['$ref'])}; references are not followed")
        patterns += patterns_in(each)
        if len(patterns) > PATTERNS_MAX:
            raise UnusableSchema(f"has more than {PATTERNS_MAX} patterns")
    return patterns


def _measure_patterns(patterns: list[str]) -> tuple[int, dict[str, int]]:
    """The size of the largest, and the size of each. Raises `UnusableSchema` for one that cannot be used."""
    sizes = dict.fromkeys(patterns, 0)
    for pattern in sizes:
        size = next((each for each in _PATTERN_BYTES if _fits(pattern, each)), None)
        if size is None:
            message = (
                f"{_cut(msgspec.json.encode(pattern).decode())} is no pattern that can be checked in linear time: "
            )
            raise UnusableSchema(f"{message}it is faulty or too large, or has look-around or a back-reference")
        sizes[pattern] = size
    if sum(sizes[each] for each in patterns) > PATTERN_BYTES_MAX:
        largest = _cut(max(patterns, key=sizes.__getitem__))
        raise UnusableSchema(f"has patterns that are too large together; {largest} is the largest of them")
    return max(sizes.values(), default=_PATTERN_BYTES[0]), sizes


def _fits(pattern: str, size_bytes: int) -> bool:
    from jsonschema_rs import Draft7Validator, RegexOptions

    options = RegexOptions(size_limit=size_bytes, dfa_size_limit=_AUTOMATON_BYTES_MAX)
    try:
        Draft7Validator({"pattern": pattern}, pattern_options=options)
    except ValueError:
        return False
    return True


def _parts(schema: dict[str, Any], value: Any, place: str) -> Iterator[tuple[Any, Any, str]]:
    """Schemas inside a schema, each with the value that it is for, and its place."""
    properties, items = schema.get("properties"), schema.get("items")
    if isinstance(value, dict) and isinstance(properties, dict):
        for name in properties if len(properties) <= len(value) else value:
            if name in properties and name in value:
                yield properties[name], value[name], f"{place}.{name}"
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
