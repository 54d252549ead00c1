"""The tests that a filter makes of a single value: one class per operator ("Subscriber Defined Filtering" DSL).

Each says whether it takes a leaf. `exists` is not among them: it is a question about the field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from eventmill.core.ruler_event import Leaf
from eventmill.core.ruler_values import Address, folded, lowered, read_address, uppered


class Exact(NamedTuple):
    """A plain string, true, false or null."""

    key: str
    """As `Leaf.key`."""

    def takes(self, leaf: Leaf) -> bool:
        return leaf.key == self.key


class SameNumber(NamedTuple):
    """A plain number: the same double, or the same text when one of the two is no double."""

    key: str
    value: float | None

    def takes(self, leaf: Leaf) -> bool:
        return leaf.key == self.key or (leaf.number is not None and leaf.number == self.value)


class SameAddress(NamedTuple):
    """A plain string that is an IP address."""

    address: Address

    def takes(self, leaf: Leaf) -> bool:
        return leaf.text is not None and read_address(leaf.text) == self.address


class Prefix(NamedTuple):
    start: str

    def takes(self, leaf: Leaf) -> bool:
        return leaf.text is not None and leaf.text.startswith(self.start)


class Suffix(NamedTuple):
    end: str

    def takes(self, leaf: Leaf) -> bool:
        return leaf.text is not None and leaf.text.endswith(self.end)


class IgnoreCase(NamedTuple):
    """Character for character the lower or the upper case of what is wanted: the whole text, its start or its end."""

    part: Literal["whole", "start", "end"]
    lower: str
    upper: str

    @classmethod
    def of(cls, text: str, part: Literal["whole", "start", "end"] = "whole") -> IgnoreCase:
        return cls(part, lowered(text), uppered(text))

    @property
    def folded(self) -> str:
        return folded(self.lower)

    def takes(self, leaf: Leaf) -> bool:
        return leaf.text is not None and self.takes_text(leaf.text)

    def takes_text(self, text: str) -> bool:
        size = len(self.lower)
        if self.part == "start":
            text = text[:size]
        elif self.part == "end" and size < len(text):
            text = text[len(text) - size :]
        if len(text) != size:
            return False
        return all(char in pair for char, pair in zip(text, zip(self.lower, self.upper, strict=True), strict=True))


class Range(NamedTuple):
    """`numeric`; infinite where there is no bound."""

    low: float
    low_open: bool
    high: float
    high_open: bool

    def takes(self, leaf: Leaf) -> bool:
        number = leaf.number
        if number is None or number < self.low or number > self.high:
            return False
        return not ((self.low_open and number == self.low) or (self.high_open and number == self.high))


class Network(NamedTuple):
    """`cidr`."""

    bits: int
    low: int
    high: int

    def takes(self, leaf: Leaf) -> bool:
        address = None if leaf.text is None else read_address(leaf.text)
        return address is not None and self.holds(address)

    def holds(self, address: Address) -> bool:
        return address.bits == self.bits and self.low <= address.value <= self.high


class AnythingBut(NamedTuple):
    """Of strings, or of numbers: whatever is present and none of them."""

    keys: frozenset[str]
    numbers: frozenset[float]

    def takes(self, leaf: Leaf) -> bool:
        return leaf.key not in self.keys and (leaf.number is None or leaf.number not in self.numbers)


class AnythingLike(NamedTuple):
    """`anything-but` of prefixes, suffixes or texts in any case: whatever is present and not like any of them."""

    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]
    texts: tuple[IgnoreCase, ...]

    def takes(self, leaf: Leaf) -> bool:
        text = leaf.text
        if text is None:
            return True
        if text.startswith(self.prefixes) or text.endswith(self.suffixes):
            return False
        return not any(each.takes_text(text) for each in self.texts)


Test = Exact | SameNumber | SameAddress | Prefix | Suffix | IgnoreCase | Range | Network | AnythingBut | AnythingLike


class Item(NamedTuple):
    """One element of a field's list, and how it is shown."""

    operator: str
    wanted: str
    """The JSON text of the element, as written."""
    test: Test | bool
    """A boolean: `exists`."""


class FieldTest:
    """A field and its list: satisfied by any value that any item takes, or by having no value."""

    def __init__(self, path: str, items: tuple[Item, ...]) -> None:
        self.path = path
        self.items = items
        tests = [item.test for item in items]
        self.takes_any = True in tests
        self.takes_none = False in tests
        self._keys = frozenset(test.key for test in tests if isinstance(test, Exact | SameNumber))
        self._numbers = frozenset(test.value for test in tests if isinstance(test, SameNumber))
        self._addresses = frozenset(test.address for test in tests if isinstance(test, SameAddress))
        self._networks = tuple(test for test in tests if isinstance(test, Network))
        self._prefixes = tuple(test.start for test in tests if isinstance(test, Prefix))
        self._suffixes = tuple(test.end for test in tests if isinstance(test, Suffix))
        self._in_any_case: dict[str, list[IgnoreCase]] = {}
        for test in tests:
            if isinstance(test, IgnoreCase) and test.part == "whole":
                self._in_any_case.setdefault(test.folded, []).append(test)
        self._others: list[Callable[[Leaf], bool]] = [
            test.takes
            for test in tests
            if isinstance(test, Range | AnythingBut | AnythingLike)
            or (isinstance(test, IgnoreCase) and test.part != "whole")
        ]

    def takes(self, leaf: Leaf) -> bool:
        """As any of the items, but with the common ones looked up together."""
        if self.takes_any or leaf.key in self._keys:
            return True
        text = leaf.text
        if text is None:
            if leaf.number is not None and leaf.number in self._numbers:
                return True
        elif self._takes_text(text):
            return True
        return any(takes(leaf) for takes in self._others)

    def _takes_text(self, text: str) -> bool:
        if self._prefixes and text.startswith(self._prefixes):
            return True
        if self._suffixes and text.endswith(self._suffixes):
            return True
        if self._in_any_case and any(each.takes_text(text) for each in self._in_any_case.get(folded(text), ())):
            return True
        if not self._addresses and not self._networks:
            return False
        address = read_address(text)
        if address is None:
            return False
        return address in self._addresses or any(network.holds(address) for network in self._networks)
