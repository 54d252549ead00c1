"""Drives steps without a network: answers from a list, waits that are only noted."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from eventmill.client.account import Account
from eventmill.client.errors import NoAnswer
from eventmill.client.exchange import Answer, Call, Do, Patience, Send, Session, Wait
from eventmill.client.journal import Emit

URL = "https://api.adobe.io/events/providers/p1"


def account(**members: Any) -> Account:
    given = {"ims_org_id": "o@AdobeOrg", "client_id": "c1", "access_token": "t1"}
    return Account(**{**given, **members})


def session(patience: Patience | None = None, now_s: float = 1000.0, **members: Any) -> Session:
    return Session(account(**members), patience or Patience(), lambda: now_s)


def answer(status: int = 200, body: Any = None, **headers: str) -> Answer:
    """JSON unless `body` is bytes; underscores in the names of headers are dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {"content-type": "application/json", **named}, raw)


def call(method: str = "GET", url: str = URL) -> Call[Any]:
    return Call("get_provider", method, url, Answer.json)


class Driver:
    """`sent` and `waits` are what the steps asked for, `emitted` the events that came out."""

    def __init__(self, *given: Answer | NoAnswer) -> None:
        self._given = list(given)
        self.sent: list[Send] = []
        self.waits: list[float] = []
        self.emitted: list[str] = []

    def run(self, steps: Generator[Any, Any, Any], emit_max: int | None = None) -> Any:
        """To the end, or until that many events came and the next is asked for: then the steps are closed."""
        back: Answer | NoAnswer | None = None
        while True:
            try:
                step = steps.send(back)
            except StopIteration as stop:
                return stop.value
            back = None
            match step:
                case Send():
                    self.sent.append(step)
                    back = self._given.pop(0)
                case Wait(seconds):
                    self.waits.append(seconds)
                case Do(function):
                    function()
                case Emit(entry):
                    if emit_max is not None and len(self.emitted) == emit_max:
                        steps.close()
                        return None
                    self.emitted.append(entry["position"])

    def headers(self) -> list[Mapping[str, str]]:
        return [send.headers for send in self.sent]


def page(*positions: str, status: int = 200, **headers: str) -> Answer:
    """Of a journal, with a `next` link after its last event."""
    entries: Sequence[dict[str, Any]] = [{"position": each, "event": {"id": each}} for each in positions]
    after = positions[-1] if positions else "end"
    link = f'</events-fast/j?since={after}>; rel="next"'
    return answer(status if positions else 204, {"events": entries}, link=link, **headers)
