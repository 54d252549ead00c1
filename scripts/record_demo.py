"""Run the demo and put what it printed into README.md, between its two marks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- Made by `make docs-demo`: -->\n```\n", "```\n<!-- End of the demo. -->"


def recorded(page: str) -> str:
    """What the page shows now."""
    return page.partition(BEGIN)[2].partition(END)[0]


def main() -> int:
    done = subprocess.run([sys.executable, "-m", "eventmill", "demo"], capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        return 1
    page = README.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    README.write_text(f"{before}{BEGIN}{done.stdout.strip()}\n{END}{rest.partition(END)[2]}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
