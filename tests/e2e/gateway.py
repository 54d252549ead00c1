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

from tests.e2e.harness.balancer import Balancer
from tests.e2e.harness.engines import NODES, PATIENCE, store_of, store_variables

READY_WITHIN_S = 30.0 * PATIENCE
STOP_WITHIN_S = 20.0 * PATIENCE
_ANSWER_WITHIN_S = 30.0 * PATIENCE
_LOG_TAIL_BYTES = 20_000
_TLS_PORT = "EVENTMILL_TLS_PORT"

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
        with _opener.open(request, timeout=_ANSWER_WITHIN_S) as response:
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
    others: list[tuple[int, subprocess.Popen[bytes]]] = field(default_factory=list)
    """Port and process of each, when the gateway is a cluster; then `process` is the first node."""
    balancer: Balancer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        return self.data.with_name(self.data.name + ".log")

    @property
    def processes(self) -> list[subprocess.Popen[bytes]]:
        """One, or one for each node; without those that deliver."""
        assert self.process is not None
        return [self.process, *(process for _, process in self.others)]

    def start(self) -> Gateway:
        """Start the process and return once `/readyz` answers 200."""
        if NODES == 1 or "--store" in self.flags:
            self.process = self._start_node(self.port, {})
        else:
            ports = [free_port() for _ in range(NODES)]
            self.process, *others = [self._start_node(port, self._own_ports(port == ports[0])) for port in ports]
            self.others = list(zip(ports[1:], others, strict=True))
            for port, process in zip(ports, (self.process, *others), strict=True):
                self._wait_ready(f"http://127.0.0.1:{port}", process)
            self.balancer = Balancer(self.port, ports)
            self.balancer.start()
        self.wait_ready()
        return self

    def _own_ports(self, is_first: bool) -> dict[str, str]:
        """Of one machine one process can have a port: that for HTTPS is the first node's."""
        return {} if is_first or _TLS_PORT not in self.variables else {_TLS_PORT: str(free_port())}

    def _start_node(self, port: int, own: dict[str, str]) -> subprocess.Popen[bytes]:
        store = "" if "--store" in self.flags else store_of(self.data)
        variables = {"EVENTMILL_STORE": store} if store else {}
        if port != self.port:
            variables["EVENTMILL_BASE_URL"] = self.url
        where = ["--data", str(self.data), "--port", str(port)]
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "eventmill", "serve", *self.flags, "--log-format", "text", *where],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **variables, **self.variables, **own},
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        assert self.process is not None
        self._wait_ready(self.url, self.process)

    def _wait_ready(self, url: str, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not _answers_ready(url):
            try:
                process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, f"not ready within {READY_WITHIN_S} s\n{self.log_tail()}"
            else:
                raise AssertionError(f"exited with {process.returncode} before it was ready\n{self.log_tail()}")

    def stop(self) -> int:
        """SIGTERM, as an operator would; returns the exit code."""
        processes = self.processes
        for process in processes:
            process.terminate()
        codes = [process.wait(timeout=STOP_WITHIN_S) for process in processes]
        self._stop_balancing()
        return max(codes, key=abs)

    def kill_front(self) -> None:
        """SIGKILL to the gateway alone, not to its delivery processes."""
        for process in self.processes:
            process.kill()
            process.wait(timeout=STOP_WITHIN_S)
        self._stop_balancing()

    def kill(self) -> None:
        """SIGKILL to the gateway and its delivery processes at once, as a power cut would."""
        processes = self.processes
        for process in processes:
            with suppress(ProcessLookupError):  # a front that fell may have left a delivery process behind, or none
                os.killpg(process.pid, signal.SIGKILL)
        for process in processes:
            process.wait(timeout=STOP_WITHIN_S)
        self._stop_balancing()

    def _stop_balancing(self) -> None:
        self.others = []
        if self.balancer is not None:
            self.balancer.stop()
            self.balancer = None

    def close(self) -> None:
        """Whatever its state: afterwards nothing runs."""
        if self.process is not None:
            self.kill()

    def env(self, *flags: str) -> dict[str, str]:
        """What `eventmill env --json` says."""
        command = [sys.executable, "-m", "eventmill", "env", "--json", *flags, *self._where()]
        variables = {**os.environ, **store_variables(str(self.data)), **self.variables}
        done = subprocess.run(command, capture_output=True, env=variables, timeout=_ANSWER_WITHIN_S)
        assert done.returncode == 0, done.stderr.decode()
        values: dict[str, str] = json.loads(done.stdout)
        return values

    def log_tail(self) -> str:
        if not self.log_path.exists():
            return "it was never started"
        return self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def _where(self) -> list[str]:
        return ["--data", str(self.data), "--port", str(self.port)]


def _answers_ready(url: str) -> bool:
    try:
        return call("GET", f"{url}/readyz").status == 200
    except OSError:
        return False


def auth_headers(env: dict[str, str]) -> dict[str, str]:
    """The headers that every call of the wire API carries."""
    return {
        "authorization": f"Bearer {env['access_token']}",
        "x-api-key": env["client_id"],
        "x-ims-org-id": env["ims_org_id"],
    }
