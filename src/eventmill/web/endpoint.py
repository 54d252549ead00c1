"""What an endpoint is: how it is reached, who may call it, which handler answers, and what the API's description says.

The tables in `web.endpoints` are made of these: routing and description read the same entries, so that nothing is
served without being described.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, TypeVar

import msgspec

from eventmill.errors import Reason
from eventmill.model import Caller
from eventmill.web.bodies import ErrorBody
from eventmill.web.http import JSON_TYPE, PATCH_TYPE, Reply, Request
from eventmill.web.parts import Parts

Handler = Callable[[Parts, Request, Caller], Awaitable[Reply]]
OpenHandler = Callable[[Parts, Request], Awaitable[Reply]]
H = TypeVar("H", Handler, OpenHandler, None)

HAL = "application/hal+json"
TEXT = "text/plain"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

HeaderName = Literal[
    "Cache-Control",
    "ETag",
    "Link",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "x-conflicting-id",
    "x-eventmill-schema-warning",
    "x-key-expires-ms",
]


class Parameter(msgspec.Struct, frozen=True):
    """Of the query, unless `place` says otherwise."""

    name: str
    kind: Any
    """A type that msgspec can describe; its `Meta` has the limits."""
    about: str
    place: Literal["query", "header"] = "query"
    required: bool = False


class Answer(msgspec.Struct, frozen=True):
    """A success, or a refusal that has a body of its own. Two of one status differ in their media type."""

    status: int
    body: Any = None
    """A type that msgspec can describe; None: no body."""
    media_type: str = ""
    headers: tuple[HeaderName, ...] = ()
    about: str = ""


class RequestBody(msgspec.Struct, frozen=True):
    kind: Any
    """A type that msgspec can describe: the one that the handler decodes to, wherever there is one."""
    media_types: tuple[str, ...] = (JSON_TYPE,)
    required: bool = True
    example: Any = None


class Operation(msgspec.Struct, frozen=True):
    """Path parameters follow from the path; refusals that a caller, a path, a query or a body can bring about are
    added to those listed."""

    id: str
    """As the official SDKs call it, where they do."""
    summary: str
    answers: tuple[Answer, ...]
    parameters: tuple[Parameter, ...] = ()
    bodies: tuple[RequestBody, ...] = ()
    refusals: tuple[Reason, ...] = ()
    about: str = ""
    is_open_by_setting: bool = False
    """A token is asked for where the operator says so."""


class Endpoint(msgspec.Struct, Generic[H], frozen=True):
    method: str
    pattern: str
    """A path whose `{name}` segments match any non-empty segment."""
    handler: H
    operation: Operation


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A table of endpoints about one thing."""

    tag: str
    about: str
    for_callers: tuple[Endpoint[Handler], ...] = ()
    """Need a token and an api key."""
    for_anyone: tuple[Endpoint[OpenHandler], ...] = ()
    """Need no token."""
    ingress: tuple[Endpoint[None], ...] = ()
    """Need a token and an api key; the application answers them without routing."""
    is_console: bool = False
    """The api key may also be the official command line's."""
    is_cross_origin: bool = False
    """May be called by web pages of any origin."""
    is_dev_only: bool = False
    """Served in dev mode only, to this machine only."""


def hal_answer(kind: Any, status: int = 200) -> Answer:
    return Answer(status, kind, HAL)


def json_answer(kind: Any, status: int = 200, *headers: HeaderName) -> Answer:
    return Answer(status, kind, JSON_TYPE, headers)


NO_CONTENT = Answer(204)


class PatchOperation(msgspec.Struct, frozen=True, rename={"source": "from"}):
    """One operation of a JSON Patch (RFC 6902)."""

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: str
    source: str | msgspec.UnsetType = msgspec.UNSET
    """Of `move` and `copy`."""
    value: Any = msgspec.UNSET
    """Of `add`, `replace` and `test`."""


PATCH = RequestBody(
    list[PatchOperation],
    (PATCH_TYPE, JSON_TYPE),
    example=[{"op": "replace", "path": "/description", "value": "What has moved"}],
)

REFUSAL = ErrorBody
"""Body of every refusal that does not say otherwise."""
