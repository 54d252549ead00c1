"""Registrations in every condition, one of them with attempts of every kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.e2e.gateway import Gateway, call
from tests.ui.content import CODE
from tests.ui.stocked import Stocked, stock
from tests.ui.webhook import Webhook, webhook

LIST = "/ui/orgs/1001/registrations"


@dataclass(frozen=True)
class Traced:
    stocked: Stocked
    """Whose attempts are of every kind."""
    ids: dict[str, str]
    """Of the others, by what they are."""

    @property
    def page(self) -> str:
        return self.stocked.page

    def page_of(self, what: str) -> str:
        return f"{LIST}/{self.ids[what]}"

    def traces(self) -> Any:
        url = f"{self.stocked.gateway.url}/traces/1001/2001/3001/registration/{self.stocked.registration}"
        return call("GET", url, dict(self.stocked.headers)).json()


def register(stocked: Stocked, name: str, **form: Any) -> str:
    """Of the same event type."""
    whole = {
        "client_id": stocked.headers["x-api-key"],
        "name": name,
        "events_of_interest": [{"provider_id": stocked.provider, "event_code": CODE}],
        "delivery_type": "webhook",
        **form,
    }
    made: str = stocked.api("POST", "/registrations", whole).json()["registration_id"]
    return made


def put(stocked: Stocked, event_id: str, data: Any) -> None:
    """Publish it, and wait for no delivery."""
    source = f"urn:uuid:{stocked.provider}"
    event = {"specversion": "1.0", "id": event_id, "source": source, "type": CODE, "data": data}
    headers = {**stocked.headers, "content-type": "application/cloudevents+json"}
    assert call("POST", f"{stocked.gateway.url}/", headers, event).status == 200


def advance(gateway: Gateway, seconds: int) -> None:
    """Every attempt that is due on the way is made before this returns."""
    assert call("POST", f"{gateway.url}/_dev/clock", body={"advance_seconds": seconds}).status == 200


@contextmanager
def traced(gateway: Gateway) -> Iterator[Traced]:
    """The webhook of the first answers with a body; what failed was tried again; one failed for good."""
    with ExitStack() as opened:
        hook, failing = opened.enter_context(webhook()), opened.enter_context(webhook())
        hook.headers = {"content-type": "application/json", "x-served-by": "erp-2"}
        hook.body = json.dumps({"stored": True, "at": "2026-03-01T12:00:00Z"}).encode()
        stocked = stock(gateway, hook)
        ids = _others(stocked, failing)
        _deliver(stocked, failing)
        yield Traced(stocked, ids)


def _others(stocked: Stocked, failing: Webhook) -> dict[str, str]:
    return {
        "journal": register(stocked, "Stock to reports", delivery_type="journal"),
        "failing": register(stocked, "Stock to shop windows", webhook_url=failing.url, delivery_type="webhook_batch"),
        "unverified": register(stocked, "Stock to the old till", webhook_url="http://127.0.0.1:9/hook"),
        "off": register(
            stocked, "Stock to suppliers", webhook_url=stocked.hook.url, max_in_flight=2, events_per_second=5
        ),
        "bus": register(
            stocked,
            "Stock to the data lake",
            delivery_type="aws_eventbridge",
            destination_metadata={"aws_region": "eu-west-1", "aws_account_id": "123456789012"},
        ),
    }


def _deliver(stocked: Stocked, failing: Webhook) -> None:
    hook = stocked.hook
    failing.status = 500
    for at in range(8):
        put(stocked, f"good-{at}", {"sku": f"A1-{200 + at}", "left": at, "shops": ["Kiel", "Bremen"]})
    stocked.settle()
    hook.status, hook.body = 503, b"the warehouse is closed"
    for at in range(2):
        put(stocked, f"late-{at}", {"sku": f"B2-{at}", "left": 1})
    advance(stocked.gateway, 200)
    hook.status = 404
    put(stocked, "refused", {"sku": "C3-1", "left": 0})
    stocked.settle()
    hook.status, hook.body = 200, json.dumps({"stored": True}).encode()
    advance(stocked.gateway, 1800)
