"""What the documents tell people to type works, and answers what they show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.gateway import Gateway
from tests.e2e.harness.engines import PATIENCE, store_variables

ROOT = Path(__file__).parent.parent.parent
NEXT_STEP = "--- next step ---"

MASKS = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"\b1\.\d+\.\d+\.\d{8}\.\d+\b", "POSITION"),
    (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
    (r"\b[0-9a-f]{32}\b", "CLIENT"),
    (r"\b\d{13}\b", "MILLISECONDS"),
    (r"\bp8e-[\w-]{32}", "SECRET"),
    (r"\bafter [\d,]+ ms\b", "DURATION"),
    (r"http://127\.0\.0\.1:\d+", "URL"),
)
"""What differs from run to run, and what a document may show in its place."""


def steps(markdown: str) -> list[tuple[str, str | None]]:
    """The `sh` blocks in order, each with the `text` block that shows its output, or None."""
    found: list[tuple[str, str | None]] = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL):
        if language == "sh":
            found.append((block, None))
        elif language == "text":
            found[-1] = (found[-1][0], block)
    return found


def run_steps(blocks: list[str], gateway: Gateway) -> list[str]:
    """Run the blocks in one shell, as a reader would; their outputs."""
    script = f"\necho '{NEXT_STEP}'\n".join(blocks)
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60 * PATIENCE,
        env={
            "HOME": str(gateway.data),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "EVENTMILL_DATA": str(gateway.data),
            "EVENTMILL_PORT": str(gateway.port),
            **store_variables(str(gateway.data)),
        },
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.split(f"{NEXT_STEP}\n")


def masked(text: str) -> str:
    for pattern, mask in MASKS:
        text = re.sub(pattern, mask, text)
    return text.replace("\r", "").strip()


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/catalog.md",
        "docs/declarative.md",
        "docs/dev-mode.md",
        "docs/publishing.md",
        "docs/recovery.md",
        "docs/schemas.md",
        "docs/simulate.md",
        "docs/tenancy.md",
        "docs/tracing.md",
    ],
)
def test_shell_steps_answer_what_the_page_shows(page: str, gateway: Gateway) -> None:
    """The blocks of a page, run in order on a fresh gateway, all succeed and print what stands below them."""
    told = steps((ROOT / page).read_text())

    outputs = run_steps([command for command, _ in told], gateway)

    assert [masked(output) for output, (_, shown) in zip(outputs, told, strict=True) if shown is not None] == [
        masked(shown) for _, shown in told if shown is not None
    ]
