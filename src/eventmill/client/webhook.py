"""What a webhook answers, without I/O: the challenge, what is not genuine, what was handled before.

The adapters read requests and write answers; an error of the handler is theirs to pass on, so that the framework says
500 and the service tries again ("Introduction to Adobe I/O Events Webhooks").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qs

from eventmill.client.deduplication import Deduplicator, event_id
from eventmill.client.documents import Event
from eventmill.client.verification import Check, Verification

BODY_BYTES_MAX = 8 * 1024 * 1024
"""A batch has 2 MB; a single event may be larger."""
_CHALLENGE = re.compile(r"[\x21-\x7e]{1,256}")
_PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Delivery:
    """A genuine request: one event, or a batch."""

    events: list[Event]
    """Without those that were handled before, when there is a `Deduplicator`."""
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    """Lower-case names."""

    @property
    def retry_count(self) -> int:
        """0 at the first attempt."""
        value = self.headers.get("x-adobe-retry-count", "0")
        return int(value) if value.isdecimal() else 0


class WebhookAnswer(NamedTuple):
    status: int
    body: bytes
    content_type: str = _PLAIN

    @property
    def headers(self) -> list[tuple[str, str]]:
        """`nosniff`: what a challenge says is text, whatever it looks like."""
        length = str(len(self.body))
        return [
            ("content-type", self.content_type),
            ("content-length", length),
            ("x-content-type-options", "nosniff"),
            *([("allow", "GET, POST")] if self.status == 405 else []),
        ]


HANDLED = WebhookAnswer(200, b"ok")
UNDER_WAY = WebhookAnswer(503, b"an earlier attempt is still being handled")
"""Tried again later, when it is known how the earlier one ended."""
NO_LENGTH = WebhookAnswer(411, b"a body needs a content-length here")
TOO_LARGE = WebhookAnswer(413, b"too large")
WRONG_METHOD = WebhookAnswer(405, b"GET with a challenge, or POST with events")


def answer_challenge(query: str) -> WebhookAnswer:
    """Gives back what the query says."""
    values = parse_qs(query).get("challenge", [])
    if len(values) != 1 or not _CHALLENGE.fullmatch(values[0]):
        return WebhookAnswer(400, b"no challenge")
    return WebhookAnswer(200, values[0].encode())


def answer_unverified(verification: Verification) -> WebhookAnswer:
    """401, which is not tried again; 503 when only a key could not be fetched, which is."""
    said = json.dumps({"failed": verification.failed, "why": verification.why}).encode()
    return WebhookAnswer(503 if verification.failed is Check.KEY else 401, said, "application/json")


@contextmanager
def handling(
    verification: Verification, body: bytes, headers: Mapping[str, str], deduplicator: Deduplicator | None
) -> Iterator[Delivery]:
    """The delivery for a handler. When the block fails, its events are new again. Raises `UnderWay` when one of them is
    being handled at this moment."""
    with ExitStack() as stack:
        events = verification.events
        if deduplicator is not None:
            keyed = {event_id(event) or number: event for number, event in enumerate(events)}
            events = [
                event
                for key, event in keyed.items()
                if isinstance(key, int) or stack.enter_context(deduplicator.once(key))
            ]
        yield Delivery(events, body, headers)
