"""`eventmill receiver-check`: asks a webhook receiver all that a gateway will ask of it, and reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from eventmill.cli.form import Form, form_options, print_value
from eventmill.cli.receiver_results import CheckResult, ReceiverReport
from eventmill.cli.remote import Failed, store_option
from eventmill.cli.table import one_line

if TYPE_CHECKING:
    from eventmill.cli.receiver_checks import Checker
    from eventmill.cli.receiver_probe import Identity, KeyServer

_MARKS = {"pass": "✓", "fail": "✗", "skip": "-"}
_KEYS_PORT = 8089


@click.command("receiver-check", short_help="Check a webhook receiver before events depend on it")
@click.argument("url")
@click.option(
    "--client-id", metavar="ID", envvar="CLIENT_ID", help="Whom it expects events for.  [default: $CLIENT_ID]"
)
@click.option("--client-secret", metavar="TEXT", envvar="CLIENT_SECRET", help="It may check x-adobe-signature by it.")
@click.option("--keys-port", type=int, default=_KEYS_PORT, show_default=True, help="Port that serves the public keys.")
@click.option("--data", metavar="DIR", help="Sign as the gateway whose data directory this is, for its credential.")
@store_option
@click.option("--workspace", metavar="ID", help="With --data or --store: workspace whose credential is meant.")
@click.option("--delivery-type", type=click.Choice(["webhook", "webhook_batch"]), default="webhook", show_default=True)
@click.option("--event", "event_file", type=click.Path(exists=True, dir_okay=False), help="JSON of an event to send.")
@click.option("--large-bytes", type=click.IntRange(1000, 2_000_000), default=1_000_000, show_default=True)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds."
)
@click.option(
    "--validation-wait", type=click.FloatRange(min=0), default=5.0, show_default=True, help="Seconds for the link."
)
@click.option("--only", metavar="CHECK", multiple=True, help="Only this check; may be repeated.")
@click.option("--report", metavar="FILE", help="Write a report, too: JSON if FILE ends so, else Markdown.")
@form_options
def receiver_check(url: str, *, form: Form, **options: Any) -> None:
    """Send a receiver what a gateway would send: the challenge, genuine and forged deliveries, repeats, large ones.

    The receiver gets the public keys from http://127.0.0.1:8089 in place of https://static.adobeioevents.com (with
    --keys-port another port), and must know --client-id and --client-secret. With --data it needs no change if it
    works with that gateway. Its handlers run: give it a test system to work on.

    \b
    Exit codes:   0  every check passed
                  1  some failed
                  2  it could not begin
    """
    from eventmill.cli.receiver_probe import KeyServer

    try:
        server = KeyServer(0 if _of_gateway(options) else options["keys_port"])
    except OSError as error:
        why = error.strerror or error
        raise Failed(f"port {options['keys_port']} cannot serve keys ({why}); say another with --keys-port") from None
    with server.serving():
        checker = _checker(url, server, options)
        unknown = set(options["only"]) - set(checker.names())
        if unknown:
            raise click.UsageError(
                f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(checker.names())}"
            )
        report = _run(checker, server, url, form, options)
    if form != "text":
        print_value(msgspec.to_builtins(report), form)
    if options["report"]:
        _write(report, Path(options["report"]))
    if report.failed:
        raise click.exceptions.Exit(1)


def _run(checker: Checker, server: KeyServer, url: str, form: Form, options: dict[str, Any]) -> ReceiverReport:
    results = []
    for result in checker.run(options["only"]):
        results.append(result)
        if form == "text":
            click.echo(one_line(_line(result)))
    counts = {each: sum(result.verdict == each for result in results) for each in _MARKS}
    fetched = None if _of_gateway(options) else any(path in server.files for path in server.fetched)
    if form == "text":
        click.echo(f"\n{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} not tried")
        if fetched is False:
            click.echo(f"It fetched no public key from {server.url}: is that where it looks for them?", err=True)
    return ReceiverReport(
        url=url,
        delivery_type=options["delivery_type"],
        keys_url="" if _of_gateway(options) else server.url,
        keys_fetched=fetched,
        passed=counts["pass"],
        failed=counts["fail"],
        skipped=counts["skip"],
        checks=results,
    )


def _checker(url: str, server: KeyServer, options: dict[str, Any]) -> Checker:
    from eventmill.cli.receiver_checks import Checker
    from eventmill.cli.receiver_probe import Receiver

    template = {}
    if options["event_file"]:
        try:
            template = json.loads(Path(options["event_file"]).read_bytes())
        except ValueError as error:
            raise Failed(f"{options['event_file']} is not JSON: {error}") from None
        if not isinstance(template, dict):
            raise Failed(f"{options['event_file']} does not hold an event, a JSON object")
    checker = Checker(Receiver(url, options["timeout_s"]), _identity(server, options), server, template)
    checker.is_batch = options["delivery_type"] == "webhook_batch"
    checker.large_bytes = options["large_bytes"]
    checker.validation_wait_s = options["validation_wait"]
    return checker


def _of_gateway(options: dict[str, Any]) -> bool:
    return bool(options["data"] or options["store"])


def _identity(server: KeyServer, options: dict[str, Any]) -> Identity:
    from eventmill.cli.receiver_probe import Identity, make_signer

    if not _of_gateway(options):
        client_id = options["client_id"] or "receiver-check"
        return Identity(client_id, options["client_secret"] or "receiver-check", make_signer(server))
    from eventmill.cli.account import Named, find_account
    from eventmill.cli.signer import read_signer

    named = Named(data=options["data"], store=options["store"], workspace=options["workspace"])
    account, signer = find_account(named, {}), read_signer(named)
    if signer is None:
        raise Failed("the gateway's signing keys cannot be read; is its seal key here?")
    return Identity(account.client_id, account.client_secret, signer)


def _line(result: CheckResult) -> str:
    return f"{_MARKS[result.verdict]} {result.name.ljust(16)} {result.title}: {result.why}"


def _write(report: ReceiverReport, path: Path) -> None:
    if path.suffix == ".json":
        text = json.dumps(msgspec.to_builtins(report), indent=2, ensure_ascii=False) + "\n"
    else:
        text = _markdown(report)
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise Failed(f"{path} cannot be written: {error.strerror or error}") from None


def _markdown(report: ReceiverReport) -> str:
    counts = f"{report.passed} passed, {report.failed} failed, {report.skipped} not tried"
    rows = [f"| {_MARKS[each.verdict]} | `{each.name}` | {each.title} | {_cell(each.why)} |" for each in report.checks]
    head = (
        f"# Receiver check of {report.url}",
        f"\n{counts} (deliveries as for `{report.delivery_type}`).\n",
        "| | check | a good receiver | what it did |",
        "|---|---|---|---|",
    )
    return "\n".join((*head, *rows, ""))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
