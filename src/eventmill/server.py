"""Wires everything: the only module that sees all layers. Starts a node with the front, its stages and its delivery, or
with one of these, as its roles say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog
import uvloop

from eventmill import __version__, telemetry
from eventmill.clock import VirtualClock
from eventmill.config import Config
from eventmill.config_sources import unknown_variables
from eventmill.core.builtin import Builtin
from eventmill.delivery_node import DeliveryNode
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
from eventmill.flow.keyring import delivery_signer, ensure_keys, open_sealer
from eventmill.flow.notices import Notices
from eventmill.flow.probe import Prober
from eventmill.flow.replaying import Replaying
from eventmill.flow.replays import Replays
from eventmill.flow.settling import Settling
from eventmill.flow.timetravel import TimeTravel
from eventmill.flow.token_upkeep import TokenUpkeep
from eventmill.flow.tracing import open_spans, watch_publishing
from eventmill.flow.upkeep import Upkeep
from eventmill.flow.validation import Validations
from eventmill.ids import IdSource
from eventmill.listening import open_listeners
from eventmill.node import Tasks, run_node
from eventmill.send.destination_settings import check_destination_settings
from eventmill.send.eventbridge import EventBridge
from eventmill.send.faults import Faults, FaultySender
from eventmill.send.issuer import IssuerClient
from eventmill.send.mail import MailServer
from eventmill.send.mailbox import Mailbox
from eventmill.send.webhook import WebhookSender
from eventmill.store.base import Store
from eventmill.store.children import ParentStore
from eventmill.store.open import make_store
from eventmill.store.seal import Sealer
from eventmill.store.sqlite.archive import pack, unpack
from eventmill.store.sqlite.restore import lay_aside, take_up
from eventmill.store.sqlite.store import SqliteStore
from eventmill.supervise import DeliveryChildren
from eventmill.ui.app import ConsoleApp
from eventmill.web.app import build_app
from eventmill.web.bootstrap import Bootstrap
from eventmill.web.caller import Authenticator
from eventmill.web.oidc import OutsideIssuer
from eventmill.web.parts import DevHooks, Parts
from eventmill.web.tenants import ensure_tenants, wanted_tenants
from eventmill.web.tokens import TokenKeys
from eventmill.web.users import ensure_users

log = structlog.get_logger()

_CLOCK_SAVE_S = 5.0


def run(config: Config, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is called once requests are answered.

    Raises `StartupError` when the start cannot go on."""
    telemetry.setup_logging(config)
    if uvloop.run(_serve(config, on_ready)):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 (its own command again)


async def _serve(config: Config, on_ready: Callable[[], None]) -> bool:
    """True: it is to begin anew."""
    log.info(telemetry.GATEWAY_STARTED, version=__version__, data=config.data, dev=config.dev)
    if config.is_open_to_others:
        log.warning(telemetry.TOKENS_UNCHECKED, host=config.host, remedy="--auth strict, or --host 127.0.0.1")
    for variable, nearest in unknown_variables(os.environ).items():
        log.warning(telemetry.SETTING_UNKNOWN, variable=variable, nearest=nearest)
    check_destination_settings(config)
    builtin, wanted = load_builtin(config), wanted_tenants(config)
    clock = VirtualClock(rate=config.clock_rate if config.dev else 1.0)
    listeners = open_listeners(config, clock)
    if config.seed:
        await _begin_with(config)
    if config.dev and not config.store and await asyncio.to_thread(take_up, Path(config.data)):
        log.info(telemetry.STORE_RESTORED, data=config.data)
    begins_anew = False
    store = make_store(config, clock)
    await store.open()
    try:
        if config.dev:
            clock.follow(await store.clock_offset_ms(), await store.clock_jumped_ms())
        sealer = await _prepare(config, store, clock, wanted)
        if config.is_front:
            front = await Front.build(config, store, clock, builtin, sealer)
            await run_node(front, config, clock, listeners, on_ready)
            await front.close()
            begins_anew = front.begins_anew
        else:
            await run_node(DeliveryNode(config, store, clock), config, clock, listeners, on_ready)
    finally:
        await store.close()
    log.info(telemetry.GATEWAY_STOPPED)
    return begins_anew


async def _prepare(config: Config, store: Store, clock: VirtualClock, wanted: Bootstrap | None) -> Sealer:
    """What every node needs to be there, whichever is the first."""
    ids = IdSource()
    async with store.alone():
        sealer = await open_sealer(store, config)
        await ensure_keys(store, sealer, clock, ids)
        await ensure_tenants(store, sealer, config, ids, wanted)
        await ensure_users(store, ids, clock, () if wanted is None else wanted.users)
    return sealer


async def _begin_with(config: Config) -> None:
    """What the seed holds, unless there is something already."""
    if not config.dev or config.store:
        raise StartupError("--seed is for --dev with a data directory: it would bring keys and people that others know")
    if await asyncio.to_thread(unpack, Path(config.seed), Path(config.data)):
        log.info(telemetry.STORE_SEEDED, data=config.data, seed=config.seed)


class FrontStore(Store, ParentStore, Protocol):
    """What a front needs of its store."""


