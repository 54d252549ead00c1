"""A webhook that answers 200 at once and counts, over raw asyncio.

    python bench/sink.py PORT

POST on any path counts, but on those below /hang it is answered after ten seconds and does not count. GET with
`challenge` answers it; GET /reset starts the counts anew; GET /counts answers them: requests, events, monotonic seconds
of the last, and the lags of the events that carry the time at which they were sent (`load.py pace`).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

import uvloop

_HANG_S = 10.0
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_SENT = re.compile(rb'"sent":"(\d{19})"')
_CHALLENGE = re.compile(rb"[?&]challenge=([^& ]+)")
_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)", re.IGNORECASE)


class Counts:
    def __init__(self) -> None:
        self.requests = 0
        self.events = 0
        self.last_s = 0.0
        self.lags_ms: list[float] = []

    def note(self, body: bytes) -> None:
        now_ns = time.monotonic_ns()
        self.last_s = now_ns / 1e9
        self.requests += 1
        self.events += body.count(b'"recipientclientid"')
        for sent in _SENT.findall(body):
            if sent.strip(b"0"):
                self.lags_ms.append((now_ns - int(sent)) / 1e6)


class Sink(asyncio.Protocol):
    counts = Counts()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[: end + 2]
            found = _LENGTH.search(head)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self._data) < size:
                return
            body, self._data = self._data[end + 4 : size], self._data[size:]
            if head.startswith(b"POST /hang"):
                asyncio.get_running_loop().call_later(_HANG_S, self._transport.write, _OK)
            else:
                self._transport.write(self._answer(head, body))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"POST "):
            Sink.counts.note(body)
            return _OK
        text = json.dumps(vars(Sink.counts)).encode()
        challenge = _CHALLENGE.search(head)
        if challenge:
            text = challenge[1]
        elif head.startswith(b"GET /reset"):
            Sink.counts = Counts()
        return b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
