"""`eventmill.core.envelope`: the joined bytes are the JSON that the guides show, and the publisher's bytes stay."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.cloudevent import Published, parse_structured
from eventmill.core.envelope import (
    JournalRun,
    bare_data,
    cut_adobe_io,
    cut_cloud_event,
    empty_page,
    fit_batch,
    fit_page,
    format_time,
    journal_page,
    recipient_suffix,
    webhook_body,
)

EVENT_ID = "0195512f-3a6b-7d5e-8f00-1234567890ab"
NOW_MS = 1_772_359_201_123
CLIENT_ID = "5c1d0000000000000000000000000000"
DATA = '{"sku" : "A1","n":1.50}'


def published(more: str = ',"specversion":"1.0","time":"2026-03-01T10:00:00Z"', data: str = DATA) -> Published:
    return parse_structured(f'{{"id":"1","source":"urn:uuid:p","type":"t"{more},"data":{data}}}'.encode())


def delivered(body: bytes, *, legacy_fields: bool = True) -> Any:
    return json.loads(webhook_body([body], recipient_suffix(CLIENT_ID, legacy_fields), batch=False))


def test_cloud_event_gets_all_four_recipient_fields() -> None:
    """Both spellings of event id and recipient, behind the untouched bytes of the publisher."""
    body = cut_cloud_event(published(), EVENT_ID, NOW_MS)
    suffix = recipient_suffix(CLIENT_ID, True)

    assert webhook_body([body], suffix, batch=False) == (
        b'{"id":"1","source":"urn:uuid:p","type":"t","specversion":"1.0","time":"2026-03-01T10:00:00Z","data":'
        + DATA.encode()
        + f',"eventid":"{EVENT_ID}","event_id":"{EVENT_ID}"'.encode()
        + f',"recipient_client_id":"{CLIENT_ID}","recipientclientid":"{CLIENT_ID}"}}'.encode()
    )


def test_legacy_spellings_can_be_left_out() -> None:
    """Without `legacy_fields` only the spellings that CloudEvents allows remain, in both formats."""
    cloud_event = delivered(cut_cloud_event(published(), EVENT_ID, NOW_MS, legacy_fields=False), legacy_fields=False)
    envelope = delivered(cut_adobe_io(published(), EVENT_ID, legacy_fields=False), legacy_fields=False)

    assert {"event_id", "recipient_client_id"}.isdisjoint(cloud_event.keys() | envelope.keys())
    assert (cloud_event["eventid"], cloud_event["recipientclientid"]) == (EVENT_ID, CLIENT_ID)
    assert envelope == {"eventid": EVENT_ID, "event": json.loads(DATA), "recipientclientid": CLIENT_ID}


@pytest.mark.parametrize("absent", ["", ',"time":null,"specversion":null'])
def test_missing_time_and_version_are_added(absent: str) -> None:
    """The arrival time in RFC 3339 with milliseconds, and version 1.0."""
    event = delivered(cut_cloud_event(published(absent), EVENT_ID, NOW_MS))

    assert (event["time"], event["specversion"]) == ("2026-03-01T10:00:01.123Z", "1.0")


def test_given_time_and_version_stay() -> None:
    """What the publisher gave is not repeated."""
    body = cut_cloud_event(published(), EVENT_ID, NOW_MS)

    assert (body.count(b'"time"'), body.count(b'"specversion"')) == (1, 1)


def test_phi_marker_is_a_json_boolean() -> None:
    """Only when flagged, and never the publisher's own."""
    flagged = delivered(cut_cloud_event(published(',"phidata":"no"'), EVENT_ID, NOW_MS, phidata=True))

    assert flagged["phidata"] is True
    assert "phidata" not in delivered(cut_cloud_event(published(',"phidata":true'), EVENT_ID, NOW_MS))


def test_publishers_recipient_fields_are_replaced() -> None:
    """An event that already names ids and recipients is delivered with the gateway's."""
    forged = ',"eventid":"x","event_id":{"a":1},"recipientclientid":"y","recipient_client_id":["y"]'

    event = delivered(cut_cloud_event(published(forged), EVENT_ID, NOW_MS))

    assert {event["eventid"], event["event_id"]} == {EVENT_ID}
    assert {event["recipientclientid"], event["recipient_client_id"]} == {CLIENT_ID}


@pytest.mark.parametrize("data", [DATA, "null", "7", '"x"', "[ 1 ]"])
def test_adobe_io_envelope_and_its_journal_form(data: str) -> None:
    """The webhook gets the envelope around `data`, the journal the bare `data`, both byte by byte."""
    body = cut_adobe_io(published(data=data), EVENT_ID)

    assert body.endswith(b'"event":' + data.encode())
    assert bare_data(body) == data.encode()
    assert delivered(body) == {
        "event_id": EVENT_ID,
        "eventid": EVENT_ID,
        "event": json.loads(data),
        "recipient_client_id": CLIENT_ID,
        "recipientclientid": CLIENT_ID,
    }


