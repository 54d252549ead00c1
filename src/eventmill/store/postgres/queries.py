"""Named SQL from the `.sql` files beside this module. Nothing else in the package writes SQL into Python, save what
PostgreSQL takes no parameters for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load_queries(name: str) -> Mapping[str, str]:
    """Queries of `sql/<name>.sql`, each under its `-- name:` line."""
    parts = _NAME.split(files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8"))
    return {parts[i]: parts[i + 1].strip().rstrip(";") for i in range(1, len(parts), 2)}
