"""The control plane in memory: what publishing, authorisation and delivery look up, and who gets which event.

It may be stale: the store's routing epoch catches that at commit, so whoever matched with an old picture refreshes and
matches again.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from functools import lru_cache
from typing import Any

import msgspec

from eventmill.core.builtin import NOTHING_BUILT_IN, Builtin
from eventmill.flow.filters import NOBODY, Route, Router
from eventmill.flow.picture import Picture
from eventmill.model import (
    BUILTIN_ORG,
    Credential,
    EventMetadata,
    EventOfInterest,
    Lane,
    Organization,
    OrgId,
    Project,
    Provider,
    Registration,
    Revocation,
    SigningKey,
    Workspace,
)
from eventmill.store.control import ControlReads, Kind

_DECODERS: dict[Kind, msgspec.json.Decoder[Any]] = {
    "organization": msgspec.json.Decoder(Organization),
    "project": msgspec.json.Decoder(Project),
    "workspace": msgspec.json.Decoder(Workspace),
    "credential": msgspec.json.Decoder(Credential),
    "provider": msgspec.json.Decoder(Provider),
    "event_metadata": msgspec.json.Decoder(EventMetadata),
    "registration": msgspec.json.Decoder(Registration),
    "signing_key": msgspec.json.Decoder(SigningKey),
    "revocation": msgspec.json.Decoder(Revocation),
}
"""Notices are not among them: nothing is looked up in those."""
_NOTHING: dict[str, Any] = {}


class Catalogue(Picture):
    """Of everything; the front's."""

    def __init__(self, store: ControlReads, builtin: Builtin = NOTHING_BUILT_IN) -> None:
        super().__init__(store)
        self.builtin = builtin
        self._router = Router()
        self._clear()

    def _clear(self) -> None:
        self._docs: dict[Kind, dict[OrgId, dict[str, Any]]] = {kind: {} for kind in _DECODERS}
        """By organization and id."""
        self._org_by_ims: dict[str, OrgId] = {}
        self._credential_by_client: dict[str, Credential] = {}
        self._provider_by_id: dict[str, Provider] = {}
        self._registration_by_lane: dict[Lane, Registration] = {}
        self._revocation_by_id: dict[str, Revocation] = {}
        self._subscribers: defaultdict[EventOfInterest, set[Lane]] = defaultdict(set)
        self._routes: dict[tuple[OrgId, str, str], Route] = {}
        for each in self.builtin.providers:
            self._provider_by_id[each.provider.id] = each.provider
            for metadata in each.event_metadata():
                known = self._docs["event_metadata"].setdefault(BUILTIN_ORG, {})
                known[f"{metadata.provider_id}/{metadata.event_code}"] = metadata

    async def _read_everything(self) -> None:
        self._clear()
        for kind, decoder in _DECODERS.items():
            async for stored in self._read(kind):
                self._put(kind, stored.org, stored.id, decoder.decode(stored.doc))
        self._registration_by_lane = dict(sorted(self._registration_by_lane.items()))

    async def _apply(self, kind: Kind, org: OrgId, doc_id: str) -> None:
        if kind not in _DECODERS:
            return
        stored = await self._store.get(kind, org, doc_id)
        old = self._find(kind, org, doc_id)
        if old is not None:
            self._drop(kind, org, doc_id, old)
        if stored is not None:
            self._put(kind, org, doc_id, _DECODERS[kind].decode(stored.doc))

    def _put(self, kind: Kind, org: OrgId, doc_id: str, doc: Any) -> None:
        if isinstance(doc, Registration):
            _share_text(doc)
            doc_id = doc.registration_id
        self._docs[kind].setdefault(org, {})[doc_id] = doc
        match doc:
            case Organization():
                self._org_by_ims[doc.ims_org_id] = doc.id
            case Credential():
                self._credential_by_client[doc.client_id] = doc
            case Provider():
                self._provider_by_id[doc.id] = doc
            case Registration():
                self._registration_by_lane[doc.id] = doc
                for interest in doc.events_of_interest:
                    self._subscribers[interest].add(doc.id)
                    self._routes.pop((doc.org, interest.provider_id, interest.event_code), None)
            case EventMetadata():
                self._routes.pop((doc.org, doc.provider_id, doc.event_code), None)
            case Revocation():
                self._revocation_by_id[doc.id] = doc

    def _drop(self, kind: Kind, org: OrgId, doc_id: str, doc: Any) -> None:
        del self._docs[kind][org][doc_id]
        match doc:
            case Organization():
                self._org_by_ims.pop(doc.ims_org_id, None)
            case Credential():
                self._credential_by_client.pop(doc.client_id, None)
            case Provider():
                self._provider_by_id.pop(doc.id, None)
            case Registration():
                self._registration_by_lane.pop(doc.id, None)
                for interest in doc.events_of_interest:
                    self._subscribers[interest].discard(doc.id)
                    if not self._subscribers[interest]:
                        del self._subscribers[interest]
                    self._routes.pop((doc.org, interest.provider_id, interest.event_code), None)
            case EventMetadata():
                self._routes.pop((doc.org, doc.provider_id, doc.event_code), None)
            case Revocation():
                self._revocation_by_id.pop(doc.id, None)

    def _find(self, kind: Kind, org: OrgId, doc_id: str) -> Any:
        return self._docs[kind].get(org, _NOTHING).get(doc_id)

    def _of(self, kind: Kind, org: OrgId) -> list[Any]:
        """In creation order."""
        return list(self._docs[kind].get(org, _NOTHING).values())

    # --- Look-ups ---

    def organizations(self) -> list[Organization]:
        return [each for of_one in self._docs["organization"].values() for each in of_one.values()]

    def organization(self, org: OrgId) -> Organization | None:
        found: Organization | None = self._find("organization", org, org)
        return found

    def organization_by_ims(self, ims_org_id: str) -> Organization | None:
        org = self._org_by_ims.get(ims_org_id)
        return None if org is None else self.organization(org)

    def projects(self, org: OrgId) -> list[Project]:
        """In creation order; likewise the next two."""
        return self._of("project", org)

    def workspaces(self, org: OrgId) -> list[Workspace]:
        return self._of("workspace", org)

    def providers(self, org: OrgId) -> list[Provider]:
        return self._of("provider", org)

    def project(self, org: OrgId, project_id: str) -> Project | None:
        found: Project | None = self._find("project", org, project_id)
        return found

    def workspace(self, org: OrgId, workspace_id: str) -> Workspace | None:
        found: Workspace | None = self._find("workspace", org, workspace_id)
        return found

    def credential(self, org: OrgId, credential_id: str) -> Credential | None:
        found: Credential | None = self._find("credential", org, credential_id)
        return found

    def credential_by_client(self, client_id: str) -> Credential | None:
        return self._credential_by_client.get(client_id)

    def credentials(self, org: OrgId) -> list[Credential]:
        """In creation order."""
        return self._of("credential", org)

    def workspace_credentials(self, org: OrgId, workspace_id: str) -> list[Credential]:
        """In creation order."""
        return [each for each in self.credentials(org) if each.workspace_id == workspace_id]

    def provider(self, provider_id: str) -> Provider | None:
        """Any organization's; the caller checks whose."""
        return self._provider_by_id.get(provider_id)

    def event_metadata(self, provider_id: str, event_code: str) -> EventMetadata | None:
        provider = self._provider_by_id.get(provider_id)
        if provider is None:
            return None
        found: EventMetadata | None = self._find("event_metadata", provider.org, f"{provider_id}/{event_code}")
        return found

    def registration(self, org: OrgId, registration_id: str) -> Registration | None:
        found: Registration | None = self._find("registration", org, registration_id)
        return found

    def registration_of_lane(self, lane: Lane) -> Registration | None:
        return self._registration_by_lane.get(lane)

    def interested(self, org: OrgId, interest: EventOfInterest) -> list[Registration]:
        """The organization's registrations that name it among their events of interest, in creation order."""
        lanes = sorted(self._subscribers.get(interest, ()))
        return [found for lane in lanes if (found := self._registration_by_lane[lane]).org == org]

    def registrations(self) -> list[Registration]:
        """In creation order."""
        return list(self._registration_by_lane.values())

    def signing_keys(self) -> list[SigningKey]:
        """In creation order."""
        return [each for of_one in self._docs["signing_key"].values() for each in of_one.values()]

    def revocation(self, revocation_id: str) -> Revocation | None:
        return self._revocation_by_id.get(revocation_id)

    def revocations(self) -> list[Revocation]:
        return list(self._revocation_by_id.values())

    def routing_epoch(self, org: OrgId) -> int:
        """What an append of the organization matched with this picture carries."""
        return self.epoch

    def route(self, org: OrgId, provider_id: str, event_code: str) -> Route:
        """Lanes of the organization whose registrations want such events, and their filters; no lanes when the code is
        unknown.

        A built-in provider's events belong to the organization they are published for, as one organization's events of
        a product are no other's."""
        key = (org, provider_id, event_code)
        route = self._routes.get(key)
        if route is None:
            route = self._match(org, provider_id, event_code)
            if route.lanes:  # unknown names must not grow the table
                self._routes[key] = route
        return route

    async def compile_filters(self) -> None:
        """Ahead of the publishes that need them: thousands take half a second. Others get the event loop in between."""
        for each in self.registrations():
            if each.subscriber_filters:
                self._router.compile(each)
                await asyncio.sleep(0)

    def _match(self, org: OrgId, provider_id: str, event_code: str) -> Route:
        provider = self._provider_by_id.get(provider_id)
        if provider is None or provider.org not in (org, BUILTIN_ORG):
            return NOBODY
        if self.event_metadata(provider_id, event_code) is None:
            return NOBODY
        return self._router.route(self.interested(org, EventOfInterest(provider_id, event_code)))


def _share_text(registration: Registration) -> None:
    """Thousands of registrations name the same places, clients and event codes: what is equal is kept once."""
    for name in ("org", "project_id", "workspace_id", "client_id"):
        msgspec.structs.force_setattr(registration, name, sys.intern(getattr(registration, name)))
    interests = _shared_interests(registration.events_of_interest)
    msgspec.structs.force_setattr(registration, "events_of_interest", interests)
    if registration.updated_ms == registration.created_ms:
        msgspec.structs.force_setattr(registration, "updated_ms", registration.created_ms)


@lru_cache(maxsize=4096)
def _shared_interests(interests: tuple[EventOfInterest, ...]) -> tuple[EventOfInterest, ...]:
    """The first that was equal."""
    return interests
