"""The simulated world: repeatable, inside the schemas of its channels, and never absurd."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice, pairwise
from typing import Any
from uuid import UUID

import pytest

from eventmill.config import Config
from eventmill.core.builtin import NOTHING_BUILT_IN
from eventmill.demo.tour import SEED, SIMULATED
from eventmill.errors import StartupError
from eventmill.flow.builtin import load_builtin
from eventmill.simulate.channel import find_channels, select_channels
from eventmill.simulate.moment import TIME_MEMBER
from eventmill.simulate.world import SimulatedEvent, run_world

START_MS = 1_772_359_200_000
IMS_ORG_ID = "0123456789ABCDEF01234567@AdobeOrg"
MANY = 3000

CHANNELS = find_channels(load_builtin(Config()))


def one_of(*values: str) -> Callable[[Any], bool]:
    return lambda value: value in values


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def is_time(value: Any) -> bool:
    return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None


BODIES: dict[str, dict[str, Callable[[Any], bool]]] = {
    "experience-platform/dataset-ingestion": {
        "datasetId": is_text,
        "batchId": is_text,
        "status": one_of("success", "failed"),
        "recordCount": is_integer,
        "completedAt": is_time,
    },
    "experience-platform/profile-update": {
        "identityMap": is_object,
        "changeType": one_of("created", "updated"),
        "modifiedAt": is_time,
    },
    "experience-platform/segment-evaluation": {
        "segmentId": is_text,
        "jobId": is_text,
        "status": one_of("succeeded", "failed"),
        "profileCount": is_integer,
        "completedAt": is_time,
    },
    "analytics/report-suite-change": {
        "rsid": is_text,
        "changeType": is_text,
        "changedBy": is_text,
        "changedAt": is_time,
    },
    "campaign/delivery-status": {
        "deliveryId": is_text,
        "recipientEmail": is_text,
        "status": one_of("sent", "delivered", "bounced", "opened", "clicked"),
        "timestamp": is_time,
    },
    "campaign/workflow-execution": {
        "workflowId": is_text,
        "executionStatus": one_of("started", "completed", "failed", "paused"),
        "errorMessage": is_text,
        "timestamp": is_time,
    },
    "target/activity-state-change": {
        "activityId": is_integer,
        "activityName": is_text,
        "previousState": is_text,
        "newState": is_text,
        "changedAt": is_time,
    },
    "journey-optimizer/journey-step": {
        "journeyId": is_text,
        "journeyVersionId": is_text,
        "stepId": is_text,
        "profileId": is_text,
        "stepStatus": one_of("entered", "completed", "timedOut", "error"),
        "timestamp": is_time,
    },
}
"""The payloads as the AsyncAPI document of Adobe I/O Events has them."""


def events(count: int = MANY, seed: int = 7, channels: Iterable[str] = tuple(TIME_MEMBER)) -> list[SimulatedEvent]:
    return list(islice(run_world(seed, START_MS, tuple(channels)), count))


def bodies(channel: str) -> Iterator[dict[str, Any]]:
    return (event.body for event in events() if event.channel == channel)


def histories(channel: str, *key: str, status: str) -> list[list[str]]:
    """What became of each thing that the key members name, in order."""
    found: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for body in bodies(channel):
        found[tuple(body[member] for member in key)].append(body[status])
    return list(found.values())


def test_the_same_seed_tells_the_same_story() -> None:
    """Seed and start decide everything: ids, bodies, order."""
    assert events(500) == events(500)
    assert [event.id for event in events(500)] != [event.id for event in events(500, seed=8)]


def test_a_later_start_moves_times_only() -> None:
    """Whoever repeats a run tomorrow gets the same events, later."""
    today, tomorrow = events(200), list(islice(run_world(7, START_MS + 86_400_000, TIME_MEMBER), 200))

    assert [event.id for event in today] == [event.id for event in tomorrow]
    assert [event.time_ms + 86_400_000 for event in today] == [event.time_ms for event in tomorrow]


def test_leaving_channels_out_changes_nothing_else() -> None:
    """A run of one channel is a run of all, filtered."""
    channel = "campaign/delivery-status"
    of_all = [event for event in events() if event.channel == channel]

    assert events(len(of_all), channels=[channel]) == of_all


def test_ids_are_unique_uuids() -> None:
    """Subscribers drop repeats by id."""
    ids = [event.id for event in events()]

    assert len(set(ids)) == len(ids)
    assert all(str(UUID(event_id)) == event_id for event_id in ids)


def test_events_come_in_the_order_of_their_time() -> None:
    """The stream is one history, and its bodies tell the same times."""
    found = events()

    assert all(before.time_ms <= after.time_ms for before, after in pairwise(found))
    assert found[0].time_ms == START_MS
    for event in found:
        told = datetime.fromisoformat(event.body[TIME_MEMBER[event.channel]])
        assert round(told.timestamp() * 1000) == event.time_ms


def test_bodies_are_what_the_channels_promise() -> None:
    """Every member is there, of its type, with a value of its enumeration; nothing else is."""
    seen: defaultdict[str, int] = defaultdict(int)
    for event in events():
        expected = BODIES[event.channel]
        assert event.body.keys() == expected.keys()
        for member, is_valid in expected.items():
            assert is_valid(event.body[member]), (event.channel, member, event.body)
        seen[event.channel] += 1

    assert seen.keys() == BODIES.keys()


def test_every_value_of_an_enumeration_comes_up() -> None:
    """A subscriber can test its branches: failures, bounces, time-outs happen too."""
    found = events()
    for channel, member, values in (
        ("experience-platform/dataset-ingestion", "status", {"success", "failed"}),
        ("experience-platform/profile-update", "changeType", {"created", "updated"}),
        ("experience-platform/segment-evaluation", "status", {"succeeded", "failed"}),
        ("campaign/delivery-status", "status", {"sent", "delivered", "bounced", "opened", "clicked"}),
        ("campaign/workflow-execution", "executionStatus", {"started", "completed", "failed", "paused"}),
        ("journey-optimizer/journey-step", "stepStatus", {"entered", "completed", "timedOut", "error"}),
    ):
        assert {event.body[member] for event in found if event.channel == channel} == values


def test_mails() -> None:
    """Sent, then bounced or delivered, then perhaps opened, then perhaps clicked."""
    whole = ["sent", "delivered", "opened", "clicked"]
    for history in histories("campaign/delivery-status", "deliveryId", "recipientEmail", status="status"):
        assert history == whole[: len(history)] or history in (["sent", "bounced"], ["sent"])


def test_workflows() -> None:
    """Started, perhaps paused and started again, then completed or failed; only a failure has an error message."""
    whole = ["started", "paused", "started"]
    for history in histories("campaign/workflow-execution", "workflowId", status="executionStatus"):
        begun = history[:-1] if history[-1] in ("completed", "failed") else history
        assert begun and begun == whole[: len(begun)]
    for body in bodies("campaign/workflow-execution"):
        assert bool(body["errorMessage"]) == (body["executionStatus"] == "failed")


def test_journeys() -> None:
    """Each step is entered before it is left, and only a completed step leads to another."""
    steps: defaultdict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for body in bodies("journey-optimizer/journey-step"):
        assert body["journeyVersionId"].startswith(body["journeyId"])
        steps[body["journeyId"], body["profileId"]].append((body["stepId"], body["stepStatus"]))
    for history in steps.values():
        assert [status for _, status in history[::2]] == ["entered"] * len(history[::2])
        left = history[1::2]
        assert [step for step, _ in left] == [step for step, _ in history[::2]][: len(left)]
        assert all(status == "completed" for _, status in left[: len(history[::2]) - 1])


def test_profiles() -> None:
    """A profile is created once, before anything else happens to it; its mail goes to its own address."""
    known: dict[str, str] = {}
    for event in events():
        if event.channel == "experience-platform/profile-update":
            identity = event.body["identityMap"]
            profile = f"crm:{identity['crmid'][0]['id']}"
            assert (event.body["changeType"] == "created") == (profile not in known)
            known[profile] = identity["email"][0]["id"]
        elif event.channel == "journey-optimizer/journey-step":
            assert event.body["profileId"] in known
        elif event.channel == "campaign/delivery-status":
            assert event.body["recipientEmail"] in known.values()


def test_mail_addresses_reach_nobody() -> None:
    """All are in a domain reserved for examples (RFC 2606)."""
    text = json.dumps([event.body for event in events()])

    assert text.count("@") == text.count("@example.com")


def test_activities() -> None:
    """An activity leaves the state it was in."""
    found: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for body in bodies("target/activity-state-change"):
        found[body["activityId"]].append((body["previousState"], body["newState"]))
    for changes in found.values():
        assert changes[0][0] == "draft"
        assert all(before[1] == after[0] for before, after in pairwise(changes))


def test_batches() -> None:
    """A batch id is used once; audiences are evaluated only after a batch was written."""
    ids = [body["batchId"] for body in bodies("experience-platform/dataset-ingestion")]
    assert len(set(ids)) == len(ids)
    written: set[str] = set()
    for event in events():
        if event.channel == "experience-platform/dataset-ingestion" and event.body["status"] == "success":
            written.add(event.story)
        elif event.channel == "experience-platform/segment-evaluation":
            assert event.story in written


def test_the_published_event() -> None:
    """Source, type, header and body are those of the catalogue's provider, code and schema."""
    channel = CHANNELS["experience-platform/dataset-ingestion"]
    event = next(run_world(7, START_MS, [channel.name]))

    assert json.loads(channel.cloud_event(event, IMS_ORG_ID)) == {
        "specversion": "1.0",
        "id": event.id,
        "source": "urn:uuid:ff15757e-dc59-543c-b3ef-25a3025279cd",
        "type": "com.adobe.experience-platform.dataset-ingestion",
        "datacontenttype": "application/json",
        "data": {
            "header": {
                "eventType": "com.adobe.experience-platform.dataset-ingestion",
                "imsOrgId": IMS_ORG_ID,
                "source": "urn:example:acme:datalake",
            },
            "body": event.body,
        },
    }


