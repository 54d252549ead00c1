"""Sample event templates: base64 of JSON text that becomes an event of its provider and code.

In its strings `{{uuid}}`, `{{now}}`, `{{clientId}}`, `{{providerId}}` and `{{eventCode}}` are filled in. Without
`specversion` it is the `data` of an event, else a whole event.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from eventmill.core.cloudevent import Published, parse_structured
from eventmill.core.envelope import format_time
from eventmill.errors import GatewayError, Reason
from eventmill.ids import IdSource
from eventmill.model import EventMetadata
from eventmill.web.checks import decode_base64, invalid, parse_json
from eventmill.web.parts import Parts

ANY_CLIENT = "<your_client_id>"
"""Stands for the client id where a sample is only looked at."""
TEMPLATE_CHARS_MAX = 87382
"""Base64 characters: 64 KiB decoded."""
_MEMBER = "sample_event_template"
_PLACEHOLDER = re.compile(r"\{\{(uuid|now|clientId|providerId|eventCode)\}\}")


class Sampler:
    """Makes one event of a provider and code, for one client."""

    def __init__(self, metadata: EventMetadata, client_id: str, ids: IdSource, now_ms: int) -> None:
        self._metadata = metadata
        self._client_id = client_id
        self._ids = ids
        self._now = format_time(now_ms)

    @property
    def has_template(self) -> bool:
        return self._metadata.sample_event_template is not None

    def from_template(self) -> Published:
        """Raises `INVALID_BODY` or `INVALID_EVENT` when the template does not make an event of its code."""
        template = self._metadata.sample_event_template or ""
        try:
            document = self._fill(parse_json(decode_base64(_MEMBER, template, TEMPLATE_CHARS_MAX), "it"))
            text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except ValueError:
            raise invalid(_MEMBER, "holds a number or a character that JSON text cannot carry") from None
        return self.from_json(text, is_event=isinstance(document, dict) and "specversion" in document)

    def from_json(self, text: bytes, *, is_event: bool) -> Published:
        """`text` is JSON: an object that is an event but for what can be filled in, or the data of one."""
        source, code = f"urn:uuid:{self._metadata.provider_id}", self._metadata.event_code
        given = msgspec.json.decode(text) if is_event else {}
        missing = {"id": self._ids.uuid(), "source": source, "type": code, "time": self._now}
        if not is_event:
            missing = {"specversion": "1.0", **missing, "datacontenttype": "application/json"}
        extra = [b'"%b":%b' % (k.encode(), msgspec.json.encode(v)) for k, v in missing.items() if k not in given]
        if is_event:
            event = b",".join([text.strip()[:-1], *extra]) + b"}"
        else:
            event = b"{" + b",".join([*extra, b'"data":' + text.strip()]) + b"}"
        published = parse_structured(event)
        if (published.source, published.event_code) != (source, code):
            raise GatewayError(Reason.INVALID_EVENT, f"source and type must be {source} and {code}, or left out")
        return published

    def _fill(self, value: Any) -> Any:
        if isinstance(value, str):
            return _PLACEHOLDER.sub(lambda found: self._value(found[1]), value)
        if isinstance(value, list):
            return [self._fill(each) for each in value]
        if isinstance(value, dict):
            return {name: self._fill(each) for name, each in value.items()}
        return value

    def _value(self, placeholder: str) -> str:
        match placeholder:
            case "uuid":
                return self._ids.uuid()
            case "now":
                return self._now
            case "clientId":
                return self._client_id
            case "providerId":
                return self._metadata.provider_id
            case _:
                return self._metadata.event_code


def check_template(parts: Parts, metadata: EventMetadata) -> None:
    """Raises when the template is no base64, no JSON, or does not make a valid event."""
    if metadata.sample_event_template is None:
        return
    try:
        Sampler(metadata, ANY_CLIENT, parts.ids, parts.clock.now_ms()).from_template()
    except GatewayError as error:
        if error.message.startswith(_MEMBER):
            raise
        raise invalid(_MEMBER, error.message) from None
