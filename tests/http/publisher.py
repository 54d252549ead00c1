"""A tenant in a real store, and a publisher that calls the ingress as an ASGI server would."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from eventmill.clock import VirtualClock
from eventmill.config import Config
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.ingest import Ingest, Message
from eventmill.ids import IdSource
from eventmill.model import (
    CUSTOM_EVENTS,
    Credential,
    DeliveryFormat,
    EventMetadata,
    EventOfInterest,
    Lane,
    Organization,
    OrgId,
    Provider,
    Registration,
)
from eventmill.store.base import Store
from eventmill.store.control import CloseLane, Create, Delete, Kind, OpenLane
from eventmill.web.caller import Authenticator
from tests.http.world import make_engine, with_store

ORG = OrgId("1001")
IMS_ORG = "AAAAAAAAAAAAAAAAAAAAAAAA@AdobeOrg"
OTHER_ORG = OrgId("1002")
CLIENT_ID = "5c1d0000000000000000000000000000"
PROVIDER_ID = "6f0d2a4e-58a9-4a33-8e8a-51d6e9f1a001"
CODE = "com.acme.stock.low"


class Clock(VirtualClock):
    """Machine time for throttles stands still until it is moved."""

    machine_now_s = 1000.0

    def machine_s(self) -> float:
        return self.machine_now_s


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, str]:
        members: dict[str, str] = json.loads(self.body)
        return members


@dataclass
class World:
    config: Config
    clock: Clock
    store: Store
    catalogue: Catalogue
    ingest: Ingest
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def create(self, kind: Kind, doc_id: str, doc: msgspec.Struct, org: OrgId = ORG) -> None:
        await self.store.write([Create(kind, org, doc_id, msgspec.json.encode(doc))])

    async def add_provider(
        self,
        provider_id: str = PROVIDER_ID,
        *,
        org: OrgId = ORG,
        form: DeliveryFormat = "cloud_events_v1",
        seen: bool = True,
    ) -> None:
        """A provider with one event code; unless `seen`, the catalogue does not know of it yet."""
        provider = Provider(
            id=provider_id,
            org=org,
            project_id="2001",
            workspace_id="3001",
            label="Warehouse",
            description="",
            docs_url=None,
            provider_metadata=CUSTOM_EVENTS,
            instance_id="IDP01",
            event_delivery_format=form,
            data_residency_region="VA6",
        )
        metadata = EventMetadata(
            org=org, provider_id=provider_id, event_code=CODE, label=CODE, description="", sample_event_template=None
        )
        await self.create("provider", provider_id, provider, org)
        await self.create("event_metadata", f"{provider_id}/{CODE}", metadata, org)
        if seen:
            await self.catalogue.refresh()

    async def add_registration(self, *provider_ids: str, seen: bool = True) -> Registration:
        """A journal registration; unless `seen`, the catalogue does not know of it yet."""
        lane = Lane(await self.store.allocate("lane"))
        wanted = provider_ids or (PROVIDER_ID,)
        registration = Registration(
            id=lane,
            registration_id=f"0b7e0000-0000-4000-8000-{lane:012d}",
            org=ORG,
            project_id="2001",
            workspace_id="3001",
            client_id=CLIENT_ID,
            name=f"Journal {lane}",
            description="",
            events_of_interest=tuple(EventOfInterest(provider_id, CODE) for provider_id in wanted),
            delivery_type="journal",
            webhook_url=None,
            enabled=True,
            webhook_status="verified",
            created_ms=0,
            updated_ms=0,
        )
        document = Create("registration", ORG, registration.registration_id, msgspec.json.encode(registration))
        await self.store.write([document, OpenLane(lane, ORG, registration.registration_id)])
        if seen:
            await self.catalogue.refresh()
        return registration

    async def delete_registration(self, registration: Registration) -> None:
        """Without the catalogue knowing."""
        delete = Delete("registration", ORG, registration.registration_id)
        await self.store.write([delete, CloseLane(registration.id, b"", self.clock.now_ms())])

    async def post(
        self, body: bytes | Sequence[Message], headers: Mapping[str, str | None] | None = None
    ) -> Answer | None:
        """Publish bytes, or whatever messages an ASGI server sends; a header that is None is left out."""
        messages = [{"type": "http.request", "body": body}] if isinstance(body, bytes) else list(body)
        size = sum(len(message.get("body", b"")) for message in messages)
        given: dict[str, str | None] = {
            "content-type": "application/cloudevents+json",
            "content-length": str(size),
            "authorization": "Bearer t",
            "x-api-key": CLIENT_ID,
            "x-ims-org-id": IMS_ORG,
        }
        given.update(headers or {})
        scope = {"headers": [(name.encode(), value.encode()) for name, value in given.items() if value is not None]}
        sent: list[Message] = []

        async def receive() -> Message:
            return messages.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        await self.ingest(scope, receive, send)
        if not sent:
            return None
        start, end = sent
        return Answer(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, end["body"])

    async def publish(self, headers: Mapping[str, str | None] | None = None, **changes: Any) -> Answer:
        """Publish a valid event with some members changed; `...` leaves a member out."""
        answer = await self.post(event_bytes(**{"id": str(next(self.numbers))} | changes), headers)
        assert answer is not None
        return answer

    async def stored_events(self) -> int:
        return (await self.store.head(0)).seq


def event_bytes(**changes: Any) -> bytes:
    members = {
        "specversion": "1.0",
        "id": "order-771",
        "source": f"urn:uuid:{PROVIDER_ID}",
        "type": CODE,
        "datacontenttype": "application/json",
        "time": "2026-03-01T10:00:00Z",
        "data": {"sku": "A1"},
    }
    return json.dumps({name: value for name, value in (members | changes).items() if value is not ...}).encode()


@asynccontextmanager
async def tenant(tmp_path: Path, **settings: Any) -> AsyncIterator[World]:
    """An organisation with a credential and a provider, a second organisation, and nobody subscribed."""
    config = with_store(Config(data=str(tmp_path), dev=True, **{"disk_reserve_bytes": 0} | settings))
    clock = Clock()
    store = make_engine(config, clock)
    await store.open()
    try:
        catalogue = Catalogue(store)
        await catalogue.load()
        authenticator = Authenticator(config, catalogue, clock)
        ingest = Ingest(store, catalogue, authenticator, clock, IdSource(), config)
        world = World(config, clock, store, catalogue, ingest)
        await world.create("organization", ORG, Organization(id=ORG, ims_org_id=IMS_ORG, name="Acme"))
        other = Organization(id=OTHER_ORG, ims_org_id="B@AdobeOrg", name="Other")
        await world.create("organization", OTHER_ORG, other, OTHER_ORG)
        credential = Credential(
            id="4001",
            org=ORG,
            project_id="2001",
            workspace_id="3001",
            name="Server",
            client_id=CLIENT_ID,
            sealed_secret="",
        )
        await world.create("credential", "4001", credential)
        await world.add_provider()
        yield world
    finally:
        await store.close()
