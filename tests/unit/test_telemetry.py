"""`eventmill.telemetry`: what a line of the log looks like, and what never gets into it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from eventmill import telemetry
from eventmill.config import Config


@pytest.fixture(autouse=True)
def _unchanged_logging() -> Iterator[None]:
    """Other tests keep the loggers they had."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def log_to_buffer(log_format: Literal["", "text", "json"], level: Literal["debug", "info"] = "info") -> io.StringIO:
    buffer = io.StringIO()
    telemetry.setup_logging(Config(log_format=log_format, log_level=level), buffer)
    return buffer


def only_line(buffer: io.StringIO) -> dict[str, Any]:
    [line] = buffer.getvalue().splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_json_line_has_time_level_event_and_fields_in_that_order() -> None:
    """One object per line, whatever the fields hold."""
    buffer = log_to_buffer("json")

    structlog.get_logger().info(telemetry.GATEWAY_READY, url="http://127.0.0.1:8080", note="two\nlines")

    line = only_line(buffer)
    assert list(line) == ["timestamp", "level", "event", "url", "note"]
    assert (line["level"], line["event"], line["note"]) == ("info", "gateway_ready", "two\nlines")


def test_what_is_no_terminal_gets_json_unless_text_is_asked_for() -> None:
    """Pipes and files get JSON by themselves; text there has no colours."""
    by_itself, asked = io.StringIO(), io.StringIO()
    for log_format, buffer in (("", by_itself), ("text", asked)):
        telemetry.setup_logging(Config(log_format=log_format), buffer)  # type: ignore[arg-type]
        structlog.get_logger().warning(telemetry.STORE_REFUSED, cause="disk full")

    assert only_line(by_itself)["cause"] == "disk full"
    assert "store_refused" in asked.getvalue() and "cause='disk full'" in asked.getvalue()
    assert "\x1b" not in asked.getvalue()


def test_levels_below_the_setting_are_silent() -> None:
    """`EVENTMILL_LOG_LEVEL` is the lowest that is written."""
    buffer = log_to_buffer("json")

    structlog.get_logger().debug(telemetry.GATEWAY_READY)

    assert buffer.getvalue() == ""


@pytest.mark.parametrize("name", ["client_secret", "access_token", "authorization", "seal_key"])
def test_secrets_are_masked(name: str) -> None:
    """A field named like a secret never shows its value, even if a call site slips."""
    buffer = log_to_buffer("json")

    structlog.get_logger().info(telemetry.TENANT_CREATED, **{name: "p8e-do-not-show"})

    assert only_line(buffer)[name] == "***"


def test_long_fields_are_cut() -> None:
    """No field fills the log; how long it was is kept."""
    buffer = log_to_buffer("json")

    structlog.get_logger().info(telemetry.ATTEMPT_FAILED, cause="x" * 1_000_000)

    cause = only_line(buffer)["cause"]
    assert len(cause) < 2100
    assert cause.endswith("(1000000 characters)")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_tracebacks_have_no_local_variables(log_format: Literal["json", "text"]) -> None:
    """The frames of a failure hold secrets; the log shows where it was, not what was in it."""
    buffer = log_to_buffer(log_format)

    def fail() -> None:
        secret = "p8e-do-not-show"
        raise ValueError(len(secret))

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception(telemetry.REQUEST_FAILED)

    assert "ValueError: 15" in buffer.getvalue()
    assert "in fail" in buffer.getvalue()
    assert "p8e-do-not" not in buffer.getvalue()


def test_libraries_log_the_same_way() -> None:
    """What asyncio or uvicorn have to say from a warning on becomes a line like ours; their chatter does not."""
    buffer = log_to_buffer("json", "debug")

    logging.getLogger("asyncio").info("chatter")
    logging.getLogger("uvicorn.error").warning("odd request from %s", "somewhere")

    line = only_line(buffer)
    assert (line["level"], line["event"]) == ("warning", "odd request from somewhere")
