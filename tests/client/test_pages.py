"""What the pages about the client, the testing kit and CI show works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eventmill.client import Client, EventOfInterest, RegistrationInput
from tests.client.test_plugin import run_pytest
from tests.e2e.gateway import Gateway

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_sdk_page_runs(env: dict[str, str], tmp_path: Path) -> None:
    """All blocks, as one program in the environment that `eventmill env` makes."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks("python-sdk.md", "python"))],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "order-1"
    assert done.stdout.splitlines()[-2:] == ["order-1", "order-2"]
    assert (tmp_path / "position.json").exists()


@pytest.mark.slow
def test_sdk_page_is_typed(tmp_path: Path) -> None:
    """What users write passes their `mypy --strict`, on the types that the package brings along."""
    typed = (DOCS.parent / "examples" / "testing" / "test_orders.py").read_text()
    for name, text in (("page", "\n".join(blocks("python-sdk.md", "python"))), ("orders", typed)):
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-incremental", "page.py", "orders.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("scope", ["function", "session"])
@pytest.mark.slow
def test_testing_page_runs(tmp_path: Path, scope: str) -> None:
    """The first block is a test file; the one with the settings is a configuration of pytest. With one gateway for all
    tests too, as the page about CI has it."""
    (tmp_path / "test_page.py").write_text(blocks("testing.md", "python")[0])
    (tmp_path / "pytest.ini").write_text(blocks("testing.md", "ini")[0])
    done = run_pytest(tmp_path, "--eventmill-scope", scope)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_are_well_formed() -> None:
    """YAML, with steps that do one thing each."""
    for text in blocks("ci.md", "yaml"):
        # YAML 1.1 takes the key `on` for true, as Actions' own parser does not.
        flow = yaml.safe_load(text)
        assert set(flow) == {"name", True, "jobs"}
        [job] = flow["jobs"].values()
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])


@pytest.mark.slow
def test_workflow_hands_the_variables_on(gateway: Gateway, env: dict[str, str], tmp_path: Path) -> None:
    """What the step appends to `$GITHUB_ENV` is NAME=value, with the values that clients read."""
    [line] = [line.strip() for line in blocks("ci.md", "yaml")[1].splitlines() if "eventmill env" in line]
    handed = tmp_path / "github.env"
    subprocess.run(
        ["sh", "-euc", line],
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "EVENTMILL_DATA": str(gateway.data),
            "EVENTMILL_PORT": str(gateway.port),
            "GITHUB_ENV": str(handed),
        },
        check=True,
        timeout=30,
    )
    values = dict(line.split("=", 1) for line in handed.read_text().splitlines())
    assert values.keys() == env.keys()
    assert values["API_URL"] == env["API_URL"] and values["CLIENT_SECRET"] == env["CLIENT_SECRET"]


@pytest.mark.slow
def test_sdk_examples_run(env: dict[str, str], tmp_path: Path) -> None:
    """Published to nobody, then to a journal, which is followed from where it stopped."""

    def run(script: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", DOCS.parent / "examples" / "sdk" / script, *arguments],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **env},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("publish.py", "A1") == "nobody is registered for it\n"
    with Client.from_env(env) as client:
        [provider] = [each for each in client.get_all_providers() if each["label"] == "Orders"]
        interest: EventOfInterest = {"provider_id": provider["id"], "event_code": "com.acme.order.placed"}
        body: RegistrationInput = {"name": "Orders", "delivery_type": "journal", "events_of_interest": [interest]}
        registration_id = client.create_registration(body)["registration_id"]
    for sku in ("B2", "C3"):
        assert run("publish.py", sku) == "somebody gets it\n"
        followed = run("follow.py", registration_id, "position.json", "--until-idle")
        assert followed == f"{{'sku': '{sku}'}}\n"
