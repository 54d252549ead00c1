"""`eventmill provider|eventmetadata|registration` against one gateway: each verb, its output, its refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.command_line import CommandLine


@pytest.fixture(scope="module")
def shared_gateway(start_shared_gateway: StartGateway) -> Gateway:
    """One for all tests of this module; they use names of their own."""
    return start_shared_gateway("--dev")


@pytest.fixture(scope="module")
def line(shared_gateway: Gateway) -> CommandLine:
    """Commands for it."""
    return CommandLine(shared_gateway)


@pytest.fixture
def hook_url() -> Iterator[str]:
    """A webhook that gives challenges back."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            value = parse_qs(urlsplit(self.path).query)["challenge"][0].encode()
            self.send_response(200)
            self.send_header("content-length", str(len(value)))
            self.end_headers()
            self.wfile.write(value)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()
    thread.join()
    server.server_close()


def labels(text: str) -> dict[str, str]:
    """Of labelled lines."""
    return dict(re.findall(r"^(\S+(?: \S+)*)  +(.*)$", text, re.MULTILINE))


def test_a_provider_from_first_to_last(line: CommandLine) -> None:
    """Created, listed, found by label and by id, changed, deleted; what no option names stays."""
    made = labels(line.ok("provider", "create", "--label", "Warehouse A", "--docs-url", "https://docs.example/a"))
    assert made["label"] == "Warehouse A" and made["docs"] == "https://docs.example/a"
    assert made["source"] == f"urn:uuid:{made['provider']}" and made["format"] == "cloud_events_v1"

    assert line.read("provider", "get", "Warehouse A")["id"] == made["provider"]
    assert labels(line.ok("provider", "get", made["provider"])) == made
    listed = line.ok("provider", "list").splitlines()
    assert listed[0].split() == ["ID", "LABEL", "DESC", "SOURCE", "DOCS"]
    assert any(row.startswith(f"{made['provider']}  Warehouse A ") for row in listed)
    whole = line.read("provider", "list", "--fetchEventMetadata")
    assert made["provider"] in [each["id"] for each in whole["_embedded"]["providers"]]

    changed = line.read("provider", "update", "Warehouse A", "--description", "Stock moves")
    assert (changed["description"], changed["docs_url"]) == ("Stock moves", "https://docs.example/a")
    assert line.ok("provider", "delete", "Warehouse A", "--yes") == f"deleted provider {made['provider']}\n"
    assert line.refused("provider", "get", "Warehouse A").startswith("there is no provider 'Warehouse A'; there are: ")


def test_only_families_that_are_asked_for(line: CommandLine) -> None:
    """-p and the other filters are those of `aio event provider list`."""
    line.ok("provider", "create", "--label", "Of a family")
    chosen = line.read("provider", "list", "-p", "3rd_party_custom_events", "-p", "campaign")["_embedded"]["providers"]
    assert {each["provider_metadata"] for each in chosen} <= {"3rd_party_custom_events", "campaign"}
    assert "do not go together" in line.misused("provider", "list", "-p", "a", "--providerMetadataId", "b")


def test_provider_refusals(line: CommandLine) -> None:
    """A label that is taken, nothing to change, and the question before a deletion."""
    line.ok("provider", "create", "--label", "Taken")
    assert "Taken" in line.refused("provider", "create", "--label", "Taken")
    assert "nothing to change" in line.misused("provider", "update", "Taken")
    unanswered = line.run("provider", "delete", "Taken", given="n\n")
    assert unanswered.code == 1 and "Delete provider Taken" in unanswered.message
    prompted = line.run("provider", "create", "--json", given="Asked for\n")
    assert prompted.code == 0 and json.loads(prompted.output)["label"] == "Asked for"


