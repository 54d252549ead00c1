"""Multipart forms (RFC 7578) whose parts are texts. Pure, and linear in the body, whatever is in it.

Not read by the standard library's mail parser: that one follows parts within parts, comments and encodings, which no
form has, and needs seconds, or more stack than there is, for what anybody may send.
"""

from __future__ import annotations

import re

from eventmill.errors import GatewayError, Reason
from eventmill.web.wording import show

_PARTS_MAX = 100
_BOUNDARY = re.compile(r';[ \t]*boundary=(?:"([^"\\]{1,70})"|([^\s";,]{1,70}))', re.IGNORECASE)
_PADDING = re.compile(rb"[ \t]*\r\n")
_DISPOSITION = re.compile(rb"\r\ncontent-disposition:([^\r\n]*)", re.IGNORECASE)
_NAME = re.compile(rb';[ \t]*name=(?:"([^"\\]*)"|([^\s";]+))', re.IGNORECASE)


def parse_multipart(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of the form; of a repeated one the last counts. Raises `INVALID_PARAMETER`."""
    delimiter = b"\r\n--" + _boundary(content_type)
    _introduction, *parts = (b"\r\n" + body).split(delimiter, _PARTS_MAX + 2)
    is_complete = len(parts) > 1 and parts.pop().startswith(b"--")
    if not is_complete or len(parts) > _PARTS_MAX or not all(_PADDING.match(part) for part in parts):
        raise _unreadable()
    return dict(_field(part) for part in parts)


def _boundary(content_type: str) -> bytes:
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise _unreadable()
    return (found[1] or found[2]).encode("latin-1", "replace")


def _unreadable() -> GatewayError:
    return GatewayError(Reason.INVALID_PARAMETER, "the multipart form cannot be read")


def _field(part: bytes) -> tuple[str, str]:
    head, blank_line, value = part.partition(b"\r\n\r\n")
    disposition = _DISPOSITION.search(head)
    found = _NAME.search(disposition[1]) if disposition else None
    if found is None or not blank_line:
        raise GatewayError(Reason.INVALID_PARAMETER, "a part of the multipart form has no name or no value")
    name = (found[1] or found[2] or b"").decode("utf-8", "replace")
    try:
        return name, value.decode("utf-8")
    except UnicodeDecodeError:
        raise GatewayError(Reason.INVALID_PARAMETER, f"{show(name)}: is not UTF-8") from None
