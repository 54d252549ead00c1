"""What every command prints with --json, held against the schema that is published for it; none is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import free_port
from tests.e2e.harness.command_line import SCHEMAS, CommandLine, check_schema, schema_of
from tests.e2e.harness.local_receiver import Got, local_receiver

pytestmark = pytest.mark.on_files

DECLARED = "name: json\nproviders: {Depot: {events: {stock.in: {}}}}\n"


class Desk:
    """Runs commands with --json, and remembers which schemas their output was held against."""

    def __init__(self, line: CommandLine, where: tuple[str, ...]) -> None:
        self.line = line
        self.where = where
        """Options that name the gateway's data directory and port."""
        self.checked: set[str] = set()

    def read(self, *words: str, given: str = "", codes: tuple[int, ...] = (0,)) -> Any:
        done = self.line.run(*words, "--json", given=given)
        assert done.code in codes, (words, done)
        return self._check(words, json.loads(done.output))

    def lines(self, *words: str) -> list[Any]:
        """Of a command that prints an object per line."""
        values = [self._check(words, json.loads(each)) for each in self.line.ok(*words, "--json").splitlines()]
        assert values, words
        return values

    def _check(self, words: tuple[str, ...], value: Any) -> Any:
        self.checked.add(schema_of(words).stem)
        return check_schema(words, value)


def give_challenge(got: Got) -> tuple[int, bytes]:
    """A receiver that takes whatever comes."""
    return 200, parse_qs(urlsplit(got.path).query)["challenge"][0].encode() if got.method == "GET" else b""


def test_every_command(start_gateway: StartGateway, tmp_path: Path) -> None:
    """All of them, one after the other; a schema that no output was held against fails the test."""
    gateway = start_gateway("--dev")
    desk = Desk(CommandLine(gateway), ("--data", str(gateway.data), "--port", str(gateway.port)))
    with local_receiver(give_challenge) as receiver:
        run_catalogue(desk, tmp_path)
        run_registrations(desk, receiver.url)
        run_events(desk, tmp_path)
        run_receivers(desk, receiver.url, tmp_path)
        run_recovery(desk)
        run_dev(desk)
        run_declared(desk, tmp_path)
        run_store(desk, tmp_path)
        run_tenants(desk)

    assert desk.checked == {path.stem for path in SCHEMAS.glob("*.json")}


def run_tenants(desk: Desk) -> None:
    desk.read("org", "create", "Acme", *desk.where)
    place = ("--org", "Acme", *desk.where)
    for verb in ("list", "get Acme", "update Acme --name Acme"):
        desk.read("org", *verb.split(), *desk.where)
    for verb in ("create Depot", "list", "get Depot", "update Depot --title D"):
        desk.read("project", *verb.split(), *place)
    for verb in ("create Second", "list", "get Second", "update Second --title S"):
        desk.read("workspace", *verb.split(), *place)
    made = desk.read("credential", "create", "Service", "--workspace", "Second", *place)
    desk.read("credential", "list", "--workspace", "Second", *place)
    for verb in (f"get {made['id']}", f"update {made['id']} --name Other", f"add-secret {made['id']}"):
        desk.read("credential", *verb.split(), *place)
    desk.read("user", "add", "kim", "--password-stdin", *desk.where, given="a long pass phrase\n")
    desk.read("user", "role", "kim", "developer", *desk.where)
    desk.read("user", "list", *desk.where)
    desk.read("keys", "list", *desk.where)
    shown = desk.read("env", *desk.where)
    assert set(shown) == set(json.loads((SCHEMAS / "env.json").read_text())["$defs"]["Environment"]["required"])
    desk.read("env", "--aio", *desk.where)
    desk.read("env", "--node", *desk.where)


def run_catalogue(desk: Desk, directory: Path) -> None:
    desk.read("provider", "create", "--label", "Shelves")
    for verb in ("list", "get Shelves", "update Shelves --description Stock"):
        desk.read("provider", *verb.split())
    sample = directory / "sample.json"
    sample.write_text('{"sku": "A1"}')
    code = "Shelves com.acme.low"
    texts = f"--label Low --description Out --sample {sample}"
    for verb in (
        f"create {code} {texts}",
        "list Shelves",
        f"get {code}",
        f"update {code} --label Lower",
        f"sample {code}",
        f"schemas {code}",
    ):
        desk.read("eventmetadata", *verb.split())
    document = directory / "shelves.json"
    desk.line.ok("asyncapi", "export", *desk.where, "--format", "json", "--out", str(document))
    desk.read("asyncapi", "import", str(document), "--label", "Imported", "--dry-run", *desk.where)


