"""The verification example of the demo: takes what the gateway signs, refuses everything else, and says why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from eventmill.core.signing import DeliverySigner, generate_pair
from eventmill.demo.verify import NotVerifiedError, Verifier

CLIENT_ID, SECRET = "5c1d0000000000000000000000000000", "p8e-secret"
KEY_IDS = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
PATHS = tuple(f"/prod/keys/pub-key-{key_id}.pem" for key_id in KEY_IDS)
PAIRS = (generate_pair(), generate_pair())
SIGNER = DeliverySigner(((KEY_IDS[0], PAIRS[0][0]), (KEY_IDS[1], PAIRS[1][0])))


class KeyHost:
    """Serves the public keys, and remembers what it was asked for."""

    def __init__(self, missing: str = "") -> None:
        self.asked: list[str] = []
        self._files = {path: pair[1].encode() for path, pair in zip(PATHS, PAIRS, strict=True) if path != missing}

    async def fetch(self, path: str) -> bytes:
        self.asked.append(path)
        return self._files[path]


def event(event_id: str = "e-1", **members: Any) -> dict[str, Any]:
    """In the `adobe_io` envelope."""
    return {"event_id": event_id, "event": {"body": {"n": 1}}, "recipient_client_id": CLIENT_ID, **members}


def deliver(content: Any, event_ids: str = "e-1", secret: str = SECRET) -> tuple[dict[str, str], bytes]:
    body = json.dumps(content).encode()
    return {**dict(SIGNER.headers(body, secret.encode())), "x-adobe-event-id": event_ids}, body


def verify(headers: Mapping[str, str], body: bytes, host: KeyHost | None = None) -> list[dict[str, Any]]:
    return asyncio.run(Verifier(CLIENT_ID, SECRET, (host or KeyHost()).fetch).verify(headers, body))


def test_a_single_delivery() -> None:
    """The event comes back as it was sent."""
    assert verify(*deliver(event())) == [event()]


def test_a_cloud_event_with_the_new_spellings_only() -> None:
    """The spellings with underscores will go one day."""
    content = {"specversion": "1.0", "id": "1", "eventid": "e-1", "recipientclientid": CLIENT_ID, "data": {"n": 1}}

    assert verify(*deliver(content)) == [content]


def test_a_batch() -> None:
    """An array is one signed body; its header lists the distinct ids in order."""
    batch = [event("e-1"), event("e-2"), event("e-1")]

    assert verify(*deliver(batch, "e-1,e-2")) == batch


@pytest.mark.parametrize("number", [1, 2])
def test_one_good_signature_is_enough(number: int) -> None:
    """While a key is being replaced, a receiver may know only the other one."""
    headers, body = deliver(event())
    headers[f"x-adobe-digital-signature-{number}"] = "AAAA"

    assert verify(headers, body) == [event()]
    assert verify(*deliver(event()), KeyHost(missing=PATHS[number - 1])) == [event()]


def test_keys_are_fetched_once() -> None:
    """Not for every delivery."""
    host = KeyHost()

    async def verify_twice() -> None:
        verifier = Verifier(CLIENT_ID, SECRET, host.fetch)
        for _ in range(2):
            await verifier.verify(*deliver(event()))

    asyncio.run(verify_twice())
    assert host.asked == list(PATHS)


def test_a_changed_body() -> None:
    """One byte is enough."""
    headers, body = deliver(event())

    with pytest.raises(NotVerifiedError, match="neither digital signature"):
        verify(headers, body.replace(b'"n": 1', b'"n": 2'))


@pytest.mark.parametrize("signature", ["", "not base64!", "AAAA"])
def test_unusable_signatures(signature: str) -> None:
    """Whatever stands in the headers, it is a refusal and not a crash."""
    headers, body = deliver(event())
    headers |= {f"x-adobe-digital-signature-{number}": signature for number in (1, 2)}

    with pytest.raises(NotVerifiedError, match="neither digital signature"):
        verify(headers, body)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "@keys.example.com/mine.pem",
        "//keys.example.com/prod/keys/pub-key-11111111-1111-4111-8111-111111111111.pem",
        "/prod/keys/../../mine.pem",
        PATHS[0] + "\n",
    ],
)
def test_keys_from_elsewhere_are_not_even_asked_for(path: str) -> None:
    """The path comes from whoever sent the request; put behind a host name it could lead anywhere."""
    host = KeyHost()
    headers, body = deliver(event())
    headers |= {f"x-adobe-public-key{number}-path": path for number in (1, 2)}

    with pytest.raises(NotVerifiedError, match="no key of the gateway"):
        verify(headers, body, host)
    assert host.asked == []


def test_a_key_that_the_key_host_does_not_have() -> None:
    """A path of the right form may still name nothing."""
    headers, body = deliver(event())
    headers |= {f"x-adobe-public-key{number}-path": PATHS[0].replace("1", "9") for number in (1, 2)}

    with pytest.raises(NotVerifiedError, match="no key of the gateway"):
        verify(headers, body)


def test_another_client_secret() -> None:
    """Signed by the gateway, but for somebody else's credential."""
    with pytest.raises(NotVerifiedError, match="x-adobe-signature"):
        verify(*deliver(event(), secret="another"))


@pytest.mark.parametrize("content", [event(recipient_client_id="other"), [event(), event(recipient_client_id="other")]])
def test_another_recipient(content: Any) -> None:
    """Every event of a batch must be addressed to this credential."""
    with pytest.raises(NotVerifiedError, match="another client id"):
        verify(*deliver(content))


def test_another_event_id_in_the_header() -> None:
    """The header is not signed."""
    with pytest.raises(NotVerifiedError, match="x-adobe-event-id"):
        verify(*deliver(event(), "e-2"))
