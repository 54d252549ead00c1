"""`eventmill.core.cloudevent`: what a published event must look like, and that its bytes are safe to splice."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.cloudevent import Published, parse_structured
from eventmill.core.cloudevent_json import DEPTH_MAX
from eventmill.core.cloudevent_rules import GIVEN_AT_DELIVERY
from eventmill.errors import GatewayError, Reason

PROVIDER_ID = "6f0d2a4e-58a9-4a33-8e8a-51d6e9f1a001"


def event(**changes: Any) -> dict[str, Any]:
    """A valid event with some members changed; `...` leaves a member out."""
    members = {
        "specversion": "1.0",
        "id": "order-771",
        "source": f"urn:uuid:{PROVIDER_ID}",
        "type": "com.acme.stock.low",
        "datacontenttype": "application/json",
        "time": "2026-03-01T10:00:00Z",
        "data": {"sku": "A1"},
    }
    return {name: value for name, value in (members | changes).items() if value is not ...}


def compact(members: dict[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


def parse(**changes: Any) -> Published:
    return parse_structured(compact(event(**changes)))


def parse_strict(**changes: Any) -> Published:
    return parse_structured(compact(event(**changes)), strict=True)


def refusal(body: bytes, *, strict: bool = False) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        parse_structured(body, strict=strict)
    return caught.value


def refused(**changes: Any) -> str:
    """The message that a changed event is refused with, always as an invalid event."""
    error = refusal(compact(event(**changes)))
    assert error.reason is Reason.INVALID_EVENT
    return error.message


def refused_strict(**changes: Any) -> str:
    """The same in strict mode."""
    error = refusal(compact(event(**changes)), strict=True)
    assert error.reason is Reason.INVALID_EVENT
    return error.message


def test_valid_event_is_kept_byte_by_byte() -> None:
    """Key order, blanks, escapes and number forms survive; only the closing brace is cut off."""
    body = b'{ "type":"t","id":"1",\n "source":"urn:uuid:p", "data":{"n":1.50e+3,"s":"\\u00e9"} ,"acme" : 7}'

    published = parse_structured(b" " + body + b"\r\n")

    assert published.opened == body[:-1]
    assert bytes(published.data or b"") == b'{"n":1.50e+3,"s":"\\u00e9"}'
    assert (published.id, published.source, published.event_code) == ("1", "urn:uuid:p", "t")
    assert (published.has_specversion, published.has_time) == (False, False)


@pytest.mark.parametrize(
    ("source", "provider_id"),
    [
        (f"urn:uuid:{PROVIDER_ID}", PROVIDER_ID),
        (f"URN:UUID:{PROVIDER_ID}", PROVIDER_ID),
        ("urn:uuid:a.b_c-1", "a.b_c-1"),
        ("urn:uuid:", None),
        ("urn:uuid:a/b", None),
        ("https://acme.example/stock?x=1#top", None),
        ("//acme.example:8080/a//b", None),
        ("http://[2001:db8::1]/a", None),
        ("/sensors/tn-1234567/alerts", None),
        ("mailto:cncf-wg-serverless@lists.cncf.io", None),
        ("1-555-123-4567", None),
        ("a%20b", None),
    ],
)
def test_source_names_a_provider_or_none(source: str, provider_id: str | None) -> None:
    """`urn:uuid:<id>` names a provider; any other URI-reference is valid and names none."""
    assert parse(source=source).provider_id == provider_id


@pytest.mark.parametrize("missing", [..., None, "", 7, True, ["x"], {"x": 1}])
@pytest.mark.parametrize("member", ["id", "source", "type"])
def test_required_members(member: str, missing: Any) -> None:
    """`id`, `source` and `type` must be non-empty strings; the message names the member."""
    assert refused(**{member: missing}).startswith(f"{member}: must be a ")


@pytest.mark.parametrize(
    "source", ["a b", "1:b", ":a", "a%2", "a%zz", "caf\u00e9", "a#b#c", "<a>", "urn:uuid:a b", "a\\b"]
)
def test_source_must_be_a_uri_reference(source: str) -> None:
    """What RFC 3986 does not allow is refused."""
    assert refused(source=source).startswith("source: must be a URI-reference (RFC 3986), but is ")


@pytest.mark.parametrize("name", ["id", "source", "type", "subject", "time", "acme"])
@pytest.mark.parametrize("control", ["\x00", "\n", "\x7f", "\x9f"])
def test_control_characters_are_refused(name: str, control: str) -> None:
    """In every attribute, escaped or not; in `data` they are the publisher's affair."""
    for ascii_only in (True, False):
        members = event(**{name: f"urn:{control}b"}, data={"n": control})
        error = refusal(json.dumps(members, separators=(",", ":"), ensure_ascii=ascii_only).encode())
        assert error.reason is Reason.INVALID_EVENT
        assert error.message == f"{name}: must not hold control characters, but has U+{ord(control):04X} at 4"
    assert parse(data={"n": control}).data is not None


