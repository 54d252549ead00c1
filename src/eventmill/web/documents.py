"""Documents that a gateway serves of itself: made when they are first asked for, kept for as long as it runs.

Open to everybody and to web pages of any origin, as they hold nothing of a tenant; answered once per version (ETag).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from eventmill.web.http import Reply, Request
from eventmill.web.parts import Parts


def document_reply(parts: Parts, request: Request, name: str, content_type: str, make: Callable[[], bytes]) -> Reply:
    """The document that `make` makes, which is of this name and type ever after; 304 for whoever has it."""
    kept = parts.documents
    reply = kept.get((name, content_type))
    if reply is None:
        reply = kept[name, content_type] = _make_reply(make(), content_type)
    tag = dict(reply.headers)[b"etag"].decode()
    known = {each.strip().removeprefix("W/") for each in request.header(b"if-none-match").split(",")}
    return Reply(304, headers=reply.headers) if known & {tag, "*"} else reply


def _make_reply(body: bytes, content_type: str) -> Reply:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Reply(200, body, content_type, ((b"etag", tag.encode()), (b"access-control-allow-origin", b"*")))
