"""The wheel, built and installed as a stranger would: everything is inside, and it works without the source tree."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.client.test_pages import blocks
from tests.e2e.test_guides import GUIDES, follow
from tests.packages.tools import ROOT, succeed

RUN_PAGE = """
import subprocess, sys
from pathlib import Path
from eventmill.testing import Gateway

with Gateway.started(Path("gateway")) as gateway:
    subprocess.run([sys.executable, "-W", "error", "page.py"], env=gateway.env, check=True)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    succeed(Path(sys.executable).parent / "uv", "build", "--wheel", "--out-dir", target, ROOT)
    [built] = target.glob("*.whl")
    return built


def test_everything_is_inside(wheel: Path) -> None:
    """Each file of the package that git knows is in the wheel, templates and SQL too; and the licence."""
    tracked = succeed("git", "ls-files", "src/eventmill").split()
    names = zipfile.ZipFile(wheel).namelist()

    assert {path.removeprefix("src/") for path in tracked} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs of an environment are that has the wheel, what the pages use beside it, and nothing else."""
    environment = tmp_path_factory.mktemp("stranger") / "venv"
    succeed(sys.executable, "-m", "venv", environment)
    wanted = (f"{wheel}[all]", "pytest", "flask", "fastapi", "mypy")
    succeed(
        environment / "bin/pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
        *wanted,
        cwd=environment,
    )
    return environment / "bin"


def test_it_runs_without_the_source(programs: Path, tmp_path: Path) -> None:
    """Installed into an empty environment it shows the demo, in which each delivery is verified."""
    done = subprocess.run(
        [programs / "eventmill", "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "forgeries refused" in done.stdout


@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_needs_the_wheel_only(page: str, programs: Path, tmp_path: Path) -> None:
    """From the installed package to an event in the action, with what the page says and nothing else."""
    follow(page, tmp_path, programs)


def test_a_tester_needs_the_wheel_and_pytest_only(programs: Path, tmp_path: Path) -> None:
    """The first block of the page is a test file, and its plugin is found by itself."""
    (tmp_path / "test_page.py").write_text(blocks("testing.md", "python")[0])
    succeed(programs / "python", "-m", "pytest", "-q", "-W", "error", "--eventmill-scope", "session", cwd=tmp_path)


def test_a_developer_needs_the_wheel_only(programs: Path, tmp_path: Path) -> None:
    """The blocks of the page of the client run against a gateway of the package, and mypy finds its types."""
    (tmp_path / "page.py").write_text("\n".join(blocks("python-sdk.md", "python")))
    (tmp_path / "run.py").write_text(RUN_PAGE)
    succeed(programs / "python", "run.py", cwd=tmp_path)
    succeed(programs / "mypy", "--strict", "page.py", cwd=tmp_path)
