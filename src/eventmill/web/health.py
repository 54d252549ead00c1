"""GET /healthz (the process answers), GET /readyz (the store takes events), GET / (what this is). No token needed."""

from __future__ import annotations

from eventmill import __version__
from eventmill.errors import Reason
from eventmill.web.bodies import Link
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts, Vitals
from eventmill.web.shapes import Health, Index, IndexLinks, NotReady, Ready


async def get_health(_parts: Vitals, _request: Request) -> Reply:
    return json_reply(200, Health("ok"))


async def get_readiness(parts: Vitals, _request: Request) -> Reply:
    why_not = parts.unready()
    if why_not is None:
        doubt = parts.store.clock_doubt()
        return json_reply(200, Ready("ready", warnings=(doubt,) if doubt else ()))
    return json_reply(503, NotReady(status="not ready", reason=Reason.STORE_UNAVAILABLE.code, message=why_not))


async def get_index(parts: Parts, _request: Request) -> Reply:
    base = parts.config.url
    links = IndexLinks(
        self=Link(f"{base}/"),
        health=Link(f"{base}/healthz"),
        readiness=Link(f"{base}/readyz"),
        ingress=Link(f"{base}/ingress"),
        token=Link(f"{base}/ims/token/v3"),
        description=Link(f"{base}/openapi.json"),
    )
    return json_reply(200, Index(links=links, name="eventmill", version=__version__))
