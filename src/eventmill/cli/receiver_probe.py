"""What a receiver check sends: signed deliveries, and the server that has their public keys and validation links.

Real signatures ("Introduction to Adobe I/O Events Webhooks") by keys made for the run, or by a gateway's own.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from uuid import uuid4

from eventmill.cli.wire import read_place
from eventmill.core.delivery_headers import delivery_headers
from eventmill.core.envelope import format_time
from eventmill.core.signing import DeliverySigner, generate_pair, public_key_path
from eventmill.model import OrgId, Origin

_ANSWER_BYTES_MAX = 64 * 1024
_SLOW_PARTS = 4
_SLOW_PAUSE_S = 0.25


class Answer(NamedTuple):
    status: int
    """0: none came."""
    ms: int
    why: str
    """Of an answer that did not come."""
    media_type: str = ""
    encoding: str = ""
    body: bytes = b""


class Identity(NamedTuple):
    """Whom deliveries are addressed to, and what they are signed with."""

    client_id: str
    client_secret: str
    signer: DeliverySigner


class KeyServer:
    """Serves PEM files below /prod/keys/, and takes note of validation links that are opened."""

    def __init__(self, port: int) -> None:
        """Raises `OSError` when the port is taken."""
        self.files: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.validated = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/csm/registrations/validate":
                    server.validated.set()
                found = server.files.get(path)
                server.fetched.append(path)
                body = found or b"validated\n"
                self.send_response(200 if found or path.startswith("/csm/") else 404)
                self.send_header("content-type", "text/plain")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that is inherited
                """Nothing: standard error is for the report."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator[KeyServer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def make_signer(server: KeyServer) -> DeliverySigner:
    """With two new keys, whose public halves `server` has from now on."""
    pairs = []
    for _ in range(2):
        key_id = str(uuid4())
        private_pem, public_pem = generate_pair()
        server.files[public_key_path(key_id)] = public_pem.encode()
        pairs.append((key_id, private_pem))
    return DeliverySigner((pairs[0], pairs[1]))


class Parcel(NamedTuple):
    """A delivery that is ready to be posted, or to be tampered with first."""

    body: bytes
    headers: dict[str, str]


def make_parcel(identity: Identity, events: list[dict[str, Any]], *, batch: bool, retry_count: int = 0) -> Parcel:
    """As the gateway would post `events`, of which there is one unless `batch`."""
    body = json.dumps(events if batch else events[0], ensure_ascii=False).encode()
    origins = [(str(each["eventid"]), _origin(str(each["type"]))) for each in events]
    headers = delivery_headers(
        origins, batch=batch, retry_count=retry_count, delivery_id=str(uuid4()), request_id=uuid4().hex
    )
    return Parcel(body, dict(headers) | dict(identity.signer.headers(body, identity.client_secret.encode())))


def make_event(identity: Identity, template: Mapping[str, Any], data: object = None) -> dict[str, Any]:
    """A new event like `template`, addressed to the receiver."""
    event_id = str(uuid4())
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"urn:uuid:{uuid4()}",
        "type": "com.example.receiver.check",
        "time": format_time(time.time_ns() // 1_000_000),
        "datacontenttype": "application/json",
        "data": {"sku": "A1"},
        **template,
        "eventid": event_id,
        "event_id": event_id,
        "recipient_client_id": identity.client_id,
        "recipientclientid": identity.client_id,
    }
    return event if data is None else {**event, "data": data}


def _origin(code: str) -> Origin:
    return Origin(OrgId(""), "", code, "receiver_check", "Receiver check", "cloud_events_v1", "")


class Receiver:
    """The URL under test."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url
        self._place = read_place(url)
        self._timeout_s = timeout_s

    def post(self, parcel: Parcel, *, slowly: bool = False) -> Answer:
        """One delivery on a connection of its own; `slowly`: its body comes in pieces. Raises nothing."""
        return self.ask("POST", self.url, parcel.headers, parcel.body, slowly=slowly)

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", *, slowly: bool = False
    ) -> Answer:
        place = read_place(url)
        kind = HTTPSConnection if place.scheme == "https" else HTTPConnection
        connection = kind(place.hostname or "", place.port, timeout=self._timeout_s)
        target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        began_s = time.monotonic()
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if method == "POST":
                connection.putheader("content-length", str(len(body)))
            connection.endheaders()
            for part in _parts(body, slowly):
                connection.send(part)
            with _cut_after(self._timeout_s, connection.sock) as is_cut:
                response = connection.getresponse()
                raw = response.read(_ANSWER_BYTES_MAX)
            if is_cut():
                return self._unfinished(began_s)
            media_type = response.getheader("content-type") or ""
            coding = response.getheader("content-encoding") or ""
            return Answer(response.status, _ms(began_s), "", media_type, coding, raw)
        except (OSError, HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return Answer(0, _ms(began_s), why)
        finally:
            connection.close()

    def _unfinished(self, began_s: float) -> Answer:
        return Answer(0, _ms(began_s), f"its answer was not whole within {self._timeout_s:g} s")


@contextmanager
def _cut_after(seconds: float, sock: socket.socket) -> Iterator[Callable[[], bool]]:
    """Ends the connection when the block takes longer: a timeout of the socket's own begins anew with each byte.

    Gives a function that says whether it was ended."""
    cut = threading.Event()

    def end() -> None:
        cut.set()
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield cut.is_set
    except (OSError, HTTPException):
        if not cut.is_set():
            raise
    finally:
        timer.cancel()


def _parts(body: bytes, slowly: bool) -> Iterator[bytes]:
    if not slowly:
        if body:
            yield body
        return
    size = -(-len(body) // _SLOW_PARTS)
    for start in range(0, len(body), size):
        yield body[start : start + size]
        time.sleep(_SLOW_PAUSE_S)


def _ms(began_s: float) -> int:
    return round((time.monotonic() - began_s) * 1000)
