"""Pages whose shell blocks need something made before: each block is run as it stands there, and ends well."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from eventmill.client import Client, journal_url
from eventmill.testing import Hook
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import READY_WITHIN_S, Gateway, call, free_port
from tests.e2e.harness.production import OPEN_LOOPBACK, tenants
from tests.e2e.test_guides import ready
from tests.e2e.test_readme import ROOT, steps
from tests.waiting import eventually

pytestmark = [pytest.mark.on_files, pytest.mark.slow]

CODE = "com.example.stock.low"
# What waits at a page's end is cut off after a second; a status that says no is a failure.
CURL = """#!/bin/sh
{curl} --fail-with-body --max-time 1 "$@"; code=$?
[ $code = 28 ] || exit $code
"""


@dataclass(frozen=True)
class Fragments:
    """How the `sh` blocks of a page are run."""

    before: dict[int, str] = field(default_factory=dict)
    """Shell commands before a block, by its number."""
    said: tuple[str, ...] = ()
    """What the outputs show, beside that all succeeded."""
    left_out: dict[int, str] = field(default_factory=dict)
    """Blocks that are not run, and why."""


FRAGMENTS = {
    "docs/api.md": Fragments(left_out={1: "fetches a package"}),
    "docs/asyncapi.md": Fragments({1: "cp shelves.yaml events.yaml"}, ("event codes created: 1",)),
    "docs/audit.md": Fragments(said=('"outcome": "received"',), before={0: "trap 'cat audit.ndjson' EXIT"}),
    "docs/filters.md": Fragments(said=("Nearly out",)),
    "docs/journal.md": Fragments(said=("retry: 1000", '"name":"erp"', '"holder":"reader-1"')),
    "docs/notices.md": Fragments(),
    "docs/upgrading.md": Fragments(),
    "docs/webhooks.md": Fragments(said=("EVENTMILL_WEBHOOK_ALLOW_HOSTS is a setting",), before={1: "set -a"}),
}


@pytest.fixture(scope="module")
def stage(start_shared_gateway: StartGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of a shell whose gateway has a provider, registrations of both kinds, and an event."""
    gateway: Gateway = start_shared_gateway("--dev", "--auth", "strict")
    shims = tmp_path_factory.mktemp("shims")
    real = subprocess.run(["sh", "-c", "command -v curl"], capture_output=True, text=True, check=True).stdout.strip()
    (shims / "curl").write_text(CURL.format(curl=real))
    (shims / "curl").chmod(0o755)
    env = {name.upper(): value for name, value in gateway.env().items()}
    with Client.from_env(env) as client, Hook.running() as hook:
        provider = client.create_provider({"label": "Shelves"})
        client.create_event_metadata_for_provider(
            provider["id"], {"event_code": CODE, "label": "Low", "description": "Low"}
        )
        made = [
            client.create_registration(
                {
                    "name": kind,
                    "delivery_type": kind,
                    "events_of_interest": [{"provider_id": provider["id"], "event_code": CODE}],
                    **({"webhook_url": hook.url} if kind == "webhook" else {}),  # type: ignore[typeddict-item]
                }
            )
            for kind in ("journal", "webhook")
        ]
        data = {"stock": 7}
        client.publish_event({"id": "visit-1", "source": provider["source"], "type": CODE, "data": data}, is_phi=True)
        yield {
            **env,
            "PATH": f"{shims}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "EVENTMILL_DATA": str(gateway.data),
            "EVENTMILL_PORT": str(gateway.port),
            "PROVIDER_ID": provider["id"],
            "JOURNAL": journal_url(made[0]),
            "REGISTRATION_URL": made[1]["_links"]["self"]["href"],
        }


@pytest.mark.parametrize("page", FRAGMENTS)
def test_blocks_of_a_page_succeed(page: str, stage: dict[str, str], tmp_path: Path) -> None:
    """In order, in one shell, with what the page takes for granted; none is answered with a refusal."""
    told = FRAGMENTS[page]
    blocks = [command for command, _ in steps((ROOT / page).read_text())]
    script = ["set -eu"]
    for number, block in enumerate(blocks):
        if number not in told.left_out:
            own = block.replace("http://127.0.0.1:8080", stage["API_URL"])
            position = 'api "$JOURNAL" | sed \'s/.*"position":"\\([^"]*\\).*/\\1/\''
            own = own.replace("1.1.0.20261122.1", f"'\"$({position})\"'")
            script += [told.before.get(number, ":"), own]
    if page == "docs/webhooks.md":
        script.append(
            'eventmill config show | grep -q plant.example && echo "EVENTMILL_WEBHOOK_ALLOW_HOSTS is a setting"'
        )
    done = subprocess.run(
        ["sh", "-c", "\n".join(script)],
        cwd=tmp_path,
        env={**stage, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for text in told.said:
        assert text in done.stdout, f"{done.stdout}\n{done.stderr}"


def test_the_production_page_starts_a_gateway(tmp_path: Path) -> None:
    """Its first command, on loopback and in a directory of the test's own: tenants are there, tokens are checked."""
    port = free_port()
    [first, *_] = re.findall(r"^```\n(.*?)^```", (ROOT / "docs/production.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "tenants.json").write_text(json.dumps(tenants()))
    command = first.replace("--host 0.0.0.0", "--host 127.0.0.1").replace("/var/lib/eventmill", "state")
    variables = {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "EVENTMILL_PORT": str(port),
        **OPEN_LOOPBACK,
    }
    with (tmp_path / "gateway.log").open("wb") as log:
        gateway = subprocess.Popen(
            ["sh", "-c", f"exec env {command}"], cwd=tmp_path, env=variables, stderr=log, stdout=log
        )
    try:
        asyncio.run(eventually(lambda: ready(port), "the gateway's start", READY_WITHIN_S))
        answer = call("GET", f"http://127.0.0.1:{port}/events/1001/providers", {"x-api-key": "a" * 32})
    finally:
        gateway.terminate()
        code = gateway.wait(timeout=30)
    assert (answer.status, code) == (401, 0), (tmp_path / "gateway.log").read_text()
    assert "tokens_unchecked" not in (tmp_path / "gateway.log").read_text()
