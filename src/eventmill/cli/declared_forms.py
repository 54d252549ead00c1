"""The form of a file that declares what a workspace has: the check of its parts, and the source of its JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from eventmill.core.declared import OWNER_PATTERN
from eventmill.web import fields

SetName = Annotated[
    str,
    msgspec.Meta(
        pattern=OWNER_PATTERN,
        description="Of the set. It stands in the description of all that the file makes, and tells it from the rest.",
        examples=["shop"],
        extra={fields.ALLOWED: "letters, digits and -_. (at most 40)"},
    ),
]
FileName = Annotated[str, msgspec.Meta(min_length=1, description="Read from beside this file.")]
EventName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^.+:[A-Za-z0-9_\-.]+$",
        description="PROVIDER:CODE; the provider by its label or id.",
        examples=["Warehouse:com.acme.stock.low"],
        extra={fields.FORM: "PROVIDER:CODE"},
    ),
]
_Filter = Annotated[dict[str, Any], msgspec.Meta(description="Only events that it matches are wanted.")]
_Sample = Annotated[Any, msgspec.Meta(description="A sample event, or, without `specversion`, the data of one.")]
_Enabled = Annotated[bool, msgspec.Meta(description="Left out: the gateway and people switch it, this file does not.")]


class EventForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event code."""

    label: fields.Label | None = None
    """The code, unless given."""
    description: fields.EventDescription | None = None
    """The label, unless given."""
    sample: _Sample | msgspec.UnsetType = msgspec.UNSET
    sample_file: FileName | None = None
    schema: fields.DataSchema | None = None
    schema_file: FileName | None = None


class ProviderForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider, under its label."""

    description: fields.ProviderDescription = ""
    docs_url: fields.DocsUrl | None = None
    event_delivery_format: Literal["cloud_events_v1", "adobe_io"] | None = None
    schema_enforcement: fields.Enforcement | None = None
    provider_metadata: fields.FamilyId | None = None
    instance_id: fields.InstanceId | None = None
    events: dict[fields.EventCode, EventForm] = {}


class DestinationForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account of AWS."""

    aws_region: fields.AwsRegion
    aws_account_id: fields.AwsAccountId


class RegistrationForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A registration, under its name."""

    events: Annotated[list[EventName], msgspec.Meta(min_length=1)]
    description: fields.RegistrationDescription = ""
    delivery_type: Literal["webhook", "webhook_batch", "journal", "aws_eventbridge"] | None = None
    """Left out: by the rest; a journal if there is nothing to deliver to."""
    webhook_url: fields.WebhookUrl | None = None
    runtime_action: fields.RuntimeAction | None = None
    destination_metadata: DestinationForm | None = None
    filter: _Filter | None = None
    enabled: _Enabled | None = None
    ca_bundle: fields.CaBundle | None = None
    max_in_flight: fields.MaxInFlight | None = None
    events_per_second: fields.EventsPerSecond | None = None


class DeclaredForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `eventmill apply` makes of a workspace."""

    name: SetName | None = None
    """One of the files has to say it."""
    providers: dict[fields.Label, ProviderForm] = {}
    registrations: dict[fields.RegistrationName, RegistrationForm] = {}
