"""The audit trail of events with protected health information. An addition of ours."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventmill.flow.actions import KEPT_PER_ORG
from eventmill.web.actions import LISTED, ChangeList, list_changes
from eventmill.web.endpoint import Endpoint, Group, Operation, Parameter, json_answer
from eventmill.web.phi_audit import RECORDS_MAX, AuditPage, get_phi_audit

_Text = Annotated[str, msgspec.Meta(extra_json_schema={"examples": ["2026-03-01T10:00:00Z"]})]
_Number = Annotated[int, msgspec.Meta(ge=0)]

AUDIT = Group(
    tag="Audit",
    about="Who changed what; and what became of events with protected health information (`x-event-phidata: true`), "
    "without their payloads.",
    for_callers=(
        Endpoint(
            "GET",
            "/events/{org}/phi-audit",
            get_phi_audit,
            Operation(
                "getPhiAudit",
                "Read the audit trail of an organization",
                (json_answer(AuditPage, 200, "Cache-Control"),),
                (
                    Parameter("from", _Text, "Only what happened then or later: a date or an RFC 3339 time."),
                    Parameter("to", _Text, "Only what happened before then."),
                    Parameter("after", _Number, "Only what comes after this record: `next` of the page before."),
                    Parameter("limit", _Number, f"So many records at most; cut to {RECORDS_MAX}."),
                ),
                about="Kept for a year. An addition to the Adobe API.",
            ),
        ),
        Endpoint(
            "GET",
            "/events/{org}/changes",
            list_changes,
            Operation(
                "listChanges",
                "List who changed what in an organization",
                (json_answer(ChangeList),),
                (
                    Parameter("after", str, "Only what is older than this change: `next` of the page before."),
                    Parameter(
                        "limit",
                        Annotated[int, msgspec.Meta(ge=1, le=KEPT_PER_ORG)],
                        f"So many changes at most; {LISTED} unless given.",
                    ),
                ),
                about="Changes made by the management API and in the console; the newest thousand, for 90 days. An "
                "addition to the Adobe API.",
            ),
        ),
    ),
)
