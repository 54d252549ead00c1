"""Decides whether a compiled filter matches an event, and explains why it does not.

Values that satisfy different fields must agree: of every array, they stand in the same element.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from eventmill.core.ruler import Filter
from eventmill.core.ruler_event import Document, Leaf, Leaves, Paths, read_leaves
from eventmill.core.ruler_items import FieldTest

_MASKS_MAX = 64
"""Sets of fields, of one array element, that are followed further."""
_STEPS_MAX = 20_000
"""Array elements, and combinations of them, that are tried for all branches at once, and so many again for the branches
one by one. An event that needs more is not matched."""
_SEEN_MAX = 5
_SHOWN_CHARS = 80


class Satisfied(NamedTuple):
    """Where in the event a field test is satisfied."""

    outside: bool
    """By a value in no element of an array, or by the field's absence: agrees with every other."""
    elements: frozenset[int]
    """Else the array elements with a value that does."""


_NOWHERE = Satisfied(False, frozenset())
_OUTSIDE = Satisfied(True, frozenset())


class View:
    """One event, as far as filters have looked at it: no field test is made twice."""

    def __init__(self, leaves: Leaves) -> None:
        self.leaves = leaves
        self._known: dict[FieldTest, Satisfied] = {}

    def satisfied(self, test: FieldTest) -> Satisfied:
        known = self._known.get(test)
        if known is None:
            known = self._known[test] = self._find(test)
        return known

    def _find(self, test: FieldTest) -> Satisfied:
        leaves = self.leaves.by_path.get(test.path)
        if leaves is None:
            return _OUTSIDE if test.takes_none else _NOWHERE
        elements: set[int] = set()
        takes = test.takes
        for leaf in leaves:
            if leaf.element in elements:
                continue
            if takes(leaf):
                if leaf.element == 0:
                    return _OUTSIDE
                elements.add(leaf.element)
        return Satisfied(False, frozenset(elements)) if elements else _NOWHERE


def view_event(document: Document, paths: Iterable[str]) -> View:
    return View(read_leaves(document, Paths(paths)))


def matches(wanted: Filter, view: View) -> bool:
    outside = inside = 0
    found: list[Satisfied] = []
    is_single = len(wanted.branches) == 1
    for index, test in enumerate(wanted.tests):
        where = view.satisfied(test)
        found.append(where)
        if where.outside:
            outside |= 1 << index
        elif where.elements:
            inside |= 1 << index
        elif is_single:
            return False
    combined: _Combined | None = None
    steps_left = 0
    for branch in wanted.branches:
        needed = branch & ~outside
        if not needed:
            return True
        if needed & ~inside:
            continue
        if combined is None:
            combined = _combine(inside, found, view.leaves.elements, _STEPS_MAX)
            steps_left = _STEPS_MAX
        if combined.holds(needed):
            return True
        if not combined.is_complete and steps_left > 0:
            alone = _combine(needed, found, view.leaves.elements, steps_left)
            if alone.holds(needed):
                return True
            steps_left -= alone.steps
    return False


class _Combined(NamedTuple):
    """Sets of tests that are satisfied together by one choice of an element per array."""

    masks: list[int]
    """None of them in another."""
    is_complete: bool
    """Whether these are all such sets."""
    steps: int
    """That it took."""

    def holds(self, needed: int) -> bool:
        return any(not needed & ~mask for mask in self.masks)


def _combine(tests: int, found: Sequence[Satisfied], elements: Sequence[tuple[int, int]], steps_max: int) -> _Combined:
    """Of these tests, from the innermost elements outwards: an element satisfies its own, and with them those of one
    element of each array in it. Gives up, with no sets, rather than take more steps."""
    own: dict[int, int] = {0: 0}
    for index in _bits(tests):
        for element in found[index].elements:
            own[element] = own.get(element, 0) | 1 << index
    for element in list(own):
        parent = elements[element][0]
        while parent not in own:
            own[parent] = 0
            parent = elements[parent][0]
    arrays: dict[int, dict[int, set[int]]] = {}
    steps, is_complete = len(own), True
    kept: list[int] = []
    for element in sorted(own, reverse=True):
        kept = [own[element]]
        for choices in arrays.pop(element, {}).values():
            offered = _largest(choices)
            steps += len(choices) + len(kept) * len(offered)
            is_complete = is_complete and len(offered) < _MASKS_MAX
            if steps > steps_max:
                return _Combined([], False, steps)
            kept = _largest({mask | choice for mask in kept for choice in offered})
            is_complete = is_complete and len(kept) < _MASKS_MAX
        parent, array = elements[element]
        arrays.setdefault(parent, {}).setdefault(array, set()).update(kept)
    return _Combined(kept, is_complete, steps)


def _largest(masks: set[int]) -> list[int]:
    """Those that are in no other, largest first, not too many."""
    kept: list[int] = []
    for mask in sorted(masks, key=int.bit_count, reverse=True):
        if not any(mask & ~each == 0 for each in kept):
            kept.append(mask)
            if len(kept) == _MASKS_MAX:
                break
    return kept


def _bits(mask: int) -> Iterable[int]:
    while mask:
        yield (mask & -mask).bit_length() - 1
        mask &= mask - 1


# --- Why not ---


class Miss(NamedTuple):
    """A field that keeps a filter from matching."""

    path: str
    operator: str
    """Of the field's list; several are joined by commas."""
    wanted: str
    """The list, as JSON."""
    seen: tuple[str, ...]
    """Values of the field in the event, as JSON, some of them; none: it is absent."""

    def __str__(self) -> str:
        seen = ", ".join(self.seen) if self.seen else "no value"
        return f"{self.path}: {self.operator} wants {self.wanted}, the event has {seen}"


ONE_ELEMENT = "same array element"
"""Operator of a miss whose fields are satisfied each by itself, but in different elements of an array."""


def explain_miss(wanted: Filter, view: View) -> tuple[Miss, ...]:
    """Why the filter does not match: what is missing in the branch that came closest. Empty when it does match."""
    if matches(wanted, view):
        return ()
    failed = 0
    for index, test in enumerate(wanted.tests):
        if view.satisfied(test) == _NOWHERE:
            failed |= 1 << index
    closest = min(wanted.branches, key=lambda branch: (branch & failed).bit_count())
    if closest & failed:
        return tuple(_miss(wanted.tests[index], view.leaves.by_path) for index in _bits(closest & failed))
    apart = [wanted.tests[index] for index in _bits(closest) if not view.satisfied(wanted.tests[index]).outside]
    return tuple(_miss(test, view.leaves.by_path)._replace(operator=ONE_ELEMENT) for test in apart)


def _miss(test: FieldTest, leaves: Mapping[str, Sequence[Leaf]]) -> Miss:
    operators = ", ".join(dict.fromkeys(item.operator for item in test.items))
    wanted = _cut("[" + ", ".join(item.wanted for item in test.items) + "]")
    seen = dict.fromkeys(_cut(_shown(leaf)) for leaf in leaves.get(test.path, ())[: 4 * _SEEN_MAX])
    return Miss(test.path, operators, wanted, tuple(seen)[:_SEEN_MAX])


def _shown(leaf: Leaf) -> str:
    return str(leaf.key) if leaf.text is None else json.dumps(leaf.text, ensure_ascii=True)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
