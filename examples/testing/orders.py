"""The application that the example tests are about: orders what runs out, once for each event."""

from __future__ import annotations

from eventmill.client import Deduplicator, Delivery, Verifier
from eventmill.client.adapters import wsgi_webhook
from eventmill.client.adapters.wsgi import Application


def make_application(client_id: str, keys_url: str, ordered: list[str]) -> Application:
    """`ordered` stands for the ERP: what was ordered is in it."""

    def handle(delivery: Delivery) -> None:
        ordered.extend(event["data"]["sku"] for event in delivery.events)

    return wsgi_webhook(Verifier(client_id, keys_url), handle, Deduplicator())
