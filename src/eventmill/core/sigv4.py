"""Signs a request to AWS, as "AWS Signature Version 4 for API requests" says.

For requests without a query only, which is all that the JSON protocols of AWS need. Reads no clock and no credentials.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}

Headers = list[tuple[str, str]]


class Credentials(msgspec.Struct, frozen=True):
    access_key_id: str
    secret_access_key: str
    session_token: str = ""
    """Of temporary credentials only."""


class Scope(NamedTuple):
    """What a signature is good for, beside its day."""

    region: str
    service: str


def signed_headers(
    url: str, headers: Sequence[tuple[str, str]], body: bytes, scope: Scope, credentials: Credentials, now_ms: int
) -> Headers:
    """`headers` of a POST with those that sign it; all of them are signed. `now_ms` is machine time.

    The receiver compares the host that it is asked for, so `url` must be the one that is called."""
    time = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = [*headers, ("x-amz-date", time)]
    if credentials.session_token:
        signed.append(("x-amz-security-token", credentials.session_token))
    canonical = sorted((name.lower(), " ".join(value.split())) for name, value in [*signed, ("host", _host(url))])
    names = ";".join(name for name, _ in canonical)
    request = "\n".join(
        (
            "POST",
            quote(urlsplit(url).path or "/", safe="/~"),
            "",
            *(f"{name}:{value}" for name, value in canonical),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    day_scope = f"{time[:8]}/{scope.region}/{scope.service}/aws4_request"
    text = "\n".join((_ALGORITHM, time, day_scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (*day_scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"{credentials.access_key_id}/{day_scope}"
    value = f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"
    return [*signed, ("authorization", value)]


def _host(url: str) -> str:
    """As the `host` header has it: without the port that goes without saying."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    return host if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"
