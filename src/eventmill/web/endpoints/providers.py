"""Providers, their event metadata, and sample events ("Provider API")."""

from __future__ import annotations

from typing import Any

from eventmill.errors import Reason
from eventmill.web import event_metadata, families, provider_writes, providers, samples, schema_versions
from eventmill.web.bodies import (
    EventMetadataBody,
    EventMetadataCollection,
    FamilyCollection,
    ProviderBody,
    ProviderCollection,
    SampleEventBody,
)
from eventmill.web.endpoint import (
    NO_CONTENT,
    PATCH,
    Endpoint,
    Group,
    Operation,
    Parameter,
    RequestBody,
    hal_answer,
    json_answer,
)
from eventmill.web.endpoints.parameters import WITH_METADATA, WORKSPACE
from eventmill.web.forms import EventMetadataForm, ProviderCreate, ProviderUpdate
from eventmill.web.schema_versions import SchemaVersions
from eventmill.web.shapes import PostedSample

_PROVIDER = WORKSPACE + "/providers/{provider}"
_METADATA = "/events/providers/{provider}/eventmetadata"
_CODE = _PROVIDER + "/eventmetadata/{code}"

_PROVIDER_EXAMPLE = {"label": "Warehouse", "docs_url": "https://docs.example/warehouse"}
_METADATA_EXAMPLE = {
    "event_code": "com.acme.stock.low",
    "label": "Stock low",
    "description": "Stock fell under its floor",
}
_NOT_CHANGEABLE = (Reason.NOT_PERMITTED,)
_FORCE = Parameter(
    "force",
    bool,
    "Change the schema even if it would refuse the sample event, or events of late, that were accepted before. Ours.",
)
_WRITES = (Reason.NOT_PERMITTED, Reason.CONFLICT, Reason.STALE_VERSION)

PROVIDERS = Group(
    tag="Providers",
    about="Who publishes events.",
    for_callers=(
        Endpoint(
            "GET",
            "/events/providermetadata",
            families.list_families,
            Operation("getProviderMetadata", "List provider metadata", (hal_answer(FamilyCollection),)),
        ),
        Endpoint(
            "GET",
            "/events/{org}/providers",
            providers.list_providers,
            Operation(
                "getAllProviders",
                "List the providers that an organization may subscribe to",
                (hal_answer(ProviderCollection),),
                (
                    WITH_METADATA,
                    Parameter("providerMetadataId", str, "Those of this provider metadata only."),
                    Parameter("providerMetadataIds", list[str], "Of any of these; repeated, or separated by commas."),
                    Parameter("instanceId", str, "Those with this instance id only."),
                ),
                about="Its own and the built-in ones. A filter that no provider passes is answered with 404.",
            ),
        ),
        Endpoint(
            "GET",
            "/events/providers/{provider}",
            providers.get_provider,
            Operation("getProvider", "Read a provider", (hal_answer(ProviderBody),), (WITH_METADATA,)),
        ),
        Endpoint(
            "POST",
            WORKSPACE + "/providers",
            provider_writes.create_provider,
            Operation(
                "createProvider",
                "Create a provider",
                (hal_answer(ProviderBody, 201),),
                bodies=(RequestBody(ProviderCreate, example=_PROVIDER_EXAMPLE),),
                refusals=_WRITES,
            ),
        ),
        Endpoint(
            "PUT",
            _PROVIDER,
            provider_writes.update_provider,
            Operation(
                "updateProvider",
                "Replace a provider",
                (hal_answer(ProviderBody),),
                bodies=(RequestBody(ProviderUpdate, example=_PROVIDER_EXAMPLE),),
                refusals=(*_WRITES, Reason.INCOMPATIBLE_FILTER),
            ),
        ),
        Endpoint(
            "PATCH",
            _PROVIDER,
            provider_writes.patch_provider,
            Operation(
                "patchProvider",
                "Change a provider by JSON Patch",
                (hal_answer(ProviderBody), NO_CONTENT),
                bodies=(PATCH,),
                refusals=(*_WRITES, Reason.INCOMPATIBLE_FILTER),
                about="204 when nothing changed.",
            ),
        ),
        Endpoint(
            "DELETE",
            _PROVIDER,
            provider_writes.delete_provider,
            Operation(
                "deleteProvider",
                "Delete a provider",
                (NO_CONTENT,),
                refusals=(Reason.NOT_PERMITTED, Reason.STALE_VERSION),
                about="Its event metadata go with it. Registrations keep their events of interest.",
            ),
        ),
    ),
)

