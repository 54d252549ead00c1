"""`eventmill provider`: who publishes events. Verbs and flags are those of `aio event provider`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import click

from eventmill.cli.form import Form, form_options, print_items, print_one
from eventmill.cli.places import Json, ask, confirm, yes_option
from eventmill.cli.remote import Failed, Refused
from eventmill.cli.session import Session, session_options

_COLUMNS = {"ID": "id", "LABEL": "label", "DESC": "description", "SOURCE": "source", "DOCS": "docs_url"}
_LISTED_MAX = 20

_fetch_option = click.option(
    "--fetchEventMetadata", "--fetch-event-metadata", "fetch", is_flag=True, help="With the event metadata of each."
)


@click.group(short_help="Providers: who publishes events")
def provider() -> None:
    """Providers of events. PROVIDER is an id or a label."""


@provider.command("list")
@click.option("-p", "--providerMetadataIds", "families", metavar="ID", multiple=True, help="Only of these families.")
@click.option("--providerMetadataId", "family", metavar="ID", help="Only of this family.")
@click.option("--instanceId", "instance", metavar="ID", help="With --providerMetadataId: only this instance.")
@_fetch_option
@form_options
@session_options
def list_(
    session: Session, families: tuple[str, ...], family: str | None, instance: str | None, *, fetch: bool, form: Form
) -> None:
    """List the providers that the organization may subscribe to."""
    if family and families:
        raise click.UsageError("--providerMetadataId and --providerMetadataIds do not go together")
    query: list[tuple[str, str]] = [("providerMetadataIds", each) for each in families]
    query += [("providerMetadataId", family)] if family else []
    query += [("instanceId", instance)] if instance else []
    query += [("eventmetadata", "true")] if fetch else []
    body = session.call("GET", f"{session.org_path}/providers" + (f"?{urlencode(query)}" if query else ""))
    rows = [{**each, "codes": ", ".join(code["event_code"] for code in _codes(each))} for each in _providers(body)]
    columns = {**_COLUMNS, "EVENT CODES": "codes"} if fetch else _COLUMNS
    print_items(body, rows, columns, "no provider yet", form)


@provider.command()
@click.argument("provider")
@_fetch_option
@form_options
@session_options
def get(session: Session, provider: str, *, fetch: bool, form: Form) -> None:
    """Show one provider."""
    show_provider(find_provider(session, provider, fetch=fetch), form)


def _texts(command: Callable[..., None]) -> Callable[..., None]:
    """What can be said of a provider, and changed."""
    options = (
        click.option("--label", metavar="TEXT", help="Its name.  [default: asked for]"),
        click.option("--description", metavar="TEXT", help="What it publishes."),
        click.option("--docs-url", metavar="URL", help="Where it is documented."),
        click.option(
            "--event-delivery-format", type=click.Choice(["cloud_events_v1", "adobe_io"]), help="Of its events."
        ),
        click.option(
            "--schema-enforcement",
            type=click.Choice(["off", "warn", "reject"]),
            help="What becomes of events that do not fit the schema of their code. Eventmill only.",
        ),
    )
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), command)


@provider.command()
@_texts
@click.option("--provider-metadata", metavar="ID", help="Family.  [default: 3rd_party_custom_events]")
@click.option("--instance-id", metavar="ID", help="What tells it apart in its family.  [default: made up]")
@form_options
@session_options
def create(session: Session, *, form: Form, **given: str | None) -> None:
    """Create a provider."""
    _check_enforcement(session, given)
    body = {name: value for name, value in given.items() if value is not None}
    if "label" not in body:
        body["label"] = ask("Label", "--label")
    show_provider(session.call("POST", f"{session.workspace_path}/providers", body), form)


@provider.command()
@click.argument("provider")
@_texts
@form_options
@session_options
def update(session: Session, provider: str, *, form: Form, **given: str | None) -> None:
    """Change a provider. What no option names stays as it is; so does the set of `eventmill apply` that manages it."""
    _check_enforcement(session, given)
    found = find_provider(session, provider)
    kept = {name: found[name] for name in ("label", "description", "docs_url") if found.get(name)}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        options = "--label, --description, --docs-url, --event-delivery-format or --schema-enforcement"
        raise click.UsageError(f"nothing to change: say {options}")
    keep_owner(changes, found)
    show_provider(session.call("PUT", _own_path(session, found), {**kept, **changes}), form)


@provider.command()
@click.argument("provider")
@yes_option
@session_options
def delete(session: Session, provider: str, *, yes: bool) -> None:
    """Delete a provider with its event metadata."""
    found = find_provider(session, provider)
    confirm(f"Delete provider {found['label']} ({found['id']}) with its event metadata?", yes)
    session.call("DELETE", _own_path(session, found))
    click.echo(f"deleted provider {found['id']}")


def find_provider(session: Session, wanted: str, *, fetch: bool = False) -> Json:
    """By its id, else by its label. Raises `Failed` when there is none, or several have that label."""
    query = f"?eventmetadata={str(fetch).lower()}"
    try:
        found: Json = session.call("GET", f"/events/providers/{quote(wanted, safe='')}{query}")
    except Refused as refused:
        if refused.status != 404:
            raise
    else:
        return found
    known = session.call("GET", f"{session.org_path}/providers{query}")["_embedded"]["providers"]
    labelled = [each for each in known if each["label"] == wanted]
    if len(labelled) == 1:
        return dict(labelled[0])
    listed = ", ".join(f"{each['id']} {each['label']}" for each in (labelled or known)[:_LISTED_MAX])
    if labelled:
        raise click.UsageError(f"{wanted!r} is the label of several providers; use an id: {listed}")
    raise Failed(f"there is no provider {wanted!r}" + (f"; there are: {listed}" if listed else ""))


def _check_enforcement(session: Session, given: dict[str, str | None]) -> None:
    if given["schema_enforcement"] is not None:
        session.check_eventmill("--schema-enforcement")


def keep_owner(changes: Json, found: Json) -> None:
    """A new description leaves the thing with the set of `eventmill apply` that manages it: so that set mends it."""
    from eventmill.core.declared import keep_mark

    if changes.get("description") is not None:
        changes["description"] = keep_mark(changes["description"], found.get("description") or "")


def _own_path(session: Session, provider: Json) -> str:
    return f"{session.workspace_path}/providers/{quote(str(provider['id']), safe='')}"


def show_provider(body: Json, form: Form) -> None:
    fields: list[tuple[str, Any]] = [
        ("provider", body["id"]),
        ("label", body["label"]),
        ("description", body.get("description")),
        ("source", body.get("source")),
        ("docs", body.get("docs_url")),
        ("publisher", body.get("publisher")),
        ("family", body.get("provider_metadata")),
        ("instance", body.get("instance_id")),
        ("format", body.get("event_delivery_format")),
        ("schemas", body.get("schema_enforcement")),
    ]
    codes = [("event code", f"{each['event_code']}  {each['label']}") for each in _codes(body)]
    print_one(body, fields + codes, form)


def _providers(body: Json) -> list[Json]:
    found: list[Json] = body["_embedded"]["providers"]
    return found


def _codes(provider: Json) -> list[Json]:
    """Its event metadata, where that was asked for."""
    found: list[Json] = provider.get("_embedded", {}).get("eventmetadata", [])
    return found
