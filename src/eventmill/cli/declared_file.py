"""Files that declare what a workspace has: read, checked with file and line, and put together as one set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from eventmill.cli.declared_forms import DeclaredForm, EventForm, ProviderForm, RegistrationForm, SetName
from eventmill.cli.declared_yaml import Document
from eventmill.cli.declared_yaml import Path as Place
from eventmill.cli.remote import Failed
from eventmill.core.declared import Key, Wanted, mark
from eventmill.core.json_schema import schema_fault
from eventmill.core.ruler import compile_filter
from eventmill.errors import GatewayError
from eventmill.web.checks import convert
from eventmill.web.fields import EventCode, Label, RegistrationName

_DESCRIPTION_MAX = {"provider": 255, "event code": 255, "registration": 5000}
_MEMBER = {"data_schema": "schema"}
"""Where a file calls it otherwise than the gateway."""


class Declared(NamedTuple):
    """All that the files say."""

    name: str
    wanted: tuple[Wanted, ...]


def read_declared(files: Sequence[str], environ: Mapping[str, str]) -> Declared:
    """Of several files, the sum. Raises `Failed` at the first fault, with its file and line."""
    documents = [_read(each, environ) for each in files]
    name = _read_name(documents)
    wanted: dict[Key, Wanted] = {}
    for document in documents:
        for each in _read_wanted(document, name):
            if each.key in wanted:
                raise Failed(f"{each.place}: {each.key} is declared in {wanted[each.key].place} too")
            wanted[each.key] = each
    return Declared(name, tuple(wanted.values()))


def read_set_name(files: Sequence[str]) -> str:
    """Of files of which nothing else matters: no variable has to be set."""
    return _read_name([_read(each, None) for each in files])


def _read(file: str, environ: Mapping[str, str] | None) -> Document:
    try:
        document = Document(file, Path(file).read_text("utf-8"), environ)
    except OSError as error:
        raise Failed(f"{file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise Failed(f"{file} is not UTF-8") from None
    if not isinstance(document.value, dict):
        raise document.fault((), "expected `name`, `providers` and `registrations`")
    for member in document.value:
        if member not in DeclaredForm.__struct_fields__:
            known = ", ".join(DeclaredForm.__struct_fields__)
            raise document.fault((member,), f"unknown member {member!r}; there are: {known}")
    return document


def _read_name(documents: Sequence[Document]) -> str:
    said = [(each, _checked_name(each)) for each in documents if each.value.get("name") is not None]
    if not said:
        raise Failed(f"{documents[0].name}: name: required, but missing; it tells what this set owns from the rest")
    for document, name in said:
        if name != said[0][1]:
            raise document.fault(("name",), f"name: is {name!r}, but {said[0][0].name} says {said[0][1]!r}")
    return said[0][1]


def _checked_name(document: Document) -> str:
    try:
        return str(convert(document.value["name"], SetName))
    except GatewayError as error:
        raise document.fault(("name",), f"name: {error.message}") from None


def _read_wanted(document: Document, owner: str) -> Iterator[Wanted]:
    for label in _names(document, ("providers",), Label):
        path: Place = ("providers", label)
        form: ProviderForm = _converted(document, path, ProviderForm, without="events")
        yield _wanted(document, path, Key("provider", label), owner, _provider_fields(form))
        for code in _names(document, (*path, "events"), EventCode):
            at = (*path, "events", code)
            event: EventForm = _converted(document, at, EventForm)
            yield _wanted(document, at, Key("event code", code, label), owner, _event_fields(document, at, code, event))
    for name in _names(document, ("registrations",), RegistrationName):
        path = ("registrations", name)
        registration: RegistrationForm = _converted(document, path, RegistrationForm)
        fields = _registration_fields(document, path, registration)
        yield _wanted(document, path, Key("registration", name), owner, fields)


def _names(document: Document, path: Place, kind: Any) -> Iterator[str]:
    """Of the members of a mapping, each checked."""
    mapping = _at(document, path)
    if mapping is None:
        return
    if not isinstance(mapping, dict):
        raise document.fault(path, f"{path[-1]}: expected names, each with what belongs to it")
    for name in mapping:
        try:
            convert(name, kind)
        except GatewayError as error:
            raise document.fault((*path, name), f"{name!r}: {error.message}") from None
        yield name


def _at(document: Document, path: Place) -> Any:
    value = document.value
    for step in path:
        value = (value or {}).get(step)
    return value


def _converted(document: Document, path: Place, model: Any, *, without: str = "") -> Any:
    value = _at(document, path)
    if isinstance(value, dict) or value is None:
        value = {name: each for name, each in (value or {}).items() if name != without}
    try:
        return convert(value, model)
    except GatewayError as error:
        member = error.message.partition(":")[0]
        where = path
        if "unknown field" in error.message:
            member = error.message.rpartition("field ")[2]
        for step in member.replace("[", ".").replace("]", "").split("."):
            where = (*where, int(step) if step.isdigit() else step)
        if document.has_hidden(where):
            raise document.fault(where, f"{member}: the value that its variable has does not do") from None
        raise document.fault(where, error.message) from None


def _wanted(document: Document, path: Place, key: Key, owner: str, fields: Mapping[str, Any]) -> Wanted:
    text = mark(fields["description"], owner)
    most = _DESCRIPTION_MAX[key.kind]
    if len(text) > most:
        room = most - len(mark("", owner)) - 1
        raise document.fault((*path, "description"), f"description: must have at most {room} characters in this set")
    hidden = frozenset(name for name in fields if document.has_hidden((*path, _MEMBER.get(name, name))))
    return Wanted(key, fields, document.place(path), hidden)


def _provider_fields(form: ProviderForm) -> Mapping[str, Any]:
    fields: dict[str, Any] = {"description": form.description}
    for name in ("docs_url", "event_delivery_format", "schema_enforcement", "provider_metadata", "instance_id"):
        if getattr(form, name) is not None:
            fields[name] = getattr(form, name)
    return fields


def _event_fields(document: Document, path: Place, code: str, form: EventForm) -> Mapping[str, Any]:
    label = form.label or code
    schema = form.schema
    if form.schema_file is not None:
        schema = _read_beside(document, (*path, "schema_file"), form.schema_file)
    fault = None if schema is None else schema_fault(schema, "schema")
    if fault is not None:
        raise document.fault((*path, "schema"), fault)
    sample = None if form.sample is msgspec.UNSET else form.sample
    if form.sample_file is not None:
        sample = _read_beside(document, (*path, "sample_file"), form.sample_file)
    for name in ("schema", "sample"):
        if {name, f"{name}_file"} <= (_at(document, path) or {}).keys():
            raise document.fault((*path, f"{name}_file"), f"{name} and {name}_file do not go together")
    return {"label": label, "description": form.description or label, "data_schema": schema, "sample": sample}


def _read_beside(document: Document, path: Place, name: str) -> Any:
    file = Path(document.name).parent / name
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise document.fault(path, f"{file} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise document.fault(path, f"{file} is not JSON: {error}") from None


def _registration_fields(document: Document, path: Place, form: RegistrationForm) -> Mapping[str, Any]:
    if form.filter is not None:
        try:
            compile_filter(json.dumps(form.filter, ensure_ascii=False))
        except GatewayError as error:
            raise document.fault((*path, "filter"), f"filter: {error.message}") from None
    fields: dict[str, Any] = {
        "description": form.description,
        "delivery_type": form.delivery_type or _delivery_type(form),
        "webhook_url": form.webhook_url or None,
        "runtime_action": form.runtime_action or None,
        "destination_metadata": msgspec.to_builtins(form.destination_metadata),
        "events": [tuple(each.rpartition(":")[::2]) for each in form.events],
        "filter": form.filter,
        "ca_bundle": (form.ca_bundle or "").strip() or None,
        "max_in_flight": form.max_in_flight,
        "events_per_second": form.events_per_second,
    }
    _check_target(document, path, fields)
    return fields if form.enabled is None else {**fields, "enabled": form.enabled}


def _delivery_type(form: RegistrationForm) -> str:
    if form.destination_metadata is not None:
        return "aws_eventbridge"
    return "webhook" if form.webhook_url or form.runtime_action else "journal"


_TARGETS = {
    "webhook": ("webhook_url", "runtime_action"),
    "webhook_batch": ("webhook_url", "runtime_action"),
    "aws_eventbridge": ("destination_metadata",),
    "journal": (),
}


def _check_target(document: Document, path: Place, fields: Mapping[str, Any]) -> None:
    """What the gateway would ignore would be wanted for ever."""
    kind = fields["delivery_type"]
    allowed = _TARGETS[kind]
    given = [name for name in ("webhook_url", "runtime_action", "destination_metadata") if fields[name] is not None]
    for name in given:
        if name not in allowed:
            raise document.fault((*path, name), f"{name}: does not go with delivery_type {kind}")
    if allowed and len(given) != 1:
        raise document.fault(path, f"delivery_type {kind} needs {' or '.join(allowed)}")
    if fields["ca_bundle"] is not None and fields["webhook_url"] is None:
        raise document.fault((*path, "ca_bundle"), "ca_bundle: goes with a webhook_url only")
