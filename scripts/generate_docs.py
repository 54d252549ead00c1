"""Write the reference pages that are made from code: settings, refusals, log events, the map of the modules.

`--check` writes nothing and fails when a page is not what the code says.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from eventmill import config, errors, model, telemetry
from eventmill.core import health
from eventmill.core.envelope import format_time
from eventmill.web.metrics import METRICS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MAP_BEGIN = "<!-- Made from the modules' docstrings by `make docs`; edit those. -->"
MAP_END = "<!-- End of the map. -->"
MADE_BY = "<!-- Made from {source} by `make docs`; edit the code, not this page. -->\n"

CONFIGURATION_INTRO = """\
Every setting has a default; none is needed to start. A flag of `eventmill serve` beats the environment, the
environment beats the default. The variable of a setting is `EVENTMILL_` and its name in capitals. Lists are comma-
separated, booleans `true` or `false`. Units stand at the end of the names: `_s` seconds, `_ms` milliseconds,
`_bytes_max` bytes. A value that cannot be read stops the start with a message that names it; a variable that is no
setting, misspelt perhaps, is logged (`setting_unknown`). Spans are switched on by variables of OpenTelemetry's own:
[`OTEL_*`](observability.md).
"""

ERRORS_INTRO = """\
Every refusal answers with its HTTP status and `{"reason": "<code>", "message": "<what was wrong, and where>"}`; on
401 and 403 there is an `error_code` too. Codes are added, never renamed. Every answer carries `x-request-id`; the log
of a 500 has the same id. `Retry-After` is sent only where trying again makes sense.
"""

TRACES_INTRO = """\
In traces, a webhook's own status stands as it came. Where there was none, one of these stands in its place; all of
them are tried again.
"""

LOGGING_INTRO = """\
Logs go to standard error: lines for people on a terminal, else one JSON object per line with `timestamp`, `level`,
`event` and the event's own fields (`EVENTMILL_LOG_FORMAT`, `EVENTMILL_LOG_LEVEL`). Secrets, tokens and event bodies
are never logged. Event names are added, never renamed.
"""


# --- Settings --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Section:
    title: str
    fields: list[tuple[str, str]]
    """Name and docstring of each setting, in the order of the class."""


def config_sections(source: str) -> list[Section]:
    """The settings of `Config` under their comment headings, read from the source of the module."""
    lines = source.splitlines()
    [body] = [node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "Config"]
    sections: list[Section] = []
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        above = lines[node.lineno - 2].strip()
        if above.startswith("# "):
            sections.append(Section(above.removeprefix("# "), []))
        sections[-1].fields.append((node.target.id, docstring(following)))
    return sections


def docstring(node: ast.stmt | None) -> str:
    """The text of a string that stands by itself after an attribute, on one line."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def configuration_page() -> str:
    types = {field.name: field for field in msgspec.structs.fields(config.Config)}
    parts = [
        MADE_BY.format(source="`eventmill.config.Config`"),
        "# Configuration\n",
        CONFIGURATION_INTRO,
        "Settings with a flag: " + ", ".join(f"`{flag}`" for flag in serve_flags()) + ".\n",
    ]
    for section in config_sections(Path(config.__file__).read_text()):
        parts += [f"## {section.title}\n", "| variable | default | meaning |", "|---|---|---|"]
        for name, text in section.fields:
            field = types[name]
            meaning = " ".join(filter(None, [text, kind_text(field.type)]))
            parts.append(f"| `EVENTMILL_{name.upper()}` | {default_text(field.default)} | {cell(meaning)} |")
        parts.append("")
    return "\n".join(parts)


def serve_flags() -> list[str]:
    from eventmill.cli.serve import serve

    return [option for parameter in serve.params for option in parameter.opts]


def default_text(value: Any) -> str:
    if value in ("", ()):
        return "empty"
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def kind_text(kind: Any) -> str:
    if get_origin(kind) is not Literal:
        return ""
    return "One of " + ", ".join(f"`{choice}`" for choice in get_args(kind) if choice) + "."


