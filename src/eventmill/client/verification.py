"""Whether a delivery is genuine, without I/O: its signatures over the raw bytes, its keys, its recipient.

Says which check failed ("Introduction to Adobe I/O Events Webhooks": two RSA signatures, of which one has to fit).
Public keys come from one host only, whatever a delivery says, and only from paths of the form that keys have.
"""

from __future__ import annotations

import json
import re
import threading
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from eventmill.client.account import ADOBE_KEYS
from eventmill.client.documents import Event
from eventmill.client.errors import NoAnswer
from eventmill.client.exchange import Answer, Patience, Send, Steps, attempts

_KEY_PATH = re.compile(r"/(?:prod|stage)/keys/pub-key-[A-Za-z0-9-]{1,64}\.pem", re.ASCII)
_KEY_BYTES_MAX = 16 * 1024
_KEYS_MAX = 32
_KEY_LIFETIME_S = 24 * 3600.0
_MISSING_LIFETIME_S = 30.0
_FETCH = Patience(retries=1, timeout_s=5.0)


class Check(StrEnum):
    """In the order in which they are made."""

    HEADERS = "headers"
    """Signatures or paths of their keys are missing."""
    KEY_PATH = "key_path"
    """A path that leads to no public key: whoever sent this wants another key fetched."""
    KEY = "key"
    """A public key cannot be fetched, or is none."""
    SIGNATURE = "signature"
    """Neither signature fits the bytes: they were changed, or signed by somebody else."""
    BODY = "body"
    """Well signed, but neither an event nor a list of events."""
    RECIPIENT = "recipient"
    """Well signed, but for another client id."""


@dataclass(frozen=True)
class Verification:
    """True in a condition when the delivery is genuine."""

    failed: Check | None
    why: str
    """For a log; empty when all is well. Shows nothing of the body."""
    events: list[Event] = field(default_factory=list, repr=False)
    """What was delivered, one or a batch; empty unless genuine."""

    def __bool__(self) -> bool:
        return self.failed is None


class KeyCache:
    """Public keys by their path: kept for a day, as Adobe's guide allows; those that are not there for half a minute,
    so that forged paths cannot make it ask on and on. Bounded. May be shared by threads."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """`now_s`: seconds, of any clock that does not go back."""
        self._now_s = now_s
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, RSAPublicKey | str]] = OrderedDict()

    def get(self, path: str) -> RSAPublicKey | str | None:
        """The key, or why there is none; None: not asked lately."""
        with self._lock:
            until_s, found = self._kept.get(path, (0.0, None))
            return found if self._now_s() < until_s else None

    def put(self, path: str, found: RSAPublicKey | str) -> None:
        lifetime_s = _MISSING_LIFETIME_S if isinstance(found, str) else _KEY_LIFETIME_S
        with self._lock:
            self._kept[path] = (self._now_s() + lifetime_s, found)
            self._kept.move_to_end(path)
            while len(self._kept) > _KEYS_MAX:
                del self._kept[self._first_to_go()]

    def _first_to_go(self) -> str:
        """Failures before keys: a flood of forged paths must not push out those in use."""
        return next((path for path, (_, found) in self._kept.items() if isinstance(found, str)), next(iter(self._kept)))


@dataclass(frozen=True)
class Trust:
    """Whose deliveries are genuine."""

    client_id: str
    keys: KeyCache
    keys_url: str = ADOBE_KEYS
    """The only place that public keys are fetched from."""


def verify(trust: Trust, body: bytes, headers: Mapping[str, str]) -> Steps[Verification]:
    """`body`: the bytes as they came, before any framework parsed them. `headers`: names in any case."""
    given = {name.lower(): value for name, value in headers.items()}
    pairs = [
        (given.get(f"x-adobe-digital-signature-{number}", ""), given.get(f"x-adobe-public-key{number}-path", ""))
        for number in (1, 2)
    ]
    pairs = [pair for pair in pairs if all(pair)]
    if not pairs:
        return _failed(
            Check.HEADERS, "no x-adobe-digital-signature-1 or -2 with an x-adobe-public-key1-path or key2-path"
        )
    strange = [path for _, path in pairs if not _KEY_PATH.fullmatch(path)]
    if strange:
        return _failed(Check.KEY_PATH, f"{strange[0][:100]!r} is not the path of a public key")
    missing: list[str] = []
    for signature, path in pairs:
        key = yield from _find_key(trust, path)
        if isinstance(key, str):
            missing.append(key)
        elif _fits(key, signature, body):
            return _read_events(trust.client_id, body)
    if len(missing) == len(pairs):
        return _failed(Check.KEY, missing[0])
    return _failed(Check.SIGNATURE, "; ".join(["the body is not what was signed", *missing]))


def raw_body(body: bytes | str) -> bytes:
    """The bytes that were signed. App Builder's raw actions get them in base64 (`__ow_body`)."""
    raw = body.encode() if isinstance(body, str) else body
    if raw[:1] in (b"{", b"["):
        return raw
    try:
        return b64decode(raw, validate=True)
    except ValueError:
        return raw


def _find_key(trust: Trust, path: str) -> Steps[RSAPublicKey | str]:
    known = trust.keys.get(path)
    if known is not None:
        return known
    try:
        answer = yield from attempts(
            Send("GET", trust.keys_url.rstrip("/") + path, {}, timeout_s=_FETCH.timeout_s), _FETCH, lambda: 0.0
        )
    except NoAnswer as error:
        return f"no public key at {path}: {error}"  # not kept: the next delivery asks again
    found = _read_key(path, answer)
    if isinstance(found, RSAPublicKey) or answer.status < 500:
        trust.keys.put(path, found)
    return found


def _read_key(path: str, answer: Answer) -> RSAPublicKey | str:
    if answer.status != 200:
        return f"no public key at {path}: status {answer.status}"
    try:
        key = load_pem_public_key(answer.body[:_KEY_BYTES_MAX])
    except ValueError:
        return f"what is at {path} is no public key"
    return key if isinstance(key, RSAPublicKey) else f"what is at {path} is no RSA key"


def _fits(key: RSAPublicKey, signature: str, body: bytes) -> bool:
    try:
        key.verify(b64decode(signature, validate=True), body, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _read_events(client_id: str, body: bytes) -> Verification:
    try:
        parsed: Any = json.loads(body)
    except ValueError:
        return _failed(Check.BODY, "the body is no JSON")
    events = parsed if isinstance(parsed, list) else [parsed]
    if not events or not all(isinstance(event, dict) for event in events):
        return _failed(Check.BODY, "the body is neither an event nor a list of events")
    for event in events:
        if client_id not in (event.get("recipient_client_id"), event.get("recipientclientid")):
            return _failed(Check.RECIPIENT, "an event is for another client id")
    return Verification(None, "", events)


def _failed(check: Check, why: str) -> Verification:
    return Verification(check, why)
