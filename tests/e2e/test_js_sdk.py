"""The official JavaScript SDK, unchanged from npm, against a real gateway: every method that it has.

A long journal has 3,000 events in short form, 100,000 in full (`EVENTMILL_E2E=full`).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.fidelity import PAGE, Suite, check_fidelity, npm_package, outcome_rows, tables_of
from tests.e2e.harness.hook import Hook
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.tenant import Tenant

pytestmark = pytest.mark.anyio

NPM = Path(__file__).parent / "npm"
SDK = npm_package(NPM, "@adobe/aio-lib-events")
EVENT_CODE = "com.acme.stock.low"
MANY_EVENTS = 100_000 if os.environ.get("EVENTMILL_E2E") == "full" else 3000


@pytest.fixture
def gateway(start_gateway: StartGateway) -> Gateway:
    """Tokens are checked here as they are in production."""
    return start_gateway("--dev", "--auth", "strict")


async def run_node(*arguments: str, variables: Mapping[str, str], stdin: str = "", seconds_max: float = 60) -> Any:
    """Run a script of tests/e2e/npm, which sees `variables` and `PATH`, nothing else; the JSON that it says last.

    The SDK itself logs to standard output, before that.
    """
    process = await asyncio.create_subprocess_exec(
        "node",
        *arguments,
        cwd=NPM,
        env={"PATH": os.environ["PATH"], **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(seconds_max):
        told, complaints = await process.communicate(stdin.encode())
    assert process.returncode == 0, complaints.decode()
    return json.loads(told.splitlines()[-1])


def exported(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that `eval "$(eventmill env)"` sets."""
    return {name.upper(): value for name, value in env.items()}


def refused(answer: Mapping[str, Any], code: str, status: int) -> bool:
    """Whether the SDK raised that error for that status, with the reason phrase and the id of the request."""
    assert answer["code"] == code, answer
    assert f"{status} - " in answer["message"] and len(answer["requestId"]) == 32, answer
    return True


async def test_providers_and_their_events(gateway: Gateway, env: dict[str, str]) -> None:
    """Providers, families and event metadata: created, listed by every filter, changed, deleted, refused."""
    story = await run_node("catalogue-scenario.js", variables=exported(env))
    created = story["created"]
    provider_id = created["id"]

    families = [family["id"] for family in story["families"]["_embedded"]["providermetadata"]]
    assert "3rd_party_custom_events" in families
    assert refused(story["badToken"], "ERROR_GET_ALL_PROVIDER_METADATA", 401)
    own = {"publisher": env["ims_org_id"]}
    assert [each for each in story["none"]["_embedded"]["providers"] if own.items() <= each.items()] == []

    assert created["source"] == f"urn:uuid:{provider_id}"
    assert (created["instance_id"], created["publisher"]) == ("north", env["ims_org_id"])
    assert created["event_delivery_format"] == "cloud_events_v1"
    assert refused(story["conflict"], "ERROR_CREATE_PROVIDER", 409)
    assert story["conflict"]["conflictingId"] == provider_id
    assert "Conflict" in story["conflict"]["message"]
    assert refused(story["invalid"], "ERROR_CREATE_PROVIDER", 400)
    assert story["updated"]["label"] == "Warehouse North"
    assert refused(story["updateInvalid"], "ERROR_UPDATE_PROVIDER", 400)

    assert story["metadata"]["event_code"] == EVENT_CODE
    assert refused(story["metadataConflict"], "ERROR_CREATE_EVENTMETADATA", 409)
    assert refused(story["metadataOtherCode"], "ERROR_UPDATE_EVENTMETADATA", 400)
    assert story["metadataRead"] == story["metadataUpdated"]
    assert story["metadataRead"]["label"] == "Stock is low"
    assert story["metadataList"]["_embedded"]["eventmetadata"] == [story["metadataRead"]]

    assert story["read"] == story["updated"]
    assert story["readWithEvents"]["_embedded"]["eventmetadata"] == [story["metadataRead"]]
    for listed in ("all", "allWithEvents", "byInstance", "byFamilies"):
        [found] = [each for each in story[listed]["_embedded"]["providers"] if each["id"] == provider_id]
        assert ("_embedded" in found) == (listed == "allWithEvents")
    assert refused(story["byOtherInstance"], "ERROR_GET_ALL_PROVIDERS", 404)
    assert story["bothFilters"]["code"] == "ERROR_GET_ALL_PROVIDERS"
    assert refused(story["unknownOrg"], "ERROR_GET_ALL_PROVIDERS", 404)

    assert {"oneDeleted", "allDeleted", "deleted"}.isdisjoint(story)  # undefined: the answer was 204
    assert story["metadataEmpty"]["_embedded"]["eventmetadata"] == []
    assert refused(story["oneGone"], "ERROR_GET_EVENTMETADATA", 404)
    assert refused(story["deleteGone"], "ERROR_DELETE_EVENTMETADATA", 404)
    assert refused(story["gone"], "ERROR_GET_PROVIDER", 404)
    assert refused(story["listOfGone"], "ERROR_GET_ALL_EVENTMETADATA", 404)
    assert refused(story["deletedTwice"], "ERROR_DELETE_PROVIDER", 404)
    check_fidelity(Suite(SDK, "Providers and event metadata", outcome_rows(story["outcomes"])))


