"""The scenarios of the official JavaScript SDK (tests/e2e/test_js_sdk.py), with both Python clients."""

from __future__ import annotations

import asyncio
import base64
import os
import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventmill.client import (
    BadRequest,
    Check,
    ClientError,
    Conflict,
    NotFound,
    Reading,
    Refused,
    Registration,
    Unauthorized,
    Workspace,
    journal_url,
)
from tests.client.either import Either
from tests.e2e.harness.hook import Hook

pytestmark = pytest.mark.anyio

EVENT_CODE = "com.acme.stock.low"
MANY_EVENTS = 100_000 if os.environ.get("EVENTMILL_E2E") == "full" else 3000


async def refusal(call: Awaitable[Any], kind: type[Refused], status: int) -> Refused:
    """The error that the call ends with: of that class and status, with the id of the request."""
    with pytest.raises(kind) as caught:
        await call
    assert caught.value.status == status
    assert len(caught.value.request_id) == 32
    return caught.value


def metadata(event_code: str = EVENT_CODE, **members: str) -> dict[str, str]:
    return {"event_code": event_code, "label": "Stock low", "description": "An article runs out", **members}


def event(provider_id: str, event_id: str) -> dict[str, Any]:
    """Without `specversion`, as applications publish with the official SDK."""
    return {"id": event_id, "source": f"urn:uuid:{provider_id}", "type": EVENT_CODE, "data": {"sku": "A1"}}


async def make_topic(client: Either) -> str:
    """A provider with one event code; its id."""
    provider = await client.create_provider({"label": "Warehouse", "description": "Stock moves"})
    await client.create_event_metadata_for_provider(provider["id"], metadata())
    return str(provider["id"])


def registration_body(provider_id: str, name: str, delivery_type: str = "journal", url: str = "") -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": name,
        "description": "Orders what runs out",
        "delivery_type": delivery_type,
        "events_of_interest": [{"provider_id": provider_id, "event_code": EVENT_CODE}],
    }
    return {**body, **({"webhook_url": url} if url else {})}


