"""Input models of the management API, decoded and checked. What leaves here is valid by itself; whether the named
things exist is the handlers' question. Limits: "Provider API", "Registration API", Events API reference."""

from __future__ import annotations

import msgspec

from eventmill.errors import Reason
from eventmill.model import CUSTOM_EVENTS, DeliveryFormat, DeliveryType, Region
from eventmill.web import checks


class ProviderUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """Create-only members in an update are ignored, except `event_delivery_format`, which is applied."""

    label: str
    description: str | None = None
    docs_url: str | None = None
    event_delivery_format: DeliveryFormat | None = None


class ProviderCreate(ProviderUpdate, frozen=True, kw_only=True):
    provider_metadata: str | None = None
    instance_id: str | None = None
    data_residency_region: Region | None = None

    @property
    def family_id(self) -> str:
        return CUSTOM_EVENTS if self.provider_metadata is None else self.provider_metadata


def read_provider_update(body: bytes) -> ProviderUpdate:
    return _checked_provider(checks.read_object(body, ProviderUpdate))


def read_provider_create(body: bytes) -> ProviderCreate:
    form = checks.read_object(body, ProviderCreate)
    _checked_provider(form)
    if form.provider_metadata is not None:
        checks.check_length("provider_metadata", form.provider_metadata, 1, 255)
    if form.instance_id:
        checks.check_instance_id("instance_id", form.instance_id)
    return form


def _checked_provider(form: ProviderUpdate) -> ProviderUpdate:
    checks.check_label("label", form.label, 1)
    if form.description:
        checks.check_label("description", form.description, 0, lines=True)
    if form.docs_url:
        checks.check_docs_url("docs_url", form.docs_url)
    return form


class EventMetadataForm(msgspec.Struct, frozen=True, kw_only=True):
    event_code: str
    label: str
    description: str
    sample_event_template: str | None = None


def read_event_metadata(body: bytes) -> EventMetadataForm:
    form = checks.read_object(body, EventMetadataForm)
    checks.check_event_code("event_code", form.event_code)
    checks.check_label("label", form.label, 1)
    checks.check_label("description", form.description, 1, lines=True)
    return form


class InterestForm(msgspec.Struct, frozen=True):
    """Names its provider by id, or by its technical name (`provider`)."""

    event_code: str
    provider_id: str | None = None
    provider: str | None = None


class RegistrationUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """As sent; `delivery_type` is any spelling, see `read_registration_*`."""

    name: str
    events_of_interest: list[InterestForm]
    delivery_type: str
    description: str | None = None
    webhook_url: str | None = None
    runtime_action: str | None = None
    enabled: bool | None = None
    subscriber_filters: list[dict[str, object]] | None = None
    destination_metadata: dict[str, object] | None = None

    @property
    def type(self) -> DeliveryType:
        return _DELIVERY_TYPES[self.delivery_type.lower()]

    @property
    def hook(self) -> str | None:
        """The webhook's URL; None for the types that have none, whatever was sent."""
        return None if self.type == "journal" else self.webhook_url


class RegistrationCreate(RegistrationUpdate, frozen=True, kw_only=True):
    client_id: str


_DELIVERY_TYPES: dict[str, DeliveryType] = {
    "webhook": "webhook",
    "webhook_batch": "webhook_batch",
    "journal": "journal",
}
_LATER = "aws_eventbridge"


def read_registration_create(body: bytes, *, http_allowed: bool) -> RegistrationCreate:
    form = checks.read_object(body, RegistrationCreate)
    checks.check_client_id("client_id", form.client_id)
    _check_registration(form, http_allowed)
    return form


def read_registration_update(body: bytes, *, http_allowed: bool) -> RegistrationUpdate:
    form = checks.read_object(body, RegistrationUpdate)
    _check_registration(form, http_allowed)
    return form


def _check_registration(form: RegistrationUpdate, http_allowed: bool) -> None:
    checks.check_length("name", form.name, 3, 255)
    checks.check_text("name", form.name)
    if form.description:
        checks.check_length("description", form.description, 0, 5000)
        checks.check_text("description", form.description, lines=True)
    for at, interest in enumerate(form.events_of_interest):
        _check_interest(f"events_of_interest[{at}]", interest)
    _check_destination(form, http_allowed)
    if form.subscriber_filters:
        raise checks.invalid("subscriber_filters", "filters are not available yet", Reason.NOT_AVAILABLE_YET)


def _check_interest(where: str, interest: InterestForm) -> None:
    checks.check_length(f"{where}.event_code", interest.event_code, 1, 255)
    if interest.provider_id is not None:
        checks.check_length(f"{where}.provider_id", interest.provider_id, 1, 38)
    elif not interest.provider:
        raise checks.invalid(f"{where}.provider_id", "required, but missing")


def _check_destination(form: RegistrationUpdate, http_allowed: bool) -> None:
    if form.delivery_type.lower() == _LATER:
        raise checks.invalid("delivery_type", f"{_LATER} is not available yet", Reason.NOT_AVAILABLE_YET)
    if form.delivery_type.lower() not in _DELIVERY_TYPES:
        known = ", ".join(_DELIVERY_TYPES)
        raise checks.invalid("delivery_type", f"must be one of {known}, but is {checks.show(form.delivery_type)}")
    if form.runtime_action:
        raise checks.invalid("runtime_action", "Runtime actions are not available yet", Reason.NOT_AVAILABLE_YET)
    if form.type == "journal":
        return
    if not form.webhook_url:
        raise checks.invalid("webhook_url", f"required for delivery_type {form.type}")
    checks.check_webhook_url("webhook_url", form.webhook_url, http_allowed=http_allowed)
