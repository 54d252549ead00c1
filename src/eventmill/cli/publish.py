"""`eventmill publish`: one event from options, or many from a file or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from eventmill.cli.form import Form, form_options, print_value
from eventmill.cli.remote import Failed
from eventmill.cli.session import Session, session_options

if TYPE_CHECKING:
    from eventmill.cli.outgoing import Outgoing, Shape
    from eventmill.cli.publishing import PublishSummary

_SHOWN = 10


@click.command(short_help="Publish events, from options, a file or a pipe")
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--provider", metavar="PROVIDER", help="Whose event it is, by id or label. Goes with --code.")
@click.option("--code", metavar="CODE", help="Its event code, such as com.acme.stock.low.")
@click.option("--payload", metavar="JSON", help="Its data; @FILE reads a file.  [default: none]")
@click.option("--id", "event_id", metavar="TEXT", help="Its id.  [default: a new UUID for each event]")
@click.option("--attribute", "attributes", metavar="NAME=VALUE", multiple=True, help="Another attribute. Repeatable.")
@click.option(
    "--mode",
    type=click.Choice(["structured", "binary", "batch"]),
    default="structured",
    show_default=True,
    help="How it is sent. Adobe's service knows `structured` only.",
)
@click.option("--batch-size", type=click.IntRange(1, 10_000), default=100, show_default=True, help="With --mode batch.")
@click.option("--skip", metavar="N", type=click.IntRange(min=0), default=0, help="Leave out the first N of a file.")
@click.option("--phidata", is_flag=True, help="They hold protected health information.")
@form_options
@session_options
def publish(session: Session, file: BinaryIO | None, *, form: Form, **options: Any) -> None:
    """Publish events.

    \b
    One, from options:          eventmill publish --provider Warehouse --code com.acme.low --payload '{"sku": "A1"}'
    Whole events, from a file:  eventmill publish events.ndjson
    Data of events, from a pipe: ... | eventmill publish --provider Warehouse --code com.acme.low -

    FILE has one JSON value per line, or is one JSON document: an event, or an array of events; - is standard input.
    With --provider and --code its values are data, else they are whole CloudEvents.

    \b
    Exit codes:   0  every event was accepted
                  1  some were refused, or the gateway went away: the message says where to go on
                  2  it could not begin
                130  Ctrl-C
    """
    from eventmill.cli.publishing import Publishing

    if options["mode"] != "structured":
        session.check_eventmill(f"--mode {options['mode']}")
    events = _outgoing(file, _shape(session, options), options["payload"])
    total = _count_lines(file) - options["skip"] if file is not None and sys.stderr.isatty() else 0
    publishing = Publishing(session, options["mode"], options["batch_size"], phidata=options["phidata"])
    summary = _run(publishing, islice(events, options["skip"], None), max(total, 0))
    _show(summary, form, is_many=file is not None)
    if summary.ended == "interrupted":
        raise click.exceptions.Exit(130)
    if summary.ended or summary.refused:
        raise click.exceptions.Exit(1)


def _shape(session: Session, options: dict[str, Any]) -> Shape | None:
    """What the options say of an event; None when they say nothing: events are whole."""
    from eventmill.cli.outgoing import Shape
    from eventmill.cli.provider import find_provider

    given = [name for name in ("provider", "code", "event_id", "attributes") if options[name]]
    if not given:
        return None
    if not (options["provider"] and options["code"]):
        raise click.UsageError("--provider and --code go together: they say what event it is")
    if odd := [each for each in options["attributes"] if "=" not in each]:
        raise click.UsageError(f"--attribute {odd[0]!r}: expected NAME=VALUE")
    attributes = dict(each.partition("=")[::2] for each in options["attributes"])
    source = str(find_provider(session, options["provider"])["source"])
    return Shape(source, options["code"], options["event_id"] or "", attributes)


def _outgoing(file: BinaryIO | None, shape: Shape | None, data: str | None) -> Iterator[Outgoing]:
    from eventmill.cli.outgoing import Outgoing, read_outgoing

    if file is not None:
        if data is not None:
            raise click.UsageError("--payload and a FILE do not go together: the data is in the file")
        return read_outgoing(file, shape)
    if shape is None:
        raise click.UsageError("publish what? Say --provider and --code, or name a FILE (- is standard input)")
    return iter((Outgoing(1, shape.wrap(None if data is None else _read_data(data))),))


def _read_data(text: str) -> bytes:
    """As it was written: numbers keep their digits."""
    import json
    from pathlib import Path

    try:
        raw = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        json.loads(raw)
    except OSError as error:
        raise Failed(f"{text[1:]} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise click.UsageError(
            f"--payload is not JSON ({error}); text has quotes of its own: --payload '\"text\"'"
        ) from None
    return raw


def _count_lines(file: BinaryIO) -> int:
    """0 for a pipe."""
    if not file.seekable():
        return 0
    count = sum(1 for line in file if line.strip())
    file.seek(0)
    return count


def _run(publishing: Any, events: Iterator[Outgoing], total: int) -> PublishSummary:
    from eventmill.cli.progress import Progress
    from eventmill.clock import SystemClock

    progress = Progress("events", total, SystemClock())
    try:
        summary: PublishSummary = publishing.run(events, progress.step)
    finally:
        progress.end()
    return summary


def _show(summary: PublishSummary, form: Form, *, is_many: bool) -> None:
    import msgspec

    if form != "text":
        print_value(msgspec.to_builtins(summary), form)
    elif not is_many and summary.published:
        click.echo(f"published {summary.id}")
    elif not is_many and summary.unsubscribed:
        click.echo(f"accepted {summary.id}; nobody subscribes to it")
    elif is_many:
        pace = f"{summary.total / max(summary.seconds, 0.001):,.0f}/s"
        click.echo(
            f"{_events(summary.total)} in {summary.seconds:.1f} s ({pace}): {summary.published:,} published, "
            f"{summary.unsubscribed:,} that nobody subscribes to, {summary.refused:,} refused"
        )
    for refusal in summary.refusals[:_SHOWN]:
        where = f"line {refusal.line}: " if is_many else ""
        click.echo(f"eventmill: {where}{refusal.message}", err=True)
    if summary.refused > _SHOWN:
        click.echo(f"eventmill: and {summary.refused - _SHOWN:,} more", err=True)
    if summary.ended:
        remedy = f"; line {summary.last_line} was the last to be answered" if is_many else ""
        click.echo(f"eventmill: {summary.ended}{remedy}", err=True)


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"
