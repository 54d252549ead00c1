"""Carries a plan out: one call to the gateway per step, and one more where a filter changes.

Each thing bears its owner's mark from its first moment, so a run that was cut short is taken up by the next.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from eventmill.cli.places import Json
from eventmill.cli.session import JSON_PATCH, Session
from eventmill.core.declared import Found, Key, Step, Wanted, mark


class Builder:
    """Does the steps of one plan. Remembers the ids of what it makes."""

    def __init__(self, session: Session, owner: str, wanted: Sequence[Wanted], found: Sequence[Found]) -> None:
        self._session = session
        self._owner = owner
        self._wanted = {each.key: each for each in wanted}
        self._found = {each.key: each for each in found}
        self._provider_ids = {each.key.name: each.id for each in found if each.key.kind == "provider"}

    def do(self, step: Step) -> str:
        """A warning, empty when there is none. Raises `Refused`, and `NoAnswer`."""
        if step.action == "delete":
            self._session.call("DELETE", self._path(step.key))
            return ""
        if step.action == "create":
            made = self._session.call("POST", self._parent(step.key), self._creation(step))
            if step.key.kind == "provider":
                self._provider_ids[step.key.name] = made["id"]
        else:
            made = self._change(step)
        return _warning(made) if step.key.kind == "registration" else ""

    def _creation(self, step: Step) -> Json:
        key = step.key
        given = {each.field: each.after for each in step.changes}
        given["description"] = self._wanted[key].fields["description"]
        wanted = given.pop("filter", None)
        members = self._members(key, given)
        if key.kind == "provider":
            return {"label": key.name, **members}
        if key.kind == "event code":
            return {"event_code": key.name, **members}
        filters = {} if wanted is None else {"subscriber_filters": [_filter(wanted)]}
        return {"name": key.name, "client_id": self._session.account.client_id, **members, **filters}

    def _change(self, step: Step) -> Any:
        """What is taken over has to be marked, whatever else changes."""
        changed = {each.field: each.after for each in step.changes}
        if step.action == "adopt":
            changed["description"] = self._wanted[step.key].fields["description"]
        made: Any = None
        if "filter" in changed:
            self._change_filter(step.key, changed.pop("filter"))
        members = self._members(step.key, changed)
        patch = [{"op": "add", "path": f"/{name}", "value": value} for name, value in members.items()]
        if patch:
            made = self._session.call("PATCH", self._path(step.key), patch, JSON_PATCH)
        return made

    def _change_filter(self, key: Key, wanted: Any) -> None:
        """By its own resource: that challenges no webhook."""
        known = self._found[key].filter_id
        path = f"{self._path(key)}/filters"
        if wanted is None:
            self._session.call("DELETE", f"{path}/{quote(known, safe='')}")
        elif known:
            self._session.call("PUT", f"{path}/{quote(known, safe='')}", _filter(wanted))
        else:
            self._session.call("POST", path, _filter(wanted))

    def _members(self, key: Key, changed: Mapping[str, Any]) -> Json:
        """As the gateway calls them."""
        members: Json = {}
        for name, value in changed.items():
            if name == "description":
                members[name] = mark(value, self._owner)
            elif name == "events":
                members["events_of_interest"] = [
                    {"provider_id": self._provider_ids.get(provider, provider), "event_code": code}
                    for provider, code in value
                ]
            elif name == "sample":
                text = "" if value is None else b64encode(json.dumps(value).encode()).decode("ascii")
                members["sample_event_template"] = text
            else:
                members[name] = value
        return members

    def _parent(self, key: Key) -> str:
        if key.kind == "registration":
            return f"{self._session.workspace_path}/registrations"
        providers = f"{self._session.workspace_path}/providers"
        if key.kind == "provider":
            return providers
        return f"{providers}/{quote(self._provider_ids[key.provider], safe='')}/eventmetadata"

    def _path(self, key: Key) -> str:
        own = key.name if key.kind == "event code" else self._found[key].id
        return f"{self._parent(key)}/{quote(own, safe='')}"


def _filter(value: Any) -> Json:
    return {"name": "filter", "subscriber_filter": json.dumps(value, ensure_ascii=False)}


def _warning(made: Any) -> str:
    """Of a registration whose webhook did not take the challenge."""
    status = made.get("webhook_status") if isinstance(made, dict) else None
    if status == "accepted":
        return "its webhook was sent a link that validates it; open that within five minutes"
    if status != "verification_failed":
        return ""
    return f"its webhook did not pass the challenge; mend it, then: eventmill registration enable {made['name']!r}"
