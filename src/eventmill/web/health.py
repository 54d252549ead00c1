"""GET /healthz (the process answers), GET /readyz (the store takes events), GET / (what this is). No token needed."""

from __future__ import annotations

from eventmill import __version__
from eventmill.errors import Reason
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts


async def get_health(_parts: Parts, _request: Request) -> Reply:
    return json_reply(200, {"status": "ok"})


async def get_readiness(parts: Parts, _request: Request) -> Reply:
    why_not = parts.unready()
    if why_not is None:
        return json_reply(200, {"status": "ready"})
    refusal = {"reason": Reason.STORE_UNAVAILABLE.code, "message": why_not}
    return json_reply(503, {"status": "not ready", **refusal})


async def get_index(parts: Parts, _request: Request) -> Reply:
    base = parts.config.url
    links = {
        "self": {"href": f"{base}/"},
        "health": {"href": f"{base}/healthz"},
        "readiness": {"href": f"{base}/readyz"},
        "ingress": {"href": f"{base}/ingress"},
        "token": {"href": f"{base}/ims/token/v3"},
    }
    return json_reply(200, {"_links": links, "name": "eventmill", "version": __version__})