async def test_providers_and_their_events(client: Either, env: dict[str, str]) -> None:
    """Providers, families and event metadata: created, listed by every filter, changed, deleted, refused."""
    families = [family["id"] for family in await client.get_provider_metadata()]
    assert "3rd_party_custom_events" in families
    kind = "blocking" if client.is_blocking else "asynchronous"
    async with Either(kind, {**env, "ACCESS_TOKEN": f"{env['ACCESS_TOKEN']}x", "CLIENT_SECRET": ""}) as stranger:
        await refusal(stranger.get_provider_metadata(), Unauthorized, 401)
    assert [each for each in await client.get_all_providers() if each["publisher"] == env["IMS_ORG_ID"]] == []

    created = await client.create_provider(
        {
            "label": "Warehouse",
            "description": "Stock moves",
            "docs_url": "https://docs.example/stock",
            "instance_id": "north",
            "organization_id": env["CONSUMER_ORG_ID"],
        }
    )
    provider_id = created["id"]
    assert created["source"] == f"urn:uuid:{provider_id}"
    assert (created["instance_id"], created["publisher"]) == ("north", env["IMS_ORG_ID"])
    assert created["event_delivery_format"] == "cloud_events_v1"
    conflict = await refusal(client.create_provider({"label": "Warehouse"}), Conflict, 409)
    assert conflict.conflicting_id == provider_id
    await refusal(client.create_provider({"description": "No label"}), BadRequest, 400)
    updated = await client.update_provider(provider_id, {"label": "Warehouse North", "description": "All moves"})
    assert updated["label"] == "Warehouse North"
    invalid = client.update_provider(provider_id, {"label": "Slash / is not allowed"})
    assert (await refusal(invalid, BadRequest, 400)).operation == "update_provider"

    template = base64.b64encode(b'{"sku":"A1"}').decode()
    made = await client.create_event_metadata_for_provider(provider_id, metadata(sample_event_template=template))
    assert made["event_code"] == EVENT_CODE
    await refusal(client.create_event_metadata_for_provider(provider_id, metadata()), Conflict, 409)
    changed = await client.update_event_metadata_for_provider(provider_id, EVENT_CODE, metadata(label="Stock is low"))
    other = client.update_event_metadata_for_provider(provider_id, EVENT_CODE, metadata("com.acme.other"))
    await refusal(other, BadRequest, 400)
    read = await client.get_event_metadata_for_provider(provider_id, EVENT_CODE)
    assert read == changed
    assert read["label"] == "Stock is low"
    assert await client.get_all_event_metadata_for_provider(provider_id) == [read]

    assert await client.get_provider(provider_id) == updated
    with_events = await client.get_provider(provider_id, fetch_event_metadata=True)
    assert with_events["_embedded"]["eventmetadata"] == [read]
    for filters in (
        {},
        {"fetch_event_metadata": True},
        {"provider_metadata_id": "3rd_party_custom_events", "instance_id": "north"},
        {"provider_metadata_ids": ["3rd_party_custom_events", "aem"]},
    ):
        listed = await client.get_all_providers(**filters)
        [found] = [each for each in listed if each["id"] == provider_id]
        assert ("_embedded" in found) == ("fetch_event_metadata" in filters)
    south = client.get_all_providers(provider_metadata_id="3rd_party_custom_events", instance_id="south")
    await refusal(south, NotFound, 404)
    with pytest.raises(ClientError, match="only one of"):
        await client.get_all_providers(provider_metadata_id="aem", provider_metadata_ids=["aem"])
    await refusal(client.get_all_providers("no-such-organisation"), NotFound, 404)

    await client.create_event_metadata_for_provider(provider_id, metadata("com.acme.stock.out"))
    assert await client.delete_event_metadata(provider_id, EVENT_CODE) is None
    await refusal(client.get_event_metadata_for_provider(provider_id, EVENT_CODE), NotFound, 404)
    await refusal(client.delete_event_metadata(provider_id, EVENT_CODE), NotFound, 404)
    assert await client.delete_all_event_metadata(provider_id) is None
    assert await client.get_all_event_metadata_for_provider(provider_id) == []
    assert await client.delete_provider(provider_id) is None
    await refusal(client.get_provider(provider_id), NotFound, 404)
    await refusal(client.get_all_event_metadata_for_provider(provider_id), NotFound, 404)
    await refusal(client.delete_provider(provider_id), NotFound, 404)


async def test_registrations(client: Either, env: dict[str, str]) -> None:
    """Registrations of each delivery type: created, listed, paged over the organisation, disabled, deleted, refused."""
    assert await client.get_all_registrations_for_workspace() == []
    provider_id = await make_topic(client)
    async with Hook() as hook:
        url = f"{hook.url}/hook"
        journal = await client.create_registration(registration_body(provider_id, "Journal reader"))
        webhook = await client.create_registration(registration_body(provider_id, "Single hook", "WEBHOOK", url))
        batch = await client.create_registration(registration_body(provider_id, "Batch hook", "webhook_batch", url))
        both = (journal, webhook, batch)
        ids = {each["registration_id"] for each in both}
        assert [each["delivery_type"] for each in both] == ["journal", "webhook", "webhook_batch"]
        assert [each["webhook_status"] for each in both] == ["verified"] * 3
        assert {each["client_id"] for each in both} == {env["CLIENT_ID"]}
        again = client.create_registration(registration_body(provider_id, "Single hook", "webhook", url))
        conflict = await refusal(again, Conflict, 409)
        assert conflict.conflicting_id == webhook["registration_id"]
        await refusal(client.create_registration(registration_body(provider_id, "No URL", "webhook")), BadRequest, 400)

        id = webhook["registration_id"]
        assert await client.get_registration(id) == webhook
        quiet = {**registration_body(provider_id, "Quiet hook", "webhook", url), "enabled": False}
        disabled = await client.update_registration(id, quiet)
        assert (disabled["enabled"], disabled["name"]) == (False, "Quiet hook")
        enabled = await client.update_registration(id, registration_body(provider_id, "Single hook", "webhook", url))
        assert (enabled["enabled"], enabled["name"]) == (True, "Single hook")
    await refusal(client.update_registration(id, {"name": "Only a name"}), BadRequest, 400)
    listed = await client.get_all_registrations_for_workspace()
    assert {each["registration_id"] for each in listed} == ids
    elsewhere = Workspace(env["CONSUMER_ORG_ID"], env["PROJECT_ID"], "no-such-workspace")
    await refusal(client.get_all_registrations_for_workspace(elsewhere), NotFound, 404)

    pages = [await client.get_all_registrations_for_org(page=page, size=2) for page in (0, 1)]
    found = [each["registration_id"] for page in pages for each in page.registrations]
    assert len(found) == 3 and set(found) == ids
    assert [(page.number, page.size, page.total_elements, page.total_pages) for page in pages] == [
        (0, 2, 3, 2),
        (1, 2, 3, 2),
    ]
    assert [page.has_next for page in pages] == [True, False]
    assert len((await client.get_all_registrations_for_org()).registrations) == 3
    await refusal(client.get_all_registrations_for_org("no-such-organisation"), NotFound, 404)

    assert await client.delete_registration(id) is None
    await refusal(client.get_registration(id), NotFound, 404)
    await refusal(client.delete_registration(id), NotFound, 404)


