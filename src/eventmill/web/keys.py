"""GET /prod/keys/pub-key-<uuid>.pem: the public half of a delivery signing key.

Pure PEM with `\\n` line ends: the Java client strips its own line separators before it decodes.
"""

from __future__ import annotations

from eventmill.core.signing import public_key_path
from eventmill.errors import GatewayError, Reason
from eventmill.web.checks import show
from eventmill.web.http import Reply, Request
from eventmill.web.parts import Parts


async def get_public_key(parts: Parts, request: Request) -> Reply:
    path = f"/prod/keys/{request.params['file']}"
    for key in parts.catalogue.signing_keys():
        if key.purpose == "delivery" and path == public_key_path(key.id):
            return Reply(200, key.public_pem.encode(), "application/x-pem-file")
    raise GatewayError(Reason.NOT_FOUND, f"there is no public key {show(request.params['file'])}")
