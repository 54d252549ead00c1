"""The blocking client: the official JavaScript SDK's calls under Python names. What is decided, `exchange` decides."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from eventmill.client.account import Account
from eventmill.client.blocking_transport import BlockingTransport
from eventmill.client.calls import Calls, Workspace
from eventmill.client.documents import (
    EventMetadata,
    EventMetadataInput,
    JournalEntry,
    JournalPage,
    Provider,
    ProviderInput,
    ProviderMetadata,
    Registration,
    RegistrationInput,
    RegistrationPage,
    Trace,
)
from eventmill.client.exchange import Call, Given, Patience, Session
from eventmill.client.journal import Emit, Reading, page_call, read_journal
from eventmill.client.verification import KeyCache, Trust, Verification, raw_body, verify

T = TypeVar("T")


class Client:
    """One account's view of the service. May be shared by threads. Close it, or use it in `with`.

    Every call raises `ClientError`: a subclass of `Refused` when the service says no, `NoAnswer` when nothing answers.
    """

    def __init__(self, account: Account, patience: Patience | None = None) -> None:
        self.account = account
        self._session = Session(account, patience or Patience(), time.time)
        self._calls = Calls(account)
        self._trust = Trust(account.client_id, KeyCache(time.monotonic), account.keys_url)
        self._transport = BlockingTransport()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, patience: Patience | None = None) -> Self:
        """With the variables that `eventmill env` prints; see `Account.from_env`."""
        return cls(Account.from_env(environ), patience)

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    # --- Providers ---

    def get_all_providers(
        self,
        consumer_org_id: str | None = None,
        *,
        fetch_event_metadata: bool = False,
        provider_metadata_id: str | None = None,
        instance_id: str | None = None,
        provider_metadata_ids: Sequence[str] = (),
    ) -> list[Provider]:
        """Those of an organization and those built in; of one family and instance, or of several families."""
        return self._make(
            self._calls.get_all_providers(
                consumer_org_id,
                fetch_event_metadata=fetch_event_metadata,
                provider_metadata_id=provider_metadata_id,
                instance_id=instance_id,
                provider_metadata_ids=provider_metadata_ids,
            )
        )

    def get_provider(self, provider_id: str, *, fetch_event_metadata: bool = False) -> Provider:
        """With its event metadata under `_embedded` when that is asked for."""
        return self._make(self._calls.get_provider(provider_id, fetch_event_metadata=fetch_event_metadata))

    def create_provider(self, body: ProviderInput, workspace: Workspace | None = None) -> Provider:
        """Raises `Conflict` with the id of the provider that is in the way."""
        return self._make(self._calls.create_provider(body, workspace))

    def update_provider(self, provider_id: str, body: ProviderInput, workspace: Workspace | None = None) -> Provider:
        """Replaces it: what `body` leaves out is gone."""
        return self._make(self._calls.update_provider(provider_id, body, workspace))

    def delete_provider(self, provider_id: str, workspace: Workspace | None = None) -> None:
        """With all its event metadata."""
        self._make(self._calls.delete_provider(provider_id, workspace))

    def get_provider_metadata(self) -> list[ProviderMetadata]:
        """The families that providers belong to."""
        return self._make(self._calls.get_provider_metadata())

    # --- Event metadata ---

    def get_all_event_metadata_for_provider(self, provider_id: str) -> list[EventMetadata]:
        """The event codes that a provider publishes."""
        return self._make(self._calls.get_all_event_metadata_for_provider(provider_id))

    def get_event_metadata_for_provider(self, provider_id: str, event_code: str) -> EventMetadata:
        """One event code of a provider."""
        return self._make(self._calls.get_event_metadata_for_provider(provider_id, event_code))

    def create_event_metadata_for_provider(
        self, provider_id: str, body: EventMetadataInput, workspace: Workspace | None = None
    ) -> EventMetadata:
        """Raises `Conflict` when the provider has the event code already."""
        return self._make(self._calls.create_event_metadata_for_provider(provider_id, body, workspace))

    def update_event_metadata_for_provider(
        self, provider_id: str, event_code: str, body: EventMetadataInput, workspace: Workspace | None = None
    ) -> EventMetadata:
        """Replaces it; the event code stays."""
        return self._make(self._calls.update_event_metadata_for_provider(provider_id, event_code, body, workspace))

    def delete_event_metadata(self, provider_id: str, event_code: str, workspace: Workspace | None = None) -> None:
        """One event code."""
        self._make(self._calls.delete_event_metadata(provider_id, event_code, workspace))

    def delete_all_event_metadata(self, provider_id: str, workspace: Workspace | None = None) -> None:
        """All event codes of the provider."""
        self._make(self._calls.delete_all_event_metadata(provider_id, workspace))

    # --- Registrations ---

    def create_registration(self, body: RegistrationInput, workspace: Workspace | None = None) -> Registration:
        """For the account's own client id unless `body` names another. Raises `Conflict` for a name that is taken."""
        return self._make(self._calls.create_registration(body, workspace))

    def update_registration(
        self, registration_id: str, body: RegistrationInput, workspace: Workspace | None = None
    ) -> Registration:
        """Replaces it; its webhook is challenged again."""
        return self._make(self._calls.update_registration(registration_id, body, workspace))

    def get_registration(self, registration_id: str, workspace: Workspace | None = None) -> Registration:
        """Its state, too: `webhook_status` and `enabled`."""
        return self._make(self._calls.get_registration(registration_id, workspace))

    def get_all_registrations_for_workspace(self, workspace: Workspace | None = None) -> list[Registration]:
        """Those of one workspace."""
        return self._make(self._calls.get_all_registrations_for_workspace(workspace))

    def get_all_registrations_for_org(
        self, consumer_org_id: str | None = None, *, page: int | None = None, size: int | None = None
    ) -> RegistrationPage:
        """A page, from 0, of those of all workspaces; the service chooses what is not given."""
        return self._make(self._calls.get_all_registrations_for_org(consumer_org_id, page, size))

    def delete_registration(self, registration_id: str, workspace: Workspace | None = None) -> None:
        """With its journal."""
        self._make(self._calls.delete_registration(registration_id, workspace))

    def get_traces(self, registration: Registration) -> list[Trace]:
        """The latest attempts to deliver, newest first: why something did not arrive. Not among the SDK's calls."""
        return self._make(self._calls.get_traces(registration))

    # --- Events ---

    def publish_event(self, event: Mapping[str, Any] | bytes, *, is_phi: bool = False) -> bool:
        """Whether somebody is registered for it; when nobody is, it is accepted and gone. `is_phi`: it has protected
        health information. A retry after a lost answer may publish it twice, with the same id."""
        return self._make(self._calls.publish_event(event, is_phi=is_phi))

    def get_events_from_journal(
        self,
        url: str,
        *,
        latest: bool | None = None,
        since: str | None = None,
        seek: str | None = None,
        limit: int | None = None,
        wait_s: int = 0,
    ) -> JournalPage:
        """A page at a journal's URL or at the `next` of another page. `wait_s`: a gateway holds an answer without
        events back for so long (`Prefer: wait`, RFC 7240); Adobe's service does not."""
        options = {"latest": latest, "since": since, "seek": seek, "limit": limit}
        return self._make(page_call(url, options, self._session.now_s(), wait_s))

    def read_journal(self, journal: str | Registration, reading: Reading | None = None) -> Iterator[JournalEntry]:
        """Events of a journal, oldest first, without end unless `reading` says so. An event is done when the next one
        is asked for; what is done is saved."""
        steps = read_journal(self._session, journal, reading or Reading())
        given: Given = None
        try:
            while True:
                try:
                    step = steps.send(given)
                except StopIteration:
                    return
                given = None
                if isinstance(step, Emit):
                    yield step.entry
                else:
                    given = self._transport.carry_out(step)
        finally:
            steps.close()

    def verify_digital_signature(self, body: bytes | str, headers: Mapping[str, str]) -> Verification:
        """Whether a delivery is genuine, and for this account. `body`: as it came, in base64 if from App Builder."""
        return self._transport.run(verify(self._trust, raw_body(body), headers))

    def _make(self, call: Call[T]) -> T:
        return self._transport.run(self._session.exchange(call))