EVENT_METADATA = Group(
    tag="Event Metadata",
    about="The event codes of a provider.",
    for_callers=(
        Endpoint(
            "GET",
            _METADATA,
            event_metadata.list_event_metadata,
            Operation("getAllEventMetadataForProvider", "List event metadata", (hal_answer(EventMetadataCollection),)),
        ),
        Endpoint(
            "GET",
            _METADATA + "/{code}",
            event_metadata.get_event_metadata,
            Operation("getEventMetadataForProvider", "Read event metadata", (hal_answer(EventMetadataBody),)),
        ),
        Endpoint(
            "GET",
            _METADATA + "/{code}/schemas",
            schema_versions.list_schema_versions,
            Operation(
                "getSchemaVersions",
                "List the versions of the schema of an event code",
                (json_answer(SchemaVersions),),
                about="The newest first. An addition of Eventmill.",
            ),
        ),
        Endpoint(
            "POST",
            _PROVIDER + "/eventmetadata",
            event_metadata.create_event_metadata,
            Operation(
                "createEventMetadataForProvider",
                "Create event metadata",
                (hal_answer(EventMetadataBody, 201),),
                bodies=(RequestBody(EventMetadataForm, example=_METADATA_EXAMPLE),),
                refusals=_WRITES,
            ),
        ),
        Endpoint(
            "PUT",
            _CODE,
            event_metadata.update_event_metadata,
            Operation(
                "updateEventMetadataForProvider",
                "Replace event metadata",
                (hal_answer(EventMetadataBody),),
                parameters=(_FORCE,),
                bodies=(RequestBody(EventMetadataForm, example=_METADATA_EXAMPLE),),
                refusals=(*_WRITES, Reason.INCOMPATIBLE_SCHEMA),
                about="The event code must stay as it is.",
            ),
        ),
        Endpoint(
            "PATCH",
            _CODE,
            event_metadata.patch_event_metadata,
            Operation(
                "patchEventMetadata",
                "Change event metadata by JSON Patch",
                (hal_answer(EventMetadataBody), NO_CONTENT),
                parameters=(_FORCE,),
                bodies=(PATCH,),
                refusals=(*_WRITES, Reason.INCOMPATIBLE_SCHEMA),
                about="204 when nothing changed.",
            ),
        ),
        Endpoint(
            "DELETE",
            _CODE,
            event_metadata.delete_event_metadata,
            Operation("deleteEventMetadata", "Delete event metadata", (NO_CONTENT,), refusals=_NOT_CHANGEABLE),
        ),
        Endpoint(
            "DELETE",
            _PROVIDER + "/eventmetadata",
            event_metadata.delete_all_event_metadata,
            Operation(
                "deleteAllEventMetadata",
                "Delete all event metadata of a provider",
                (NO_CONTENT,),
                refusals=(Reason.NOT_PERMITTED, Reason.STALE_VERSION),
            ),
        ),
    ),
)

SAMPLE_EVENTS = Group(
    tag="Sample Event",
    about="What an event of a code looks like.",
    for_callers=(
        Endpoint(
            "GET",
            _METADATA + "/{code}/sample_event",
            samples.get_sample_event,
            Operation("getSampleEvent", "Read a sample event", (hal_answer(SampleEventBody),)),
        ),
        Endpoint(
            "POST",
            _METADATA + "/{code}/sample_event/{registration}",
            samples.post_sample_event,
            Operation(
                "sendSampleEvent",
                "Send a sample event to one registration",
                (json_answer(PostedSample, 200, "x-eventmill-schema-warning"), NO_CONTENT),
                bodies=(RequestBody(dict[str, Any], required=False),),
                refusals=(
                    Reason.UNKNOWN_EVENT,
                    Reason.INVALID_EVENT,
                    Reason.SCHEMA_VIOLATION,
                    Reason.STORAGE_QUOTA_REACHED,
                ),
                about="Without a body, the sample event of the code; 204 when it has none.",
            ),
        ),
    ),
)
