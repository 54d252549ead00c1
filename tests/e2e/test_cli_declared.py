"""`eventmill plan|apply|destroy|export` against one gateway: once is enough, drift is mended, others are left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.command_line import CommandLine

Write = Callable[[str], str]


@pytest.fixture(scope="module")
def shared_gateway(start_shared_gateway: StartGateway) -> Gateway:
    """One for all tests of this module; each has a set and names of its own."""
    return start_shared_gateway("--dev")


@pytest.fixture(scope="module")
def line(shared_gateway: Gateway) -> CommandLine:
    """Commands for it."""
    return CommandLine(shared_gateway)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the text of a file, and says where."""

    def write(text: str) -> str:
        file = tmp_path / "events.yaml"
        file.write_text(text)
        return str(file)

    return write


def declared(name: str) -> str:
    """A set with one thing of each kind."""
    return f"""\
name: {name}
providers:
  Depot {name}:
    description: Stock moves
    docs_url: https://docs.example/depot
    schema_enforcement: warn
    events:
      stock.low:
        label: Stock low
        description: Runs out
        schema: {{type: object}}
        sample: {{sku: A1, at: "{{{{now}}}}", id: "{{{{uuid}}}}"}}
      stock.in: {{}}
registrations:
  Reader {name}:
    description: For the ERP
    events: ["Depot {name}:stock.low", "Depot {name}:stock.in"]
    filter: {{data: {{sku: [A1]}}}}
    max_in_flight: 4
  Batches {name}:
    events: ["Depot {name}:stock.low"]
    delivery_type: webhook_batch
    webhook_url: http://127.0.0.1:9/hook
    enabled: false
  Action {name}:
    events: ["Depot {name}:stock.low"]
    runtime_action: depot/on-stock
    enabled: false
  Bus {name}:
    events: ["Depot {name}:stock.low"]
    destination_metadata: {{aws_region: eu-west-1, aws_account_id: "123456789012"}}
"""


def steps(report: Any) -> list[str]:
    return [f"{each['action']} {each['kind']} {each['name']}" for each in report["steps"]]


def test_once_is_enough(line: CommandLine, write: Write) -> None:
    """The plan, its execution, and then nothing: of every kind of provider, event code and registration."""
    file = write(declared("once"))
    planned = line.read("plan", "-f", file)
    assert len(planned["steps"]) == 7 and {each["state"] for each in planned["steps"]} == {"planned"}
    text = line.ok("plan", "-f", file)
    assert '+ provider Depot once\n    description         "Stock moves"\n' in text and "\x1b" not in text
    assert text.endswith("set once: 7 to create\n")
    assert line.run("plan", "-f", file, "--check").code == 3

    done = line.read("apply", "-f", file, "--yes")
    assert steps(done) == steps(planned) and {each["state"] for each in done["steps"]} == {"done"}

    assert line.ok("apply", "-f", file, "--yes") == "set once: nothing to do\n"
    assert line.ok("plan", "-f", file, "--check") == "set once: nothing to do\n"
    made = line.read("registration", "get", "Reader once")
    assert made["description"] == "For the ERP (managed by eventmill: once)" and made["max_in_flight"] == 4


def test_an_export_changes_nothing(line: CommandLine, write: Write) -> None:
    """There and back, sample templates included; then everything goes, and comes back from the export alone."""
    line.ok("apply", "-f", write(declared("back")), "--yes")
    exported = line.ok("export", "--name", "back")
    assert line.ok("plan", "-f", write(exported)) == "set back: nothing to do\n"
    assert line.read("export", "--name", "back")["providers"]["Depot back"]["events"]["stock.low"]["sample"] == {
        "sku": "A1",
        "at": "{{now}}",
        "id": "{{uuid}}",
    }

    file = write(exported)
    line.ok("destroy", "-f", file, "--yes")
    line.ok("apply", "-f", file, "--yes")
    assert line.ok("export", "--name", "back") == exported


def test_drift_is_mended(line: CommandLine, write: Write) -> None:
    """What was changed by hand is changed back, what was deleted is made again, and nothing else is touched."""
    file = write(declared("drift"))
    line.ok("apply", "-f", file, "--yes")
    kept = line.read("registration", "get", "Batches drift")
    line.ok("registration", "update", "Reader drift", "--filter", '{"data":{"sku":["B2"]}}')
    line.ok("registration", "delete", "Action drift", "--yes")
    line.ok("eventmetadata", "update", "Depot drift", "stock.in", "--label", "By hand", "--description", "By hand")
    line.ok("provider", "update", "Depot drift", "--description", "By hand", "--schema-enforcement", "off")
    line.ok("registration", "update", "Reader drift", "--description", "By hand")

    text = line.ok("plan", "-f", file)
    assert '    filter       {"data": {"sku": ["B2"]}} -> {"data": {"sku": ["A1"]}}\n' in text
    assert '    label        "By hand" -> "stock.in"\n    description  "By hand" -> "stock.in"\n' in text
    assert '    schema_enforcement  "off" -> "warn"\n' in text
    done = line.read("apply", "-f", file, "--yes")
    assert steps(done) == [
        "change provider Depot drift",
        "change event code stock.in",
        "change registration Reader drift",
        "create registration Action drift",
    ]
    assert line.ok("plan", "-f", file) == "set drift: nothing to do\n"
    assert line.read("registration", "get", "Batches drift") == kept


