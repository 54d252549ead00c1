"""The wheel, built and installed as a stranger would: everything is inside, and it works without the source tree."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packages.tools import ROOT, succeed


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


def test_it_runs_without_the_source(wheel: Path, tmp_path: Path) -> None:
    """Installed into an empty environment it shows the demo, in which each delivery is verified, and answers `env`."""
    environment = tmp_path / "venv"
    succeed(sys.executable, "-m", "venv", environment)
    succeed(environment / "bin/pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[all]", cwd=tmp_path)

    done = subprocess.run(
        [environment / "bin/eventmill", "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "forgeries refused" in done.stdout
