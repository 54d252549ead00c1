"""`eventmill demo` as a process: what it shows, that it ends well, and that it leaves nothing behind."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from eventmill.cli.environment import mint_admin_token, read_environment
from eventmill.config import Config
from eventmill.demo.screen import Screen
from eventmill.demo.show import Access, run_demo
from scripts.record_demo import README, recorded
from tests.e2e.gateway import call, free_port
from tests.e2e.harness.process import run_eventmill

DEMO = [sys.executable, "-m", "eventmill", "demo"]
ENDS_WITHIN_S = 60
CHANNELS = (
    "experience-platform/dataset-ingestion",
    "experience-platform/profile-update",
    "experience-platform/segment-evaluation",
    "analytics/report-suite-change",
    "campaign/delivery-status",
    "campaign/workflow-execution",
    "target/activity-state-change",
    "journey-optimizer/journey-step",
)


def assert_nothing_left(directory: Path, output: str) -> None:
    """No directory, and nothing that answers at the gateway's address."""
    assert list(directory.iterdir()) == []
    found = re.search(r"gateway +(http://\S+)", output)
    if found is not None:
        with pytest.raises(OSError, match="refused"):
            call("GET", f"{found[1]}/healthz")


def comparable(output: str) -> list[str]:
    """What is the same in every run: deliveries overtake each other, and batches are cut by time."""
    for pattern, mask in (
        (r"http://\S+", "URL"),
        (r"ready after [0-9.]+ s", "ready"),
        (r"\b1\.1\.0\.\d{8}\.", "POSITION."),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
        (r"(?m)^   a batch, in one request to /batch .*\n", ""),
        (r"\d batches", "batches"),
    ):
        output = re.sub(pattern, mask, output)
    return sorted(" ".join(line.split()) for line in output.splitlines() if line.strip())


def act(output: str, number: int) -> list[str]:
    """The rows of an act."""
    text = re.split(r"^\d  ", output, flags=re.MULTILINE)[number]
    return [line for line in text.splitlines()[3:] if line.strip()]


@pytest.mark.slow
def test_without_a_terminal(tmp_path: Path) -> None:
    """It ends by itself with exit code 0; every act shows what it promises, without colours, in 100 columns, and
    what README.md shows."""
    done = subprocess.run(
        DEMO, capture_output=True, text=True, timeout=ENDS_WITHIN_S, env={**os.environ, "TMPDIR": str(tmp_path)}
    )

    output = done.stdout
    assert (done.returncode, done.stderr) == (0, ""), output
    assert "\x1b" not in output
    assert max(len(line) for line in output.splitlines()) <= 100
    subscriptions, deliveries, forgeries, retry, journal = (act(output, number) for number in range(2, 7))
    assert [row.split()[0] for row in subscriptions] == ["webhook", "webhook_batch", "journal"]
    assert all(row.endswith("verified") for row in deliveries)
    assert {row.split()[0] for row in deliveries} == {*CHANNELS, "com.acme.stock.low", "a"}
    assert len(forgeries) == 3 and all(row.endswith("refused") for row in forgeries)
    assert [row.split()[-1] for row in retry] == ["503", "verified", "60}", "verified"]
    assert retry[0].split()[-2] == retry[-1].split()[-2], "the retry is of the same event"
    assert "18 entries in 1 page: each published event, once" in "\n".join(journal)
    assert re.search(
        r"^18 events: 18 deliveries and \d batches verified, 3 forgeries refused, all 18 in", output, re.MULTILINE
    )
    assert "/asyncapi/catalog.json" in output and "/events/organizations/" in output
    assert_nothing_left(tmp_path, output)
    assert comparable(output) == comparable(recorded(README.read_text())), "make docs-demo brings README.md up to date"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            DEMO, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, **variables}, start_new_session=True
        )
        os.close(slave)
        self.output = ""

    def read_until(self, text: str, start: int = 0) -> None:
        while text not in self.output[start:]:
            assert self._read(), f"it ended without saying {text!r}:\n{self.output}"

    def end(self, number: int) -> int:
        """Send a signal and read to the end; the exit code."""
        self.process.send_signal(number)
        while self._read():
            pass
        return self.process.wait(timeout=ENDS_WITHIN_S)

    def _read(self) -> bool:
        assert select.select([self.master], [], [], ENDS_WITHIN_S)[0], f"it stands still:\n{self.output}"
        try:
            chunk = os.read(self.master, 65536)
        except OSError:  # how a terminal whose other side is closed answers on Linux
            return False
        self.output += chunk.decode()
        return bool(chunk)


