"""TLS towards webhooks: whom we trust, and the one client certificate that we show when we are asked for it.

"Introduction to Adobe I/O Events Webhooks" (mTLS): there is no switch per registration; whoever asks, gets it. Renewed
files are noticed while the process runs. Dials nothing.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from pathlib import Path

import structlog

from eventmill import telemetry
from eventmill.config import Config
from eventmill.errors import StartupError

log = structlog.get_logger()

CONTEXTS_MAX = 256
"""Contexts of registrations that bring their own certificate authorities, kept at hand."""
_LOOK_INTERVAL_S = 10.0
_CERTIFICATES = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")

_Stamp = tuple[tuple[int, int, int], ...]
"""What tells a file from its successor: time, size and number of each."""


class ClientTls:
    """`now_s` is machine time. Raises `StartupError` when the client certificate cannot be used."""

    def __init__(self, config: Config, now_s: Callable[[], float]) -> None:
        self._config = config
        self._files = tuple(Path(name) for name in (config.client_cert, config.client_key) if name)
        self._now_s = now_s
        self._looked_s = now_s()
        self._stamp = self._read_stamp()
        self._system = self._build("")
        self._own: dict[str, ssl.SSLContext] = {}
        self.generation = 0
        """Raised whenever earlier contexts must not be used for new connections."""

    def context(self, ca_bundle: str) -> ssl.SSLContext:
        """Trusts the certificates of the PEM text and nothing else; the system's when it is empty."""
        if not ca_bundle:
            return self._system
        context = self._own.get(ca_bundle)
        if context is None:
            if len(self._own) >= CONTEXTS_MAX:
                del self._own[next(iter(self._own))]
            context = self._own[ca_bundle] = self._build(ca_bundle)
        return context

    def look(self) -> None:
        """Notice, once in a while, that the files changed. Unusable ones are logged, and the last good ones stay."""
        if not self._files or self._now_s() - self._looked_s < _LOOK_INTERVAL_S:
            return
        self._looked_s = self._now_s()
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._system = self._build("")
        except StartupError as error:
            log.warning(telemetry.CLIENT_CERTIFICATE_FAILED, cause=str(error))
            return
        self._own.clear()
        self.generation += 1

    def _read_stamp(self) -> _Stamp:
        found = []
        for file in self._files:
            try:
                about = file.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((about.st_mtime_ns, about.st_size, about.st_ino))
        return tuple(found)

    def _build(self, ca_bundle: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=ca_bundle or None)
        if ca_bundle:
            # What the registration names is trusted as it is: an intermediate, or the endpoint's own certificate.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.set_alpn_protocols(["http/1.1"])
        if self._config.client_cert:
            load_client_certificate(context, self._config)
        return context


def client_chain(config: Config) -> str | None:
    """PEM of the client certificate and its intermediates, for those who have to trust it; the key that may be in the
    same file is left out. None without one. Raises `OSError` when the file cannot be read now."""
    if not config.client_cert:
        return None
    return "".join(f"{each}\n" for each in _CERTIFICATES.findall(Path(config.client_cert).read_text()))


def load_client_certificate(context: ssl.SSLContext, config: Config) -> None:
    """Raises as `load_pair` does."""
    load_pair(context, config.client_cert, config.client_key, setting="EVENTMILL_CLIENT_CERT", whose="client")


def load_pair(context: ssl.SSLContext, certificate: str, key: str, *, setting: str, whose: str) -> None:
    """The PEM files of a certificate that `setting` names; `key` empty: in the same file.

    Raises `StartupError` when they cannot be read, are no pair, or the key has a password."""
    try:
        # A key under a password would be asked for on the terminal; there may be none.
        context.load_cert_chain(certificate, key or None, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise StartupError(
            f"the certificate in {setting}={certificate} (key: {key or 'in the same file'}) cannot be used: {error}. "
            f"It must be PEM, the {whose}'s certificate first, with its unencrypted key."
        ) from error
