"""The command line meets something that is no gateway: it says so, and takes nothing for an answer."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner

from eventmill.cli import wire
from eventmill.cli.main import cli
from eventmill.cli.remote import Remote
from eventmill.cli.wire import NoAnswer
from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.flow.keyring import ensure_keys
from eventmill.ids import IdSource
from eventmill.store.seal import Sealer, load_seal_key
from eventmill.store.sqlite.store import SqliteStore


@contextmanager
def something(status: int, content_type: str, body: bytes) -> Iterator[str]:
    """URL of a server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def make_data(path: Path) -> Config:
    """A data directory with keys in it."""
    config = Config(data=str(path / "mill"))

    async def fill() -> None:
        store = SqliteStore(config, SystemClock())
        await store.open()
        await ensure_keys(store, Sealer(load_seal_key(config)), SystemClock(), IdSource())
        await store.close()

    asyncio.run(fill())
    return config


def test_the_operators_token_goes_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only to this machine, or to the gateway's own public URL: whoever gets it is the operator."""
    data = make_data(tmp_path).data
    with pytest.raises(StartupError, match="--token"):
        Remote.of("https://events.example", None, data, None)

    assert Remote.of("https://events.example", "own", data, None).headers()["authorization"] == "Bearer own"
    assert Remote.of("http://127.0.0.1:1", None, data, None).headers()["authorization"].startswith("Bearer ey")
    monkeypatch.setenv("EVENTMILL_BASE_URL", "https://events.example/")
    assert Remote.of("https://events.example", None, data, None).headers()["authorization"].startswith("Bearer ey")


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "text/html", b"<p>Please sign in to this network"),
        (200, "application/json", b""),
        (200, "application/json", b"{"),
        (200, "application/json", b'{"a": "b"}'),
        (200, "application/json", b"[1]"),
        (302, "text/html", b""),
        (503, "application/json", b'"later"'),
    ],
)
def test_something_else_answers(status: int, content_type: str, body: bytes) -> None:
    """One line that names the address and exit code 1, neither an empty list nor a traceback."""
    with something(status, content_type, body) as url:
        done = CliRunner().invoke(cli, ["org", "list", "--url", url, "--token", "t"])

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"eventmill: {url} ") and "as a gateway would" in done.stderr


def test_the_gateway_speaks_of_parameters_and_the_command_of_flags() -> None:
    """What to do about a refusal is said in the words of the command line."""
    body = b'{"reason": "conflict", "message": "would refuse what was accepted; with ?force=true it is changed anyway"}'
    with something(409, "application/json", body) as url:
        done = CliRunner().invoke(cli, ["org", "list", "--url", url, "--token", "t"])

    assert done.stderr == "eventmill: would refuse what was accepted; with --force it is changed anyway\n"


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a server sends, a command takes no more memory than a bounded answer."""
    monkeypatch.setattr(wire, "_ANSWER_BYTES_MAX", 100)
    answer = b"[" + b" " * 200 + b"]"
    with something(200, "application/json", answer) as url, pytest.raises(NoAnswer, match="more than 100 bytes"):
        Remote(url, "t").call("GET", "/")


def test_ctrl_c() -> None:
    """Exit code 130 and no traceback, also while a command waits for an answer that does not come."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "eventmill", "org", "list", "--url", url, "--token", "t"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
            taken, _ = silent.accept()
            with taken:
                assert taken.recv(1)
                waiting.send_signal(signal.SIGINT)
                output, message = waiting.communicate(timeout=60)

    assert (waiting.returncode, output, message.strip()) == (130, "", "")
