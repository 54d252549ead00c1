"""`eventmill registration`: who gets which events, and how. Verbs and flags are those of `aio event registration`."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, TextIO
from urllib.parse import quote

import click

from eventmill.cli.form import Form, form_options, print_items, print_one, show_again, watch_option
from eventmill.cli.places import Json, confirm, yes_option
from eventmill.cli.provider import find_provider, keep_owner
from eventmill.cli.registrations import choose_registration
from eventmill.cli.remote import Failed
from eventmill.cli.session import JSON_PATCH, Session, session_options

_COLUMNS = {
    "ID": "registration_id",
    "NAME": "name",
    "ENABLED": "enabled",
    "DELIVERY_TYPE": "delivery_type",
    "WEBHOOK_STATUS": "webhook_status",
}
_TYPES = ("webhook", "webhook_batch", "journal", "aws_eventbridge")
_MEMBERS = ("name", "description", "delivery_type", "webhook_url", "runtime_action")

_registration_argument = click.argument("registration")


@click.group(short_help="Registrations: who gets which events, and how")
def registration() -> None:
    """Registrations of a workspace. REGISTRATION is an id or a name."""


@registration.command("list")
@form_options
@watch_option
@session_options
def list_(session: Session, *, watch: bool, form: Form) -> None:
    """List the registrations of the workspace."""

    def show() -> None:
        body = session.call("GET", _path(session))
        found = body["_embedded"]["registrations"]
        rows = [{**each, "enabled": "yes" if each["enabled"] else "no"} for each in found]
        print_items(body, rows, _COLUMNS, "no registration yet", form)

    show_again(show, watch=watch)


@registration.command()
@_registration_argument
@form_options
@watch_option
@session_options
def get(session: Session, registration: str, *, watch: bool, form: Form) -> None:
    """Show one registration."""
    found = find_registration(session, registration)
    show_again(lambda: _show(session.call("GET", _path(session, found)), form), watch=watch)


def _members_options(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option("--name", metavar="TEXT", help="Its name."),
        click.option("--description", metavar="TEXT", help="What it is for."),
        click.option("--delivery-type", type=click.Choice(_TYPES, case_sensitive=False), help="[default: by the rest]"),
        click.option("--webhook-url", metavar="URL", help="Where events are posted to."),
        click.option("--runtime-action", metavar="PACKAGE/ACTION", help="In place of a webhook."),
        click.option(
            "--event",
            "events",
            metavar="PROVIDER:CODE",
            multiple=True,
            help="Event that it gets; PROVIDER is an id or a label. May be repeated.",
        ),
        click.option("--filter", "filter_", metavar="JSON", help="Only events that this matches; @FILE reads a file."),
    )
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), command)


@registration.command()
@click.argument("file", type=click.File("r", encoding="utf-8"), required=False)
@_members_options
@form_options
@session_options
def create(session: Session, file: TextIO | None, *, form: Form, **given: Any) -> None:
    """Create a registration: from a JSON or YAML FILE (- is standard input), from options, or both.

    Without a webhook or an action it is a journal.
    """
    body = {"client_id": session.account.client_id, **_read_body(file), **_given_members(session, given)}
    missing = [flag for member, flag in (("name", "--name"), ("events_of_interest", "--event")) if member not in body]
    if missing:
        raise click.UsageError(f"{' and '.join(missing)} missing; or name a FILE that says it")
    if "delivery_type" not in body:
        pushed = body.get("webhook_url") or body.get("runtime_action")
        body["delivery_type"] = "webhook" if pushed else "journal"
    made = session.call("POST", _path(session), body)
    _show(made, form)
    _warn_unless_verified(made)


@registration.command()
@_registration_argument
@click.argument("file", type=click.File("r", encoding="utf-8"), required=False)
@_members_options
@form_options
@session_options
def update(session: Session, registration: str, file: TextIO | None, *, form: Form, **given: Any) -> None:
    """Change a registration by options: the rest stays as it is. Or replace it by what a JSON or YAML FILE says.

    A webhook is challenged again, and what is disabled is enabled.
    """
    found = find_registration(session, registration)
    changes = _given_members(session, given)
    keep_owner(changes, found)
    if file is not None:
        whole = {"description": "", **_read_body(file), **changes}
        keep_owner(whole, found)
        body = session.call("PUT", _path(session, found), whole)
    elif changes:
        patch = [{"op": "add", "path": f"/{name}", "value": value} for name, value in changes.items()]
        body = session.call("PATCH", _path(session, found), patch, JSON_PATCH)
    else:
        raise click.UsageError("nothing to change: say what, or name a FILE")
    _show(body, form)
    _warn_unless_verified(body)


@registration.command()
@_registration_argument
@form_options
@session_options
def enable(session: Session, registration: str, *, form: Form) -> None:
    """Enable a registration; a webhook is challenged. Exit code 1 when it does not pass."""
    body = _switch(session, registration, on=True)
    _show(body, form)
    if not body["enabled"]:
        raise Failed(f"{body['name']} stays disabled: its webhook is {body['webhook_status']}")


@registration.command()
@_registration_argument
@form_options
@session_options
def disable(session: Session, registration: str, *, form: Form) -> None:
    """Disable a registration: nothing is pushed any more, its journal goes on."""
    _show(_switch(session, registration, on=False), form)


def _switch(session: Session, wanted: str, *, on: bool) -> Json:
    patch = [{"op": "replace", "path": "/enabled", "value": on}]
    body: Json = session.call("PATCH", _path(session, find_registration(session, wanted)), patch, JSON_PATCH)
    return body


@registration.command()
@_registration_argument
@yes_option
@session_options
def delete(session: Session, registration: str, *, yes: bool) -> None:
    """Delete a registration with its journal."""
    found = find_registration(session, registration)
    confirm(f"Delete registration {found['name']} ({found['registration_id']}) with its journal?", yes)
    session.call("DELETE", _path(session, found))
    click.echo(f"deleted registration {found['registration_id']}")


def find_registration(session: Session, wanted: str) -> Json:
    """Of the session's workspace, by id or name."""
    return choose_registration(list_registrations(session), wanted)


