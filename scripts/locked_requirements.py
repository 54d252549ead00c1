"""Print `name==version` for every package that uv.lock pins to one version, as constraints for pip.

Prints nothing without uv.lock. Packages locked to several versions (one per platform) are left to pip.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

LOCK = Path(__file__).parent.parent / "uv.lock"


def locked_requirements(lock_text: str) -> list[str]:
    """Constraint lines for what comes from a registry."""
    packages = [package for package in tomllib.loads(lock_text)["package"] if "registry" in package["source"]]
    versions = Counter(package["name"] for package in packages)
    return [f"{package['name']}=={package['version']}" for package in packages if versions[package["name"]] == 1]


if __name__ == "__main__" and LOCK.exists():
    print("\n".join(locked_requirements(LOCK.read_text())))
