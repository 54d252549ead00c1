"""The pages about the command line, made from its commands: docs/cli.md, and a JSON schema for what --json prints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from typing import Any

import click
import msgspec

from eventmill.cli.config import Setting
from eventmill.cli.declared_forms import DeclaredForm
from eventmill.cli.declared_report import DeclaredReport
from eventmill.cli.diagnosis import Finding
from eventmill.cli.filter import FilterVerdict
from eventmill.cli.listen import ListenLine
from eventmill.cli.main import cli
from eventmill.cli.migrate import SchemaReport
from eventmill.cli.publishing import PublishSummary
from eventmill.cli.receiver_results import ReceiverReport
from eventmill.cli.simulate import SimulationSummary
from eventmill.store.sqlite.backup import Copied
from eventmill.web.console.shapes import ConsoleProject, Integration, SecretItem
from eventmill.web.endpoint import Endpoint
from eventmill.web.recovery_bodies import ReplayBody, ResentAttempt
from eventmill.web.routes import GROUPS
from eventmill.web.shapes import JournalEntry

COMMON = ("workspace", "project", "org", "console_file", "url", "token", "data", "store", "port")
"""Options that say who a command acts as, and where; described once."""
WORDS_MAX = 4


class Environment(msgspec.Struct):
    """The members of `eventmill env`."""

    api_url: str
    ingress_url: str
    journal_url: str
    ims_url: str
    console_url: str
    keys_url: str
    ims_org_id: str
    consumer_org_id: str
    project_id: str
    workspace_id: str
    credential_id: str
    client_id: str
    client_secret: str
    access_token: str


class CreatedProject(ConsoleProject, frozen=True, kw_only=True, rename="camel"):
    """A project, and the workspace that came with it."""

    project_id: str
    project_type: str
    workspace_id: str


class KnownCredential(Integration, frozen=True, kw_only=True):
    """A credential and which secrets it has."""

    client_secrets: list[SecretItem] = msgspec.field(name="client_secrets")


OWN: Mapping[str, Any] = {
    "env": Environment,
    "env --aio": dict[str, str],
    "env --node": dict[str, str],
    "simulate": SimulationSummary,
    "publish": PublishSummary,
    "plan": DeclaredReport,
    "apply": DeclaredReport,
    "destroy": DeclaredReport,
    "export": DeclaredForm,
    "filter test": list[FilterVerdict],
    "config show": list[Setting],
    "doctor": list[Finding],
    "backup": Copied,
    "restore": Copied,
    "migrate status": SchemaReport,
    "migrate check": SchemaReport,
    "migrate up": SchemaReport,
    "listen": ListenLine,
    "receiver-check": ReceiverReport,
    "journal read --all": JournalEntry,
    "journal tail": JournalEntry,
    "replay list": list[ReplayBody],
    "resend --attempt": ResentAttempt,
    "project create": CreatedProject,
    "credential get": KnownCredential,
}
"""What commands print that is not the first body of an operation; with a flag after the words, what that one makes
them print instead."""

ANSWERS: Mapping[str, str] = {
    "provider list": "getAllProviders",
    "provider get": "getProvider",
    "provider create": "createProvider",
    "provider update": "updateProvider",
    "eventmetadata list": "getAllEventMetadataForProvider",
    "eventmetadata get": "getEventMetadataForProvider",
    "eventmetadata create": "createEventMetadataForProvider",
    "eventmetadata update": "patchEventMetadata",
    "eventmetadata sample": "getSampleEvent",
    "eventmetadata schemas": "getSchemaVersions",
    "registration list": "getAllRegistrationsForWorkspace",
    "registration get": "getRegistration",
    "registration create": "createRegistration",
    "registration update": "updateRegistration",
    "registration enable": "patchRegistration",
    "registration disable": "patchRegistration",
    "journal read": "getEventsFromJournal",
    "journal cursor list": "listCursors",
    "journal cursor get": "getCursor",
    "journal cursor set": "putCursor",
    "filter validate": "validateFilters",
    "filter backtest": "backtestFilter",
    "dev clock": "getClock",
    "dev fault add": "addFault",
    "dev fault list": "getFaults",
    "dev mail list": "getMails",
    "explain": "explainEvent",
    "unmatched": "listUnmatchedEvents",
    "undelivered": "getUndelivered",
    "replay show": "getReplay",
    "traces": "getTraces",
    "replay start": "getReplay",
    "replay start --dry-run": "createReplay",
    "resend": "resendEvent",
    "replay pause": "pauseReplay",
    "replay resume": "resumeReplay",
    "replay cancel": "cancelReplay",
    "org create": "createOrganization",
    "org get": "getOrganization",
    "org update": "editOrganization",
    "project get": "getProject",
    "project update": "editProject",
    "workspace get": "getWorkspace",
    "workspace create": "getWorkspace",
    "workspace update": "editWorkspace",
    "credential create": "createOAuthServerToServerCredential",
    "credential update": "editCredential",
    "credential add-secret": "addSecret",
    "keys list": "getTokenKeys",
    "user add": "createUser",
    "user role": "editUser",
    "asyncapi import": "importAsyncApi",
    "org list": "getOrganizations",
    "project list": "getProjectsForOrg",
    "workspace list": "getWorkspacesForProject",
    "credential list": "getCredentials",
    "user list": "listUsers",
}
"""Operations whose body a command prints as it came."""

INTRO = """\
`eventmill --help` lists the commands, `eventmill COMMAND --help` says what one does. Where the `aio event` commands of
Adobe's command line do the same, verbs, arguments and flags are theirs. There is completion for
[bash, zsh and fish](#eventmill-completion).

## Who a command acts as

Commands that work with events act with the credential of one workspace, and find it in this order:

1. `--console-file FILE`: the file that the Developer Console gives for download (*Download all*), or
   `eventmill workspace download`. Adobe's service is meant, unless variables name other hosts.
2. `--url URL` with `--token TOKEN`: another gateway. Ids that no option says are looked up there.
3. `--data DIR`, `--store URL` and `--port PORT`: the gateway whose data these are, on this machine. Its keys make the
   token.
4. The variables that `eventmill env` prints: `API_URL`, `INGRESS_URL`, `IMS_URL`, `KEYS_URL`, `IMS_ORG_ID`,
   `CONSUMER_ORG_ID`, `PROJECT_ID`, `WORKSPACE_ID`, `CLIENT_ID`, `CLIENT_SECRET`, `ACCESS_TOKEN`. They count if
   `API_URL` is set. Without `ACCESS_TOKEN`, or when it has expired, a token is got with the client's id and secret
   (OAuth server-to-server, `SCOPES`).
5. The gateway of this directory: its data are in `.eventmill`, its port is 8080.

`--workspace`, `--project` and `--org` name another place, by id or name. Commands about tenants (`org`, `project`,
`workspace`, `credential`, `user`, `keys`) and about deliveries (`explain`, `traces`, `undelivered`, `replay` and the
like) act as the operator where the gateway's data are on this machine, else as the variables say.

### Adobe's service

These speak to Adobe's own service as they do to a gateway: `provider`, `eventmetadata`, `registration`, `publish` (mode
`structured`), `journal read`, `journal tail`, `filter validate`, `listen`. With the console's file nothing else is
needed:

