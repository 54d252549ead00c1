"""`eventmill receiver-check` on receivers that verify, trust everybody, validate later, or are not there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from eventmill.demo.verify import NotVerifiedError, Verifier
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import call, free_port
from tests.e2e.harness.command_line import CommandLine, check_schema
from tests.e2e.harness.engines import store_of
from tests.e2e.harness.local_receiver import Answerer, Got, always, local_receiver


def careful(keys_url: str, client_id: str, client_secret: str) -> Answerer:
    """Verifies as the documentation wants it, and gives challenges back as JSON."""

    async def fetch_key(path: str) -> bytes:
        answer = await asyncio.to_thread(call, "GET", keys_url + path)
        if answer.status != 200:
            raise LookupError(path)
        return answer.body

    def answer(got: Got) -> tuple[int, bytes]:
        if got.method == "GET":
            return 200, json.dumps({"challenge": parse_qs(urlsplit(got.path).query)["challenge"][0]}).encode()
        try:
            asyncio.run(Verifier(client_id, client_secret, fetch_key).verify(got.headers, got.body))
        except NotVerifiedError:
            return 401, b""
        return 200, b""

    return answer


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in report["checks"]}


def test_a_receiver_that_never_ends_its_answer() -> None:
    """One byte now and then, each of which would begin a timeout of the socket anew: the check ends all the same."""
    ended = threading.Event()

    def drip(listening: socket.socket) -> None:
        taken, _ = listening.accept()
        with taken, contextlib.suppress(OSError):
            taken.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
            while not ended.wait(0.05):
                taken.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/hook"
        options = ("--keys-port", str(free_port()), "--timeout", "0.5", "--only", "good_signature", "--json")
        done = CommandLine().run("receiver-check", url, *options)
        ended.set()
        thread.join()
    [check] = check_schema(("receiver-check",), json.loads(done.output))["checks"]
    assert (done.code, check["verdict"]) == (1, "fail")
    assert "its answer was not whole within 0.5 s" in check["why"]


@pytest.mark.parametrize("delivery_type", ["webhook", "webhook_batch"])
def test_a_careful_receiver(delivery_type: str, tmp_path: Path) -> None:
    """Passes every check, with keys that the command serves; exit code 0, and a report to keep."""
    line, port, file = CommandLine(), free_port(), tmp_path / "report.md"
    with local_receiver(careful(f"http://127.0.0.1:{port}", "acme", "only-for-tests")) as receiver:
        options = ("--client-id", "acme", "--client-secret", "only-for-tests", "--keys-port", str(port))
        form = ("--delivery-type", delivery_type, "--report", str(file))
        report = line.read("receiver-check", receiver.url, *options, *form)
    assert (report["failed"], report["keys_fetched"]) == (0, True), report
    assert verdicts(report)["batch"] == ("pass" if delivery_type == "webhook_batch" else "skip")
    assert report["checks"][0]["why"] == "given back as JSON"
    assert "| ✓ | `bad_signature` |" in file.read_text()


def test_a_receiver_that_trusts_everybody(tmp_path: Path) -> None:
    """Takes forged events: each such check fails and says what of it; exit code 1."""

    def answer(got: Got) -> tuple[int, bytes]:
        return 200, parse_qs(urlsplit(got.path).query)["challenge"][0].encode() if got.method == "GET" else b""

    file = tmp_path / "report.json"
    with local_receiver(answer) as receiver:
        options = ("--keys-port", str(free_port()), "--report", str(file))
        done = CommandLine().run("receiver-check", receiver.url, *options)
    report = check_schema(("receiver-check",), json.loads(file.read_text()))
    failed = [name for name, verdict in verdicts(report).items() if verdict == "fail"]
    assert failed == ["bad_signature", "no_signature", "foreign_key", "other_recipient"]
    assert done.code == 1 and report["keys_fetched"] is False
    assert "✗ bad_signature    refuses a body that was changed after signing: status 200: it was taken" in done.output
    assert done.output.endswith("\n\n10 passed, 4 failed, 1 not tried\n")
    assert "It fetched no public key" in done.message


def test_a_receiver_that_follows_the_header() -> None:
    """One that fetches keys from wherever the header leads is found out, though it verifies what it gets."""
    fetched: list[str] = []

    def answer(got: Got) -> tuple[int, bytes]:
        path = got.headers["x-adobe-public-key1-path"]
        with urllib.request.urlopen(f"http://{path.removeprefix('@')}"):
            fetched.append(path)
        return 200, b""

    with local_receiver(answer) as receiver:
        options = ("--keys-port", str(free_port()), "--only", "foreign_key", "-j")
        done = CommandLine().run("receiver-check", receiver.url, *options)
    [check] = json.loads(done.output)["checks"]
    assert check["verdict"] == "fail" and "it fetched a key from the host that the header named" in check["why"]
    assert fetched


def test_a_receiver_that_validates_later() -> None:
    """Takes the offer and opens the link; one that opens nothing fails."""
    opens = True

    def answer(got: Got) -> tuple[int, bytes]:
        if got.method == "GET":
            return 404, b""
        link = json.loads(got.body)["validationUrl"]
        if opens:
            threading.Thread(target=open_link, args=(link,)).start()
        return 200, b""

    with local_receiver(answer) as receiver:
        check: Callable[[], Any] = lambda: CommandLine().run(  # noqa: E731
            *("receiver-check", receiver.url, "--keys-port", str(free_port()), "--only", "challenge"),
            *("--validation-wait", "5" if opens else "0.1"),
        )
        taken = check()
        opens = False
        ignored = check()
    assert taken.code == 0 and "asynchronous: it took the offer and opened the link" in taken.output
    assert ignored.code == 1 and "which nobody opened within 0.1 s" in ignored.output


def open_link(url: str) -> None:
    with urllib.request.urlopen(url) as answer:
        answer.read()


def test_a_receiver_that_refuses() -> None:
    """A genuine delivery that gets a 500, a redirect or nothing at all: what the gateway would make of it."""
    one = ("--keys-port", str(free_port()), "--only", "good_signature")
    for status, told in ((500, "sent again for 24 hours"), (302, "redirects are not followed"), (404, "dropped")):
        with local_receiver(always(status)) as receiver:
            done = CommandLine().run("receiver-check", receiver.url, *one)
        assert done.code == 1 and told in done.output, done
    gone = CommandLine().run("receiver-check", f"http://127.0.0.1:{free_port()}/", *one)
    assert gone.code == 1 and "no answer: Connection refused" in gone.output
    assert "no such check: nix" in CommandLine().misused("receiver-check", "http://127.0.0.1:9/", "--only", "nix")
    assert "is not a URL" in CommandLine().run("receiver-check", "nowhere", *one).message


def test_signed_as_a_gateway_does(start_gateway: StartGateway) -> None:
    """With --data the receiver needs no change: keys and credential are that gateway's."""
    gateway = start_gateway("--dev")
    line = CommandLine(gateway)
    with local_receiver(careful(line.env["KEYS_URL"], line.env["CLIENT_ID"], line.env["CLIENT_SECRET"])) as receiver:
        only = ("--only", "good_signature", "--only", "bad_signature")
        store = store_of(gateway.data)
        where = ("--data", str(gateway.data), *(("--store", store) if store else ()))
        report = line.read("receiver-check", receiver.url, *where, *only)
    assert (report["passed"], report["failed"], report["keys_fetched"]) == (2, 0, None)
