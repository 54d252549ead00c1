"""A receiver on a thread of this process, for commands that run to their end while it answers them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Got(NamedTuple):
    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes

    @property
    def event_id(self) -> str:
        """The publisher's id of the one event in it."""
        return str(json.loads(self.body)["id"])


Answerer = Callable[[Got], tuple[int, bytes]]
"""Status and body of the answer; a GET of a challenge is answered by it, too."""


class LocalReceiver:
    def __init__(self, answer: Answerer) -> None:
        self.answer = answer
        self.posts: list[Got] = []
        """Answered or about to be, in the order in which they came."""
        self.arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                got = Got(self.command, self.path, headers, body)
                status, answer = receiver.answer(got)
                if got.method == "POST":
                    with receiver.arrived:
                        receiver.posts.append(got)
                        receiver.arrived.notify_all()
                self.send_response(status)
                self.send_header("content-type", "application/json" if answer.startswith(b"{") else "text/plain")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = handle_any

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def until(self, reached: Callable[[], bool], within_s: float = 60.0) -> None:
        with self.arrived:
            assert self.arrived.wait_for(reached, within_s), f"{len(self.posts)} came within {within_s} s"


@contextmanager
def local_receiver(answer: Answerer) -> Iterator[LocalReceiver]:
    receiver = LocalReceiver(answer)
    receiver.server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that are killed
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()


def always(status: int) -> Answerer:
    return lambda _: (status, b"")