@pytest.mark.parametrize(
    ("channel", "members"),
    [
        ("experience-platform/profile-update", {"eventType", "imsOrgId"}),
        ("campaign/delivery-status", {"eventType"}),
    ],
)
def test_headers_have_the_members_of_their_channel(channel: str, members: set[str]) -> None:
    """Not every channel names its organisation."""
    event = next(run_world(7, START_MS, [channel]))

    assert json.loads(CHANNELS[channel].cloud_event(event, IMS_ORG_ID))["data"]["header"].keys() == members


def test_all_eight_channels_can_be_simulated() -> None:
    """The catalogue that comes with the package has them."""
    assert CHANNELS.keys() == BODIES.keys()


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ([], set(BODIES)),
        (["campaign"], {"campaign/delivery-status", "campaign/workflow-execution"}),
        (["campaign/"], {"campaign/delivery-status", "campaign/workflow-execution"}),
        (
            ["target/activity-state-change", "analytics"],
            {"target/activity-state-change", "analytics/report-suite-change"},
        ),
        (["campaign", "campaign/delivery-status"], {"campaign/delivery-status", "campaign/workflow-execution"}),
    ],
)
def test_channels_by_name_or_family(asked: list[str], chosen: set[str]) -> None:
    """A channel, or the part before its slash."""
    assert select_channels(CHANNELS, asked).keys() == chosen


@pytest.mark.parametrize("asked", ["camp", "nothing", "campaign/delivery", ""])
def test_an_unknown_channel_is_answered_with_the_known_ones(asked: str) -> None:
    """A slip is seen at once, with what could have been meant."""
    with pytest.raises(StartupError) as refused:
        select_channels(CHANNELS, ["campaign", asked])

    assert repr(asked) in str(refused.value)
    assert all(channel in str(refused.value) for channel in BODIES)


def test_a_catalogue_without_these_channels_is_refused() -> None:
    """With the catalogue switched off there is nothing to simulate."""
    with pytest.raises(StartupError, match="EVENTMILL_CATALOG"):
        find_channels(NOTHING_BUILT_IN)


def test_the_demo_shows_every_channel() -> None:
    """The few events of the demo come from all of them."""
    assert {event.channel for event in events(SIMULATED, SEED)} == BODIES.keys()