def list_registrations(session: Session) -> list[Json]:
    """Of the session's workspace."""
    found: list[Json] = session.call("GET", _path(session))["_embedded"]["registrations"]
    return found


def registration_path_of(session: Session, registration: Json) -> str:
    return _path(session, registration)


def _path(session: Session, registration: Json | None = None) -> str:
    place = f"{session.workspace_path}/registrations"
    return place if registration is None else f"{place}/{quote(str(registration['registration_id']), safe='')}"


def _read_body(file: TextIO | None) -> Json:
    if file is None:
        return {}
    from eventmill.cli.asyncapi import read_file

    body = read_file(file)
    if not isinstance(body, dict):
        raise Failed(f"{file.name} does not hold one registration, a JSON object")
    return body


def _given_members(session: Session, given: dict[str, Any]) -> Json:
    body: Json = {name: given[name] for name in _MEMBERS if given[name] is not None}
    if given["events"]:
        body["events_of_interest"] = [_interest(session, each) for each in given["events"]]
    if given["filter_"] is not None:
        text = json.dumps(read_json_text(given["filter_"], "--filter"), ensure_ascii=False)
        body["subscriber_filters"] = [{"name": "filter", "subscriber_filter": text}]
    return body


def read_json_text(text: str, flag: str) -> Any:
    """The value of JSON text, or of the file that `@FILE` names. Raises `click.UsageError`."""
    from pathlib import Path

    try:
        return json.loads(Path(text[1:]).read_text("utf-8") if text.startswith("@") else text)
    except OSError as error:
        raise click.UsageError(f"{flag}: {text[1:]} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise click.UsageError(f"{flag}: {text[:80]} is not JSON: {error}") from None


def _interest(session: Session, text: str) -> Json:
    wanted, colon, code = text.rpartition(":")
    if not colon or not wanted or not code:
        raise click.UsageError(f"--event {text!r}: expected PROVIDER:CODE")
    return {"provider_id": find_provider(session, wanted)["id"], "event_code": code}


def _warn_unless_verified(body: Json) -> None:
    if body.get("webhook_status") not in ("verified", None):
        remedy = f"mend it, then: eventmill registration enable {body['registration_id']}"
        if body["webhook_status"] == "accepted":
            remedy = "it was sent a link that validates it; open that within five minutes"
        click.echo(f"eventmill: its webhook is {body['webhook_status']}, and gets no events; {remedy}", err=True)


def _show(body: Json, form: Form) -> None:
    fields: list[tuple[str, Any]] = [
        ("registration", body["registration_id"]),
        ("name", body["name"]),
        ("description", body.get("description")),
        ("delivery", body["delivery_type"]),
        ("action", body["runtime_action"]) if body.get("runtime_action") else ("webhook", body.get("webhook_url")),
        ("status", body.get("webhook_status")),
        ("enabled", "yes" if body["enabled"] else "no"),
        ("client id", body["client_id"]),
    ]
    fields += [
        ("event", f"{each['event_code']}  of {each.get('provider_label') or each['provider_id']}")
        for each in body["events_of_interest"]
    ]
    fields += [("filter", each["subscriber_filter"]) for each in body.get("subscriber_filters") or ()]
    fields.append(("journal", body["_links"].get("rel:events", {}).get("href")))
    print_one(body, fields, form)
