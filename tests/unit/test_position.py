"""`eventmill.core.position`: positions as text, and the rules for the parameters of a journal request."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.position import (
    JournalQuery,
    Position,
    check_position,
    format_position,
    parse_position,
    read_query,
)
from eventmill.errors import GatewayError, Reason

LIMIT_MAX = 1000
NUMBERS = st.integers(0, 10**18 - 1)


def refusal_of(*pairs: tuple[str, str]) -> str:
    with pytest.raises(GatewayError) as caught:
        read_query(pairs, LIMIT_MAX)
    assert caught.value.reason is Reason.INVALID_PARAMETER
    return caught.value.message


@given(generation=NUMBERS, shard=st.integers(0, 10**9 - 1), day=st.integers(0, 99991231), seq=NUMBERS)
def test_positions_survive_their_text(generation: int, shard: int, day: int, seq: int) -> None:
    """Format and parse are inverse, and the text needs no escaping in URLs and is at most 200 characters."""
    position = Position(generation, shard, day, seq)
    text = format_position(position)

    assert parse_position(text) == position
    assert re.fullmatch(r"[A-Za-z0-9:._-]{1,200}", text)


def test_position_text_form() -> None:
    """Clients must not rely on it, but logs and support do."""
    assert format_position(Position(2, 0, 20260301, 77)) == "1.2.0.20260301.77"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "latest",
        "1.1.0.20260301",
        "1.1.0.20260301.7.",
        "1.1.0.20260301.7\n",
        " 1.1.0.20260301.7",
        "2.1.0.20260301.7",
        "1.1.0.20260301.-7",
        "1.1.0.20260301.07",
        "1.1.0.2026031.7",
        "1.01.0.20260301.7",
        "1.1.0.20260301.\u0667",
        "1.1.0.20260301." + "9" * 19,
        "rabbit:27264e8c-8a13-4d82-be9d-f366af460d5a",
        "x" * 10_000,
    ],
)
def test_other_texts_are_no_positions(text: str) -> None:
    """Only the canonical form is accepted; the message shows what came, cut to a bearable length."""
    with pytest.raises(GatewayError) as caught:
        parse_position(text)
    assert caught.value.reason is Reason.INVALID_POSITION
    assert caught.value.message.endswith("is not a journal position") and len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        (Position(3, 0, 20260301, 100), None),
        (Position(3, 0, 20260301, 0), None),
        (Position(3, 0, 20260301, 101), Reason.INVALID_POSITION),
        (Position(3, 1, 20260301, 7), Reason.INVALID_POSITION),
        (Position(4, 0, 20260301, 7), Reason.INVALID_POSITION),
        (Position(2, 1, 20260301, 7), Reason.INVALID_POSITION),
        (Position(2, 0, 20260301, 7), Reason.POSITION_EXPIRED),
        (Position(2, 0, 20260301, 900), Reason.POSITION_EXPIRED),
    ],
)
def test_check_against_the_head(position: Position, reason: Reason | None) -> None:
    """Good up to the head; expired when older than the last reset; invalid when this journal never gave it."""
    found = None
    try:
        check_position(position, generation=3, shard=0, head_seq=100)
    except GatewayError as error:
        found = error

    assert (found and found.reason) is reason
    assert found is None or format_position(position) in found.message


@pytest.mark.parametrize(
    ("pairs", "query"),
    [
        ((), JournalQuery()),
        ((("limit", "5"),), JournalQuery(limit=5)),
        ((("since", "P"),), JournalQuery(since="P")),
        ((("since", "P"), ("since", "P")), JournalQuery(since="P")),
        ((("since", "P"), ("latest", "true")), JournalQuery(since="P")),
        ((("latest", "true"), ("limit", "3")), JournalQuery(latest=True, limit=3)),
        ((("latest", "TRUE"),), JournalQuery(latest=True)),
        ((("latest", "false"),), JournalQuery()),
        ((("latest", "true"), ("latest", "false")), JournalQuery()),
        ((("limit", "7"), ("limit", "9")), JournalQuery(limit=9)),
        ((("limit", "nonsense"), ("limit", "9")), JournalQuery(limit=9)),
        ((("limit", "007"),), JournalQuery(limit=7)),
        ((("limit", "1001"),), JournalQuery(limit=LIMIT_MAX)),
        ((("limit", "9" * 5000),), JournalQuery(limit=LIMIT_MAX)),
        ((("seek", "-PT2H"), ("limit", "1")), JournalQuery(seek_ms=7_200_000, limit=1)),
        ((("seek", "-PT2H"), ("seek", "-PT2H"), ("latest", "false")), JournalQuery(seek_ms=7_200_000)),
        ((("unknown", "1"), ("unknown", "2"), ("Since", "x")), JournalQuery()),
    ],
)
def test_accepted_parameters(pairs: tuple[tuple[str, str], ...], query: JournalQuery) -> None:
    """What a request asks for, for every combination that is allowed."""
    assert read_query(pairs, LIMIT_MAX) == query


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ((("since", "P"), ("seek", "-PT1H")), "seek: cannot be used together with since"),
        ((("since", "P"), ("seek", "-PT1H"), ("latest", "true")), "seek: cannot be used together with since"),
        ((("seek", "-PT1H"), ("latest", "true")), "seek: cannot be used together with latest=true"),
        ((("since", "P"), ("since", "Q")), "since: is given twice with different values"),
        ((("seek", "-PT1H"), ("seek", "-PT2H")), "seek: is given twice with different values"),
        ((("latest", "yes"),), "latest: must be true or false, but is 'yes'"),
        ((("latest", ""),), "latest: must be true or false, but is ''"),
        ((("limit", "0"),), "limit: must be a positive integer, but is '0'"),
        ((("limit", ""),), "limit: must be a positive integer, but is ''"),
        ((("limit", "-1"),), "limit: must be a positive integer, but is '-1'"),
        ((("limit", "1.5"),), "limit: must be a positive integer, but is '1.5'"),
        ((("limit", "\u0663"),), "limit: must be a positive integer, but is '\u0663'"),
        ((("limit", "3"), ("limit", "x")), "limit: must be a positive integer, but is 'x'"),
    ],
)
def test_refused_parameters(pairs: tuple[tuple[str, str], ...], message: str) -> None:
    """Contradictions and nonsense are refused by name."""
    assert refusal_of(*pairs) == message


@pytest.mark.parametrize(
    ("duration", "milliseconds"),
    [
        ("-PT2H", 7_200_000),
        ("-P1D", 86_400_000),
        ("-P5DT2H", 439_200_000),
        ("-P2W", 14 * 86_400_000),
        ("-P1Y2M3DT4H5M6S", ((365 + 60 + 3) * 24 * 3600 + 4 * 3600 + 5 * 60 + 6) * 1000),
        ("-PT0.5S", 500),
        ("-PT1,25S", 1250),
        ("-PT90M", 5_400_000),
        ("-P0DT1S", 1000),
    ],
)
def test_durations(duration: str, milliseconds: int) -> None:
    """ISO 8601 durations back from now; months have 30 days and years 365."""
    assert read_query([("seek", duration)], LIMIT_MAX).seek_ms == milliseconds


@pytest.mark.parametrize(
    "duration",
    [
        *("PT2H", "+PT2H", "-2H", "-pt2h", "-PT2H ", "-P-1D", "", "-P", "-PT", "-P1DT", "-PT2"),
        *("-PT0S", "-P0D", "-PT0.0001S"),
        *("-P1H", "-PT1D", "-P1W1D", "-PT1.5H", "-PT1M1H", "-PT\u0661S", "-P" + "9" * 5000 + "D"),
    ],
)
def test_refused_durations(duration: str) -> None:
    """Positive, zero, malformed and endless ones."""
    assert refusal_of(("seek", duration)).startswith(
        "seek: must be a negative ISO 8601 duration such as -PT2H, but is "
    )


@given(ago=st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=9000)))
def test_any_time_ago_can_be_asked_for(ago: timedelta) -> None:
    """Days and seconds, as most libraries write a duration."""
    whole = timedelta(days=ago.days, seconds=ago.seconds)

    assert read_query([("seek", f"-P{ago.days}DT{ago.seconds}S")], LIMIT_MAX).seek_ms == whole.total_seconds() * 1000