def cell(text: str) -> str:
    return text.replace("|", "\\|")


# --- Refusals --------------------------------------------------------------------------------------------------------

TRACE_MEANINGS = {
    errors.TraceCode.CLIENT_ERROR: "The gateway could not even form or send the request.",
    errors.TraceCode.NETWORK_ERROR: "No connection: unknown name, refused, reset, no route, a forbidden address; "
    "or the egress proxy failed.",
    errors.TraceCode.TIMEOUT: "No complete answer within `EVENTMILL_WEBHOOK_TIMEOUT_S`.",
    errors.TraceCode.TLS_ERROR: "The TLS handshake failed.",
}

REASON_MEANINGS = {
    errors.Reason.MALFORMED_REQUEST: "What came is not an HTTP/1.1 request; the connection is closed.",
    errors.Reason.INVALID_JSON: "The body is not JSON.",
    errors.Reason.INVALID_BODY: "The body is JSON, but not what this endpoint takes; the message names the member.",
    errors.Reason.INVALID_PATCH: "The JSON Patch cannot be applied; the message names the operation.",
    errors.Reason.INVALID_EVENT: "The published event is not a CloudEvent; the message names the attribute.",
    errors.Reason.INVALID_BATCH: "A published batch is no array, or has refused events: `errors` tells which and why.",
    errors.Reason.SCHEMA_VIOLATION: "The data of the event do not fit the schema of its code, and its provider rejects "
    "such events; the message names the code and the places.",
    errors.Reason.INCOMPATIBLE_SCHEMA: "The changed schema would refuse the sample event, or stored events of late, "
    "that the schema before it accepted; `?force=true` changes it anyway.",
    errors.Reason.INVALID_PARAMETER: "A query parameter or header cannot be used.",
    errors.Reason.INVALID_POSITION: "`since` is not a position of this journal.",
    errors.Reason.UNKNOWN_EVENT: "An event of interest names a provider or event code that does not exist.",
    errors.Reason.CHALLENGE_FAILED: "There is no webhook to challenge; or, if strict, it did not pass its challenge.",
    errors.Reason.INVALID_FILTER: "A subscriber filter breaks the rules; the message says how, and where.",
    errors.Reason.INCOMPATIBLE_FILTER: "A filter on a registration that cannot have one: an event bus, or one with "
    "events in the `adobe_io` format. Or this format for a provider whose events are filtered.",
    errors.Reason.FILTER_EXISTS: "The registration has a filter already; replace that one.",
    errors.Reason.CLOCK_BACKWARDS: "The virtual clock only goes forward.",
    errors.Reason.MISSING_TOKEN: "No `Authorization: Bearer` header.",
    errors.Reason.INVALID_TOKEN: "The bearer token is none of this gateway's, nor of its OpenID Connect issuer's.",
    errors.Reason.EXPIRED_TOKEN: "The bearer token has expired; ask for a new one.",
    errors.Reason.REVOKED_TOKEN: "The bearer token was revoked, or its client was or is gone; ask for a new one.",
    errors.Reason.INVALID_CLIENT: "Client id and secret do not belong together.",
    errors.Reason.MISSING_API_KEY: "No `x-api-key` header.",
    errors.Reason.UNKNOWN_API_KEY: "No credential has this api key.",
    errors.Reason.WRONG_API_KEY: "A journal is read with its registration's own api key; lenient mode takes any.",
    errors.Reason.WRONG_ORGANIZATION: "Token, api key, organization header and path do not name one organization.",
    errors.Reason.MISSING_SCOPE: "The token lacks the scope `adobeio_api`.",
    errors.Reason.NOT_PERMITTED: "The caller may read this, but not do that.",
    errors.Reason.LOOPBACK_ONLY: "A development endpoint was called from another machine.",
    errors.Reason.NOT_FOUND: "No such path, or no such thing in this organization.",
    errors.Reason.METHOD_NOT_ALLOWED: "The path exists, not with this method; `Allow` lists those it has.",
    errors.Reason.CONFLICT: "The name is taken; `x-conflicting-id` says by whom.",
    errors.Reason.STALE_VERSION: "Somebody else changed it meanwhile: read it again, then try again.",
    errors.Reason.QUOTA_REACHED: "The organization or api key has as many registrations as it may have.",
    errors.Reason.REGISTRATION_DISABLED: "Nothing new is sent to a disabled registration: enable it first.",
    errors.Reason.NOT_PUSHED: "The registration is a journal: nothing is pushed to it, so nothing can be replayed.",
    errors.Reason.LEASE_HELD: "Another holder leases the cursor; `Retry-After` says for how long.",
    errors.Reason.LEASE_LOST: "The cursor is leased, and not to whoever sent this fence, or none.",
    errors.Reason.PRECONDITION_FAILED: "`If-Match` or `If-None-Match` does not hold: read it again, then decide anew.",
    errors.Reason.TOO_MANY_READERS: "No further live tail now, for this registration or at all; `Retry-After`.",
    errors.Reason.POSITION_EXPIRED: "Events after this position passed their retention: start at the oldest.",
    errors.Reason.VALIDATION_OVER: "The link that validates a webhook was opened before, or has expired.",
    errors.Reason.TOO_LARGE: "The body, or a document that is asked for, is over its limit.",
    errors.Reason.UNSUPPORTED_MEDIA_TYPE: "The content type is none this endpoint reads.",
    errors.Reason.THROTTLED: "Too many requests in 5 seconds; `Retry-After` says when to try again.",
    errors.Reason.STORAGE_QUOTA_REACHED: "The organization stores as much as it may; retention makes room.",
    errors.Reason.HEADERS_TOO_LARGE: "Request line and header fields are larger than 64 KiB; the connection is closed.",
    errors.Reason.EGRESS_PROXY_FAILED: "The gateway's own proxy failed, so that the webhook was not asked. Try again.",
    errors.Reason.ISSUER_UNAVAILABLE: "The keys of the OpenID Connect issuer could not be read yet. Try again.",
    errors.Reason.INTERNAL: "A fault of the gateway; its log has the request id.",
    errors.Reason.STORE_UNAVAILABLE: "The store cannot promise durability now. Nothing was accepted.",
    errors.Reason.DISK_RESERVE_REACHED: "The disk is nearly full. Nothing was accepted.",
    errors.Reason.SHUTTING_DOWN: "The gateway is stopping. Nothing was accepted.",
}


