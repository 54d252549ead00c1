"""Load generators, each in a process of its own, over plain sockets: what they cost is no part of what is measured.

    python bench/load.py publish PORT HEAD BODY --connections 64 --seconds 3 [--count N]
    python bench/load.py pace    PORT HEAD BODY --rate 300 --seconds 10 [--connections 4]
    python bench/load.py journal PORT HEAD PATH --seconds 3
    python bench/load.py drain   PORT HEAD PATH [--count PAGES]
    python bench/load.py fetch   PORT HEAD PATH --seconds 3

HEAD is a file with the request's header lines, BODY one with its body. `publish` sends the next request on a connection
when the last is answered; `pace` sends at even intervals, on its connections in turn, and writes the time into the
body, of which BODY may be a directory: they come in turn; `journal` follows `next` from PATH to the end and starts
again; `drain` follows it once, to the end or for so many pages; `fetch` asks for PATH again and again. Prints one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import time
from pathlib import Path
from typing import Any

SENT_MARK = b"0000000000000000000"
"""Stands in the body where `pace` writes its 19 digits of monotonic nanoseconds."""
WARM_UP_S = 0.5
_ANSWER_OK = b"HTTP/1.1 200"
_END_OK = b"\r\n\r\nOK"
_NEXT = re.compile(rb'<([^>]+)>; ?rel="next"')
_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)\r\n", re.IGNORECASE)


def post(head: bytes, body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\n" + head + b"content-length: %d\r\n\r\n" % len(body) + body


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def percentile(sorted_values: list[float], share: float) -> float:
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


class Publisher:
    """Closed loop: every connection has one request under way."""

    def __init__(self, port: int, request: bytes, connections: int) -> None:
        self._request = request
        self._poll = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        self._sent_s: dict[int, float] = {}
        self._partial: dict[int, bytes] = {}
        self.latencies_s: list[float] = []
        for _ in range(connections):
            sock = connect(port)
            self._socks[sock.fileno()] = sock
            self._poll.register(sock.fileno(), select.EPOLLIN)

    def run(self, seconds: float, count: int) -> dict[str, Any]:
        """Until the time is over or so many are answered, whichever comes first."""
        started_s = time.perf_counter()
        until_s = started_s + seconds
        answered, sent = 0, 0
        for number in self._socks:
            if sent < count:
                self._send(number)
                sent += 1
        while answered < count and time.perf_counter() < until_s:
            for number, _ in self._poll.poll(1):
                if not self._answered(number):
                    continue
                answered += 1
                if sent < count:
                    self._send(number)
                    sent += 1
        spent_s = time.perf_counter() - started_s
        return {"answered": answered, "seconds": spent_s, "per_s": answered / spent_s}

    def finish(self) -> int:
        """Take in what is still under way; returns how many."""
        answered = 0
        while self._sent_s:
            for number, _ in self._poll.poll(30):
                answered += self._answered(number)
        return answered

    def _send(self, number: int) -> None:
        self._sent_s[number] = time.perf_counter()
        self._socks[number].sendall(self._request)

    def _answered(self, number: int) -> bool:
        data = self._partial.pop(number, b"") + self._socks[number].recv(65536)
        if not data.endswith(_END_OK):
            if not data or not data.startswith(_ANSWER_OK[: len(data)]):
                raise SystemExit(f"unexpected answer: {data[:500]!r}")
            self._partial[number] = data
            return False
        self.latencies_s.append(time.perf_counter() - self._sent_s.pop(number))
        return True


def publish(args: argparse.Namespace) -> dict[str, Any]:
    publisher = Publisher(args.port, post(args.head.read_bytes(), args.what.read_bytes()), args.connections)
    extra = 0
    if not args.count:  # warm-up, then the timed stretch
        extra = publisher.run(WARM_UP_S, 1 << 60)["answered"] + publisher.finish()
        publisher.latencies_s.clear()
    found = publisher.run(args.seconds, args.count or 1 << 60)
    extra += publisher.finish()
    latencies = sorted(publisher.latencies_s)
    found["p50_ms"] = percentile(latencies, 0.5) * 1e3
    found["p99_ms"] = percentile(latencies, 0.99) * 1e3
    found["total"] = found["answered"] + extra
    return found


def pace(args: argparse.Namespace) -> dict[str, Any]:
    head = args.head.read_bytes()
    files = sorted(args.what.iterdir()) if args.what.is_dir() else [args.what]
    bodies = [file.read_bytes() for file in files]
    assert all(body.count(SENT_MARK) == 1 for body in bodies), "a body has one place for the time"
    socks = [connect(args.port) for _ in range(args.connections)]
    started_s = time.perf_counter()
    total = int(args.rate * args.seconds)
    late = 0
    for number in range(total):
        sock = socks[number % len(socks)]
        if number >= len(socks):
            read_ok(sock)
        wait_s = started_s + number / args.rate - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        else:
            late += 1
        body = bodies[number % len(bodies)]
        sock.sendall(post(head, body.replace(SENT_MARK, b"%019d" % time.monotonic_ns())))
    for sock in socks[: min(total, len(socks))]:
        read_ok(sock)
    return {"total": total, "late": late, "per_s": total / (time.perf_counter() - started_s)}


def read_ok(sock: socket.socket) -> None:
    data = sock.recv(65536)
    while not data.endswith(_END_OK):
        more = sock.recv(65536)
        if not more or not data.startswith(_ANSWER_OK[: len(data)]):
            raise SystemExit(f"unexpected answer: {data[:500]!r}")
        data += more


def journal(args: argparse.Namespace) -> dict[str, Any]:
    """Pages with events per second. The page without events that ends a pass is read but not counted."""
    head = args.head.read_bytes()
    sock = connect(args.port)
    first = str(args.what).encode()
    pages, size, path = 0, 0, first
    started_s = time.perf_counter()
    while time.perf_counter() - started_s < args.seconds:
        sock.sendall(b"GET " + path + b" HTTP/1.1\r\n" + head + b"\r\n")
        status, top, body_bytes = read_answer(sock)
        link = _NEXT.search(top)
        if status == b"200" and link:
            pages += 1
            size += body_bytes
            path = link[1]
        elif status == b"204":
            path = first
        else:
            raise SystemExit(f"unexpected answer: {top!r}")
    spent_s = time.perf_counter() - started_s
    return {"pages": pages, "per_s": pages / spent_s, "page_bytes": size // max(1, pages)}


def drain(args: argparse.Namespace) -> dict[str, Any]:
    """Once through; then the first and the last tenth again, a page of each in turn, so that the machine's moods hit
    both alike."""
    head = args.head.read_bytes()
    sock = connect(args.port)

    def ask(path: bytes) -> bytes:
        """The next link; empty at the end."""
        sock.sendall(b"GET " + path + b" HTTP/1.1\r\n" + head + b"\r\n")
        status, top, _ = read_answer(sock)
        link = _NEXT.search(top)
        if status not in (b"200", b"204") or not link:
            raise SystemExit(f"unexpected answer: {top!r}")
        return link[1] if status == b"200" else b""

    paths = []
    path = str(args.what).encode()
    started_s = time.perf_counter()
    while path and (not args.count or len(paths) < args.count):
        paths.append(path)
        path = ask(path)
    spent_s = time.perf_counter() - started_s
    pages = len(paths) - (not path)
    tenth = max(1, pages // 10)
    tenths_s = [0.0, 0.0]
    for pair in zip(paths[:tenth], paths[pages - tenth : pages], strict=True):
        for number, each in enumerate(pair):
            asked_s = time.perf_counter()
            ask(each)
            tenths_s[number] += time.perf_counter() - asked_s
    first_ms, last_ms = (each_s / tenth * 1e3 for each_s in tenths_s)
    return {"pages": pages, "per_s": pages / spent_s, "first_tenth_ms": first_ms, "last_tenth_ms": last_ms}


def fetch(args: argparse.Namespace) -> dict[str, Any]:
    """Median time of one answer, on one connection."""
    request = b"GET " + str(args.what).encode() + b" HTTP/1.1\r\n" + args.head.read_bytes() + b"\r\n"
    sock = connect(args.port)
    spent_s: list[float] = []
    size = 0
    until_s = time.perf_counter() + args.seconds
    while len(spent_s) < 3 or time.perf_counter() < until_s:
        started_s = time.perf_counter()
        sock.sendall(request)
        status, top, size = read_answer(sock)
        spent_s.append(time.perf_counter() - started_s)
        if status != b"200":
            raise SystemExit(f"unexpected answer: {top!r}")
    return {"answers": len(spent_s), "p50_ms": percentile(sorted(spent_s), 0.5) * 1e3, "bytes": size}


def read_answer(sock: socket.socket) -> tuple[bytes, bytes, int]:
    """Status, head and size of the body, which is read and dropped."""
    data = sock.recv(1 << 18)
    while (end := data.find(b"\r\n\r\n")) < 0:
        more = sock.recv(1 << 18)
        if not more:
            raise SystemExit("the server closed the connection")
        data += more
    top = data[: end + 4]
    found = _LENGTH.search(top)
    length = int(found[1]) if found else 0
    left = length - (len(data) - end - 4)
    while left > 0:
        left -= len(sock.recv(1 << 18))
    return top[9:12], top, length


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["publish", "pace", "journal", "drain", "fetch"])
    parser.add_argument("port", type=int)
    parser.add_argument("head", type=Path)
    parser.add_argument("what", type=Path)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--rate", type=float, default=300.0)
    args = parser.parse_args()
    modes = {"publish": publish, "pace": pace, "journal": journal, "drain": drain, "fetch": fetch}
    print(json.dumps(modes[args.mode](args)))


if __name__ == "__main__":
    main()
