"""What a webhook receives, to the byte, from a gateway whose front and delivery run as processes apart."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.hook import Gate, Hook, Received
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.production import NO_LIMITS, OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Tenant

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
CODE = "com.acme.stock.low"
ODD_DATA = (
    b'{ "z" : 1.0 ,\n\t"a":[ 12345678901234567890123456789, -0, 1E+2, 1.10 ],"z":{"dup":true},'
    b'"escaped":"\\u00e9\\ud83d\\ude00\\/\\"", "plain":"\xc3\xa9\xf0\x9f\x98\x80","":null }'
)
"""White space, key order, repeated keys, numbers and escapes that no JSON library would write back as they were."""


@pytest.fixture(scope="module")
def shared(start_shared_gateway: StartGateway, tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    bootstrap = write_bootstrap(tmp_path_factory.mktemp("bootstrap"))
    return start_shared_gateway(
        "--dev", "--auth", "strict", "--bootstrap",
        str(bootstrap),
        variables={**OPEN_LOOPBACK, **NO_LIMITS, "EVENTMILL_WEBHOOK_BATCH_FLUSH_MS": "200"},
    )


@pytest.fixture(scope="module")
def shared_env(shared: Gateway) -> dict[str, str]:
    return shared.env()


@pytest.fixture
async def tenant(shared: Gateway, shared_env: dict[str, str]) -> AsyncIterator[Tenant]:
    async with Client(shared.port) as client:
        yield Tenant(client, shared_env)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with Hook() as listening:
        yield listening


async def assert_signed(tenant: Tenant, post: Received) -> None:
    """Both RSA signatures and the HMAC hold for the very bytes received, and for no others."""
    assert post.headers["x-adobe-public-key1-path"] != post.headers["x-adobe-public-key2-path"]
    for number in "12":
        path = post.headers[f"x-adobe-public-key{number}-path"]
        assert re.fullmatch(r"/prod/keys/pub-key-[0-9a-f-]{36}\.pem", path)
        pem = await tenant.client.call("GET", tenant.env["keys_url"] + path)
        assert pem.status == 200
        assert re.fullmatch(rb"-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+-----END PUBLIC KEY-----\n", pem.body)
        key = load_pem_public_key(pem.body)
        assert isinstance(key, RSAPublicKey) and key.key_size == 2048
        signature = base64.b64decode(post.headers[f"x-adobe-digital-signature-{number}"], validate=True)
        key.verify(signature, post.body, PKCS1v15(), SHA256())
        with pytest.raises(InvalidSignature):
            key.verify(signature, post.body + b" ", PKCS1v15(), SHA256())
    assert post.headers["x-adobe-signature"] == shared_secret_signature(tenant, post.body)


def shared_secret_signature(tenant: Tenant, body: bytes) -> str:
    return base64.b64encode(hmac.digest(tenant.env["client_secret"].encode(), body, hashlib.sha256)).decode()


async def test_single_delivery(tenant: Tenant, hook: Hook) -> None:
    """Headers, the four id fields, both signatures, the HMAC, and the data of one event on its first attempt."""
    topic = await tenant.topic(CODE, label="Warehouse one", instance_id="warehouse-1")
    await tenant.register(topic, url=f"{hook.url}/hook?shop=1")
    event_id = await tenant.publish(topic, data=ODD_DATA)
    [post] = await hook.until_posts(1)

    assert (post.path, post.query) == ("/hook", "shop=1")
    event = json.loads(post.body)
    headers = post.headers
    assert headers["content-type"] == "application/cloudevents+json; charset=UTF-8"
    assert headers["accept-encoding"] == "deflate,compress,identity"
    assert headers["user-agent"] == "Adobe/1.0"
    assert headers["x-adobe-event-code"] == CODE
    assert headers["x-adobe-event-id"] == event["eventid"]
    assert headers["x-adobe-provider"] == f"3rd_party_custom_events_{tenant.env['ims_org_id']}_warehouse-1"
    assert re.fullmatch("[A-Za-z0-9]{32}", headers["x-request-id"])
    assert str(UUID(headers["x-adobe-delivery-id"])) == headers["x-adobe-delivery-id"]
    assert headers["x-adobe-delivery-id"] != event["eventid"]
    assert "x-adobe-retry-count" not in headers

    assert UUID(event["eventid"]).version == 7
    assert event["event_id"] == event["eventid"]
    assert event["recipientclientid"] == event["recipient_client_id"] == tenant.env["client_id"]
    assert (event["specversion"], event["id"]) == ("1.0", event_id)
    assert (event["source"], event["type"]) == (topic.source, CODE)
    assert "time" in event
    assert b'"data":' + ODD_DATA in post.body
    await assert_signed(tenant, post)


async def test_challenge_is_signed(tenant: Tenant, hook: Hook) -> None:
    """The challenge GET adds its value to the URL's query and bears the HMAC of an empty body."""
    registration = await tenant.register(await tenant.topic(), url=f"{hook.url}/hook?shop=1")

    [challenge] = hook.challenges
    assert re.fullmatch("shop=1&challenge=[0-9a-f-]{36}", challenge.query)
    assert challenge.headers["x-adobe-signature"] == shared_secret_signature(tenant, b"")
    assert registration.body["webhook_status"] == "verified"


