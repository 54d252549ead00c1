"""`core.eventbridge`: entries, how they share calls, and what the answers come to."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.eventbridge import (
    CUSTOM_ENTRIES_MAX,
    ENTRIES_BYTES_MAX,
    BusForm,
    bus_name,
    detail_type,
    endpoint,
    entry_of,
    entry_statuses,
    source_name,
    split_calls,
)
from eventmill.core.retry import Verdict, judge
from eventmill.model import OrgId, Origin

BUS = "arn:aws:events:eu-west-1:123456789012:event-bus/default"
CUSTOM = BusForm("partner/developer.adobe.com/reg-1", BUS)
PARTNER = BusForm("aws.partner/developer.adobe.com/reg-1", "")
ORIGIN = Origin(OrgId("1001"), "p-1", "photoshop-job-status", "imaging", "Imaging API Events", "cloud_events_v1", "c")


def test_an_entry() -> None:
    """Source and detail type as the guide has them, the whole delivered event as detail, the time in seconds."""
    entry = entry_of(ORIGIN, 1_772_359_201_101, b'{"id":"1","type":"photoshop-job-status","n":1.00}')

    assert json.loads(CUSTOM.call_body([entry])) == {
        "Entries": [
            {
                "Time": 1_772_359_201.101,
                "Source": "partner/developer.adobe.com/reg-1",
                "Resources": [],
                "DetailType": "Imaging API Events:photoshop-job-status",
                "Detail": '{"id":"1","type":"photoshop-job-status","n":1.00}',
                "EventBusName": BUS,
            }
        ]
    }
    assert "EventBusName" not in json.loads(PARTNER.call_body([entry]))["Entries"][0]


def test_size_of_an_entry() -> None:
    """As "Calculating event size" counts: 14 bytes for the time, the rest as UTF-8."""
    origin = Origin(OrgId("1"), "p", "é", "m", "Lager", "cloud_events_v1", "c")
    entry = entry_of(origin, 1, '{"a":"ü"}'.encode())

    assert CUSTOM.entry_bytes(entry) == 14 + len(CUSTOM.source) + len("Lager:") + 2 + 10


@given(st.text(max_size=255), st.text(min_size=1, max_size=255))
def test_detail_type_is_bounded(label: str, code: str) -> None:
    """EventBridge takes 128 characters: the label is cut first, and a code is cut only when it does not fit alone."""
    made = detail_type(label, code)

    assert len(made) <= 128
    assert made == f"{label}:{code}" or len(made) == 128
    assert made.endswith(f":{code}") or len(code) > 127


@given(st.lists(st.integers(min_value=1, max_value=400), max_size=60), st.integers(min_value=1, max_value=20))
def test_calls_keep_to_both_limits(sizes: list[int], entries_max: int) -> None:
    """Every entry is in one call, in order; only an entry that is too large by itself breaks the limit, alone."""
    calls = split_calls(sizes, entries_max=entries_max, bytes_max=300)

    assert [at for call in calls for at in call] == list(range(len(sizes)))
    for call in calls:
        assert 1 <= len(call) <= entries_max
        assert sum(sizes[at] for at in call) <= 300 or len(call) == 1
    for call, following in pairwise(calls):  # no call is cut short
        assert len(call) == entries_max or sum(sizes[at] for at in (*call, following.start)) > 300


def answer(*codes: str | None) -> bytes:
    entries: list[Any] = [
        {"EventId": "1"} if code is None else {"ErrorCode": code, "ErrorMessage": "x"} for code in codes
    ]
    return json.dumps({"FailedEntryCount": sum(code is not None for code in codes), "Entries": entries}).encode()


@pytest.mark.parametrize(
    ("status", "body", "statuses"),
    [
        (200, answer(None, None, None), [200, 200, 200]),
        (200, answer(None, "ThrottlingException", "MalformedDetail"), [200, 429, 400]),
        (200, answer("InternalFailure", "InternalException", None), [500, 500, 200]),
        (200, answer("NotAuthorizedForSource", "InvalidArgument", "ServiceUnavailable"), [400, 400, 503]),
        (200, b'{"FailedEntryCount":0,"Entries":[]}', [200, 200, 200]),
        (200, b'{"FailedEntryCount":3,"Entries":[]}', [500, 500, 500]),
        (200, b"<html>hello</html>", [502, 502, 502]),
        (400, b'{"__type":"ThrottlingException","message":"Rate exceeded"}', [429, 429, 429]),
        (400, b'{"__type":"com.amazonaws.events#InternalException"}', [500, 500, 500]),
        (400, b'{"__type":"ResourceNotFoundException"}', [601, 601, 601]),
        (400, b'{"__type":"ValidationException"}', [400, 400, 400]),
        (413, b"", [413, 413, 413]),
        (503, b"<html>", [503, 503, 503]),
        (604, b"604 : Timeout", [604, 604, 604]),
    ],
)
def test_statuses_of_entries(status: int, body: bytes, statuses: list[int]) -> None:
    """Each entry by itself; the error's name decides on what may be tried again, not AWS's status."""
    assert entry_statuses(status, body, 3) == statuses


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("ThrottlingException", Verdict.RETRY),
        ("InternalFailure", Verdict.RETRY),
        ("AccessDeniedException", Verdict.RETRY),
        ("MalformedDetail", Verdict.REFUSED),
        ("SomethingNew", Verdict.REFUSED),
    ],
)
def test_what_is_tried_again(code: str, verdict: Verdict) -> None:
    """Throttling, faults of AWS and missing permissions; what is wrong with the event itself is final."""
    [status] = entry_statuses(200, answer(code), 1)

    assert judge(status) is verdict


def test_names() -> None:
    """Where events go and what they are called, in both modes and in China."""
    assert bus_name("default", "eu-west-1", "123456789012") == BUS
    assert bus_name("orders", "cn-north-1", "1" * 12) == f"arn:aws-cn:events:cn-north-1:{'1' * 12}:event-bus/orders"
    assert bus_name(BUS, "us-east-1", "1" * 12) == BUS
    assert endpoint("eu-west-1") == "https://events.eu-west-1.amazonaws.com/"
    assert endpoint("cn-north-1") == "https://events.cn-north-1.amazonaws.com.cn/"
    assert source_name("developer.adobe.com", "r", is_partner=True) == PARTNER.source.replace("reg-1", "r")
    assert source_name("developer.adobe.com", "r", is_partner=False) == CUSTOM.source.replace("reg-1", "r")


def test_limits_of_both_modes() -> None:
    """PutEvents takes 10 entries, PutPartnerEvents 20, each 256 KB in all."""
    assert (CUSTOM.operation, CUSTOM.entries_max) == ("PutEvents", CUSTOM_ENTRIES_MAX) == ("PutEvents", 10)
    assert (PARTNER.operation, PARTNER.entries_max) == ("PutPartnerEvents", 20)
    assert ENTRIES_BYTES_MAX == 256 * 1024