def test_an_event_code_from_first_to_last(line: CommandLine, tmp_path: Path) -> None:
    """With a sample event and a schema from files."""
    line.ok("provider", "create", "--label", "Warehouse E")
    sample, schema = tmp_path / "sample.json", tmp_path / "schema.json"
    sample.write_text('{"sku": "A1"}')
    schema.write_text('{"type": "object"}')
    told = ("--label", "Stock low", "--description", "Runs out")
    made = line.read(
        *("eventmetadata", "create", "Warehouse E", "com.acme.stock.low", *told),
        *("--sample", str(sample), "--schema", str(schema)),
    )
    assert (made["event_code"], made["data_schema"]) == ("com.acme.stock.low", {"type": "object"})
    table = line.ok("eventmetadata", "list", "Warehouse E")
    assert table.splitlines()[1].split("  ") == ["com.acme.stock.low", "Stock low", "Runs out"]
    assert len(line.read("eventmetadata", "list", "Warehouse E")["_embedded"]["eventmetadata"]) == 1
    assert json.loads(line.ok("eventmetadata", "sample", "Warehouse E", "com.acme.stock.low"))["data"] == {"sku": "A1"}
    assert line.read("eventmetadata", "sample", "Warehouse E", "com.acme.stock.low")["format"] == "cloud_events"

    changed = line.read("eventmetadata", "update", "Warehouse E", "com.acme.stock.low", "--label", "Low")
    assert (changed["label"], changed["description"]) == ("Low", "Runs out")
    assert labels(line.ok("eventmetadata", "get", "Warehouse E", "com.acme.stock.low"))["schema"] == "yes"
    schema.write_text('{"type": "object", "required": ["sku"]}')
    line.ok("eventmetadata", "update", "Warehouse E", "com.acme.stock.low", "--schema", str(schema))
    versions = line.ok("eventmetadata", "schemas", "Warehouse E", "com.acme.stock.low").splitlines()
    assert [row.split()[0] for row in versions] == ["VERSION", "2", "1"]
    assert versions[1].endswith('{"type":"object","required":["sku"]}')
    deleted = line.ok("eventmetadata", "delete", "Warehouse E", "com.acme.stock.low", "--yes")
    assert deleted.startswith("deleted event code com.acme.stock.low of provider ")
    line.ok("eventmetadata", "create", "Warehouse E", "com.acme.b", *told)
    assert line.ok("eventmetadata", "delete", "Warehouse E", "--yes").startswith("deleted every event code ")
    assert line.run("eventmetadata", "list", "Warehouse E").message == "no event metadata yet\n"
    refused = line.refused("eventmetadata", "get", "Warehouse E", "com.acme.stock.low")
    assert "com.acme.stock.low" in refused


def test_a_journal_registration_from_first_to_last(line: CommandLine) -> None:
    """From options alone; found by name; shown as a table, as lines, as JSON, as YAML."""
    topic(line, "Warehouse R")
    made = line.read("registration", "create", "--name", "Reader", "--event", "Warehouse R:com.acme.stock.low")
    assert (made["delivery_type"], made["webhook_status"]) == ("journal", "verified")
    table = line.ok("registration", "list").splitlines()
    assert table[0].split() == ["ID", "NAME", "ENABLED", "DELIVERY_TYPE", "WEBHOOK_STATUS"]
    assert any(row.split()[1:] == ["Reader", "yes", "journal", "verified"] for row in table)
    assert line.read("registration", "get", "Reader") == made
    assert yaml.safe_load(line.ok("registration", "get", "Reader", "-y")) == made
    shown = labels(line.ok("registration", "get", made["registration_id"]))
    assert shown["event"] == "com.acme.stock.low  of Warehouse R"
    assert shown["journal"] == made["_links"]["rel:events"]["href"]

    renamed = line.read("registration", "update", "Reader", "--name", "Reader two", "--filter", '{"type":["a"]}')
    assert json.loads(renamed["subscriber_filters"][0]["subscriber_filter"]) == {"type": ["a"]}
    assert line.read("registration", "disable", "Reader two")["enabled"] is False
    assert line.read("registration", "enable", "Reader two")["enabled"] is True
    deleted = line.ok("registration", "delete", "Reader two", "--yes")
    assert deleted == f"deleted registration {made['registration_id']}\n"
    assert line.refused("registration", "get", "Reader two").startswith("there is no registration 'Reader two'")


def test_a_webhook_from_a_file(line: CommandLine, hook_url: str, tmp_path: Path) -> None:
    """As `aio event registration create FILE` takes it, in JSON or YAML; standard input will do."""
    provider = topic(line, "Warehouse W")
    wanted = {
        "name": "From a file",
        "delivery_type": "WEBHOOK",
        "webhook_url": hook_url,
        "events_of_interest": [{"provider_id": provider, "event_code": "com.acme.stock.low"}],
    }
    file = tmp_path / "registration.yaml"
    file.write_text(yaml.safe_dump(wanted))
    made = line.read("registration", "create", str(file))
    assert (made["delivery_type"], made["webhook_status"]) == ("webhook", "verified")
    replaced = line.ok("registration", "update", "From a file", "-", given=json.dumps({**wanted, "name": "Piped"}))
    assert labels(replaced)["name"] == "Piped"


