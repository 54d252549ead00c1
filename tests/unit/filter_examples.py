"""Filters and events for the tests of the filter engine, made so that they often nearly match."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

NAMES = ("a", "b", "d", "a.b")
TEXTS = (
    "",
    "x",
    "X",
    "xy",
    "xyz",
    "yz",
    "é",
    "É",
    "straße",
    "Ǆ",
    "😀",
    "10.0.0.1",
    "10.0.0.01",
    "::1",
    "0:0::1",
    "true",
)
NUMBERS = (
    "0",
    "-0.0",
    "5",
    "5.0",
    "5e0",
    "0.1",
    "0.10",
    "-1",
    "7",
    "301.8",
    "3.018e2",
    "123456789012345678901",
    "1e308",
)
COMPARABLE = tuple(each for each in NUMBERS if each != "123456789012345678901")


class Raw(str):
    """JSON text that stands for itself."""


def dump(value: Any) -> str:
    """JSON of dicts or lists of pairs (names may repeat), lists, strings, booleans, None and `Raw`."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return "{" + ",".join(f"{json.dumps(name)}:{dump(each)}" for name, each in value) + "}"
    if isinstance(value, dict):
        return dump(list(value.items())) if value else "{}"
    if isinstance(value, list):
        return "[" + ",".join(map(dump, value)) + "]"
    return json.dumps(value)


_texts = st.sampled_from(TEXTS)
_numbers = st.sampled_from(NUMBERS).map(Raw)
_comparable = st.sampled_from(COMPARABLE).map(Raw)
_plain = st.one_of(_texts, _numbers, st.sampled_from([True, False, None]))
_listed = st.one_of(_texts.filter(bool), st.lists(_texts.filter(bool), min_size=1, max_size=3))


def _range(bounds: tuple[str, str, str, str]) -> dict[str, Any]:
    low, first, second, high = bounds
    if float(low) < float(high):
        return {"numeric": [first, Raw(low), second, Raw(high)]}
    return {"numeric": [first, Raw(low)]}


_operators: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(lambda affix, text: {affix: text}, st.sampled_from(["prefix", "suffix", "equals-ignore-case"]), _texts),
    st.builds(lambda affix, text: {affix: {"equals-ignore-case": text}}, st.sampled_from(["prefix", "suffix"]), _texts),
    st.builds(lambda text: {"anything-but": text}, st.one_of(_texts, _comparable)),
    st.builds(lambda listed: {"anything-but": listed}, st.lists(_texts, min_size=1, max_size=3)),
    st.builds(lambda listed: {"anything-but": listed}, st.lists(_comparable, min_size=1, max_size=3)),
    st.builds(
        lambda how, listed: {"anything-but": {how: listed}},
        st.sampled_from(["prefix", "suffix", "equals-ignore-case"]),
        _listed,
    ),
    st.builds(
        lambda sign, number: {"numeric": [sign, number]}, st.sampled_from(["=", "<", "<=", ">", ">="]), _comparable
    ),
    st.builds(
        _range,
        st.tuples(
            st.sampled_from(COMPARABLE),
            st.sampled_from([">", ">="]),
            st.sampled_from(["<", "<="]),
            st.sampled_from(COMPARABLE),
        ),
    ),
    st.builds(lambda there: {"exists": there}, st.booleans()),
    st.builds(lambda net: {"cidr": net}, st.sampled_from(["10.0.0.0/24", "0.0.0.0/0", "::/64", "10.0.0.1/31"])),
)
_items = st.lists(st.one_of(_plain, _operators), min_size=1, max_size=3)


def _objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(NAMES), children, min_size=1, max_size=3)


_fields = _objects(st.recursive(_items, _objects, max_leaves=4))
_filters = st.one_of(
    _fields,
    st.builds(lambda fields, branches: {**fields, "$or": branches}, _fields, st.lists(_fields, min_size=2, max_size=3)),
    st.builds(lambda branches: {"d": {"$or": branches}}, st.lists(_fields, min_size=2, max_size=3)),
)

filters: st.SearchStrategy[str] = _filters.map(dump)
"""Texts of filters. Most are valid; some ask for a path twice."""


def _containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pairs = st.lists(st.tuples(st.sampled_from(NAMES), children), max_size=4)
    return st.one_of(st.lists(children, max_size=3), pairs.map(lambda each: each or {}))


_values = st.recursive(_plain, _containers, max_leaves=12)

events: st.SearchStrategy[str] = (
    st.lists(st.tuples(st.sampled_from(NAMES), _values), max_size=4).map(lambda pairs: pairs or {}).map(dump)
)
"""Texts of JSON objects, some with repeated names."""
