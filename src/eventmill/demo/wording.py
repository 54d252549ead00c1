"""What an event says, in a few words: the channel it is from, and what happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from eventmill.simulate.moment import (
    ACTIVITY_STATE_CHANGE,
    DATASET_INGESTION,
    DELIVERY_STATUS,
    JOURNEY_STEP,
    PROFILE_UPDATE,
    REPORT_SUITE_CHANGE,
    SEGMENT_EVALUATION,
    WORKFLOW_EXECUTION,
)

Body = dict[str, Any]

_WORDS: dict[str, Callable[[Body], str]] = {
    DATASET_INGESTION: lambda b: f"{b['datasetId']}: {b['status']}, {b['recordCount']:,} records",
    PROFILE_UPDATE: lambda b: f"crm:{b['identityMap']['crmid'][0]['id']} {b['changeType']}",
    SEGMENT_EVALUATION: lambda b: f"{b['segmentId']}: {b['status']}, {b['profileCount']:,} profiles",
    REPORT_SUITE_CHANGE: lambda b: f"{b['rsid']}: {b['changeType']} by {b['changedBy'].partition('@')[0]}",
    DELIVERY_STATUS: lambda b: f"{b['deliveryId']} {b['status']}, {b['recipientEmail']}",
    WORKFLOW_EXECUTION: lambda b: f"{b['workflowId']} {b['executionStatus']}",
    ACTIVITY_STATE_CHANGE: lambda b: f"{b['activityName']}: {b['previousState']} → {b['newState']}",
    JOURNEY_STEP: lambda b: f"{b['profileId']} {b['stepStatus']} {b['stepId']}",
}


def describe(event: dict[str, Any], channel_by_code: Mapping[str, str]) -> tuple[str, str]:
    """Channel, or type of a custom event, and what happened. `event` is what a webhook or a journal gives."""
    said = payload(event)
    header, body = (said.get("header"), said.get("body")) if isinstance(said, dict) else (None, None)
    if not isinstance(header, dict) or not isinstance(body, dict):
        return str(event.get("type", "an event")), _compact(said)
    channel = channel_by_code.get(str(header.get("eventType")), "")
    try:
        return channel, _WORDS[channel](body)
    except (KeyError, IndexError, TypeError, ValueError):  # every member is optional
        return channel or "an event", _compact(body)


def payload(event: dict[str, Any]) -> Any:
    """What the publisher said: inside the `adobe_io` envelope, `data` of a CloudEvent, or bare in a journal."""
    return event["event"] if "event" in event else event["data"] if "specversion" in event else event


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
