"""GET and PUT /containers/{namespace}/data/{key}: the key cache of the JavaScript SDK's signature verifier.

It takes the place of a state service over `AIO_STATE_ENDPOINT`. Whoever could write here could have any signature
accepted, so nothing is stored: a read answers with the gateway's own public key of that name, a write is taken when it
says the same. The memory that this needs is none.
"""

from __future__ import annotations

from eventmill.errors import GatewayError, Reason
from eventmill.web.checks import show
from eventmill.web.http import Reply, Request
from eventmill.web.keys import find_public_key
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found

_LIFETIME_MS = 24 * 3600 * 1000
_VALUE_BYTES_MAX = 16 * 1024


async def get_value(parts: Parts, request: Request) -> Reply:
    expires_ms = parts.clock.machine_ms() + _LIFETIME_MS
    headers = ((b"x-key-expires-ms", b"%d" % expires_ms),)
    return Reply(200, _find_value(parts, request), "application/octet-stream", headers)


async def put_value(parts: Parts, request: Request) -> Reply:
    value = await request.body(_VALUE_BYTES_MAX)
    if value != _find_value(parts, request):
        key = show(request.params["key"])
        raise GatewayError(Reason.NOT_PERMITTED, f"{key} is a key of this gateway and has another value")
    return Reply(200, request.params["key"].encode(), "text/plain")


def _find_value(parts: Parts, request: Request) -> bytes:
    key = request.params["key"]
    pem = find_public_key(parts, key)
    if pem is None:
        raise not_found(f"key {show(key)}")
    return pem.encode()
