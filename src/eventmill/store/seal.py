"""Seals secrets before they reach a disk: AES-256-GCM under one key per installation.

Each sealed text is bound to its context (which document, which field), so that a sealed value copied into another
document does not open. Knows nothing of documents or stores.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from tempfile import mkstemp

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from eventmill.config import Config
from eventmill.errors import StartupError

KEY_BYTES = 32
_KEY_REMEDY = "give it as it was given first; for a new gateway make one: head -c 32 /dev/urandom | base64"
_NONCE_BYTES = 12
_PREFIX = "s1."
"""Version of the sealed form: base64url of nonce and ciphertext with tag."""


class Sealer:
    """Thread-safe. A nonce is random per call; 2^32 seals under one key stay far below the collision bound."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, context: str) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        return _PREFIX + base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, plain, context.encode())).decode()

    def opens(self, sealed: str, context: str) -> bool:
        try:
            self.unseal(sealed, context)
        except StartupError:
            return False
        return True

    def unseal(self, sealed: str, context: str) -> bytes:
        """Raises `StartupError` when key, context or text do not belong together."""
        if not sealed.startswith(_PREFIX):
            raise StartupError(f"sealed value of {context} has an unknown form; it was written by a newer version")
        try:
            raw = base64.urlsafe_b64decode(sealed[len(_PREFIX) :].encode())
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise StartupError(
                f"sealed value of {context} cannot be opened with this key; "
                "start with the EVENTMILL_SEAL_KEY or the seal.key that this data directory was made with"
            ) from error


def load_seal_key(config: Config) -> bytes:
    """As `read_seal_key`; but a missing file is made."""
    if not config.seal_key:
        path = _key_file(config)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create_key(path)
        except OSError as error:
            raise StartupError(f"seal key {path} cannot be made: {error}") from error
    return read_seal_key(config)


def read_seal_key(config: Config) -> bytes:
    """The configured key, else the one in `DATA/seal.key`. Raises `StartupError`."""
    if config.seal_key:
        return _decode_key(config.seal_key, "EVENTMILL_SEAL_KEY")
    path = _key_file(config)
    try:
        return _decode_key(path.read_text("ascii"), str(path))
    except FileNotFoundError as error:
        which = "a node that works" if config.store else "the gateway"
        raise StartupError(
            f"there is no sealing key: {path} does not exist; "
            f"set EVENTMILL_SEAL_KEY as it is set for {which}, or name its data directory with --data"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"seal key {path} cannot be read: {error}") from error


def seal_key_source(config: Config) -> str:
    """Where the key comes from, for messages."""
    return "EVENTMILL_SEAL_KEY" if config.seal_key else str(_key_file(config))


def _key_file(config: Config) -> Path:
    return Path(config.data) / "seal.key"


def _create_key(path: Path) -> None:
    """Written beside and linked into place: of several processes that do so at a time all go on with the same key, and
    a crash cannot leave half a one under the final name."""
    if path.exists():
        return
    descriptor, fresh = mkstemp(prefix="seal.key.", dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        Path(fresh).unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _decode_key(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise StartupError(f"{source} is not base64: {error}; {_KEY_REMEDY}") from error
    if len(key) != KEY_BYTES:
        raise StartupError(f"{source} must hold {KEY_BYTES} bytes as base64, but holds {len(key)}; {_KEY_REMEDY}")
    return key
