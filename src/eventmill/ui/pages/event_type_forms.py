"""Writing an event type: its words, its sample, and the schema of its data, as forms."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from eventmill.errors import GatewayError
from eventmill.model import EventMetadata, Provider
from eventmill.ui.act import Outcome
from eventmill.ui.page import Page
from eventmill.ui.pages.event_types import find_event_type, own_path
from eventmill.ui.pages.providers import find_own, provider_path
from eventmill.ui.visit import Visit
from eventmill.web.checks import parse_json
from eventmill.web.http import Reply


async def new_event_type(visit: Visit) -> Reply:
    return _form_page(visit, find_own(visit), None)


def _form_page(
    visit: Visit, provider: Provider, metadata: EventMetadata | None, refusal: Outcome | None = None, curl: str = ""
) -> Reply:
    path = f"{provider_path(provider)}/eventmetadata"
    example = {"event_code": "com.acme.stock.low", "label": "Stock low", "description": "Stock fell under its floor"}
    method = "POST" if metadata is None else "PUT"
    if metadata is not None:
        path += f"/{quote(metadata.event_code, safe='')}"
        example = {**example, "event_code": metadata.event_code, "label": metadata.label}
    return visit.render(
        "providers/event_type_form.html",
        status=200 if refusal is None else refusal.status,
        provider=provider,
        metadata=metadata,
        sample=_template_text(metadata),
        schema=_pretty(metadata.data_schema) if metadata is not None and metadata.data_schema else "",
        refusal=refusal,
        curl=curl or visit.curl(method, path, example),
    )


def _template_text(metadata: EventMetadata | None) -> str:
    if metadata is None or metadata.sample_event_template is None:
        return ""
    return _pretty(base64.b64decode(metadata.sample_event_template).decode("utf-8", "replace"))


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _form(visit: Visit, code: str) -> dict[str, Any]:
    """Raises `INVALID_JSON` about the schema."""
    form: dict[str, Any] = {
        "event_code": code,
        "label": visit.field("label"),
        "description": visit.field("description"),
        "data_schema": None,
    }
    if visit.field("sample"):
        form["sample_event_template"] = base64.b64encode(visit.field("sample").encode()).decode()
    if visit.field("schema"):
        form["data_schema"] = parse_json(visit.field("schema").encode(), "the schema")
    return form


async def create_event_type(visit: Visit) -> Reply:
    provider = find_own(visit)
    outcome = await _write(visit, "POST", f"{provider_path(provider)}/eventmetadata", visit.field("event_code"))
    if not outcome.ok:
        return _form_page(visit, provider, None, outcome, outcome.curl)
    return visit.redirect(visit.url("providers", provider.id, "events", visit.field("event_code")), "It is there.")


async def _write(visit: Visit, method: str, path: str, code: str) -> Outcome:
    try:
        form = _form(visit, code)
    except GatewayError as error:
        return Outcome(error.reason.status, {"reason": error.reason.code, "message": error.message}, "")
    return await visit.act(method, path, form)


async def edit_event_type(visit: Visit) -> Reply:
    find_own(visit)
    return _form_page(visit, *find_event_type(visit))


async def update_event_type(visit: Visit) -> Reply:
    find_own(visit)
    provider, metadata = find_event_type(visit)
    query = "?force=true" if visit.field("force") == "true" else ""
    outcome = await _write(visit, "PUT", own_path(provider, metadata) + query, metadata.event_code)
    if not outcome.ok:
        return _form_page(visit, provider, metadata, outcome, outcome.curl)
    return visit.redirect(visit.url("providers", provider.id, "events", metadata.event_code), "It is changed.")


_EVENTS = "/providers/{provider}/events"
_EVENT = _EVENTS + "/{code}"

PAGES = (
    Page("GET", "/providers/{provider}/new-event", new_event_type, "New event type", "developer", "providers"),
    Page("POST", _EVENTS, create_event_type, "New event type", "developer", "providers"),
    Page("GET", _EVENT + "/edit", edit_event_type, "Edit event type", "developer", "providers"),
    Page("POST", _EVENT + "/edit", update_event_type, "Edit event type", "developer", "providers"),
)
