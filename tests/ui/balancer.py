"""Stands before the nodes of a cluster as a balancer would: each request goes to the next node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from threading import Lock, Thread
from urllib.parse import urlsplit

_HOP_BY_HOP = ("connection", "transfer-encoding", "keep-alive")


class Balancer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self._taking = Lock()
        self._nodes: Iterator[str] = iter(())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def lead_to(self, urls: list[str]) -> None:
        self._nodes = cycle(urls)

    def next_node(self) -> str:
        with self._taking:
            return next(self._nodes)


class _Passing(BaseHTTPRequestHandler):
    """One request per connection: its answer ends where the connection does."""

    server: Balancer

    def do_GET(self) -> None:
        self._pass_on()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        node = HTTPConnection(urlsplit(self.server.next_node()).netloc, timeout=300)
        try:
            node.request(self.command, self.path, body, {**self.headers, "connection": "close"})
            answer = node.getresponse()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("connection", "close")
            self.end_headers()
            while piece := answer.read1(65536):
                self.wfile.write(piece)
                self.wfile.flush()
        except OSError:
            """The browser left, or the node did; either way the connection ends here."""
        finally:
            node.close()
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@contextmanager
def balancer() -> Iterator[Balancer]:
    with Balancer() as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
