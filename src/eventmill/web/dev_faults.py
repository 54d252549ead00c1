"""/_dev/faults: what deliveries to a registration are to suffer next; in dev mode and from this machine only."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventmill.core.faults import Fault, FaultKind
from eventmill.errors import GatewayError, Reason
from eventmill.send.faults import FAULTS_MAX
from eventmill.web.checks import invalid, read_object, show
from eventmill.web.dev import dev_hooks
from eventmill.web.http import NO_CONTENT, Reply, Request, json_reply
from eventmill.web.parts import Parts

TIMES_MAX = 1000
LATENCY_MS_MAX = 60_000


class FaultForm(msgspec.Struct, frozen=True):
    registration_id: str
    kind: FaultKind
    times: Annotated[int, msgspec.Meta(ge=1, le=TIMES_MAX, description="Attempts that it is for.")] = 1
    status: Annotated[int, msgspec.Meta(ge=0, le=599, description="Of the kind `status`; 500 unless given.")] = 0
    latency_ms: Annotated[int, msgspec.Meta(ge=0, le=LATENCY_MS_MAX, description="Of the kind `latency`.")] = 0


class FaultBody(msgspec.Struct, frozen=True):
    registration_id: str
    kind: FaultKind
    times: Annotated[int, msgspec.Meta(description="Attempts that it is still for.")]
    status: Annotated[int | None, msgspec.Meta(description="Of the kind `status`.")]
    latency_ms: Annotated[int | None, msgspec.Meta(description="Of the kind `latency`.")]


async def list_faults(parts: Parts, request: Request) -> Reply:
    """GET /_dev/faults"""
    return json_reply(200, [_body(each, fault) for each, fault in dev_hooks(parts, request).faults.all()])


async def add_fault(parts: Parts, request: Request) -> Reply:
    """POST /_dev/faults"""
    faults = dev_hooks(parts, request).faults
    form = read_object(await request.body(parts.config.request_bytes_max), FaultForm)
    if not any(each.registration_id == form.registration_id for each in parts.catalogue.registrations()):
        raise GatewayError(Reason.NOT_FOUND, f"registration {show(form.registration_id)} does not exist")
    if form.status and (form.kind != "status" or form.status < 200):
        raise invalid("status", "goes with the kind status, and is from 200 to 599")
    if bool(form.latency_ms) != (form.kind == "latency"):
        raise invalid("latency_ms", "goes with the kind latency, and with no other")
    if len(faults.all()) >= FAULTS_MAX:
        raise invalid("the body", f"would be one fault too many: there are {FAULTS_MAX}")
    status = form.status or 500 if form.kind == "status" else 0
    fault = Fault(form.kind, form.times, status, form.latency_ms)
    faults.add(form.registration_id, fault)
    return json_reply(201, _body(form.registration_id, fault))


async def clear_faults(parts: Parts, request: Request) -> Reply:
    """DELETE /_dev/faults: of one registration, or all."""
    dev_hooks(parts, request).faults.clear(request.query_value("registration"))
    return NO_CONTENT


def _body(registration_id: str, fault: Fault) -> FaultBody:
    return FaultBody(registration_id, fault.kind, fault.times, fault.status or None, fault.latency_ms or None)
