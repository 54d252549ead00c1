"""Wires everything: the only module that sees all layers. Starts the front, its stages and its delivery, and ends them.

Order of an orderly end: publishing answers 503, open requests finish, attempts under way finish or are cut off and
repeated after the restart, progress is committed, the store closes. Whatever hangs, the process is gone in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog
import uvicorn
import uvloop

from eventmill import __version__, telemetry
from eventmill.clock import VirtualClock
from eventmill.config import Config
from eventmill.config_sources import unknown_variables
from eventmill.core.builtin import Builtin
from eventmill.errors import GatewayError, Reason, StartupError, StoreUnavailable
from eventmill.flow.aims import Aims
from eventmill.flow.attempt import Attempter
from eventmill.flow.builtin import load_builtin, refuse_taken_ids
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.cursors import Cursors
from eventmill.flow.deliver import Deliver
from eventmill.flow.event_buses import EventBuses
from eventmill.flow.following import Following
from eventmill.flow.health import Health
from eventmill.flow.ingest import Ingest
from eventmill.flow.journal import Journal
from eventmill.flow.keyring import delivery_signer, ensure_keys
from eventmill.flow.notices import Notices
from eventmill.flow.probe import Prober
from eventmill.flow.replaying import Replaying
from eventmill.flow.replays import Replays
from eventmill.flow.timetravel import TimeTravel
from eventmill.flow.token_upkeep import TokenUpkeep
from eventmill.flow.upkeep import Upkeep
from eventmill.flow.validation import Validations
from eventmill.ids import IdSource
from eventmill.send.destination_settings import check_destination_settings
from eventmill.send.eventbridge import EventBridge
from eventmill.send.faults import Faults, FaultySender
from eventmill.send.issuer import IssuerClient
from eventmill.send.mail import MailServer
from eventmill.send.mailbox import Mailbox
from eventmill.send.webhook import WebhookSender
from eventmill.store.base import Store
from eventmill.store.open import make_store
from eventmill.store.seal import Sealer, load_seal_key
from eventmill.store.sqlite.archive import pack, unpack
from eventmill.store.sqlite.store import SqliteStore
from eventmill.supervise import DeliveryChildren
from eventmill.ui.app import ConsoleApp
from eventmill.web.app import build_app
from eventmill.web.bootstrap import Bootstrap
from eventmill.web.caller import Authenticator
from eventmill.web.oidc import OutsideIssuer
from eventmill.web.parts import DevHooks, Parts
from eventmill.web.tenants import ensure_tenants, wanted_tenants
from eventmill.web.tls import https_context, keep_certificate_fresh
from eventmill.web.tokens import TokenKeys
from eventmill.web.users import ensure_users
from eventmill.web.wire import BoundedHttp

log = structlog.get_logger()

_REQUESTS_FINISH_S = 5
_GONE_S = 14.5
"""After SIGTERM the process ends itself by now, whatever hangs."""
_CLOCK_SAVE_S = 5.0
_BACKLOG = 2048


def run(config: Config, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is called once requests are answered.

    Raises `StartupError` when the start cannot go on."""
    telemetry.setup_logging(config)
    uvloop.run(_serve(config, on_ready))


async def _serve(config: Config, on_ready: Callable[[], None]) -> None:
    log.info(telemetry.GATEWAY_STARTED, version=__version__, data=config.data, dev=config.dev)
    if config.is_open_to_others:
        log.warning(telemetry.TOKENS_UNCHECKED, host=config.host, remedy="--auth strict, or --host 127.0.0.1")
    for variable, nearest in unknown_variables(os.environ).items():
        log.warning(telemetry.SETTING_UNKNOWN, variable=variable, nearest=nearest)
    check_destination_settings(config)
    builtin, wanted = load_builtin(config), wanted_tenants(config)
    clock = VirtualClock(rate=config.clock_rate if config.dev else 1.0)
    listeners = [_Listener(_listen(config.host, config.port, "--port"))]
    if config.tls_port:
        tls = https_context(config, clock)
        listeners.append(_Listener(_listen(config.host, config.tls_port, "EVENTMILL_TLS_PORT"), tls))
    if config.seed:
        await _begin_with(config)
    store = make_store(config, clock)
    await store.open()
    try:
        if config.dev:
            clock.follow(await store.clock_offset_ms(), await store.clock_jumped_ms())
        front = await Front.build(config, store, clock, builtin, wanted)
        await front.serve(listeners, on_ready)
    finally:
        await store.close()
    log.info(telemetry.GATEWAY_STOPPED)


