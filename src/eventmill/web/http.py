"""A request as handlers see it, and the reply they give. Knows ASGI and HTTP, nothing about events or tenants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from eventmill.errors import GatewayError, Reason

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

JSON_TYPE = "application/json"
HAL_TYPE = "application/hal+json;charset=UTF-8"
PATCH_TYPE = "application/json-patch+json"
NOT_STORED = ((b"cache-control", b"no-store"),)
"""Headers of an answer with a secret or a token in it."""
_QUERY_FIELDS_MAX = 100
_SHOWN_CHARS = 64
_LENGTH_DIGITS_MAX = 18
_DISCARDED_BYTES_MAX = 16 * 1024 * 1024


class ClientGoneError(Exception):
    """The client closed the connection before its request body was complete; nobody waits for a reply."""


class Stream(Protocol):
    """A body that comes in pieces, each asked for when the one before was taken."""

    def chunks(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None:
        """Called once, whether or not a piece was asked for."""


class Reply(msgspec.Struct, frozen=True):
    status: int
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Further headers, lower-case names, in the order they are sent."""
    stream: Stream | None = None
    """In place of `body`."""


class Request:
    """One HTTP request, its route parameters percent-decoded."""

    __slots__ = ("_receive", "_scope", "params")

    def __init__(self, scope: Scope, receive: Receive, params: Mapping[str, str]) -> None:
        self._scope = scope
        self._receive = receive
        self.params = params

    @property
    def method(self) -> str:
        """`HEAD` also reaches the handlers of `GET`."""
        return str(self._scope["method"])

    @property
    def headers(self) -> Headers:
        headers: Headers = self._scope["headers"]
        return headers

    @property
    def target(self) -> str:
        """Path and query as they were sent."""
        path: bytes = self._scope.get("raw_path") or str(self._scope["path"]).encode()
        query: bytes = self._scope.get("query_string", b"")
        return (path.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")

    @property
    def peer(self) -> str:
        """Address of the other end of the connection; empty when the server does not know it."""
        client = self._scope.get("client")
        return str(client[0]) if client else ""

    def header(self, name: bytes) -> str:
        """The last header of that (lower-case) name, or an empty string."""
        for header, value in reversed(self.headers):
            if header == name:
                return value.decode("latin-1")
        return ""

    def header_values(self, name: bytes) -> list[str]:
        """All headers of that (lower-case) name, in order."""
        return [value.decode("latin-1") for header, value in self.headers if header == name]

    async def gone(self) -> None:
        """Returns when the client closes the connection; of a request whose body nobody reads."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def query(self) -> list[tuple[str, str]]:
        """Query parameters in order; repeated names stay."""
        raw = self._scope.get("query_string", b"")
        return parse_urlencoded(raw, "the query") if raw else []

    def query_value(self, name: str) -> str | None:
        """The last value of a query parameter."""
        return next((value for key, value in reversed(self.query()) if key == name), None)

    async def json_body(self, bytes_max: int, *types: str) -> bytes:
        """The body, unless it says that it is something else. `types`: the only ones taken; none given: any JSON type.

        Raises `UNSUPPORTED_MEDIA_TYPE` and what `body` raises."""
        declared = self.header(b"content-type").partition(";")[0].strip().lower()
        taken = declared in types if types else declared == JSON_TYPE or declared.endswith("+json")
        if declared and not taken:
            wanted = " or ".join(types or (JSON_TYPE,))
            message = f"the body must be {wanted}, but its content-type is {declared[:_SHOWN_CHARS]!a}"
            raise GatewayError(Reason.UNSUPPORTED_MEDIA_TYPE, message)
        return await self.body(bytes_max)

    async def body(self, bytes_max: int) -> bytes:
        """The whole body. Raises `TOO_LARGE` beyond `bytes_max`, of which nothing is kept.

        The rest is read all the same, within limits: a client that is still sending would lose the answer together
        with its connection."""
        announced = self.header(b"content-length")
        is_large = announced.isdecimal() and (len(announced) > _LENGTH_DIGITS_MAX or int(announced) > bytes_max)
        if is_large and self.header(b"expect"):
            raise _too_large(bytes_max)  # the client waits with the body until it is asked for it
        chunks: list[bytes] = []
        size = 0
        has_more = True
        while has_more and size <= bytes_max + _DISCARDED_BYTES_MAX:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            chunk: bytes = message.get("body", b"")
            has_more = message.get("more_body", False)
            size += len(chunk)
            is_large = is_large or size > bytes_max
            if is_large:
                chunks.clear()
            else:
                chunks.append(chunk)
        if is_large:
            raise _too_large(bytes_max)
        return b"".join(chunks)


def _too_large(bytes_max: int) -> GatewayError:
    return GatewayError(Reason.TOO_LARGE, f"the request body is larger than {bytes_max} bytes")


def parse_urlencoded(raw: bytes, where: str) -> list[tuple[str, str]]:
    """Name and value pairs of a query or an urlencoded form; `where` names it in the refusal."""
    text = raw.decode("latin-1")
    if "%" not in text and "+" not in text and text.isascii() and text.count("&") < _QUERY_FIELDS_MAX:
        # Nothing to decode: the links of a journal page, say, which are followed thousands of times a second.
        pairs = (field.partition("=") for field in text.split("&") if field)
        return [(name, value) for name, _, value in pairs]
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS_MAX)
    except UnicodeDecodeError:
        raise GatewayError(Reason.INVALID_PARAMETER, f"{where} holds percent-encoded bytes that are no UTF-8") from None
    except ValueError:
        raise GatewayError(Reason.INVALID_PARAMETER, f"{where} has more than {_QUERY_FIELDS_MAX} parameters") from None


def path_segments(scope: Scope) -> list[str]:
    """The decoded segments of the path. An encoded slash stays inside its segment; one trailing slash is ignored."""
    raw: bytes = scope.get("raw_path") or str(scope["path"]).encode()
    path = raw.partition(b"?")[0]
    segments = path.decode("utf-8", "replace").split("/")[1:]
    if len(segments) > 1 and not segments[-1]:
        segments.pop()
    if b"%" not in path:
        return segments
    return [unquote_to_bytes(segment).decode("utf-8", "replace") for segment in segments]


def json_reply(status: int, value: object, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    return Reply(status, msgspec.json.encode(value), JSON_TYPE, headers)


def hal_reply(status: int, value: object) -> Reply:
    """Members appear in the order of `value`."""
    return Reply(status, msgspec.json.encode(value), HAL_TYPE)


NO_CONTENT = Reply(204)


async def send_reply(scope: Scope, send: Send, reply: Reply, extra: Sequence[tuple[bytes, bytes]]) -> None:
    """The whole answer but for a stream's; `extra` headers follow its own. To HEAD without the body."""
    headers = [*reply.headers, *extra]
    if reply.content_type:
        headers.insert(0, (b"content-type", reply.content_type.encode()))
    if reply.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
