"""Strict reading of JSON bodies, and the checks that go beyond a member's type. Every refusal says what was wrong, and
where. What is declared in `web.fields` msgspec checks; `web.wording` words it.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from eventmill.errors import GatewayError, Reason
from eventmill.web.fields import ClientId
from eventmill.web.wording import describe_refusal, show

__all__ = ["show"]  # for refusals that handlers word themselves

JSON_DEPTH_MAX = 64

T = TypeVar("T")

_SURROGATE = re.compile(r"[\ud800-\udfff]")


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
        raise too_deep(what) from None
    except ValueError:
        raise GatewayError(Reason.INVALID_JSON, f"{what} holds a number with too many digits") from None
    check_depth(document, what)
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


def too_deep(what: str) -> GatewayError:
    return GatewayError(Reason.INVALID_JSON, f"{what} is nested deeper than {JSON_DEPTH_MAX} levels")


def check_depth(document: Any, what: str) -> None:
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
        raise too_deep(what)


def parse_text_json(body: bytes) -> Any:
    """The same, and no half of a surrogate pair anywhere: such text can neither be stored nor sent on."""
    document = parse_json(body)
    if rb"\u" in body:
        for path, text in _texts(document):
            if found := _SURROGATE.search(text):
                raise invalid(path, f"holds the character U+{ord(found[0]):04X} at offset {found.start()}")
    return document


def _texts(document: Any) -> Iterator[tuple[str, str]]:
    """Every string in the document, member names too, with its path."""
    waiting = [("", document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            yield path or "the body", value
        elif isinstance(value, list):
            waiting += [(f"{path}[{at}]", each) for at, each in enumerate(value)]
        elif isinstance(value, dict):
            for name, each in value.items():
                yield path or "the body", name
                waiting.append((f"{path}.{name}" if path else name, each))


def read_object(body: bytes, model: type[T]) -> T:
    """The body as a `model`. Unknown members are ignored unless the model forbids them; a missing member or a wrong
    type is refused by name."""
    document = parse_text_json(body)
    if not isinstance(document, dict):
        raise GatewayError(Reason.INVALID_BODY, "the body must be a JSON object")
    return convert(document, model)


def convert(document: Any, model: type[T]) -> T:
    try:
        return msgspec.convert(document, model)
    except msgspec.ValidationError as error:
        raise GatewayError(Reason.INVALID_BODY, describe_refusal(error, document, model)) from None


def invalid(member: str, what: str, reason: Reason = Reason.INVALID_BODY) -> GatewayError:
    return GatewayError(reason, f"{member}: {what}")


def check_length(member: str, value: str, shortest: int, longest: int) -> None:
    if not shortest <= len(value) <= longest:
        raise invalid(member, f"must have {shortest} to {longest} characters, but has {len(value)}")


def check_value(member: str, value: object, kind: object) -> None:
    """`value` as a type of `web.fields`, where it does not come in a body."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise invalid(member, describe_refusal(error, value, kind)) from None


def check_client_id(member: str, value: str) -> None:
    check_value(member, value, ClientId)


def check_webhook_url(member: str, value: str, *, http_allowed: bool) -> None:
    """An absolute URL that can be called; whether its address may be called is decided when it is dialled."""
    try:
        parts = urlsplit(value)
        has_address = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise invalid(member, f"is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not has_address:
        raise invalid(member, f"must be an absolute http or https URL, but is {show(value)}")
    if parts.scheme == "http" and not http_allowed:
        raise invalid(member, "must be https; plain http is allowed with --dev or EVENTMILL_WEBHOOK_ALLOW_HTTP=true")


def decode_base64(member: str, value: str, longest: int) -> bytes:
    check_length(member, value, 0, longest)
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        raise invalid(member, "is not base64") from None
