"""A gateway for the tests of the wire API: the whole application on a real store, with two organisations in it.

Only what would leave the process is replaced: the challenge of a webhook is answered by the test. The store is that of
files, or PostgreSQL with `EVENTMILL_HTTP_STORE=postgres`.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from eventmill.clock import Clock, VirtualClock
from eventmill.config import Config
from eventmill.core.signing import generate_pair
from eventmill.flow.builtin import load_builtin
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.cursors import Cursors
from eventmill.flow.ingest import Ingest
from eventmill.flow.journal import Journal
from eventmill.flow.probe import ChallengeResult
from eventmill.flow.replaying import Replaying
from eventmill.flow.replays import Replays
from eventmill.flow.validation import Validations
from eventmill.ids import IdSource
from eventmill.model import OrgId, SigningKey
from eventmill.send.issuer import IssuerClient
from eventmill.store.base import Store
from eventmill.store.control import Create
from eventmill.store.postgres.store import PostgresStore
from eventmill.store.seal import Sealer
from eventmill.store.sqlite.store import SqliteStore
from eventmill.web.app import build_app
from eventmill.web.caller import Authenticator
from eventmill.web.http import ASGIApp
from eventmill.web.oidc import OutsideIssuer
from eventmill.web.parts import DevHooks, Parts
from eventmill.web.tenants import ensure_tenants, wanted_tenants
from eventmill.web.tokens import Grant, TokenKeys, mint_token
from tests.http.client import Answer, call
from tests.store.postgres import database_of

BASE = "https://gw.example"
IMS_ORG = "0123456789ABCDEF01234567@AdobeOrg"
FOREIGN_IMS_ORG = "89ABCDEF0123456789ABCDEF@AdobeOrg"
CLIENT, SECRET = "5c1d0000000000000000000000000001", "p8e-first-secret"
OTHER_CLIENT, OTHER_SECRET = "5c1d0000000000000000000000000002", "p8e-second-secret"
FOREIGN_CLIENT, FOREIGN_SECRET = "f0f00000000000000000000000000009", "p8e-foreign-secret"
WORKSPACE = "/events/1001/2001/3001"
DELIVERY_KEY, TOKEN_KEY = "aaaaaaaa-1111-4111-8111-111111111111", "bbbbbbbb-2222-4222-8222-222222222222"
SEALER = Sealer(bytes(32))


def credential(id: str, client_id: str, secret: str) -> dict[str, str]:
    return {"id": id, "name": f"Credential {id}", "client_id": client_id, "client_secret": secret}


def workspace(id: str, *credentials: dict[str, str]) -> dict[str, Any]:
    return {"id": id, "name": f"Workspace {id}", "credentials": list(credentials)}


TENANTS: dict[str, Any] = {
    "organizations": [
        {
            "id": "1001",
            "ims_org_id": IMS_ORG,
            "name": "Acme",
            "projects": [
                {
                    "id": "2001",
                    "name": "Shop",
                    "workspaces": [
                        workspace("3001", credential("4001", CLIENT, SECRET)),
                        workspace("3002", credential("4002", OTHER_CLIENT, OTHER_SECRET)),
                        workspace("3003"),
                    ],
                },
                {"id": "2002", "name": "Empty", "workspaces": []},
            ],
        },
        {
            "id": "1002",
            "ims_org_id": FOREIGN_IMS_ORG,
            "name": "Foreign",
            "projects": [
                {
                    "id": "2009",
                    "name": "Theirs",
                    "workspaces": [workspace("3009", credential("4009", FOREIGN_CLIENT, FOREIGN_SECRET))],
                }
            ],
        },
    ]
}


@cache
def key_pair() -> tuple[str, str]:
    """One RSA pair for all tests: making one takes longer than a test."""
    return generate_pair()


def signing_key(id: str, purpose: Any) -> SigningKey:
    private_pem, public_pem = key_pair()
    sealed = SEALER.seal(private_pem.encode(), f"signing_key:{id}")
    return SigningKey(id=id, public_pem=public_pem, sealed_private_pem=sealed, created_ms=1, purpose=purpose)


@dataclass
class Hooks:
    """Answers challenges and remembers them."""

    passes: bool = True
    reaches: bool = True
    """False: something of the gateway's own fails before the webhook is asked."""
    answers: bool = False
    """When it does not pass: whether there was an HTTP answer, so that the link to validate later is offered."""
    takes_offer: bool = True
    bundles: list[str] = field(default_factory=list)
    """Certificate authorities that came with them."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    on_ask: Any = None
    """Awaited during each challenge."""
    offered: list[tuple[str, str, str, str]] = field(default_factory=list)
    on_offer: Any = None
    """Awaited during each offer."""
    traces: tuple[Any, ...] = ()

    async def challenge(self, url: str, registration_id: str, client_id: str, ca_bundle: str = "") -> ChallengeResult:
        self.bundles.append(ca_bundle)
        self.asked.append((url, registration_id, client_id))
        if self.on_ask is not None:
            await self.on_ask()
        explanation = "" if self.passes else "the endpoint answered the challenge with status 500, not 200"
        return ChallengeResult(self.passes, explanation, self.traces, self.passes or self.answers, self.reaches)

    async def offer(
        self, url: str, registration_id: str, client_id: str, secret: str, ca_bundle: str = ""
    ) -> ChallengeResult:
        self.offered.append((url, registration_id, client_id, secret))
        if self.on_offer is not None:
            await self.on_offer()
        explanation = "" if self.takes_offer else "the endpoint answered the validation URL with status 404, not 200"
        return ChallengeResult(self.takes_offer, explanation, (), True)


@dataclass
class DevCalls:
    """What the development endpoints asked for."""

    advanced: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    resets: int = 0


@dataclass
class World:
    parts: Parts
    app: ASGIApp
    hooks: Hooks
    dev: DevCalls
    issuer: OutsideIssuer | None
    replaying: Replaying
    """Stands still unless it is stepped, or run."""
    _auth: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.parts.store

    @property
    def engine(self) -> SqliteStore | PostgresStore:
        """With what only the store of a process that starts others has."""
        assert isinstance(self.parts.store, SqliteStore | PostgresStore)
        return self.parts.store

    def token(self, ims_org: str = IMS_ORG, client_id: str = CLIENT, **changes: Any) -> str:
        """A valid token, unless changed; `now_ms` is when it was made."""
        now_ms = changes.pop("now_ms", self.parts.clock.machine_ms())
        grant = {"client_id": client_id, "user_id": "u@techacct", "ims_org_id": ims_org, "lifetime_s": 3600, **changes}
        return mint_token(self.parts.token_key(), Grant(**grant), now_ms=now_ms)

    def auth(self, ims_org: str = IMS_ORG, client_id: str = CLIENT) -> dict[str, str]:
        key = ims_org, client_id
        if key not in self._auth:
            self._auth[key] = {"authorization": f"Bearer {self.token(*key)}", "x-api-key": client_id}
        return dict(self._auth[key])

    def foreign_auth(self) -> dict[str, str]:
        return self.auth(FOREIGN_IMS_ORG, FOREIGN_CLIENT)

    async def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """A request of the first organisation unless `headers` say otherwise; `body` is JSON unless it is bytes."""
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = self.auth() if headers is None else headers
        return await call(self.app, method, target, headers=sent, body=raw, **options)

    async def provider(self, label: str = "Warehouse", workspace: str = WORKSPACE, **members: Any) -> dict[str, Any]:
        answer = await self.call("POST", f"{workspace}/providers", {"label": label, **members})
        assert answer.status == 201, answer.body
        created: dict[str, Any] = answer.json()
        return created

    async def metadata(self, provider: Mapping[str, Any], code: str = "com.acme.low", **members: Any) -> None:
        body = {"event_code": code, "label": "Low stock", "description": "Stock fell under its floor", **members}
        answer = await self.call("POST", f"{WORKSPACE}/providers/{provider['id']}/eventmetadata", body)
        assert answer.status == 201, answer.body

    async def topic(self, label: str = "Warehouse", **members: Any) -> dict[str, Any]:
        """A provider with one event code; returns an event of interest."""
        provider = await self.provider(label, **members)
        await self.metadata(provider)
        return {"provider_id": provider["id"], "event_code": "com.acme.low"}

    async def register(self, topic: Mapping[str, Any], **members: Any) -> dict[str, Any]:
        answer = await self.call("POST", f"{WORKSPACE}/registrations", registration_form(topic, **members))
        assert answer.status == 201, answer.body
        created: dict[str, Any] = answer.json()
        return created

    async def publish(self, topic: Mapping[str, Any], id: str = "1") -> int:
        """Status of publishing one event of the topic."""
        event = {"id": id, "source": f"urn:uuid:{topic['provider_id']}", "type": topic["event_code"], "data": {"n": id}}
        headers = {**self.auth(), "content-type": "application/cloudevents+json"}
        answer = await self.call("POST", "/", event, headers=headers)
        return answer.status

    async def journal(self, registration: Mapping[str, Any]) -> list[Any]:
        """The events in a registration's journal, from the oldest."""
        href: str = registration["_links"]["rel:events"]["href"]
        answer = await self.call("GET", href.removeprefix(BASE))
        return [entry["event"] for entry in answer.json()["events"]] if answer.status == 200 else []

    async def epoch(self) -> int:
        """Unchanged as long as no document and no lane changed."""
        return await self.store.epoch()