def test_what_leaves_the_file_goes(line: CommandLine, write: Write) -> None:
    """A filter, a limit, an event code, a registration."""
    line.ok("apply", "-f", write(declared("less")), "--yes")
    less = "name: less\nproviders: {Depot less: {events: {stock.in: {}}}}\n"
    less += "registrations: {Reader less: {events: ['Depot less:stock.in']}}\n"
    done = line.ok("apply", "-f", write(less), "--yes").splitlines()

    assert done[-1] == "deleted event code stock.low of Depot less"
    reader = line.read("registration", "get", "Reader less")
    assert "subscriber_filters" not in reader and "max_in_flight" not in reader
    assert line.ok("plan", "-f", write(less)) == "set less: nothing to do\n"


def test_others_are_left_alone(line: CommandLine, write: Write) -> None:
    """What has the name already is in the way until it is adopted; what others added stays, and so does what holds
    it."""
    line.ok("provider", "create", "--label", "Depot own", "--description", "By hand")
    line.ok("eventmetadata", "create", "Depot own", "by.hand", "--label", "a", "--description", "b")
    text = declared("own").replace("Bus own", "Bus of own")
    refused = line.run("apply", "-f", write(text), "--yes")
    assert refused.code == 1 and "provider Depot own exists, and nobody manages it; --adopt takes it" in refused.message
    assert line.run("registration", "get", "Reader own").code == 1
    assert "in the way" in line.run("plan", "-f", write(text), "--json").message

    adopted = line.ok("apply", "-f", write(text), "--yes", "--adopt")
    assert "~ provider Depot own (adopted)\n" in adopted and '"By hand" -> "Stock moves"' in adopted
    other = line.run("plan", "-f", write("name: theirs\nproviders: {Depot own: {}}\n"), "--adopt")
    assert other.code == 1 and "is managed by the set 'own'" in other.message

    gone = line.ok("destroy", "-f", write(text), "--yes")
    assert "! provider Depot own stays: it has event codes that are not of this set: by.hand\n" in gone
    assert line.run("registration", "get", "Reader own").code == 1
    assert [
        each["event_code"] for each in line.read("eventmetadata", "list", "Depot own")["_embedded"]["eventmetadata"]
    ] == ["by.hand"]


def test_a_failure_says_how_far_it_got(line: CommandLine, write: Write) -> None:
    """What was done stays done; the next run does the rest, and nothing twice."""
    text = declared("halt")
    wrong = text.replace("http://127.0.0.1:9/hook", "ftp://127.0.0.1/hook").replace(
        "enabled: false", "enabled: true", 1
    )
    failed = line.run("apply", "-f", write(wrong), "--yes", "--json")
    assert failed.code == 1 and "registration Batches halt: webhook_url: " in failed.message
    assert "(4 of 7 steps done, 2 not begun; run it again to go on)" in failed.message
    states = [each["state"] for each in json.loads(failed.output)["steps"]]
    assert states == ["done"] * 4 + ["failed"] + ["not begun"] * 2

    assert len(line.read("apply", "-f", write(text), "--yes")["steps"]) == 3
    assert line.ok("plan", "-f", write(text)) == "set halt: nothing to do\n"


def test_it_asks_before_it_does_anything(line: CommandLine, write: Write) -> None:
    """And without a yes does nothing; `destroy` of nothing does not ask."""
    file = write(declared("asked"))
    unanswered = line.run("apply", "-f", file, given="n\n")
    assert unanswered.code == 1 and "Do this in workspace" in unanswered.message
    assert line.run("provider", "get", "Depot asked").code == 1
    assert line.read("destroy", "-f", file)["steps"] == []


def test_secrets_come_out_of_variables(line: CommandLine, write: Write) -> None:
    """And into no output; without them only `destroy` works."""
    text = declared("vars").replace("http://127.0.0.1:9/hook", "http://127.0.0.1:9/${HOOK_SECRET}")
    file = write(text)
    assert "the variable HOOK_SECRET is not set" in line.refused("plan", "-f", file)
    for words in (("plan", "-f", file), ("plan", "-f", file, "--json"), ("apply", "-f", file, "--yes")):
        assert "s3cret" not in line.ok(*words, variables={"HOOK_SECRET": "s3cret"})
    assert line.read("registration", "get", "Batches vars")["webhook_url"].endswith("/s3cret")
    changed = line.ok("plan", "-f", file, variables={"HOOK_SECRET": "other"})
    assert "webhook_url  (out of a variable, not shown)\n" in changed and "s3cret" not in changed
    line.ok("destroy", "-f", file, "--yes")


def test_a_webhook_that_fails_its_challenge_is_told(line: CommandLine, write: Write) -> None:
    """It is made, and disabled; a file that wants it enabled is not satisfied."""
    text = declared("hook").replace("enabled: false", "enabled: true", 1)
    done = line.run("apply", "-f", write(text), "--yes")
    assert done.code == 0 and "Batches hook: its webhook did not pass the challenge; mend it, then: " in done.message
    assert "    enabled  false -> true\n" in line.ok("plan", "-f", write(text))
