"""Which refusals an endpoint can answer with: those that its table names, and those that follow from what it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from eventmill.errors import Reason
from eventmill.web.endpoint import PATCH, Endpoint
from eventmill.web.http import JSON_TYPE

_OF_CALLERS = {
    Reason.MISSING_TOKEN,
    Reason.INVALID_TOKEN,
    Reason.EXPIRED_TOKEN,
    Reason.REVOKED_TOKEN,
    Reason.MISSING_SCOPE,
    Reason.MISSING_API_KEY,
    Reason.UNKNOWN_API_KEY,
    Reason.WRONG_ORGANIZATION,
    Reason.ISSUER_UNAVAILABLE,
    Reason.STORE_UNAVAILABLE,
    Reason.SHUTTING_DOWN,
}
_OF_JSON = {Reason.INVALID_JSON, Reason.INVALID_BODY, Reason.TOO_LARGE, Reason.UNSUPPORTED_MEDIA_TYPE}
_OF_WRITES = {Reason.DISK_RESERVE_REACHED}


def find_refusals(endpoint: Endpoint[Any], *, needs_key: bool) -> frozenset[Reason]:
    """`needs_key`: it needs a token and an api key."""
    operation = endpoint.operation
    found = {Reason.INTERNAL, *operation.refusals}
    if needs_key:
        found |= _OF_CALLERS
        if endpoint.method != "GET":
            found |= _OF_WRITES
    if "{" in endpoint.pattern:
        found.add(Reason.NOT_FOUND)
    if any(parameter.place == "query" for parameter in operation.parameters):
        found.add(Reason.INVALID_PARAMETER)
    if any(JSON_TYPE in body.media_types for body in operation.bodies):
        found |= _OF_JSON
    if PATCH in operation.bodies:
        found.add(Reason.INVALID_PATCH)
    return frozenset(found)


def group_by_status(reasons: Iterable[Reason]) -> Iterator[tuple[int, tuple[Reason, ...]]]:
    order = {reason: at for at, reason in enumerate(Reason)}
    in_order = sorted(reasons, key=lambda reason: (reason.status, order[reason]))
    for status, group in groupby(in_order, key=lambda reason: reason.status):
        yield status, tuple(group)
