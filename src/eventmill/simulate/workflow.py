"""A run of a workflow: started, perhaps paused and resumed, then completed or failed."""

from __future__ import annotations

from random import Random

from eventmill.simulate.moment import WORKFLOW_EXECUTION, Moment, Story, wait_s

_PAUSES = 0.2
_FAILS = 0.15

_KINDS = ("nightly-import", "newsletter", "cleanup", "birthday", "lead-export")
_ERRORS = (
    "External account 'sftp-crm' did not answer within 30 s",
    "Query of activity 'enrichment' returned no rows",
    "Disk quota of the export folder is exhausted",
)


def tell_workflow(dice: Random, number: int) -> Story:
    workflow = f"wkf-{dice.choice(_KINDS)}-{number}"

    def execution(after_s: float, status: str, error: str = "") -> Moment:
        body = {"workflowId": workflow, "executionStatus": status, "errorMessage": error}
        return Moment(after_s, WORKFLOW_EXECUTION, body)

    yield execution(0, "started")
    if dice.random() < _PAUSES:
        yield execution(5 + wait_s(dice, 30), "paused")
        yield execution(30 + wait_s(dice, 300), "started")
    if dice.random() < _FAILS:
        yield execution(5 + wait_s(dice, 60), "failed", dice.choice(_ERRORS))
    else:
        yield execution(10 + wait_s(dice, 90), "completed")