class Front:
    """Implements `node.Node`: a node with the role front, and all stages it runs. In dev mode delivery is one."""

    def __init__(self, config: Config, store: FrontStore, clock: VirtualClock, catalogue: Catalogue) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._catalogue = catalogue
        self._ids = IdSource()
        self._faults = Faults()
        self._sender = FaultySender(config, self._faults) if config.dev else WebhookSender(config)
        self._upkeep = Upkeep(store, clock, config)
        self._spans = open_spans()
        self.stopping = asyncio.Event()
        self.begins_anew = False
        """Once it has stopped, with what was laid aside for it."""

    @classmethod
    async def build(
        cls, config: Config, store: FrontStore, clock: VirtualClock, builtin: Builtin, sealer: Sealer
    ) -> Front:
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
        prober.spans = self._spans
        self._validations = Validations(store, catalogue, clock, config.validation_window_s)
        self._health = Health(store, catalogue, clock, self._ids, config)
        self._replaying = Replaying(store, clock, self._ids, config)
        event_bridge = EventBridge(self._sender, config, clock, self._ids)
        self._buses = EventBuses(store, catalogue, event_bridge, clock, config)
        self._mailbox = Mailbox()
        post = MailServer(config).send if config.smtp_host else self._mailbox.send if config.dev else None
        self._notices = Notices(store, catalogue, clock, config, post)
        self._deliver: Deliver | None = None
        self._settling: Settling | None = None
        self._children: DeliveryChildren | None = None
        dev = None
        if config.delivery_children:
            self._children = DeliveryChildren(store, config)
        if config.dev:
            aims = Aims(store)
            await aims.load()
            attempter = Attempter(self._sender, signer, sealer, clock, config)
            attempter.destinations.spans = self._spans
            self._deliver = Deliver(store, aims, attempter, clock, config)
            timed = (self._validations, self._health, self._buses, self._notices, self._replaying)
            if store.fellows is not None:
                self._settling = Settling(store.fellows, self._deliver, clock, self._forget)
                store.on_change(self._settling.look)
            self._travel = TimeTravel(clock, store, self._deliver, self._upkeep, timed)
            dev = DevHooks(
                clock=clock,
                advance=self._travel.advance,
                set_rate=self._travel.set_rate,
                reset=self._reset,
                mailbox=self._mailbox,
                faults=self._faults,
                snapshot=self._snapshot,
                restore=self._restore,
            )
        self._token_upkeep = TokenUpkeep(store, catalogue, sealer, clock, self._ids, config)
        self._issuer = (
            OutsideIssuer(config, clock, IssuerClient(config).fetch_keys)
            if config.oidc_issuer and not config.lenient
            else None
        )
        authenticator = Authenticator(config, catalogue, clock, self._issuer)
        self._ingest = Ingest(store, catalogue, authenticator, clock, self._ids, config)
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
            ingest=watch_publishing(self._ingest, self._spans),
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
        self.app = ConsoleApp(parts, build_app(parts))

    def _unready(self) -> str | None:
        if self.stopping.is_set():
            return "the gateway is shutting down"
        refusal = self._store.refusal()
        return None if refusal is None else str(refusal)

    async def _reset(self) -> None:
        await self._ingest.unmatched.flush()
        await self._store.reset()
        await self._catalogue.refresh()
        self._forget()
        await self._travel.quiesce()

    def _forget(self) -> None:
        """Another node has emptied the store."""
        self._mailbox.clear()
        self._faults.clear()

    async def _snapshot(self) -> bytes:
        if not isinstance(self._store, SqliteStore):
            raise GatewayError(Reason.NOT_FOUND, "snapshots are of data directories; PostgreSQL has tools of its own")
        await self._ingest.unmatched.flush()
        return await asyncio.to_thread(pack, Path(self._config.data))

    async def _restore(self, snapshot: bytes) -> None:
        if not isinstance(self._store, SqliteStore):
            raise GatewayError(Reason.NOT_FOUND, "snapshots are of data directories; PostgreSQL has tools of its own")
        await lay_aside(snapshot, Path(self._config.data))
        self.begins_anew = True
        self.stopping.set()

    # --- Running and ending ---

    def chores(self) -> Tasks:
        judging = (self._validations, self._health, self._buses, self._notices)
        stages = (self._upkeep, self._token_upkeep, *judging, self._replaying, self._ingest.unmatched, self.app)
        chores = [stage.run() for stage in stages]
        chores.append(self._catalogue.compile_filters())
        if self._config.store:
            chores.append(Following(self._store, self._catalogue).run())
        if self._issuer is not None:
            chores.append(self._issuer.run())
        if self._config.dev:
            chores.append(self._save_clock())
        if self._settling is not None:
            chores.append(self._settling.run())
        if self._children is not None:
            chores.append(self._children.run())
        return chores

    def deliveries(self) -> Tasks:
        return () if self._deliver is None else (self._deliver.run(),)

    async def stop(self) -> None:
        self._ingest.stop()
        self._journal.stop()
        if self._deliver is not None:
            self._deliver.stop()
            with contextlib.suppress(StoreUnavailable):  # a crash would lose as much
                await self._travel.save()
        if self._children is not None:
            await self._children.stop()

    async def close(self) -> None:
        await self._sender.close()
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close)

    async def _save_clock(self) -> None:
        """A rate other than 1 moves the offset all the time; a crash loses at most this much of it."""
        while True:
            await asyncio.sleep(_CLOCK_SAVE_S)
            if self._clock.rate != 1:
                with contextlib.suppress(StoreUnavailable):  # then at the next turn
                    await self._travel.save()
