"""JSON Schemas of a catalogue file: sound ones pass, a slip is named by its place."""

from __future__ import annotations

from typing import Any

import pytest

from eventmill.core.json_schema import schema_fault

SOUND: list[Any] = [
    True,
    {},
    {"type": ["string", "null"], "enum": ["a", None], "maxLength": 3, "pattern": "^a+$"},
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1.5}, "b": False}, "required": ["a"]},
    {"type": "array", "items": [{"type": "string"}, {}], "additionalItems": False},
    {"anyOf": [{"type": "string"}, {"const": 3}], "x-own": []},
]

FAULTY: list[tuple[Any, str]] = [
    ([], "body: a JSON Schema is an object, but this is a list"),
    ({"type": "text"}, "body.type: must be one of array, boolean, integer, null, number, object, string"),
    ({"type": []}, "body.type: must be one of"),
    ({"enum": "a"}, "body.enum: must be a list of at least one value, but is 'a'"),
    ({"enum": []}, "body.enum: must be a list of at least one value, but is a list"),
    ({"required": ["a", "a"]}, "body.required: must be a list of different names"),
    ({"properties": []}, "body.properties: must be an object of schemas, but is a list"),
    ({"properties": {"a": {"type": "strnig"}}}, "body.properties.a.type: must be one of"),
    ({"properties": {"a": "string"}}, "body.properties.a: a JSON Schema is an object, but this is 'string'"),
    ({"items": {"maxLength": -1}}, "body.items.maxLength: must be a count, but is a number"),
    ({"items": [{}, {"minimum": "1"}]}, "body.items[1].minimum: must be a number, but is '1'"),
    ({"oneOf": []}, "body.oneOf: must be a list of at least one schema"),
    ({"anyOf": [{"title": 3}]}, "body.anyOf[0].title: must be a string, but is a number"),
    ({"properties": {"a": {"$ref": "#/x"}}}, "body.properties.a.$ref: references are not followed"),
    ({"pattern": "("}, "body.pattern: is not a regular expression"),
]


@pytest.mark.parametrize("schema", SOUND)
def test_sound(schema: Any) -> None:
    """What a validator would take, passes; unknown keywords are anybody's own."""
    assert schema_fault(schema, "body") is None


@pytest.mark.parametrize(("schema", "message"), FAULTY)
def test_faulty(schema: Any, message: str) -> None:
    """The message opens with the place, and says what must be there and what is."""
    fault = schema_fault(schema, "body")
    assert fault is not None and fault.startswith(message)
