"""The application under test, served on loopback as a webhook."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from orders import make_application

from eventmill.testing import Gateway


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def ordered() -> list[str]:
    return []


@pytest.fixture
def application_url(eventmill: Gateway, ordered: list[str]) -> Iterator[str]:
    application = make_application(eventmill.env["CLIENT_ID"], eventmill.env["KEYS_URL"], ordered)
    with make_server("127.0.0.1", 0, application, handler_class=QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()
        thread.join()
