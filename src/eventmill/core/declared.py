"""What a file declares and what a workspace has, in one form that can be compared; and who owns a thing. Pure.

The owner stands in the thing itself, as the last words of its description: it is there from the moment the thing is,
needs no file that could be lost, and is seen by whoever looks at the thing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

Kind = Literal["provider", "event code", "registration"]
Action = Literal["create", "change", "adopt", "delete"]

OWNER_PATTERN = r"^[A-Za-z0-9_.\-]{1,40}$"
_MARK = re.compile(r"^(.*?) ?\(managed by eventmill: ([A-Za-z0-9_.\-]{1,40})\)$", re.DOTALL)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_ANY_CLIENT = "<your_client_id>"
"""What the gateway shows for `{{clientId}}`."""
_PLACEHOLDER = re.compile(r"\{\{(?:uuid|now|clientId|providerId|eventCode)\}\}")


class Key(NamedTuple):
    """What tells a thing apart in its workspace: it is never looked for by an id."""

    kind: Kind
    name: str
    """Label of a provider, event code, name of a registration."""
    provider: str = ""
    """Label of the provider of an event code."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" of {self.provider}" if self.provider else "")


class Wanted(msgspec.Struct, frozen=True):
    """A thing as a file has it. A field that is not there may have any value."""

    key: Key
    fields: Mapping[str, Any]
    place: str
    """File and line."""
    hidden: frozenset[str] = frozenset()
    """Fields with a value that came out of a variable, and is shown to nobody."""


class Found(msgspec.Struct, frozen=True):
    """A thing as the gateway has it."""

    key: Key
    id: str
    owner: str
    """Empty: nobody's."""
    fields: Mapping[str, Any]
    filter_id: str = ""
    is_here: bool = True
    """Not of another workspace, or of everybody."""


class Change(msgspec.Struct, frozen=True):
    field: str
    before: Any
    after: Any
    hidden: bool = False


class Step(msgspec.Struct, frozen=True):
    action: Action
    key: Key
    changes: tuple[Change, ...]
    id: str = ""
    """Of what is there already, but for event codes."""


class Plan(msgspec.Struct, frozen=True):
    """Steps in an order in which they can be done."""

    steps: tuple[Step, ...]
    obstacles: tuple[str, ...]
    """Why none of it may be done."""
    notes: tuple[str, ...]
    """What it does not do, or does beside."""

    def count(self, action: Action) -> int:
        return sum(each.action == action for each in self.steps)


def mark(description: str, owner: str) -> str:
    """The description as it is stored."""
    return f"{description}{' ' if description else ''}(managed by eventmill: {owner})"


def unmark(stored: str) -> tuple[str, str]:
    """Description and owner; the owner is empty when none is told."""
    found = _MARK.match(stored)
    return (stored, "") if found is None else (found[1], found[2])


def keep_mark(given: str, stored: str) -> str:
    """A new description in place of the stored one, whose owner stays the owner."""
    owner = unmark(stored)[1]
    return mark(given, owner) if owner and not unmark(given)[1] else given


def is_same(field: str, wanted: Any, found: Any) -> bool:
    if field == "sample":
        return _makes(wanted, found)
    return bool(_canonical(wanted) == _canonical(found))


def _canonical(value: Any) -> Any:
    """1 and 1.0 are one number, true and 1 are not one value."""
    if isinstance(value, bool) or value is None:
        return (str(value),)
    if isinstance(value, dict):
        return {name: _canonical(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(each) for each in value]
    return value


def _makes(template: Any, shown: Any) -> bool:
    """Whether the sample event `shown` can have been made from `template`: the data of an event, or, with
    `specversion`, a whole event, of which the gateway fills in what is missing. Of an event in `adobe_io` format only
    the data are shown."""
    if template is None or shown is None:
        return template is None and shown is None
    if isinstance(template, dict) and "specversion" in template:
        if "specversion" not in shown:
            return _fits(template.get("data"), shown.get("data"))
        return all(_fits(value, shown.get(name)) for name, value in template.items())
    return _fits(template, shown.get("data"))


def _fits(template: Any, shown: Any) -> bool:
    if isinstance(template, str) and _PLACEHOLDER.search(template):
        pattern = ".*".join(re.escape(each) for each in _PLACEHOLDER.split(template))
        return isinstance(shown, str) and re.fullmatch(pattern, shown, re.DOTALL) is not None
    if isinstance(template, dict):
        return (
            isinstance(shown, dict)
            and template.keys() == shown.keys()
            and all(_fits(each, shown[name]) for name, each in template.items())
        )
    if isinstance(template, list):
        return (
            isinstance(shown, list)
            and len(template) == len(shown)
            and all(_fits(each, other) for each, other in zip(template, shown, strict=True))
        )
    return bool(_canonical(template) == _canonical(shown))


def guess_template(shown: Any, again: Any) -> Any:
    """The data of a template that can have made two sample events: what differs was filled in."""
    return _template(shown.get("data"), again.get("data"), shown.get("time"))


def _template(one: Any, other: Any, now: str | None) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: _template(each, other.get(name), now) for name, each in one.items()}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [_template(each, second, now) for each, second in zip(one, other, strict=True)]
    if not isinstance(one, str):
        return one
    text = one.replace(now, "{{now}}") if now else one
    if one != other:
        text = _UUID.sub("{{uuid}}", _TIME.sub("{{now}}", text))
    return text.replace(_ANY_CLIENT, "{{clientId}}")


def filter_value(text: str) -> Any:
    """A stored filter as a value; one that is no JSON as its text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