@contextmanager
def on_terminal(directory: Path, **variables: str) -> Iterator[Terminal]:
    terminal = Terminal({"TMPDIR": str(directory), "TERM": "xterm", **variables})
    try:
        yield terminal
    finally:
        with suppress(ProcessLookupError):
            terminal.process.terminate()
        terminal.process.wait(timeout=ENDS_WITHIN_S)
        os.close(terminal.master)


def test_on_a_terminal(tmp_path: Path) -> None:
    """It is coloured and stays; what it says to go on with works, and shows up; Ctrl-C ends everything."""
    with on_terminal(tmp_path) as terminal:
        terminal.read_until("removes its directory.\r\n\r\n")
        shown = len(terminal.output)
        found = re.search(r"--data (\S+) --port (\d+)", terminal.output)
        assert found is not None
        where = ("--data", found[1], "--port", found[2])
        more = run_eventmill("simulate", "target", "--count", "1", "--seed", "1", *where, directory=tmp_path)
        assert more.code == 0, more.message
        terminal.read_until("target/activity-state-change", shown)
        terminal.read_until("\x1b[32mverified\x1b[0m", shown)
        code = terminal.end(signal.SIGINT)

    assert code == 0
    assert_nothing_left(tmp_path, re.sub(r"\x1b\[\d*m", "", terminal.output))


def test_no_color(tmp_path: Path) -> None:
    """NO_COLOR is respected; ended in the middle it cleans up too, and its exit code is that of an interruption."""
    with on_terminal(tmp_path, NO_COLOR="1") as terminal:
        terminal.read_until("verified")
        code = terminal.end(signal.SIGTERM)

    assert code == 130
    assert "\x1b" not in terminal.output
    assert_nothing_left(tmp_path, terminal.output)


@pytest.mark.slow
def test_a_port_of_choice(tmp_path: Path) -> None:
    """`--port` is the gateway's."""
    port = free_port()

    done = subprocess.run(
        [*DEMO, "--port", str(port)],
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        env={**os.environ, "TMPDIR": str(tmp_path), "EVENTMILL_DATA": "/nowhere", "EVENTMILL_AUTH": "strict"},
    )

    assert done.returncode == 0, done.stdout
    assert f"gateway     http://127.0.0.1:{port}" in done.stdout


def test_a_port_in_use(tmp_path: Path) -> None:
    """The message names the port and what to do; nothing was started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run_eventmill("demo", "--port", port, directory=tmp_path, variables={"TMPDIR": str(tmp_path)})

    assert refused.code == 2
    assert port in refused.message and "--port" in refused.message
    assert "Traceback" not in refused.message
    assert_nothing_left(tmp_path, refused.output)


def test_a_delivery_that_cannot_be_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a wrong client secret the demo fails: exit code 1, the reason, and where the gateway's log is."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def read_access(config: Config) -> Access:
        return Access({**read_environment(config, None), "client_secret": "another"}, mint_admin_token(config))

    stream = io.StringIO()
    code = run_demo(Screen(stream, colour=False), None, read_access, stays=False)

    [kept] = tmp_path.iterdir()
    assert code == 1
    assert "x-adobe-signature does not fit the body" in stream.getvalue()
    assert str(kept) in stream.getvalue()
    assert "gateway_stopped" in (kept / "gateway.log").read_text()
