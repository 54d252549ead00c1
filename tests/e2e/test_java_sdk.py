"""The official Java SDK, unchanged from Maven Central, against a real gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.fidelity import Suite, check_fidelity, maven_libraries, outcome_rows
from tests.e2e.harness.hook import Hook
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.process import run_eventmill
from tests.e2e.harness.tenant import Tenant

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("mvn") is None, reason="Maven is not installed here: the Java SDK is not tried"),
]

JAVA = Path(__file__).parent / "java"
IDENTITY = maven_libraries(JAVA, "com.adobe.aio:aio-lib-java-*", "aio.version")
SERVICES = maven_libraries(JAVA, "com.adobe:aio-lib-java-events-*", "events.version")
EVENT_CODE = "com.acme.stock.low"


@pytest.fixture
def gateway(start_gateway: StartGateway) -> Gateway:
    """Tokens are checked here as they are in production."""
    return start_gateway("--dev", "--auth", "strict")


async def run_java(variables: Mapping[str, str], stdin: str) -> Any:
    """Run the scenario that `make setup` compiled; the JSON that it says."""
    assert (JAVA / "target" / "lib").is_dir(), "the Java scenario is not compiled: make setup"
    process = await asyncio.create_subprocess_exec(
        "java",
        "-cp",
        "target/classes:target/lib/*",
        "eventmill.Scenario",
        cwd=JAVA,
        env={"PATH": os.environ["PATH"], **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        told, complaints = await process.communicate(stdin.encode())
    assert process.returncode == 0, complaints.decode()
    return json.loads(told)


def jwt_credential(gateway: Gateway, directory: Path) -> dict[str, str]:
    """A credential of the deprecated kind, whose public key is known to the gateway, as variables of the scenario."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public_key = directory / "public.pem"
    public_key.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    flags = ("--jwt", str(public_key), "--json", "--data", str(gateway.data), "--port", str(gateway.port))
    told = run_eventmill("credential", "create", "Java", *flags, directory=directory)
    assert told.code == 0, told.message
    created = json.loads(told.output)
    return {
        "JWT_CREDENTIAL_ID": created["id"],
        "JWT_CLIENT_ID": created["apiKey"],
        "JWT_CLIENT_SECRET": created["client_secret"],
        "JWT_ACCOUNT_ID": created["technicalAccountId"],
        "JWT_PRIVATE_KEY": base64.b64encode(
            key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        ).decode(),
    }


async def test_java_sdk(gateway: Gateway, env: dict[str, str], tmp_path: Path) -> None:
    """Token, providers with their events, publishing structured and raw, journal, signatures of a real delivery."""
    async with Client(gateway.port) as client, Hook() as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic(EVENT_CODE)
        journal = await tenant.register(topic)
        signed = await tenant.event_code(topic.provider_id, "com.acme.signed")
        await tenant.register(signed, url=f"{hook.url}/single")
        await tenant.register(signed, url=f"{hook.url}/batch", delivery_type="webhook_batch")
        await tenant.publish(signed, "order-771", b'{"sku": "A1"}')
        await hook.until_posts(2)
        deliveries = {
            name: {"body": delivery.body.decode(), "headers": delivery.headers}
            for name in ("single", "batch")
            for delivery in hook.posts_at(f"/{name}")
        }

        story = await run_java(
            {
                **{name.upper(): value for name, value in env.items()},
                **jwt_credential(gateway, tmp_path),
                "PROVIDER_ID": topic.provider_id,
                "EVENT_CODE": topic.event_code,
                "JOURNAL_URL": journal.link("rel:events"),
            },
            json.dumps(deliveries),
        )

    assert story["token"].count(".") == 2
    assert (story["exchangedIsValid"], story["otherIsValid"]) == (True, False)
    check_providers(story, env, topic.provider_id)
    check_events(story)
    assert story["verdicts"] == {
        "intact": True,
        "batch": True,
        "onlySecondGood": True,
        "byteChanged": False,
        "signaturesSwapped": False,
        "otherRecipient": False,
    }

    assert story["uncalled"] == []
    outcomes = story["outcomes"]
    check_fidelity(
        Suite(
            IDENTITY,
            "Tokens and signatures",
            outcome_rows(outcomes["ImsService"] | outcomes["EventVerifier"]),
        ),
        Suite(SERVICES, "Providers and event metadata", outcome_rows(outcomes["ProviderService"])),
        Suite(
            SERVICES,
            "Publishing and journal",
            outcome_rows(outcomes["PublishService"] | outcomes["JournalService"]),
        ),
    )


def check_providers(story: Mapping[str, Any], env: Mapping[str, str], known: str) -> None:
    """A provider as Java sees it, from creation to the empty answer after its end."""
    created = story["created"]
    expected = {
        "label": "Java warehouse",
        "description": "Stock moves",
        "source": f"urn:uuid:{created['id']}",
        "docsUrl": "https://docs.example/stock",
        "publisher": env["ims_org_id"],
    }
    assert created == {"id": created["id"], **expected}
    assert story["conflict"] == 409
    assert story["updated"] == created | {"label": "Java store"}
    assert story["found"] == story["updated"]
    assert (story["metadata"], story["metadataUpdated"]) == ("Renamed", "Renamed")
    assert story["metadataCodes"] == story["foundCodes"] == ["com.acme.java"]
    assert story["foundByOtherInstance"] is False
    assert known in story["providersBefore"]
    assert set(story["providers"]) == {*story["providersBefore"], created["id"]}
    assert (story["metadataGone"], story["metadataLeft"], story["gone"], story["unknown"]) == (True, 0, True, True)


def check_events(story: Mapping[str, Any]) -> None:
    """Everything that Java published is in the journal once, in order, and can be paged from any position."""
    assert story["idle"]["size"] == 0
    assert story["idle"]["retryAfterS"] == 10
    assert {"next", "latest", "events", "page", "seek"} <= set(story["idle"]["links"])
    assert story["read"] == story["oldest"] == ["A1", "A2", "A3", "raw"]
    assert story["since"] == ["A2", "A3", "raw"]
    assert story["sinceOne"] == ["A2"]
    assert (story["publishedToUnknown"], story["badPosition"]) == (404, 400)
