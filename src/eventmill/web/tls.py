"""The certificate of the gateway's HTTPS port: the operator's own files, or one of the local authority in `DATA/ca`."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.local_ca import server_certificate
from eventmill.send.tls import load_pair

log = structlog.get_logger()

_CHECK_S = 12 * 3600.0


def https_context(config: Config, clock: Clock) -> ssl.SSLContext:
    """Raises `StartupError` when there is no certificate that can be served."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load(context, config, clock)
    return context


async def keep_certificate_fresh(context: ssl.SSLContext, config: Config, clock: Clock) -> None:
    """Twice a day: renewed files are served without a restart. Connections that are open keep what they have."""
    while True:
        await asyncio.sleep(_CHECK_S)
        try:
            _load(context, config, clock)
        except StartupError as error:
            log.warning(telemetry.TLS_CERTIFICATE_FAILED, cause=str(error))


def _load(context: ssl.SSLContext, config: Config, clock: Clock) -> None:
    if not config.tls_cert:
        certificate = server_certificate(Path(config.data), config.adobe_hosts, now_ms=clock.machine_ms())
        context.load_cert_chain(certificate.chain_file)
        return
    load_pair(context, config.tls_cert, config.tls_key, setting="EVENTMILL_TLS_CERT", whose="server")
