"""Runtime actions: the parameters that an action is given for a delivery, and the status that its activation comes to.

Parameters as in "Receive Events via Runtime Actions", activations as in the Apache OpenWhisk REST API. Event bytes are
joined, not decoded. Calls nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

_LEFT_OUT = frozenset(
    {
        "x-adobe-digital-signature-1",
        "x-adobe-digital-signature-2",
        "x-adobe-public-key1-path",
        "x-adobe-public-key2-path",
    }
)
"""What the signature validator in front of an action has used up."""

Kind = Literal["success", "application error", "action developer error", "whisk internal error"]
"""`response.status` of an activation record."""


class ActionForm(msgspec.Struct, frozen=True, tag="action"):
    """What stands around the events in the parameters of one attempt."""

    tail: bytes

    def params(self, body: bytes, *, batch: bool) -> bytes:
        """The parameters, a JSON object: the members of the event and `__adobe_headers`, or `events` when `batch`.

        `body` is that of a webhook. Ours is the last member: it counts if the event has one of that name."""
        return b'{"events":' + body + self.tail if batch else body[:-1] + self.tail


def action_form(headers: Sequence[tuple[str, str]]) -> ActionForm:
    """From the headers of the delivery to a webhook."""
    kept = {
        name: value
        for name, value in headers
        if name == "x-request-id" or (name.startswith("x-adobe-") and name not in _LEFT_OUT)
    }
    return ActionForm(b',"__adobe_headers":' + msgspec.json.encode(kept) + b"}")


class Verdict(NamedTuple):
    status: int
    """What decides on success, retry and refusal: an HTTP status."""
    body: bytes
    """For the trace: JSON with `activation_id`, and `result` or `error`."""


class _Outcome(msgspec.Struct):
    status: str = ""
    success: bool = False
    result: Any = None


class _Activation(msgspec.Struct, rename={"activation_id": "activationId"}):
    response: _Outcome | None = None
    activation_id: str = ""


_decode_activation = msgspec.json.Decoder(_Activation).decode


def activation_id_in(body: bytes) -> str:
    """The id that an answer of OpenWhisk's names, an activation or the promise of one; empty when there is none."""
    activation = _activation(body)
    return "" if activation is None else activation.activation_id


def judge_invocation(status: int, body: bytes) -> Verdict | None:
    """What a blocking invocation came to, from OpenWhisk's answer: its own status is 200 or 502 when an action ran.

    None when the answer is not about an activation that ended. One that was cut off counts by its status."""
    if status not in (200, 500, 502):
        return None
    activation = _activation(body)
    if activation is None or activation.response is None:
        return Verdict(200, body) if status == 200 else None
    outcome = activation.response
    kind: Kind = "success" if outcome.success else "application error"
    return judge_activation(kind, outcome.result, activation.activation_id)


def judge_activation(kind: Kind, result: Any, activation_id: str, logs: Sequence[str] = ()) -> Verdict:
    """The status is the action's own `statusCode`, also inside its `error`; else 200 for a success, 500 otherwise."""
    status = status_code(result)
    if status is None and kind != "success":
        status = status_code(_error(result))
    if status is None:
        status = 200 if kind == "success" else 500
    body: dict[str, Any] = {"activation_id": activation_id}
    if kind == "success":
        body["result"] = result
    else:
        body["error"] = _error(result)
    if logs:
        body["logs"] = list(logs)
    return Verdict(status, msgspec.json.encode(body))


def status_code(result: Any) -> int | None:
    """The `statusCode` of a result when it is an HTTP status, as a number or in digits."""
    value = result.get("statusCode") if isinstance(result, Mapping) else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
        return value
    return None


def _error(result: Any) -> Any:
    return result["error"] if isinstance(result, Mapping) and "error" in result else result


def _activation(body: bytes) -> _Activation | None:
    try:
        return _decode_activation(body)
    except (msgspec.DecodeError, RecursionError):
        return None
