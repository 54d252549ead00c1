"""GET /ims/keys and /.well-known/jwks.json: the public keys of our tokens (RFC 7517); POST /ims/keys: the next one.

A key that was replaced stays in the set until the last token it signed has expired.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import RSAAlgorithm

from eventmill import telemetry
from eventmill.errors import GatewayError, Reason
from eventmill.flow.keyring import rotate_token_key
from eventmill.model import Caller
from eventmill.web.checks import read_object
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.ims.shapes import KeySet, NewKey, TokenKeyBody
from eventmill.web.parts import Parts

_CACHED = ((b"cache-control", b"public, max-age=300"), (b"access-control-allow-origin", b"*"))

log = structlog.get_logger()


class RotateForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of the keys there are."""

    revoke_earlier: bool = False


async def get_keys(parts: Parts, request: Request) -> Reply:
    return json_reply(200, KeySet(list(_keys(parts))), headers=_CACHED)


def _keys(parts: Parts) -> Iterator[TokenKeyBody]:
    for key in parts.catalogue.signing_keys():
        if key.purpose == "token":
            public = load_pem_public_key(key.public_pem.encode())
            assert isinstance(public, RSAPublicKey), "the gateway makes RSA keys only"
            members = RSAAlgorithm.to_jwk(public, as_dict=True)
            yield TokenKeyBody("RSA", key.id, "sig", "RS256", members["n"], members["e"])


async def post_key(parts: Parts, request: Request, caller: Caller) -> Reply:
    """The operator's. `{"revoke_earlier": true}` voids every token there is, the operator's own included."""
    if not caller.is_admin or caller.org is not None:
        raise GatewayError(Reason.NOT_PERMITTED, "only the operator, for all organizations, changes token keys")
    form = read_object(await request.json_body(parts.config.request_bytes_max) or b"{}", RotateForm)
    key = await rotate_token_key(parts.store, parts.sealer, parts.clock, parts.ids, revoke_earlier=form.revoke_earlier)
    await parts.catalogue.refresh()
    log.info(telemetry.TOKEN_KEY_ROTATED, kid=key.id, revoke_earlier=form.revoke_earlier, by=caller.client_id)
    held = [each.id for each in parts.catalogue.signing_keys() if each.purpose == "token"]
    return json_reply(201, NewKey(key.id, key.created_ms, held))
