"""One call of the service, without I/O: tokens, retries and refusals as a generator of steps that somebody carries out.

A driver sends what a `Send` says and gives back the `Answer` or the `NoAnswer`; sleeps for a `Wait`; calls a `Do`. The
blocking client and the asynchronous one are two such drivers, so neither decides anything.
"""

from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64decode
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode, urlsplit

from eventmill.client.account import Account
from eventmill.client.errors import BadAnswer, ClientError, Conflict, NoAnswer, Refused, refusal_class

T = TypeVar("T")
ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""What claims to be more is no answer of the service."""
_FIRST_DELAY_S = 1.0
_TOKEN_SPARE_S = 60.0
_MESSAGE_CHARS_MAX = 500


@dataclass(frozen=True)
class Send:
    """An HTTP request to be sent; redirects are not followed."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Wait:
    seconds: float


@dataclass(frozen=True)
class Do:
    """Something that may block for a moment, such as writing a file. What it returns is not looked at."""

    function: Callable[[], object]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Lower-case names; several of one name joined by commas (RFC 9110 §5.3)."""
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Raises `BadAnswer` for what is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise BadAnswer(f"status {self.status} with a body that is no JSON") from None


Step = Send | Wait | Do
Given = Answer | NoAnswer | None
"""What a driver gives back: for a `Send` one of the first two."""
Steps = Generator[Step, Given, T]


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request that is to be made, and how its answer is read."""

    operation: str
    method: str
    url: str
    read: Callable[[Answer], T]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    wait_s: float = 0.0
    """For how long the service was asked to hold the answer back."""


@dataclass(frozen=True)
class Patience:
    """How hard a call is tried, as the official JavaScript SDK tries: network failures, 429 and 5xx again."""

    retries: int = 3
    """0: never again. Delays double from a second on, unless the service names one."""
    timeout_s: float = 30.0
    """For one attempt."""
    retry_after_s_max: float = 60.0
    """Whoever says to come back later than this is believed: the call ends with `Throttled` or `ServerFailed`."""


class Session:
    """The account's token, for as long as the client lives. May be shared by threads: at worst two ask for a token."""

    def __init__(self, account: Account, patience: Patience, now_s: Callable[[], float]) -> None:
        """`now_s`: seconds since the epoch."""
        self.account = account
        self.patience = patience
        self.now_s = now_s
        self._lock = threading.Lock()
        self._token = account.access_token
        self._ends_s = _token_end_s(account.access_token)

    def exchange(self, call: Call[T]) -> Steps[T]:
        """The call with a token that is good, again where that helps. Raises `ClientError`."""
        token = yield from self._good_token()
        answer = yield from self._attempts(call, token)
        if answer.status == 401 and self.account.client_secret:  # revoked, or a clock that differs: once with a new one
            self._forget(token)
            token = yield from self._good_token()
            answer = yield from self._attempts(call, token)
        if answer.status >= 300:
            raise refused(call.operation, answer, self.now_s())
        return call.read(answer)

    def _attempts(self, call: Call[T], token: str) -> Steps[Answer]:
        if not _may_have_token(call.url, self.account):
            raise ClientError(f"{call.operation}: {urlsplit(call.url).hostname} is none of the account's hosts")
        headers = {
            "authorization": f"Bearer {token}",
            "x-api-key": self.account.client_id,
            "x-ims-org-id": self.account.ims_org_id,
            **call.headers,
        }
        send = Send(call.method, call.url, headers, call.body, self.patience.timeout_s + call.wait_s)
        return (yield from attempts(send, self.patience, self.now_s))

    def _good_token(self) -> Steps[str]:
        with self._lock:
            token, ends_s = self._token, self._ends_s
        is_ending = ends_s is not None and ends_s - _TOKEN_SPARE_S < self.now_s()
        if token and not (is_ending and self.account.client_secret):
            return token
        account = self.account
        form = {
            "grant_type": "client_credentials",
            "client_id": account.client_id,
            "client_secret": account.client_secret,
            "scope": account.scopes,
        }
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        url = f"{account.ims_url.rstrip('/')}/ims/token/v3"
        send = Send("POST", url, headers, urlencode(form).encode(), self.patience.timeout_s)
        answer = yield from attempts(send, self.patience, self.now_s)
        if answer.status != 200:
            raise refused("access_token", answer, self.now_s())
        granted = answer.json()
        if not isinstance(granted, dict) or not isinstance(granted.get("access_token"), str):
            raise BadAnswer("access_token: the answer holds no access token")
        lifetime_s = granted.get("expires_in")
        with self._lock:
            self._token = granted["access_token"]
            self._ends_s = self.now_s() + lifetime_s if isinstance(lifetime_s, int | float) else None
        return str(granted["access_token"])

    def _forget(self, token: str) -> None:
        with self._lock:
            if self._token == token:
                self._token = ""


def attempts(send: Send, patience: Patience, now_s: Callable[[], float]) -> Steps[Answer]:
    """The last answer, whatever its status. Raises `NoAnswer` when the last attempt got none."""
    attempt = 0
    while True:
        given = yield send
        assert given is not None
        retry_after_s = None
        if isinstance(given, Answer):
            if given.status != 429 and given.status < 500:
                return given
            retry_after_s = read_retry_after(given.headers.get("retry-after", ""), now_s())
        is_last = attempt >= patience.retries or (retry_after_s or 0) > patience.retry_after_s_max
        if is_last and isinstance(given, Answer):
            return given
        if is_last and isinstance(given, NoAnswer):
            raise given
        yield Wait(_FIRST_DELAY_S * 2**attempt if retry_after_s is None else retry_after_s)
        attempt += 1


def refused(operation: str, answer: Answer, now_s: float) -> Refused:
    """What the service said, as an error."""
    message, headers = "", answer.headers
    if "json" in headers.get("content-type", ""):
        with_message = _parsed(answer.body)
        if isinstance(with_message, dict):
            message = str(with_message.get("message") or with_message.get("error_description") or "")
    else:
        message = answer.body.decode("utf-8", "replace").strip()
    error = refusal_class(answer.status)(
        operation,
        answer.status,
        message[:_MESSAGE_CHARS_MAX],
        request_id=headers.get("x-request-id", ""),
        retry_after_s=read_retry_after(headers.get("retry-after", ""), now_s),
    )
    if isinstance(error, Conflict):
        error.conflicting_id = headers.get("x-conflicting-id", "")
    return error


def read_retry_after(value: str, now_s: float) -> float | None:
    """Seconds from now; the header has seconds or a date (RFC 9110 §10.2.3). None without one that can be read."""
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError):
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_s)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _token_end_s(token: str) -> float | None:
    """When a token ends, if it is a JWT that says so: RFC 7519 `exp`, or IMS' `created_at` and `expires_in` in ms."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if "exp" in claims:
            return float(claims["exp"])
        return (float(claims["created_at"]) + float(claims["expires_in"])) / 1000
    except (IndexError, ValueError, KeyError, TypeError):
        return None


def _may_have_token(url: str, account: Account) -> bool:
    """A link in an answer must not lead the token to somebody else, nor from https to http."""
    place = urlsplit(url)
    for own in (account.api_url, account.ingress_url, *account.journal_hosts):
        known = urlsplit(own if "://" in own else f"https://{own}")
        if (place.scheme, place.netloc) == (known.scheme, known.netloc):
            return True
    return place.scheme == "https" and (place.hostname or "").endswith(".adobe.io") and place.port in (None, 443)