def test_hostile_source_is_refused_without_backtracking() -> None:
    """A megabyte that almost matches is refused as quickly as it is read."""
    for start in ("//", "a:", "", "?", "#", "%41"):
        assert refused(source=start + "a" * 1_000_000 + " ").startswith("source: ")


@pytest.mark.parametrize("version", ["0.3", "1", "", 1.0, 1, True])
def test_specversion_must_be_one_dot_zero(version: Any) -> None:
    """Any other version, and the number 1.0, is refused."""
    assert refused(specversion=version).startswith('specversion: must be the string "1.0", but is ')


@pytest.mark.parametrize("missing", [..., None])
def test_missing_specversion(missing: Any) -> None:
    """Accepted, because the official SDK publishes without it; refused in strict mode."""
    assert not parse(specversion=missing).has_specversion
    assert refused_strict(specversion=missing).startswith("specversion: must be ")


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'a/x+json;a="b;\\"c"',
        "text/vnd.a+json",
    ],
)
def test_json_content_types(media_type: str) -> None:
    """JSON media types pass in any case and with parameters."""
    assert parse(datacontenttype=media_type).data is not None


@pytest.mark.parametrize("media_type", ["", "json", "application/", "a/b/c", "a b/c", "a/json;", "a/json;x", 7, True])
def test_content_type_must_be_a_media_type(media_type: Any) -> None:
    """What is no media type is refused, with data and with data_base64."""
    for data in ({"data": 1}, {"data": ..., "data_base64": "AA=="}):
        message = refused(datacontenttype=media_type, **data)
        assert message.startswith("datacontenttype: must be a media type (RFC 2045), but is ")


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/jsonp", "text/json"])
@pytest.mark.parametrize("data", ["x", None, ...])
def test_content_type_must_be_json(media_type: str, data: Any) -> None:
    """Only JSON media types are accepted unless the data is base64."""
    message = refused(datacontenttype=media_type, data=data)

    assert message.startswith("datacontenttype: must be application/json or end in +json, but is ")


def test_base64_data_may_have_any_media_type() -> None:
    """`data_base64` is delivered as it is, whatever it holds."""
    published = parse(data=..., data_base64="aGVsbG8=", datacontenttype="image/png")

    assert bytes(published.data or b"") == b'"aGVsbG8="'
    assert published.opened.endswith(b',"data_base64":"aGVsbG8="')


@pytest.mark.parametrize("encoded", ["a", "YQ=", "YQ", "Y Q=", "YQ==YQ==", "-_==", "caf\u00e9", 7, True, {}, ["YQ=="]])
def test_base64_data_must_be_base64(encoded: Any) -> None:
    """Standard alphabet, padded, nothing around it."""
    assert refused(data=..., data_base64=encoded).startswith("data_base64: must be a base64 string (RFC 4648")


@pytest.mark.parametrize("data", [1, None, "x"])
def test_data_and_base64_data_exclude_each_other(data: Any) -> None:
    """Even a null `data` is data."""
    assert refused(data=data, data_base64="YQ==") == "data_base64: must not stand beside data"


