"""The declared limits of request members: the reference's classes in ASCII, ends that are ends, words for refusals."""

from __future__ import annotations

import re
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventmill.errors import GatewayError
from eventmill.web import fields, forms
from eventmill.web.checks import check_value, convert

REFERENCE = (
    (fields.Label, r"[\w\s\-_.(),@:'`?#!]+"),
    (fields.EventCode, r"[\w\-_.]+"),
    (fields.ClientId, r"[\w\-.]+"),
    (fields.InstanceId, r"[\w\-_:@./]+"),
    (fields.AwsRegion, r"(us|ca|eu|af|ap|cn|me|sa|il)-[a-z]+-\d"),
    (fields.AwsAccountId, r"\d{12}"),
    (fields.SampleTemplate, r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?"),
    (
        fields.DocsUrl,
        r"https?://(([^/:.\s]+(\.[^/:.\s]+)*)|([0-9](\.[0-9]{3})))(:[0-9]+)?((/[^?#\s]+)(\?[^#\s]+)?(#.+)?)?/?",
    ),
)
"""Each field with its pattern in the Events API reference, repaired where Python refuses it."""
NEAR_MISSES = (
    "eu-west-1",
    "us-east-12",
    "123456789012",
    "pkg/act",
    "pkg/act/x",
    "e30=",
    "e30",
    "a_b",
    "https://a.b/c?d#e",
)


def accepts(kind: Any, value: str) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize(("kind", "pattern"), REFERENCE)
@settings(max_examples=40, deadline=None)
@given(value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40) | st.sampled_from(NEAR_MISSES))
def test_printable_ascii_is_judged_as_the_reference_does(kind: Any, pattern: str, value: str) -> None:
    """Within the lengths, a field takes exactly what its pattern in the reference takes."""
    meta = get_args(kind)[1]
    if meta.min_length <= len(value) <= meta.max_length and value:
        assert accepts(kind, value) == bool(re.fullmatch(pattern, value, re.ASCII))


ALL_PATTERNS = [
    kind for kind in vars(fields).values() if get_args(kind) and getattr(get_args(kind)[1], "pattern", None)
]


@pytest.mark.parametrize("kind", ALL_PATTERNS)
@pytest.mark.parametrize("end", ["\n", "\r", "\u0000", "\u0085"])
def test_a_last_line_break_belongs_to_the_text(kind: Any, end: str) -> None:
    """What is taken is not taken with a line break or a control character behind it, unless lines are allowed."""
    takes_lines = (fields.ProviderDescription, fields.EventDescription, fields.RegistrationDescription)
    taken = ("eu-west-1", "123456789012", "pkg/act", "e30=", "https://docs.example/x", "abc")
    value = next(each for each in taken if accepts(kind, each))

    if kind in takes_lines and end in "\n\r":
        assert accepts(kind, value + end)
    else:
        assert not accepts(kind, value + end)


class Inner(msgspec.Struct):
    code: fields.EventCode


class Form(msgspec.Struct, kw_only=True):
    label: fields.Label | None = None
    name: fields.RegistrationName | None = None
    account: fields.AwsAccountId | None = None
    inner: list[Inner] = []
    filters: forms.SubscriberFilters | None = None
    by_name: dict[str, fields.EventCode] = {}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"label": ""}, "label: must have 1 to 255 characters, but has 0"),
        ({"label": "a<b"}, "label: may only hold letters, digits, blanks and -_.(),@:'`?#!, but is 'a<b'"),
        ({"label": "a" * 70 + "\u0000"}, "label: may only hold letters, digits, blanks and"),
        ({"label": 5}, "label: expected str | null, got int"),
        ({"name": "ab\u0007"}, "name: holds the character U+0007 at offset 2"),
        ({"account": "12345678901x"}, "account: must be 12 digits, but is '12345678901x'"),
        (
            {"inner": [{"code": "a"}, {"code": "\u00fc"}]},
            "inner[1].code: may only hold letters, digits and -_., but is",
        ),
        ({"inner": [{}]}, "inner[0].code: required, but missing"),
        ({"inner": [5]}, "inner[0]: expected object, got int"),
        ({"inner": {}}, "inner: expected array, got object"),
        ({"filters": [{}, {}]}, "filters: must have 0 to 1 elements, but has 2"),
        ({"by_name": {"x": "a b"}}, "by_name[...]: expected str matching regex"),
        ([], "expected object, got array"),
    ],
)
def test_refusals_name_member_rule_and_value(document: Any, message: str) -> None:
    """The member's path first, then what is allowed, then what was given."""
    with pytest.raises(GatewayError) as refusal:
        convert(document, Form)

    assert refusal.value.message.startswith(message)


def test_a_value_alone_is_worded_alike() -> None:
    """Outside a body, the caller says what the value is called."""
    with pytest.raises(GatewayError, match=r"^client id 7: must have 3 to 128 characters, but has 2$"):
        check_value("client id 7", "ab", fields.ClientId)


def test_every_field_can_be_described() -> None:
    """As JSON Schema, with the limits that are checked."""
    for kind in ALL_PATTERNS:
        schema, meta = msgspec.json.schema(kind), get_args(kind)[1]
        assert (schema["pattern"], schema.get("minLength", 0), schema["maxLength"]) == (
            meta.pattern,
            meta.min_length,
            meta.max_length,
        )
