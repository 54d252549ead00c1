"""The console's cookies: read from a request, written for an answer. None of them is for other sites or for scripts."""

from __future__ import annotations

import base64
import binascii

import msgspec

from eventmill.config import Config
from eventmill.web.http import Request

Header = tuple[bytes, bytes]

ROOT = "/ui"
_VALUE_CHARS_MAX = 4096


class Flash(msgspec.Struct, frozen=True):
    """What the next page says first."""

    text: str
    kind: str = "ok"


def cookie_name(config: Config, purpose: str) -> str:
    """Browsers tell hosts apart, not ports: two gateways of one machine must not share cookies."""
    port = config.url.rpartition(":")[2]
    return f"eventmill_{purpose}_{port}" if port.isdigit() else f"eventmill_{purpose}"


def read_cookies(request: Request) -> dict[str, str]:
    pairs = (pair.partition("=") for value in request.header_values(b"cookie") for pair in value.split(";"))
    return {name.strip(): value.strip()[:_VALUE_CHARS_MAX] for name, _, value in pairs}


def set_cookie(config: Config, name: str, value: str, *, max_age_s: int | None = None) -> Header:
    """`max_age_s` None: until the browser closes; 0: it goes."""
    age = "" if max_age_s is None else f"; Max-Age={max_age_s}"
    secure = "; Secure" if config.url.startswith("https:") else ""
    return b"set-cookie", f"{name}={value}; Path={ROOT}; HttpOnly; SameSite=Lax{age}{secure}".encode()


def pack_flash(flash: Flash) -> str:
    text = msgspec.structs.replace(flash, text=flash.text[:800])
    return base64.urlsafe_b64encode(msgspec.json.encode(text)).decode().rstrip("=")


def unpack_flash(value: str) -> Flash | None:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)), type=Flash)
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        return None
