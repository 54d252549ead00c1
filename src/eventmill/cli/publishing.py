"""Sends events one after the other and keeps count: waits where it is asked to, goes on after a refusal.

An event whose answer got lost is sent again, so it may be stored twice, as with any publisher that wants it stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import msgspec

from eventmill.cli.outgoing import (
    Outgoing,
    Request,
    batch_request,
    binary_request,
    event_id,
    is_json,
    structured_request,
)
from eventmill.cli.session import Session
from eventmill.cli.wire import NoAnswer, Reply

Mode = Literal["structured", "binary", "batch"]

_REFUSALS_KEPT = 100
_WAITS_MAX = 20
_WAIT_S_MAX = 30.0


class PublishRefusal(msgspec.Struct, frozen=True):
    """An event that was not accepted."""

    line: int
    id: str
    status: int
    """0: it could not even be sent."""
    reason: str
    message: str


class PublishSummary(msgspec.Struct, kw_only=True):
    """What came of a publish command."""

    published: int = 0
    """On disk, and in the journal of everybody who is to get it."""
    unsubscribed: int = 0
    """Valid, and nobody is to get it; in a batch, too."""
    refused: int = 0
    id: str = ""
    """The publisher's id of the last event that was answered."""
    seconds: float = 0.0
    refusals: list[PublishRefusal] = []
    """The first hundred."""
    ended: str = ""
    """Why it stopped before the end; empty: it did not."""
    last_line: int = 0
    """Up to here everything was answered."""

    @property
    def total(self) -> int:
        return self.published + self.unsubscribed + self.refused


class Publishing:
    def __init__(self, session: Session, mode: Mode, batch_size: int, *, phidata: bool) -> None:
        self._session = session
        self._mode = mode
        self._batch_size = batch_size if mode == "batch" else 1
        self._more = {"x-event-phidata": "true"} if phidata else {}
        self.summary = PublishSummary()

    def run(self, events: Iterator[Outgoing], on_done: Callable[[int], None]) -> PublishSummary:
        """`on_done` hears how many more were answered. Ctrl-C and a gateway that is gone end it; the summary tells."""
        began_s = time.monotonic()
        try:
            while group := list(islice(events, self._batch_size)):
                self._send_group(group)
                self.summary.last_line = group[-1].line
                on_done(len(group))
        except NoAnswer as error:
            self.summary.ended = str(error)
        except KeyboardInterrupt:
            self.summary.ended = "interrupted"
        self.summary.seconds = round(time.monotonic() - began_s, 3)
        return self.summary

    def _send_group(self, group: Sequence[Outgoing]) -> None:
        if self._mode == "batch":
            self._send_batch(group)
            return
        outgoing = group[0]
        try:
            request = binary_request(outgoing.event) if self._mode == "binary" else structured_request(outgoing.event)
        except ValueError as error:
            self._note_refusal(outgoing, 0, "not_sent", str(error))
            return
        reply = self._send(request)
        self.summary.id = event_id(outgoing.event) or self.summary.id
        if reply.status == 200:
            self.summary.published += 1
        elif reply.status == 204:
            self.summary.unsubscribed += 1
        else:
            self._note_refusal(outgoing, reply.status, *_why(reply))

    def _send_batch(self, group: Sequence[Outgoing]) -> None:
        """What the gateway refuses of a batch is left out, and the rest is sent: one bad event spoils no other."""
        for outgoing in [each for each in group if not is_json(each.event)]:
            self._note_refusal(outgoing, 0, "not_sent", "not JSON")
        group = [each for each in group if is_json(each.event)]
        if not group:
            return
        reply = self._send(batch_request(each.event for each in group))
        told = reply.json()
        if reply.status == 200 and isinstance(told, dict):
            self.summary.published += told["stored"]
            self.summary.unsubscribed += told["accepted"] - told["stored"]
            self.summary.id = event_id(group[-1].event)
            return
        errors = {each["index"]: each for each in told.get("errors", ())} if isinstance(told, dict) else {}
        for at, outgoing in enumerate(group):
            if at in errors:
                self._note_refusal(outgoing, reply.status, errors[at]["reason"], errors[at]["message"])
            elif not errors:
                self._note_refusal(outgoing, reply.status, *_why(reply))
        rest = [outgoing for at, outgoing in enumerate(group) if at not in errors]
        if errors and rest:
            self._send_batch(rest)

    def _send(self, request: Request) -> Reply:
        """Its answer; one that says when to come back is obeyed. Raises `NoAnswer` when the gateway stays away."""
        url = self._session.account.ingress_url
        waits = 0
        while True:
            reply = self._session.send("POST", url, {**request.headers, **self._more}, request.body)
            if reply.status not in (429, 503) or waits == _WAITS_MAX:
                return reply
            waits += 1
            time.sleep(_wait_s(reply))

    def _note_refusal(self, outgoing: Outgoing, status: int, reason: str, message: str) -> None:
        self.summary.refused += 1
        if len(self.summary.refusals) < _REFUSALS_KEPT:
            refusal = PublishRefusal(outgoing.line, event_id(outgoing.event), status, reason, message)
            self.summary.refusals = [*self.summary.refusals, refusal]


def _wait_s(reply: Reply) -> float:
    text = reply.headers.get("retry-after") or "1"
    return min(float(text), _WAIT_S_MAX) if text.isdecimal() else 1.0


def _why(reply: Reply) -> tuple[str, str]:
    told: Any = reply.json()
    if isinstance(told, dict) and isinstance(told.get("message"), str):
        return str(told.get("reason", told.get("error_code", ""))), told["message"]
    return "", " ".join(reply.body[:300].decode("utf-8", "replace").split()) or f"status {reply.status}"