```text
eventmill registration list --console-file workspace.json
eventmill listen "My registration" --console-file workspace.json --forward-to http://localhost:3000/hook
```

The others, and options that the service does not know, say that they need a gateway, and send nothing. Where the way
out leads through a proxy, `HTTPS_PROXY` and `NO_PROXY` are obeyed; `SSL_CERT_FILE` names other certificate authorities.

## Output

Tables and labelled lines are for people, and may change. `--json` (`-j`) and, where `aio` has it, `--yml` (`-y`) are
for programs: what they print follows [published schemas](schemas/cli), to which members may be added. Results go to
standard output; warnings, progress and errors to standard error.

| exit code | means |
|---|---|
| 0 | It was done. |
| 1 | It was refused, or failed, or the question whether to go on was not answered with yes. |
| 2 | It could not begin: wrong usage, no such gateway, nothing to sign in with. |
| 3 | `migrate`: something is to be done first. |
| 4 | The schema of the store, or of the backup, is of a newer version, or of another build. |
| 5 | The database cannot be reached, or writes nothing now: try again. |
| 130 | Ctrl-C. |

3 to 5 come from commands that open the store themselves: `serve`, `migrate`, `restore`.

Commands that say more with their exit code have a table of their own below.

## A receiver on this machine

[`eventmill listen`](#eventmill-listen) needs no tunnel: it reads the journal of a registration, of a gateway anywhere
or of Adobe's service, and posts each event to a URL on this machine, in order, with the headers of a webhook delivery.
The place that it reached is in a file, on disk before the next event is sent. Whatever ends it, or the gateway, or the
connection: the next run goes on behind the last event that the receiver took. It may repeat one event, or one batch,
when it was ended between the receiver's answer and the file; receivers know repeats by `x-adobe-event-id`.

[`eventmill receiver-check`](#eventmill-receiver-check) sends a receiver what a gateway will send, and what others
might: the challenge, genuine deliveries, changed ones, forged ones, repeats, large and slow ones, many at once. Its
report says what came of each, and what would have come of it in production.
"""


def command_page(made_by: str) -> str:
    parts = [made_by.format(source="the commands"), "# The command line\n", INTRO]
    for words, command in walk(cli):
        level = min(len(words) + 1, WORDS_MAX)
        parts.append(f"{'#' * level} eventmill {' '.join(words)}\n")
        parts += describe(words, command)
    return "\n".join(parts).rstrip() + "\n"


def walk(group: click.Group, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command after the group that it is in, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*above, name), command
        if isinstance(command, click.Group):
            yield from walk(command, (*above, name))


def describe(words: tuple[str, ...], command: click.Command) -> Iterator[str]:
    if not isinstance(command, click.Group):
        context = click.Context(command, info_name=f"eventmill {' '.join(words)}")
        pieces = [each for each in command.collect_usage_pieces(context) if each != "[OPTIONS]"]
        yield f"`{' '.join(['eventmill', *words, *pieces])}`\n"
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield f"```text\n{paragraph.removeprefix(chr(8) + chr(10)).rstrip()}\n```\n"
        else:
            yield plain(" ".join(paragraph.split())) + "\n"
    options = [each for each in command.params if isinstance(each, click.Option)]
    own = [each for each in options if each.name not in COMMON or words == ("serve",)]
    if own:
        yield "| option | |\n|---|---|"
        yield from (option_row(each) for each in own)
        yield ""
    if len(own) < len(options):
        names = ", ".join(f"`{each.opts[-1]}`" for each in options if each not in own)
        yield f"And [{names}](#who-a-command-acts-as).\n"
    yield from schema_lines(" ".join(words))


def schema_lines(words: str) -> Iterator[str]:
    links = [
        ("with " + "".join(f"`{flag}` " for flag in key.split()[len(words.split()) :]), schema_name(key))
        for key in {**OWN, **ANSWERS}
        if key == words or key.startswith(f"{words} --")
    ]
    if links:
        shown = ", ".join(f"{flags if '`' in flags else ''}[{name}](schemas/cli/{name})" for flags, name in links)
        yield f"Schema of its JSON: {shown}.\n"


def option_row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    metavar = "" if option.is_flag else f" `{option.make_metavar(click.Context(cli))}`"
    default = option.default if option.show_default else None
    text = (option.help or "") + (f"  [default: {default}]" if default not in (None, "") else "")
    return f"| {names}{metavar.replace('|', chr(92) + '|')} | {plain(text).replace('|', chr(92) + '|')} |"


def plain(text: str) -> str:
    """Square brackets are links in Markdown, angle ones tags."""
    return re.sub(r"\s*\[default: (.*?)\]$", r" Default: \1.", text).replace("<", "&lt;").replace("[", "\\[")


def schema_name(words: str) -> str:
    """Of the command's words, and the flag after them."""
    return re.sub(r" -*", "-", words) + ".json"


def schemas() -> Iterator[tuple[str, str]]:
    """File name and text of each schema."""
    endpoints: list[Endpoint[Any]] = []
    for group in GROUPS:
        endpoints += [*group.ingress, *group.for_callers, *group.for_anyone]
    operations = {endpoint.operation.id: endpoint.operation for endpoint in endpoints}
    bodies = {
        words: next(each.body for each in operations[name].answers if each.body not in (None, bytes))
        for words, name in ANSWERS.items()
    }
    for words, kind in {**OWN, **bodies}.items():
        yield schema_name(words), schema_text(f"eventmill {words} --json", kind)


def declared_schema() -> str:
    """Of the files that `eventmill apply` reads, for editors."""
    return schema_text("A file for eventmill apply", DeclaredForm)


def schema_text(title: str, kind: Any) -> str:
    schema = msgspec.json.schema(kind, schema_hook=lambda _: {})
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made from the code by `make docs`; edit that, not this file.",
        "title": title,
    }
    return json.dumps({**head, **schema}, indent=2, ensure_ascii=False) + "\n"
