"""A real gateway process for the end-to-end tests: start, wait until ready, stop or kill by pid, read its log."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY_WITHIN_S = 30.0
STOP_WITHIN_S = 20.0
_LOG_TAIL_BYTES = 20_000

# The tests talk to 127.0.0.1 only; a proxy from the environment would only be in the way.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    """Lower-case names; of a repeated header the last one."""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def call(method: str, url: str, headers: dict[str, str] | None = None, body: Any = None) -> Answer:
    """One HTTP request; `body` is sent as is when bytes, else as JSON. No exception for any status."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with _opener.open(request, timeout=30) as response:
            return Answer(response.status, _lower(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, _lower(error.headers), error.read())


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Gateway:
    """One gateway on one data directory; may be started again after `stop` or `kill`."""

    data: Path
    flags: tuple[str, ...] = ("--dev",)
    variables: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        return self.data.with_name(self.data.name + ".log")

    def start(self) -> Gateway:
        """Start the process and return once `/readyz` answers 200."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "eventmill", "serve", *self.flags, "--log-format", "text", *self._where()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.variables},
                start_new_session=True,
            )
        self.wait_ready()
        return self

    def wait_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._answers_ready():
            try:
                self.process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, f"not ready within {READY_WITHIN_S} s\n{self.log_tail()}"
            else:
                raise AssertionError(f"exited with {self.process.returncode} before it was ready\n{self.log_tail()}")

    def stop(self) -> int:
        """SIGTERM, as an operator would; returns the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=STOP_WITHIN_S)

    def kill(self) -> None:
        """SIGKILL to the gateway and its delivery processes at once, as a power cut would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=STOP_WITHIN_S)

    def close(self) -> None:
        """Whatever its state: afterwards nothing runs."""
        if self.process is not None:
            with suppress(ProcessLookupError):  # a front that fell may have left a delivery process behind
                self.kill()

    def env(self, *flags: str) -> dict[str, str]:
        """What `eventmill env --json` says."""
        command = [sys.executable, "-m", "eventmill", "env", "--json", *flags, *self._where()]
        done = subprocess.run(command, capture_output=True, env={**os.environ, **self.variables}, timeout=30)
        assert done.returncode == 0, done.stderr.decode()
        values: dict[str, str] = json.loads(done.stdout)
        return values

    def log_tail(self) -> str:
        return self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def _where(self) -> list[str]:
        return ["--data", str(self.data), "--port", str(self.port)]

    def _answers_ready(self) -> bool:
        try:
            return call("GET", f"{self.url}/readyz").status == 200
        except OSError:
            return False


def auth_headers(env: dict[str, str]) -> dict[str, str]:
    """The headers that every call of the wire API carries."""
    return {
        "authorization": f"Bearer {env['access_token']}",
        "x-api-key": env["client_id"],
        "x-ims-org-id": env["ims_org_id"],
    }