@pytest.mark.parametrize("data", [None, 0, "", False, [], {}, 1.5, "x", [[]], {"a": None}])
def test_data_is_any_json_value(data: Any) -> None:
    """Objects, strings, numbers, booleans and null are data, and all of them are kept."""
    published = parse(data=data)

    assert published.data is not None and json.loads(bytes(published.data)) == data
    assert json.loads(published.opened + b"}") == event(data=data)


@pytest.mark.parametrize("schema", ["V1.0", "", "/relative", "a b", 7])
def test_dataschema_is_checked_in_strict_mode(schema: Any) -> None:
    """Real publishers send versions there, so only strict mode wants an absolute URI."""
    assert parse(dataschema=schema).data is not None
    assert refused_strict(dataschema=schema).startswith("dataschema: must be an absolute URI, but is ")
    assert parse_strict(dataschema="https://acme.example/schema#v1").data is not None


@pytest.mark.parametrize("subject", ["", 7, False, {}, []])
def test_subject_must_be_a_non_empty_string(subject: Any) -> None:
    """When it is there at all."""
    assert refused(subject=subject).startswith("subject: must be a ")


@pytest.mark.parametrize(
    "time",
    ["1732021086000", "2026-03-01", "2026-03-01T10:00:00", "2026-13-01T10:00:00Z", "2026-03-01 10:00:00Z", "", 7],
)
def test_time_is_checked_in_strict_mode(time: Any) -> None:
    """Real publishers send epoch milliseconds, so only strict mode wants RFC 3339."""
    assert parse(time=time).has_time
    assert refused_strict(time=time).startswith("time: must be an RFC 3339 timestamp, but is ")


@pytest.mark.parametrize(
    "time", ["2026-03-01T10:00:00Z", "2026-03-01t10:00:60.123456789+05:30", "2026-12-31T23:59:59-00:00"]
)
def test_rfc3339_times_pass_strict_mode(time: str) -> None:
    """Fractions, offsets and leap seconds are part of RFC 3339."""
    assert parse_strict(time=time).has_time


@pytest.mark.parametrize("name", ["acme_tenant", "_x", "event_id2"])
def test_underscores_in_names_are_for_lenient_mode(name: str) -> None:
    """CloudEvents forbids them; the guides use them."""
    assert name.encode() in parse(**{name: "x"}).opened
    assert refused_strict(**{name: "x"}) == f'"{name}": attribute names may hold only a-z and 0-9'


@pytest.mark.parametrize("name", ["acmeTenant", "acme-tenant", "acme.tenant", "", "caf\u00e9", "a\n", "Data", "\x00"])
def test_names_beyond_both_modes(name: str) -> None:
    """Capitals, punctuation and emptiness are refused in both modes, and the name is shown escaped."""
    shown = json.dumps(name, ensure_ascii=False)

    assert refused(**{name: "x"}) == f"{shown}: attribute names may hold only a-z, 0-9 and _"
    assert refused_strict(**{name: "x"}) == f"{shown}: attribute names may hold only a-z and 0-9"


def test_names_may_be_long() -> None:
    """20 characters are a recommendation of CloudEvents, not a limit."""
    assert parse_strict(**{"x" * 64: 1}).opened


@pytest.mark.parametrize("value", [{}, [], {"a": 1}, ["x"]])
def test_extension_values_are_scalars(value: Any) -> None:
    """Objects and arrays are refused as attribute values."""
    assert refused(acmetenant=value).startswith("acmetenant: must be a string, number, boolean or null: ")


@pytest.mark.parametrize("value", ["", "eu", 7, -1.5, True, False])
def test_scalar_extension_values_are_kept(value: Any) -> None:
    """They stay in the event as they were given."""
    assert json.loads(parse(acmetenant=value).opened + b"}")["acmetenant"] == value


