"""The official Java SDK, unchanged from Maven Central, against a real gateway.

A long journal has 3,000 events in short form, 100,000 in full (`EVENTMILL_E2E=full`).
"""

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
from tests.e2e.harness.aio import proxy
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
MANY_EVENTS = 100_000 if os.environ.get("EVENTMILL_E2E") == "full" else 3000


@pytest.fixture
def gateway(start_gateway: StartGateway) -> Gateway:
    """Tokens are checked here as they are in production."""
    return start_gateway("--dev", "--auth", "strict")


async def run_java(
    *options: str, variables: Mapping[str, str], stdin: str = "", main: str = "Scenario", seconds_max: float = 120
) -> Any:
    """Run a scenario that `make setup` compiled, with options of the virtual machine; the JSON that it says."""
    assert (JAVA / "target" / "lib").is_dir(), "the Java scenario is not compiled: make setup"
    process = await asyncio.create_subprocess_exec(
        "java",
        *options,
        "-cp",
        "target/classes:target/lib/*",
        f"eventmill.{main}",
        cwd=JAVA,
        env={"PATH": os.environ["PATH"], **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(seconds_max):
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


async def deliveries_of(tenant: Tenant, provider_id: str) -> dict[str, Any]:
    """One signed event as it is delivered alone and in a batch."""
    async with Hook() as hook:
        signed = await tenant.event_code(provider_id, "com.acme.signed")
        await tenant.register(signed, url=f"{hook.url}/single")
        await tenant.register(signed, url=f"{hook.url}/batch", delivery_type="webhook_batch")
        await tenant.publish(signed, "order-771", b'{"sku": "A1"}')
        await hook.until_posts(2)
        [single], [batch] = hook.posts_at("/single"), hook.posts_at("/batch")
    return {
        "single": {"body": single.body.decode(), "headers": single.headers},
        "batch": {"body": batch.body.decode(), "headers": batch.headers},
    }


async def tell_story(gateway: Gateway, env: Mapping[str, str], directory: Path, *options: str) -> dict[str, Any]:
    """What the scenario says, with the coordinates in `env`; all checked but its outcomes, which are returned."""
    async with Client(gateway.port) as client:
        tenant = Tenant(client, gateway.env())
        topic = await tenant.topic(EVENT_CODE)
        journal = await tenant.register(topic)
        story = await run_java(
            *options,
            variables={
                **{name.upper(): value for name, value in env.items()},
                **jwt_credential(gateway, directory),
                "PROVIDER_ID": topic.provider_id,
                "EVENT_CODE": topic.event_code,
                "JOURNAL_URL": journal.link("rel:events"),
            },
            stdin=json.dumps(await deliveries_of(tenant, topic.provider_id)),
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
    outcomes: dict[str, Any] = story["outcomes"]
    return outcomes


async def test_at_our_addresses(gateway: Gateway, env: dict[str, str], tmp_path: Path) -> None:
    """Token, providers with their events, publishing structured and raw, journal, signatures of a real delivery."""
    outcomes = await tell_story(gateway, env, tmp_path)

    identity = outcome_rows(outcomes["ImsService"] | outcomes["EventVerifier"])
    events = outcome_rows(outcomes["PublishService"] | outcomes["JournalService"])
    check_fidelity(
        Suite(IDENTITY, "Tokens and signatures", identity),
        Suite(SERVICES, "Providers and event metadata", outcome_rows(outcomes["ProviderService"])),
        Suite(SERVICES, "Publishing and journal", events),
    )


@pytest.mark.slow
async def test_under_adobes_names(gateway: Gateway, env: dict[str, str], tmp_path: Path) -> None:
    """The same, by an application that names no address at all: it reaches the gateway through `eventmill proxy`."""
    nameless = {name: value for name, value in env.items() if not name.endswith("_url")}
    with proxy(gateway) as port:
        await tell_story(
            gateway,
            nameless,
            tmp_path,
            "-Dhttps.proxyHost=127.0.0.1",
            f"-Dhttps.proxyPort={port}",
            f"-Djavax.net.ssl.trustStore={await truststore(gateway, tmp_path)}",
            "-Djavax.net.ssl.trustStorePassword=changeit",
        )


@pytest.mark.slow
async def test_draining_a_long_journal(start_gateway: StartGateway) -> None:
    """The journal service, page by page along the next links, has every event of a long journal once, in order."""
    gateway = start_gateway("--dev", variables={"EVENTMILL_PUBLISH_REQUESTS_PER_5S": "0"})
    async with Client(gateway.port) as client:
        env = gateway.env()
        tenant = Tenant(client, env)
        topic = await tenant.topic(EVENT_CODE)
        registration = await tenant.register(topic)
        await tenant.publish_numbered(topic, MANY_EVENTS)
        story = await run_java(
            variables={
                **{name.upper(): value for name, value in env.items()},
                "JOURNAL_URL": registration.link("rel:events"),
            },
            main="Drain",
            seconds_max=60 + MANY_EVENTS / 200,
        )
    assert story == {"read": MANY_EVENTS, "unordered": 0, "first": 0, "last": MANY_EVENTS - 1}


async def truststore(gateway: Gateway, directory: Path) -> Path:
    """The local authority in the form that Java reads."""
    store = directory / "trust.p12"
    process = await asyncio.create_subprocess_exec(
        *("keytool", "-importcert", "-noprompt", "-alias", "eventmill", "-storepass", "changeit"),
        *("-file", str(gateway.data / "ca" / "ca.pem"), "-keystore", str(store)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    return store


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
