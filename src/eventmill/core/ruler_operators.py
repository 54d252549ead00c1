"""Reads the elements of a field's list: plain values and operators ("Subscriber Defined Filtering" DSL).

A subset of what Event Ruler takes: wildcards and `exactly` are refused. Must not: know paths or `$or`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from eventmill.core.ruler_items import (
    AnythingBut,
    AnythingLike,
    Exact,
    IgnoreCase,
    Item,
    Network,
    Prefix,
    Range,
    SameAddress,
    SameNumber,
    Suffix,
    Test,
)
from eventmill.core.ruler_json import Value, refuse
from eventmill.core.ruler_values import comparable, read_address

_NOT_TAKEN = frozenset({"wildcard", "exactly"})
_BELOW, _ABOVE = ("<", "<="), (">", ">=")
_ADDRESS_MASK_DIGITS_MAX = 3


def read_items(text: str, values: Value) -> tuple[Item, ...]:
    """The elements of a list. Raises `INVALID_FILTER`, naming the place in `text`."""
    if not values.items:
        refuse(text, values.start, "an empty list matches nothing; give at least one value")
    return tuple(_read_item(text, each) for each in values.items)


def _read_item(text: str, value: Value) -> Item:
    wanted = text[value.start : value.end]
    if value.kind == "string":
        return Item("equals", wanted, _plain_string(value.text))
    if value.kind == "number":
        return Item("equals", wanted, SameNumber(value.text, comparable(value.text)))
    if value.kind == "literal":
        return Item("equals", wanted, Exact(value.text))
    if value.kind == "array":
        refuse(text, value.start, "a list may not hold a list; give strings, numbers, true, false, null or operators")
    name, operand = _only_member(text, value)
    read = _OPERATORS.get(name.text)
    if read is None:
        known = ", ".join(_OPERATORS)
        why = "is not available in filters" if name.text in _NOT_TAKEN else "is no operator"
        refuse(text, name.start, f"{name.text!a} {why}; there are {known}, and plain values")
    return Item(name.text, wanted, read(text, operand))


def _only_member(text: str, value: Value) -> tuple[Value, Value]:
    """The name, as a value, and the operand of an operator."""
    if not value.members:
        refuse(text, value.start, "an empty operator object; name one operator")
    if len(value.members) > 1:
        refuse(text, value.members[1].at, "an operator object has one member; give each operator an object of its own")
    [member] = value.members
    return Value("string", member.at, member.at, member.name), member.value


def _plain_string(chars: str) -> Test:
    address = read_address(chars)
    return Exact('"' + chars) if address is None else SameAddress(address)


def _string(text: str, value: Value, what: str) -> str:
    if value.kind != "string":
        refuse(text, value.start, f"the operand of {what} must be a string")
    return value.text


def _affix(what: Literal["prefix", "suffix"]) -> Callable[[str, Value], Test]:
    def read(text: str, value: Value) -> Test:
        if value.kind != "object":
            if value.kind != "string":
                refuse(text, value.start, f'the operand of {what} must be a string or {{"equals-ignore-case": string}}')
            return Prefix(value.text) if what == "prefix" else Suffix(value.text)
        name, operand = _only_member(text, value)
        if name.text != "equals-ignore-case":
            refuse(text, name.start, f"{what} can only hold equals-ignore-case, not {name.text!a}")
        wanted = _string(text, operand, "equals-ignore-case")
        return IgnoreCase.of(wanted, "start" if what == "prefix" else "end")

    return read


def _ignore_case(text: str, value: Value) -> Test:
    return IgnoreCase.of(_string(text, value, "equals-ignore-case"))


def _exists(text: str, value: Value) -> bool:
    if value.kind != "literal" or value.text == "null":
        refuse(text, value.start, "the operand of exists must be true or false")
    return value.text == "true"


def _number(text: str, value: Value, what: str) -> float:
    if value.kind != "number":
        refuse(text, value.start, f"the operand of {what} must be a number")
    number = comparable(value.text)
    if number is None:
        refuse(text, value.start, f"{value.text[:40]} cannot be compared: it is not exactly a double")
    return number


def _numeric(text: str, value: Value) -> Test:
    if value.kind != "array" or not value.items:
        refuse(text, value.start, 'the operand of numeric must be a list like [">", 0, "<=", 5]')
    first = value.items[0]
    if first.kind != "string" or first.text not in ("=", *_BELOW, *_ABOVE):
        refuse(text, first.start, "a comparison of numeric must be one of =, <, <=, >, >=")
    if len(value.items) < 2:
        refuse(text, first.end, f"the comparison {first.text} needs a number")
    bound = _number(text, value.items[1], f"the comparison {first.text}")
    if first.text in _ABOVE and len(value.items) > 2:
        return _between(text, value, bound)
    if len(value.items) > 2:
        refuse(text, value.items[2].start, f"nothing may follow the number of the comparison {first.text}")
    if first.text == "=":
        return Range(bound, False, bound, False)
    if first.text in _BELOW:
        return Range(-math.inf, False, bound, first.text == "<")
    return Range(bound, first.text == ">", math.inf, False)


def _between(text: str, value: Value, low: float) -> Test:
    first, second = value.items[0], value.items[2]
    if second.kind != "string" or second.text not in _BELOW:
        refuse(text, second.start, "the second comparison of a range must be < or <=")
    if len(value.items) < 4:
        refuse(text, second.end, f"the comparison {second.text} needs a number")
    high = _number(text, value.items[3], f"the comparison {second.text}")
    if len(value.items) > 4:
        refuse(text, value.items[4].start, "a range has two comparisons")
    if low >= high:
        refuse(text, value.start, "the range is empty: its lower bound must be less than its upper bound")
    return Range(low, first.text == ">", high, second.text == "<")


def _cidr(text: str, value: Value) -> Test:
    written = _string(text, value, "cidr")
    before, slash, mask = written.partition("/")
    address = read_address(before)
    if address is None:
        refuse(text, value.start, f"cidr: {before[:64]!a} is not an IP address")
    is_number = mask.isascii() and mask.isdecimal() and len(mask) <= _ADDRESS_MASK_DIGITS_MAX
    if not slash or not is_number or int(mask) >= address.bits:
        refuse(
            text,
            value.start,
            f"cidr: the length of the mask must be 0 to {address.bits - 1}; give a single address as a plain value",
        )
    hosts = (1 << (address.bits - int(mask))) - 1
    return Network(address.bits, address.value & ~hosts, address.value | hosts)


_BUT = "the operand of anything-but must be a string, a number, a list of either, or a prefix, suffix or "
_BUT += "equals-ignore-case object"


def _anything_but(text: str, value: Value) -> Test:
    if value.kind == "object":
        return _anything_like(text, value)
    if value.kind not in ("string", "number", "array"):
        refuse(text, value.start, _BUT)
    listed = value.items if value.kind == "array" else (value,)
    if not listed:
        refuse(text, value.start, "an empty list excludes nothing; give at least one value")
    for each in listed:
        if each.kind not in ("string", "number"):
            refuse(text, each.start, "anything-but can only list strings or numbers")
        if each.kind != listed[0].kind:
            refuse(text, each.start, "anything-but lists either strings or numbers, not both")
    if listed[0].kind == "string":
        return AnythingBut(frozenset('"' + each.text for each in listed), frozenset())
    return AnythingBut(frozenset(), frozenset(_number(text, each, "anything-but") for each in listed))


def _anything_like(text: str, value: Value) -> Test:
    name, operand = _only_member(text, value)
    if name.text not in ("prefix", "suffix", "equals-ignore-case"):
        refuse(text, name.start, f"{name.text!a} cannot stand inside anything-but; {_BUT}")
    what = f"anything-but {name.text}"
    listed = operand.items if operand.kind == "array" else (operand,)
    if not listed:
        refuse(text, operand.start, "an empty list excludes nothing; give at least one string")
    chars = tuple(_string(text, each, what) for each in listed)
    if name.text == "equals-ignore-case":
        return AnythingLike((), (), tuple(IgnoreCase.of(each) for each in chars))
    for each in listed:
        if not each.text:
            refuse(text, each.start, f"{what} of an empty string would exclude every string")
    return AnythingLike(chars, (), ()) if name.text == "prefix" else AnythingLike((), chars, ())


_OPERATORS: Mapping[str, Callable[[str, Value], Test | bool]] = MappingProxyType(
    {
        "prefix": _affix("prefix"),
        "suffix": _affix("suffix"),
        "equals-ignore-case": _ignore_case,
        "anything-but": _anything_but,
        "numeric": _numeric,
        "exists": _exists,
        "cidr": _cidr,
    }
)
