"""The OpenAPI 3.1 document of everything that is served, made from the tables that route and the types that validate.

Pure: groups of endpoints in, a document out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from eventmill import __version__
from eventmill.errors import Reason
from eventmill.web.endpoint import (
    REFUSAL,
    Answer,
    Endpoint,
    Group,
    Operation,
    Parameter,
    RequestBody,
)
from eventmill.web.endpoints.parameters import CALLER_HEADERS, PATH
from eventmill.web.http import JSON_TYPE
from eventmill.web.openapi_refusals import find_refusals, group_by_status

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/{name}"
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")
_ABOUT = """A self-hosted event gateway that speaks the Adobe I/O Events wire contract.

Every refusal has `reason`, a code that never changes, and `message`, which says what was wrong and where. Every answer
has an `x-request-id`. HEAD and OPTIONS are answered wherever GET is; a method that a path has not is 405, a path that
does not exist 404, a request whose head is larger than 64 KiB 431."""

_HEADERS: dict[str, Json] = {
    "x-request-id": {"description": "Names the request in the gateway's log.", "schema": {"type": "string"}},
    "x-conflicting-id": {"description": "The id of what is there already.", "schema": {"type": "string"}},
    "x-eventmill-schema-warning": {
        "description": "What is wrong with data that do not fit the schema of their event code; it was taken anyway.",
        "schema": {"type": "string"},
    },
    "x-key-expires-ms": {
        "description": "When to ask again, in milliseconds since 1970.",
        "schema": {"type": "integer"},
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
    "Preference-Applied": {"description": "`wait=N`, as far as it was granted.", "schema": {"type": "string"}},
    "Link": {"description": "Where to go on (RFC 8288), one header for each link.", "schema": {"type": "string"}},
    "Location": {"description": "The URL of what was made.", "schema": {"type": "string"}},
    "Cache-Control": {"description": "Whether it may be kept.", "schema": {"type": "string"}},
    "ETag": {"description": "Changes when the document does.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}},
}
_REFUSAL_HEADERS = {
    401: ("WWW-Authenticate",),
    409: ("x-conflicting-id",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
_PHRASES = {304: "It is as it was.", 204: "Done; nothing to tell.", 201: "Created."}
_SECURITY: dict[str, Json] = {
    "token": {"type": "http", "scheme": "bearer", "description": "An access token, as /ims/token/v3 gives it."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The client id."},
}


def build_document(groups: Sequence[Group], url: str) -> Json:
    """Of the endpoints in `groups`, served at `url`."""
    schemas, components = _describe_types(groups)
    writer = _Writer(schemas)
    paths: dict[str, Json] = {}
    for group in groups:
        for endpoint, needs_key in _endpoints(group):
            written = {"tags": [group.tag], **writer.operation(endpoint, needs_key)}
            paths.setdefault(endpoint.pattern, {})[endpoint.method.lower()] = written
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Eventmill",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "tags": [{"name": group.tag, "description": group.about} for group in groups],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": writer.refusals,
            "parameters": {each.name: writer.parameter(each) for each in CALLER_HEADERS},
            "headers": _HEADERS,
            "securitySchemes": _SECURITY,
        },
    }


def _endpoints(group: Group) -> Iterator[tuple[Endpoint[Any], bool]]:
    """Each with whether it needs a token and an api key."""
    for published in group.ingress:
        yield published, True
    for guarded in group.for_callers:
        yield guarded, True
    for free in group.for_anyone:
        yield free, False


def _describe_types(groups: Sequence[Group]) -> tuple[dict[Any, Json], dict[str, Json]]:
    """The schema of every type that the endpoints name, and the components that those refer to."""
    kinds: list[Any] = [REFUSAL, *(kind for kind, _ in PATH.values()), *(each.kind for each in CALLER_HEADERS)]
    for operation in (endpoint.operation for group in groups for endpoint, _ in _endpoints(group)):
        kinds += [each.kind for each in operation.parameters]
        kinds += [each.kind for each in operation.bodies]
        kinds += [each.body for each in operation.answers if each.body is not None]
    schemas, components = msgspec.json.schema_components(kinds, schema_hook=_describe_any, ref_template=_SCHEMAS)
    return {_key(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}, components


def _key(kind: Any) -> str:
    """Types with limits are not hashable when a limit is not."""
    return repr(kind)


def _describe_any(kind: Any) -> Json:
    if kind is object:
        return {"description": "Any JSON value."}
    raise TypeError(f"{kind!r} cannot be described: msgspec knows no schema for it")


class _Writer:
    """Writes operations, and collects the refusals that they refer to."""

    def __init__(self, schemas: dict[Any, Json]) -> None:
        self._schemas = schemas
        self.refusals: dict[str, Json] = {}
        self._refusal_names: dict[tuple[int, tuple[Reason, ...]], str] = {}

    def operation(self, endpoint: Endpoint[Any], needs_key: bool) -> Json:
        operation = endpoint.operation
        refusals = find_refusals(endpoint, needs_key=needs_key)
        needs_token = needs_key or Reason.MISSING_TOKEN in refusals
        parameters = [self._path_parameter(name) for name in _PATH_PARAMETER.findall(endpoint.pattern)]
        parameters += [self.parameter(each) for each in operation.parameters]
        if needs_key:
            parameters += [{"$ref": f"#/components/parameters/{each.name}"} for each in CALLER_HEADERS]
        written: Json = {"operationId": operation.id, "summary": operation.summary}
        if operation.about:
            written["description"] = operation.about
        if parameters:
            written["parameters"] = parameters
        if operation.bodies:
            written["requestBody"] = self._request_body(operation.bodies)
        written["responses"] = self._responses(operation, refusals)
        written["security"] = [{"token": [], **({"apiKey": []} if needs_key else {})}] if needs_token else []
        if operation.is_open_by_setting:
            written["security"].append({})
        return written

    def _path_parameter(self, name: str) -> Json:
        kind, about = PATH[name]
        return {"name": name, "in": "path", "required": True, "description": about, "schema": self._schema(kind)}

    def parameter(self, parameter: Parameter) -> Json:
        written: Json = {"name": parameter.name, "in": parameter.place, "description": parameter.about}
        if parameter.required:
            written["required"] = True
        return written | {"schema": self._schema(parameter.kind)}

    def _schema(self, kind: Any) -> Json:
        return {} if kind is bytes else self._schemas[_key(kind)]

    def _request_body(self, bodies: Sequence[RequestBody]) -> Json:
        content: Json = {}
        for body in bodies:
            told: Json = {"schema": self._schema(body.kind)}
            if body.example is not None:
                told["example"] = body.example
            content |= dict.fromkeys(body.media_types, told)
        return {"required": any(body.required for body in bodies), "content": content}

    def _responses(self, operation: Operation, refusals: frozenset[Reason]) -> Json:
        written: Json = {}
        for answer in operation.answers:
            self._add_answer(written.setdefault(str(answer.status), {}), answer)
        for status, reasons in group_by_status(refusals):
            own = written.get(str(status))
            if own is None:
                written[str(status)] = {"$ref": f"#/components/responses/{self._refusal(status, reasons)}"}
            elif "content" in own:
                own["content"].setdefault(JSON_TYPE, self._refusal_schema(reasons))
        return dict(sorted(written.items()))

    def _add_answer(self, response: Json, answer: Answer) -> None:
        response.setdefault("description", answer.about or _PHRASES.get(answer.status, "As asked for."))
        response.setdefault("headers", _header_refs(("x-request-id", *answer.headers)))
        if answer.body is not None:
            response.setdefault("content", {})[answer.media_type] = {"schema": self._schema(answer.body)}

    def _refusal(self, status: int, reasons: tuple[Reason, ...]) -> str:
        """Name of the response that refuses for these reasons."""
        name = self._refusal_names.get((status, reasons))
        if name is None:
            taken = sum(known == status for known, _ in self._refusal_names)
            name = f"Refused{status}" + (f"_{taken + 1}" if taken else "")
            self._refusal_names[status, reasons] = name
            self.refusals[name] = {
                "description": ", ".join(f"`{reason.code}`" for reason in reasons),
                "headers": _header_refs(("x-request-id", *_REFUSAL_HEADERS.get(status, ()))),
                "content": {JSON_TYPE: self._refusal_schema(reasons)},
            }
        return name

    def _refusal_schema(self, reasons: tuple[Reason, ...]) -> Json:
        one_of_them = {"properties": {"reason": {"enum": [reason.code for reason in reasons]}}}
        return {"schema": {"allOf": [self._schema(REFUSAL), one_of_them]}}


def _header_refs(names: Sequence[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
