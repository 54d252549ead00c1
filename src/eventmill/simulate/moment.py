"""What a story tells: something happens on a channel, some time after what happened before."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec

DATASET_INGESTION = "experience-platform/dataset-ingestion"
PROFILE_UPDATE = "experience-platform/profile-update"
SEGMENT_EVALUATION = "experience-platform/segment-evaluation"
REPORT_SUITE_CHANGE = "analytics/report-suite-change"
DELIVERY_STATUS = "campaign/delivery-status"
WORKFLOW_EXECUTION = "campaign/workflow-execution"
ACTIVITY_STATE_CHANGE = "target/activity-state-change"
JOURNEY_STEP = "journey-optimizer/journey-step"

TIME_MEMBER = {
    DATASET_INGESTION: "completedAt",
    PROFILE_UPDATE: "modifiedAt",
    SEGMENT_EVALUATION: "completedAt",
    REPORT_SUITE_CHANGE: "changedAt",
    DELIVERY_STATUS: "timestamp",
    WORKFLOW_EXECUTION: "timestamp",
    ACTIVITY_STATE_CHANGE: "changedAt",
    JOURNEY_STEP: "timestamp",
}
"""Every channel, and how its body calls the time at which it happened."""


class Moment(msgspec.Struct, frozen=True):
    after_s: float
    """Since the moment before, in the same story."""
    channel: str
    body: dict[str, Any]
    """Members of `event.body`, without the time: that is the world's."""


Story = Iterator[Moment]


def wait_s(dice: Random, typical_s: float) -> float:
    """Most waits are shorter than the typical one, a few are several times as long."""
    return min(dice.expovariate(1 / typical_s), 8 * typical_s)
