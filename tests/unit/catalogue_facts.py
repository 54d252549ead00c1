"""The facts of the built-in catalogue, written down once more so that the product can be compared with them."""

from __future__ import annotations

from typing import Any, NamedTuple

STRING = {"type": "string"}
TIME = {"type": "string", "format": "date-time"}
INTEGER = {"type": "integer"}
OBJECT = {"type": "object"}


def one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


class ChannelFacts(NamedTuple):
    channel: str
    message: str
    """Its operation is `on` and this; its title is this with blanks; its payload ends in Payload instead of Event."""
    title: str
    tags: tuple[str, str]
    header: tuple[str, ...]
    """All strings."""
    body: dict[str, dict[str, Any]]

    @property
    def code(self) -> str:
        return "com.adobe." + self.channel.replace("/", ".")

    @property
    def operation(self) -> str:
        return f"on{self.message}"

    @property
    def payload(self) -> str:
        return self.message.removesuffix("Event") + "Payload"

    @property
    def header_schema(self) -> dict[str, Any]:
        return {"type": "object", "properties": dict.fromkeys(self.header, STRING)}

    @property
    def body_schema(self) -> dict[str, Any]:
        return {"type": "object", "properties": self.body}


CHANNELS = (
    ChannelFacts(
        "experience-platform/dataset-ingestion",
        "DatasetIngestionEvent",
        "Dataset Ingestion Event",
        ("Experience Platform", "Data Ingestion"),
        ("eventType", "imsOrgId", "source"),
        {
            "datasetId": STRING,
            "batchId": STRING,
            "status": one_of("success", "failed"),
            "recordCount": INTEGER,
            "completedAt": TIME,
        },
    ),
    ChannelFacts(
        "experience-platform/profile-update",
        "ProfileUpdateEvent",
        "Profile Update Event",
        ("Experience Platform", "Profiles"),
        ("eventType", "imsOrgId"),
        {"identityMap": OBJECT, "changeType": one_of("created", "updated"), "modifiedAt": TIME},
    ),
    ChannelFacts(
        "experience-platform/segment-evaluation",
        "SegmentEvaluationEvent",
        "Segment Evaluation Event",
        ("Experience Platform", "Segmentation"),
        ("eventType",),
        {
            "segmentId": STRING,
            "jobId": STRING,
            "status": one_of("succeeded", "failed"),
            "profileCount": INTEGER,
            "completedAt": TIME,
        },
    ),
    ChannelFacts(
        "analytics/report-suite-change",
        "ReportSuiteChangeEvent",
        "Report Suite Change Event",
        ("Analytics", "Configuration"),
        ("eventType",),
        {"rsid": STRING, "changeType": STRING, "changedBy": STRING, "changedAt": TIME},
    ),
    ChannelFacts(
        "campaign/delivery-status",
        "DeliveryStatusEvent",
        "Delivery Status Event",
        ("Campaign", "Delivery"),
        ("eventType",),
        {
            "deliveryId": STRING,
            "recipientEmail": STRING,
            "status": one_of("sent", "delivered", "bounced", "opened", "clicked"),
            "timestamp": TIME,
        },
    ),
    ChannelFacts(
        "campaign/workflow-execution",
        "WorkflowExecutionEvent",
        "Workflow Execution Event",
        ("Campaign", "Workflows"),
        ("eventType",),
        {
            "workflowId": STRING,
            "executionStatus": one_of("started", "completed", "failed", "paused"),
            "errorMessage": STRING,
            "timestamp": TIME,
        },
    ),
    ChannelFacts(
        "target/activity-state-change",
        "ActivityStateChangeEvent",
        "Activity State Change Event",
        ("Target", "Activities"),
        ("eventType",),
        {
            "activityId": INTEGER,
            "activityName": STRING,
            "previousState": STRING,
            "newState": STRING,
            "changedAt": TIME,
        },
    ),
    ChannelFacts(
        "journey-optimizer/journey-step",
        "JourneyStepEvent",
        "Journey Step Event",
        ("Journey Optimizer", "Journeys"),
        ("eventType",),
        {
            "journeyId": STRING,
            "journeyVersionId": STRING,
            "stepId": STRING,
            "profileId": STRING,
            "stepStatus": one_of("entered", "completed", "timedOut", "error"),
            "timestamp": TIME,
        },
    ),
)


class ProviderFacts(NamedTuple):
    id: str
    family: str
    label: str
    group: str
    channels: tuple[ChannelFacts, ...]


PROVIDERS = (
    ProviderFacts(
        "ff15757e-dc59-543c-b3ef-25a3025279cd",
        "aec_experience_platform",
        "Adobe Experience Platform",
        "Experience Platform",
        CHANNELS[:3],
    ),
    ProviderFacts(
        "2aecfc2e-95ef-58c3-82f5-956a7650b1ec", "aec_analytics", "Adobe Analytics", "Experience Cloud", CHANNELS[3:4]
    ),
    ProviderFacts(
        "bfcd03aa-b321-56f9-ba35-eb1700c06ffc", "aec_campaign", "Adobe Campaign", "Experience Cloud", CHANNELS[4:6]
    ),
    ProviderFacts(
        "9e827682-ba57-5a41-ac4d-5b9a2bd40566", "aec_target", "Adobe Target", "Experience Cloud", CHANNELS[6:7]
    ),
    ProviderFacts(
        "6accdb9b-3e10-5ee1-bd95-0846864ea57a",
        "aec_journey_optimizer",
        "Adobe Journey Optimizer",
        "Experience Cloud",
        CHANNELS[7:],
    ),
)
