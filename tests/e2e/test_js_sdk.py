"""The official JavaScript SDK, unchanged from npm, against a real gateway."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.e2e.gateway import Gateway
from tests.e2e.harness.hook import Hook, Received, Reply
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.tenant import Tenant

pytestmark = pytest.mark.anyio

NPM = Path(__file__).parent / "npm"
EVENT_CODE = "com.acme.stock.low"


async def run_node(*arguments: str, variables: Mapping[str, str], stdin: str = "") -> Any:
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
    async with asyncio.timeout(60):
        told, complaints = await process.communicate(stdin.encode())
    assert process.returncode == 0, complaints.decode()
    return json.loads(told.splitlines()[-1])


def exported(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that `eval "$(eventmill env)"` sets."""
    return {name.upper(): value for name, value in env.items()}


async def test_publish_and_read_the_journal(gateway: Gateway, env: dict[str, str]) -> None:
    """Provider, metadata, journal registration, publish without `specversion`, poll by links, all deleted again."""
    story = await run_node("journal-scenario.js", variables=exported(env))

    assert story["registration"]["webhook_status"] == "verified"
    assert story["registration"]["delivery_type"] == "journal"
    assert story["metadata"]["event_code"] == EVENT_CODE
    assert story["listedRegistrations"] == [story["registration"]["registration_id"]]
    assert story["provider"]["id"] in story["listedProviders"]

    assert "events" not in story["idle"]
    assert story["idle"]["retryAfter"] == 10000
    assert story["published"] == "OK"

    [entry] = story["withLatest"]["events"]
    assert entry["event"]["id"] == "order-771"
    assert entry["event"]["data"] == {"sku": "A1"}
    assert entry["event"]["recipient_client_id"] == env["client_id"]
    assert UUID(entry["event"]["eventid"]).version == 7
    assert story["withoutLatest"]["events"] == story["withLatest"]["events"]
    assert story["withoutLatest"]["_page"] == {"last": entry["position"], "count": 1}
    assert story["observed"] == entry

    assert "events" not in story["end"]
    assert story["end"]["retryAfter"] == 10000
    assert story["goneCode"] == "ERROR_GET_PROVIDER"
    assert len(story["goneRequestId"]) == 32


async def test_sdk_accepts_our_signatures(gateway: Gateway, env: dict[str, str]) -> None:
    """`verifyDigitalSignatureForEvent` is true for a delivery as it came, by either signature, and for nothing else."""
    async with Client(gateway.port) as client, Hook() as hook, Hook() as state:
        state.challenge_answer = _play_state_store
        tenant = Tenant(client, env)
        topic = await tenant.topic(EVENT_CODE)
        await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic, "order-771", b'{"sku": "A1"}')
        [delivery] = await hook.until_posts(1)

        verdicts = await run_node(
            "--require",
            "./redirect-keys.js",
            "verify-scenario.js",
            stdin=json.dumps(
                {"body": delivery.body.decode(), "headers": delivery.headers, "clientId": env["client_id"]}
            ),
            variables={
                **exported(env),
                "AIO_STATE_ENDPOINT": state.url,
                "__OW_NAMESPACE": "development-1001-eventmill",
                "__OW_API_KEY": "any:key",
            },
        )

    assert verdicts == {"intact": True, "onlySecondGood": True, "byteChanged": False, "bothSignaturesBad": False}
    assert {request.method for request in state.challenges} == {"GET", "PUT"}


async def _play_state_store(request: Received) -> Reply:
    """The key cache of the SDK's verifier: always empty, takes whatever it is given."""
    return Reply(404 if request.method == "GET" else 200)
