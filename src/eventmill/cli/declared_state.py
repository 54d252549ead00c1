"""What a workspace has, read from the gateway in the form in which it is compared with what files declare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from eventmill.cli.places import Json
from eventmill.cli.registration import list_registrations
from eventmill.cli.remote import Refused
from eventmill.cli.session import Session
from eventmill.core.declared import Found, Key, filter_value, unmark

_PROVIDER_FIELDS = ("docs_url", "event_delivery_format", "provider_metadata", "instance_id")
_REGISTRATION_FIELDS = (
    "delivery_type",
    "runtime_action",
    "destination_metadata",
    "enabled",
    "max_in_flight",
    "events_per_second",
)


def read_found(session: Session, has_sample: Callable[[Key], bool]) -> list[Found]:
    """All providers that the organization may use, with their event codes, and the registrations of the workspace.

    A sample takes a call, so only those are read that `has_sample` says, of the workspace's own event codes."""
    body = session.call("GET", f"{session.org_path}/providers?eventmetadata=true")
    providers = body["_embedded"]["providers"]
    here = f"{session.workspace_path}/providers/"
    names = _names(providers, here)
    found: list[Found] = []
    for each in providers:
        is_here = _is_here(each, here)
        provided = list(_read_provider(each, names[each["id"]], is_here=is_here))
        found += [_with_sample(session, one) if is_here and has_sample(one.key) else one for one in provided]
    return [*found, *(_registration(each, names) for each in list_registrations(session))]


def _is_here(provider: Json, here: str) -> bool:
    """Whether the workspace may change it: the path family of its own link says which may."""
    return here in str(provider["_links"].get("rel:update", {}).get("href", ""))


def _names(providers: Sequence[Json], here: str) -> Mapping[str, str]:
    """By id: the label, or the id where the label is another's. The workspace's own come first."""
    labels: Counter[str] = Counter(each["label"] for each in providers)
    own = {each["label"] for each in providers if _is_here(each, here)}

    def has_label(each: Json) -> bool:
        return labels[each["label"]] == 1 or (each["label"] in own and _is_here(each, here))

    return {each["id"]: each["label"] if has_label(each) else each["id"] for each in providers}


def _read_provider(provider: Json, name: str, *, is_here: bool) -> Iterator[Found]:
    description, owner = unmark(provider.get("description") or "")
    fields = {"description": description, **{each: provider.get(each) for each in _PROVIDER_FIELDS}}
    fields["docs_url"] = fields["docs_url"] or ""
    fields["schema_enforcement"] = provider.get("schema_enforcement", "off")
    yield Found(Key("provider", name), provider["id"], owner, fields, is_here=is_here)
    for each in provider.get("_embedded", {}).get("eventmetadata", ()):
        about, event_owner = unmark(each["description"])
        metadata = {"label": each["label"], "description": about, "data_schema": each.get("data_schema")}
        key = Key("event code", each["event_code"], name)
        yield Found(key, provider["id"], event_owner, metadata, is_here=is_here)


def _with_sample(session: Session, found: Found) -> Found:
    if found.key.kind != "event code":
        return found
    sample = read_sample(session, found.id, found.key.name)
    return msgspec.structs.replace(found, fields={**found.fields, "sample": sample})


def read_sample(session: Session, provider_id: str, code: str) -> Any:
    """As an event; of one in `adobe_io` format only its data are known."""
    path = f"/events/providers/{quote(provider_id, safe='')}/eventmetadata/{quote(code, safe='')}/sample_event"
    try:
        body = session.call("GET", path)
    except Refused as refused:
        if refused.status != 404:
            raise
        return None
    shown = body["sample_payload"]
    return {"data": shown.get("event")} if body["format"] == "adobe_io" else shown


def _registration(registration: Json, names: Mapping[str, str]) -> Found:
    description, owner = unmark(registration.get("description") or "")
    fields: dict[str, Any] = {"description": description}
    fields |= {name: registration.get(name) for name in _REGISTRATION_FIELDS}
    is_action = registration.get("runtime_action")  # the URL is the gateway's then
    fields["webhook_url"] = None if is_action else registration.get("webhook_url")
    fields["ca_bundle"] = (registration.get("ca_bundle") or "").strip() or None
    fields["events"] = sorted(
        (names.get(each["provider_id"], each["provider_id"]), each["event_code"])
        for each in registration["events_of_interest"]
    )
    filters = registration.get("subscriber_filters") or ()
    fields["filter"] = filter_value(filters[0]["subscriber_filter"]) if filters else None
    filter_id = str(filters[0]["id"]) if filters else ""
    return Found(Key("registration", registration["name"]), registration["registration_id"], owner, fields, filter_id)