def registration_form(topic: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    """A valid webhook registration, unless changed; a member that is `...` is left out."""
    form = {
        "client_id": CLIENT,
        "name": "Stock to ERP",
        "description": "Moves",
        "webhook_url": "https://erp.example/hook",
        "events_of_interest": [dict(topic)],
        "delivery_type": "webhook",
        **members,
    }
    return {name: value for name, value in form.items() if value is not ...}


@asynccontextmanager
async def running(directory: Path, *, tenants: Any = TENANTS, **settings: Any) -> AsyncIterator[World]:
    """A gateway with business time standing still; strict unless the settings say otherwise."""
    async with _opened(with_store(_config(directory, tenants, settings)), delivers=True) as world:
        yield world


def with_store(config: Config) -> Config:
    """With the kind of store that the tests are to run on."""
    if os.environ.get("EVENTMILL_HTTP_STORE") != "postgres" or config.store:
        return config
    return msgspec.structs.replace(config, store=database_of(config.data))


def make_engine(config: Config, clock: Clock, *, delivers: bool = True) -> SqliteStore | PostgresStore:
    return PostgresStore(config, clock, delivers=delivers) if config.store else SqliteStore(config, clock)


@asynccontextmanager
async def nodes(directory: Path, count: int = 2, *, deliverers: int = 1, **settings: Any) -> AsyncIterator[list[World]]:
    """Gateways on one database of PostgreSQL. The first ones take slots."""
    config = _config(directory, TENANTS, {"store": database_of(str(directory / "data")), **settings})
    async with AsyncExitStack() as opened:
        yield [
            await opened.enter_async_context(_opened(config, delivers=number < deliverers)) for number in range(count)
        ]


def _config(directory: Path, tenants: Any, settings: Mapping[str, Any]) -> Config:
    bootstrap = ""
    if tenants is not None:
        file = directory / "bootstrap.json"
        file.write_text(json.dumps(tenants))
        bootstrap = str(file)
    return Config(
        **{
            "data": str(directory / "data"),
            "bootstrap": bootstrap,
            "base_url": BASE,
            "disk_reserve_bytes": 0,
            "publish_requests_per_5s": 0,
            "catalog": "off",
            **settings,
        }
    )


@asynccontextmanager
async def _opened(config: Config, *, delivers: bool) -> AsyncIterator[World]:
    clock = VirtualClock(rate=0)
    store = make_engine(config, clock, delivers=delivers)
    await store.open()
    try:
        yield await _build(config, store, clock)
    finally:
        await store.close()


async def _build(config: Config, store: Store, clock: VirtualClock) -> World:
    ids = IdSource()
    await ensure_tenants(store, SEALER, config, ids, wanted_tenants(config))
    keys = [signing_key(DELIVERY_KEY, "delivery"), signing_key(TOKEN_KEY, "token")]
    if not await store.scan("signing_key"):
        await store.write([Create("signing_key", OrgId(""), key.id, msgspec.json.encode(key)) for key in keys])
    catalogue = Catalogue(store, load_builtin(config))
    await catalogue.load()
    issuer = OutsideIssuer(config, clock, IssuerClient(config).fetch_keys) if config.oidc_issuer else None
    authenticator = Authenticator(config, catalogue, clock, issuer)
    hooks, calls = Hooks(), DevCalls()
    replaying = Replaying(store, clock, ids, config)
    ingest = Ingest(store, catalogue, authenticator, clock, ids, config)
    parts = Parts(
        config=config,
        store=store,
        catalogue=catalogue,
        clock=clock,
        ids=ids,
        sealer=SEALER,
        token_key=TokenKeys(catalogue, SEALER),
        authenticator=authenticator,
        ingest=ingest,
        placing=ingest.placing,
        unmatched=ingest.unmatched,
        journal=Journal(store, clock, config),
        cursors=Cursors(store, clock, ids, config),
        replays=Replays(store, clock, ids, config, replaying.note),
        challenge=hooks.challenge,
        offer=hooks.offer,
        validations=Validations(store, catalogue, clock, config.validation_window_s),
        unready=lambda: None if store.refusal() is None else str(store.refusal()),
        dev=_dev_hooks(store, clock, calls) if config.dev else None,
    )
    return World(parts, build_app(parts), hooks, calls, issuer, replaying)


def _dev_hooks(store: Store, clock: VirtualClock, calls: DevCalls) -> DevHooks:
    async def advance(seconds: float) -> None:
        calls.advanced.append(seconds)
        clock.advance(int(seconds * 1000))

    async def set_rate(rate: float) -> None:
        calls.rates.append(rate)
        clock.set_rate(rate)

    async def reset() -> None:
        calls.resets += 1
        await store.reset()

    return DevHooks(clock, advance, set_rate, reset)
