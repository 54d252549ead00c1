"""The calls of the official JavaScript SDK as values: which request each is, and how its answer is read.

Named as there, in Python's spelling ("Adobe I/O Events SDK" reference). Sends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlencode

from eventmill.client.account import Account
from eventmill.client.documents import (
    EventMetadata,
    EventMetadataInput,
    Provider,
    ProviderInput,
    ProviderMetadata,
    Registration,
    RegistrationInput,
    RegistrationPage,
    Trace,
)
from eventmill.client.errors import BadAnswer, ClientError
from eventmill.client.exchange import Answer, Call

T = TypeVar("T")
_HAL = "application/hal+json"


@dataclass(frozen=True)
class Workspace:
    """Where providers and registrations are made; the account's own unless a call is given another."""

    consumer_org_id: str
    project_id: str
    workspace_id: str


class Calls:
    """Builds calls for one account. Raises `ClientError` when an id that a path needs is not known."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._events = f"{account.api_url.rstrip('/')}/events"

    # --- Providers ---

    def get_all_providers(
        self,
        consumer_org_id: str | None,
        *,
        fetch_event_metadata: bool,
        provider_metadata_id: str | None,
        instance_id: str | None,
        provider_metadata_ids: Sequence[str],
    ) -> Call[list[Provider]]:
        if provider_metadata_id and provider_metadata_ids:
            raise ClientError(
                "get_all_providers: only one of provider_metadata_id and provider_metadata_ids can be set"
            )
        query = [("providerMetadataId", provider_metadata_id), ("instanceId", instance_id)]
        query += [("providerMetadataIds", each) for each in provider_metadata_ids]
        query.append(("eventmetadata", "true" if fetch_event_metadata else None))
        url = _with_query(f"{self._org(consumer_org_id)}/providers", query)
        return _get("get_all_providers", url, _listed("providers"))

    def get_provider(self, provider_id: str, *, fetch_event_metadata: bool) -> Call[Provider]:
        url = _with_query(self._provider(provider_id), [("eventmetadata", "true" if fetch_event_metadata else None)])
        return _get("get_provider", url, _object)

    def create_provider(self, body: ProviderInput, workspace: Workspace | None) -> Call[Provider]:
        return _write("create_provider", "POST", f"{self._workspace(workspace)}/providers", body, _object)

    def update_provider(self, provider_id: str, body: ProviderInput, workspace: Workspace | None) -> Call[Provider]:
        url = f"{self._workspace(workspace)}/providers/{_segment(provider_id)}"
        return _write("update_provider", "PUT", url, body, _object)

    def delete_provider(self, provider_id: str, workspace: Workspace | None) -> Call[None]:
        return _delete("delete_provider", f"{self._workspace(workspace)}/providers/{_segment(provider_id)}")

    def get_provider_metadata(self) -> Call[list[ProviderMetadata]]:
        return _get("get_provider_metadata", f"{self._events}/providermetadata", _listed("providermetadata"))

    # --- Event metadata ---

    def get_all_event_metadata_for_provider(self, provider_id: str) -> Call[list[EventMetadata]]:
        url = f"{self._provider(provider_id)}/eventmetadata"
        return _get("get_all_event_metadata_for_provider", url, _listed("eventmetadata"))

    def get_event_metadata_for_provider(self, provider_id: str, event_code: str) -> Call[EventMetadata]:
        url = f"{self._provider(provider_id)}/eventmetadata/{_segment(event_code)}"
        return _get("get_event_metadata_for_provider", url, _object)

    def create_event_metadata_for_provider(
        self, provider_id: str, body: EventMetadataInput, workspace: Workspace | None
    ) -> Call[EventMetadata]:
        url = self._metadata(provider_id, workspace)
        return _write("create_event_metadata_for_provider", "POST", url, body, _object)

    def update_event_metadata_for_provider(
        self, provider_id: str, event_code: str, body: EventMetadataInput, workspace: Workspace | None
    ) -> Call[EventMetadata]:
        url = f"{self._metadata(provider_id, workspace)}/{_segment(event_code)}"
        return _write("update_event_metadata_for_provider", "PUT", url, body, _object)

    def delete_event_metadata(self, provider_id: str, event_code: str, workspace: Workspace | None) -> Call[None]:
        return _delete("delete_event_metadata", f"{self._metadata(provider_id, workspace)}/{_segment(event_code)}")

    def delete_all_event_metadata(self, provider_id: str, workspace: Workspace | None) -> Call[None]:
        return _delete("delete_all_event_metadata", self._metadata(provider_id, workspace))

    # --- Registrations ---

    def create_registration(self, body: RegistrationInput, workspace: Workspace | None) -> Call[Registration]:
        url = f"{self._workspace(workspace)}/registrations"
        return _write("create_registration", "POST", url, {"client_id": self._account.client_id, **body}, _object)

    def update_registration(
        self, registration_id: str, body: RegistrationInput, workspace: Workspace | None
    ) -> Call[Registration]:
        return _write("update_registration", "PUT", self._registration(registration_id, workspace), body, _object)

    def get_registration(self, registration_id: str, workspace: Workspace | None) -> Call[Registration]:
        return _get("get_registration", self._registration(registration_id, workspace), _object)

    def get_all_registrations_for_workspace(self, workspace: Workspace | None) -> Call[list[Registration]]:
        url = f"{self._workspace(workspace)}/registrations"
        return _get("get_all_registrations_for_workspace", url, _listed("registrations"))

    def get_all_registrations_for_org(
        self, consumer_org_id: str | None, page: int | None, size: int | None
    ) -> Call[RegistrationPage]:
        query = [("page", None if page is None else str(page)), ("size", None if size is None else str(size))]
        url = _with_query(f"{self._org(consumer_org_id)}/registrations", query)
        return _get("get_all_registrations_for_org", url, _registration_page)

    def delete_registration(self, registration_id: str, workspace: Workspace | None) -> Call[None]:
        return _delete("delete_registration", self._registration(registration_id, workspace))

    def get_traces(self, registration: Registration) -> Call[list[Trace]]:
        url = str(registration["_links"]["rel:trace"]["href"])
        return Call("get_traces", "GET", url, Answer.json, {"accept": "application/json"})

    # --- Publishing ---

    def publish_event(self, event: Mapping[str, Any] | bytes, *, is_phi: bool) -> Call[bool]:
        """Bytes are sent as they are. 200: somebody is registered; 204: nobody is ("Events Ingress API")."""
        body = event if isinstance(event, bytes) else _json(event)
        headers = {"content-type": "application/cloudevents+json"} | ({"x-event-phidata": "true"} if is_phi else {})
        return Call(
            "publish_event", "POST", self._account.ingress_url, lambda answer: answer.status == 200, headers, body
        )

    # --- Addresses ---

    def _org(self, consumer_org_id: str | None) -> str:
        return f"{self._events}/{_known('consumer_org_id', consumer_org_id or self._account.consumer_org_id)}"

    def _workspace(self, workspace: Workspace | None) -> str:
        place = workspace or self._account
        names = ("consumer_org_id", "project_id", "workspace_id")
        return "/".join([self._events, *(_known(name, getattr(place, name)) for name in names)])

    def _provider(self, provider_id: str) -> str:
        return f"{self._events}/providers/{_segment(provider_id)}"

    def _metadata(self, provider_id: str, workspace: Workspace | None) -> str:
        return f"{self._workspace(workspace)}/providers/{_segment(provider_id)}/eventmetadata"

    def _registration(self, registration_id: str, workspace: Workspace | None) -> str:
        return f"{self._workspace(workspace)}/registrations/{_segment(registration_id)}"


def _get(operation: str, url: str, read: Callable[[Answer], T]) -> Call[T]:
    return Call(operation, "GET", url, read, {"accept": _HAL})


def _write(operation: str, method: str, url: str, body: Mapping[str, Any], read: Callable[[Answer], T]) -> Call[T]:
    return Call(operation, method, url, read, {"accept": _HAL, "content-type": "application/json"}, _json(body))


def _delete(operation: str, url: str) -> Call[None]:
    return Call(operation, "DELETE", url, lambda _answer: None)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _known(name: str, value: str) -> str:
    if not value:
        raise ClientError(f"{name} is not known: give it to the call, or to the account")
    return _segment(value)


def _segment(value: str) -> str:
    """One segment of a path, whatever is in it. A dot alone would lead elsewhere."""
    if value in ("", ".", ".."):
        raise ClientError(f"{value!r} is no id")
    return quote(value, safe="")


def _with_query(url: str, query: Sequence[tuple[str, str | None]]) -> str:
    given = [(name, value) for name, value in query if value is not None]
    return f"{url}?{urlencode(given)}" if given else url


def _object(answer: Answer) -> Any:
    found = answer.json()
    if not isinstance(found, dict):
        raise BadAnswer(f"status {answer.status} with JSON that is no object")
    return found


def _listed(name: str) -> Callable[[Answer], Any]:
    def read(answer: Answer) -> list[Any]:
        if answer.status == 204:
            return []
        embedded = _object(answer).get("_embedded", {})
        return cast("list[Any]", embedded.get(name, []))

    return read


def _registration_page(answer: Answer) -> RegistrationPage:
    found = _object(answer)
    page = found.get("page", {})
    return RegistrationPage(
        registrations=found.get("_embedded", {}).get("registrations", []),
        number=page.get("number", 0),
        size=page.get("size", 0),
        total_elements=page.get("totalElements", 0),
        total_pages=page.get("totalPages", 0),
        has_next="next" in found.get("_links", {}),
    )
