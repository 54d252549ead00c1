"""`eventmill export`: the file that would make a workspace what it is, for `eventmill apply`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TextIO

import click
import msgspec

from eventmill.cli.places import Json
from eventmill.cli.remote import Failed
from eventmill.cli.session import Session, session_options
from eventmill.core.declared import Found, guess_template

_FIRST = ("description", "events", "filter", "delivery_type", "webhook_url")
_FAMILY = "3rd_party_custom_events"


@click.command(short_help="Write a workspace as a file for `apply`")
@click.option("--name", metavar="SET", help="Of the set.  [default: the only one there is, else events]")
@click.option("--out", type=click.File("w", encoding="utf-8"), default="-", help="File to write.  [default: stdout]")
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@session_options
def export(session: Session, name: str | None, out: TextIO, *, as_json: bool) -> None:
    """Write what the workspace has as a file for `eventmill apply`: what the set owns, and what nobody owns.

    What belongs to another set is left out. Webhook URLs stand in it in full: put variables in the place of secrets.
    """
    from eventmill.cli.declared_state import read_found

    found = read_found(session, lambda _: True)
    owners = sorted({each.owner for each in found if each.owner and each.is_here})
    if name is None:
        if len(owners) > 1:
            raise click.UsageError(f"there are several sets; say --name with one of {', '.join(owners)}")
        name = owners[0] if owners else "events"
    document = make_document(name, [_with_template(session, each) for each in found])
    left_out = sum(each.owner not in ("", name) for each in found if each.is_here)
    if left_out:
        click.echo(f"eventmill: {left_out} things of other sets are left out", err=True)
    if as_json:
        out.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return
    from eventmill.cli.yaml_text import yaml_text

    out.write(yaml_text(document))


def _with_template(session: Session, found: Found) -> Found:
    """With a sample that makes the events which the gateway shows: those differ each time where a template is filled
    in."""
    shown = found.fields.get("sample")
    if shown is None:
        return found
    from eventmill.cli.declared_state import read_sample

    again = read_sample(session, found.id, found.key.name)
    template = guess_template(shown, shown if again is None else again)
    return msgspec.structs.replace(found, fields={**found.fields, "sample": template})


def make_document(name: str, found: list[Found]) -> Json:
    """In the form of the file."""
    own = [each for each in found if each.is_here and each.owner in ("", name)]
    providers: dict[str, Json] = {}
    registrations: dict[str, Json] = {}
    for each in own:
        if each.key.kind == "provider":
            providers[each.key.name] = _provider(each)
    for each in own:
        if each.key.kind == "event code" and each.key.provider in providers:
            providers[each.key.provider].setdefault("events", {})[each.key.name] = _event(each)
        elif each.key.kind == "registration":
            registrations[each.key.name] = _registration(each)
    return _escaped({"name": name, "providers": providers, "registrations": registrations})  # type: ignore[no-any-return]


def _provider(found: Found) -> Json:
    fields = _said(found.fields, ("description", "docs_url", "event_delivery_format"))
    if fields.get("event_delivery_format") == "cloud_events_v1":
        del fields["event_delivery_format"]
    if found.fields["schema_enforcement"] != "off":
        fields |= _said(found.fields, ("schema_enforcement",))
    if found.fields["provider_metadata"] != _FAMILY:
        fields |= _said(found.fields, ("provider_metadata", "instance_id"))
    return fields


def _event(found: Found) -> Json:
    fields = _said(found.fields, ("label", "description"))
    if found.fields.get("sample") is not None:
        fields["sample"] = found.fields["sample"]
    if found.fields["data_schema"] is not None:
        fields["schema"] = found.fields["data_schema"]
    return fields


def _registration(found: Found) -> Json:
    fields = dict(found.fields)
    fields["events"] = [":".join(each) for each in fields["events"]]
    if fields["enabled"]:
        del fields["enabled"]
    if isinstance(fields["filter"], str):
        raise Failed(f"{found.key} has a filter that is no JSON: {fields['filter'][:80]!r}")
    return _said(fields, (*_FIRST, *(name for name in fields if name not in _FIRST)))


def _said(fields: Mapping[str, Any], names: tuple[str, ...]) -> Json:
    return {name: fields[name] for name in names if fields.get(name) not in (None, "")}


def _escaped(value: Any) -> Any:
    """`${` begins a variable in the file."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, dict):
        return {name: _escaped(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return value