async def test_publish_and_read_the_journal(client: Either, env: dict[str, str]) -> None:
    """Publish without `specversion`; read by links, positions, limits and iterators; 204 and `retry-after`."""
    provider_id = await make_topic(client)
    assert await client.publish_event(event(provider_id, "order-0")) is False
    registration = await client.create_registration(registration_body(provider_id, "Stock reader"))
    url = journal_url(registration)

    idle = await client.get_events_from_journal(url, latest=True)
    assert (idle.events, idle.retry_after_s) == ([], 10)
    assert await client.publish_event(event(provider_id, "order-1")) is True
    with_latest = await client.get_events_from_journal(idle.next, latest=True)
    [entry] = with_latest.events
    assert (entry["event"]["id"], entry["event"]["data"]) == ("order-1", {"sku": "A1"})
    assert entry["event"]["recipient_client_id"] == env["CLIENT_ID"]
    assert UUID(entry["event"]["eventid"]).version == 7
    without_latest = await client.get_events_from_journal(idle.next)
    assert without_latest.events == with_latest.events
    end = await client.get_events_from_journal(without_latest.next)
    assert (end.events, end.retry_after_s, end.waited) == ([], 10, False)

    for event_id in ("order-2", "order-3"):
        await client.publish_event(event(provider_id, event_id))
    since = await client.get_events_from_journal(url, since=entry["position"])
    limited = await client.get_events_from_journal(url, limit=2)
    after_limited = await client.get_events_from_journal(limited.next)
    read = [[each["event"]["id"] for each in page.events] for page in (since, limited, after_limited)]
    assert read == [["order-2", "order-3"], ["order-1", "order-2"], ["order-3"]]
    assert len(limited.headers["x-request-id"]) == 32
    await refusal(client.get_events_from_journal(url, since="nowhere"), BadRequest, 400)

    assert await client.take(3, registration, Reading()) == ["order-1", "order-2", "order-3"]
    assert await client.take(2, url, Reading(since=entry["position"])) == ["order-2", "order-3"]
    assert await _taken_while_publishing(client, registration, provider_id) == ["order-4"]
    await refusal(client.publish_event(event("nobody", "order-5")), NotFound, 404)
    await refusal(client.get_events_from_journal(f"{url}-of-nobody"), NotFound, 404)


async def _taken_while_publishing(client: Either, registration: Registration, provider_id: str) -> list[str]:
    """What is published while a reader waits at the end of the journal."""
    page = await client.get_events_from_journal(journal_url(registration), latest=True)
    reading = asyncio.create_task(client.take(1, page.next, Reading(limit=1, interval_s=0.05)))
    await client.publish_event(event(provider_id, "order-4"))
    return await reading


