"""Whether spans are made: as the standard variables of OpenTelemetry say, and otherwise at no cost."""

from __future__ import annotations

import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from eventmill.flow import tracing
from eventmill.flow.tracing import open_spans

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "PROTOCOL", "TRACES_ENDPOINT", "TRACES_PROTOCOL"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "mill"},
        {ENDPOINT: "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "TRUE"},
        {ENDPOINT: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nobody_asks_for_spans(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there are none, and nothing is said about it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with capture_logs() as logs:
        assert open_spans() is None
    assert not logs


def test_another_protocol_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than sent to a port that speaks something else."""
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with capture_logs() as logs:
        assert open_spans() is None
    assert [(each["event"], each["remedy"]) for each in logs] == [
        ("tracing_off", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
    ]


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables may be set for all programs of a host; this one starts without what it lacks."""
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:4318")
    monkeypatch.setattr(tracing, "_EXPORTER", "opentelemetry.exporter.none.such")
    with capture_logs() as logs:
        assert open_spans() is None
    assert [(each["event"], each["remedy"]) for each in logs] == [("tracing_off", "pip install 'eventmill[otel]'")]


def test_nothing_of_opentelemetry_is_loaded() -> None:
    """By a front and a delivery process that nobody asked for spans."""
    program = (
        "import sys, eventmill.server, eventmill.delivery_process\n"
        "from eventmill.flow.tracing import open_spans\n"
        "print(open_spans(), [name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "None []"
