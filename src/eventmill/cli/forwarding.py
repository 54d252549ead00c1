"""Turns journal entries into the requests that a webhook would get, and posts them: for `eventmill listen`.

Headers and bodies as in "Introduction to Adobe I/O Events Webhooks". Keeps no position, and never gives up by itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from uuid import NAMESPACE_URL, uuid4, uuid5

from eventmill.cli.places import Json
from eventmill.cli.wire import NoAnswer, Wire
from eventmill.core.delivery_headers import REPLAY_HEADER, Headers, delivery_headers
from eventmill.core.signing import hmac_signature
from eventmill.model import OrgId, Origin

if TYPE_CHECKING:
    from eventmill.cli.account import Account
    from eventmill.core.signing import DeliverySigner

LISTEN_HEADER = "x-eventmill-listen"
"""How a forwarded delivery is signed: `signed` as the gateway does, `hmac` by the client secret alone, `unsigned`."""


class Entry(NamedTuple):
    """Of a journal; `event` are the bytes that it has."""

    position: str
    event: bytes


class Delivery(NamedTuple):
    """One event on its way to the local receiver, or a batch of them."""

    position: str
    """Of the last one."""
    event_id: str
    """Of the first one, as its code."""
    event_code: str
    events: int
    body: bytes
    headers: Headers


class _Part(NamedTuple):
    body: bytes
    event_id: str
    event_code: str
    origin: Origin


class Outcome(NamedTuple):
    status: int
    """0: no answer; `why` says more."""
    ms: int
    why: str

    @property
    def is_success(self) -> bool:
        return 200 <= self.status <= 299

    @property
    def is_retried(self) -> bool:
        """By the rules of webhooks: no answer, 429, and 5xx but 505."""
        return self.status in (0, 429) or (500 <= self.status <= 599 and self.status != 505)


def takes_batches(registration: Json) -> bool:
    return bool(registration["delivery_type"] == "webhook_batch")


class Forwarder:
    def __init__(self, url: str, account: Account, signer: DeliverySigner | None, timeout_s: float) -> None:
        self.url = url
        self._account = account
        self._signer = signer
        self._timeout_s = timeout_s
        self._wire = Wire()

    def close(self) -> None:
        self._wire.close()

    def make(self, registration: Json, entries: Sequence[Entry], replay_id: str = "") -> Delivery:
        """What the webhook of the registration would get for `entries`, of which there is one unless it takes
        batches."""
        parts = [self._part(registration, *entry) for entry in entries]
        batch = takes_batches(registration)
        body = b"[" + b",".join(part.body for part in parts) + b"]" if batch else parts[0].body
        headers = delivery_headers(
            [(part.event_id, part.origin) for part in parts],
            batch=batch,
            retry_count=0,
            delivery_id="",
            request_id=uuid4().hex,
        )
        if replay_id:
            headers.append((REPLAY_HEADER, replay_id))
        first = parts[0]
        signed = [*headers, *self._signatures(body)]
        return Delivery(entries[-1].position, first.event_id, first.event_code, len(parts), body, signed)

    def _part(self, registration: Json, position: str, event: bytes) -> _Part:
        members = json.loads(event)
        is_cloud_event = isinstance(members, dict) and "specversion" in members
        if not is_cloud_event:  # the journal has the data alone, of what a webhook gets in an envelope
            members = {"eventid": str(uuid5(NAMESPACE_URL, position)), "source": "", "type": ""}
            event = self._envelope(event, members["eventid"])
        event_id, code = str(members.get("eventid", "")), str(members.get("type", ""))
        origin = self._origin(registration, str(members.get("source", "")), code, is_cloud_event=is_cloud_event)
        return _Part(event, event_id, code, origin)

    def post(self, delivery: Delivery, retry_count: int) -> Outcome:
        """One attempt. Raises nothing."""
        headers = dict(delivery.headers) | {"x-adobe-delivery-id": str(uuid4())}
        if retry_count:
            headers["x-adobe-retry-count"] = str(retry_count)
        began_s = time.monotonic()
        try:
            reply = self._wire.send("POST", self.url, headers, delivery.body, self._timeout_s)
        except NoAnswer as error:
            cause = error.__cause__
            why = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
            return Outcome(0, round((time.monotonic() - began_s) * 1000), why)
        return Outcome(reply.status, round((time.monotonic() - began_s) * 1000), "")

    def _envelope(self, data: bytes, event_id: str) -> bytes:
        ids = {"event_id": event_id, "eventid": event_id}
        client = self._account.client_id
        recipient = json.dumps({"recipient_client_id": client, "recipientclientid": client}).encode()
        return json.dumps(ids).encode()[:-1] + b',"event":' + data + b"," + recipient[1:]

    def _origin(self, registration: Json, source: str, code: str, *, is_cloud_event: bool) -> Origin:
        provider_id = source.removeprefix("urn:uuid:")
        interests = registration["events_of_interest"]
        found: Json = next((each for each in interests if provider_id in (each.get("provider_id"), "")), {})
        return Origin(
            org=OrgId(self._account.consumer_org_id),
            provider_id=provider_id,
            event_code=code or str(found.get("event_code", "")),
            provider_name=str(found.get("provider", "")),
            provider_label=str(found.get("provider_label", "")),
            delivery_format="cloud_events_v1" if is_cloud_event else "adobe_io",
            client_id="",
        )

    def _signatures(self, body: bytes) -> Headers:
        secret = self._account.client_secret.encode()
        if self._signer is not None and secret:
            return [*self._signer.headers(body, secret), (LISTEN_HEADER, "signed")]
        if secret:
            return [("x-adobe-signature", hmac_signature(body, secret)), (LISTEN_HEADER, "hmac")]
        return [(LISTEN_HEADER, "unsigned")]
