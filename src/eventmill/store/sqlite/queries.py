"""Named SQL from the `.sql` files beside this module, and many rows in one step.

Nothing else in the package writes SQL into Python, save pragmas.
"""

from __future__ import annotations

import re
import sqlite3
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import chain

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def read_sql(name: str) -> str:
    return files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8")


def load_queries(name: str) -> Mapping[str, str]:
    """Queries of `sql/<name>.sql`, each under its `-- name:` line."""
    parts = _NAME.split(read_sql(name))
    return {parts[i]: parts[i + 1].strip().rstrip(";") for i in range(1, len(parts), 2)}


class ManyRows:
    """One statement for many rows, so that a batch is a handful of steps.

    `sqlite3` gives the interpreter lock away in every step and has to win it back against a busy event loop; row by row
    that costs more than the insert. A query takes its rows at `{rows}`, filled up to the next of a few sizes with NULLs
    (few sizes keep the statement cache warm), and must skip rows whose first column is NULL.
    """

    def __init__(self, query: str, columns: int) -> None:
        row = "(" + ",".join("?" * columns) + ")"
        self._statements = [query.replace("{rows}", ",".join([row] * size)) for size in _SIZES]
        self._columns = columns

    def run(self, connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
        for at in range(0, len(rows), _SIZES[-1]):
            part = rows[at : at + _SIZES[-1]]
            size = bisect_left(_SIZES, len(part))
            values = list(chain.from_iterable(part))
            values.extend([None] * (self._columns * (_SIZES[size] - len(part))))
            connection.execute(self._statements[size], values)


class InList:
    """A query with `{values}` inside `IN (...)`, padded with NULLs to a few sizes."""

    _SIZES = (1, 4, 16, 64, 128, 256)
    BATCH = 256

    def __init__(self, query: str) -> None:
        self._statements = [query.replace("{values}", ",".join("?" * size)) for size in self._SIZES]

    def run(self, connection: sqlite3.Connection, values: Sequence[object], *before: object) -> sqlite3.Cursor:
        """At most `BATCH` values; `before` are those of the parameters that come earlier."""
        size = bisect_left(self._SIZES, len(values))
        padding = [None] * (self._SIZES[size] - len(values))
        return connection.execute(self._statements[size], [*before, *values, *padding])