async def test_registrations(gateway: Gateway, env: dict[str, str]) -> None:
    """Registrations of each delivery type: created, listed, paged over the organisation, disabled, deleted, refused."""
    async with Hook() as hook:
        variables = {**exported(env), "HOOK_URL": f"{hook.url}/hook"}
        story = await run_node("registrations-scenario.js", variables=variables)
    journal, webhook, batch = story["journal"], story["webhook"], story["batch"]
    ids = {each["registration_id"] for each in (journal, webhook, batch)}

    assert story["none"]["_embedded"]["registrations"] == []
    assert [each["delivery_type"] for each in (journal, webhook, batch)] == ["journal", "webhook", "webhook_batch"]
    assert [each["webhook_status"] for each in (journal, webhook, batch)] == ["verified"] * 3
    assert refused(story["conflict"], "ERROR_CREATE_REGISTRATION", 409)
    assert story["conflict"]["conflictingId"] == webhook["registration_id"]
    assert refused(story["withoutUrl"], "ERROR_CREATE_REGISTRATION", 400)

    assert story["read"] == webhook
    assert (story["disabled"]["enabled"], story["disabled"]["name"]) == (False, "Quiet hook")
    assert (story["enabled"]["enabled"], story["enabled"]["name"]) == (True, "Single hook")
    assert refused(story["updateInvalid"], "ERROR_UPDATE_REGISTRATION", 400)
    assert {each["registration_id"] for each in story["list"]["_embedded"]["registrations"]} == ids
    assert refused(story["unknownWorkspace"], "ERROR_GET_ALL_REGISTRATION", 404)

    pages = [story[page] for page in ("firstPage", "lastPage")]
    listed = [each["registration_id"] for page in pages for each in page["_embedded"]["registrations"]]
    assert len(listed) == 3 and set(listed) == ids
    assert [page["page"]["number"] for page in pages] == [0, 1]
    assert all(page["page"]["totalElements"] == 3 and page["page"]["size"] == 2 for page in pages)
    assert "next" in pages[0]["_links"] and "next" not in pages[1]["_links"]
    assert len(story["page"]["_embedded"]["registrations"]) == 3
    assert refused(story["unknownOrg"], "ERROR_GET_ALL_REGISTRATIONS_FOR_ORG", 404)

    assert "deleted" not in story
    assert refused(story["gone"], "ERROR_GET_REGISTRATION", 404)
    assert refused(story["deletedTwice"], "ERROR_DELETE_REGISTRATION", 404)
    shown = {name: told for name, told in story["outcomes"].items() if "Registration" in name}
    check_fidelity(Suite(SDK, "Registrations", outcome_rows(shown)))


