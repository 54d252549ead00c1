"""What delivery knows of registrations: where each lane delivers to, and whether new events are pushed there.

Far less than the catalogue, as each delivery process has its own, and there may be tens of thousands of lanes.
"""

from __future__ import annotations

import sys
from collections import defaultdict

import msgspec

from eventmill.flow.picture import Picture
from eventmill.flow.targets import Target, delivers
from eventmill.model import Credential, Lane, OrgId, Registration
from eventmill.store.control import ControlReads, Kind

_registration = msgspec.json.Decoder(Registration)
_credential = msgspec.json.Decoder(Credential)


class Aims(Picture):
    """One per `Deliver`."""

    def __init__(self, store: ControlReads) -> None:
        super().__init__(store)
        self._touched: set[Lane] = set()
        self._clear()

    def _clear(self) -> None:
        self._targets: dict[Lane, Target] = {}
        self._pushed: set[Lane] = set()
        self._lanes: defaultdict[OrgId, dict[str, Lane]] = defaultdict(dict)
        """By registration id."""
        self._clients: dict[tuple[OrgId, str], str] = {}
        """Client ids, by the credential's id."""
        self._credentials: dict[str, Credential] = {}
        """By client id."""

    def target(self, lane: Lane) -> Target | None:
        """None: there is no such registration (any more)."""
        return self._targets.get(lane)

    def is_pushed(self, lane: Lane) -> bool:
        """Whether the registration wants new events to be pushed."""
        return lane in self._pushed

    async def load(self) -> None:
        await super().load()
        self._touched.clear()

    async def follow(self) -> set[Lane]:
        """Catch up as `refresh` does; returns the lanes of registrations touched since the last call or the load,
        deleted ones included, and of those that sign with a touched credential."""
        await self.refresh()
        touched, self._touched = self._touched, set()
        return touched

    async def _read_everything(self) -> None:
        self._touched.update(self._targets)
        self._clear()
        async for stored in self._read("credential"):
            self._put_credential(stored.org, stored.id, _credential.decode(stored.doc))
        async for stored in self._read("registration"):
            self._put_registration(_registration.decode(stored.doc))
        self._touched.update(self._targets)

    async def _apply(self, kind: Kind, org: OrgId, doc_id: str) -> None:
        if kind == "registration":
            stored = await self._store.get(kind, org, doc_id)
            self._drop_registration(org, doc_id)
            if stored is not None:
                self._touched.add(self._put_registration(_registration.decode(stored.doc)))
        elif kind == "credential":
            stored = await self._store.get(kind, org, doc_id)
            touched = {self._drop_credential(org, doc_id)}
            if stored is not None:
                touched.add(self._put_credential(org, doc_id, _credential.decode(stored.doc)))
            self._sign_anew(touched)

    def _put_credential(self, org: OrgId, credential_id: str, credential: Credential) -> str:
        self._clients[org, credential_id] = credential.client_id
        self._credentials[credential.client_id] = credential
        return credential.client_id

    def _drop_credential(self, org: OrgId, credential_id: str) -> str | None:
        client_id = self._clients.pop((org, credential_id), None)
        if client_id is not None:
            del self._credentials[client_id]
        return client_id

    def _sign_anew(self, clients: set[str | None]) -> None:
        for lane, target in self._targets.items():
            if target.client_id in clients:
                self._targets[lane] = target.signed_with(self._credentials.get(target.client_id))
                self._touched.add(lane)

    def _put_registration(self, registration: Registration) -> Lane:
        target = Target.for_registration(registration, self._credentials.get(registration.client_id))
        # Thousands of registrations have the same organization and client: each text is kept once.
        target = msgspec.structs.replace(target, org=sys.intern(target.org), client_id=sys.intern(target.client_id))
        self._targets[target.lane] = target
        self._lanes[target.org][target.registration_id] = target.lane
        if delivers(registration):
            self._pushed.add(target.lane)
        return target.lane

    def _drop_registration(self, org: OrgId, registration_id: str) -> None:
        lane = self._lanes[org].pop(registration_id, None)
        if lane is not None:
            del self._targets[lane]
            self._pushed.discard(lane)
            self._touched.add(lane)