def errors_page() -> str:
    parts = [
        MADE_BY.format(source="`eventmill.errors`"),
        "# Errors\n",
        ERRORS_INTRO,
        "| status | reason | when |",
        "|---|---|---|",
    ]
    parts += [
        f"| {reason.status} | `{reason.code}` | {cell(reason_meaning(reason))} |"
        for reason in sorted(errors.Reason, key=lambda each: (each.status, each.code))
    ]
    parts += [
        "\n## Delivery attempts without an HTTP answer\n",
        TRACES_INTRO,
        "| code | when |",
        "|---|---|",
        *(f"| {int(code)} | {cell(TRACE_MEANINGS[code])} |" for code in errors.TraceCode),
        "",
    ]
    return "\n".join(parts)


def reason_meaning(reason: errors.Reason) -> str:
    if reason not in REASON_MEANINGS:
        sys.exit(f"{reason} is new: say in scripts/generate_docs.py when it is answered")
    return REASON_MEANINGS[reason]


# --- Log events ------------------------------------------------------------------------------------------------------


def logging_page() -> str:
    parts = [
        MADE_BY.format(source="`eventmill.telemetry`"),
        "# Logging\n",
        LOGGING_INTRO,
        "| event | meaning |",
        "|---|---|",
        *(f"| `{name}` | {cell(meaning)} |" for name, meaning in telemetry.MEANINGS.items()),
        "",
    ]
    return "\n".join(parts)


