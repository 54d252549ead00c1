"""Many filters at once give the verdicts that each gives alone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from eventmill.core.ruler import Filter, compile_filter
from eventmill.core.ruler_event import read_event
from eventmill.core.ruler_index import FilterIndex
from eventmill.core.ruler_match import matches, view_event
from eventmill.errors import GatewayError
from tests.unit.filter_examples import events, filters


def compiled(text: str) -> Filter | None:
    try:
        return compile_filter(text)
    except GatewayError:
        return None


valid_filters = filters.map(compiled).filter(bool)


@settings(max_examples=15)
@given(st.lists(valid_filters, min_size=1, max_size=6), st.lists(events, min_size=1, max_size=2))
def test_index_agrees_with_each_filter(wanted: list[Filter], texts: list[str]) -> None:
    """Whatever the filters have in common, and however they are filed."""
    index = FilterIndex(dict(enumerate(wanted)))
    for text in texts:
        event = read_event(text.encode())
        expected = [at for at, each in enumerate(wanted) if matches(each, view_event(event, each.paths))]
        assert sorted(index.match(event)) == expected


def test_bounds() -> None:
    """Numbers below, on, between and above the bounds of open and closed ranges find the right ones."""
    texts = ['["<",1]', '["<=",1]', '["=",1]', '[">",1]', '[">=",1]', '[">",1,"<",2]', '[">=",1,"<=",2]', '[">",2]']
    wanted = [compile_filter(f'{{"n":[{{"numeric":{text}}}]}}') for text in texts]
    index = FilterIndex(dict(enumerate(wanted)))
    for number in ("-1e308", "0.999", "1", "1.0", "1.5", "2", "2.001", "1e308"):
        event = read_event(f'{{"n":{number}}}'.encode())
        expected = [at for at, each in enumerate(wanted) if matches(each, view_event(event, each.paths))]
        assert sorted(index.match(event)) == expected


def test_equal_filters_of_many_owners() -> None:
    """Each owner is found, whoever else has the same filter."""
    index = FilterIndex({number: compile_filter(f'{{"a":[{number % 3}]}}') for number in range(9)})

    assert sorted(index.match(read_event(b'{"a":1}'))) == [1, 4, 7]
    assert index.match(read_event(b'{"a":3}')) == []
