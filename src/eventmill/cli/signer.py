"""The gateway's own delivery keys, for a command on its machine that signs as it does. Only reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from eventmill.cli.account import Named
from eventmill.cli.session import Session

if TYPE_CHECKING:
    from eventmill.core.signing import DeliverySigner


def read_signer(named: Named) -> DeliverySigner | None:
    """That of the data directory or database on this machine. None when there is none, or its seal key is not here."""
    import msgspec

    from eventmill.config_sources import load_config
    from eventmill.core.signing import DeliverySigner
    from eventmill.errors import StartupError
    from eventmill.model import SigningKey
    from eventmill.store.open import read_documents
    from eventmill.store.seal import Sealer, read_seal_key

    config = load_config({"data": named.data, "store": named.store, "port": named.port}, os.environ)
    try:
        (documents,) = read_documents(config, "signing_key")
        sealer = Sealer(read_seal_key(config))
    except StartupError:
        return None
    keys = [msgspec.json.decode(each, type=SigningKey) for each in documents]
    pairs = [
        (key.id, sealer.unseal(key.sealed_private_pem, f"signing_key:{key.id}").decode())
        for key in keys
        if key.purpose == "delivery"
    ]
    return DeliverySigner((pairs[-2], pairs[-1])) if len(pairs) >= 2 else None


def find_signer(session: Session) -> DeliverySigner | None:
    """The same, if these are the keys of the session's gateway: receivers fetch the public ones there."""
    named = session.named
    signer = None if named.console_file or named.url or named.token else read_signer(named)
    if signer is None:
        return None
    path = dict(signer.headers(b"", b""))["x-adobe-public-key1-path"]
    served = session.wire.send("GET", session.account.keys_url + path, {})
    return signer if served.status == 200 else None
