"""How a webhook knows that a delivery is genuine: an example to copy. It needs `cryptography` and nothing of ours.

Follows "Introduction to Adobe I/O Events Webhooks". Give it the bytes of the body exactly as they came: what a
framework has parsed and written anew is no longer what was signed.
"""

from __future__ import annotations

import binascii
import hmac
import json
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

KEY_PATH = re.compile(r"/prod/keys/pub-key-[0-9a-f-]{36}\.pem")
"""Nothing else is fetched: the header that names the path is not trustworthy before the signature was checked."""


class NotVerifiedError(Exception):
    """Answer 401, and believe nothing of it. The message says which check failed."""


class Verifier:
    """For the deliveries of one credential."""

    def __init__(self, client_id: str, client_secret: str, fetch_key: Callable[[str], Awaitable[bytes]]) -> None:
        """`fetch_key` gets the PEM file at a path of the key host, which is https://static.adobeioevents.com for events
        from Adobe, and the gateway itself for its own. It raises `LookupError` when there is none."""
        self._client_id = client_id
        self._client_secret = client_secret.encode()
        self._fetch_key = fetch_key
        self._keys: dict[str, RSAPublicKey] = {}
        """By path. Keys never change, but a receiver that runs for months should forget them after a day."""

    async def verify(self, headers: Mapping[str, str], body: bytes) -> list[dict[str, Any]]:
        """The events of a delivery: one, or those of a batch. Raises `NotVerifiedError`."""
        await self._check_digital_signatures(headers, body)
        self._check_hmac(headers, body)
        content = json.loads(body)
        events: list[dict[str, Any]] = content if isinstance(content, list) else [content]
        self._check_recipient(events)
        check_event_ids(headers, events)
        return events

    async def _check_digital_signatures(self, headers: Mapping[str, str], body: bytes) -> None:
        """Two keys sign, so that one can be replaced while the other is known; one good signature is enough."""
        keys = [await self._key(headers.get(f"x-adobe-public-key{number}-path", "")) for number in (1, 2)]
        for number, key in enumerate(keys, 1):
            if key is not None and is_signed(body, headers.get(f"x-adobe-digital-signature-{number}", ""), key):
                return
        if any(keys):
            raise NotVerifiedError("neither digital signature fits the body")
        raise NotVerifiedError("the headers name no key of the gateway")

    async def _key(self, path: str) -> RSAPublicKey | None:
        if path not in self._keys and KEY_PATH.fullmatch(path):
            try:
                key = load_pem_public_key(await self._fetch_key(path))
            except (LookupError, ValueError):
                return None
            if isinstance(key, RSAPublicKey):
                self._keys[path] = key
        return self._keys.get(path)

    def _check_hmac(self, headers: Mapping[str, str], body: bytes) -> None:
        """Keyed with the client secret, so it also proves that the delivery is meant for this credential."""
        expected = binascii.b2a_base64(hmac.digest(self._client_secret, body, "sha256"), newline=False)
        if not hmac.compare_digest(expected, headers.get("x-adobe-signature", "").encode()):
            raise NotVerifiedError("x-adobe-signature does not fit the body")

    def _check_recipient(self, events: list[dict[str, Any]]) -> None:
        """The digital signatures are good for every recipient: without this, another one could pass its events on."""
        for event in events:
            if event.get("recipient_client_id", event.get("recipientclientid")) != self._client_id:
                raise NotVerifiedError("the event is addressed to another client id")


def is_signed(body: bytes, signature: str, key: RSAPublicKey) -> bool:
    try:
        key.verify(b64decode(signature, validate=True), body, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True


def check_event_ids(headers: Mapping[str, str], events: list[dict[str, Any]]) -> None:
    """The header is not signed; whoever drops repeats by it should know that it tells the truth.

    For a batch this gateway lists the ids of its events there; the documentation of the original does not say."""
    ids = dict.fromkeys(str(event.get("event_id", event.get("eventid"))) for event in events)
    if headers.get("x-adobe-event-id") != ",".join(ids):
        raise NotVerifiedError("x-adobe-event-id does not fit the body")
