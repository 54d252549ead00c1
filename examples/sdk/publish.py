"""Publishes one event from the provider "Orders", which it makes when it is not there yet.

eval "$(eventmill env)"; python examples/sdk/publish.py A1
"""

from __future__ import annotations

import sys
from uuid import uuid4

from eventmill.client import Client, Conflict, Provider

EVENT_CODE = "com.acme.order.placed"


def find_provider(client: Client) -> Provider:
    try:
        provider = client.create_provider({"label": "Orders"})
    except Conflict as conflict:
        return client.get_provider(conflict.conflicting_id)
    client.create_event_metadata_for_provider(
        provider["id"], {"event_code": EVENT_CODE, "label": "Order placed", "description": "Somebody wants something"}
    )
    return provider


def main(sku: str) -> None:
    with Client.from_env() as client:
        provider = find_provider(client)
        event = {"id": str(uuid4()), "source": provider["source"], "type": EVENT_CODE, "data": {"sku": sku}}
        print("somebody gets it" if client.publish_event(event) else "nobody is registered for it")


if __name__ == "__main__":
    main(sys.argv[1])
