"""A delivery child: the stages of `flow.deliver` in a process of their own, beside the front that started it.

Its store has a socket pair with the front that it inherited. Ends when the front closes that, after draining when the
front or a SIGTERM asks for it, or with exit code 1 when delivery met something unforeseen or could not begin; the front
then starts another.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys

import msgspec
import structlog
import uvloop

from eventmill import telemetry
from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.errors import StartupError, StoreUnavailable
from eventmill.flow.aims import Aims
from eventmill.flow.attempt import Attempter
from eventmill.flow.deliver import Deliver
from eventmill.flow.keyring import delivery_signer
from eventmill.flow.tracing import open_spans
from eventmill.send.webhook import WebhookSender
from eventmill.store.open import make_child_store
from eventmill.store.seal import Sealer, read_seal_key
from eventmill.telemetry import setup_logging

log = structlog.get_logger()


async def deliver_until_lost(config: Config, sock: socket.socket) -> bool:
    """Deliver until the front goes away (at once) or asks to drain (attempts under way may end). False: it failed."""
    clock = SystemClock()
    store = make_child_store(config, clock, sock)
    # A service manager may signal all processes at once; what is under way is worth finishing then, too.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, store.drain_asked.set)
    await store.open()
    sealer = Sealer(read_seal_key(config))
    aims = Aims(store)
    await aims.load()
    signer = await delivery_signer(store, sealer)
    sender = WebhookSender(config)
    await sender.start()
    attempter = Attempter(sender, signer, sealer, clock, config)
    attempter.destinations.spans = spans = open_spans()
    deliver = Deliver(store, aims, attempter, clock, config)
    gc.freeze()  # modules and aims are not garbage
    delivering = asyncio.create_task(deliver.run())
    lost = asyncio.create_task(store.lost.wait())
    draining = asyncio.create_task(store.drain_asked.wait())
    await asyncio.wait((delivering, lost, draining), return_when=asyncio.FIRST_COMPLETED)
    if not lost.done():
        deliver.stop()
        await asyncio.wait((delivering, lost), return_when=asyncio.FIRST_COMPLETED)
    for task in (delivering, lost, draining):
        task.cancel()
    failure, _, _ = await asyncio.gather(delivering, lost, draining, return_exceptions=True)
    await sender.close()
    await store.close()
    if spans is not None:
        await asyncio.to_thread(spans.close)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    if isinstance(failure, Exception):
        log.critical(telemetry.STAGE_FAILED, stage="delivery", exc_info=failure)
        return False
    return True


def main() -> None:
    """`python -m eventmill.delivery_process FD`, the configuration as JSON on standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the front decides when a terminal's Ctrl-C ends us
    config = msgspec.json.decode(sys.stdin.buffer.read(), type=Config)
    setup_logging(config)
    try:
        went_well = uvloop.run(deliver_until_lost(config, socket.socket(fileno=int(sys.argv[1]))))
    except (StartupError, StoreUnavailable) as error:
        log.error(telemetry.DELIVERY_NOT_STARTED, cause=str(error))
        went_well = False
    sys.exit(not went_well)


if __name__ == "__main__":
    main()
