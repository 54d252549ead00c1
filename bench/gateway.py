"""A gateway under measurement: `eventmill serve`, with a tenant of the bench, in a temporary directory."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from load import SENT_MARK
from processes import Process, children_of, free_port, listens, wait_for

ORG, PROJECT, WORKSPACE, CREDENTIAL = "1001", "2001", "3001", "4001"
CLIENT_ID = "0123456789abcdef0123456789abcdef"
EVENT_CODE = "com.example.bench.made"
EVENT_BYTES = 1024
SETTINGS = {
    "EVENTMILL_AUTH": "lenient",
    "EVENTMILL_LOG_LEVEL": "warning",
    "EVENTMILL_PUBLISH_REQUESTS_PER_5S": "0",
    "EVENTMILL_REGISTRATIONS_PER_CLIENT": "0",
    "EVENTMILL_REGISTRATIONS_PER_ORG": "0",
    "EVENTMILL_WEBHOOK_ALLOW_HTTP": "true",
    "EVENTMILL_WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
}
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(method: str, url: str, headers: dict[str, str] | None = None, body: Any = None) -> tuple[Any, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with _opener.open(request, timeout=60) as response:
            return response.headers, response.read()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{method} {url} answered {error.code}: {error.read().decode(errors='replace')}") from error


class Gateway:
    """Ready on entry, ended on exit.

    `processes`: delivery processes, 0 for the default. `dev`: `serve --dev` and nothing else. `codes`: number of event
    codes. `store`: DSN of a database in place of files; then there may be several in one directory."""

    def __init__(
        self, directory: Path, processes: int = 0, *, dev: bool = False, codes: int = 10, store: str = ""
    ) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._flags = ["--dev"] if dev else ["--store", store] if store else []
        self._settings: dict[str, str] = {}
        if not dev:
            self._settings = SETTINGS | {"EVENTMILL_BOOTSTRAP": str(self._write_bootstrap())}
        if processes:
            self._settings["EVENTMILL_DELIVERY_PROCESSES"] = str(processes)
        self._codes = codes
        self.port = free_port()
        self._process: Process | None = None
        self._provider_id = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def __enter__(self) -> Gateway:
        where = ("--port", str(self.port), "--data", str(self.data))
        log = self.directory / "gateway.log"
        self._process = Process("-m", "eventmill", "serve", *self._flags, *where, env=self._settings, log=log)
        wait_for(self._ready, 90, "the gateway's start", 0.005)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.end()

    def _ready(self) -> bool:
        assert self._process is not None
        if self._process.ended:
            raise SystemExit(f"the gateway ended:\n{(self.directory / 'gateway.log').read_text()[-2000:]}")
        if not listens(self.port):
            return False
        try:
            with _opener.open(f"{self.url}/readyz", timeout=10) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    # --- Its tenant ---

    def _write_bootstrap(self) -> Path:
        credential = {"id": CREDENTIAL, "name": "Bench", "client_id": CLIENT_ID, "client_secret": "p8e-bench"}
        workspace = {"id": WORKSPACE, "name": "Bench", "credentials": [credential]}
        project = {"id": PROJECT, "name": "Bench", "workspaces": [workspace]}
        org = {"id": ORG, "ims_org_id": "0123456789ABCDEF01234567@AdobeOrg", "name": "Bench", "projects": [project]}
        path = self.directory / "bootstrap.json"
        path.write_text(json.dumps({"organizations": [org]}))
        return path

    @property
    def headers(self) -> dict[str, str]:
        return {
            "authorization": "Bearer bench",
            "x-api-key": CLIENT_ID,
            "x-ims-org-id": "0123456789ABCDEF01234567@AdobeOrg",
            "content-type": "application/json",
        }

    def _make_provider(self) -> None:
        base = f"{self.url}/events/{ORG}/{PROJECT}/{WORKSPACE}/providers"
        made = json.loads(call("POST", base, self.headers, {"label": "Bench"})[1])
        self._provider_id = made["id"]
        for number in range(self._codes):
            event = {"event_code": f"{EVENT_CODE}{number}", "label": "Made", "description": "Something was made"}
            call("POST", f"{base}/{self._provider_id}/eventmetadata", self.headers, event)

    def register(self, name: str, delivery_type: str, sink_port: int = 0, codes: tuple[int, ...] = (0,)) -> str:
        """Subscribe to some of the event codes; returns the path of the journal."""
        if not self._provider_id:
            self._make_provider()
        body: dict[str, Any] = {
            "client_id": CLIENT_ID,
            "name": name,
            "delivery_type": delivery_type,
            "events_of_interest": [
                {"provider_id": self._provider_id, "event_code": f"{EVENT_CODE}{code}"} for code in codes
            ],
        }
        if sink_port:
            body["webhook_url"] = f"http://127.0.0.1:{sink_port}/{name}"
        url = f"{self.url}/events/{ORG}/{PROJECT}/{WORKSPACE}/registrations"
        made = json.loads(call("POST", url, self.headers, body)[1])
        if not made["enabled"]:
            raise SystemExit(f"the sink failed its challenge: {made}")
        journal: str = made["_links"]["rel:events"]["href"]
        return journal.removeprefix(self.url)

    # --- What is sent to it ---

    def head_file(self) -> Path:
        """Header lines of a publishing client or a journal reader."""
        lines = {**self.headers, "host": f"127.0.0.1:{self.port}", "content-type": "application/cloudevents+json"}
        path = self.directory / "head"
        path.write_bytes(b"".join(f"{name}: {value}\r\n".encode() for name, value in lines.items()))
        return path

    def event_file(self, code: int = 0) -> Path:
        """An event of exactly 1 KB, with a place for the time at which it is sent."""
        event = {
            "specversion": "1.0",
            "id": "order-771",
            "source": f"urn:uuid:{self._provider_id}",
            "type": f"{EVENT_CODE}{code}",
            "datacontenttype": "application/json",
            "time": "2026-11-22T10:00:00.000Z",
            "data": {"sent": SENT_MARK.decode(), "text": ""},
        }
        text = json.dumps(event, separators=(",", ":"))
        path = self.directory / f"event{code}"
        path.write_text(text.replace('"text":""', f'"text":"{"x" * (EVENT_BYTES - len(text))}"'))
        return path

    # --- Its processes ---

    @property
    def front(self) -> int:
        assert self._process is not None
        return self._process.pid

    def delivery(self) -> list[int]:
        return children_of(self.front)

    def pause_delivery(self) -> None:
        for pid in self.delivery():
            os.kill(pid, signal.SIGSTOP)

    def resume_delivery(self) -> float:
        """Returns the moment, in monotonic seconds."""
        resumed_s = time.monotonic()
        for pid in self.delivery():
            os.kill(pid, signal.SIGCONT)
        return resumed_s
