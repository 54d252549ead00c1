"""HAL bodies of the management API, member by member in the order of the real service, and the links inside them.

Pure: documents in, dictionaries out. Shapes: "Provider API", "Registration API", Events API reference.
"""

from __future__ import annotations

from collections.abc import Sequence

from eventmill.core.envelope import format_time
from eventmill.flow.catalogue import Catalogue
from eventmill.model import EventMetadata, EventOfInterest, Provider, Registration, provider_technical_name

Hal = dict[str, object]


def link(href: str) -> dict[str, str]:
    return {"href": href}


def provider_url(base: str, provider_id: str) -> str:
    return f"{base}/events/providers/{provider_id}"


def provider_body(
    base: str, provider: Provider, publisher: str, *, embed: Sequence[EventMetadata] | None, alone: bool
) -> Hal:
    """`embed`: the event metadata to show inside, None for none. `alone`: not in a list, so `self` tells the query."""
    here = provider_url(base, provider.id)
    query = f"?eventmetadata={'false' if embed is None else 'true'}" if alone else ""
    body: Hal = {
        "_links": {
            "rel:eventmetadata": link(f"{here}/eventmetadata"),
            "rel:update": link(f"{_workspace_url(base, provider)}/providers/{provider.id}"),
            "self": link(here + query),
        }
    }
    if embed is not None:
        body["_embedded"] = {"eventmetadata": [event_metadata_body(base, provider, each) for each in embed]}
    body |= {
        "id": provider.id,
        "label": provider.label,
        "description": provider.description,
        "source": f"urn:uuid:{provider.id}",
    }
    if provider.docs_url is not None:
        body["docs_url"] = provider.docs_url
    return body | {
        "publisher": publisher,
        "provider_metadata": provider.provider_metadata,
        "instance_id": provider.instance_id,
        "event_delivery_format": provider.event_delivery_format,
        "data_residency_region": provider.data_residency_region,
    }


def _workspace_url(base: str, owned: Provider | Registration) -> str:
    return f"{base}/events/{owned.org}/{owned.project_id}/{owned.workspace_id}"


def event_metadata_body(base: str, provider: Provider, metadata: EventMetadata) -> Hal:
    path = f"providers/{provider.id}/eventmetadata/{metadata.event_code}"
    return {
        "_links": {
            "rel:sample_event": link(f"{base}/events/{path}/sample_event"),
            "rel:update": link(f"{_workspace_url(base, provider)}/{path}"),
            "self": link(f"{base}/events/{path}"),
        },
        "description": metadata.description,
        "label": metadata.label,
        "event_code": metadata.event_code,
    }


def collection_body(self_url: str, name: str, items: Sequence[Hal]) -> Hal:
    """Clients index `_embedded` unguarded, so an empty collection has it too."""
    return {"_links": {"self": link(self_url)}, "_embedded": {name: items}}


def page_body(url: str, number: int, size: int, total: int, items: Sequence[Hal]) -> Hal:
    """One page of the registrations of an organisation; pages count from 0."""
    pages = -(-total // size)

    def page_link(page: int) -> dict[str, str]:
        return link(f"{url}?page={page}&size={size}")

    links = {"first": page_link(0), "last": page_link(max(0, pages - 1))}
    if number + 1 < pages:
        links["next"] = page_link(number + 1)
    if number > 0:
        links["prev"] = page_link(number - 1)
    links["self"] = page_link(number)
    return {
        "_links": links,
        "_embedded": {"registrations": items},
        "page": {
            "size": size,
            "number": number,
            "numberOfElements": len(items),
            "totalElements": total,
            "totalPages": pages,
        },
    }


def registration_body(base: str, catalogue: Catalogue, registration: Registration) -> Hal:
    org, reg = registration.org, registration.registration_id
    workspace_path = f"{org}/{registration.project_id}/{registration.workspace_id}"
    journal_path = f"{org}/integrations/{journal_credential_id(catalogue, registration)}/{reg}"
    body: Hal = {
        "_links": {
            "rel:events": link(f"{base}/events/organizations/{journal_path}"),
            "rel:trace": link(f"{base}/traces/{workspace_path}/registration/{reg}"),
            "self": link(f"{_workspace_url(base, registration)}/registrations/{reg}"),
        },
        "id": registration.id,
        "name": registration.name,
        "description": registration.description,
        "client_id": registration.client_id,
        "registration_id": reg,
        "events_of_interest": [_interest_body(catalogue, each) for each in registration.events_of_interest],
        "webhook_status": registration.webhook_status,
        "created_date": format_time(registration.created_ms),
        "updated_date": format_time(registration.updated_ms),
        "consumer_id": org,
        "project_id": registration.project_id,
        "workspace_id": registration.workspace_id,
    }
    if registration.webhook_url is not None:
        body["webhook_url"] = registration.webhook_url
    return body | {"delivery_type": registration.delivery_type, "enabled": registration.enabled}


def journal_credential_id(catalogue: Catalogue, registration: Registration) -> str:
    """The credential in a registration's journal URL: its client's, else the workspace's first, else the client id."""
    credential = catalogue.credential_by_client(registration.client_id)
    if credential is not None and credential.workspace_id == registration.workspace_id:
        return credential.id
    others = catalogue.workspace_credentials(registration.org, registration.workspace_id)
    return others[0].id if others else registration.client_id


def _interest_body(catalogue: Catalogue, interest: EventOfInterest) -> Hal:
    """Of a provider or code that was deleted since, only the names remain."""
    provider = catalogue.provider(interest.provider_id)
    organization = None if provider is None else catalogue.organization(provider.org)
    metadata = catalogue.event_metadata(interest.provider_id, interest.event_code)
    body: Hal = {"event_code": interest.event_code}
    if metadata is not None:
        body |= {"event_label": metadata.label, "event_description": metadata.description}
    body["provider_id"] = interest.provider_id
    if provider is not None and organization is not None:
        body |= {
            "provider": provider_technical_name(provider, organization.ims_org_id),
            "provider_label": provider.label,
            "provider_description": provider.description,
        }
        if provider.docs_url is not None:
            body["provider_docs_url"] = provider.docs_url
        body["event_delivery_format"] = provider.event_delivery_format
    return body
