"""`eventmill.core.cloudevent_modes`: however an event is published, the same event is stored."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventmill.core.cloudevent import Published, parse_structured
from eventmill.core.cloudevent_json import DEPTH_MAX
from eventmill.core.cloudevent_modes import make_raw, parse_batch, parse_binary
from eventmill.errors import BatchRefused, GatewayError, Reason

PROVIDER_ID = "6f0d2a4e-58a9-4a33-8e8a-51d6e9f1a001"
REQUIRED = {"specversion": "1.0", "id": "order-771", "source": f"urn:uuid:{PROVIDER_ID}", "type": "com.acme.low"}
JSON = b"application/json"


def headers(**changes: Any) -> list[tuple[str, bytes]]:
    """The headers of a valid event with some changed; `...` leaves one out."""
    given = {**{name: value.encode() for name, value in REQUIRED.items()}, **changes}
    return [(f"ce-{name}", value) for name, value in given.items() if value is not ...]


def binary(body: bytes = b'{"n":1}', content_type: bytes | None = JSON, **changes: Any) -> Published:
    return parse_binary(headers(**changes), content_type, body)


def members_of(published: Published) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(published.opened + b"}")
    return members


def refusal(call: Callable[[], object]) -> tuple[Reason, str]:
    with pytest.raises(GatewayError) as caught:
        call()
    return caught.value.reason, caught.value.message


def outcome(call: Callable[[], object]) -> object:
    """The result, or the reason of the refusal."""
    try:
        return call()
    except GatewayError as error:
        return error.reason


# --- Binary mode ---


def test_binary_event_byte_by_byte() -> None:
    """Attributes in the usual order, others as they came, the body as it came but for the blanks around it."""
    attributes = [("accept", b"x"), ("ce-acme", b"eu"), *headers(time=b"2026-03-01T10:00:00Z", eventid=b"forged")]

    published = parse_binary(attributes, b"application/vnd.acme+json; charset=utf-8", b' {"n":1.50e0, "\\u00e9":[]}\n')

    assert (
        published.opened
        == (
            b'{"specversion":"1.0","id":"order-771","source":"urn:uuid:%b","type":"com.acme.low",'
            b'"datacontenttype":"application/vnd.acme+json; charset=utf-8","time":"2026-03-01T10:00:00Z","acme":"eu",'
            b'"data":{"n":1.50e0, "\\u00e9":[]}'
        )
        % PROVIDER_ID.encode()
    )
    assert (published.provider_id, published.has_specversion, published.has_time) == (PROVIDER_ID, True, True)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro \u20ac \U0001f600"),
        (b"%e2%82%ac", "\u20ac"),
        (b"100%25%32%35", "100%25"),
        (b'"quoted \\"text\\" \\\\ %41"', 'quoted "text" \\ A'),
        (b'"half', '"half'),
        ("Z\u00fcrich".encode(), "Z\u00fcrich"),
        (b" \tpadded%20 ", "padded "),
        (b"a+b", "a+b"),
    ],
)
def test_header_values_are_decoded(raw: bytes, text: str) -> None:
    """One round of percent-decoding after unquoting (HTTP Protocol Binding, 3.1.3.2); a plus is a plus."""
    assert members_of(binary(subject=raw))["subject"] == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subject": b"100%"}, "ce-subject: has a % that two hexadecimal digits do not follow"),
        ({"subject": b"%zz"}, "ce-subject: has a % that two hexadecimal digits do not follow"),
        ({"subject": b"%FF"}, "ce-subject: is not UTF-8: byte 0"),
        ({"subject": b"caf\xe9"}, "ce-subject: is not UTF-8: byte 3"),
        ({"subject": b"a%0Ab"}, "ce-subject: must not hold control characters, but has U+000A at 1"),
        ({"id": b"%00"}, "ce-id: must not hold control characters, but has U+0000 at 0"),
        ({"subject": b""}, "ce-subject: must be a non-empty string"),
        ({"id": ...}, "ce-id: must be a non-empty string, but is missing"),
        ({"id": b""}, "ce-id: must be a non-empty string"),
        ({"source": ...}, "ce-source: must be a non-empty string, but is missing"),
        ({"source": b"a%20b"}, "ce-source: must be a URI-reference (RFC 3986)"),
        ({"type": ...}, "ce-type: must be a non-empty string, but is missing"),
        ({"specversion": b"0.3"}, 'ce-specversion: must be the string "1.0", but is "0.3"'),
        ({"a-b": b"x"}, "ce-a-b: attribute names may hold only a-z, 0-9 and _"),
        ({"": b"x"}, "ce-: attribute names may hold only a-z, 0-9 and _"),
        ({"data": b"x"}, "ce-data: must not be given; the body is the data"),
        ({"data_base64": b"x"}, "ce-data_base64: must not be given; the body is the data"),
        ({"datacontenttype": JSON}, "ce-datacontenttype: must not be given; its header is content-type"),
    ],
)
def test_refused_headers(changes: dict[str, Any], message: str) -> None:
    """The message starts with the header."""
    reason, told = refusal(lambda: binary(**changes))
    assert reason is Reason.INVALID_EVENT
    assert told.startswith(message)


def test_repeated_header_is_refused() -> None:
    """Like a repeated member of a JSON object: nobody could say which counts."""
    told = refusal(lambda: parse_binary([*headers(), ("ce-id", b"2")], JSON, b"1"))
    assert told == (Reason.INVALID_EVENT, "ce-id: must not be given more than once")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": b"today"}, "ce-time: must be an RFC 3339 timestamp"),
        ({"dataschema": b"V1.0"}, "ce-dataschema: must be an absolute URI"),
        ({"acme_x": b"1"}, "ce-acme_x: attribute names may hold only a-z and 0-9"),
    ],
)
def test_strict_binary(changes: dict[str, Any], message: str) -> None:
    """The stricter checks of attributes hold in this mode too."""
    attributes = headers(**changes)
    assert refusal(lambda: parse_binary(attributes, JSON, b"1", strict=True))[1].startswith(message)
    assert parse_binary(attributes, JSON, b"1").id == "order-771"


@pytest.mark.parametrize("content_type", [b"text/plain; charset=utf-8", b"application/octet-stream", b"image/png"])
@pytest.mark.parametrize("body", [b"\x00\xff", b"sold out", b"", b"{}"])
def test_other_media_become_base64(content_type: bytes, body: bytes) -> None:
    """Whatever the bytes: they arrive exactly, under their content type."""
    members = members_of(binary(body, content_type))
    assert (members["datacontenttype"], base64.b64decode(members["data_base64"])) == (content_type.decode(), body)
    assert "data" not in members


@pytest.mark.parametrize(
    ("content_type", "body", "reason", "message"),
    [
        (JSON, b"{", Reason.INVALID_JSON, "the body is not valid JSON: "),
        (JSON, b'1,"acme":"smuggled"', Reason.INVALID_JSON, "the body is not valid JSON: "),
        (JSON, b'1}{"id":"2"', Reason.INVALID_JSON, "the body is not valid JSON: "),
        (JSON, b'{"n":"\xff"}', Reason.INVALID_JSON, "the body is not UTF-8: byte 6"),
        (b"application/json; charset=utf-16", '{"n":1}'.encode("utf-16"), Reason.INVALID_JSON, "the body is not UTF-8"),
        (None, b"sold out", Reason.INVALID_JSON, "the body, sent without content-type, is not valid JSON: "),
        (b"nonsense", b"1", Reason.INVALID_EVENT, "content-type: must be a media type (RFC 2045)"),
        (b"text/\xff", b"1", Reason.INVALID_EVENT, "content-type: is not UTF-8: byte 5"),
        (JSON, b"[" * 600 + b"]" * 600, Reason.INVALID_JSON, "the body nests arrays and objects deeper than 511"),
        (JSON, b"[" * 500_000, Reason.INVALID_JSON, "the body nests arrays and objects deeper than 511 levels"),
    ],
)
def test_refused_bodies(content_type: bytes | None, body: bytes, reason: Reason, message: str) -> None:
    """A body is one JSON value or it is refused; it brings no attributes along. So in raw mode."""
    told = refusal(lambda: binary(body, content_type))
    assert told[0] is reason
    assert told[1].startswith(message)
    if content_type == JSON:
        assert refusal(lambda: make_raw("p", "t", "1", body)) == told


def test_body_without_data_or_type() -> None:
    """Nothing and no content type: no data. JSON needs no content type. The deepest data passes."""
    assert members_of(binary(b"", None)).keys() == REQUIRED.keys()
    assert members_of(binary(b"")).keys() == {*REQUIRED, "datacontenttype"}
    assert members_of(binary(b"null", None))["data"] is None
    deepest = b"[" * (DEPTH_MAX - 1) + b"]" * (DEPTH_MAX - 1)
    assert bytes(binary(deepest).data or b"") == deepest == bytes(make_raw("p", "t", "1", deepest).data or b"")


text = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=6,
)
events = st.fixed_dictionaries(
    {**{name: st.just(value) for name, value in REQUIRED.items()}, "id": text, "type": text, "data": json_values},
    optional={
        "datacontenttype": st.sampled_from(["application/json", "application/vnd.acme+json;v=1"]),
        "subject": text,
        "time": st.just("2026-03-01T10:00:00Z"),
        "acme": text,
        "a_b": text,
        "eventid": text,
    },
)


@settings(max_examples=40)
@given(event=events, unescaped=st.sampled_from(["", "/~!*'()+"]))
def test_structured_event_in_binary_mode_is_the_same_event(event: dict[str, Any], unescaped: str) -> None:
    """Sent as a client would, percent-encoding more or less: equal members, and the same for routing."""
    structured = parse_structured(json.dumps(event).encode())

    declared = event.get("datacontenttype")
    content_type = None if declared is None else str(declared).encode()
    sent = [
        (f"ce-{name}", quote(value, safe=unescaped).encode())
        for name, value in event.items()
        if name not in {"data", "datacontenttype"}
    ]
    published = parse_binary(sent, content_type, json.dumps(event["data"]).encode())

    assert members_of(published) == members_of(structured)
    for member in ("id", "source", "provider_id", "event_code", "has_specversion", "has_time"):
        assert getattr(published, member) == getattr(structured, member)


@settings(max_examples=40)
@given(
    sent=st.lists(st.tuples(st.sampled_from(["ce-id", "ce-source", "ce-type", "ce-x", "ce-X", "x"]), st.binary())),
    content_type=st.none() | st.binary(max_size=20) | st.just(JSON),
    body=st.binary(max_size=30),
)
def test_whatever_comes_is_an_event_or_a_refusal(
    sent: list[tuple[str, bytes]], content_type: bytes | None, body: bytes
) -> None:
    """No bytes in headers or body do anything else."""
    attributes = [("ce-specversion", b"1.0"), *sent]
    result = outcome(lambda: parse_binary(attributes, content_type, body))
    if isinstance(result, Published):
        assert members_of(result)["id"] == result.id
    else:
        assert result in {Reason.INVALID_EVENT, Reason.INVALID_JSON}


# --- Raw mode ---


def test_raw_event_byte_by_byte() -> None:
    """The body is `data`, whatever it is; names are escaped."""
    published = make_raw(PROVIDER_ID, 'com."acme"', "caf\u00e9", b' {"specversion":"1.0", "n":1.50} ')

    assert published.opened.decode() == (
        f'{{"specversion":"1.0","id":"caf\u00e9","source":"urn:uuid:{PROVIDER_ID}","type":"com.\\"acme\\"",'
        '"datacontenttype":"application/json","data":{"specversion":"1.0", "n":1.50}'
    )
    assert members_of(published) == members_of(parse_structured(published.opened + b"}"))
    assert (published.provider_id, published.event_code) == (PROVIDER_ID, 'com."acme"')


@pytest.mark.parametrize("provider_id", ["a b", "urn:uuid:p", "", "p\u00e9"])
def test_raw_provider_id(provider_id: str) -> None:
    """It becomes part of a URI, so it must be made of the characters of an id."""
    reason, message = refusal(lambda: make_raw(provider_id, "t", "1", b"1"))
    assert reason is Reason.INVALID_EVENT
    assert message.startswith("x-adobe-event-provider-id: must hold only letters, digits and . _ -")


# --- Batch mode ---


def batch(body: bytes, events_max: int = 5, event_bytes_max: int = 1000) -> list[Published]:
    return parse_batch(body, events_max=events_max, event_bytes_max=event_bytes_max)


def one(id: str = "1", **members: Any) -> dict[str, Any]:
    return {**REQUIRED, "id": id, **members}


def test_batch_is_its_events() -> None:
    """Each as if it came alone, bytes included; an empty batch is one."""
    texts = [b'{"id" : "1","source":"urn:uuid:p","type":"t","data":1.50}', json.dumps(one("2")).encode()]

    published = batch(b" [" + texts[0] + b" ,\n" + texts[1] + b"]\n")

    assert published == [parse_structured(text) for text in texts]
    assert batch(b"[]") == batch(b" [ ] ") == []


@pytest.mark.parametrize(
    ("body", "reason", "message"),
    [
        (b"", Reason.INVALID_JSON, "the batch is not valid JSON: "),
        (b"[", Reason.INVALID_JSON, "the batch is not valid JSON: "),
        (b"[] x", Reason.INVALID_JSON, "the batch is not valid JSON: "),
        (b"[\xff]", Reason.INVALID_JSON, "the batch is not valid JSON: "),
        (b"[" * 500_000, Reason.INVALID_JSON, "the batch nests arrays and objects deeper than 512 levels"),
        (b"{}", Reason.INVALID_BATCH, "the batch must be a JSON array of CloudEvents: "),
        (b'"x"', Reason.INVALID_BATCH, "the batch must be a JSON array of CloudEvents: "),
        (b"[1,1,1,1,1,1]", Reason.TOO_LARGE, "the batch holds 6 events; at most 5 are taken"),
    ],
)
def test_what_is_no_batch(body: bytes, reason: Reason, message: str) -> None:
    """Refused as a whole, before any event is looked at."""
    told = refusal(lambda: batch(body))
    assert told[0] is reason
    assert told[1].startswith(message)


def test_every_refused_event_is_told() -> None:
    """By place, with the reason and message that it would get alone, whatever is wrong with it."""
    good = json.dumps(one()).encode()
    items = [
        good,
        b"[" + good + b"]",
        b'{"id":"\xff"}',
        b'{"id":"1","id":"2"}',
        json.dumps(one(data="x" * 1000)).encode(),
    ]
    with pytest.raises(BatchRefused) as caught:
        batch(b"[" + b",".join(items) + b"]")

    error = caught.value
    assert error.reason is Reason.INVALID_BATCH
    assert error.message.startswith("nothing was stored: 4 of 5 events refused; event 1: the event must be a JSON obj")
    assert [(at, why) for at, why, _ in error.refusals] == [
        (1, Reason.INVALID_EVENT),
        (2, Reason.INVALID_JSON),
        (3, Reason.INVALID_EVENT),
        (4, Reason.TOO_LARGE),
    ]
    assert [message[:40] for _, _, message in error.refusals] == [
        "the event must be a JSON object: Expecte",
        "the event is not UTF-8: byte 7",
        "id: must not be given more than once",
        "the event is larger than 1000 bytes",
    ]


@settings(max_examples=40)
@given(body=st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_a_batch_or_a_refusal(body: bytes) -> None:
    """A 4xx or events."""
    result = outcome(lambda: batch(body))
    assert isinstance(result, list) or result in {Reason.INVALID_JSON, Reason.INVALID_BATCH, Reason.TOO_LARGE}