# --- Health ----------------------------------------------------------------------------------------------------------

HEALTH_INTRO = """\
A webhook that fails for long is first marked, then no longer called, so that nobody's dead endpoint is called for
ever and its owner learns of it. This page is the rules, exactly as the gateway applies them.

## What is counted

Attempts: each retry is one, and a batch is one. Any answer but 2xx is a failure, a final refusal (404, say) as much
as a 503 or no answer. Challenges are no attempts, and neither is what did not get past the
[egress proxy](webhooks.md#through-a-proxy). A Runtime action and an event bus are counted as webhooks are.

Counts are sums over the last {day} hours and the last {half_hour} minutes of business time, kept in buckets of 5
minutes. A bucket leaves a window as a whole, so that nothing older than the window ever counts, and what is about to
leave it may do so 5 minutes early. They are on disk with the progress of delivery: a restart or a crash forgets
nothing.

**A window is failing** when it has at least {attempts} attempts and fewer than {percent} % of them succeeded. Exactly
{percent} % is enough. With fewer than {attempts} attempts a day a dead webhook stays `verified` for ever; its events
wait for their retries, and are in the journal.

Only attempts since the registration last became `verified` count. Each change to `verified` or `unstable` begins a
bucket of its own, in the same write. A failure that was under way then counts where it began, before the change; a
success counts after it. So requests that time out after a recovery do not undo it.
"""

HEALTH_STATUSES = {
    "accepted": ("Pending", "Waits for its validation, or for its event bus. Nothing is pushed."),
    "verified": ("Active", "New events are pushed."),
    "unstable": ("Unstable", "New events are pushed; the webhook has been failing."),
    "hook_unreachable": ("Disabled", "`enabled` is `false`: too many attempts failed for too long."),
    "verification_failed": ("Disabled", "`enabled` is `false`: the webhook did not agree to be called."),
}

HEALTH_RULES: dict[health.RuleSet, str] = {"v3": "the current ones, and the default", "v1": "those of 2024 to 2026"}

HEALTH_OUTRO = """\
With `v1` the first success after the change to `unstable` recovers, whatever this setting is. And with `v1` a webhook
that fails from the start is disabled at its tenth attempt: the day is looked at first.

A status is looked at after each attempt (within moments, and in dev mode before an advance of the clock answers) and
whenever time alone can change it: windows age without traffic, and 24 hours end.

## While a registration is disabled

New events go to the journal only; the gap is on record with its cause. Retries that were scheduled before go on until
they succeed or their own 24 hours end, and a late success enables nothing. `PUT` or `PATCH` with a webhook that
agrees to be called enables it: new events are pushed from then on, counting begins afresh, and what came meanwhile is
in the journal and is not pushed by itself. A change of the registration that comes between the judgement and its
write wins: it is judged anew by what it says.

What was missed [is kept in view](recovery.md); the answer that enables the registration tells how much there is, and
the one call that sends it.

A registration that was disabled by hand (`"enabled": false`) keeps its status and is not judged while it is disabled.

## Asking

`GET /events/{org}/{project}/{workspace}/registrations/{id}/health` (an addition of ours) shows where a registration
stands:

```json
"""

HEALTH_END = """\
```

`next_evaluation` is when time alone will change the status, `next_status` what it then becomes, should attempts go on
as they do; both are `null` when nothing is going to happen. Each change to `unstable` and `hook_unreachable` leaves a
notice in the store, in the same write, and each change a `health_changed` line in the log.
"""


