"""`eventmill eventmetadata`: the event codes of providers. Verbs and flags are those of `aio event eventmetadata`."""

from __future__ import annotations

import functools
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from eventmill.cli.form import Form, form_options, print_items, print_one, print_value
from eventmill.cli.places import Json, ask, confirm, yes_option
from eventmill.cli.provider import find_provider, keep_owner
from eventmill.cli.remote import Failed
from eventmill.cli.session import Session, eventmill_only, session_options

_COLUMNS = {"EVENT CODE": "event_code", "LABEL": "label", "DESC": "description"}

_VERSIONS = {"VERSION": "version", "TIME": "created_date", "BY": "client_id", "SCHEMA": "schema"}
_SCHEMA_CHARS_MAX = 60
"""In a table; --json has all of it."""

_provider_argument = click.argument("provider")
_code_argument = click.argument("event_code")


@click.group(short_help="Event metadata: the event codes of a provider")
def eventmetadata() -> None:
    """Event metadata: the event codes of a provider. PROVIDER is an id or a label."""


@eventmetadata.command("list")
@_provider_argument
@form_options
@session_options
def list_(session: Session, provider: str, *, form: Form) -> None:
    """List the event codes of a provider."""
    found = find_provider(session, provider)
    body = session.call("GET", f"/events/providers/{quote(str(found['id']), safe='')}/eventmetadata")
    print_items(body, body["_embedded"]["eventmetadata"], _COLUMNS, "no event metadata yet", form)


@eventmetadata.command()
@_provider_argument
@_code_argument
@form_options
@session_options
def get(session: Session, provider: str, event_code: str, *, form: Form) -> None:
    """Show one event code."""
    _show(session.call("GET", _path("/events", find_provider(session, provider), event_code)), form)


@eventmetadata.command()
@_provider_argument
@_code_argument
@form_options
@session_options
def sample(session: Session, provider: str, event_code: str, *, form: Form) -> None:
    """Print the sample event of an event code."""
    path = _path("/events", find_provider(session, provider), event_code)
    body = session.call("GET", f"{path}/sample_event")
    if form == "text":
        print_value(body["sample_payload"], "json")
    else:
        print_value(body, form)


@eventmetadata.command()
@_provider_argument
@_code_argument
@form_options
@session_options
@eventmill_only
def schemas(session: Session, provider: str, event_code: str, *, form: Form) -> None:
    """List the versions of the JSON Schema of an event code, the newest first."""
    body = session.call("GET", f"{_path('/events', find_provider(session, provider), event_code)}/schemas")
    rows = [{**each, "schema": _in_short(each["data_schema"])} for each in body["schemas"]]
    print_items(body, rows, _VERSIONS, "no schema yet; `eventmill eventmetadata update --schema FILE` gives one", form)


def _in_short(schema: Json | None) -> str:
    import json

    text = "none from here on" if schema is None else json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= _SCHEMA_CHARS_MAX else text[: _SCHEMA_CHARS_MAX - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _texts(command: Callable[..., None]) -> Callable[..., None]:
    """What can be said of an event code, and changed."""
    file = click.Path(exists=True, dir_okay=False, allow_dash=False)
    options = (
        click.option("--label", metavar="TEXT", help="Its name.  [default: asked for]"),
        click.option("--description", metavar="TEXT", help="What happened.  [default: asked for]"),
        click.option("--sample", type=file, help="JSON file: its sample event, or the data of one."),
        click.option("--schema", type=file, help="JSON Schema file of its data. Eventmill only."),
    )
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), command)


@eventmetadata.command()
@_provider_argument
@click.argument("event_code", required=False)
@_texts
@form_options
@session_options
def create(session: Session, provider: str, event_code: str | None, *, form: Form, **given: str | None) -> None:
    """Create an event code, such as com.acme.stock.low: the `type` of the events."""
    _check_schema(session, given)
    found = find_provider(session, provider)
    code = event_code or ask("Event code, such as com.acme.stock.low", "EVENT_CODE")
    body = {"event_code": code, **_members(given)}
    for name in ("label", "description"):
        if name not in body:
            body[name] = ask(name.capitalize(), f"--{name}")
    _show(session.call("POST", _path(session.workspace_path, found), body), form)


@eventmetadata.command()
@_provider_argument
@_code_argument
@_texts
@click.option("--force", is_flag=True, help="Change the schema even if it would refuse what was accepted before.")
@form_options
@session_options
def update(session: Session, provider: str, event_code: str, *, force: bool, form: Form, **given: str | None) -> None:
    """Change an event code. What no option names stays as it is."""
    _check_schema(session, given)
    changes = _members(given)
    if not changes:
        raise click.UsageError("nothing to change: say --label, --description, --sample or --schema")
    found = find_provider(session, provider)
    if "description" in changes:
        keep_owner(changes, session.call("GET", _path("/events", found, event_code)))
    patch = [{"op": "add", "path": f"/{name}", "value": value} for name, value in changes.items()]
    path = _path(session.workspace_path, found, event_code)
    body = session.call("PATCH", path + ("?force=true" if force else ""), patch, "application/json-patch+json")
    _show(body or session.call("GET", _path("/events", found, event_code)), form)


@eventmetadata.command()
@_provider_argument
@click.argument("event_code", required=False)
@yes_option
@session_options
def delete(session: Session, provider: str, event_code: str | None, *, yes: bool) -> None:
    """Delete an event code; without one, all of the provider."""
    found = find_provider(session, provider)
    what = f"event code {event_code}" if event_code else "every event code"
    confirm(f"Delete {what} of provider {found['label']} ({found['id']})?", yes)
    session.call("DELETE", _path(session.workspace_path, found, event_code))
    click.echo(f"deleted {what} of provider {found['id']}")


def _path(parent: str, provider: Json, event_code: str | None = None) -> str:
    place = f"{parent}/providers/{quote(str(provider['id']), safe='')}/eventmetadata"
    return place if event_code is None else f"{place}/{quote(event_code, safe='')}"


def _check_schema(session: Session, given: dict[str, str | None]) -> None:
    if given["schema"] is not None:
        session.check_eventmill("--schema")


def _members(given: dict[str, str | None]) -> Json:
    """Of the body that creates or changes."""
    body: Json = {name: given[name] for name in ("label", "description") if given[name] is not None}
    if (sample := given["sample"]) is not None:
        body["sample_event_template"] = b64encode(_read(sample)).decode("ascii")
    if (schema := given["schema"]) is not None:
        body["data_schema"] = _read_json(schema)
    return body


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Failed(f"{path} cannot be read: {error.strerror or error}") from None


def _read_json(path: str) -> Any:
    import json

    try:
        return json.loads(_read(path))
    except ValueError as error:
        raise Failed(f"{path} is not JSON: {error}") from None


def _show(body: Json, form: Form) -> None:
    fields = [("event code", "event_code"), ("label", "label"), ("description", "description")]
    schema = [("schema", "yes")] if body.get("data_schema") else []
    print_one(body, [*((label, body.get(member)) for label, member in fields), *schema], form)
