"""A webhook that records: passes challenges, keeps every POST, answers as it is told, or not at all."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from tests.e2e.harness.engines import PATIENCE

ARRIVES_WITHIN_S = 30.0 * PATIENCE


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes
    at_s: float
    """Time of the event loop, to relate arrivals to each other."""
    connected_s: float
    """When its connection was accepted; tells connections apart."""


@dataclass(frozen=True)
class Reply:
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


Answerer = Callable[[Received], Awaitable[Reply]]


def always(status: int, *headers: tuple[str, str], body: bytes = b"") -> Answerer:
    """Answer every POST the same way."""

    async def answer(_request: Received) -> Reply:
        return Reply(status, headers, body)

    return answer


async def never(_request: Received) -> Reply:
    """Read the request and stay silent."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@dataclass
class Gate:
    """Holds POSTs until it is opened, then answers them."""

    status: int = 200
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _request: Received) -> Reply:
        await self.opened.wait()
        return Reply(self.status)


class Hook:
    """Listens between `async with` and its end; `answer` and `challenge_answer` may be changed at any time."""

    def __init__(self, answer: Answerer | None = None, port: int = 0, *, keep: bool = True) -> None:
        """`keep=False`: POSTs are answered but not collected in `posts`."""
        self.answer = answer or always(200)
        self.challenge_answer: Answerer = _give_back
        self.posts: list[Received] = []
        self._posts_at: defaultdict[str, list[Received]] = defaultdict(list)
        self.challenges: list[Received] = []
        self.connections = 0
        """TCP connections accepted so far."""
        self._keep = keep
        self._port = port
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    async def __aenter__(self) -> Hook:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, backlog=1024, limit=4 << 20)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving)
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def posts_at(self, path: str) -> list[Received]:
        return self._posts_at[path]

    @property
    def paths(self) -> list[str]:
        """Those that received a POST."""
        return [path for path, posts in self._posts_at.items() if posts]

    async def until(self, reached: Callable[[], bool], within_s: float = ARRIVES_WITHIN_S) -> None:
        """Wait until `reached()`, which is asked again after each request that arrives."""
        if reached():
            return
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((reached, arrived))
        try:
            await asyncio.wait_for(arrived, within_s)
        except TimeoutError:
            last = [post.path for post in self.posts[-3:]]
            raise AssertionError(f"not within {within_s} s; {len(self.posts)} POSTs came, the last to {last}") from None

    async def until_posts(self, count: int) -> list[Received]:
        """Wait for that many POSTs in all; returns those there are."""
        await self.until(lambda: len(self.posts) >= count)
        return self.posts

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        with suppress(EOFError, ConnectionError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.close()
        with suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()
        self._serving.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected_s = asyncio.get_running_loop().time()
        while True:
            request = await _read_request(reader, connected_s)
            reply = await self._reply(request)
            lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}", f"content-length: {len(reply.body)}"]
            lines += [f"{name}: {value}" for name, value in reply.headers]
            writer.write("\r\n".join([*lines, "", ""]).encode() + reply.body)
            await writer.drain()

    async def _reply(self, request: Received) -> Reply:
        if request.method != "POST":
            self.challenges.append(request)
        elif self._keep:
            self.posts.append(request)
            self._posts_at[request.path].append(request)
        for waiter in [waiter for waiter in self._waiters if waiter[1].done() or waiter[0]()]:
            self._waiters.remove(waiter)
            if not waiter[1].done():
                waiter[1].set_result(None)
        return await (self.answer if request.method == "POST" else self.challenge_answer)(request)


async def _give_back(request: Received) -> Reply:
    return Reply(200, (("content-type", "text/plain"),), parse_qs(request.query)["challenge"][0].encode())


async def _read_request(reader: asyncio.StreamReader, connected_s: float) -> Received:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Received(method, parts.path, parts.query, headers, body, asyncio.get_running_loop().time(), connected_s)