def health_page() -> str:
    intro = HEALTH_INTRO.format(
        day=health.DAY_MS // 3_600_000,
        half_hour=health.HALF_HOUR_MS // 60_000,
        attempts=health.ATTEMPTS_MIN,
        percent=health.SUCCESSES_MIN_PERCENT,
    )
    parts = [
        MADE_BY.format(source="`eventmill.core.health`"),
        "# Health of webhooks\n",
        intro,
        "## Statuses\n",
        "| `webhook_status` | in the console | |",
        "|---|---|---|",
    ]
    for status in get_args(model.WebhookStatus):
        name, meaning = HEALTH_STATUSES[status]
        parts.append(f"| `{status}` | {name} | {meaning} |")
    parts.append("\n## The rules\n\nThe first line that applies counts. If no line applies, the status stays.")
    for rule_set, about in HEALTH_RULES.items():
        parts += [f"\n### `EVENTMILL_STATE_RULES={rule_set}`: {about}\n", *rule_table(health.RULES[rule_set])]
    parts.append("\n### `EVENTMILL_EARLY_RECOVERY`: before the lines of `v3`\n")
    parts += ["| setting | status | when | becomes |", "|---|---|---|---|"]
    for setting, rules in health.EARLY_RECOVERY.items():
        parts += [f"| `{setting}` {row}" for row in rule_rows(rules)] or [f"| `{setting}` | | never | |"]
    return "\n".join([*parts, "", HEALTH_OUTRO + health_example() + "\n" + HEALTH_END])


def rule_table(rules: Sequence[health.Rule]) -> list[str]:
    return ["| status | when | becomes |", "|---|---|---|", *rule_rows(rules)]


def rule_rows(rules: Sequence[health.Rule]) -> list[str]:
    return [f"| `{rule.status}` | {rule_when(rule)} | `{rule.becomes}` |" for rule in rules]


def rule_when(rule: health.Rule) -> str:
    age = f"it has been so for {rule.after_ms // 3_600_000} hours, and " if rule.after_ms else ""
    return age + rule.condition.value


def health_example() -> str:
    """A registration that has been failing for a while, as the endpoint would show it."""
    since_ms = 1_767_276_300_000
    now_ms = since_ms + 3_600_000
    tallies = [health.Tally(since_ms - 7_200_000, 3, 9), health.Tally(now_ms - 600_000, 0, 9)]
    outlook = health.judge(health.Case("unstable", since_ms, tallies), health.rules_for("v3", "next_success"), now_ms)
    assert outlook.next_ms is not None
    next_evaluation = format_time(outlook.next_ms)
    body = {
        "registration_id": "0b7e4f0c-5a3e-4c0e-9d7b-2f4f5a1c9e11",
        "webhook_status": "unstable",
        "enabled": True,
        "since": format_time(since_ms),
        "rules": "v3",
        "oldest_undelivered_age_seconds": 0.0,
        "last_24_hours": health_window(outlook.day),
        "last_30_minutes": health_window(outlook.half_hour),
        "next_evaluation": next_evaluation,
        "next_status": outlook.then,
        "summary": health.tell("unstable", outlook, next_evaluation),
        "undelivered": {"total": 0, "oldest": None, "replay": None},
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in body.items()]
    return "{" + ",\n ".join(lines) + "}"


def health_window(figures: health.Figures) -> dict[str, Any]:
    successful = figures.attempts - figures.failed
    return {
        "attempts": figures.attempts,
        "successful": successful,
        "failed": figures.failed,
        "failing": figures.is_failing,
    }


# --- The map of the modules ------------------------------------------------------------------------------------------

FOLDERS = (
    *("core", "store", "store/sqlite", "store/postgres", "send", "flow"),
    *("web", "web/console", "web/endpoints", "web/ims"),
    *("ui", "ui/pages"),
    *("cli", "simulate", "demo", "proxy", "client", "client/adapters", "testing"),
)
"""Of the package, in the order in which a newcomer reads them; the package itself comes first."""