async def test_journal_and_webhook_have_the_same_event(tenant: Tenant, hook: Hook) -> None:
    """A publisher's own attributes and bytes come out alike on both ways; forged id fields are replaced."""
    topic = await tenant.topic()
    registration = await tenant.register(topic, url=f"{hook.url}/hook")
    forged = b'"eventid":"mine","event_id":"mine","recipientclientid":"mine","recipient_client_id":"mine"'
    head = f'"source":"{topic.source}", "type":"{CODE}","acmetenant":"eu" ,"time":"2026-03-01T10:00:00Z"'.encode()
    event = b'{"data":' + ODD_DATA + b', "id":"odd",' + forged + b"," + head + b"}"
    assert (await tenant.post_event(event)).status == 200
    [post] = await hook.until_posts(1)

    assert b'"data":' + ODD_DATA in post.body
    assert b"mine" not in post.body
    delivered = json.loads(post.body)
    assert (delivered["acmetenant"], delivered["time"]) == ("eu", "2026-03-01T10:00:00Z")
    page = await tenant.call("GET", registration.link("rel:events"))
    assert post.body in page.body
    assert page.json()["events"][0]["event"] == delivered


async def test_batches(tenant: Tenant, hook: Hook) -> None:
    """Arrays of at most 20 events, every event once, signed as a whole; headers list distinct values in order."""
    low, high = await tenant.topic("com.acme.low"), await tenant.topic("com.acme.high")
    await tenant.register(low, high, url=f"{hook.url}/hook", delivery_type="webhook_batch")
    published = await asyncio.gather(*(tenant.publish(topic) for topic in (low, high) * 24))
    await hook.until(lambda: sum(len(json.loads(post.body)) for post in hook.posts) >= len(published))

    batches = [json.loads(post.body) for post in hook.posts]
    assert max(len(batch) for batch in batches) <= 20
    assert len(batches) < len(published)
    assert sorted(event["id"] for batch in batches for event in batch) == sorted(published)
    for post, batch in zip(hook.posts, batches, strict=True):
        assert post.headers["content-type"] == "application/json; charset=utf-8"
        assert post.headers["x-adobe-event-id"] == ",".join(event["eventid"] for event in batch)
        assert post.headers["x-adobe-event-code"] == ",".join(dict.fromkeys(event["type"] for event in batch))
        for event in batch:
            assert event["event_id"] == event["eventid"]
            assert event["recipientclientid"] == event["recipient_client_id"] == tenant.env["client_id"]
    await assert_signed(tenant, max(hook.posts, key=lambda post: len(post.body)))


