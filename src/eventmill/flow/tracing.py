"""Opens the spans of a process where `OTEL_*` variables ask for them. Otherwise nothing of OpenTelemetry is loaded."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog

from eventmill import telemetry

if TYPE_CHECKING:
    from eventmill.flow.ingest import Ingest
    from eventmill.flow.publish_spans import App
    from eventmill.flow.spans import Spans

log = structlog.get_logger()

_PROTOCOL = "http/protobuf"
_EXPORTER = "opentelemetry.exporter.otlp.proto.http"


def open_spans() -> Spans | None:
    """None: no endpoint for OTLP is named, tracing is switched off, or (logged) it cannot be."""
    if not _setting("ENDPOINT") or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return None
    protocol = _setting("PROTOCOL") or _PROTOCOL
    if protocol != _PROTOCOL:
        cause = f"spans are sent by {_PROTOCOL} only, not {protocol}"
        log.warning(telemetry.TRACING_OFF, cause=cause, remedy=f"OTEL_EXPORTER_OTLP_PROTOCOL={_PROTOCOL}")
        return None
    if not _is_installed():
        cause = "OpenTelemetry is not installed"
        log.warning(telemetry.TRACING_OFF, cause=cause, remedy="pip install 'eventmill[otel]'")
        return None
    from eventmill.flow.spans import Spans

    return Spans.exported()


def watch_publishing(ingest: Ingest, spans: Spans | None) -> App:
    """The publishing application: with spans, if there are any."""
    if spans is None:
        return ingest
    from eventmill.flow.publish_spans import PublishSpans

    return PublishSpans(spans).watch(ingest)


def _setting(name: str) -> str:
    """The variable for traces, else the one for all signals."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}", "")


def _is_installed() -> bool:
    try:
        return find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:
        return False