def run_registrations(desk: Desk, hook_url: str) -> None:
    wanted = ("--event", "Shelves:com.acme.low")
    desk.read("registration", "create", "--name", "Reader", *wanted)
    desk.line.ok("registration", "create", "--name", "Hook", *wanted, "--webhook-url", hook_url)
    for verb in ("list", "get Reader", "update Reader --description ERP", "disable Hook"):
        desk.read("registration", *verb.split())


def run_events(desk: Desk, directory: Path) -> None:
    desk.read("publish", "--provider", "Shelves", "--code", "com.acme.low", "--payload", '{"sku": "A1"}')
    desk.line.ok("publish", "-", "--provider", "Shelves", "--code", "com.acme.low", given="1\n2\n3\n4\n5\n")
    desk.read("simulate", "campaign", "--count", "5", "--rate", "0", "--seed", "7", *desk.where)
    assert desk.read("journal", "read", "Reader", "--limit", "1")["events"]
    assert len(desk.lines("journal", "read", "Reader", "--all")) == 6
    assert len(desk.lines("journal", "tail", "Reader", "--seek", "1h", "--limit", "2")) == 2
    desk.read("journal", "cursor", "set", "Reader", "erp")
    desk.read("journal", "cursor", "get", "Reader", "erp")
    desk.read("journal", "cursor", "list", "Reader")
    event = directory / "event.json"
    event.write_text('{"data": {"sku": "A1"}}')
    chosen = '{"data": {"sku": ["A1"]}}'
    assert desk.read("filter", "test", chosen, str(event))
    desk.read("filter", "validate", chosen, "Reader")
    desk.read("filter", "backtest", chosen, "Reader")


def run_receivers(desk: Desk, hook_url: str, directory: Path) -> None:
    forward = ("--forward-to", hook_url, "--state", str(directory / "place.json"))
    desk.lines("listen", "Reader", *forward, "--seek", "1h", "--limit", "2")
    sender = ("--client-id", "acme", "--client-secret", "only-for-tests", "--keys-port", str(free_port()))
    desk.read("receiver-check", hook_url, *sender, "--only", "good_signature", codes=(0, 1))


def run_recovery(desk: Desk) -> None:
    """Of the six events that came while the webhook was disabled."""
    assert desk.read("registration", "enable", "Hook")["enabled"]
    assert desk.read("undelivered", "Hook", *desk.where)["total"] == 6
    hook = ("Hook", *desk.where)
    assert desk.read("replay", "start", "--dry-run", *hook)["total"] == 6
    desk.read("replay", "start", "--rate", "0.1", *hook)
    for verb in ("list", "show", "pause", "resume", "cancel"):
        desk.read("replay", verb, *hook)
    [first, *_] = desk.read("journal", "read", "Reader", "--limit", "1")["events"]
    event_id = first["event"]["eventid"]
    desk.read("resend", "Hook", event_id, *desk.where)
    desk.line.ok("dev", "clock", "--advance", "1s")  # answers when what is due was sent
    attempts = desk.read("traces", *hook)
    delivered = next(each for each in attempts if each["event"] == "com.acme.low")
    desk.read("resend", "Hook", delivered["id"], "--attempt", *desk.where)
    desk.read("explain", event_id, *desk.where)
    desk.read("unmatched", *desk.where)


def run_dev(desk: Desk) -> None:
    desk.read("dev", "clock")
    desk.read("dev", "fault", "add", "Hook", "status")
    assert desk.read("dev", "fault", "list")
    desk.read("dev", "mail", "list")


def run_declared(desk: Desk, directory: Path) -> None:
    file = directory / "events.yaml"
    file.write_text(DECLARED)
    for verb in ("plan", "apply --yes", "destroy --yes"):
        assert desk.read(*verb.split(), "-f", str(file))["steps"]
    desk.read("export")


def run_store(desk: Desk, directory: Path) -> None:
    data = desk.where[:2]
    desk.read("config", "show")
    desk.read("doctor", "--dev", *desk.where, codes=(0, 1))
    place = str(directory / "backup")
    desk.read("backup", place, *data)
    restored = ("--data", str(directory / "restored"))
    desk.read("restore", place, *restored)
    desk.read("migrate", "status", *data)
    desk.read("migrate", "check", *data, codes=(0, 3))
    desk.read("migrate", "up", *restored)