def test_null_attributes_count_as_absent() -> None:
    """They are taken out; null data stays."""
    published = parse(acme=None, time=None, specversion=None, subject=None, data_base64=None, data=None)

    assert (published.has_time, published.has_specversion) == (False, False)
    assert json.loads(published.opened + b"}") == event(data=None, time=..., specversion=...)


@pytest.mark.parametrize("name", sorted(GIVEN_AT_DELIVERY))
@pytest.mark.parametrize("value", ["x", None, 7, {"a": 1}, [1]])
@pytest.mark.parametrize("strict", [False, True])
def test_recipient_fields_of_the_publisher_are_dropped(name: str, value: Any, strict: bool) -> None:
    """The gateway sets them itself, so whatever a publisher puts there is no error and does not stay."""
    members = {name: value} | event(acme="eu")

    published = parse_structured(compact(members), strict=strict)

    assert json.loads(published.opened + b"}") == event(acme="eu")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b'{"id":"1"',
        b'{"id":"1",}',
        b'{"id":"1"} x',
        b'{"data":01}',
        b'{"data":[1,]}',
        b'{"data":NaN}',
        b'{"data":.5}',
        b'{"data":"\\q"}',
        b'{"data":"\\u12"}',
        b'{"data":{"a":"\\ud800"}}',
        b'{"data":"\x01"}',
        b'{"data":"\n"}',
        b"{'id':1}",
        b"\xef\xbb\xbf{}",
    ],
)
def test_body_must_be_json(body: bytes) -> None:
    """Malformed JSON, also deep inside `data`, is refused as such."""
    error = refusal(body)

    assert error.reason is Reason.INVALID_JSON
    assert error.message.startswith("the body is not valid JSON: ")


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf"])
def test_body_must_be_utf8(bad: bytes) -> None:
    """Anywhere: in a name, in an attribute, inside data."""
    for body in (b'{"%b":1}', b'{"id":"%b"}', b'{"data":{"a":["%b"]}}'):
        error = refusal(body % bad)
        assert error.reason is Reason.INVALID_JSON
        assert error.message == f"the body is not UTF-8: byte {(body % bad).index(bad)}"


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b"true", b'[{"id":"1"}]'])
def test_body_must_be_an_object(body: bytes) -> None:
    """Any other JSON value is refused."""
    error = refusal(body)

    assert error.reason is Reason.INVALID_EVENT
    assert error.message.startswith("the body must be a JSON object: ")


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n", " :\t")])
@pytest.mark.parametrize("name", ["id", "data", "acme", "specversion", "eventid"])
def test_repeated_members_are_refused(separators: tuple[str, str], name: str) -> None:
    """Receivers disagree about which of two counts, so neither is accepted, however the body is spaced."""
    comma, colon = separators
    text = json.dumps(event(), separators=separators)
    body = f'{{"{name}"{colon}1{comma}{text[1:-1]}{comma}"{name}"{colon}1}}'.encode()

    error = refusal(body)

    assert error.reason is Reason.INVALID_EVENT
    assert error.message == f"{name}: must not be given more than once"


def test_repeated_members_inside_data_are_the_publishers_affair() -> None:
    """`data` is passed on without being looked into."""
    assert parse_structured(b'{"id":"1","source":"s","type":"t","data":{"a":1,"a":2}}').opened.endswith(
        b'{"a":1,"a":2}'
    )


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [DEPTH_MAX, 5_000, 400_000])
def test_deep_nesting_is_refused(opening: bytes, depth: int) -> None:
    """A bomb of brackets is a 400 of its own, whatever the interpreter's limits are."""
    closing = b"]" if opening == b"[" else b"}"
    body = b'{"id":"1","source":"s","type":"t","data":' + opening * depth + b"1" + closing * depth + b"}"

    error = refusal(body)

    assert error.reason is Reason.INVALID_JSON
    assert error.message == f"the body nests arrays and objects deeper than {DEPTH_MAX} levels"


