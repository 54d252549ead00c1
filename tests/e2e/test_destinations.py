"""Runtime actions and event buses, from publishing to their traces: files run in dev mode, services in production."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.harness.hook import Hook, always
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.production import OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Registration, Tenant
from tests.http.aws import AWS_SETTINGS, BUS, bus_service
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

CODE = "com.acme.stock.low"

NODE_ACTION = """\
const { errorResponse } = require('./lib/responses')
const { floor } = require('stock-rules')

async function main (params) {
  console.log('stock of', params.data.sku, 'is', params.data.left)
  if (!params.recipient_client_id || !params.__adobe_headers['x-adobe-event-id']) {
    return errorResponse(400, 'not an event')
  }
  if (!params.__adobe_headers['x-adobe-retry-count']) return errorResponse(503, 'the ERP sleeps')
  return { statusCode: 200, body: { order: floor - params.data.left, event: params.eventid } }
}
exports.main = main
"""
RESPONSES = "exports.errorResponse = (statusCode, error) => ({ error: { statusCode, body: { error } } })\n"

PYTHON_ACTION = """\
from rules import FLOOR


def main(params):
    events = params["events"]
    print("got", len(events))
    return {"orders": [FLOOR - event["data"]["left"] for event in events]}
"""


def write_actions(folder: Path) -> tuple[Path, Path]:
    """An app with an action in each language, which load a module of their own and an installed one."""
    (folder / "lib").mkdir(parents=True)
    (folder / "node_modules" / "stock-rules").mkdir(parents=True)
    (folder / "lib" / "responses.js").write_text(RESPONSES)
    (folder / "node_modules" / "stock-rules" / "index.js").write_text("exports.floor = 10\n")
    (folder / "rules.py").write_text("FLOOR = 10\n")
    (folder / "on_low.js").write_text(NODE_ACTION)
    (folder / "on_low.py").write_text(PYTHON_ACTION)
    return folder / "on_low.js", folder / "on_low.py"


def outcome(trace: dict[str, Any]) -> tuple[int, Any]:
    answer = trace["trace"]["tracingResponse"]
    return answer["responseCode"], json.loads(answer["responseBody"])


async def traces(tenant: Tenant, registration: Registration, count: int) -> list[dict[str, Any]]:
    async def enough() -> list[dict[str, Any]]:
        found = await tenant.delivery_traces(registration)
        return found if len(found) >= count else []

    return await eventually(enough, f"{count} traces")


async def test_actions_of_an_app_run_from_their_files(start_gateway: StartGateway, tmp_path: Path) -> None:
    """In dev mode an app is exercised without the cloud: a JavaScript action asks for a retry and gets it when the
    clock moves, a Python action gets a batch; both show result and logs in their traces."""
    script, module = write_actions(tmp_path / "app")
    mapped = f"shop/on-low={script},shop/on-low-batch={module}"
    gateway = start_gateway("--dev", variables={"EVENTMILL_RUNTIME_ACTIONS": mapped})
    async with Client(gateway.port) as client:
        tenant = Tenant(client, gateway.env())
        topic = await tenant.topic()
        single = await tenant.register(topic, delivery_type="webhook", runtime_action="shop/on-low")
        batch = await tenant.register(topic, delivery_type="webhook_batch", runtime_action="shop/on-low-batch")
        await tenant.publish(topic, data=b'{"sku":"A1","left":3}')
        [first] = await traces(tenant, single, 1)
        [batched] = await traces(tenant, batch, 1)
        headers = {"content-type": "application/json"}
        assert (await client.call("POST", "/_dev/clock", headers, {"advance_seconds": 61})).status == 200
        retried, _ = await traces(tenant, single, 2)
        [entry] = await tenant.journal(single)

    assert single.body["webhook_status"] == "verified"
    code, told = outcome(first)
    assert (code, told["error"]) == (503, {"statusCode": 503, "body": {"error": "the ERP sleeps"}})
    assert told["logs"] == ["stdout: stock of A1 is 3"]
    code, told = outcome(retried)
    assert (code, told["result"]["body"]) == (200, {"order": 7, "event": entry["event"]["eventid"]})
    assert json.loads(retried["trace"]["tracingRequest"]["requestBody"])["data"] == {"sku": "A1", "left": 3}
    code, told = outcome(batched)
    assert (code, told["result"], told["logs"]) == (200, {"orders": [7]}, ["stdout: got 1"])


async def test_services_from_delivery_processes(start_gateway: StartGateway, tmp_path: Path) -> None:
    """In production the delivery processes call an OpenWhisk host and EventBridge, with credentials from a file and
    from the environment, of which neither traces nor the log show anything."""
    secret_file = tmp_path / "runtime-auth"
    secret_file.write_text("user-1:key-of-openwhisk\n")
    activation = {"activationId": "a-1", "response": {"status": "success", "success": True, "result": {"ok": 1}}}
    async with Hook(always(200, body=json.dumps(activation).encode())) as openwhisk, bus_service() as bus:
        aws = {name.upper(): value for name, value in AWS_SETTINGS.items()}
        gateway = start_gateway(
            "--bootstrap",
            str(write_bootstrap(tmp_path)),
            variables={
                **OPEN_LOOPBACK,
                **aws,
                "EVENTMILL_RUNTIME_APIHOST": openwhisk.url,
                "EVENTMILL_RUNTIME_AUTH_FILE": str(secret_file),
                "EVENTMILL_EVENTBRIDGE_MODE": "custom",
                "EVENTMILL_EVENTBRIDGE_ENDPOINT": bus.url,
            },
        )
        async with Client(gateway.port) as client:
            tenant = Tenant(client, gateway.env())
            topic = await tenant.topic()
            action = await tenant.register(topic, delivery_type="webhook", runtime_action="shop/on-low")
            members = {name: value for name, value in BUS.items() if value is not ...}
            on_bus = await tenant.register(topic, **members)
            event_id = await tenant.publish(topic)
            [to_action] = await traces(tenant, action, 1)
            [to_bus] = await traces(tenant, on_bus, 1)

    [post] = openwhisk.posts
    assert (json.loads(post.body)["id"], post.headers["authorization"][:6]) == (event_id, "Basic ")
    assert outcome(to_action) == (200, {"activation_id": "a-1", "result": {"ok": 1}})
    assert json.loads(bus.entries[0]["Detail"])["id"] == event_id
    assert outcome(to_bus)[0] == 200
    shown = json.dumps([to_action, to_bus]) + gateway.log_path.read_text()
    secrets = ("key-of-openwhisk", AWS_SETTINGS["aws_secret_access_key"], AWS_SETTINGS["aws_session_token"], "Basic ")
    assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"EVENTMILL_RUNTIME_ACTIONS": "shop/on-low=./a.js"}, "files are run in dev mode only"),
        ({"EVENTMILL_RUNTIME_ACTIONS": "on-low=https://a.example/"}, "is not <package>/<action>=<URL or file>"),
        ({"EVENTMILL_RUNTIME_APIHOST": "https://ow.example"}, "needs EVENTMILL_RUNTIME_AUTH"),
        ({"EVENTMILL_RUNTIME_AUTH_FILE": "/nowhere"}, "EVENTMILL_RUNTIME_AUTH_FILE='/nowhere' cannot be read"),
        ({"EVENTMILL_AWS_ACCESS_KEY_ID": "AKID"}, "need each other"),
    ],
)
def test_settings_that_cannot_be_used(
    start_gateway: StartGateway, tmp_path: Path, variables: dict[str, str], told: str
) -> None:
    """A start is refused with the setting's name, before any event is taken."""
    with pytest.raises(AssertionError, match="exited with 2 before it was ready") as refused:
        start_gateway("--bootstrap", str(write_bootstrap(tmp_path)), variables=variables)

    assert told in " ".join(str(refused.value).split())
