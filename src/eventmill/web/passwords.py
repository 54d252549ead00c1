"""Passwords of people: scrypt (RFC 7914) with a salt of its own each. Slow by design: call it in a thread."""

from __future__ import annotations

import base64
import hashlib
import hmac

_LOG2_N, _R, _P = 15, 8, 1
_MEMORY_BYTES_MAX = 128 * 1024 * 1024
_HASH_BYTES = 32
SALT_BYTES = 16


def hash_password(password: str, salt: bytes) -> str:
    """`scrypt$<log2 n>$<r>$<p>$<salt>$<hash>`, so that the cost can grow without voiding what is stored."""
    made = _scrypt(password, salt, _LOG2_N, _R, _P)
    return f"scrypt${_LOG2_N}${_R}${_P}${_text(salt)}${_text(made)}"


def check_password(password: str, stored: str) -> bool:
    """Compares in constant time."""
    _, log2_n, r, p, salt, wanted = stored.split("$")
    made = _scrypt(password, base64.b64decode(salt), int(log2_n), int(r), int(p))
    return hmac.compare_digest(made, base64.b64decode(wanted))


def _scrypt(password: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=1 << log2_n, r=r, p=p, maxmem=_MEMORY_BYTES_MAX, dklen=_HASH_BYTES
    )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


NOBODYS = f"scrypt${_LOG2_N}${_R}${_P}${_text(bytes(SALT_BYTES))}${_text(bytes(_HASH_BYTES))}"
"""No password fits. Checked for names that nobody has, so that the time taken tells nothing."""