def test_a_webhook_that_does_not_answer(line: CommandLine) -> None:
    """It is made, as the service makes it, and a warning says that it gets nothing; enabling it is exit code 1."""
    topic(line, "Warehouse D")
    made = line.run(
        *("registration", "create", "--name", "Dead", "--event", "Warehouse D:com.acme.stock.low"),
        *("--webhook-url", "http://127.0.0.1:9/hook"),
    )
    assert made.code == 0 and labels(made.output)["status"] == "verification_failed"
    assert re.search(r"verification_failed.*eventmill registration enable [0-9a-f-]{36}\n$", made.message)
    enabled = line.run("registration", "enable", "Dead")
    assert enabled.code == 1 and "Dead stays disabled" in enabled.message


def test_registration_refusals(line: CommandLine, tmp_path: Path) -> None:
    """What is missing or malformed is said before anything is sent."""
    assert line.misused("registration", "create") == "Error: --name and --event missing; or name a FILE that says it"
    named = ("registration", "create", "--name", "X")
    assert "expected PROVIDER:CODE" in line.misused(*named, "--event", "nothing")
    assert "there is no provider 'No'" in line.refused(*named, "--event", "No:a")
    file = tmp_path / "list.json"
    file.write_text("[]")
    assert "does not hold one registration" in line.refused("registration", "create", str(file))
    assert "is not JSON" in line.misused(*named, "--filter", "{")
    assert "nothing to change" in line.run("registration", "update", registered(line)).message


def test_a_gateway_that_is_not_there(line: CommandLine, tmp_path: Path) -> None:
    """Exit code 2, and what to do; likewise without anything that says which gateway."""
    away = line.run("provider", "list", variables={"API_URL": "http://127.0.0.1:9"})
    assert away.code == 2 and away.message.startswith("eventmill: no gateway answers at http://127.0.0.1:9 (")
    assert "eventmill serve" in away.message
    lost = line.run("provider", "list", "--data", str(tmp_path / "none"), variables={"API_URL": ""})
    assert lost.code == 2 and "no gateway has its data in" in lost.message


def test_with_the_file_of_the_developer_console(line: CommandLine, tmp_path: Path) -> None:
    """Ids and secret are from the file, the token is got with them, and the hosts may be those of Adobe's service."""
    file = tmp_path / "workspace.json"
    line.ok("workspace", "download", "--output", str(file))
    hosts = {name: line.env[name] for name in ("API_URL", "INGRESS_URL", "IMS_URL")}
    nobody = dict.fromkeys(line.env, "") | hosts
    found = line.ok("provider", "list", "--console-file", str(file), variables=nobody)
    assert found.startswith("ID ")
    file.write_text("{}")
    broken = line.run("provider", "list", "--console-file", str(file))
    assert broken.code == 2 and "is not the file that the Developer Console" in broken.message


def test_with_a_url_and_a_token(line: CommandLine) -> None:
    """Another gateway than the variables': the ids are looked up there, by name if need be."""
    nobody = dict.fromkeys(line.env, "")
    named = ("--url", line.env["API_URL"], "--token", line.env["ACCESS_TOKEN"])
    assert line.ok("registration", "list", *named, "-j", variables=nobody).startswith("{")
    elsewhere = line.run("registration", "list", *named, "--workspace", "Nowhere", variables=nobody)
    assert elsewhere.code == 1 and "there is no workspace 'Nowhere'" in elsewhere.message


def test_without_a_token_or_a_secret(line: CommandLine) -> None:
    """It says what to set; an expired token is renewed where there is a secret."""
    nothing = line.run("provider", "list", variables={"ACCESS_TOKEN": "", "CLIENT_SECRET": ""})
    assert nothing.code == 2 and "CLIENT_SECRET" in nothing.message
    assert line.run("provider", "list", variables={"ACCESS_TOKEN": ""}).code == 0
    wrong = line.run("provider", "list", variables={"ACCESS_TOKEN": "", "CLIENT_SECRET": "wrong"})
    assert wrong.code == 1 and "gave no token for client" in wrong.message


def topic(line: CommandLine, label: str) -> str:
    """A provider with one event code; its id."""
    made = line.read("provider", "create", "--label", label)
    told = ("--label", "Stock low", "--description", "Runs out")
    line.ok("eventmetadata", "create", made["id"], "com.acme.stock.low", *told)
    return str(made["id"])


def registered(line: CommandLine) -> str:
    """The id of a new registration."""
    topic(line, "Warehouse N")
    made = line.read("registration", "create", "--name", "Nameless", "--event", "Warehouse N:com.acme.stock.low")
    return str(made["registration_id"])