async def _begin_with(config: Config) -> None:
    """What the seed holds, unless there is something already."""
    if not config.dev or config.store:
        raise StartupError("--seed is for --dev with a data directory: it would bring keys and people that others know")
    if await asyncio.to_thread(unpack, Path(config.seed), Path(config.data)):
        log.info(telemetry.STORE_SEEDED, data=config.data, seed=config.seed)


class _Listener(NamedTuple):
    socket: socket.socket
    tls: ssl.SSLContext | None = None


def _listen(host: str, port: int, setting: str) -> socket.socket:
    """Bound before the store opens. The connection backlog outlasts a moment of full load."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StartupError(
            f"cannot listen on {host} port {port}: {error.strerror}. {_remedy(error, setting)}"
        ) from error
    listener.setblocking(False)
    return listener


def _remedy(error: OSError, setting: str) -> str:
    if error.errno == errno.EACCES:
        return f"Ports below 1024 need privileges: choose another with {setting}."
    if error.errno == errno.EADDRNOTAVAIL:
        return "This machine has no such address: choose another with --host."
    return f"Stop what uses it, or choose another with {setting} (or --host)."


class _Http(uvicorn.Server):
    """Signals are the gateway's: it has more than the HTTP server to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Front:
    """The front process: every stage it runs, and the order in which they end."""

    def __init__(self, config: Config, store: Store, clock: VirtualClock, catalogue: Catalogue) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._catalogue = catalogue
        self._ids = IdSource()
        self._faults = Faults()
        self._sender = FaultySender(config, self._faults) if config.dev else WebhookSender(config)
        self._upkeep = Upkeep(store, clock, config)
        self._stopping = asyncio.Event()

    @classmethod
    async def build(
        cls, config: Config, store: Store, clock: VirtualClock, builtin: Builtin, wanted: Bootstrap | None
    ) -> Front:
        sealer = Sealer(load_seal_key(config))
        ids = IdSource()
        async with store.alone():
            await ensure_keys(store, sealer, clock, ids)
            await ensure_tenants(store, sealer, config, ids, wanted)
            await ensure_users(store, ids, clock, () if wanted is None else wanted.users)
        catalogue = Catalogue(store, builtin)
        await catalogue.load()
        refuse_taken_ids(catalogue)
        front = cls(config, store, clock, catalogue)
        await front._assemble(sealer)
        return front

    async def _assemble(self, sealer: Sealer) -> None:
        config, store, clock, catalogue = self._config, self._store, self._clock, self._catalogue
        await self._sender.start()
        signer = await delivery_signer(store, sealer)
        prober = Prober(self._sender, catalogue, sealer, clock, config)
        self._validations = Validations(store, catalogue, clock, config.validation_window_s)
        self._health = Health(store, catalogue, clock, self._ids, config)
        self._replaying = Replaying(store, catalogue, clock, self._ids, config)
        event_bridge = EventBridge(self._sender, config, clock, self._ids)
        self._buses = EventBuses(store, catalogue, event_bridge, clock, config)
        self._mailbox = Mailbox()
        post = MailServer(config).send if config.smtp_host else self._mailbox.send if config.dev else None
        self._notices = Notices(store, catalogue, clock, config, post)
        self._deliver: Deliver | None = None
        self._children: DeliveryChildren | None = None
        dev = None
        if isinstance(store, SqliteStore) and config.delivery_children:
            self._children = DeliveryChildren(store, config)
        else:
            aims = Aims(store)
            await aims.load()
            self._deliver = Deliver(store, aims, Attempter(self._sender, signer, sealer, clock, config), clock, config)
        if config.dev and self._deliver is not None:
            timed = (self._validations, self._health, self._buses, self._notices, self._replaying)
            self._travel = TimeTravel(clock, store, self._deliver, self._upkeep, timed)
            dev = DevHooks(
                clock=clock,
                advance=self._travel.advance,
                set_rate=self._travel.set_rate,
                reset=self._reset,
                mailbox=self._mailbox,
                faults=self._faults,
                snapshot=self._snapshot,
            )
        self._token_upkeep = TokenUpkeep(store, catalogue, sealer, clock, self._ids, config)
        self._issuer = (
            OutsideIssuer(config, clock, IssuerClient(config).fetch_keys)
            if config.oidc_issuer and not config.lenient
            else None
        )
        authenticator = Authenticator(config, catalogue, clock, self._issuer)
        self._ingest = Ingest(store, catalogue, authenticator.authenticate, clock, self._ids, config)
        self._journal = Journal(store, clock, config)
        parts = Parts(
            config=config,
            store=store,
            catalogue=catalogue,
            clock=clock,
            ids=self._ids,
            sealer=sealer,
            token_key=TokenKeys(catalogue, sealer),
            authenticator=authenticator,
            ingest=self._ingest,
            placing=self._ingest.placing,
            unmatched=self._ingest.unmatched,
            journal=self._journal,
            cursors=Cursors(store, clock, self._ids, config),
            replays=Replays(store, clock, self._ids, config, self._replaying.note),
            challenge=prober.challenge,
            offer=prober.offer,
            validations=self._validations,
            unready=self._unready,
            dev=dev,
            processes=tuple if self._children is None else self._children.processes,
        )
        self._app = ConsoleApp(parts, build_app(parts))

    def _unready(self) -> str | None:
        if self._stopping.is_set():
            return "the gateway is shutting down"
        refusal = self._store.refusal()
        return None if refusal is None else str(refusal)

    async def _reset(self) -> None:
        await self._ingest.unmatched.flush()
        await self._store.reset()
        await self._catalogue.refresh()
        self._mailbox.clear()
        self._faults.clear()
        if self._deliver is not None:
            self._deliver.wake()
            await self._deliver.quiesce()

    async def _snapshot(self) -> bytes:
        if not isinstance(self._store, SqliteStore):
            raise GatewayError(Reason.NOT_FOUND, "snapshots are of data directories; PostgreSQL has tools of its own")
        await self._ingest.unmatched.flush()
        return await asyncio.to_thread(pack, Path(self._config.data))

    # --- Running and ending ---

    def _http(self, tls: ssl.SSLContext | None) -> _Http:
        return _Http(
            uvicorn.Config(
                self._app,
                loop="none",
                http=BoundedHttp,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_REQUESTS_FINISH_S,
                ssl_context_factory=None if tls is None else lambda _config, _default: tls,
            )
        )

    async def serve(self, listeners: Sequence[_Listener], on_ready: Callable[[], None]) -> None:
        servers = [self._http(listener.tls) for listener in listeners]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        async with asyncio.TaskGroup() as owner:
            serving = [
                owner.create_task(http.serve(sockets=[listener.socket]))
                for http, listener in zip(servers, listeners, strict=True)
            ]
            judging = (self._validations, self._health, self._buses, self._notices)
            stages = (self._upkeep, self._token_upkeep, *judging, self._replaying)
            chores = [owner.create_task(stage.run()) for stage in stages]
            chores.append(owner.create_task(self._ingest.unmatched.run()))
            if not isinstance(self._store, SqliteStore):
                chores.append(owner.create_task(Following(self._store, self._catalogue).run()))
            chores.append(owner.create_task(self._app.run()))
            chores.append(owner.create_task(self._catalogue.compile_filters()))
            if self._issuer is not None:
                chores.append(owner.create_task(self._issuer.run()))
            fresh = (keep_certificate_fresh(each.tls, self._config, self._clock) for each in listeners if each.tls)
            chores += [owner.create_task(work) for work in fresh]
            if self._config.dev:
                chores.append(owner.create_task(self._save_clock()))
            if self._deliver is not None:
                owner.create_task(self._deliver.run())
            if self._children is not None:
                chores.append(owner.create_task(self._children.run()))
            stopping = owner.create_task(self._stopping.wait())
            announcing = owner.create_task(self._announce(servers, on_ready))
            await asyncio.wait((*serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            announcing.cancel()
            stopping.cancel()
            await self._end(servers)
            for chore in chores:
                chore.cancel()
        await self._sender.close()

    async def _announce(self, servers: Sequence[uvicorn.Server], on_ready: Callable[[], None]) -> None:
        while not all(http.started for http in servers):
            await asyncio.sleep(0.005)
        gc.freeze()  # modules and the catalogue are not garbage: each full collection would walk them again
        log.info(telemetry.GATEWAY_READY, url=self._config.url, console=f"{self._config.url}/ui/")
        on_ready()

    async def _save_clock(self) -> None:
        """A rate other than 1 moves the offset all the time; a crash loses at most this much of it."""
        while True:
            await asyncio.sleep(_CLOCK_SAVE_S)
            if self._clock.rate != 1:
                with contextlib.suppress(StoreUnavailable):  # then at the next turn
                    await self._travel.save()

    async def _end(self, servers: Sequence[uvicorn.Server]) -> None:
        log.info(telemetry.GATEWAY_DRAINING)
        deadline = threading.Timer(_GONE_S, os._exit, (1,))
        deadline.daemon = True
        deadline.start()
        self._stopping.set()
        self._ingest.stop()
        self._journal.stop()
        for http in servers:
            http.should_exit = True
        if self._deliver is not None:
            self._deliver.stop()
            if self._config.dev:
                with contextlib.suppress(StoreUnavailable):  # a crash would lose as much
                    await self._travel.save()
        if self._children is not None:
            await self._children.stop()