async def test_publish_and_read_the_journal(gateway: Gateway, env: dict[str, str]) -> None:
    """Publish without `specversion`; read by links, positions, limits and observables; 204 and `retry-after`."""
    story = await run_node("journal-scenario.js", variables=exported(env))

    assert story["publishedToNobody"] is None
    assert "events" not in story["idle"]
    assert story["idle"]["retryAfter"] == 10000
    assert story["published"] == "OK"

    [entry] = story["withLatest"]["events"]
    assert entry["event"]["id"] == "order-1"
    assert entry["event"]["data"] == {"sku": "A1"}
    assert entry["event"]["recipient_client_id"] == env["client_id"]
    assert UUID(entry["event"]["eventid"]).version == 7
    assert story["withoutLatest"]["events"] == story["withLatest"]["events"]
    assert story["withoutLatest"]["_page"] == {"last": entry["position"], "count": 1}
    assert "events" not in story["end"]
    assert story["end"]["retryAfter"] == 10000

    read = {name: [each["event"]["id"] for each in story[name]["events"]] for name in ("since", "limited")}
    assert read == {"since": ["order-2", "order-3"], "limited": ["order-1", "order-2"]}
    assert [each["event"]["id"] for each in story["afterLimited"]["events"]] == ["order-3"]
    assert len(story["withHeaders"]["responseHeaders"]["x-request-id"][0]) == 32
    assert story["badPosition"]["code"] == "ERROR_GET_JOURNAL_DATA"
    assert "400 Bad Request" in story["badPosition"]["message"]

    assert story["observedAll"] == ["order-1", "order-2", "order-3"]
    assert story["observedSince"] == ["order-2", "order-3"]
    assert story["observedPolling"] == ["order-4"]
    assert refused(story["unknownProvider"], "ERROR_PUBLISH_EVENT", 404)
    assert "404 Not Found" in story["unknownJournal"]["message"]
    shown = {name: told for name, told in story["outcomes"].items() if "Journal" in name or name == "publishEvent"}
    check_fidelity(Suite(SDK, "Publishing and journal", outcome_rows(shown)))


async def test_draining_a_long_journal(start_gateway: StartGateway) -> None:
    """`getEventsObservableFromJournal` emits every event of a long journal once, in order."""
    gateway = start_gateway("--dev", variables={"EVENTMILL_PUBLISH_REQUESTS_PER_5S": "0"})
    async with Client(gateway.port) as client:
        tenant = Tenant(client, gateway.env())
        topic = await tenant.topic(EVENT_CODE)
        registration = await tenant.register(topic)
        await tenant.publish_numbered(topic, MANY_EVENTS)
        story = await run_node(
            "drain-scenario.js",
            variables={
                **exported(gateway.env()),
                "JOURNAL_URL": registration.link("rel:events"),
                "EVENTS": str(MANY_EVENTS),
            },
            seconds_max=60 + MANY_EVENTS / 200,
        )
    assert story == {
        "read": MANY_EVENTS,
        "different": MANY_EVENTS,
        "unordered": 0,
        "first": 0,
        "last": MANY_EVENTS - 1,
    }


async def test_sdk_accepts_our_signatures(gateway: Gateway, env: dict[str, str]) -> None:
    """`verifyDigitalSignatureForEvent` is true for a delivery as it came, by either signature, and for nothing else.

    With what `eventmill env --node` says, the SDK's fixed key host and its key cache are the gateway.
    """
    async with Client(gateway.port) as client, Hook() as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic(EVENT_CODE)
        await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic, "order-771", b'{"sku": "A1"}')
        [delivery] = await hook.until_posts(1)

    told = await run_node(
        "verify-scenario.js",
        stdin=json.dumps({"body": delivery.body.decode(), "headers": delivery.headers, "clientId": env["client_id"]}),
        variables={**exported(env), **gateway.env("--node")},
    )
    assert told["verdicts"] == {
        "intact": True,
        "inBase64": True,
        "onlySecondGood": True,
        "byteChanged": False,
        "bothSignaturesBad": False,
    }
    assert told["otherRecipient"]["error"]["statusCode"] == 401
    assert told["batch"]["error"]["statusCode"] == 401  # the SDK knows no batches
    check_fidelity(Suite(SDK, "Signatures", outcome_rows(told["outcomes"])))
    tables = [rows for (client, _), rows in tables_of(PAGE.read_text("utf-8")).items() if client == SDK.heading]
    assert {row.split("`")[1] for rows in tables for row in rows} == set(told["methods"])
