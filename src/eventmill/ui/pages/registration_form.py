"""The form of a registration, to create and to edit: how it is delivered, and the API's body that it comes to.

What the API says against a member is shown at its field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from eventmill.errors import Reason
from eventmill.model import Registration
from eventmill.ui.act import Outcome
from eventmill.ui.standing import OFF, standing_of
from eventmill.ui.visit import Visit

Form = Mapping[str, str]

FIELDS = (
    "name",
    "description",
    "delivery",
    "webhook_url",
    "ca_bundle",
    "runtime_action",
    "runtime_batch",
    "aws_region",
    "aws_account_id",
    "max_in_flight",
    "events_per_second",
    "credential",
)
PUSHES = ("webhook", "webhook_batch")
_MEMBER = re.compile(r"(?:destination_metadata\.)?([a-z_]+)[^:]{0,80}: ")
_NUMBERS = {"max_in_flight": int, "events_per_second": float}


def posted(visit: Visit) -> Form:
    """What was typed."""
    return {name: visit.field(name) for name in FIELDS}


def blank() -> Form:
    return {**dict.fromkeys(FIELDS, ""), "delivery": "webhook"}


def of_registration(registration: Registration) -> Form:
    destination = registration.destination_metadata
    is_action = registration.runtime_action is not None
    return {
        "name": registration.name,
        "description": registration.description,
        "delivery": "runtime" if is_action else registration.delivery_type,
        "webhook_url": registration.webhook_url or "",
        "ca_bundle": registration.ca_bundle or "",
        "runtime_action": registration.runtime_action or "",
        "runtime_batch": "yes" if is_action and registration.delivery_type == "webhook_batch" else "",
        "aws_region": destination.aws_region if destination else "",
        "aws_account_id": destination.aws_account_id if destination else "",
        "max_in_flight": _plain(registration.max_in_flight),
        "events_per_second": _plain(registration.events_per_second),
        "credential": "",
    }


def _plain(number: float | None) -> str:
    return "" if number is None else f"{number:g}"


def body_of(form: Form, events: list[tuple[str, str]], before: Registration | None = None) -> dict[str, Any]:
    """Of the API's model. A registration that somebody switched off stays so; one that the gateway disabled is asked
    again, as any change does."""
    body: dict[str, Any] = {
        "name": form["name"],
        "description": form["description"],
        "events_of_interest": [{"provider_id": provider, "event_code": code} for provider, code in events],
        "delivery_type": _delivery_type(form),
    }
    if form["delivery"] in PUSHES:
        body["webhook_url"] = form["webhook_url"]
        if form["ca_bundle"]:
            body["ca_bundle"] = form["ca_bundle"] + "\n"
    elif form["delivery"] == "runtime":
        body["runtime_action"] = form["runtime_action"]
    elif form["delivery"] == "aws_eventbridge":
        body["destination_metadata"] = {"aws_region": form["aws_region"], "aws_account_id": form["aws_account_id"]}
    for name, number in _NUMBERS.items():
        if form[name]:
            body[name] = _read_number(form[name], number)
    if before is not None and standing_of(before) is OFF:
        body["enabled"] = False
    return body


def _delivery_type(form: Form) -> str:
    if form["delivery"] == "runtime":
        return "webhook_batch" if form["runtime_batch"] else "webhook"
    return form["delivery"]


def _read_number(text: str, kind: type[int] | type[float]) -> Any:
    """The text itself when it is none: the API then says so."""
    try:
        return kind(text)
    except ValueError:
        return text


class Problems(dict[str, str]):
    """What was refused, by the field it is about; under the empty name when it is about none."""

    def __missing__(self, name: str) -> str:
        return ""


def problems_of(outcome: Outcome | None) -> Problems:
    if outcome is None:
        return Problems()
    if outcome.reason == Reason.CONFLICT.code:
        return Problems(name=outcome.message)
    if outcome.reason == Reason.CHALLENGE_FAILED.code:
        return Problems(webhook_url=outcome.message.removeprefix("webhook_url: "))
    found = _MEMBER.match(outcome.message)
    if found is None or found[1] not in FIELDS:
        return Problems({"": outcome.message})
    return Problems({found[1]: outcome.message[found.end() :]})
