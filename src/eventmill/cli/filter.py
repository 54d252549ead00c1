"""`eventmill filter`: try a subscriber defined filter before it is set: on events, on samples, on a journal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from eventmill.cli.form import Form, form_options, print_one, print_value
from eventmill.cli.places import Json
from eventmill.cli.registration import find_registration, registration_path_of
from eventmill.cli.remote import Failed
from eventmill.cli.session import Session, eventmill_only, session_options
from eventmill.cli.table import print_table

_EVENTS_SHOWN = 10


class FilterMiss(msgspec.Struct, frozen=True):
    """A field that keeps a filter from matching."""

    path: str
    operator: str
    wanted: str
    """The field's list in the filter, as JSON text."""
    seen: list[str]
    """Values of the field in the event, as JSON texts; none: it is absent."""


class FilterVerdict(msgspec.Struct, frozen=True):
    """What a filter makes of one event."""

    line: int
    """Where the event begins, from 1; its number in an array."""
    id: str
    matches: bool
    misses: list[FilterMiss]


_filter_argument = click.argument("filter_", metavar="FILTER")


@click.group("filter", short_help="Try a filter: on an event, on samples, on a journal")
def filter_() -> None:
    """Subscriber defined filters, tried before they are set. Nothing is stored.

    FILTER is JSON, or @FILE for a file that holds it, or - for standard input.
    """


@filter_.command()
@_filter_argument
@click.argument("events", type=click.File("rb"), default="-")
@form_options
def test(filter_: str, events: BinaryIO, *, form: Form) -> None:
    """Say which events a filter lets through, and why it keeps others. Needs no gateway.

    EVENTS is a file of one event per line, one event, or an array of events; standard input without it.

    \b
    Exit codes:   0  every event matches
                  1  some do not, or the filter or an event cannot be used
    """
    from eventmill.cli.outgoing import event_id, read_outgoing
    from eventmill.core.ruler import compile_filter
    from eventmill.core.ruler_event import read_event
    from eventmill.core.ruler_match import explain_miss, view_event
    from eventmill.errors import GatewayError

    try:
        wanted = compile_filter(_read_filter(filter_))
    except GatewayError as error:
        raise Failed(error.message) from None
    verdicts: list[FilterVerdict] = []
    for outgoing in read_outgoing(events, None):
        try:
            misses = explain_miss(wanted, view_event(read_event(outgoing.event), wanted.paths))
        except (GatewayError, ValueError) as error:
            raise Failed(f"line {outgoing.line} is no JSON object: {error}") from None
        told = [FilterMiss(miss.path, miss.operator, miss.wanted, list(miss.seen)) for miss in misses]
        verdicts.append(FilterVerdict(outgoing.line, event_id(outgoing.event), not misses, told))
        if form == "text":
            _print_verdict(verdicts[-1], "; ".join(map(str, misses)))
    if form != "text":
        print_value(msgspec.to_builtins(verdicts), form)
    elif len(verdicts) != 1:
        click.echo(f"{sum(each.matches for each in verdicts):,} of {len(verdicts):,} match", err=True)
    if not all(each.matches for each in verdicts):
        raise click.exceptions.Exit(1)


def _print_verdict(verdict: FilterVerdict, why: str) -> None:
    name = f"line {verdict.line}" + (f" ({verdict.id})" if verdict.id else "")
    click.echo(f"{name}: " + ("match" if verdict.matches else f"no match: {why}"))


@filter_.command()
@_filter_argument
@click.argument("registration", required=False)
@click.option(
    "--sample",
    "samples",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    help="JSON file of an event to try it on. May be repeated.",
)
@form_options
@session_options
def validate(session: Session, filter_: str, registration: str | None, samples: tuple[str, ...], *, form: Form) -> None:
    """Check a filter, and try it on the sample events of a registration's event codes and on samples of your own.

    Without REGISTRATION only whether it is a filter; then no gateway is asked. Exit code 1 when it is none.
    """
    text = _read_filter(filter_)
    if registration is None:
        _check_alone(text, samples)
        return
    path = registration_path_of(session, find_registration(session, registration))
    customs = [{"name": Path(each).name, "sample_payload": _read_sample(each)} for each in samples]
    asked = {"subscriber_filter": _named(text), "custom_sample_events": customs}
    body = session.call("POST", f"{path}/filter/validate", asked)
    if form != "text":
        print_value(body, form)
        return
    rows = [
        {"what": what, "verdict": verdict}
        for verdict, codes, names in (
            ("match", "accepted_event_metadata_ids", "accepted_custom_sample_events"),
            ("no match", "rejected_event_metadata_ids", "rejected_custom_sample_events"),
            ("no sample event", "unknown_event_metadata_ids", ""),
            ("not an event", "", "invalid_custom_sample_events"),
        )
        for what in (*(each["event_code"] for each in body.get(codes, ())), *body.get(names, ()))
    ]
    print_table(rows, {"SAMPLE": "what", "VERDICT": "verdict"}, "the filter is valid; there is no sample to try it on")


def _check_alone(text: str, samples: tuple[str, ...]) -> None:
    from eventmill.core.ruler import compile_filter
    from eventmill.errors import GatewayError

    if samples:
        raise click.UsageError("--sample goes with a REGISTRATION; without one: eventmill filter test FILTER FILE")
    try:
        compile_filter(text)
    except GatewayError as error:
        raise Failed(error.message) from None
    click.echo("the filter is valid")


@filter_.command()
@_filter_argument
@click.argument("registration")
@form_options
@session_options
@eventmill_only
def backtest(session: Session, filter_: str, registration: str, *, form: Form) -> None:
    """Say what a filter would have made of the newest events of a registration's journal. Eventmill only."""
    path = registration_path_of(session, find_registration(session, registration))
    asked = {"subscriber_filter": _named(_read_filter(filter_))}
    body = session.call("POST", f"{path}/filter/backtest", asked)
    which = "all events that the journal has" if body["is_all"] else "the newest events of the journal"
    fields: list[tuple[str, Any]] = [
        ("tried on", f"{body['sampled']:,}: {which}"),
        ("matched", f"{body['matched']:,}"),
        ("missed", f"{body['missed']:,}"),
    ]
    fields += [
        ("missed by", f"{each['events']:,}  {each['path']}: {each['operator']} wants {each['wanted']}")
        for each in body["reasons"]
    ]
    fields += [("for example", each) for each in body["matched_event_ids"][:_EVENTS_SHOWN]]
    print_one(body, fields, form)


def _named(text: str) -> Json:
    return {"name": "filter", "subscriber_filter": text}


def _read_filter(text: str) -> str:
    """As it is written: a refusal names its line and column."""
    if text == "-":
        return sys.stdin.read()
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{text[1:]} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _read_sample(path: str) -> Any:
    try:
        return json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise Failed(f"{path} is not JSON: {error}") from None