def test_adobe_io_event_without_data_is_null() -> None:
    """There is nothing else to put in the envelope."""
    body = cut_adobe_io(parse_structured(b'{"id":"1","source":"s","type":"t"}'), EVENT_ID)

    assert bare_data(body) == b"null"


def test_client_id_is_escaped() -> None:
    """Whatever characters a client id has, the result is JSON."""
    body = webhook_body([b'{"a":1'], recipient_suffix('a"%d\\', True), batch=False)

    assert json.loads(body)["recipientclientid"] == 'a"%d\\'


def test_batch_is_an_array_of_the_single_bodies() -> None:
    """A batch of one is an array too, and formats may be mixed."""
    bodies = [cut_cloud_event(published(), EVENT_ID, NOW_MS), cut_adobe_io(published(), EVENT_ID)]
    suffix = recipient_suffix(CLIENT_ID, True)
    singles = [webhook_body([body], suffix, batch=False) for body in bodies]

    assert webhook_body(bodies, suffix, batch=True) == b"[" + b",".join(singles) + b"]"
    assert webhook_body(bodies[:1], suffix, batch=True) == b"[" + singles[0] + b"]"


@given(sizes=st.lists(st.integers(2, 50), max_size=30), events_max=st.integers(1, 25), bytes_max=st.integers(1, 400))
def test_batch_takes_what_fits(sizes: list[int], events_max: int, bytes_max: int) -> None:
    """As many as the two limits allow, counted on the real array, and at least one."""
    count = fit_batch(sizes, events_max=events_max, bytes_max=bytes_max)

    def array_bytes(taken: int) -> int:
        return len(webhook_body([b"x" * (size - 1) for size in sizes[:taken]], b"}", batch=True))

    assert 0 <= count <= min(len(sizes), events_max)
    assert count <= 1 or array_bytes(count) <= bytes_max
    assert count == min(len(sizes), events_max) or count == 0 or array_bytes(count + 1) > bytes_max
    assert count > 0 or not sizes


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (NOW_MS, "2026-03-01T10:00:01.123Z"), (NOW_MS - 123, "2026-03-01T10:00:01.000Z")],
)
def test_times_have_milliseconds(ms: int, text: str) -> None:
    """Always three digits and Z."""
    assert format_time(ms) == text


def runs_of(count: int, *, body: bytes = b'{"a":"100%"', suffix: bytes = b',"r":"50%d"}') -> list[JournalRun]:
    """`count` events over two days, then one bare one."""
    half = count // 2
    return [
        JournalRun("1.1.0.20260301.", list(range(1, 1 + half)), [body] * half, suffix),
        JournalRun("1.1.0.20260302.", list(range(1 + half, 1 + count)), [body] * (count - half), suffix),
        JournalRun("1.1.0.20260302.", [1000], [b'{"bare":"%s"}'], b""),
    ]


def test_journal_page_of_mixed_runs() -> None:
    """Entries in order with position and event; `_page` has the last position and the count; % signs are no format."""
    page = json.loads(journal_page(runs_of(4)))

    assert [entry["position"].split(".", 3)[3] for entry in page["events"]] == [
        "20260301.1",
        "20260301.2",
        "20260302.3",
        "20260302.4",
        "20260302.1000",
    ]
    assert page["events"][0]["event"] == {"a": "100%", "r": "50%d"}
    assert page["events"][4]["event"] == {"bare": "%s"}
    assert page["_page"] == {"last": "1.1.0.20260302.1000", "count": 5}


def test_journal_page_of_one_entry() -> None:
    """The smallest page, byte by byte."""
    page = journal_page([JournalRun("1.2.3.20260301.", [7], [b'{"a":1'], b',"b":2}')])

    assert page == (
        b'{"events":[{"position":"1.2.3.20260301.7","event":{"a":1,"b":2}}],'
        b'"_page":{"last":"1.2.3.20260301.7","count":1}}'
    )


def test_empty_page() -> None:
    """The same shape without entries."""
    assert json.loads(empty_page("1.1.0.20260301.5")) == {
        "events": [],
        "_page": {"last": "1.1.0.20260301.5", "count": 0},
    }


def take(runs: list[JournalRun], count: int) -> list[JournalRun]:
    """The first `count` entries."""
    taken = []
    for run in runs:
        part = min(count, len(run.seqs))
        count -= part
        if part:
            taken.append(JournalRun(run.position_prefix, run.seqs[:part], run.bodies[:part], run.suffix))
    return taken


@given(count=st.integers(2, 24), bytes_max=st.integers(1, 3000))
def test_fit_page_is_exact(count: int, bytes_max: int) -> None:
    """One entry more would exceed the limit by at least a byte; one entry is always let through."""
    runs = runs_of(count)
    fitting = fit_page(runs, bytes_max)

    assert 1 <= fitting <= count + 1
    assert fitting == 1 or len(journal_page(take(runs, fitting))) <= bytes_max
    assert fitting == count + 1 or len(journal_page(take(runs, fitting + 1))) > bytes_max
