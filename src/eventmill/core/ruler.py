"""Compiles the text of a Subscriber Defined Filter, or says what is wrong with it and where.

A filter is a tree of fields that must all be satisfied and of `$or` lists of which one branch must be. Compiled, it is
its fields and the sets of them that suffice: `core.ruler_match` decides with those, `core.ruler_index` for many
filters at once. Semantics of Event Ruler, within "Subscriber Defined Filtering" DSL's restrictions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

from eventmill.core.ruler_items import FieldTest, Item
from eventmill.core.ruler_json import Value, read_json, refuse
from eventmill.core.ruler_operators import read_items

FILTER_CHARS_MAX = 10_000
BRANCHES_MAX = 100
"""Combinations of `$or` branches that a filter comes to."""
OR_DEPTH_MAX = 5
ITEMS_MAX = 200
"""Plain values and operators, of all fields."""

OR = "$or"
RESERVED = frozenset(
    (
        *("exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr"),
        *("=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case"),
        *("date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range"),
        *("ip-address-in-range", "ip-address-not-in-range"),
    )
)
"""Names that no field may have inside `$or`, where they would look like operators."""


class Filter:
    """Compiled. Equal texts are equal filters."""

    def __init__(self, text: str, tests: tuple[FieldTest, ...], branches: tuple[int, ...]) -> None:
        self.text = text
        self.tests = tests
        self.branches = branches
        """Bit sets of indices into `tests`: the filter matches when all of one of them are satisfied consistently."""

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(test.path for test in self.tests)


def compile_filter(text: str) -> Filter:
    """Raises `INVALID_FILTER` with a message that says what is wrong, and in which line and column."""
    if len(text) > FILTER_CHARS_MAX:
        refuse(text, FILTER_CHARS_MAX, f"a filter has at most {FILTER_CHARS_MAX} characters, not {len(text)}")
    value = read_json(text)
    if value.kind != "object":
        refuse(text, value.start, f"a filter must be an object, but this is of type {value.kind}")
    compiler = _Compiler(text)
    conjunction = compiler.read_object(value, None, 0)
    compiler.check_paths(conjunction)
    if conjunction.size > BRANCHES_MAX:
        refuse(text, value.start, f"{OR} combines to {conjunction.size} branches; at most {BRANCHES_MAX} are allowed")
    return Filter(text, tuple(compiler.tests), tuple(dict.fromkeys(conjunction.expand())))


@dataclass
class _Conjunction:
    """Everything in it must be satisfied."""

    fields: list[int] = field(default_factory=list)
    """Indices of field tests."""
    ors: list[list[_Conjunction]] = field(default_factory=list)
    """One of each."""

    @property
    def size(self) -> int:
        """How many branches it expands to."""
        total = 1
        for branches in self.ors:
            total *= sum(branch.size for branch in branches)
        return total

    def expand(self) -> list[int]:
        own = sum(1 << index for index in self.fields)
        choices = [[mask for branch in branches for mask in branch.expand()] for branches in self.ors]
        expanded = []
        for chosen in product(*choices):
            mask = own
            for each in chosen:
                mask |= each
            expanded.append(mask)
        return expanded


class _Compiler:
    def __init__(self, text: str) -> None:
        self._text = text
        self.tests: list[FieldTest] = []
        self._places: list[int] = []
        """Offset of each test's field name."""
        self._items = 0

    def read_object(
        self, value: Value, path: str | None, or_depth: int, into: _Conjunction | None = None
    ) -> _Conjunction:
        """The fields of an object whose place is `path`, added to `into`."""
        into = _Conjunction() if into is None else into
        if not value.members:
            refuse(self._text, value.start, "an empty object matches nothing; give at least one field")
        for member in value.members:
            if member.name == OR:
                into.ors.append(self._read_or(member.at, member.value, path, or_depth + 1))
                continue
            if or_depth and member.name in RESERVED:
                what = f"{member.name!a} is a reserved word, which cannot be a field inside {OR}"
                refuse(self._text, member.at, what)
            full = member.name if path is None else f"{path}.{member.name}"
            if member.value.kind == "object":
                self.read_object(member.value, full, or_depth, into)
            elif member.value.kind == "array":
                into.fields.append(self._add(full, member.at, read_items(self._text, member.value)))
            else:
                what = f"the value of {full[:80]!a} must be a list of values, or an object"
                refuse(self._text, member.value.start, what)
        return into

    def _add(self, path: str, at: int, items: tuple[Item, ...]) -> int:
        self._items += len(items)
        if self._items > ITEMS_MAX:
            refuse(self._text, at, f"a filter has at most {ITEMS_MAX} values and operators")
        self.tests.append(FieldTest(path, items))
        self._places.append(at)
        return len(self.tests) - 1

    def _read_or(self, at: int, value: Value, path: str | None, or_depth: int) -> list[_Conjunction]:
        if or_depth > OR_DEPTH_MAX:
            refuse(self._text, at, f"{OR} is nested deeper than {OR_DEPTH_MAX} levels")
        if value.kind != "array":
            refuse(self._text, value.start, f"the value of {OR} must be a list of objects")
        for branch in value.items:
            if branch.kind != "object":
                refuse(self._text, branch.start, f"each branch of {OR} must be an object")
        if len(value.items) < 2:
            refuse(self._text, value.start, f"{OR} needs two or more branches")
        return [self.read_object(branch, path, or_depth) for branch in value.items]

    def check_paths(self, conjunction: _Conjunction) -> dict[str, int]:
        """The fields in the conjunction, each with one of its tests; refused when one can be asked for twice at a
        time."""
        found: dict[str, int] = {}
        parts = [{self.tests[index].path: index} for index in conjunction.fields]
        for branches in conjunction.ors:
            merged: dict[str, int] = {}
            for branch in branches:
                merged = self.check_paths(branch) | merged
            parts.append(merged)
        for part in parts:
            for path in part.keys() & found.keys():
                at = max(self._places[part[path]], self._places[found[path]])
                what = f"the same path twice: {path[:80]!a} is asked for more than once in one branch"
                refuse(self._text, at, what)
            found |= part
        return found