def architecture_page(written: str) -> str:
    """The hand-written page with its map made anew."""
    before, _, rest = written.partition(MAP_BEGIN)
    _, _, after = rest.partition(MAP_END)
    package = ROOT / "src/eventmill"
    parts = ["| module | |", "|---|---|", *module_rows(package)]
    for folder in FOLDERS:
        parts += [f"| **`{folder}/`** | |", *module_rows(package / folder)]
    return f"{before}{MAP_BEGIN}\n\n" + "\n".join(parts) + f"\n\n{MAP_END}{after}"


def module_rows(folder: Path) -> list[str]:
    """A row for each module: its name and the first sentence of its docstring."""
    rows = []
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith("__"):
            continue
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        sentence = re.split(r"(?<=\.) ", " ".join(text.split()), maxsplit=1)[0].rstrip(".")
        rows.append(f"| `{path.stem}` | {cell(sentence)} |")
    return rows


# --- Metrics ---------------------------------------------------------------------------------------------------------

METRICS_INTRO = """\
`GET /metrics` (an addition of ours) answers in Prometheus' text format, without a token unless
`EVENTMILL_METRICS_TOKEN` is set; then it wants that one as `Authorization: Bearer <token>`. Nothing in it names an
organization: labels are ids of registrations. Counters begin at 0 with each start. Names are added, never renamed.

Where several nodes share a PostgreSQL, ask each of them. What is of the *node* counts what this one did: add it up over
the nodes. What is of the *store* is read from the database, so that every node says the same, give or take the seconds
between two questions: take one of them (`max by`), and never the sum.
"""

METRICS_OUTRO = """\

```
sum(rate(eventmill_published_events_total[5m]))
sum(rate(eventmill_delivery_attempts_total[5m])) by (outcome)
max(eventmill_oldest_undelivered_age_seconds)
max by (registration_id) (eventmill_registration_oldest_undelivered_age_seconds)
```

Worth an alert: `eventmill_oldest_undelivered_age_seconds` above what your receivers may lag behind, as it grows whether
an endpoint is slow, is failing, or is not attempted at all; `eventmill_ready` at 0; `eventmill_disk_free_bytes` near
`EVENTMILL_DISK_RESERVE_BYTES`. The age for one registration is also in its [health](health.md).

```yaml
scrape_configs:
  - job_name: eventmill
    static_configs: [{targets: ["events.example.com:8080"]}]
    authorization: {credentials_file: /etc/prometheus/eventmill-token}
```
"""


def metrics_page() -> str:
    rows = []
    for metric in METRICS:
        name = metric.name + "".join(f"{{{label}}}" for label in metric.labels)
        rows.append(f"| `{name}` | {metric.kind} | {metric.of} | {cell(metric.meaning)} |")
    intro = [MADE_BY.format(source="`eventmill.web.metrics`"), "# Metrics\n", METRICS_INTRO]
    return "\n".join([*intro, "| name | kind | of | meaning |", "|---|---|---|---|", *rows]) + "\n" + METRICS_OUTRO


# --- The command -----------------------------------------------------------------------------------------------------


def pages() -> Iterator[tuple[Path, str]]:
    if str(ROOT) not in sys.path:  # run as a file, not as a module
        sys.path.insert(0, str(ROOT))
    from scripts.cli_docs import command_page, declared_schema, schemas

    yield DOCS / "cli.md", command_page(MADE_BY)
    yield from ((DOCS / "schemas/cli" / name, text) for name, text in schemas())
    yield DOCS / "schemas/events.schema.json", declared_schema()
    yield DOCS / "configuration.md", configuration_page()
    yield DOCS / "errors.md", errors_page()
    yield DOCS / "health.md", health_page()
    yield DOCS / "logging.md", logging_page()
    yield DOCS / "metrics.md", metrics_page()
    yield ROOT / "ARCHITECTURE.md", architecture_page((ROOT / "ARCHITECTURE.md").read_text())


def main(arguments: list[str]) -> int:
    stale = [(path, text) for path, text in pages() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        name = path.relative_to(ROOT)
        if "--check" in arguments:
            print(f"{name} is not what the code says; run `make docs`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {name}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
