"""From the forms of filters to the filters of a registration: compiled to see that they can be, kept under one id."""

from __future__ import annotations

from collections.abc import Sequence

from eventmill.core.ruler import compile_filter
from eventmill.errors import GatewayError, Reason
from eventmill.model import Provider, Registration, SubscriberFilter
from eventmill.web.forms import SubscriberFilterForm
from eventmill.web.parts import Parts


def new_filter(form: SubscriberFilterForm, filter_id: str) -> SubscriberFilter:
    """Raises `INVALID_FILTER`, saying what is wrong and where."""
    compile_filter(form.subscriber_filter)
    return SubscriberFilter(
        id=filter_id,
        name=form.name,
        description=form.description or "",
        subscriber_filter=form.subscriber_filter,
    )


def draft_filters(
    parts: Parts, known: Registration, forms: Sequence[SubscriberFilterForm] | None
) -> tuple[SubscriberFilter, ...]:
    """Those of a registration's form: the ones it has when the form does not speak of them. One that is replaced hands
    on its id."""
    held = known.subscriber_filters
    if forms is None:
        return held
    try:
        return tuple(new_filter(form, held[0].id if held else parts.ids.uuid()) for form in forms)
    except GatewayError as error:
        raise GatewayError(error.reason, f"subscriber_filters[0].{error.message}") from None


def check_filterable(parts: Parts, registration: Registration) -> None:
    """Refuses a registration that has a filter and cannot have one ("Subscriber Defined Filtering", prerequisites)."""
    if not registration.subscriber_filters:
        return
    if registration.delivery_type == "aws_eventbridge":
        message = "subscriber_filters: a registration of delivery_type aws_eventbridge cannot have a filter"
        raise GatewayError(Reason.INCOMPATIBLE_FILTER, message)
    for interest in registration.events_of_interest:
        provider = parts.catalogue.provider(interest.provider_id)
        if provider is not None and provider.event_delivery_format == "adobe_io":
            message = (
                f"subscriber_filters: event code {interest.event_code} of provider {provider.id} is delivered in the "
                "adobe_io format; filters need CloudEvents"
            )
            raise GatewayError(Reason.INCOMPATIBLE_FILTER, message)


def check_delivery_format(parts: Parts, provider: Provider) -> None:
    """Refuses the `adobe_io` format for a provider that a filtered registration gets events of."""
    if provider.event_delivery_format != "adobe_io":
        return
    for registration in parts.catalogue.registrations():
        is_interested = any(each.provider_id == provider.id for each in registration.events_of_interest)
        if is_interested and registration.subscriber_filters:
            message = (
                f"event_delivery_format: registration {registration.registration_id} has a filter for events of this "
                "provider, and filters need CloudEvents"
            )
            raise GatewayError(Reason.INCOMPATIBLE_FILTER, message)


def filter_documents(registration: Registration) -> list[dict[str, str]]:
    """As in the update model."""
    return [
        {"name": each.name, "description": each.description, "subscriber_filter": each.subscriber_filter}
        for each in registration.subscriber_filters
    ]
