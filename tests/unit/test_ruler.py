"""The filter language: which filters are valid, and what they match ("Subscriber Defined Filtering" DSL)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventmill.core.ruler import BRANCHES_MAX, FILTER_CHARS_MAX, ITEMS_MAX, OR_DEPTH_MAX, RESERVED, compile_filter
from eventmill.core.ruler_event import VALUES_MAX, read_event
from eventmill.core.ruler_index import FilterIndex
from eventmill.core.ruler_items import FieldTest
from eventmill.core.ruler_match import explain_miss, matches, view_event
from eventmill.core.ruler_values import comparable, folded, lowered, read_address, uppered
from eventmill.errors import GatewayError, Reason
from tests.unit.filter_examples import events, filters

CASES: list[dict[str, str]] = json.loads((Path(__file__).parent / "filter_cases.json").read_text())


def verdict(text: str, event: str) -> bool:
    wanted = compile_filter(text)
    return matches(wanted, view_event(read_event(event.encode()), wanted.paths))


def refusal(text: str) -> str:
    with pytest.raises(GatewayError) as caught:
        compile_filter(text)
    assert caught.value.reason is Reason.INVALID_FILTER
    return caught.value.message.removeprefix("subscriber_filter: ")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['filter']} on {case['event']}")
def test_verified_cases(case: dict[str, str]) -> None:
    """Verdicts that the reference engine gave, with the restrictions of subscriber filters."""
    if case["expect"] == "invalid":
        assert "(line 1 column " in refusal(case["filter"])
    else:
        assert verdict(case["filter"], case["event"]) == (case["expect"] == "match")


# --- Corners of the rules ---


@pytest.mark.parametrize(
    ("text", "event", "expected"),
    [
        # Paths: dots are nesting, in the filter and in the event
        ('{"a":{"b.c":[1]}}', '{"a.b":{"c":1}}', True),
        ('{"a.b.c":[1]}', '{"a":{"b":{"c":1}}}', True),
        ('{"a":{"b":[1]}}', '{"a.b":1}', True),
        ('{"a":[1]}', '{"a.b":1}', False),
        ('{"":[1]}', '{"":1}', True),
        ('{"\\u0061":[1]}', '{"a":1}', True),
        ('{"a\\"b":[1]}', '{"a\\u0022b":1}', True),
        ('{"repo:name":[{"suffix":".jpeg"}]}', '{"repo:name":"x.jpeg"}', True),
        # Names that repeat in an event: any of the values counts
        ('{"a":[1]}', '{"a":1,"a":2}', True),
        ('{"a":[2]}', '{"a":1,"a":2}', True),
        ('{"a":[1],"a.b":[2]}', '{"a":1,"a":{"b":2}}', True),
        # Numbers
        ('{"a":[100]}', '{"a":1E2}', True),
        ('{"a":[-0]}', '{"a":0.000}', True),
        ('{"a":[0]}', '{"a":0e999999999999}', True),
        ('{"a":[1e400]}', '{"a":1e400}', True),
        ('{"a":[1e400]}', '{"a":1E400}', False),
        ('{"a":[9007199254740993]}', '{"a":9007199254740992}', False),
        ('{"a":[9007199254740993]}', '{"a":9007199254740993}', True),
        ('{"a":[{"numeric":["=",9007199254740992]}]}', '{"a":9007199254740993}', False),
        ('{"a":[{"numeric":[">",0]}]}', '{"a":1e-400}', False),
        ('{"a":[{"numeric":[">",0]}]}', '{"a":5e-324}', True),
        ('{"a":[{"numeric":["<",1]}]}', '{"a":true}', False),
        ('{"a":[{"anything-but":5}]}', '{"a":123456789012345678901}', True),
        ('{"a":[{"anything-but":[1,2]}]}', '{"a":2e0}', False),
        ('{"a":[{"numeric":[">=",5,"<",6]}]}', '{"a":6}', False),
        ('{"a":[{"numeric":[">=",5,"<",6]}]}', '{"a":5}', True),
        ('{"a":[true]}', '{"a":1}', False),
        ('{"a":[1]}', '{"a":true}', False),
        # Arrays
        ('{"a":["x"]}', '{"a":[["q",["x"]]]}', True),
        ('{"a":[{"exists":true}]}', '{"a":[[],{}]}', False),
        ('{"a":[{"exists":false}]}', '{"a":[[],{}]}', True),
        ('{"a":[{"exists":false}]}', '{"a":{"b":1}}', True),
        ('{"a":{"b":[1],"c":[2]}}', '{"a":[{"b":1},[{"b":1,"c":3},{"b":1,"c":2}]]}', True),
        ('{"a":{"b":[1],"c":[2]}}', '{"a":[[{"b":1},{"c":2}]]}', False),
        ('{"a":{"b":[1],"c":{"d":[2],"e":[3]}}}', '{"a":[{"b":1,"c":[{"d":2,"e":3}]}]}', True),
        ('{"a":{"b":[1],"c":{"d":[2],"e":[3]}}}', '{"a":[{"b":1,"c":[{"d":2},{"e":3}]}]}', False),
        ('{"a":{"b":[1],"c":{"d":[2]}}}', '{"a":[{"b":1},{"c":[{"d":2}]}]}', False),
        ('{"a":{"b":[1],"c":{"d":[2]}}}', '{"a":[{"b":0,"c":[{"d":2}]},{"b":1,"c":[{"d":1},{"d":2}]}]}', True),
        ('{"a":{"b":[1],"c":[{"exists":false}]}}', '{"a":[{"b":1},{"c":2}]}', False),
        ('{"a":{"b":[{"anything-but":1}]}}', '{"a":[{"b":1},{"b":2}]}', True),
        ('{"a":{"$or":[{"b":[1],"c":[1]},{"b":[2],"c":[2]}]}}', '{"a":[{"b":1,"c":2},{"b":2,"c":2}]}', True),
        ('{"a":{"$or":[{"b":[1],"c":[1]},{"b":[2],"c":[2]}]}}', '{"a":[{"b":1,"c":2},{"b":2,"c":1}]}', False),
        # Texts
        ('{"a":[{"equals-ignore-case":"\\u0391\\u03a3"}]}', '{"a":"\\u03b1\\u03c2"}', False),
        ('{"a":[{"equals-ignore-case":"\\u0391\\u03a3"}]}', '{"a":"\\u03b1\\u03c3"}', True),
        ('{"a":[{"equals-ignore-case":"😀x"}]}', '{"a":"😀X"}', True),
        ('{"a":[{"prefix":{"equals-ignore-case":"É"}}]}', '{"a":"école"}', True),
        ('{"a":[{"suffix":{"equals-ignore-case":""}}]}', '{"a":"x"}', True),
        ('{"a":[{"suffix":{"equals-ignore-case":"abc"}}]}', '{"a":"C"}', False),
        ('{"a":["é"]}', '{"a":"e\\u0301"}', False),
        ('{"a":["\\ud83d\\ude00"]}', '{"a":"😀"}', True),
        ('{"a":["\\u0000"]}', '{"a":"\\u0000"}', True),
        ('{"a":[{"anything-but":{"equals-ignore-case":["x","y"]}}]}', '{"a":"Y"}', False),
        ('{"a":[{"anything-but":"x"},{"anything-but":"y"}]}', '{"a":"x"}', True),
        ('{"a":["a*c"]}', '{"a":"a*c"}', True),
        # Addresses
        ('{"a":[{"cidr":"::/0"}]}', '{"a":"10.0.0.1"}', False),
        ('{"a":[{"cidr":"::/0"}]}', '{"a":"fe80::1"}', True),
        ('{"a":["1.2.3.400"]}', '{"a":"1.2.3.400"}', True),
        ('{"a":["010.0.0.1"]}', '{"a":"10.0.0.1"}', True),
        ('{"a":[{"anything-but":"10.0.0.1"}]}', '{"a":"10.0.0.01"}', True),
        ('{"a":[{"cidr":"10.0.0.0/8"}]}', '{"a":"fe80::1%eth0"}', False),
        # Two $or in one object must both be satisfied
        ('{"$or":[{"a":[1]},{"b":[1]}],"$or":[{"c":[1]},{"d":[1]}]}', '{"a":1,"d":1}', True),
        ('{"$or":[{"a":[1]},{"b":[1]}],"$or":[{"c":[1]},{"d":[1]}]}', '{"a":1,"b":1}', False),
    ],
)
def test_corners(text: str, event: str, expected: bool) -> None:
    """What follows from the rules where they meet."""
    assert verdict(text, event) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the filter is empty; a JSON object is expected (line 1 column 1)"),
        ("null", "a filter must be an object, but this is of type literal (line 1 column 1)"),
        ('{"a":[1]', "not JSON: ',' is expected, but there is the end (line 1 column 9)"),
        ('{"a":[1,]}', "not JSON: a value is expected, but there is ']}' (line 1 column 9)"),
        ('{"a":[01]}', "not JSON: a value is expected, but there is '01]}' (line 1 column 7)"),
        ('{"a":[NaN]}', "not JSON: a value is expected, but there is 'NaN]}' (line 1 column 7)"),
        ("{'a':[1]}", "not JSON: a name in quotes is expected, but there is \"'a':[1]}\" (line 1 column 2)"),
        ('{"a" [1]}', "not JSON: ':' is expected, but there is '[1]}' (line 1 column 6)"),
        ('{"a":["\\x"]}', "not JSON: a string that does not end, or holds a bad escape or control character"),
        ('{"a":["\\ud800"]}', "a string holds one half of a surrogate pair"),
        (
            '{"a":[1],\n "a":[2]}',
            "the same path twice: 'a' is asked for more than once in one branch (line 2 column 2)",
        ),
        ('{"a":{"b":[1]},"a":{"b":[1]}}', "the same path twice: 'a.b'"),
        ('{"$or":[{"a":[1]},{"b":[1]}],"$or":[{"b":[1]},{"c":[1]}]}', "the same path twice: 'b'"),
        ('{"$or":[{"a":[1]},1]}', "each branch of $or must be an object (line 1 column 19)"),
        ('{"$or":[{"a":[1]},{}]}', "an empty object matches nothing"),
        ('{"$or":[{"a":{"prefix":[1]}},{"b":[1]}]}', "'prefix' is a reserved word, which cannot be a field inside $or"),
        ('{"a":{}}', "an empty object matches nothing"),
        ('{"a":[[1]]}', "a list may not hold a list"),
        ('{"a":[{"prefix":"x","suffix":"y"}]}', "an operator object has one member"),
        ('{"a":[{"prefix":5}]}', "the operand of prefix must be a string or"),
        ('{"a":[{"equals-ignore-case":["x"]}]}', "the operand of equals-ignore-case must be a string"),
        ('{"a":[{"exists":null}]}', "the operand of exists must be true or false"),
        ('{"a":[{"exists":"true"}]}', "the operand of exists must be true or false"),
        ('{"a":[{"anything-but":[]}]}', "an empty list excludes nothing"),
        ('{"a":[{"anything-but":["x",1]}]}', "anything-but lists either strings or numbers, not both"),
        ('{"a":[{"anything-but":["x",null]}]}', "anything-but can only list strings or numbers"),
        ('{"a":[{"anything-but":{"wildcard":"x"}}]}', "'wildcard' cannot stand inside anything-but"),
        ('{"a":[{"anything-but":{"prefix":""}}]}', "anything-but prefix of an empty string would exclude every string"),
        ('{"a":[{"anything-but":{"suffix":["x",""]}}]}', "anything-but suffix of an empty string"),
        ('{"a":[{"numeric":["=",1e400]}]}', "1e400 cannot be compared: it is not exactly a double (line 1 column 23)"),
        ('{"a":[{"numeric":["<",1e-400]}]}', "1e-400 cannot be compared"),
        ('{"a":[{"numeric":["<",5,">",1]}]}', "nothing may follow the number of the comparison <"),
        ('{"a":[{"numeric":[">",5,">",9]}]}', "the second comparison of a range must be < or <="),
        ('{"a":[{"numeric":[">",5,"<"]}]}', "the comparison < needs a number"),
        ('{"a":[{"numeric":[">",5,"<",9,1]}]}', "a range has two comparisons"),
        ('{"a":[{"numeric":">5"}]}', "the operand of numeric must be a list like"),
        ('{"a":[{"cidr":"10.0.0.0"}]}', "cidr: the length of the mask must be 0 to 31"),
        ('{"a":[{"cidr":"::/128"}]}', "cidr: the length of the mask must be 0 to 127"),
        ('{"a":[{"cidr":"10.0.0.0/ 8"}]}', "cidr: the length of the mask must be 0 to 31"),
        ('{"a":[{"cidr":"10.0.0.256/8"}]}', "cidr: '10.0.0.256' is not an IP address"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    """Each says what is wrong, and where."""
    assert refusal(text).startswith(message)


def ors(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"x": [1]} if depth == 1 else ors(depth - 1)
    return {"$or": [{f"f{depth}": inner}, {f"g{depth}": [1]}]}


def test_limits() -> None:
    """A filter at each limit is compiled; one beyond it is refused in words that name the limit."""
    at_most = [{f"f{at}": [at]} for at in range(BRANCHES_MAX)]
    compile_filter(json.dumps({"$or": at_most}))
    assert f"at most {BRANCHES_MAX} are allowed" in refusal(json.dumps({"$or": [*at_most, {"g": [1]}]}))
    compile_filter(json.dumps({"a": list(range(ITEMS_MAX))}))
    assert f"at most {ITEMS_MAX} values" in refusal(json.dumps({"a": list(range(ITEMS_MAX)), "b": [1]}))
    compile_filter(json.dumps(ors(OR_DEPTH_MAX)))
    assert f"deeper than {OR_DEPTH_MAX} levels" in refusal(json.dumps(ors(OR_DEPTH_MAX + 1)))
    text = '{"a":["' + "x" * (FILTER_CHARS_MAX - 10) + '"]}'
    compile_filter(text)
    assert f"at most {FILTER_CHARS_MAX} characters" in refusal(text + " ")


def test_branches_are_counted_before_they_are_made() -> None:
    """Thousands of millions of combinations are refused as fast as two."""
    halves = [f'"$or":[{{"a{at}":[1]}},{{"b{at}":[1]}}]' for at in range(40)]
    assert str(2**40) in refusal("{" + ",".join(halves) + "}")


def test_deep_nesting() -> None:
    """Of a filter it is refused, of an event it is read."""
    assert "nested deeper than" in refusal('{"a":' * 200 + "[1]" + "}" * 200)
    assert "nested deeper than" in refusal('{"a":' + "[" * 5000)
    path = ".".join(["a"] * 500)
    assert verdict(f'{{"{path}":["x"]}}', '{"a":' * 500 + '"x"' + "}" * 500)
    assert verdict('{"a":["x"]}', '{"a":' + "[" * 500 + '"x"' + "]" * 500 + "}")


def test_reserved_words_are_fields_outside_or() -> None:
    """Only inside `$or` they would look like operators."""
    for word in RESERVED:
        assert verdict(json.dumps({word: [1]}), json.dumps({word: 1}))


def test_arrays_with_many_elements() -> None:
    """Two fields of a thousand elements, which is how many are looked at, are joined by their elements, and sets of
    tests too many to follow at once are followed branch by branch."""
    rows = [{"a": at, "b": at + 1} for at in range(1000)]
    assert verdict('{"d":{"a":[998],"b":[999]}}', json.dumps({"d": rows}))
    assert not verdict('{"d":{"a":[998],"b":[998]}}', json.dumps({"d": rows}))
    names = [f"f{at}" for at in range(14)]
    rows = [{name: 1 for at, name in enumerate(names) if number >> at & 1} for number in range(2**14)]
    rows = [row for row in rows if len(row) == 7][:1000]
    last = list(rows[-1])
    branch = {name: [1] for name in last}
    text = json.dumps({"d": {"$or": [branch, {name: [1] for name in names[:8]}]}})
    assert verdict(text, json.dumps({"d": rows}))
    assert not verdict(json.dumps({"d": {name: [1] for name in names[:8]}}), json.dumps({"d": rows}))


def test_what_is_looked_at_is_bounded() -> None:
    """Of an array, of a field and of a place in the event, the first thousand; the rest is as good as absent, whether
    it is values, objects, arrays in arrays, or repeated names."""

    def found_at(at: int, text: Any, event: Callable[[list[Any]], str]) -> bool:
        return verdict(json.dumps(text), event([1 if each == at else 0 for each in range(3000)]))

    def of_rows(numbers: list[Any]) -> str:
        return json.dumps({"d": [{"a": each, "b": [each]} for each in numbers]})

    spellings: list[tuple[Any, Callable[[list[Any]], str]]] = [
        ({"d": [1]}, lambda numbers: json.dumps({"d": numbers})),
        ({"d": [1]}, lambda numbers: json.dumps({"d": [[each] for each in numbers]})),
        ({"d": [1]}, lambda numbers: json.dumps({"d": [numbers[at : at + 50] for at in range(0, 3000, 50)]})),
        ({"d": [1]}, lambda numbers: "{" + ",".join(f'"d":{each}' for each in numbers) + "}"),
        ({"d.a": [1]}, lambda numbers: "{" + ",".join(f'"d":{{"a":{each}}}' for each in numbers) + "}"),
        ({"d": {"a": [1], "b": [1]}}, of_rows),
    ]
    for text, event in spellings:
        assert [found_at(at, text, event) for at in (0, VALUES_MAX - 2, VALUES_MAX)] == [True, True, False]
    assert verdict('{"d":[{"exists":false}]}', json.dumps({"d": [{}] * VALUES_MAX + ["x"]}))


def test_a_filter_sees_the_same_beside_others() -> None:
    """What other filters want takes nothing of what this one may look at."""
    full = VALUES_MAX - 1
    event = read_event(json.dumps({"d": [*[0] * full, {"a": 1}, [2]], "e": [*[[]] * full, 1, {"a": 1}]}).encode())
    texts = ['{"d":[2]}', '{"d.a":[1]}', '{"d":[{"anything-but":0}]}', '{"e":[1]}', '{"e":{"a":[1]}}']
    alone = [at for at, text in enumerate(texts) if FilterIndex({0: compile_filter(text)}).match(event)]
    assert alone == [1, 3]
    assert sorted(FilterIndex({at: compile_filter(text) for at, text in enumerate(texts)}).match(event)) == alone


def test_combinations_are_given_up() -> None:
    """Sets of fields that nearly all elements of two arrays in an array satisfy are not followed for ever."""

    def group(name: str) -> dict[str, Any]:
        return {"$or": [{f"{name}{branch}{at}": [1] for at in range(9)} for branch in range(10)]}

    def rows(name: str, start: int) -> list[Any]:
        names = [f"{name}{branch}{at}" for branch in range(10) for at in range(9)]
        return [{each: 1 for at, each in enumerate(names) if hash((start, row, at)) % 2} for row in range(30)]

    event = {"d": [{"p": rows("p", number), "q": rows("q", number)} for number in range(30)]}
    assert not verdict(json.dumps({"d": {"p": group("p"), "q": group("q")}}), json.dumps(event))
    every = {f"p0{at}": 1 for at in range(9)}, {f"q0{at}": 1 for at in range(9)}
    whole = {"d": [{"p": [every[0]], "q": [every[1]]}]}
    assert verdict(json.dumps({"d": {"p": group("p"), "q": group("q")}}), json.dumps(whole))


@settings(max_examples=60)
@given(filters, events)
def test_verdicts_by_the_book(text: str, event: str) -> None:
    """The matcher agrees with the rules read literally: for one of the branches, one value per field, of every array
    one element. What does not match is explained, what does is not."""
    try:
        wanted = compile_filter(text)
    except GatewayError:
        return
    view = view_event(read_event(event.encode()), wanted.paths)
    expected = any(_literally(wanted.tests, branch, view.leaves) for branch in wanted.branches)

    assert matches(wanted, view) == expected
    assert bool(explain_miss(wanted, view)) != expected


def _literally(tests: tuple[FieldTest, ...], branch: int, leaves: Any) -> bool:
    def places(element: int) -> dict[int, int]:
        found = {}
        while element:
            parent, array = leaves.elements[element]
            found[array] = element
            element = parent
        return found

    def search(at: int, chosen: dict[int, int]) -> bool:
        if at == len(tests):
            return True
        if not branch >> at & 1:
            return search(at + 1, chosen)
        test = tests[at]
        values = leaves.by_path.get(test.path, ())
        if not values:
            return any(item.test is False for item in test.items) and search(at + 1, chosen)
        for leaf in values:
            if any(
                item.test is True or (not isinstance(item.test, bool) and item.test.takes(leaf)) for item in test.items
            ):
                own = places(leaf.element)
                is_one = all(chosen.get(array, element) == element for array, element in own.items())
                if is_one and search(at + 1, {**chosen, **own}):
                    return True
        return False

    return search(0, {})


# --- Why not ---


def misses(text: str, event: str) -> list[str]:
    wanted = compile_filter(text)
    return [str(miss) for miss in explain_miss(wanted, view_event(read_event(event.encode()), wanted.paths))]


def test_explanations() -> None:
    """Path, operator, what is wanted and what was seen, of the branch that came closest."""
    assert misses('{"d":{"n":[{"numeric":[">",5]}],"s":["x"]}}', '{"d":{"n":3,"s":"x"}}') == [
        'd.n: numeric wants [{"numeric":[">",5]}], the event has 3'
    ]
    assert misses('{"a":["x",{"prefix":"y"}]}', "{}") == [
        'a: equals, prefix wants ["x", {"prefix":"y"}], the event has no value'
    ]
    assert misses('{"$or":[{"a":[1],"b":[1],"c":[1]},{"a":[2],"d":[2]}]}', '{"a":2,"d":"2"}') == [
        'd: equals wants [2], the event has "2"'
    ]
    assert misses('{"d":{"a":[1],"b":[2]}}', '{"d":[{"a":1},{"b":2}]}') == [
        "d.a: same array element wants [1], the event has 1",
        "d.b: same array element wants [2], the event has 2",
    ]
    [long] = misses('{"a":["x"]}', json.dumps({"a": ["y" * 500, *range(100)]}))
    assert len(long) < 300


# --- Values ---


def test_comparable_numbers() -> None:
    """A number is comparable when it is the shortest decimal of a double, however it is written."""
    assert [comparable(text) for text in ("5", "5.000", "5e0", "500e-2", "-0.0", "0e9999", "0.1")] == [
        *(5, 5, 5, 5, 0, 0, 0.1)
    ]
    assert comparable("1" + "0" * 300 + "e-300") == 1
    assert [comparable(text) for text in ("1e309", "1e-330", "0.10000000000000001", "9007199254740993")] == [None] * 4


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_is_comparable(number: float) -> None:
    """In the form that Python, like other languages, prints it in."""
    assert comparable(repr(number)) == number


def test_case_is_folded_by_character() -> None:
    """Of every character, lower and upper case are single characters that fold to the same."""
    for char in filter(lambda each: each.lower() != each.upper(), map(chr, range(0x1F000))):
        lower, upper = lowered(char), uppered(char)
        assert len(lower) == len(upper) == 1
        assert folded(lower) == folded(upper) == folded(lower[0])


def test_addresses() -> None:
    """Only what looks like an address from end to end is one."""
    assert read_address("::1") == read_address("0:0:0:0:0:0:0:1")
    assert read_address("010.000.0.1") == read_address("10.0.0.1")
    assert read_address("::ffff:a00:1") == read_address("10.0.0.1")
    for text in ("", ":", "::g", "10.0.0", "10.0.0.1\n", "10.0.0.256", "::1%1", "\u0661.0.0.1", "1" * 5000 + ".0.0.1"):
        assert read_address(text) is None
