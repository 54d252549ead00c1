"""Event registrations ("Registration API") and their debug traces ("Debug Tracing")."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventmill.errors import Reason
from eventmill.web import insight, isv, registration_health, registration_reads, registrations, validation
from eventmill.web.bodies import RegistrationBody, RegistrationCollection, RegistrationPage
from eventmill.web.endpoint import (
    NO_CONTENT,
    PATCH,
    TEXT,
    Answer,
    Endpoint,
    Group,
    Operation,
    Parameter,
    RequestBody,
    hal_answer,
    json_answer,
)
from eventmill.web.endpoints.parameters import WORKSPACE
from eventmill.web.forms import RegistrationCreate, RegistrationUpdate
from eventmill.web.registration_health import RegistrationHealthBody
from eventmill.web.registration_reads import PAGE_SIZE, PAGE_SIZE_MAX
from eventmill.web.shapes import TracingRequestResponse, ValidApp

_REGISTRATION = WORKSPACE + "/registrations/{registration}"

_EXAMPLE = {
    "name": "Stock to ERP",
    "events_of_interest": [{"provider_id": "6f0d2a4e-58a9-4a33-8e8a-51d6e9f1a001", "event_code": "com.acme.stock.low"}],
    "delivery_type": "webhook",
    "webhook_url": "https://erp.example/hook",
}
_REFUSALS = (
    Reason.UNKNOWN_EVENT,
    Reason.INVALID_FILTER,
    Reason.INCOMPATIBLE_FILTER,
    Reason.CONFLICT,
    Reason.STALE_VERSION,
    Reason.EGRESS_PROXY_FAILED,
)
_PAGE_ABOUT = "Counted from 0; one that does not exist is 400."

REGISTRATIONS = Group(
    tag="Registrations",
    about="Who gets which events, and how.",
    for_callers=(
        Endpoint(
            "GET",
            "/events/{org}/registrations",
            registration_reads.page_registrations,
            Operation(
                "getAllRegistrationsForOrg",
                "List the registrations of an organization in pages",
                (hal_answer(RegistrationPage),),
                (
                    Parameter("page", Annotated[int, msgspec.Meta(ge=0, le=999_999_999)], _PAGE_ABOUT),
                    Parameter(
                        "size",
                        Annotated[int, msgspec.Meta(ge=1, le=PAGE_SIZE_MAX)],
                        f"Registrations per page; {PAGE_SIZE} unless given.",
                    ),
                ),
            ),
        ),
        Endpoint(
            "GET",
            WORKSPACE + "/registrations",
            registration_reads.list_registrations,
            Operation(
                "getAllRegistrationsForWorkspace",
                "List the registrations of a workspace",
                (hal_answer(RegistrationCollection),),
            ),
        ),
        Endpoint(
            "POST",
            WORKSPACE + "/registrations",
            registrations.create_registration,
            Operation(
                "createRegistration",
                "Create a registration",
                (hal_answer(RegistrationBody, 201),),
                bodies=(RequestBody(RegistrationCreate, example=_EXAMPLE | {"client_id": "5c1d0000000000000001"}),),
                refusals=(*_REFUSALS, Reason.CHALLENGE_FAILED, Reason.QUOTA_REACHED),
                about="A webhook is asked for its consent first; one that does not give it is stored disabled.",
            ),
        ),
        Endpoint(
            "GET",
            _REGISTRATION,
            registration_reads.get_registration,
            Operation("getRegistration", "Read a registration", (hal_answer(RegistrationBody),)),
        ),
        Endpoint(
            "PUT",
            _REGISTRATION,
            registrations.update_registration,
            Operation(
                "updateRegistration",
                "Replace a registration",
                (hal_answer(RegistrationBody),),
                bodies=(RequestBody(RegistrationUpdate, example=_EXAMPLE),),
                refusals=_REFUSALS,
            ),
        ),
        Endpoint(
            "PATCH",
            _REGISTRATION,
            registrations.patch_registration,
            Operation(
                "patchRegistration",
                "Change a registration by JSON Patch",
                (hal_answer(RegistrationBody),),
                bodies=(PATCH,),
                refusals=_REFUSALS,
            ),
        ),
        Endpoint(
            "DELETE",
            _REGISTRATION,
            registrations.delete_registration,
            Operation(
                "deleteRegistration",
                "Delete a registration",
                (NO_CONTENT,),
                refusals=(Reason.STALE_VERSION,),
                about="Its journal ends at once; retries that are scheduled already are still made.",
            ),
        ),
        Endpoint(
            "POST",
            _REGISTRATION + "/challenge",
            registrations.challenge_registration,
            Operation(
                "challengeRegistration",
                "Challenge the webhook of a registration again",
                (hal_answer(RegistrationBody),),
                refusals=(Reason.CHALLENGE_FAILED, Reason.CONFLICT, Reason.STALE_VERSION, Reason.EGRESS_PROXY_FAILED),
                about="Not part of the original API. As a PUT that changes nothing; enables a disabled registration.",
            ),
        ),
        Endpoint(
            "GET",
            _REGISTRATION + "/health",
            registration_health.get_health,
            Operation(
                "getRegistrationHealth",
                "Read what the attempts of a registration make of its status",
                (json_answer(RegistrationHealthBody),),
                about="Counts of the last attempts, whether they are too many failures, and what comes next.",
            ),
        ),
        Endpoint(
            "POST",
            WORKSPACE + "/isv/registrations/validate",
            isv.validate_registrations,
            Operation(
                "validateRegistrations",
                "Check the registrations of an app before it is packed",
                (json_answer(ValidApp),),
                bodies=(RequestBody(list[isv.AppRegistration]),),
                refusals=(Reason.UNKNOWN_EVENT,),
                about="Stores nothing.",
            ),
        ),
    ),
)

_PAGE = "A page, or the same as text."

VALIDATION = Group(
    tag="Validation",
    about="The links that webhooks are offered to validate their registrations with.",
    for_anyone=(
        Endpoint(
            "GET",
            "/csm/registrations/validate",
            validation.open_link,
            Operation(
                "validateRegistration",
                "Open the link of an asynchronous validation",
                (
                    Answer(200, str, TEXT, about=_PAGE),
                    *(Answer(status, str, "text/html", about=_PAGE) for status in (200, 403, 404, 410)),
                ),
                (
                    Parameter("id", str, "Of the registration.", required=True),
                    Parameter("challenge", str, "The secret of the link.", required=True),
                ),
                refusals=(
                    Reason.NOT_FOUND,
                    Reason.VALIDATION_OVER,
                    Reason.NOT_PERMITTED,
                    Reason.STALE_VERSION,
                    Reason.STORE_UNAVAILABLE,
                    Reason.SHUTTING_DOWN,
                    Reason.DISK_RESERVE_REACHED,
                ),
                about="Good for once, and for five minutes. HEAD validates nothing, nor do previews.",
            ),
        ),
    ),
)

TRACING = Group(
    tag="Tracing",
    about="The last attempts of each registration, with what was sent and what came back.",
    for_callers=(
        Endpoint(
            "GET",
            "/events/organizations/{org}/integrations/{credential}/tracing/{registration}",
            insight.get_traces,
            Operation("getTraces", "Read the traces of a registration", (json_answer(list[TracingRequestResponse]),)),
        ),
        Endpoint(
            "GET",
            "/traces/{org}/{project}/{workspace}/registration/{registration}",
            insight.get_workspace_traces,
            Operation(
                "getTracesOfWorkspace",
                "Read the traces of a registration, where its links lead",
                (json_answer(list[TracingRequestResponse]),),
            ),
        ),
    ),
)
