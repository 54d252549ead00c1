"""JSON as publishing takes it: UTF-8, grammar, depth and unique member names, checked without decoding any value.

What passes is stored and spliced as it came, so everything that makes bytes valid JSON is settled here. msgspec checks
the grammar of the values it skips, but neither their UTF-8 nor repeated names. Must not: know what an event is.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import accumulate

import msgspec

from eventmill.errors import GatewayError, Reason

DEPTH_MAX = 512
"""Levels of arrays and objects in an event. Common parsers stop at 1000, and pages and batches add a few levels."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_DEPTH_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class _Name:
    """A member name that equals no other, so that a dict keeps members whose names are repeated."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_every_member = msgspec.json.Decoder(dict[_Name, msgspec.Raw], dec_hook=lambda _, text: _Name(text)).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_value = msgspec.json.Decoder(msgspec.Raw).decode


def read_object(text: bytes, what: str) -> dict[str, msgspec.Raw]:
    """The members of one JSON object. `what` names it in refusals: INVALID_JSON, or INVALID_EVENT for other values
    and for names that are repeated."""
    try:
        _check_text(text, what, DEPTH_MAX)
        members = _decode_members(text)
    except msgspec.ValidationError as error:
        raise GatewayError(Reason.INVALID_EVENT, f"{what} must be a JSON object: {error}") from None
    except msgspec.DecodeError as error:
        raise _not_json(what, error) from None
    except RecursionError:
        raise _too_deep(what, DEPTH_MAX) from None
    # Equal only without blanks, escapes in names and repeated names: each of them makes the text longer.
    if len(text) != 1 + 4 * len(members) + sum(map(len, members)) + sum(map(len, members.values())):
        _check_unique_names(text, len(members))
    return members


def read_value(text: bytes, what: str) -> bytes:
    """The bytes of one JSON value of any kind, which is to be a member of an event, without the blanks around it.

    Refuses with INVALID_JSON."""
    try:
        _check_text(text, what, DEPTH_MAX - 1)
        return bytes(_decode_value(text))
    except msgspec.DecodeError as error:
        raise _not_json(what, error) from None
    except RecursionError:
        raise _too_deep(what, DEPTH_MAX - 1) from None


def read_array(text: bytes, what: str) -> list[msgspec.Raw]:
    """The items of one JSON array, of which only the grammar is checked. Refuses with INVALID_JSON, or INVALID_BATCH
    for other values."""
    try:
        return _decode_items(text)
    except msgspec.ValidationError as error:
        raise GatewayError(Reason.INVALID_BATCH, f"{what} must be a JSON array of CloudEvents: {error}") from None
    except msgspec.DecodeError as error:
        raise _not_json(what, error) from None
    except RecursionError:
        raise _too_deep(what, DEPTH_MAX) from None


def _check_text(text: bytes, what: str, levels: int) -> None:
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise GatewayError(Reason.INVALID_JSON, f"{what} is not UTF-8: byte {error.start}") from None
    if len(text) <= 2 * levels or text.count(b"[") + text.count(b"{") <= levels:
        return
    brackets = _STRING.sub(b"", text).translate(None, _NOT_BRACKETS)
    if max(accumulate(map(_DEPTH_STEP.__getitem__, brackets)), default=0) > levels:
        raise _too_deep(what, levels)


def _not_json(what: str, error: Exception) -> GatewayError:
    return GatewayError(Reason.INVALID_JSON, f"{what} is not valid JSON: {error}")


def _too_deep(what: str, levels: int) -> GatewayError:
    return GatewayError(Reason.INVALID_JSON, f"{what} nests arrays and objects deeper than {levels} levels")


def _check_unique_names(text: bytes, distinct: int) -> None:
    every = _decode_every_member(text)
    if len(every) != distinct:
        repeated = Counter(name.text for name in every).most_common(1)[0][0]
        message = f"{repeated[:80]}: must not be given more than once"
        raise GatewayError(Reason.INVALID_EVENT, message)
