"""Many filters at once: finds those that match an event without trying each.

Every branch of every filter is filed under one of its field tests, the one least likely to be satisfied: by the values,
starts, ends or bounds that it wants. An event's values then lead to the few filters that can match, and only those are
decided, by `core.ruler_match`. Whatever is filed anywhere, the verdicts are those of `matches`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from eventmill.core.ruler import Filter
from eventmill.core.ruler_event import Document, Leaf, Leaves, Paths, read_leaves
from eventmill.core.ruler_items import (
    Exact,
    FieldTest,
    IgnoreCase,
    Item,
    Prefix,
    Range,
    SameAddress,
    SameNumber,
    Suffix,
)
from eventmill.core.ruler_match import View, matches
from eventmill.core.ruler_values import Address, folded, read_address

Owner = TypeVar("Owner", bound=Hashable)

_RANGE_ODDS, _AFFIX_ODDS, _PRESENT_ODDS, _ABSENT_ODDS = 0.5, 2.0, 0.9, 0.95
"""How likely a test is satisfied, by a rule of thumb; of prefixes and suffixes, in relation to plain values."""

_TURN_VALUES = 20
"""So many values of a field are looked up in one turn."""


class FilterIndex(Generic[Owner]):
    """Filters by their owners. Fixed once made."""

    def __init__(self, filters: Mapping[Owner, Filter]) -> None:
        owners: defaultdict[str, list[Owner]] = defaultdict(list)
        distinct: dict[str, Filter] = {}
        for owner, wanted in filters.items():
            owners[wanted.text].append(owner)
            distinct.setdefault(wanted.text, wanted)
        self._filters = _with_shared_tests(distinct.values())
        self._owners = [owners[each.text] for each in self._filters]
        self.paths = Paths(path for each in self._filters for path in each.paths)
        self._files = _file_all(self._filters)

    def match(self, document: Document) -> list[Owner]:
        """The owners of the filters that match, in no particular order."""
        return [owner for owners in self.match_in_turns(read_leaves(document, self.paths)) for owner in owners]

    def match_in_turns(self, leaves: Leaves) -> Iterator[Sequence[Owner]]:
        """The same, some at a time and often none: between two turns others can be given theirs. The leaves are those
        of its paths, or of more."""
        found: set[int] = set()
        for path, file in self._files.items():
            values = leaves.by_path.get(path)
            if values is None:
                found.update(file.absent)
                continue
            for start in range(0, len(values), _TURN_VALUES):
                file.add_candidates(values[start : start + _TURN_VALUES], found)
                yield ()
        view = View(leaves)
        for at in found:
            yield self._owners[at] if matches(self._filters[at], view) else ()


def _with_shared_tests(filters: Iterable[Filter]) -> list[Filter]:
    """The same filters, equal tests made one."""
    shared: dict[tuple[str, frozenset[Hashable]], FieldTest] = {}

    def share(test: FieldTest) -> FieldTest:
        return shared.setdefault((test.path, frozenset((type(item.test), item.test) for item in test.items)), test)

    return [Filter(each.text, tuple(map(share, each.tests)), each.branches) for each in filters]


def _file_all(filters: Sequence[Filter]) -> dict[str, _File]:
    tests = {test for each in filters for test in each.tests}
    variety = Counter(test.path for test in tests)
    odds = {test: sum(_odds(item, variety[test.path]) for item in test.items) for test in tests}
    under: defaultdict[FieldTest, list[int]] = defaultdict(list)
    for at, each in enumerate(filters):
        for branch in each.branches:
            rarest = min((test for index, test in enumerate(each.tests) if branch >> index & 1), key=odds.__getitem__)
            under[rarest].append(at)
    files: defaultdict[str, _File] = defaultdict(_File)
    for test, places in under.items():
        for item in test.items:
            files[test.path].add(item, places)
    for file in files.values():
        file.finish()
    return dict(files)


def _odds(item: Item, variety: int) -> float:
    match item.test:
        case Exact() | SameNumber() | SameAddress():
            return 1 / variety
        case IgnoreCase() | Prefix() | Suffix():
            return min(_PRESENT_ODDS, _AFFIX_ODDS / variety)
        case Range():
            return _RANGE_ODDS
        case False:
            return _ABSENT_ODDS
    return _PRESENT_ODDS


class _File:
    """The tests of one field under which filters are filed. Filters are numbers."""

    def __init__(self) -> None:
        self.absent: list[int] = []
        """Wanted when the field has no value."""
        self._present: list[int] = []
        """Wanted whatever value it has: of tests that are not filed by value."""
        self._keys: defaultdict[str, list[int]] = defaultdict(list)
        self._numbers: defaultdict[float, list[int]] = defaultdict(list)
        self._addresses: defaultdict[Address, list[int]] = defaultdict(list)
        self._starts, self._ends = _Affixes(), _Affixes()
        self._folded: defaultdict[str, list[int]] = defaultdict(list)
        self._folded_starts, self._folded_ends = _Affixes(), _Affixes()
        self._has_folded = False
        self._ranges = _Ranges()

    def add(self, item: Item, places: Sequence[int]) -> None:
        match item.test:
            case Exact(key):
                self._keys[key] += places
            case SameNumber(key, value):
                self._keys[key] += places
                if value is not None:
                    self._numbers[value] += places
            case SameAddress(address):
                self._addresses[address] += places
            case Prefix(start):
                self._starts.add(start, places)
            case Suffix(end):
                self._ends.add(end, places)
            case IgnoreCase():
                self._add_folded(item.test, places)
            case Range():
                self._ranges.add(item.test, places)
            case False:
                self.absent += places
            case _:
                self._present += places

    def _add_folded(self, test: IgnoreCase, places: Sequence[int]) -> None:
        self._has_folded = True
        if test.part == "whole":
            self._folded[test.folded] += places
        else:
            (self._folded_starts if test.part == "start" else self._folded_ends).add(test.folded, places)

    def finish(self) -> None:
        """Before the first look-up."""
        self._ranges.finish()

    def add_candidates(self, values: Iterable[Leaf], found: set[int]) -> None:
        found.update(self._present)
        for leaf in values:
            found.update(self._keys.get(leaf.key, ()))
            if leaf.number is not None:
                found.update(self._numbers.get(leaf.number, ()))
                self._ranges.add_candidates(leaf.number, found)
            elif leaf.text is not None:
                self._add_for_text(leaf.text, found)

    def _add_for_text(self, text: str, found: set[int]) -> None:
        self._starts.add_starting(text, found)
        self._ends.add_ending(text, found)
        if self._addresses and (address := read_address(text)) is not None:
            found.update(self._addresses.get(address, ()))
        if self._has_folded:
            text = folded(text)
            found.update(self._folded.get(text, ()))
            self._folded_starts.add_starting(text, found)
            self._folded_ends.add_ending(text, found)


class _Affixes:
    """Starts, or ends, of texts: one table per length, so that a text is looked up once per length."""

    def __init__(self) -> None:
        self._by_size: dict[int, dict[str, list[int]]] = {}

    def add(self, affix: str, places: Sequence[int]) -> None:
        self._by_size.setdefault(len(affix), {}).setdefault(affix, []).extend(places)

    def add_starting(self, text: str, found: set[int]) -> None:
        for size, affixes in self._by_size.items():
            found.update(affixes.get(text[:size], ()))

    def add_ending(self, text: str, found: set[int]) -> None:
        for size, affixes in self._by_size.items():
            found.update(affixes.get(text[max(0, len(text) - size) :], ()))


class _Ranges:
    """Numeric ranges: between two neighbouring bounds of any of them, the same ones hold a number."""

    def __init__(self) -> None:
        self._ranges: list[tuple[Range, Sequence[int]]] = []
        self._bounds: list[float] = []
        self._holding: list[int] = []
        """Bit sets: at even places for what lies below a bound, at odd places for the bound itself."""

    def add(self, wanted: Range, places: Sequence[int]) -> None:
        self._ranges.append((wanted, places))

    def finish(self) -> None:
        self._bounds = sorted({bound for each, _ in self._ranges for bound in (each.low, each.high)})
        opening: defaultdict[int, int] = defaultdict(int)
        closing: defaultdict[int, int] = defaultdict(int)
        for at, (each, _) in enumerate(self._ranges):
            opening[2 * bisect_left(self._bounds, each.low) + (2 if each.low_open else 1)] |= 1 << at
            closing[2 * bisect_left(self._bounds, each.high) + (1 if each.high_open else 2)] |= 1 << at
        holding = 0
        for place in range(2 * len(self._bounds) + 1):
            holding = (holding | opening[place]) & ~closing[place]
            self._holding.append(holding)

    def add_candidates(self, number: float, found: set[int]) -> None:
        if not self._bounds or math.isnan(number):
            return
        at = bisect_left(self._bounds, number)
        is_bound = at < len(self._bounds) and self._bounds[at] == number
        holding = self._holding[2 * at + is_bound]
        while holding:
            lowest = holding & -holding
            found.update(self._ranges[lowest.bit_length() - 1][1])
            holding ^= lowest
