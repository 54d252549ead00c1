"""GET /prod/keys/pub-key-<uuid>.pem: the public half of a delivery signing key. GET /prod/client-certificate.pem: what
webhooks see that ask for a certificate.

Pure PEM with `\\n` line ends: the Java client strips its own line separators before it decodes.
"""

from __future__ import annotations

from eventmill.core.signing import public_key_path
from eventmill.errors import GatewayError, Reason
from eventmill.send.tls import client_chain
from eventmill.web.checks import show
from eventmill.web.http import Reply, Request
from eventmill.web.parts import Parts

PEM_TYPE = "application/x-pem-file"


async def get_public_key(parts: Parts, request: Request) -> Reply:
    file = request.params["file"]
    pem = find_public_key(parts, file)
    if pem is None:
        raise GatewayError(Reason.NOT_FOUND, f"there is no public key {show(file)}")
    return Reply(200, pem.encode(), PEM_TYPE)


async def get_client_certificate(parts: Parts, request: Request) -> Reply:
    try:
        chain = client_chain(parts.config)
    except (OSError, ValueError):
        chain = None  # a renewal in between; webhooks still see the last good one
    if not chain:
        raise GatewayError(Reason.NOT_FOUND, "there is no client certificate to show to webhooks")
    return Reply(200, chain.encode(), PEM_TYPE)


def find_public_key(parts: Parts, file: str) -> str | None:
    """The PEM of the delivery key whose file name this is."""
    path = f"/prod/keys/{file}"
    for key in parts.catalogue.signing_keys():
        if key.purpose == "delivery" and path == public_key_path(key.id):
            return key.public_pem
    return None
