"""Filters of registrations ("Subscriber Defined Filtering" API), and what they would let through."""

from __future__ import annotations

from eventmill.errors import Reason
from eventmill.web import filter_trials, filters
from eventmill.web.bodies import SubscriberFilterBody
from eventmill.web.endpoint import NO_CONTENT, Endpoint, Group, Operation, RequestBody, json_answer
from eventmill.web.endpoints.parameters import WORKSPACE
from eventmill.web.filter_trials import BacktestBody, BacktestForm, ValidationBody, ValidationForm
from eventmill.web.forms import SubscriberFilterForm

_REGISTRATION = WORKSPACE + "/registrations/{registration}"
_FILTER = _REGISTRATION + "/filters/{filter}"

_EXAMPLE = {"name": "Nearly out", "subscriber_filter": '{"data":{"stock":[{"numeric":["<",5]}]}}'}
_REFUSALS = (Reason.INVALID_FILTER, Reason.INCOMPATIBLE_FILTER, Reason.STALE_VERSION)
_ONE = "A registration has one at most. Obeyed by every publish after the answer."

FILTERS = Group(
    tag="Filters",
    about="Which of the events that it is interested in a registration gets.",
    for_callers=(
        Endpoint(
            "GET",
            _REGISTRATION + "/filters",
            filters.list_filters,
            Operation(
                "getAllSubscriberFilters",
                "List the filters of a registration",
                (json_answer(list[SubscriberFilterBody]),),
            ),
        ),
        Endpoint(
            "POST",
            _REGISTRATION + "/filters",
            filters.create_filter,
            Operation(
                "createSubscriberFilter",
                "Give a registration a filter",
                (json_answer(SubscriberFilterBody, 201),),
                bodies=(RequestBody(SubscriberFilterForm, example=_EXAMPLE),),
                refusals=(*_REFUSALS, Reason.FILTER_EXISTS),
                about=_ONE,
            ),
        ),
        Endpoint(
            "GET",
            _FILTER,
            filters.get_filter,
            Operation("getSubscriberFilterById", "Read a filter", (json_answer(SubscriberFilterBody),)),
        ),
        Endpoint(
            "PUT",
            _FILTER,
            filters.update_filter,
            Operation(
                "updateSubscriberFilter",
                "Replace a filter",
                (json_answer(SubscriberFilterBody),),
                bodies=(RequestBody(SubscriberFilterForm, example=_EXAMPLE),),
                refusals=_REFUSALS,
            ),
        ),
        Endpoint(
            "DELETE",
            _FILTER,
            filters.delete_filter,
            Operation("deleteSubscriberFilter", "Delete a filter", (NO_CONTENT,), refusals=(Reason.STALE_VERSION,)),
        ),
        Endpoint(
            "POST",
            _REGISTRATION + "/filter/validate",
            filter_trials.validate_filter,
            Operation(
                "validateFilters",
                "Try a filter on sample events",
                (json_answer(ValidationBody),),
                bodies=(RequestBody(ValidationForm, example={"subscriber_filter": _EXAMPLE}),),
                refusals=(Reason.INVALID_FILTER,),
                about="Stores nothing.",
            ),
        ),
        Endpoint(
            "POST",
            _REGISTRATION + "/filter/backtest",
            filter_trials.backtest_filter,
            Operation(
                "backtestFilter",
                "Try a filter on the events of late",
                (json_answer(BacktestBody),),
                bodies=(RequestBody(BacktestForm, example={"subscriber_filter": _EXAMPLE}),),
                refusals=(Reason.INVALID_FILTER, Reason.INCOMPATIBLE_FILTER),
                about="Not part of the original API. Stores nothing.",
            ),
        ),
    ),
)
