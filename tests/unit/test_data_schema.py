"""Data against a JSON Schema: what fits, where it does not, and that no schema and no data make it costly."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventmill.core.data_schema import FAULTS_MAX, PATTERNS_MAX, DataSchema, UnusableSchema

STEPS_MAX = 10_000_000
STOCK: dict[str, Any] = {
    "type": "object",
    "required": ["sku"],
    "properties": {
        "sku": {"type": "string", "pattern": "^[A-Z0-9]+$"},
        "left": {"type": "integer", "minimum": 0},
        "lines": {"type": "array", "items": {"type": "object", "required": ["place", "count"]}},
    },
    "additionalProperties": False,
}


def faults(schema: Any, data: Any, steps_max: int = STEPS_MAX) -> list[str]:
    return DataSchema(json.dumps(schema)).faults(json.dumps(data).encode(), steps_max)


def test_data_that_fit() -> None:
    """No fault, and none for data that a schema says nothing about."""
    assert faults(STOCK, {"sku": "A1", "left": 3, "lines": [{"place": 1, "count": 2}]}) == []
    assert faults({}, None) == []
    assert faults(True, [1]) == []


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, ["data: must be object, but is null"]),
        ([], ["data: must be object, but is array"]),
        ({}, ["data: sku is required, but missing"]),
        ({"sku": "A1", "left": "3"}, ["data.left: must be integer, but is string"]),
        ({"sku": "A1", "more": 1}, ["data: more is not allowed"]),
        (
            {"sku": "a", "left": -1},
            ['data.sku: does not satisfy pattern "^[A-Z0-9]+$"', "data.left: does not satisfy minimum 0"],
        ),
        (
            {"sku": "A", "lines": [{"place": 1, "count": 1}, {}]},
            ["data.lines[1]: place, count are required, but missing"],
        ),
    ],
)
def test_faults_are_told_by_place(data: Any, told: list[str]) -> None:
    """The message opens with the JSON place, and says what is wanted there."""
    assert faults(STOCK, data) == told


@pytest.mark.parametrize(
    ("schema", "data", "told"),
    [
        ({"anyOf": [{"type": "string"}, {"const": 3}]}, 4, "data: does not satisfy anyOf"),
        ({"allOf": [{}, {"properties": {"a": {"const": 1}}}]}, {"a": 2}, "data.a: does not satisfy const 1"),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, "data: does not satisfy if"),
        ({"items": [{"type": "string"}], "additionalItems": False}, ["a", 1], "data: does not satisfy additionalItems"),
        ({"items": {"type": "string"}, "additionalItems": False}, ["a", 1], "data[1]: must be string, but is integer"),
        ({"properties": {"a": False}}, {"a": 1}, "data.a: is not allowed"),
        ({"type": ["string", "null"]}, 1, "data: must be string or null, but is integer"),
        (
            {"properties": {"at": {"format": "date-time"}}},
            {"at": "soon"},
            'data.at: does not satisfy format "date-time"',
        ),
        (False, 1, "data: is not allowed"),
    ],
)
def test_every_kind_of_keyword(schema: Any, data: Any, told: str) -> None:
    """Keywords of draft 7 that combine or depend on each other refuse with a place, too."""
    assert faults(schema, data)[0].startswith(told)


def test_only_the_first_faults_are_told() -> None:
    """However many there are, and each is short."""
    found = faults({"items": {"enum": ["x" * 500]}}, ["y" * 1000] * 1000)
    assert len(found) == FAULTS_MAX
    assert all(len(each) < 300 for each in found)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"pattern":"(?=a)b"}', "no pattern that can be checked in linear time"),
        ('{"pattern":"(a)\\\\1"}', "no pattern that can be checked in linear time"),
        ('{"pattern":"a{1000}{1000}"}', "too large"),
        ('{"patternProperties":{"[":true}}', "no pattern"),
        ('{"type":"text"}', "text"),
        ('{"items":{"$ref":"http://127.0.0.1:9/x"}}', "references are not followed"),
        ("{", "is not JSON"),
        ('{"not":' * 300 + "{}" + "}" * 300, "Recursion limit"),
        ('{"not":' * 9000 + "{}" + "}" * 9000, "recursion depth"),
        ('{"items":{"prefixItems":[{}]}}', "draft 7 does not know"),
        ('{"dependencies":{"a":{"$ref":"#"}}}', "references are not followed"),
        ('{"definitions":{"a":{"$ref":"http://127.0.0.1:9/x"}}}', "references are not followed"),
        (json.dumps({"anyOf": [{"pattern": "a"}] * (PATTERNS_MAX + 1)}), "more than 50 patterns"),
        (json.dumps({"patternProperties": {f"a{n}": {} for n in range(PATTERNS_MAX + 1)}}), "more than 50 patterns"),
        (json.dumps({"anyOf": [{"pattern": f"^.{{1,{200 + n}}}$"} for n in range(20)]}), "too large together"),
    ],
)
def test_unusable_schemas(text: str, why: str) -> None:
    """Said when it is made, not when an event comes: what cannot be compiled, or whose work has no bound."""
    with pytest.raises(UnusableSchema, match=why):
        DataSchema(text)


CHOICES = {"anyOf": [{"const": number} for number in range(3000)]}


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ({"items": CHOICES}, [-1] * 5000),
        ({"items": {"properties": {"a": CHOICES}}}, [{"a": -1}] * 5000),
        ({"properties": {"a": {"patternProperties": {"^b": CHOICES}}}}, {"a": {f"b{n}": -1 for n in range(5000)}}),
        ({"additionalProperties": {"not": CHOICES}}, {str(number): -1 for number in range(5000)}),
        ({"dependencies": {"0": {"additionalProperties": CHOICES}}}, {str(number): -1 for number in range(5000)}),
        ({"propertyNames": CHOICES}, {str(number): -1 for number in range(5000)}),
        ({"items": [{}], "additionalItems": {"if": CHOICES}}, [-1] * 5000),
        ({"contains": CHOICES}, [-1] * 5000),
        ({"items": {"enum": [{"a": number} for number in range(3000)]}}, [{"a": -1}] * 5000),
        ({"items": {"multipleOf": 0.01}}, [1e300] * 5000),
        ({"items": {"required": [str(n) for n in range(3000)]}}, [{"a": 1}] * 500),
        ({"allOf": [{"uniqueItems": True}] * 20}, [[number] for number in range(20_000)]),
        ({"items": {"allOf": [{"format": "idn-hostname"}] * 20}}, ["é"] * 5000),
        ({"pattern": "^[01]*1[01]{9000}2$"}, "01" * 10_000),
    ],
)
def test_checks_that_would_take_long_are_not_made(schema: Any, data: Any) -> None:
    """Nobody can interrupt them, and everybody waits: such data count as ones that do not fit."""
    [told] = faults(schema, data)
    assert "are too many to be checked against a schema of " in told


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (
            {"items": {"type": "object", "required": ["n"], "properties": {"n": {"maxLength": 9}}}},
            [{"n": "x"}] * 40_000,
        ),
        ({"properties": {"id": {"pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}}}, {"text": "x" * 900_000}),
        ({"properties": {"at": {"pattern": "^.{1,255}$"}}}, {"at": "x" * 255, "text": ["x"] * 100_000}),
        ({"properties": {f"p{number}": {"type": "string"} for number in range(2000)}}, {"p1": "x" * 900_000}),
        ({"properties": {"kind": CHOICES}}, {"kind": 2999, "text": ["x"] * 100_000}),
    ],
)
def test_large_data_are_checked(schema: Any, data: Any) -> None:
    """Up to the largest event: what is costly counts only where the data have what it is for."""
    assert faults(schema, data) == []


def test_faults_far_down_a_long_list_are_told() -> None:
    """Items that fit are passed over."""
    schema = {"items": {"properties": {"a": {"items": {"type": "integer"}}}}}
    data = [{"a": list(range(30))} for _ in range(2000)] + [{"a": [*range(30), "x"]}]
    assert faults(schema, data) == ["data[2000].a[30]: must be integer, but is string"]


def test_looking_for_faults_ends() -> None:
    """Faults that are not found in time are told without a place."""
    wide = {"properties": {f"a{number}": {"minimum": 0} for number in range(3000)}}
    data = [{f"a{number}": number for number in range(3000)} for _ in range(19)]
    assert faults({"items": wide}, [*data, {"a1": -1}]) == ["data: does not fit its schema"]


def test_data_named_like_keywords() -> None:
    """Properties may be called as keywords are: their schemas are looked into, their names are not patterns."""
    names = ["enum", "const", "default", "examples", "$ref", "pattern", "items", "required", "type"]
    schema = {"properties": {each: {"pattern": "^a"} for each in names}}
    for name in names:
        assert faults(schema, {name: "a"}) == []
        assert faults(schema, {name: "b"}) == [f'data.{name}: does not satisfy pattern "^a"']
    with pytest.raises(UnusableSchema, match="more than 50 patterns"):
        DataSchema(json.dumps({"properties": {"enum": {"patternProperties": {str(n): {} for n in range(51)}}}}))


@pytest.mark.parametrize("data", [b"1e999", b"[1e999]", b"1" * 5000, b'{"sku":"A1","left":1e400}'])
def test_odd_numbers_are_no_fault_of_the_gateway(data: bytes) -> None:
    """Numbers that JSON may write and no type can hold are answered, not raised."""
    assert isinstance(DataSchema(json.dumps(STOCK)).faults(data, STEPS_MAX), list)


def test_backtracking_patterns_end() -> None:
    """What takes a backtracking engine for ever is over at once: 100,000 letters against nested repetition."""
    schema = DataSchema('{"pattern":"^(([a-z])+.)+[A-Z]([a-z])+$"}')
    assert schema.faults(b'"' + b"a" * 100_000 + b'"', STEPS_MAX) == [
        'data: does not satisfy pattern "^(([a-z])+.)+[A-Z]([a-z])+$"'
    ]


def test_deep_data_end() -> None:
    """As deep as an event may be."""
    assert faults({"items": {"items": {"type": "integer"}}}, json.loads("[" * 400 + "]" * 400))[0].startswith(
        "data[0][0]"
    )


_NAMES = st.sampled_from(["a", "b", "c"])
_PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-2, 4), st.sampled_from([0.5, 2.5, "", "a", "ab", "A1"]))
_DATA = st.recursive(
    _PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3), max_leaves=8
)
_KEYWORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["array", "boolean", "integer", "null", "number", "object", "string"]),
    "enum": st.lists(_DATA, min_size=1, max_size=2),
    "const": _DATA,
    "minimum": st.integers(0, 3),
    "maxLength": st.integers(0, 2),
    "pattern": st.sampled_from(["^a", "b$", "[0-9]", "^.{1,2}$"]),
    "required": st.lists(_NAMES, max_size=2, unique=True),
    "uniqueItems": st.booleans(),
    "minItems": st.integers(0, 2),
}


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=2)
    by_name = st.dictionaries(_NAMES, inner, max_size=2)
    branches = {"if": inner, "then": inner, "else": inner, "not": inner, "contains": inner}
    combined = {"allOf": several, "anyOf": several, "oneOf": several}
    objects = {"properties": by_name, "additionalProperties": inner, "patternProperties": by_name}
    arrays = {"items": inner | several, "propertyNames": inner}
    return st.fixed_dictionaries({}, optional={**_KEYWORDS, **branches, **combined, **objects, **arrays})


_SCHEMAS = st.recursive(st.booleans() | st.fixed_dictionaries({}, optional=_KEYWORDS), _nested, max_leaves=5)


@settings(max_examples=150, deadline=None)
@given(_SCHEMAS, _DATA)
def test_agrees_with_the_reference(schema: Any, data: Any) -> None:
    """Faults exactly where an independent validator finds some, and never without a place."""
    found = faults(schema, data)
    assert (found == []) == jsonschema.Draft7Validator(schema).is_valid(data)
    assert all(each.startswith("data") and each != "data: does not fit its schema" for each in found)
