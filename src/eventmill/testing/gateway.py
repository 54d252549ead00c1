"""A gateway in dev mode for the length of a test: a process of its own, on a free port, with its data where you say.

    with Gateway.started(tmp_path / "gateway") as gateway:
        client = Client.from_env(gateway.env)

Reads no setting from the shell that runs the tests. Waits hold on until what is awaited is there; nobody has to sleep.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from eventmill.client import Account, Client, JournalEntry, Patience, Registration, Trace, journal_url
from eventmill.client.blocking_transport import BlockingTransport
from eventmill.client.exchange import Answer, Send
from eventmill.testing.described import described, listed
from eventmill.testing.receiver import unused_port
from eventmill.testing.recording import Recording, replay

READY_WITHIN_S = 30.0
_STOP_WITHIN_S = 15.0
_LOOK_AGAIN_S = 0.02
_CLOCK_TIMEOUT_S = 300.0
_LOG_TAIL_BYTES = 8000
_PORT_TAKEN = "Address already in use"
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)([dhms]))")
_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


class GatewayFailed(AssertionError):
    """The gateway did not start, or did not do what a test asked of it."""


class Clock:
    """The virtual clock: retries, windows and retention follow it (`docs/dev-mode.md`)."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def advance(self, duration: str | float | timedelta) -> None:
        """`"24h"`, `"1d12h30m"`, seconds or a `timedelta`. Returns when all that fell due on the way has happened."""
        self._gateway.ask("POST", "/_dev/clock", {"advance_seconds": seconds(duration)}, timeout_s=_CLOCK_TIMEOUT_S)

    def run(self, rate: float) -> None:
        """So many times as fast as real time; 1 is real time again."""
        self._gateway.ask("POST", "/_dev/clock", {"rate": rate})

    def now(self) -> datetime:
        """What the gateway takes the time to be."""
        told = self._gateway.ask("GET", "/_dev/clock")
        return datetime.fromisoformat(told["now"])


