"""The filter of a registration: list, create, read, replace, delete ("Subscriber Defined Filtering" API).

There is at most one. Once a change was answered, the next publish obeys it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from eventmill.errors import GatewayError, Reason, StaleVersion
from eventmill.flow.registration_change import decode_registration
from eventmill.flow.writes import WRITES_MAX, write_change
from eventmill.model import Caller, Registration, SubscriberFilter
from eventmill.store.control import Replace
from eventmill.web.checks import read_object, show
from eventmill.web.filter_drafts import check_filterable, new_filter
from eventmill.web.forms import SubscriberFilterForm
from eventmill.web.hal import filter_body
from eventmill.web.http import NO_CONTENT, Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found, path_workspace
from eventmill.web.registration_reads import stored_registration, workspace_registration

_Filters = tuple[SubscriberFilter, ...]


async def list_filters(parts: Parts, request: Request, caller: Caller) -> Reply:
    registration = await workspace_registration(parts, request, caller)
    return json_reply(200, [filter_body(each) for each in registration.subscriber_filters])


async def get_filter(parts: Parts, request: Request, caller: Caller) -> Reply:
    return json_reply(200, filter_body(_named(await workspace_registration(parts, request, caller), request)))


async def create_filter(parts: Parts, request: Request, caller: Caller) -> Reply:
    """400 for a second one."""
    await workspace_registration(parts, request, caller)
    made = new_filter(await _form(parts, request), parts.ids.uuid())

    def add(registration: Registration) -> _Filters:
        if registration.subscriber_filters:
            held = registration.subscriber_filters[0].id
            message = f"registration {registration.registration_id} has filter {held} already; there can be only one"
            raise GatewayError(Reason.FILTER_EXISTS, message)
        return (made,)

    await _change(parts, request, caller, add)
    return json_reply(201, filter_body(made))


async def update_filter(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PUT: a full replacement."""
    _named(await workspace_registration(parts, request, caller), request)
    made = new_filter(await _form(parts, request), request.params["filter"])

    def replace(registration: Registration) -> _Filters:
        _named(registration, request)
        return (made,)

    await _change(parts, request, caller, replace)
    return json_reply(200, filter_body(made))


async def delete_filter(parts: Parts, request: Request, caller: Caller) -> Reply:
    """From then on every event of interest is delivered."""

    def remove(registration: Registration) -> _Filters:
        _named(registration, request)
        return ()

    await _change(parts, request, caller, remove)
    return NO_CONTENT


async def _form(parts: Parts, request: Request) -> SubscriberFilterForm:
    return read_object(await request.json_body(parts.config.request_bytes_max), SubscriberFilterForm)


def _named(registration: Registration, request: Request) -> SubscriberFilter:
    """The filter of the path."""
    filter_id = request.params["filter"]
    for each in registration.subscriber_filters:
        if each.id == filter_id:
            return each
    raise not_found(f"filter {show(filter_id)}", f"registration {registration.registration_id}")


async def _change(parts: Parts, request: Request, caller: Caller, revise: Callable[[Registration], _Filters]) -> None:
    """Store the registration with the filters that `revise` gives it. Its lane stays as it is, and nobody is
    challenged."""
    workspace = path_workspace(parts, request, caller)
    registration_id = request.params["registration"]
    for _ in range(WRITES_MAX):
        stored = await stored_registration(parts, workspace, registration_id)
        known = decode_registration(stored)
        revised = msgspec.structs.replace(known, subscriber_filters=revise(known), updated_ms=parts.clock.now_ms())
        check_filterable(parts, revised)
        doc = msgspec.json.encode(revised)
        if await write_change(
            parts.store,
            parts.catalogue,
            [Replace("registration", workspace.org, stored.id, doc, stored.version, keys=None)],
        ):
            return
    raise StaleVersion("registration", registration_id)
