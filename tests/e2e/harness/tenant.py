"""What a publisher and a subscriber do over the wire API, one call each. Asserts the expected status, nothing else."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.e2e.gateway import auth_headers
from tests.e2e.harness.http_client import Answer, Client

_numbers = itertools.count(1)


class Topic(NamedTuple):
    """What is published to and subscribed: an event code of a provider."""

    provider_id: str
    event_code: str

    @property
    def source(self) -> str:
        return f"urn:uuid:{self.provider_id}"


@dataclass(frozen=True)
class Registration:
    body: dict[str, Any]
    """As the gateway answered it."""

    @property
    def id(self) -> str:
        return str(self.body["registration_id"])

    def link(self, rel: str) -> str:
        return str(self.body["_links"][rel]["href"])


class Tenant:
    """One credential's view of a gateway; `env` is what `eventmill env --json` printed."""

    def __init__(self, client: Client, env: Mapping[str, str]) -> None:
        self.client = client
        self.env = dict(env)
        self.headers = {**auth_headers(self.env), "content-type": "application/json"}
        self.workspace = f"/events/{env['consumer_org_id']}/{env['project_id']}/{env['workspace_id']}"
        self._publish_headers = {**self.headers, "content-type": "application/cloudevents+json"}

    async def call(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Answer:
        return await self.client.call(method, url, self.headers, body)

    # --- Catalogue ---

    async def topic(self, event_code: str = "com.acme.stock.low", **provider: str) -> Topic:
        """A new provider with one event code; `provider` adds members to its body."""
        body = {"label": f"Warehouse {next(_numbers)}", **provider}
        created = await self.call("POST", f"{self.workspace}/providers", body)
        assert created.status == 201, created.body
        return await self.event_code(created.json()["id"], event_code)

    async def event_code(self, provider_id: str, event_code: str) -> Topic:
        body = {"event_code": event_code, "label": f"Label of {event_code}", "description": "An article runs out"}
        created = await self.call("POST", f"{self.workspace}/providers/{provider_id}/eventmetadata", body)
        assert created.status == 201, created.body
        return Topic(provider_id, event_code)

    def registration_body(self, topics: Sequence[Topic], url: str = "", **members: Any) -> dict[str, Any]:
        """Input of a registration: a webhook when `url` is given, else a journal."""
        body: dict[str, Any] = {
            "client_id": self.env["client_id"],
            "name": f"Registration {next(_numbers)}",
            "delivery_type": "webhook" if url else "journal",
            "events_of_interest": [
                {"provider_id": topic.provider_id, "event_code": topic.event_code} for topic in topics
            ],
        }
        return {**body, **({"webhook_url": url} if url else {}), **members}

    async def register(self, *topics: Topic, url: str = "", **members: Any) -> Registration:
        body = self.registration_body(topics, url, **members)
        created = await self.call("POST", f"{self.workspace}/registrations", body)
        assert created.status == 201, created.body
        return Registration(created.json())

    async def update(self, registration: Registration, **members: Any) -> Registration:
        """PUT with the members given, the others as they are."""
        kept = ("name", "description", "delivery_type", "webhook_url")
        body = {name: registration.body[name] for name in kept if name in registration.body}
        interests = registration.body["events_of_interest"]
        body["events_of_interest"] = [
            {"provider_id": interest["provider_id"], "event_code": interest["event_code"]} for interest in interests
        ]
        answer = await self.call("PUT", registration.link("self"), {**body, **members})
        assert answer.status == 200, answer.body
        return Registration(answer.json())

    async def delete(self, registration: Registration) -> None:
        answer = await self.call("DELETE", registration.link("self"))
        assert answer.status == 204, answer.body

    # --- Events ---

    async def publish(self, topic: Topic, event_id: str = "", data: bytes = b'{"sku":"A1"}') -> str:
        """Publish and see it accepted; returns the CloudEvents id. `data` is JSON text that goes out as it is."""
        event_id = event_id or f"order-{next(_numbers)}"
        answer = await self.post_event(event_bytes(topic, event_id, data))
        assert (answer.status, answer.body) == (200, b"OK"), answer
        return event_id

    async def post_event(self, event: bytes) -> Answer:
        return await self.client.call("POST", self.env["ingress_url"], self._publish_headers, event)

    async def publish_numbered(self, topic: Topic, count: int) -> None:
        """Events with the ids 0, 1, 2 and so on, in that order, in batches."""
        headers = {**self.headers, "content-type": "application/cloudevents-batch+json"}
        for first in range(0, count, 250):
            events = [event_bytes(topic, str(id), b'{"sku":"A1"}') for id in range(first, min(first + 250, count))]
            body = b"[" + b",".join(events) + b"]"
            answer = await self.client.call("POST", self.env["ingress_url"], headers, body)
            assert answer.status == 200, answer

    async def journal(self, registration: Registration) -> list[dict[str, Any]]:
        """Every entry, oldest first, following `next` to the end."""
        entries: list[dict[str, Any]] = []
        page = await self.call("GET", f"{registration.link('rel:events')}?limit=1000")
        while page.status == 200:
            entries += page.json()["events"]
            page = await self.call("GET", page.link("next"))
        assert page.status == 204, page
        return entries

    async def journal_ids(self, registration: Registration) -> list[str]:
        """CloudEvents ids in the journal, oldest first."""
        return [entry["event"]["id"] for entry in await self.journal(registration)]

    async def traces(self, registration: Registration) -> list[dict[str, Any]]:
        """Newest first."""
        answer = await self.call("GET", registration.link("rel:trace"))
        assert answer.status == 200, answer.body
        found: list[dict[str, Any]] = answer.json()
        return found

    async def delivery_traces(self, registration: Registration) -> list[dict[str, Any]]:
        """Newest first, without the challenge's."""
        code = registration.body["events_of_interest"][0]["event_code"]
        return [trace for trace in await self.traces(registration) if trace["event"] == code]


def event_bytes(topic: Topic, event_id: str, data: bytes) -> bytes:
    """A structured CloudEvent with `data` in its very bytes."""
    head = {"specversion": "1.0", "id": event_id, "source": topic.source, "type": topic.event_code}
    return json.dumps(head).encode()[:-1] + b',"data":' + data + b"}"
