"""A registration with a past: events in its journal, some never delivered, a filter to be written, a cursor."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.gateway import Answer, Gateway, auth_headers, call
from tests.ui.content import CODE
from tests.ui.webhook import Webhook

PATCH = "application/json-patch+json"


@dataclass(frozen=True)
class Stocked:
    gateway: Gateway
    hook: Webhook
    headers: Mapping[str, str]
    provider: str
    registration: str

    @property
    def page(self) -> str:
        """Where the console has the registration."""
        return f"/ui/orgs/1001/registrations/{self.registration}"

    def api(self, method: str, path: str, body: Any = None, media_type: str = "application/json") -> Answer:
        """Below the workspace."""
        url = f"{self.gateway.url}/events/1001/2001/3001{path}"
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        answer = call(method, url, {**self.headers, "content-type": media_type}, sent)
        assert answer.status < 300, answer.body
        return answer

    def publish(self, event_id: str, data: Any) -> None:
        """Whatever is due is delivered before this returns, as often as it is due."""
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": f"urn:uuid:{self.provider}",
            "type": CODE,
            "data": data,
        }
        headers = {**self.headers, "content-type": "application/cloudevents+json"}
        assert call("POST", f"{self.gateway.url}/", headers, event).status == 200
        self.settle()

    def settle(self) -> None:
        assert call("POST", f"{self.gateway.url}/_dev/clock", body={"advance_seconds": 0}).status == 200

    def enable(self, enabled: bool) -> None:
        change = [{"op": "replace", "path": "/enabled", "value": enabled}]
        self.api("PATCH", f"/registrations/{self.registration}", change, PATCH)

    def set_cursor(self, name: str, position: str) -> None:
        url = f"{self.gateway.url}/events/organizations/1001/integrations/4001/{self.registration}/cursors/{name}"
        answer = call("PUT", url, {**self.headers, "content-type": "application/json"}, {"position": position})
        assert answer.status in (200, 201), answer.body

    def undelivered(self) -> Any:
        return self.api("GET", f"/registrations/{self.registration}/undelivered").json()


def stock(gateway: Gateway, hook: Webhook, shop: str = "Stock") -> Stocked:
    """Whose webhook took everything so far; nothing was published yet. On a gateway of several tests, each has a label
    of its own."""
    env = gateway.env()
    made = Stocked(gateway, hook, auth_headers(env), "", "")
    described = {"label": f"Warehouse of {shop}", "description": "Stock of every shop, as it moves"}
    provider = made.api("POST", "/providers", described).json()["id"]
    sample = base64.b64encode(json.dumps({"sku": "A1-204", "left": 3, "floor": 5}).encode()).decode()
    code = {"event_code": CODE, "label": "Stock low", "description": "Stock fell under its floor"}
    made.api("POST", f"/providers/{provider}/eventmetadata", {**code, "sample_event_template": sample})
    form = {
        "client_id": env["client_id"],
        "name": f"{shop} to ERP",
        "description": "Moves",
        "webhook_url": hook.url,
        "events_of_interest": [{"provider_id": provider, "event_code": CODE}],
        "delivery_type": "webhook",
    }
    registration = made.api("POST", "/registrations", form).json()["registration_id"]
    return Stocked(gateway, hook, made.headers, provider, registration)


def give_past(stocked: Stocked) -> None:
    """Twelve events delivered, four refused, three that came while it was switched off, and two cursors."""
    for at in range(12):
        stocked.publish(f"early-{at}", {"sku": f"A1-{200 + at}", "left": at})
    stocked.hook.status = 404
    for at in range(4):
        stocked.publish(f"refused-{at}", {"sku": f"B2-{at}", "left": 1})
    stocked.hook.status = 200
    stocked.enable(False)
    for at in range(3):
        stocked.publish(f"missed-{at}", {"sku": f"C3-{at}", "left": 0})
    stocked.enable(True)
    positions = [each["position"] for each in stocked.undelivered()["items"]]
    stocked.set_cursor("erp-reader", positions[0])
    stocked.set_cursor("archive", positions[-1])
