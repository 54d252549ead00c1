"""What the console is looked at with: names that people would give, and bodies that strangers would send."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from tests.e2e.gateway import Gateway, auth_headers, call

CODE = "com.acme.stock.low"
HOSTILE: dict[str, Any] = {
    "script": "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">",
    "quotes": "\"'`&lt;</textarea></pre>{{ 7*7 }}${7*7}",
    "control": "a\u0000b\u001b[31mc\u0085d",
    "turned": "invoice\u202egnp.exe \u2066isolated\u2069 \u200b",
    "arabic": "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "long": "x" * 40_000,
}
"""Data of an event that means harm."""


@dataclass(frozen=True)
class Content:
    provider: str
    """With a sample, a schema and a subscriber; likewise ids below."""
    empty_provider: str
    registration: str

    def publish(self, gateway: Gateway) -> None:
        source = f"urn:uuid:{self.provider}"
        event = {"specversion": "1.0", "id": "e", "source": source, "type": CODE, "data": {"sku": "A1-204"}}
        sent = {**auth_headers(gateway.env()), "content-type": "application/cloudevents+json"}
        assert call("POST", f"{gateway.url}/", sent, event).status == 200

    @property
    def pages(self) -> dict[str, str]:
        """Every page to look at, by a name for its picture."""
        org, event = "/ui/orgs/1001", f"/ui/orgs/1001/providers/{self.provider}/events/{CODE}"
        workspace = f"{org}/projects/2001/workspaces/3001"
        return {
            "overview": org,
            "projects": f"{org}/projects",
            "project": f"{org}/projects/2001",
            "project-new": f"{org}/projects/new",
            "project-edit": f"{org}/projects/2001/edit",
            "project-delete": f"{org}/projects/2001/delete",
            "workspace-new": f"{org}/projects/2001/workspaces/new",
            "workspace-delete": f"{workspace}/delete",
            "credential-new": f"{workspace}/credentials/new",
            "credential": f"{workspace}/credentials/4001",
            "providers": f"{org}/providers",
            "provider-new": f"{org}/providers/new",
            "provider": f"{org}/providers/{self.provider}",
            "provider-empty": f"{org}/providers/{self.empty_provider}",
            "provider-edit": f"{org}/providers/{self.provider}/edit",
            "provider-delete": f"{org}/providers/{self.provider}/delete",
            "event-type-new": f"{org}/providers/{self.provider}/new-event",
            "event-type": event,
            "event-type-edit": f"{event}/edit",
            "not-found": f"{org}/nothing-here",
        }


def fill(gateway: Gateway) -> Content:
    """Two providers, an event type with a sample and a schema, a registration that never verified, a few events."""
    env = gateway.env()
    headers = {**auth_headers(env), "content-type": "application/json"}
    place = f"{gateway.url}/events/1001/2001/3001"

    def post(url: str, body: Any) -> Any:
        answer = call("POST", url, headers, body)
        assert answer.status in (200, 201), answer.body
        return answer.json()

    described = {"label": "Warehouse", "description": "Stock of every shop, as it moves"}
    provider = post(f"{place}/providers", described)["id"]
    empty = post(f"{place}/providers", {"label": "Returns desk", "description": "Not in use yet"})["id"]
    sample = base64.b64encode(json.dumps({"sku": "A1-204", "left": 3, "floor": 5}).encode()).decode()
    schema = {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}}
    code = {"event_code": CODE, "label": "Stock low", "description": "Stock fell under its floor"}
    post(
        f"{place}/providers/{provider}/eventmetadata", {**code, "sample_event_template": sample, "data_schema": schema}
    )
    form = {
        "client_id": env["client_id"],
        "name": "Stock to ERP",
        "description": "Moves",
        "webhook_url": "http://127.0.0.1:9/hook",
        "events_of_interest": [{"provider_id": provider, "event_code": CODE}],
        "delivery_type": "webhook",
    }
    registration = post(f"{place}/registrations", form)["registration_id"]
    post(f"{place}/registrations", {**form, "name": "Stock to reports", "delivery_type": "journal"})
    content = Content(provider, empty, registration)
    for _ in range(5):
        content.publish(gateway)
    return content