def test_many_brackets_are_not_depth() -> None:
    """Flat arrays and brackets in strings are no nesting; the deepest allowed nesting passes."""
    nested: list[Any] = []
    for _ in range(DEPTH_MAX - 2):
        nested = [nested]

    samples: list[Any] = [[[]] * 5_000, '[{"\\' * 5_000, nested]
    for data in samples:
        assert parse(data=data).data is not None


def test_refusals_are_short() -> None:
    """A megabyte of nonsense is not sent back."""
    long = "x" * 900_000
    samples: list[dict[str, Any]] = [{long: []}, {long.upper(): 1}, {"specversion": long}, {"source": long + " "}]
    for changes in samples:
        assert len(refused(**changes)) < 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=6,
)
members_of_any_kind = st.dictionaries(
    st.sampled_from(["id", "source", "type", "specversion", "time", "data", "data_base64", "eventid", "acme", "a_b"])
    | st.text(max_size=3),
    json_values | st.just("1.0") | st.just("urn:uuid:p"),
)


def parse_or_refuse(body: bytes) -> Published | Reason:
    try:
        return parse_structured(body)
    except GatewayError as error:
        return error.reason


@given(members=members_of_any_kind, indent=st.none() | st.integers(0, 2), ascii_only=st.booleans())
def test_what_passes_is_json_with_the_same_members(members: Any, indent: int | None, ascii_only: bool) -> None:
    """Whatever object comes: it is refused with 400, or kept as the same object without dropped members."""
    members = {"id": "1", "source": "urn:uuid:p", "type": "t"} | members

    result = parse_or_refuse(json.dumps(members, indent=indent, ensure_ascii=ascii_only).encode())

    if isinstance(result, Reason):
        assert result is Reason.INVALID_EVENT
    else:
        assert json.loads(result.opened + b"}") == {
            name: value
            for name, value in members.items()
            if name == "data" or (value is not None and name not in GIVEN_AT_DELIVERY)
        }


@given(noise=st.binary(max_size=40), at=st.integers(0, 120), cut=st.integers(0, 20))
def test_damaged_bodies_never_get_past(noise: bytes, at: int, cut: int) -> None:
    """Bytes that the standard parser would not read as one object are refused, wherever the damage is."""
    whole = compact(event())

    result = parse_or_refuse(whole[:at] + noise + whole[at + cut :])

    if isinstance(result, Reason):
        assert result.status == 400
    else:
        assert isinstance(json.loads((result.opened + b"}").decode()), dict)


@given(data=st.binary(max_size=64))
def test_every_base64_text_passes(data: bytes) -> None:
    """Padding and alphabet as the standard library writes them."""
    assert parse(data=..., data_base64=base64.b64encode(data).decode()).data is not None


plain_members = st.fixed_dictionaries(
    {
        "id": st.text(max_size=8),
        "source": st.sampled_from([f"urn:uuid:{PROVIDER_ID}", "URN:UUID:p", "urn:uuid:", "/shelf", "a b", ""]),
        "type": st.sampled_from(["com.acme.stock.low", "t", "", 'with "quotes"']),
    },
    optional={
        "specversion": st.sampled_from(["1.0", "0.3", None]),
        "datacontenttype": st.sampled_from(["application/json", "application/xml", None]),
        "time": st.sampled_from(["2026-03-01T10:00:00Z", "today", "", None, 5]),
        "subject": st.sampled_from(["shelf 7", ""]),
        "data": st.none() | st.integers() | st.text(max_size=8) | st.dictionaries(st.text(max_size=3), st.booleans()),
    },
)


@given(members=plain_members)
def test_short_and_long_way_agree(members: dict[str, Any]) -> None:
    """A blank before the body sends it the long way: same event and same stored bytes, or same refusal."""
    body = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()

    short, long = (parse_or_refuse(text) for text in (body, b" " + body))

    if isinstance(short, Published) and isinstance(long, Published):
        assert (short.data is None, bytes(short.data or b"")) == (long.data is None, bytes(long.data or b""))
        short, long = (msgspec.structs.replace(event, data=None) for event in (short, long))
    assert short == long
