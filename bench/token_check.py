"""What checking who publishes costs, in a process of its own: the authenticator on a real store, strict, no HTTP.

    python bench/token_check.py DIRECTORY [--calls 20000] [--tokens 200]

Prints one JSON object: microseconds of a check of a token that is known, as nearly every publish brings, and of one
that has not been seen before, whose signature is verified.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

import msgspec

from eventmill.clock import VirtualClock
from eventmill.config import Config
from eventmill.core.signing import generate_pair
from eventmill.flow.catalogue import Catalogue
from eventmill.ids import IdSource
from eventmill.model import OrgId, SigningKey
from eventmill.store.control import Create
from eventmill.store.seal import Sealer
from eventmill.store.sqlite.store import SqliteStore
from eventmill.telemetry import setup_logging
from eventmill.web.caller import Authenticator
from eventmill.web.tenants import ensure_tenants
from eventmill.web.tokens import Grant, load_token_key, mint_token

KEY_ID = "bbbbbbbb-2222-4222-8222-222222222222"
Headers = list[tuple[bytes, bytes]]


async def measure(directory: Path, calls: int, tokens: int) -> dict[str, float]:
    config = Config(data=str(directory), dev=True, auth="strict", disk_reserve_bytes=0, log_level="warning")
    setup_logging(config)
    clock, sealer = VirtualClock(), Sealer(bytes(32))
    store = SqliteStore(config, clock)
    await store.open()
    try:
        await ensure_tenants(store, sealer, config, IdSource())
        key = new_key(sealer)
        await store.write([Create("signing_key", OrgId(""), key.id, msgspec.json.encode(key))])
        catalogue = Catalogue(store)
        await catalogue.load()
        requests = make_requests(catalogue, sealer, clock.machine_ms(), tokens + 1)
        authenticate = Authenticator(config, catalogue, clock).authenticate
        known, *unknown = requests
        authenticate(known)
        started_s = time.perf_counter()
        for headers in unknown:
            authenticate(headers)
        first_s = time.perf_counter() - started_s
        started_s = time.perf_counter()
        for _ in range(calls):
            authenticate(known)
        known_s = time.perf_counter() - started_s
        return {"first_us": first_s / tokens * 1e6, "known_us": known_s / calls * 1e6}
    finally:
        await store.close()


def new_key(sealer: Sealer) -> SigningKey:
    private_pem, public_pem = generate_pair()
    sealed = sealer.seal(private_pem.encode(), f"signing_key:{KEY_ID}")
    return SigningKey(id=KEY_ID, public_pem=public_pem, sealed_private_pem=sealed, created_ms=1, purpose="token")


def make_requests(catalogue: Catalogue, sealer: Sealer, now_ms: int, count: int) -> list[Headers]:
    """Headers of publishing requests, as the server hands them over, each with a token of its own."""
    [organization] = catalogue.organizations()
    [credential] = catalogue.credentials(organization.id)
    key = load_token_key(catalogue.signing_keys(), sealer)
    requests = []
    for number in range(count):
        grant = Grant.for_credential(credential, organization.ims_org_id, 3600 + number)
        token = mint_token(key, grant, now_ms=now_ms)
        requests.append(
            [
                (b"host", b"127.0.0.1:8080"),
                (b"authorization", b"Bearer " + token.encode()),
                (b"x-api-key", credential.client_id.encode()),
                (b"x-ims-org-id", organization.ims_org_id.encode()),
                (b"content-type", b"application/cloudevents+json"),
                (b"content-length", b"1024"),
            ]
        )
    return requests


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=200)
    args = parser.parse_args()
    print(json.dumps(asyncio.run(measure(args.directory, args.calls, args.tokens))))


if __name__ == "__main__":
    main()
