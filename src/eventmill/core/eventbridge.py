"""Amazon EventBridge: which entries a delivery makes, how they fit into calls, and what the answers come to.

Names and limits from the EventBridge API reference (PutEvents, PutPartnerEvents) and "Amazon EventBridge and Adobe I/O
Events". Event bytes become text inside text and are not decoded. Calls nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from eventmill.errors import TraceCode
from eventmill.model import Origin

CUSTOM_ENTRIES_MAX = 10
PARTNER_ENTRIES_MAX = 20
ENTRIES_BYTES_MAX = 262_144
"""Of all entries of one call, and so of one entry; counted as `entry_bytes` does."""
DETAIL_TYPE_CHARS_MAX = 128
_TIME_BYTES = 14
"""What EventBridge counts for an entry's time."""

CONTENT_TYPE = "application/x-amz-json-1.1"

_THROTTLED = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"})
_OURS_TO_RETRY = {
    "InternalException": 500,
    "InternalFailure": 500,
    "InternalError": 500,
    "ConcurrentModificationException": 503,
    "OperationDisabledException": 503,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
}
_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_ACCESS = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized", "ResourceNotFoundException"})
"""The bus is not there, or does not let us; its owner may change that, and until then its events can wait."""


class BusForm(msgspec.Struct, frozen=True, tag="bus"):
    """What the entries of a registration have in common."""

    source: str
    bus: str
    """Name or ARN of a custom bus; empty for a partner event source."""

    @property
    def is_partner(self) -> bool:
        return not self.bus

    @property
    def entries_max(self) -> int:
        return PARTNER_ENTRIES_MAX if self.is_partner else CUSTOM_ENTRIES_MAX

    @property
    def operation(self) -> str:
        return "PutPartnerEvents" if self.is_partner else "PutEvents"

    def entry_bytes(self, entry: Entry) -> int:
        """The size that EventBridge counts: time, source, detail type and detail as UTF-8."""
        return _TIME_BYTES + len(self.source.encode()) + len(entry.detail_type.encode()) + len(entry.detail)

    def call_body(self, entries: Sequence[Entry]) -> bytes:
        """The body of one call with these entries."""
        return msgspec.json.encode(
            {
                "Entries": [
                    {
                        "Time": entry.time_ms / 1000,
                        "Source": self.source,
                        "Resources": [],
                        "DetailType": entry.detail_type,
                        "Detail": entry.detail.decode(),
                        **({"EventBusName": self.bus} if self.bus else {}),
                    }
                    for entry in entries
                ]
            }
        )


class Entry(msgspec.Struct, frozen=True):
    detail_type: str
    detail: bytes
    """A JSON object: the event as a webhook gets it."""
    time_ms: int


def entry_of(origin: Origin, time_ms: int, detail: bytes) -> Entry:
    return Entry(detail_type(origin.provider_label, origin.event_code), detail, time_ms)


def detail_type(provider_label: str, event_code: str) -> str:
    """`<provider label>:<event code>`. The label gives way when both are longer than EventBridge takes."""
    room = max(0, DETAIL_TYPE_CHARS_MAX - len(event_code) - 1)
    return f"{provider_label[:room]}:{event_code}"[:DETAIL_TYPE_CHARS_MAX]


def bus_name(bus: str, region: str, account_id: str) -> str:
    """The ARN of a bus in the registration's own account and region; `bus` itself when it is an ARN already."""
    if bus.startswith("arn:"):
        return bus
    partition = "aws-cn" if region.startswith("cn-") else "aws"
    return f"arn:{partition}:events:{region}:{account_id}:event-bus/{bus}"


def endpoint(region: str) -> str:
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://events.{region}.{suffix}/"


def source_name(name: str, registration_id: str, *, is_partner: bool) -> str:
    """`aws.` is for partners of AWS only, so a custom bus gets a source that is as close as it may be."""
    return f"{'aws.' if is_partner else ''}partner/{name}/{registration_id}"


def split_calls(sizes: Sequence[int], *, entries_max: int, bytes_max: int) -> list[range]:
    """Places of the entries that share a call, in order, each call within both limits. One that is too large by itself
    gets a call of its own, which the caller must not make."""
    calls: list[range] = []
    start = total = 0
    for at, size in enumerate(sizes):
        if at > start and (at - start >= entries_max or total + size > bytes_max):
            calls.append(range(start, at))
            start, total = at, 0
        total += size
    if sizes:
        calls.append(range(start, len(sizes)))
    return calls


class _EntryResult(msgspec.Struct, rename="pascal"):
    error_code: str | None = None
    error_message: str | None = None


class _Results(msgspec.Struct, rename="pascal"):
    entries: list[_EntryResult] = []
    failed_entry_count: int = 0


class _Refusal(msgspec.Struct):
    type: str = msgspec.field(name="__type", default="")


_decode_results = msgspec.json.Decoder(_Results).decode
_decode_refusal = msgspec.json.Decoder(_Refusal).decode


def entry_statuses(status: int, body: bytes, count: int) -> list[int]:
    """For each of `count` entries of a call the status that decides on its success, retry or refusal.

    `status` and `body` are those of the answer, a 6xx code included. A call that is refused as a whole is refused for
    each of its entries."""
    if status != 200:
        return [refusal_status(status, error_code(body))] * count
    try:
        results = _decode_results(body)
    except (msgspec.DecodeError, RecursionError):
        return [502] * count  # something that is not EventBridge answered; nothing tells what became of the events
    if not results.failed_entry_count:
        return [200] * count
    statuses = [200 if each.error_code is None else refusal_status(400, each.error_code) for each in results.entries]
    return (statuses + [500] * count)[:count]


def error_code(body: bytes) -> str:
    """The error of a refused call, without its namespace; empty when there is none to be read."""
    try:
        return _decode_refusal(body).type.rpartition("#")[2]
    except (msgspec.DecodeError, RecursionError):
        return ""


def refuses_credentials(code: str) -> bool:
    """Whether the gateway's own settings are at fault, and nothing is known about the bus."""
    return code in _CREDENTIALS


def refusal_status(status: int, code: str) -> int:
    """AWS answers 400 to what may be tried again as well as to what may not; the error's name tells."""
    if code in _THROTTLED:
        return 429
    if code in _ACCESS:
        return int(TraceCode.CLIENT_ERROR)
    return _OURS_TO_RETRY.get(code, status)