async def test_draining_a_long_journal(client: Either) -> None:
    """`read_journal` gives every event of a long journal once, in order, and ends when it is asked to."""
    provider_id = await make_topic(client)
    registration = await client.create_registration(registration_body(provider_id, "Stock reader"))
    await publish_numbered(client, provider_id, MANY_EVENTS)
    read = await client.take(-1, registration, Reading(until_idle=True))
    assert read == [str(number) for number in range(MANY_EVENTS)]


async def publish_numbered(client: Either, provider_id: str, count: int) -> None:
    """Events with the ids 0, 1, 2 and so on, in that order; by a harness, in batches."""
    from tests.e2e.harness.http_client import Client
    from tests.e2e.harness.tenant import Tenant, Topic

    account = client.client.account
    env = {name: getattr(account, name) for name in account.__dataclass_fields__}
    async with Client(int(account.api_url.rsplit(":", 1)[1])) as http:
        await Tenant(http, env).publish_numbered(Topic(provider_id, EVENT_CODE), count)


async def test_sdk_accepts_our_signatures(client: Either, env: dict[str, str]) -> None:
    """`verify_digital_signature` is true for a delivery as it came, by either signature, and for nothing else.

    Unlike the official SDK it knows batches."""
    provider_id = await make_topic(client)
    async with Hook() as hook:
        for name, kind in (("Single hook", "webhook"), ("Batch hook", "webhook_batch")):
            await client.create_registration(registration_body(provider_id, name, kind, f"{hook.url}/{kind}"))
        await client.publish_event(event(provider_id, "order-771"))
        await hook.until_posts(2)
    [single], [batch] = hook.posts_at("/webhook"), hook.posts_at("/webhook_batch")
    body, headers = single.body, single.headers
    wrong = base64.b64encode(bytes(256)).decode()
    second_good = {**headers, "x-adobe-digital-signature-1": wrong}

    async def failed(body: bytes | str, headers: dict[str, str]) -> Check | None:
        verdict: Check | None = (await client.verify_digital_signature(body, headers)).failed
        return verdict

    assert await failed(body, headers) is None
    assert await failed(body.decode(), {name.title(): value for name, value in headers.items()}) is None
    assert await failed(base64.b64encode(body), headers) is None
    assert await failed(body, second_good) is None
    assert await failed(body.replace(b"A1", b"A2"), headers) is Check.SIGNATURE
    assert await failed(body, {**second_good, "x-adobe-digital-signature-2": wrong}) is Check.SIGNATURE
    assert await failed(b"[" + body + b"]", headers) is Check.SIGNATURE
    kind = "blocking" if client.is_blocking else "asynchronous"
    async with Either(kind, {**env, "CLIENT_ID": "somebody-else"}) as other:
        assert (await other.verify_digital_signature(body, headers)).failed is Check.RECIPIENT
    verified = await client.verify_digital_signature(batch.body, batch.headers)
    assert verified and [each["id"] for each in verified.events] == ["order-771"]


@pytest.mark.parametrize("kind", ["blocking", "asynchronous"])
async def test_tokens_are_fetched_and_replaced(kind: str, env: dict[str, str]) -> None:
    """With the credential's secret alone; and in place of a token that the service refuses."""
    for token in ("", f"{env['ACCESS_TOKEN']}x"):
        async with Either(kind, {**env, "ACCESS_TOKEN": token}) as client:
            assert await client.get_all_registrations_for_workspace() == []
    async with Either(kind, {**env, "ACCESS_TOKEN": "", "CLIENT_SECRET": "hunter2"}) as stranger:
        with pytest.raises(Refused) as caught:
            await stranger.get_provider_metadata()
    assert caught.value.operation == "access_token" and caught.value.status in (400, 401)
    assert "hunter2" not in str(caught.value)


def test_each_scenario_of_the_official_sdk_is_here() -> None:
    """By its name."""
    theirs = Path(__file__).parents[1] / "e2e" / "test_js_sdk.py"
    named = [re.findall(r"^async def (test_\w+)", path.read_text(), re.MULTILINE) for path in (theirs, Path(__file__))]
    assert len(named[0]) >= 5 and set(named[0]) <= set(named[1])
