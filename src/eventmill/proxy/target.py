"""What the first bytes of a proxy connection ask for: a tunnel, a plain request, or something that is refused.

Pure. Only the configured host names are let through, on their standard ports; everything else is named in the refusal.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Literal

import msgspec

HEAD_BYTES_MAX = 16 * 1024
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.[01]")
_SHOWN_CHARS_MAX = 100


class Refusal(Exception):
    """Not served; the message names what was asked for and, where one decides, the setting."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Asked(msgspec.Struct, frozen=True):
    kind: Literal["tunnel", "request"]
    host: str
    target: str = ""
    """Path and query of a request."""


def end_of_head(received: bytes | bytearray) -> int:
    """Where the request's head ends, or 0 while it is incomplete. Raises `Refusal` when it cannot be one."""
    end = received.find(b"\r\n\r\n") + 4
    if (end if end > 3 else len(received)) > HEAD_BYTES_MAX:
        raise Refusal(431, f"the request head is longer than {HEAD_BYTES_MAX} bytes")
    line, ends, _ = bytes(received[: HEAD_BYTES_MAX + 2]).partition(b"\r\n")
    if (ends and not _REQUEST_LINE.fullmatch(line)) or not line.isascii():
        raise Refusal(400, "this is not an HTTP/1.1 request")
    return end if end > 3 else 0


def read_target(head: bytes, hosts: Set[str]) -> Asked:
    """What a complete head asks for. Raises `Refusal`."""
    line = _REQUEST_LINE.fullmatch(head.partition(b"\r\n")[0])
    if line is None:
        raise Refusal(400, "this is not an HTTP/1.1 request")
    method, target = line[1].decode(), line[2].decode()
    if method == "CONNECT":
        host, port = _split_authority(target, 443)
        _check(host, port, 443, hosts)
        return Asked("tunnel", host)
    return read_absolute(target, hosts)


def read_absolute(target: str, hosts: Set[str]) -> Asked:
    """Reads an absolute-form target (RFC 9112 §3.2.2). Raises `Refusal` for any other form and any other host."""
    if not target.lower().startswith("http://"):
        raise Refusal(
            403,
            f"{_shown(target)} is no address for a forward proxy; this is `eventmill proxy`, not the gateway. "
            'Let clients use it with: eval "$(eventmill env --aio)"',
        )
    rest = target[len("http://") :]
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    path = rest[len(authority) :]
    host, port = _split_authority(authority, 80)
    _check(host, port, 80, hosts)
    return Asked("request", host, path if path.startswith("/") else f"/{path}")


def _split_authority(authority: str, default_port: int) -> tuple[str, int]:
    host, colon, digits = authority.rpartition(":")
    if not colon:
        return authority.lower(), default_port
    if not (digits.isdecimal() and len(digits) <= 5):
        raise Refusal(400, f"{_shown(authority)} is not a host and a port")
    return host.lower(), int(digits)


def _check(host: str, port: int, expected_port: int, hosts: Set[str]) -> None:
    if host not in hosts:
        raise Refusal(
            403,
            f"{_shown(host)} is not one of the host names that this proxy answers for; "
            "the setting EVENTMILL_ADOBE_HOSTS lists them, NO_PROXY keeps other hosts away from it",
        )
    if port != expected_port:
        raise Refusal(403, f"{host} is answered for on port {expected_port} only, not on {port}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "...")