class Gateway:
    """A running gateway. `started` makes one."""

    def __init__(self, data: Path, flags: Sequence[str] = ()) -> None:
        self.data = data
        self.log_path = data.with_name(data.name + ".log")
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env: dict[str, str] = {}
        """What `eval "$(eventmill env)"` sets in a shell."""
        self.clock = Clock(self)
        self._flags = tuple(flags)
        self._transport = BlockingTransport()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None
        self._numbers = count(1)
        self._was_ready = False

    @classmethod
    @contextmanager
    def started(cls, data: Path, *flags: str) -> Iterator[Gateway]:
        """Ready when the block begins, gone at its end. `flags`: more of `eventmill serve`, such as `--seed FILE`."""
        gateway = cls(data, flags)
        try:
            gateway.start()
            yield gateway
        finally:
            gateway.close()

    @property
    def client(self) -> Client:
        """Of the organization, project and workspace that the gateway begins with."""
        if self._client is None:
            self._client = Client(Account.from_env(self.env), Patience(retries=0))
        return self._client

    def start(self) -> None:
        """Also again after `stop` or `kill`, with the same data and port. Raises `GatewayFailed`."""
        for is_last in (False, False, True):
            try:
                self._start()
                self._was_ready = True
                return
            except GatewayFailed:
                # Between the choice of a port and its use another test may have taken it; after that it is promised.
                if is_last or self._was_ready or _PORT_TAKEN not in self.log():
                    raise
                self.port = unused_port()
                self.url = f"http://127.0.0.1:{self.port}"

    def _start(self) -> None:
        where = ("--data", str(self.data), "--port", str(self.port))
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and flags that the test's author gave
                [sys.executable, "-m", "eventmill", "serve", "--dev", "--log-format", "text", *self._flags, *where],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_variables(),
                start_new_session=True,
            )
        self._wait_ready(self._process)
        told = subprocess.run(  # noqa: S603 - likewise
            [sys.executable, "-m", "eventmill", "env", "--json", *where],
            capture_output=True,
            env=_variables(),
            timeout=READY_WITHIN_S,
            check=False,
        )
        if told.returncode != 0:
            raise GatewayFailed(told.stderr.decode())
        self.env = {name.upper(): value for name, value in json.loads(told.stdout).items()}

    def stop(self) -> None:
        """As an operator would; what it holds stays for the next `start`."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut would."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Whatever its state: afterwards nothing runs."""
        if self._client is not None:
            self._client.close()
        self._transport.close()
        self._end(signal.SIGTERM)

    def reset(self) -> None:
        """No events, providers, registrations and traces any more; tenants, keys and the clock stay."""
        self.ask("POST", "/_dev/reset")

    def fault(self, registration: Registration, kind: str, times: int = 1, **members: int) -> None:
        """The next deliveries suffer it: `status`, `latency`, `drop`, `duplicate` or `reorder` (`docs/dev-mode.md`)."""
        form = {"registration_id": registration["registration_id"], "kind": kind, "times": times, **members}
        self.ask("POST", "/_dev/faults", form)

    def topic(self, event_code: str = "com.acme.test", label: str = "") -> str:
        """A new provider with one event code; gives the `source` of its events. Without a label it is given one that no
        other has, so that tests may share a gateway."""
        provider = self.client.create_provider({"label": label or f"Test provider {next(self._numbers)}"})
        metadata = {"event_code": event_code, "label": event_code, "description": event_code}
        self.client.create_event_metadata_for_provider(provider["id"], metadata)  # type: ignore[arg-type]
        return provider["source"]

    def subscribe(self, source: str, event_code: str = "com.acme.test", url: str = "", **members: Any) -> Registration:
        """A registration for a topic: a webhook when `url` is given, else a journal. `members` are added to it."""
        body: dict[str, Any] = {
            "name": f"Test {next(self._numbers)}",
            "delivery_type": "webhook" if url else "journal",
            "events_of_interest": [{"provider_id": source.removeprefix("urn:uuid:"), "event_code": event_code}],
            **({"webhook_url": url} if url else {}),
            **members,
        }
        return self.client.create_registration(body)  # type: ignore[arg-type]

    def replay(self, path: str | os.PathLike[str], url: str = "") -> Registration:
        """Publishes a recording (`eventmill.testing.record`), from new providers that stand for those recorded, to a
        new registration: a webhook when `url` is given, else a journal."""

        def subscribe(topics: list[tuple[str, str]]) -> Registration:
            interests = [{"provider_id": provider_id, "event_code": code} for provider_id, code in topics]
            return self.subscribe(topics[0][0], url=url, events_of_interest=interests)

        return replay(self.client, Recording.load(path), subscribe, f"Recorded {next(self._numbers)}")

    def wait_for_event(
        self, registration: Registration, matching: Callable[[JournalEntry], bool] | None = None, within_s: float = 30.0
    ) -> JournalEntry:
        """The oldest entry of the journal that matches, which may be there already. Raises `GatewayFailed`."""
        ends_s = time.monotonic() + within_s
        url, others = journal_url(registration), list[JournalEntry]()
        while (left_s := ends_s - time.monotonic()) > 0:
            page = self.client.get_events_from_journal(url, wait_s=max(1, int(left_s)))
            for entry in page.events:
                if matching is None or matching(entry):
                    return entry
            others += page.events
            url = page.next
        came = listed("events in the journal", [described(entry["event"]) for entry in others])
        raise self._failed(f"no such event within {within_s:g} s; {came}")

    def wait_for_delivery(
        self, registration: Registration, matching: Callable[[Trace], bool] | None = None, within_s: float = 30.0
    ) -> Trace:
        """The newest attempt to deliver that matches (the newest that succeeded unless said otherwise), which may have
        been made already; challenges are none. For a webhook of your own; raises `GatewayFailed`."""
        ends_s = time.monotonic() + within_s
        codes = {interest["event_code"] for interest in registration["events_of_interest"]}
        matches = matching or is_success
        while True:
            traces = [trace for trace in self.client.get_traces(registration) if trace["event"] in codes]
            for trace in traces:
                if matches(trace):
                    return trace
            if time.monotonic() > ends_s:
                raise self._failed(f"no such delivery within {within_s:g} s; {self._attempts(registration, traces)}")
            time.sleep(_LOOK_AGAIN_S)

    def log(self) -> str:
        """The end of what it wrote."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def ask(self, method: str, path: str, body: object = None, timeout_s: float = 30.0) -> Any:
        """A call of dev mode's own addresses; the JSON of the answer. Raises `GatewayFailed`."""
        payload = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} if payload else {}
        given = self._transport.carry_out(Send(method, self.url + path, headers, payload, timeout_s))
        if not isinstance(given, Answer) or given.status >= 300:
            raise self._failed(f"{method} {path}: {given.body.decode() if isinstance(given, Answer) else given}")
        return given.json() if given.body else None

    def _attempts(self, registration: Registration, traces: list[Trace]) -> str:
        """What was attempted; without attempts, what the registration is like, which often says why."""
        if traces:
            return listed("attempts, newest first", [attempted(trace) for trace in traces])
        now = self.client.get_registration(registration["registration_id"])
        return f"no attempts: {now['webhook_status']}, {'enabled' if now.get('enabled', True) else 'not enabled'}"

    def _failed(self, what: str) -> GatewayFailed:
        return GatewayFailed(f"{what}; the gateway's log: {self.log_path}")

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        ends_s = time.monotonic() + READY_WITHIN_S
        while True:
            given = self._transport.carry_out(Send("GET", f"{self.url}/readyz", {}, timeout_s=5))
            if isinstance(given, Answer) and given.status == 200:
                return
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_LOOK_AGAIN_S)
                raise self._failed(f"the gateway exited with {process.returncode} before it was ready\n{self.log()}")
            if time.monotonic() > ends_s:
                raise self._failed(f"the gateway was not ready within {READY_WITHIN_S:g} s")

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if how is signal.SIGTERM:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_STOP_WITHIN_S)
                return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=_STOP_WITHIN_S)


def seconds(duration: str | float | timedelta) -> float:
    """Raises `ValueError` for a text that is no duration, such as `24`."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, int | float):
        return duration
    parts = _DURATION.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f'{duration!r} is no duration; expected something like "24h" or "1d12h30m"')
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def status(trace: Trace) -> int:
    """What the attempt was answered; from 601 on there was no answer ("Debug Tracing")."""
    return int(trace["trace"]["tracingResponse"]["responseCode"])


def is_success(trace: Trace) -> bool:
    return 200 <= status(trace) < 300


def attempted(trace: Trace) -> str:
    """One line for whoever reads why a test failed."""
    return f"{trace['date']} {trace['event']} answered {status(trace)}"


def _variables() -> dict[str, str]:
    """Without settings for another gateway: a test must not end in a database that the shell names."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EVENTMILL_")}
