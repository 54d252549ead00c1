"""Schemas at the door: whether an event's data fit the schema of its event code, where its provider wants that.

An addition of ours. Compiled schemas are kept; a stored one that cannot be compiled is logged and lets everything pass.
Must not: cost anything where nothing is enforced, or wait.
"""

from __future__ import annotations

import msgspec
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.cloudevent import Published
from eventmill.core.data_schema import DataSchema, UnusableSchema
from eventmill.errors import GatewayError, Reason
from eventmill.flow.catalogue import Catalogue
from eventmill.model import Provider

_LOG_INTERVAL_S = 60.0
_LOGGED_MAX = 4096
"""Event codes whose last log line is remembered."""
_BROKEN_BYTES = 256
"""Taken for a schema that cannot be compiled."""
_MESSAGE_CHARS_MAX = 600
_log = structlog.get_logger()


class Schemas:
    """One per front process; used from its event loop only."""

    def __init__(self, catalogue: Catalogue, config: Config, clock: Clock) -> None:
        self._catalogue = catalogue
        self._steps_max = config.schema_steps_max
        self._memory_bytes_max = config.schema_memory_bytes_max
        self._clock = clock
        self._compiled: dict[str, DataSchema | None] = {}
        """By its text, the one used last at the end; None: it cannot be compiled."""
        self._memory_bytes = 0
        self.warned = 0
        """Events that did not fit, of providers that only warn; one that is looked at again counts again."""
        self._logged: dict[tuple[str, str], float] = {}
        """When something was last logged of an event code; machine time."""

    def check(self, published: Published, provider: Provider) -> str:
        """What is wrong with the event, of a provider that only warns; empty when nothing is.

        Raises `SCHEMA_VIOLATION` for a provider that rejects."""
        metadata = self._catalogue.event_metadata(provider.id, published.event_code)
        if metadata is None or metadata.data_schema is None:
            return ""
        schema = self._schema(metadata.data_schema, provider, published.event_code)
        if schema is None:
            return ""
        faults = schema.faults(data_text(published.data), self._steps_max)
        if not faults:
            return ""
        message = describe_faults(published.event_code, faults)
        if provider.schema_enforcement == "reject":
            raise GatewayError(Reason.SCHEMA_VIOLATION, message)
        self.warned += 1
        self._warn(telemetry.SCHEMA_VIOLATED, provider, published.event_code, message)
        return message

    def _schema(self, text: str, provider: Provider, event_code: str) -> DataSchema | None:
        compiled = self._compiled
        if text in compiled:
            known = compiled[text]
            compiled[text] = compiled.pop(text)
            return known
        made: DataSchema | None = None
        try:
            made = DataSchema(text)
        except UnusableSchema as error:
            self._warn(telemetry.SCHEMA_BROKEN, provider, event_code, str(error))
        self._memory_bytes += _memory_bytes(made)
        while compiled and self._memory_bytes > self._memory_bytes_max:
            self._memory_bytes -= _memory_bytes(compiled.pop(next(iter(compiled))))
        compiled[text] = made
        return made

    def _warn(self, event: str, provider: Provider, event_code: str, cause: str) -> None:
        """At most once a minute per event code."""
        key, now_s = (provider.id, event_code), self._clock.machine_s()
        last_s = self._logged.get(key)
        if last_s is not None and now_s - last_s < _LOG_INTERVAL_S:
            return
        if len(self._logged) >= _LOGGED_MAX:
            self._logged.clear()
        self._logged[key] = now_s
        _log.warning(event, provider_id=provider.id, event_code=event_code, cause=cause)


def _memory_bytes(schema: DataSchema | None) -> int:
    return _BROKEN_BYTES if schema is None else schema.memory_bytes


def data_text(data: msgspec.Raw | None) -> bytes | msgspec.Raw:
    """An event without data is checked as one whose data is null; `data_base64` is the string that it is."""
    return b"null" if data is None else data


def describe_faults(event_code: str, faults: list[str]) -> str:
    """ASCII: it may go into a header."""
    text = f"{event_code}: {'; '.join(faults)}"
    shown = text.encode("ascii", "backslashreplace").decode()
    shown = "".join(each if each.isprintable() else "?" for each in shown)
    return shown if len(shown) <= _MESSAGE_CHARS_MAX else shown[:_MESSAGE_CHARS_MAX] + "..."
