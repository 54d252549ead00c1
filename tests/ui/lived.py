"""Events with lives of every kind: delivered at once, after retries, never, not yet; filtered; and wanted by nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.e2e.gateway import Gateway, call
from tests.ui.content import CODE, HOSTILE
from tests.ui.traced import Traced, register, traced

EVENTS = "/ui/orgs/1001/events"


@dataclass(frozen=True)
class Lived:
    traced: Traced

    @property
    def gateway(self) -> Gateway:
        return self.traced.stocked.gateway

    def page_of(self, published_id: str) -> str:
        """The console's page of the event."""
        found = self.api(f"/events/1001/search?id={published_id}")["events"]
        return f"{EVENTS}/{found[0]['id']}"

    def page_of_unmatched(self, cause: str) -> str:
        listed = self.api("/events/1001/unmatched")["events"]
        return f"{EVENTS}/{next(each['id'] for each in listed if each['cause'] == cause)}"

    def api(self, path: str) -> Any:
        answer = call("GET", self.gateway.url + path, dict(self.traced.stocked.headers))
        assert answer.status == 200, answer.body
        return answer.json()


@contextmanager
def lived(gateway: Gateway) -> Iterator[Lived]:
    with traced(gateway) as made:
        stocked = made.stocked
        wants = '{"data":{"left":[{"numeric":[">",100]}]}}'
        register(
            stocked,
            "Stock to the outlet",
            delivery_type="journal",
            subscriber_filters=[{"name": "Plenty", "subscriber_filter": wants}],
        )
        stocked.publish("ordinary", {"sku": "A1-204", "left": 3})
        stocked.publish("hostile", HOSTILE)
        stocked.hook.status = 503
        stocked.publish("pending", {"sku": "B2-9", "left": 1})
        assert call("POST", f"{gateway.url}/_dev/clock", body={"rate": 0}).status == 200  # it stays pending
        _publish_unheard(stocked.headers, gateway, stocked.provider, f"{CODE}.unheard")
        yield Lived(made)


def _publish_unheard(headers: Any, gateway: Gateway, provider: str, code: str) -> None:
    event = {"specversion": "1.0", "id": "unheard", "source": f"urn:uuid:{provider}", "type": code, "data": HOSTILE}
    sent = {**headers, "content-type": "application/cloudevents+json"}
    assert call("POST", f"{gateway.url}/", sent, event).status == 204