async def test_batch_of_one_is_an_array(tenant: Tenant, hook: Hook) -> None:
    """A lone event goes out when the flush time is up, as an array of one."""
    topic = await tenant.topic()
    await tenant.register(topic, url=f"{hook.url}/hook", delivery_type="webhook_batch")
    event_id = await tenant.publish(topic, data=ODD_DATA)
    [post] = await hook.until_posts(1)

    [event] = json.loads(post.body)
    assert event["id"] == event_id
    assert b'"data":' + ODD_DATA in post.body
    assert post.headers["content-type"] == "application/json; charset=utf-8"


async def test_batches_are_bounded_in_bytes(tenant: Tenant, hook: Hook) -> None:
    """No batch of several events is larger than 2 MiB."""
    topic = await tenant.topic()
    await tenant.register(topic, url=f"{hook.url}/hook", delivery_type="webhook_batch")
    data = b'"' + b"x" * 700_000 + b'"'
    await asyncio.gather(*(tenant.publish(topic, data=data) for _ in range(7)))
    await hook.until(lambda: sum(post.body.count(b'"eventid"') for post in hook.posts) >= 7)

    sizes = sorted(len(post.body) for post in hook.posts)
    assert sizes[-1] <= 2 * MIB
    assert sizes[-1] > 2 * 700_000


async def test_legacy_envelope(tenant: Tenant, hook: Hook) -> None:
    """An `adobe_io` provider's event is enveloped for the webhook and bare in the journal."""
    topic = await tenant.topic(event_delivery_format="adobe_io")
    registration = await tenant.register(topic, url=f"{hook.url}/hook")
    await tenant.publish(topic, data=ODD_DATA)
    [post] = await hook.until_posts(1)

    assert post.headers["content-type"] == "application/json; charset=utf-8"
    assert b'"event":' + ODD_DATA in post.body
    envelope = json.loads(post.body)
    assert set(envelope) == {"event_id", "eventid", "event", "recipient_client_id", "recipientclientid"}
    assert envelope["event_id"] == envelope["eventid"] == post.headers["x-adobe-event-id"]
    assert envelope["recipient_client_id"] == envelope["recipientclientid"] == tenant.env["client_id"]
    page = await tenant.call("GET", registration.link("rel:events"))
    assert b'"event":' + ODD_DATA in page.body
    assert b"recipient" not in page.body
    await assert_signed(tenant, post)


async def test_each_subscriber_gets_its_own_copy(tenant: Tenant, shared: Gateway, hook: Hook) -> None:
    """Two registrations, of two clients: one event id, each with its own recipient and shared secret."""
    other_env = await asyncio.to_thread(shared.env, "--workspace", "3002")
    other = Tenant(tenant.client, other_env)
    topic = await tenant.topic()
    await tenant.register(topic, url=f"{hook.url}/first")
    await other.register(topic, url=f"{hook.url}/second")
    await tenant.publish(topic)
    await hook.until_posts(2)

    [first], [second] = hook.posts_at("/first"), hook.posts_at("/second")
    assert first.headers["x-adobe-event-id"] == second.headers["x-adobe-event-id"]
    assert json.loads(first.body)["recipient_client_id"] == tenant.env["client_id"]
    assert json.loads(second.body)["recipient_client_id"] == other_env["client_id"] != tenant.env["client_id"]
    await assert_signed(tenant, first)
    await assert_signed(other, second)


async def test_slow_endpoint_delays_no_other(tenant: Tenant, hook: Hook) -> None:
    """While one endpoint holds every request open, another gets all its events; the slow one has its window only."""
    gate = Gate()
    async with Hook(gate) as slow:
        topic = await tenant.topic()
        await tenant.register(topic, url=f"{slow.url}/hook")
        await tenant.register(topic, url=f"{hook.url}/hook")
        published = await asyncio.gather(*(tenant.publish(topic) for _ in range(60)))
        await hook.until(lambda: {json.loads(post.body)["id"] for post in hook.posts} == set(published))
        assert len(slow.posts) <= 16

        gate.opened.set()
        await slow.until(lambda: {json.loads(post.body)["id"] for post in slow.posts} == set(published))
