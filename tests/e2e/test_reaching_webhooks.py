"""A real gateway with delivery processes reaches webhooks as its operator wants it: by proxy, with a certificate."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventmill.testing import Authority, answering, receiving, response, server_context
from tests.e2e.conftest import StartGateway
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.production import OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Tenant
from tests.http.connect_proxy import proxying
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

CLOSING = response(headers="connection: close\r\n")


async def test_private_webhook_behind_a_proxy(tmp_path: Path, start_gateway: StartGateway) -> None:
    """Challenge and delivery take the proxy's tunnel to a webhook with a certificate of its own authority, which asks
    for ours; its owner reads that from the gateway. When the proxy fails, trace and refusal say so, nothing is disabled
    for that, and no password is shown."""
    hooks, ours = Authority("of the webhook"), Authority("of the gateway")
    certificate, key = ours.issue(("mill.example",)).write(tmp_path)
    context = server_context(hooks.issue(), clients_of=ours)
    async with (
        proxying("mill:s3cret@") as proxy,
        receiving(answering(CLOSING), context, passes_challenges=True) as hook,
    ):
        gateway = start_gateway(
            "--bootstrap",
            str(write_bootstrap(tmp_path)),
            variables={
                **OPEN_LOOPBACK,
                "EVENTMILL_EGRESS_PROXY": proxy.url,
                "EVENTMILL_CLIENT_CERT": str(certificate),
                "EVENTMILL_CLIENT_KEY": str(key),
            },
        )
        async with Client(gateway.port) as client:
            tenant = Tenant(client, gateway.env())
            topic = await tenant.topic()
            registration = await tenant.register(topic, url=hook.url, ca_bundle=hooks.pem)
            assert registration.body["webhook_status"] == "verified"
            assert (await client.call("GET", "/prod/client-certificate.pem")).body.decode() == certificate.read_text()

            await tenant.publish(topic)
            await eventually(lambda: len(hook.requests) == 1, "the delivery")
            assert {head.split(" ")[1] for head in proxy.heads} == {f"127.0.0.1:{hook.port}"}

            proxy.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
            await tenant.publish(topic)

            async def failed() -> bool:
                return len(await tenant.delivery_traces(registration)) == 2

            await eventually(failed, "the trace of the failure")
            trace = (await tenant.delivery_traces(registration))[0]["trace"]["tracingResponse"]
            assert trace["responseCode"] == 602
            assert "refused a tunnel with status 407" in trace["responseBody"]
            assert len(hook.requests) == 1

            patch = {"content-type": "application/json-patch+json"}
            change = b'[{"op": "replace", "path": "/webhook_url", "value": "https://127.0.0.1:9/other"}]'
            refused = await client.call("PATCH", registration.link("self"), {**tenant.headers, **patch}, change)
            assert (refused.status, refused.json()["reason"]) == (503, "egress_proxy_failed")
            stored = (await tenant.call("GET", registration.link("self"))).json()
            assert (stored["webhook_status"], stored["enabled"], stored["webhook_url"]) == ("verified", True, hook.url)
        assert "s3cret" not in gateway.log_tail() and "s3cret" not in trace["responseBody"]
