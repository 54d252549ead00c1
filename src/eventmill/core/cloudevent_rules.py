"""What CloudEvents 1.0.2 asks of attributes and of `data`, member by member.

Takes members as `cloudevent_json` reads them. Every refusal is INVALID_EVENT with a message that starts with the
offending member. Must not: know in which mode the event came, or rewrite values.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Mapping
from typing import NoReturn

import msgspec

from eventmill.errors import GatewayError, Reason

GIVEN_AT_DELIVERY = frozenset({"eventid", "event_id", "recipientclientid", "recipient_client_id", "phidata"})
"""Attributes that the gateway sets itself; a publisher's own are dropped."""

_NOT_CHECKED = GIVEN_AT_DELIVERY | {"data", "data_base64"}
_KNOWN = _NOT_CHECKED | {"id", "source", "type", "specversion", "datacontenttype", "dataschema", "subject", "time"}
_STRICT_NAME = re.compile(r"[a-z0-9]+")
_LENIENT_NAME = re.compile(r"[a-z0-9_]+")
_PROVIDER_ID = r"[A-Za-z0-9._-]+"
_PROVIDER_URN = re.compile(rf"[Uu][Rr][Nn]:[Uu][Uu][Ii][Dd]:({_PROVIDER_ID})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# RFC 3986 Appendix A. Possessive repeats keep it linear on hostile input.
_PCHAR = r"[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2}"
_AFTER_SCHEME = rf"(?://(?:[\[\]]|{_PCHAR})*+)?+(?:/|{_PCHAR})*+(?:\?(?:[/?]|{_PCHAR})*+)?+(?:#(?:[/?]|{_PCHAR})*+)?+"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*+:"
_URI_REFERENCE = re.compile(rf"(?:{_SCHEME}|(?![^/?#:]*+:)){_AFTER_SCHEME}")
_URI = re.compile(rf"{_SCHEME}{_AFTER_SCHEME}")

# RFC 2045 section 5.1, with the blanks that RFC 9110 section 5.6.6 allows.
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_MEDIA_TYPE = re.compile(rf'({_WORD})/({_WORD})(?:[ \t]*+;[ \t]*+{_WORD}=(?:{_WORD}|"(?:[^"\\]|\\.)*+"))*+[ \t]*+')
_RFC3339 = re.compile(
    r"(?a)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?"
    r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
)

Scalar = str | int | float | bool | None

named_provider = _PROVIDER_URN.fullmatch
"""Group 1 of the match: the provider that a source names."""
is_provider_id = re.compile(_PROVIDER_ID).fullmatch

_decode_scalar = msgspec.json.Decoder(Scalar).decode


def check_names(names: Iterable[str], strict: bool) -> None:
    if _KNOWN.issuperset(names):
        return
    for name in names:
        wrong = wrong_name(name, strict)
        if wrong:
            refuse(shown(name), wrong)


def wrong_name(name: str, strict: bool) -> str:
    """What is wrong with an attribute's name; empty when nothing is."""
    if strict and name not in _NOT_CHECKED and _STRICT_NAME.fullmatch(name) is None:
        return "attribute names may hold only a-z and 0-9"
    if _LENIENT_NAME.fullmatch(name) is None:
        return "attribute names may hold only a-z, 0-9 and _"
    return ""


def read_attributes(members: Mapping[str, msgspec.Raw]) -> dict[str, Scalar]:
    """Attributes by name, null ones included, without those that delivery sets."""
    values: dict[str, Scalar] = {}
    name = ""
    try:
        for name, raw in members.items():
            if name not in _NOT_CHECKED:
                values[name] = _decode_scalar(raw)
    except msgspec.ValidationError as error:
        refuse(name, f"must be a string, number, boolean or null: {error}")
    for name, value in values.items():
        if isinstance(value, str):
            check_controls(name, value)
    return values


def check_attributes(values: Mapping[str, Scalar], strict: bool) -> None:
    """All but `id`, `source` and `type`, which `require_text` and `provider_of` check, and `datacontenttype`."""
    version = values.get("specversion")
    if version != "1.0" and (strict or version is not None):
        refuse("specversion", f'must be the string "1.0", but is {shown(version)}')
    if values.get("subject") is not None:
        require_text("subject", values.get("subject"))
    if strict:
        _check_strict(values)


def check_controls(name: str, value: str) -> None:
    """The type system of CloudEvents has no control characters in strings, and they would reach logs and headers."""
    found = _CONTROL.search(value)
    if found is not None:
        refuse(name, f"must not hold control characters, but has U+{ord(found[0]):04X} at {found.start()}")


def require_text(name: str, value: Scalar) -> str:
    if not isinstance(value, str) or not value:
        refuse(name, f"must be a non-empty string, but is {shown(value)}")
    return value


def provider_of(source: str) -> str | None:
    """The provider that a source names; None when it names none. Refuses what is no URI-reference."""
    named = named_provider(source)
    if named is not None:
        return named[1]
    if _URI_REFERENCE.fullmatch(source) is None:
        refuse("source", f"must be a URI-reference (RFC 3986), but is {shown(source)}")
    return None


def check_data(members: Mapping[str, msgspec.Raw], content_type: Scalar) -> msgspec.Raw | None:
    """The raw value to deliver as data, once it and its content type are found in order."""
    data = members.get("data")
    encoded = members.get("data_base64")
    if encoded is not None and not is_null(encoded):
        if data is not None:
            refuse("data_base64", "must not stand beside data")
        _check_base64(encoded)
        data = encoded
    if content_type not in (None, "application/json"):
        _check_content_type(content_type, any_media=data is not None and data is encoded)
    return data


def is_json_media(content_type: str) -> bool | None:
    """Whether a content type declares JSON; None when it is no media type."""
    media = _MEDIA_TYPE.fullmatch(content_type)
    if media is None:
        return None
    essence = f"{media[1]}/{media[2]}".lower()
    return essence == "application/json" or essence.endswith("+json")


def is_null(raw: msgspec.Raw | None) -> bool:
    return raw is not None and len(raw) == 4 and bytes(raw) == b"null"


def shown(value: object) -> str:
    """For messages: as JSON, cut."""
    if value is None:
        return "missing"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else text[:77] + "..."


def refuse(member: str, must: str) -> NoReturn:
    raise GatewayError(Reason.INVALID_EVENT, f"{member[:80]}: {must}")


def _check_strict(values: Mapping[str, Scalar]) -> None:
    schema = values.get("dataschema")
    if schema is not None and (not isinstance(schema, str) or _URI.fullmatch(schema) is None):
        refuse("dataschema", f"must be an absolute URI, but is {shown(schema)}")
    time = values.get("time")
    if time is not None and (not isinstance(time, str) or _RFC3339.fullmatch(time) is None):
        refuse("time", f"must be an RFC 3339 timestamp, but is {shown(time)}")


def _check_base64(encoded: msgspec.Raw) -> None:
    try:
        binascii.a2b_base64(msgspec.json.decode(encoded, type=str), strict_mode=True)
    except ValueError as error:  # msgspec's ValidationError and binascii's Error both are
        refuse("data_base64", f"must be a base64 string (RFC 4648 section 4): {error}")


def _check_content_type(content_type: Scalar, *, any_media: bool) -> None:
    is_json = is_json_media(content_type) if isinstance(content_type, str) else None
    if is_json is None:
        refuse("datacontenttype", f"must be a media type (RFC 2045), but is {shown(content_type)}")
    if not any_media and not is_json:
        refuse("datacontenttype", f"must be application/json or end in +json, but is {shown(content_type)}")
