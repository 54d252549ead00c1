"""Carries one request to the gateway and its reply back, both streamed.

Neither is changed but for the host and the headers of the connection itself (RFC 9110 §7.6.1).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable

import aiohttp
import structlog
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from eventmill import telemetry

log = structlog.get_logger()

_CONNECT_TIMEOUT_S = 5.0
_SILENCE_TIMEOUT_S = 120.0
"""Longer than anything the gateway does for one request: the slowest is the challenge of a webhook."""
_GATEWAY_CONNECTIONS_MAX = 128
_CHUNK_BYTES = 64 * 1024
_OF_CONNECTION = frozenset(
    {"connection", "expect", "keep-alive", "proxy-authorization", "proxy-connection"}
    | {"te", "trailer", "transfer-encoding", "upgrade"}
)
_SERVER = ("Server", "eventmill proxy")
"""aiohttp would name itself."""
_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Forwarder:
    """One per proxy; made inside its event loop."""

    def __init__(self, gateway: str, tls: ssl.SSLContext) -> None:
        """`gateway` is scheme, host and port; `tls` checks its certificate when the scheme is https."""
        self._gateway = gateway
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_GATEWAY_CONNECTIONS_MAX, ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NOT_ADDED,
            timeout=aiohttp.ClientTimeout(sock_connect=_CONNECT_TIMEOUT_S, sock_read=_SILENCE_TIMEOUT_S),
            max_line_size=_CHUNK_BYTES,
            max_field_size=_CHUNK_BYTES,
        )

    async def close(self) -> None:
        await self._session.close()

    async def forward(self, request: web.BaseRequest, target: str) -> web.StreamResponse:
        """The gateway's reply to `request` for `target`, a path with its query; 502 when there is none."""
        if not target.isascii():
            return refuse(400, "bad_request", "the request target has bytes that must be percent-encoded")
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        response: web.StreamResponse | None = None
        try:
            async with self._session.request(
                request.method,
                URL(self._gateway + target, encoded=True),
                headers=_end_to_end(request.raw_headers),
                data=request.content if request.body_exists else None,
                allow_redirects=False,
            ) as answer:
                headers = _end_to_end(answer.raw_headers)
                headers.setdefault(*_SERVER)
                response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
                await response.prepare(request)
                async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                    await response.write(chunk)
                await response.write_eof()
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            return self._failed(request, response, error)
        return response

    def _failed(
        self, request: web.BaseRequest, response: web.StreamResponse | None, error: Exception
    ) -> web.StreamResponse:
        """502; a reply that has begun can only be cut off, so that nobody takes it for complete."""
        is_client_gone = request.transport is None or request.transport.is_closing()
        if not is_client_gone:
            log.warning(telemetry.PROXY_GATEWAY_FAILED, url=self._gateway, cause=_told(error))
        if response is not None and response.prepared:
            if request.transport is not None:
                request.transport.abort()
            return response
        return refuse(
            502,
            "gateway_unreachable",
            f"eventmill proxy got no answer from the gateway at {self._gateway}: {_told(error)}. "
            "Start it (eventmill serve), or name another with --gateway.",
        )


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def refuse(status: int, reason: str, message: str) -> web.Response:
    """A reply of the proxy itself, which ends the connection: what follows the refused request is not looked at."""
    response = web.json_response({"reason": reason, "message": message}, status=status, headers=dict([_SERVER]))
    response.force_close()
    return response


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    """Names keep their spelling, repeated ones their order."""
    pairs = [(_text(name), _text(value)) for name, value in headers]
    connection = ",".join(value for name, value in pairs if name.lower() == "connection")
    named = {token.strip().lower() for token in connection.split(",")}
    dropped = _OF_CONNECTION | named | {"host"}
    return CIMultiDict((name, value) for name, value in pairs if name.lower() not in dropped)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")  # as aiohttp writes it again
