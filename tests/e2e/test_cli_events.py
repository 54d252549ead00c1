"""`eventmill publish|journal|filter` against one gateway: events in by every way, out again, filters tried on them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.harness.command_line import CommandLine, check_schema

CODE = "com.acme.stock.low"


class World(NamedTuple):
    """A gateway with a provider that a journal subscribes to."""

    line: CommandLine
    provider_id: str

    def journal(self) -> list[dict[str, Any]]:
        """The events of the journal, oldest first."""
        lines = self.line.ok("journal", "read", "Reader", "--all", "--json").splitlines()
        return [json.loads(each)["event"] for each in lines]

    def event(self, id: str, **members: object) -> dict[str, object]:
        source = f"urn:uuid:{self.provider_id}"
        return {"specversion": "1.0", "id": id, "source": source, "type": CODE, **members}


@pytest.fixture(scope="module")
def shared_world(start_shared_gateway: StartGateway) -> World:
    """One gateway for the module."""
    line = CommandLine(start_shared_gateway("--dev"))
    made = line.read("provider", "create", "--label", "Warehouse")
    line.ok("eventmetadata", "create", "Warehouse", CODE, "--label", "Low", "--description", "Runs out")
    return World(line, made["id"])


@pytest.fixture
def world(shared_world: World) -> World:
    """With an empty journal."""
    known = shared_world.line.read("registration", "list")["_embedded"]["registrations"]
    if known:
        shared_world.line.ok("registration", "delete", "Reader", "--yes")
    shared_world.line.ok("registration", "create", "--name", "Reader", "--event", f"Warehouse:{CODE}")
    return shared_world


def test_one_event_from_options(world: World) -> None:
    """Its data byte by byte as typed, further attributes, an id of its own or a new one."""
    line = world.line
    one = ("publish", "--provider", "Warehouse", "--code", CODE)
    said = line.ok(*one, "--id", "o-1", "--payload", '{"price": 1.10}', "--attribute", "subject=shelf 7")
    assert said == "published o-1\n"
    summary = line.read(*one)
    assert summary["published"] == 1 and summary["id"]
    first, second = world.journal()
    assert (first["id"], first["subject"], first["data"]) == ("o-1", "shelf 7", {"price": 1.10})
    assert second["id"] == summary["id"] and "data" not in second
    nobody = line.ok("publish", "--provider", "Warehouse", "--code", "com.acme.other", "--id", "o-2")
    assert nobody == "accepted o-2; nobody subscribes to it\n"


@pytest.mark.parametrize("mode", ["structured", "binary", "batch"])
def test_many_events_from_lines(world: World, mode: str) -> None:
    """In each mode all of them, in order; what is refused is told by its line, and spoils no other."""
    lines = [json.dumps(world.event(f"{mode}-{number}", data={"n": number})) for number in range(5)]
    given = "\n".join([*lines[:3], '{"specversion": "1.0"}', "", "no JSON", *lines[3:]])
    done = world.line.run("publish", "-", "--mode", mode, "--batch-size", "4", "--json", given=given)
    summary = check_schema(("publish",), json.loads(done.output))
    assert (done.code, summary["published"], summary["refused"]) == (1, 5, 2)
    assert sorted(each["line"] for each in summary["refusals"]) == [4, 6]
    assert "eventmill: line 6: " in done.message
    assert [event["id"] for event in world.journal()] == [f"{mode}-{number}" for number in range(5)]
    assert [event["data"] for event in world.journal()] == [{"n": number} for number in range(5)]


def test_data_from_a_pipe(world: World) -> None:
    """A real pipe: with --provider and --code its lines are data, numbers with all their digits."""
    command = [sys.executable, "-m", "eventmill", "publish", "--provider", "Warehouse", "--code", CODE, "-"]
    given = '{"price": 1.10}\n[1, 2]\n"text"\n'
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=30, env=world.line.env)
    assert done.returncode == 0 and done.stdout.startswith("3 events in "), done
    assert "3 published, 0 that nobody subscribes to, 0 refused" in done.stdout
    page = world.line.ok("journal", "read", "Reader", "--all", "-j")
    assert [json.loads(each)["event"]["data"] for each in page.splitlines()] == [{"price": 1.10}, [1, 2], "text"]


def test_one_document(world: World, tmp_path: Path) -> None:
    """A file may hold one event, or an array, over several lines; --skip goes on where a run ended."""
    file = tmp_path / "events.json"
    file.write_text(json.dumps([world.event("a"), world.event("b"), world.event("c")], indent=2))
    summary = world.line.read("publish", str(file), "--skip", "1")
    assert (summary["published"], summary["last_line"]) == (2, 3)
    file.write_text(json.dumps(world.event("d"), indent=2))
    world.line.ok("publish", str(file), "--phidata")
    assert [(each["id"], each.get("phidata")) for each in world.journal()] == [("b", None), ("c", None), ("d", True)]
    file.write_text("{\n")
    assert "neither a JSON document nor one JSON value per line" in world.line.refused("publish", str(file))


def test_publish_refusals(world: World) -> None:
    """What cannot be meant is said before anything is sent; a gateway that went away tells where to go on."""
    line = world.line
    assert "publish what?" in line.misused("publish")
    assert "--provider and --code go together" in line.misused("publish", "--code", "a")
    one = ("publish", "--provider", "Warehouse", "--code", CODE)
    assert "text has quotes of its own" in line.misused(*one, "--payload", "text")
    assert "cannot be read" in line.refused(*one, "--payload", "@/nonexistent")
    assert "there is no provider 'No'" in line.refused("publish", "--provider", "No", "--code", CODE)
    gone = line.run("publish", "-", given=json.dumps(world.event("x")), variables={"INGRESS_URL": "http://127.0.0.1:9"})
    assert gone.code == 1 and "no gateway answers at" in gone.message and "line 0 was the last" in gone.message


def test_a_journal_in_pages(world: World) -> None:
    """Read from the oldest on, from a place, from a time; the place after the page is told."""
    line = world.line
    line.ok("publish", "-", "--mode", "batch", given="\n".join(json.dumps(world.event(f"p-{n}")) for n in range(5)))
    first = line.run("journal", "read", "Reader", "--limit", "2")
    assert [row.split()[3] for row in first.output.splitlines()[1:]] == [CODE, CODE]
    since = first.message.removeprefix("go on with: --since ").strip()
    rest = line.read("journal", "read", "Reader", "--since", since)
    assert [each["event"]["id"] for each in rest["events"]] == ["p-2", "p-3", "p-4"]
    assert line.read("journal", "read", "Reader", "--latest")["events"] == []
    assert len(line.ok("journal", "read", "Reader", "--seek", "1h", "--all").splitlines()) == 5
    assert "do not go together" in line.misused("journal", "read", "Reader", "--since", since, "--seek", "1h")
    assert "is no length of time" in line.misused("journal", "read", "Reader", "--seek", "soon")
    assert "is not a journal position" in line.refused("journal", "read", "Reader", "--since", "nowhere")


def test_a_live_tail(world: World) -> None:
    """What is published later comes by itself, one line each."""
    command = [sys.executable, "-m", "eventmill", "journal", "tail", "Reader", "--seek", "1h", "--limit", "3", "-j"]
    world.line.ok("publish", "-", given=json.dumps(world.event("before")))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=world.line.env) as tail:
        assert tail.stdout is not None
        seen = [json.loads(tail.stdout.readline())["event"]["id"]]
        world.line.ok("publish", "-", given="\n".join(json.dumps(world.event(f"later-{n}")) for n in range(2)))
        seen += [json.loads(each)["event"]["id"] for each in tail.stdout]
        assert tail.wait(timeout=30) == 0
    assert seen == ["before", "later-0", "later-1"]


def test_cursors(world: World) -> None:
    """Set at the end or at a place, listed with how far behind each is, deleted."""
    line = world.line
    line.ok("journal", "cursor", "set", "Reader", "end")
    line.ok("publish", "-", given="\n".join(json.dumps(world.event(f"c-{n}")) for n in range(2)))
    assert line.read("journal", "cursor", "get", "Reader", "end")["lag_events"] == 2
    first = line.read("journal", "read", "Reader", "--limit", "1")["_page"]["last"]
    assert line.read("journal", "cursor", "set", "Reader", "erp", first)["lag_events"] == 1
    rows = line.ok("journal", "cursor", "list", "Reader").splitlines()
    assert [row.split()[0] for row in rows] == ["NAME", "end", "erp"]
    assert len(line.read("journal", "cursor", "list", "Reader")["cursors"]) == 2
    assert line.ok("journal", "cursor", "delete", "Reader", "erp") == "deleted cursor erp\n"
    assert "cursor 'erp' does not exist" in line.refused("journal", "cursor", "get", "Reader", "erp")


def test_a_filter_on_events(world: World, tmp_path: Path) -> None:
    """Needs no gateway; says why not; exit code 1 when some do not match."""
    line = world.line
    events = tmp_path / "events.ndjson"
    events.write_text('{"id":"a","data":{"stock":3}}\n{"id":"b","data":{"stock":9}}\n')
    wanted = '{"data":{"stock":[{"numeric":["<",5]}]}}'
    done = line.run("filter", "test", wanted, str(events))
    assert (done.code, done.message) == (1, "1 of 2 match\n")
    first, second = done.output.splitlines()
    assert first == "line 1 (a): match"
    assert second.startswith("line 2 (b): no match: data.stock: numeric wants") and second.endswith("has 9")
    told = json.loads(line.run("filter", "test", wanted, str(events), "-j").output)
    assert [each["matches"] for each in check_schema(("filter", "test"), told)] == [True, False]
    assert line.ok("filter", "test", wanted, given='{"data":{"stock":1}}') == "line 1: match\n"
    assert "(line 1 column" in line.refused("filter", "test", '{"data":{"stock":5}}', str(events))


def test_a_filter_on_samples_and_the_journal(world: World, tmp_path: Path) -> None:
    """Validated alone, on a registration's samples and on one's own; tried on what the journal has."""
    line = world.line
    file, sample = tmp_path / "filter.json", tmp_path / "low.json"
    file.write_text('{"data":{"stock":[1]}}')
    sample.write_text('{"data":{"stock":1}}')
    assert line.ok("filter", "validate", f"@{file}") == "the filter is valid\n"
    assert line.ok("filter", "validate", "-", given=file.read_text()) == "the filter is valid\n"
    assert "must be a list" in line.refused("filter", "validate", '{"data":{"stock":1}}')
    rows = line.ok("filter", "validate", f"@{file}", "Reader", "--sample", str(sample)).splitlines()
    assert [row.split("  ")[0] for row in rows] == ["SAMPLE", "low.json", CODE]
    verdict = line.read("filter", "validate", f"@{file}", "Reader", "--sample", str(sample))
    assert verdict["accepted_custom_sample_events"] == ["low.json"]
    assert "--sample goes with a REGISTRATION" in line.misused(
        "filter", "validate", f"@{file}", "--sample", str(sample)
    )

    line.ok("publish", "-", given="\n".join(json.dumps(world.event(f"f-{n}", data={"stock": n})) for n in range(3)))
    tried = line.read("filter", "backtest", f"@{file}", "Reader")
    assert (tried["sampled"], tried["matched"], tried["missed"]) == (3, 1, 2)
    shown = line.ok("filter", "backtest", f"@{file}", "Reader")
    assert "tried on     3: all events that the journal has" in shown
    assert "cannot be read" in line.refused("filter", "backtest", "@/nonexistent", "Reader")
