"""Input models of the management API. msgspec checks what the types declare; what binds several members together is
checked here; whether the named things exist is the handlers' question. Limits: `web.fields`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, get_args

import msgspec

from eventmill.model import CUSTOM_EVENTS, DeliveryFormat, DeliveryType, Region
from eventmill.web import fields
from eventmill.web.checks import check_webhook_url, invalid, show


class ProviderUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """Create-only members in an update are ignored, except `event_delivery_format`, which is applied."""

    label: fields.Label
    description: fields.ProviderDescription | None = None
    docs_url: fields.DocsUrl | None = None
    event_delivery_format: DeliveryFormat | None = None
    schema_enforcement: fields.Enforcement | None = None


class ProviderCreate(ProviderUpdate, frozen=True, kw_only=True):
    provider_metadata: fields.FamilyId | None = None
    instance_id: fields.InstanceId | None = None
    data_residency_region: Region | None = None

    @property
    def family_id(self) -> str:
        return CUSTOM_EVENTS if self.provider_metadata is None else self.provider_metadata


class EventMetadataForm(msgspec.Struct, frozen=True, kw_only=True):
    """To create and to replace; in a replacement the code must stay as it is."""

    event_code: fields.EventCode
    label: fields.Label
    description: fields.EventDescription
    sample_event_template: fields.SampleTemplate | None = None
    data_schema: fields.DataSchema | msgspec.UnsetType | None = msgspec.UNSET


class InterestForm(msgspec.Struct, frozen=True):
    """Names its provider by id, or by its technical name (`provider`)."""

    event_code: fields.NamedEventCode
    provider_id: fields.NamedProviderId | None = None
    provider: fields.NamedProvider | None = None


class DestinationForm(msgspec.Struct, frozen=True):
    """Both are required for aws_eventbridge."""

    aws_region: fields.AwsRegion | None = None
    aws_account_id: fields.AwsAccountId | None = None


class SubscriberFilterForm(msgspec.Struct, frozen=True, kw_only=True):
    """To create and to replace. An `id` is not looked at."""

    name: fields.FilterName
    subscriber_filter: fields.FilterText
    description: fields.FilterDescription | None = None


SubscriberFilters = Annotated[
    list[SubscriberFilterForm],
    msgspec.Meta(max_length=1, description="Left out: stays as it is. Empty: all events of interest are wanted."),
]


class RegistrationUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """As sent: `delivery_type` in any case, members that the type does not use included."""

    name: fields.RegistrationName
    events_of_interest: list[InterestForm]
    delivery_type: fields.DeliveryTypeName
    description: fields.RegistrationDescription | None = None
    webhook_url: fields.WebhookUrl | None = None
    ca_bundle: fields.CaBundle | None = None
    max_in_flight: fields.MaxInFlight | None = None
    events_per_second: fields.EventsPerSecond | None = None
    runtime_action: fields.RuntimeAction | None = None
    enabled: bool | None = None
    destination_metadata: DestinationForm | None = None
    subscriber_filters: SubscriberFilters | None = None

    @property
    def type(self) -> DeliveryType:
        return _DELIVERY_TYPES[self.delivery_type.lower()]

    @property
    def pushes_to_hook(self) -> bool:
        return self.type in ("webhook", "webhook_batch")

    @property
    def hook(self) -> str | None:
        """The webhook's URL; None for the types that have none, whatever was sent."""
        return (self.webhook_url or None) if self.pushes_to_hook else None

    @property
    def bundle(self) -> str | None:
        """Counts with a webhook only, as that does."""
        return (self.ca_bundle or None) if self.hook else None

    @property
    def action(self) -> str | None:
        return (self.runtime_action or None) if self.pushes_to_hook else None


class RegistrationCreate(RegistrationUpdate, frozen=True, kw_only=True):
    client_id: fields.ClientId


_DELIVERY_TYPES: Mapping[str, DeliveryType] = MappingProxyType({name: name for name in get_args(DeliveryType)})


def check_registration(form: RegistrationUpdate, *, http_allowed: bool) -> None:
    """What no single member's type can say. Raises `INVALID_BODY` with the member's name."""
    if form.delivery_type.lower() not in _DELIVERY_TYPES:
        known = ", ".join(_DELIVERY_TYPES)
        raise invalid("delivery_type", f"must be one of {known}, but is {show(form.delivery_type)}")
    for at, interest in enumerate(form.events_of_interest):
        if interest.provider_id is None and interest.provider is None:
            raise invalid(f"events_of_interest[{at}].provider_id", "required, but missing")
    if form.pushes_to_hook:
        _check_hook(form, http_allowed)
    elif form.type == "aws_eventbridge":
        _check_destination(form.destination_metadata)


def _check_hook(form: RegistrationUpdate, http_allowed: bool) -> None:
    if form.hook is not None and form.action is not None:
        raise invalid("runtime_action", "cannot be combined with webhook_url; give one of the two")
    if form.hook is not None:
        check_webhook_url("webhook_url", form.hook, http_allowed=http_allowed)
    elif form.action is None:
        raise invalid("webhook_url", f"required for delivery_type {form.type}, unless there is a runtime_action")


def _check_destination(destination: DestinationForm | None) -> None:
    if destination is None:
        raise invalid("destination_metadata", "required for delivery_type aws_eventbridge")
    for name in ("aws_region", "aws_account_id"):
        if getattr(destination, name) is None:
            raise invalid(f"destination_metadata.{name}", "required for delivery_type aws_eventbridge")
