"""Strict reading of JSON bodies, and the checks of single members. Every refusal says what was wrong, and where.

Character classes are those of the Events API reference, taken as ASCII and matched against the whole value.
"""

from __future__ import annotations

import binascii
import json
import re
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from eventmill.errors import GatewayError, Reason

JSON_DEPTH_MAX = 64
_SHOWN_CHARS = 64

T = TypeVar("T")

_LABEL = re.compile(r"[\w\s\-_.(),@:'`?#!]+", re.ASCII)
_EVENT_CODE = re.compile(r"[\w\-_.]+", re.ASCII)
_CLIENT_ID = re.compile(r"[\w\-.]+", re.ASCII)
_INSTANCE_ID = re.compile(r"[\w\-_:@./]+", re.ASCII)
_DOCS_URL = re.compile(
    r"https?://(([^/:.\s]+(\.[^/:.\s]+)*)|([0-9](\.[0-9]{3})))(:[0-9]+)?((/[^?#\s]+)(\?[^#\s]+)?(#.+)?)?/?"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_URL_CHARACTERS = re.compile(r"[\x21-\x7e]+")
_WHERE = re.compile(r"(?P<what>.*) - at `(?:key in )?\$\.?(?P<path>[^`]*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`(?: - at `\$\.?(?P<path>[^`]*)`)?")


def parse_json(body: bytes, what: str = "the body") -> Any:
    """The document in `body`, called `what` in refusals: duplicate member names, no UTF-8, NaN, deep nesting."""
    if not body.strip():
        raise GatewayError(Reason.INVALID_JSON, f"{what} is empty; a JSON document is expected")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GatewayError(Reason.INVALID_JSON, f"{what} is not UTF-8 (byte {error.start})") from None
    try:
        document = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise GatewayError(Reason.INVALID_JSON, f"{what} is not JSON: {error.msg} ({where})") from None
    except RecursionError:
        raise _too_deep(what) from None
    except ValueError:
        raise GatewayError(Reason.INVALID_JSON, f"{what} holds a number with too many digits") from None
    _check_depth(document, what)
    return document


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise GatewayError(Reason.INVALID_JSON, f"member {show(name)} appears twice in one object")
        members[name] = value
    return members


def _refuse_constant(name: str) -> None:
    raise GatewayError(Reason.INVALID_JSON, f"{name} is not JSON")


def _too_deep(what: str) -> GatewayError:
    return GatewayError(Reason.INVALID_JSON, f"{what} is nested deeper than {JSON_DEPTH_MAX} levels")


def _check_depth(document: Any, what: str) -> None:
    level = [document]
    for _ in range(JSON_DEPTH_MAX):
        if not level:
            return
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    if any(isinstance(parent, dict | list) for parent in level):
        raise _too_deep(what)


def read_object(body: bytes, model: type[T]) -> T:
    """The body as a `model`. Unknown members are ignored; a missing member or a wrong type is refused by name."""
    document = parse_json(body)
    if not isinstance(document, dict):
        raise GatewayError(Reason.INVALID_BODY, "the body must be a JSON object")
    return convert(document, model)


def convert(document: Any, model: type[T]) -> T:
    try:
        return msgspec.convert(document, model)
    except msgspec.ValidationError as error:
        raise GatewayError(Reason.INVALID_BODY, _reword(str(error))) from None


def _reword(text: str) -> str:
    """msgspec's message with the member first: `label: expected str, got int`."""
    if missing := _MISSING.fullmatch(text):
        path = f"{missing['path']}." if missing["path"] else ""
        return f"{path}{missing['name']}: required, but missing"
    where = _WHERE.fullmatch(text)
    what = (where["what"] if where else text).replace("`", "")
    path = where["path"] if where else ""
    return f"{path and path + ': '}{what[:1].lower()}{what[1:]}"


def show(value: str) -> str:
    """A caller's text in a message: quoted, escaped where it is not printable ASCII, and cut."""
    return ascii(value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "...")


def invalid(member: str, what: str, reason: Reason = Reason.INVALID_BODY) -> GatewayError:
    return GatewayError(reason, f"{member}: {what}")


def check_length(member: str, value: str, shortest: int, longest: int) -> None:
    if not shortest <= len(value) <= longest:
        raise invalid(member, f"must have {shortest} to {longest} characters, but has {len(value)}")


def check_text(member: str, value: str, *, lines: bool = False) -> None:
    """Free text: no control characters (line breaks and tabs when `lines`), no half of a surrogate pair."""
    found = (_CONTROL_BUT_LINES if lines else _CONTROL).search(value) or _SURROGATE.search(value)
    if found:
        raise invalid(member, f"holds the character U+{ord(found[0]):04X} at offset {found.start()}")


def check_label(member: str, value: str, shortest: int, *, lines: bool = False) -> None:
    check_length(member, value, shortest, 255)
    check_text(member, value, lines=lines)
    _check_pattern(member, value, _LABEL, "letters, digits, blanks and -_.(),@:'`?#!")


def check_event_code(member: str, value: str) -> None:
    check_length(member, value, 1, 255)
    _check_pattern(member, value, _EVENT_CODE, "letters, digits and -_.")


def check_client_id(member: str, value: str) -> None:
    check_length(member, value, 3, 128)
    _check_pattern(member, value, _CLIENT_ID, "letters, digits and -_.")


def check_instance_id(member: str, value: str) -> None:
    check_length(member, value, 1, 255)
    _check_pattern(member, value, _INSTANCE_ID, "letters, digits and -_:@./")


def _check_pattern(member: str, value: str, pattern: re.Pattern[str], allowed: str) -> None:
    if not pattern.fullmatch(value):
        raise invalid(member, f"may only hold {allowed}, but is {show(value)}")


def check_docs_url(member: str, value: str) -> None:
    check_length(member, value, 1, 255)
    check_text(member, value)
    if not _DOCS_URL.fullmatch(value):
        raise invalid(member, f"must be an http or https URL, but is {show(value)}")


def check_webhook_url(member: str, value: str, *, http_allowed: bool) -> None:
    """An absolute URL that can be called; whether its address may be called is decided when it is dialled."""
    check_length(member, value, 1, 4000)
    if not _URL_CHARACTERS.fullmatch(value):
        raise invalid(member, "may only hold printable ASCII; percent-encode the rest")
    try:
        parts = urlsplit(value)
        has_address = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise invalid(member, f"is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not has_address:
        raise invalid(member, f"must be an absolute https URL, but is {show(value)}")
    if parts.scheme == "http" and not http_allowed:
        raise invalid(member, "must be https; plain http is allowed with --dev or EVENTMILL_WEBHOOK_ALLOW_HTTP=true")


def decode_base64(member: str, value: str, longest: int) -> bytes:
    check_length(member, value, 0, longest)
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        raise invalid(member, "is not base64") from None
