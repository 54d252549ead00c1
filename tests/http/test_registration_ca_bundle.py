"""Registrations that bring their own certificate authorities: taken, shown, used for their webhook and for no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eventmill.clock import VirtualClock
from eventmill.model import Lane
from eventmill.testing import Authority, KeyPair, answering, receiving, response, server_context
from tests.http.delivery import REGISTRATIONS, delivering
from tests.http.world import World, registration_form, running

pytestmark = pytest.mark.anyio

MINUTE_MS = 60_000


async def put(world: World, registration: dict[str, Any], **members: Any) -> dict[str, Any]:
    interest = registration["events_of_interest"][0]
    topic = {name: interest[name] for name in ("provider_id", "event_code")}
    form = registration_form(topic, webhook_url=registration["webhook_url"], name=registration["name"], **members)
    answer = await world.call("PUT", f"{REGISTRATIONS}/{registration['registration_id']}", form)
    assert answer.status == 200, answer.body
    changed: dict[str, Any] = answer.json()
    return changed


async def patch(world: World, registration: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
    headers = {**world.auth(), "content-type": "application/json-patch+json"}
    at = f"{REGISTRATIONS}/{registration['registration_id']}"
    answer = await world.call("PATCH", at, list(operations), headers=headers)
    assert answer.status == 200, answer.body
    changed: dict[str, Any] = answer.json()
    return changed


async def test_bundle_is_stored_shown_and_used_for_the_challenge(tmp_path: Path) -> None:
    """Only the certificates of it, without what stands around them; an answer without one does not name it."""
    authority = Authority()
    async with running(tmp_path) as world:
        topic = await world.topic()
        created = await world.register(topic, ca_bundle=f"# our own\r\n{authority.pem}trailing")
        plain = await world.register(topic, name="Without")
        read = await world.call("GET", f"{REGISTRATIONS}/{created['registration_id']}")
    assert created["ca_bundle"] == read.json()["ca_bundle"] == authority.pem
    assert "ca_bundle" not in plain
    assert world.hooks.bundles == [authority.pem, ""]


async def test_changes_ask_the_webhook_again_with_the_new_bundle(tmp_path: Path) -> None:
    """PUT replaces it, or takes it away when it has none; PATCH sets and removes it like any member."""
    first, second = Authority().pem, Authority().pem
    async with running(tmp_path) as world:
        created = await world.register(await world.topic(), ca_bundle=first)
        replaced = await put(world, created, ca_bundle=second)
        removed = await put(world, created)
        added = await patch(world, created, {"op": "replace", "path": "/ca_bundle", "value": first})
        nulled = await patch(world, created, {"op": "replace", "path": "/ca_bundle", "value": None})
    assert [body.get("ca_bundle") for body in (replaced, removed, added, nulled)] == [second, None, first, None]
    assert world.hooks.bundles == [first, second, "", first, ""]


@pytest.mark.parametrize(
    ("bundle", "says"),
    [
        pytest.param("nonsense", "ca_bundle: holds no certificate in PEM", id="no PEM"),
        pytest.param("{key}", "ca_bundle: holds a private key", id="a key"),
        pytest.param("{good}{key}", "ca_bundle: holds a private key", id="certificate and key"),
        pytest.param("{good}{broken}", "ca_bundle: certificate 2: cannot be read", id="second broken"),
        pytest.param("{good}" * 17, "ca_bundle: must have at most 16 certificates, but has 17", id="too many"),
        pytest.param("x" * 32_769, "ca_bundle", id="too long"),
        pytest.param(7, "ca_bundle", id="no text"),
    ],
)
async def test_unusable_bundle_is_refused_by_name(tmp_path: Path, bundle: Any, says: str) -> None:
    """400 before anybody is asked; the text names member and certificate."""
    pair: KeyPair = Authority().issue()
    broken = pair.certificate[:60] + pair.certificate[64:]
    if isinstance(bundle, str):
        bundle = bundle.format(good=pair.certificate, broken=broken, key=pair.key)
    async with running(tmp_path) as world:
        form = registration_form(await world.topic(), ca_bundle=bundle)
        answer = await world.call("POST", REGISTRATIONS, form)
    assert answer.status == 400
    assert says in answer.json()["message"]
    assert world.hooks.asked == []


async def test_types_without_a_webhook_ignore_it(tmp_path: Path) -> None:
    """As they ignore the webhook's URL; nothing of it comes back when a webhook is set later."""
    async with running(tmp_path) as world:
        topic = await world.topic()
        journal = await world.register(topic, name="Journal", delivery_type="journal", ca_bundle="nonsense")
        assert "ca_bundle" not in journal
        created = await world.register(topic, ca_bundle=Authority().pem)
        stopped = await patch(world, created, {"op": "replace", "path": "/delivery_type", "value": "journal"})
        assert "ca_bundle" not in stopped
        again = await patch(
            world,
            created,
            {"op": "replace", "path": "/delivery_type", "value": "webhook"},
            {"op": "replace", "path": "/webhook_url", "value": "https://erp.example/hook"},
        )
        assert "ca_bundle" not in again


async def test_deliveries_use_the_bundle_of_the_moment(tmp_path: Path) -> None:
    """A change counts for retries that are scheduled already; a journal's go on with what its webhook had last."""
    authority = Authority()
    async with (
        delivering(tmp_path) as delivery,
        receiving(answering(response()), server_context(authority.issue())) as receiver,
    ):
        world, store, clock = delivery.world, delivery.world.store, delivery.world.parts.clock
        assert isinstance(clock, VirtualClock)
        topic = await world.topic()
        registration = await world.register(topic, webhook_url=receiver.url, ca_bundle=Authority().pem)
        lane = Lane(registration["id"])
        await world.publish(topic)
        await delivery.deliver.quiesce()
        (failed,) = await store.due_units(lane, 1 << 62, 10)
        assert failed.cause == 611

        await put(world, registration, ca_bundle=authority.pem)
        await patch(world, registration, {"op": "replace", "path": "/delivery_type", "value": "journal"})
        clock.advance(MINUTE_MS)
        await delivery.deliver.quiesce()
        assert await store.due_units(lane, 1 << 62, 10) == []
        assert [json.loads(request.body)["id"] for request in receiver.requests] == ["1"]


# --- The gateway's own certificate ---


async def test_client_certificate_is_open_to_read(tmp_path: Path) -> None:
    """The chain that is configured, to anybody, and never the key that stands in the same file; after a renewal, the
    new one."""
    authority = Authority()
    pair, renewed = authority.issue(), authority.issue()
    file = tmp_path / "client.pem"
    file.write_text(f"{pair.certificate}{pair.key}{authority.pem}")
    async with running(tmp_path, client_cert=str(file)) as world:
        answer = await world.call("GET", "/prod/client-certificate.pem", headers={})
        assert answer.status == 200
        assert answer.body.decode() == pair.certificate + authority.pem
        file.write_text(renewed.certificate)
        again = await world.call("GET", "/prod/client-certificate.pem", headers={})
        assert again.body.decode() == renewed.certificate


@pytest.mark.parametrize("name", ["", "missing.pem"])
async def test_without_a_client_certificate_there_is_none_to_read(tmp_path: Path, name: str) -> None:
    """Not configured, or unreadable just now."""
    setting = str(tmp_path / name) if name else ""
    async with running(tmp_path, client_cert=setting) as world:
        answer = await world.call("GET", "/prod/client-certificate.pem", headers={})
    assert (answer.status, answer.json()["reason"]) == (404, "not_found")
