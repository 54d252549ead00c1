"""Fills the HAL bodies of the management API from documents, with the links inside them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from eventmill.core.envelope import format_time
from eventmill.flow.catalogue import Catalogue
from eventmill.model import (
    BUILTIN_ORG,
    EventMetadata,
    EventOfInterest,
    Provider,
    Registration,
    SubscriberFilter,
    provider_technical_name,
)
from eventmill.web.bodies import (
    EventMetadataBody,
    EventMetadataCollection,
    EventMetadataItems,
    EventMetadataLinks,
    InterestBody,
    Link,
    PageBody,
    PageLinks,
    ProviderBody,
    ProviderCollection,
    ProviderItems,
    ProviderLinks,
    RegistrationBody,
    RegistrationCollection,
    RegistrationItems,
    RegistrationLinks,
    RegistrationPage,
    SelfLinks,
    SubscriberFilterBody,
    UndeliveredBrief,
)


def provider_url(base: str, provider_id: str) -> str:
    return f"{base}/events/providers/{provider_id}"


def provider_body(
    base: str, provider: Provider, publisher: str, *, embed: Sequence[EventMetadata] | None, alone: bool
) -> ProviderBody:
    """`embed`: the event metadata to show inside, None for none. `alone`: not in a list, so `self` tells the query."""
    here = provider_url(base, provider.id)
    query = f"?eventmetadata={'false' if embed is None else 'true'}" if alone else ""
    embedded: EventMetadataItems | UnsetType = UNSET
    if embed is not None:
        embedded = EventMetadataItems(eventmetadata=[event_metadata_body(base, provider, each) for each in embed])
    return ProviderBody(
        links=ProviderLinks(
            eventmetadata=Link(f"{here}/eventmetadata"),
            update=_update_link(base, provider, f"providers/{provider.id}"),
            self=Link(here + query),
        ),
        embedded=embedded,
        id=provider.id,
        label=provider.label,
        description=provider.description,
        source=f"urn:uuid:{provider.id}",
        docs_url=provider.docs_url or UNSET,
        publisher=publisher,
        provider_metadata=provider.provider_metadata,
        instance_id=provider.instance_id,
        event_delivery_format=provider.event_delivery_format,
        data_residency_region=provider.data_residency_region,
        schema_enforcement=UNSET if provider.schema_enforcement == "off" else provider.schema_enforcement,
    )


def provider_collection(url: str, items: list[ProviderBody]) -> ProviderCollection:
    """Clients index `_embedded` of collections unguarded, so an empty one has it too."""
    return ProviderCollection(links=SelfLinks(self=Link(url)), embedded=ProviderItems(providers=items))


def publisher(catalogue: Catalogue, provider: Provider) -> str:
    """Who publishes: an organization by its IMS id, or the name that the built-in catalogue gives."""
    if provider.org == BUILTIN_ORG:
        return catalogue.builtin.publisher
    organization = catalogue.organization(provider.org)
    assert organization is not None, "a provider never outlives its organization"
    return organization.ims_org_id


def _update_link(base: str, provider: Provider, path: str) -> Link | UnsetType:
    """Nobody may write what is built in."""
    return UNSET if provider.org == BUILTIN_ORG else Link(f"{_workspace_url(base, provider)}/{path}")


def _workspace_url(base: str, owned: Provider | Registration) -> str:
    return f"{base}/events/{owned.org}/{owned.project_id}/{owned.workspace_id}"


def registration_url(base: str, registration: Registration) -> str:
    return f"{_workspace_url(base, registration)}/registrations/{registration.registration_id}"


def event_metadata_body(base: str, provider: Provider, metadata: EventMetadata) -> EventMetadataBody:
    path = f"providers/{provider.id}/eventmetadata/{metadata.event_code}"
    return EventMetadataBody(
        links=EventMetadataLinks(
            sample_event=Link(f"{base}/events/{path}/sample_event"),
            update=_update_link(base, provider, path),
            self=Link(f"{base}/events/{path}"),
        ),
        description=metadata.description,
        label=metadata.label,
        event_code=metadata.event_code,
        data_schema=UNSET if metadata.data_schema is None else msgspec.json.decode(metadata.data_schema),
    )


def event_metadata_collection(url: str, items: list[EventMetadataBody]) -> EventMetadataCollection:
    return EventMetadataCollection(links=SelfLinks(self=Link(url)), embedded=EventMetadataItems(eventmetadata=items))


def registration_collection(url: str, items: list[RegistrationBody]) -> RegistrationCollection:
    return RegistrationCollection(links=SelfLinks(self=Link(url)), embedded=RegistrationItems(registrations=items))


def registration_page(url: str, number: int, size: int, total: int, items: list[RegistrationBody]) -> RegistrationPage:
    """One page of the registrations of an organization; pages count from 0."""
    pages = -(-total // size)

    def page_link(page: int) -> Link:
        return Link(f"{url}?page={page}&size={size}")

    return RegistrationPage(
        links=PageLinks(
            first=page_link(0),
            last=page_link(max(0, pages - 1)),
            next=page_link(number + 1) if number + 1 < pages else UNSET,
            prev=page_link(number - 1) if number > 0 else UNSET,
            self=page_link(number),
        ),
        embedded=RegistrationItems(registrations=items),
        page=PageBody(
            size=size,
            number=number,
            number_of_elements=len(items),
            total_elements=total,
            total_pages=pages,
        ),
    )


def registration_body(
    base: str, catalogue: Catalogue, registration: Registration, undelivered: UndeliveredBrief | UnsetType = UNSET
) -> RegistrationBody:
    org, reg = registration.org, registration.registration_id
    workspace_path = f"{org}/{registration.project_id}/{registration.workspace_id}"
    journal_path = f"{org}/integrations/{journal_credential_id(catalogue, registration)}/{reg}"
    return RegistrationBody(
        links=RegistrationLinks(
            events=Link(f"{base}/events/organizations/{journal_path}"),
            trace=Link(f"{base}/traces/{workspace_path}/registration/{reg}"),
            self=Link(registration_url(base, registration)),
        ),
        id=registration.id,
        name=registration.name,
        description=registration.description,
        client_id=registration.client_id,
        registration_id=reg,
        events_of_interest=[_interest_body(catalogue, each) for each in registration.events_of_interest],
        webhook_status=registration.webhook_status,
        created_date=format_time(registration.created_ms),
        updated_date=format_time(registration.updated_ms),
        consumer_id=org,
        project_id=registration.project_id,
        workspace_id=registration.workspace_id,
        webhook_url=_hook_url(base, registration) or UNSET,
        ca_bundle=registration.ca_bundle or UNSET,
        max_in_flight=registration.max_in_flight or UNSET,
        events_per_second=registration.events_per_second or UNSET,
        delivery_type=registration.delivery_type,
        runtime_action=registration.runtime_action or UNSET,
        destination_metadata=registration.destination_metadata or UNSET,
        subscriber_filters=[filter_body(each) for each in registration.subscriber_filters] or UNSET,
        enabled=registration.enabled,
        undelivered=undelivered,
    )


def filter_body(kept: SubscriberFilter) -> SubscriberFilterBody:
    return SubscriberFilterBody(
        id=kept.id, name=kept.name, description=kept.description, subscriber_filter=kept.subscriber_filter
    )


def _hook_url(base: str, registration: Registration) -> str | None:
    """A Runtime action has a handler of its own, whose address clients expect here."""
    if registration.runtime_action is None:
        return registration.webhook_url
    return f"{base}/runtime/{registration.registration_id}"


def journal_credential_id(catalogue: Catalogue, registration: Registration) -> str:
    """The credential in a registration's journal URL: its client's, else the workspace's first, else the client id."""
    credential = catalogue.credential_by_client(registration.client_id)
    if credential is not None and credential.workspace_id == registration.workspace_id:
        return credential.id
    others = catalogue.workspace_credentials(registration.org, registration.workspace_id)
    return others[0].id if others else registration.client_id


def _interest_body(catalogue: Catalogue, interest: EventOfInterest) -> InterestBody:
    provider = catalogue.provider(interest.provider_id)
    metadata = catalogue.event_metadata(interest.provider_id, interest.event_code)
    return InterestBody(
        event_code=interest.event_code,
        event_label=UNSET if metadata is None else metadata.label,
        event_description=UNSET if metadata is None else metadata.description,
        provider_id=interest.provider_id,
        provider=UNSET if provider is None else provider_technical_name(provider, publisher(catalogue, provider)),
        provider_label=UNSET if provider is None else provider.label,
        provider_description=UNSET if provider is None else provider.description,
        provider_docs_url=UNSET if provider is None else provider.docs_url or UNSET,
        event_delivery_format=UNSET if provider is None else provider.event_delivery_format,
    )
