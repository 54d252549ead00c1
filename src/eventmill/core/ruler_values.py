"""How filters compare values: numbers as doubles, addresses as addresses, letters without their case.

Must not: know operators or fields.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

_IPV4 = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_IPV6 = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")
_ADDRESS_CHARS_MAX = 64
_EXACT_CHARS = 15
"""So few digits, sign and point, are always the shortest ones of their double."""


def comparable(text: str) -> float | None:
    """The double of a JSON number, if the number is exactly that double in its shortest decimal form.

    None otherwise: too large, too small, or with more digits than a double has. Such a number equals only itself, as
    written."""
    value = float(text)
    if len(text) <= _EXACT_CHARS and "e" not in text and "E" not in text:
        return value
    if math.isinf(value):
        return None
    if value == 0:
        mantissa = re.split("[eE]", text, maxsplit=1)[0]
        return value if not mantissa.strip("-0.") else None
    return value if Decimal(text) == Decimal(repr(value)) else None


class Address(NamedTuple):
    bits: int
    """32 or 128."""
    value: int


def read_address(text: str) -> Address | None:
    """An IPv4 or IPv6 address in any of its spellings; None for any other text.

    Octets of an IPv4 address are decimal, leading zeros or not. An IPv4-mapped IPv6 address is the IPv4 address."""
    if len(text) > _ADDRESS_CHARS_MAX:
        return None
    if _IPV4.fullmatch(text):
        octets = [octet.lstrip("0") or "0" for octet in text.split(".")]
        if any(len(octet) > 3 or int(octet) > 255 for octet in octets):
            return None
        return Address(32, int.from_bytes(bytes(map(int, octets)), "big"))
    if not _IPV6.fullmatch(text):
        return None
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return None
    mapped = address.ipv4_mapped
    return Address(128, int(address)) if mapped is None else Address(32, int(mapped))


def lowered(text: str) -> str:
    """Every character in lower case, one for one: those whose lower case is several characters stay."""
    lower = text.lower()
    return lower if text.isascii() else "".join(map(_lower, text))


def uppered(text: str) -> str:
    """Every character in upper case, one for one."""
    upper = text.upper()
    return upper if text.isascii() else "".join(map(_upper, text))


def folded(text: str) -> str:
    """Equal for texts that differ in case only; the reverse need not hold."""
    return lowered(uppered(text))


@lru_cache(maxsize=4096)
def _lower(char: str) -> str:
    lower = char.lower()
    return lower if len(lower) == 1 else char


@lru_cache(maxsize=4096)
def _upper(char: str) -> str:
    upper = char.upper()
    return upper if len(upper) == 1 else char
