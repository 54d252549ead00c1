"""What an attempt without an HTTP response looks like in its trace: a 6xx code and a body that explains.

Codes and layout follow "Debug Tracing", section on status codes. Pure.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from urllib.parse import unquote

from aiohttp import ClientConnectorError, ClientPayloadError, ServerConnectionError

from eventmill.errors import TraceCode

_KINDS = {
    TraceCode.CLIENT_ERROR: "Client",
    TraceCode.NETWORK_ERROR: "Network",
    TraceCode.TIMEOUT: "Timeout",
    TraceCode.TLS_ERROR: "SSLHandshake",
}
_LOGIN = re.compile(r"^[^:/?#]+://([^/?#]*)@")
_CAUSES_MAX = 5
_MESSAGE_CHARS_MAX = 500


def code_of(error: BaseException, *, expired: bool) -> TraceCode:
    """`expired`: the deadline of the attempt passed, whatever the error looks like then."""
    if expired:
        return TraceCode.TIMEOUT
    chain = _chain(error)
    if any(isinstance(link, ssl.SSLError) for link in chain):
        return TraceCode.TLS_ERROR
    if any(isinstance(link, OSError | ServerConnectionError | ClientPayloadError) for link in chain):
        return TraceCode.NETWORK_ERROR
    return TraceCode.CLIENT_ERROR


def causes_of(error: BaseException, url: str, *, timeout_s: float, expired: bool) -> list[str]:
    """One line per distinct cause, outermost first, without the user information of the URL that was asked."""
    if expired:
        return [f"no complete answer within {timeout_s:g} s"]
    lines = [_message(link) for link in _chain(error)]
    if (found := _LOGIN.match(url)) is not None and found[1]:
        for login in (found[1], unquote(found[1])):
            lines = [line.replace(login, "***") for line in lines]
    return [line[:_MESSAGE_CHARS_MAX] for line in dict.fromkeys(lines)][:_CAUSES_MAX]


def _message(link: BaseException) -> str:
    """On one line. Of a failure to connect, whereto: why is what comes next, and the library would say both at once."""
    if isinstance(link, ClientConnectorError) and link.__cause__ is not None:
        return f"cannot connect to {link.host}:{link.port}"
    return " ".join(str(link).split()) or type(link).__name__


def body_text(code: TraceCode, error_id: str, causes: Sequence[str]) -> str:
    """The response body of the trace; `error_id` is the UUID to quote to whoever reads the log."""
    return "\n".join(
        (f"{int(code)} : {_KINDS[code]} ERROR(`{error_id}`) :", *(f"| Exception(`{cause}`)" for cause in causes))
    )


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain
