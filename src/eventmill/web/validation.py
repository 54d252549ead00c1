"""GET /csm/registrations/validate: the link that a webhook was offered; whoever knows it may open it, once.

Only a request that somebody meant validates. HEAD tells what GET would say, and previews are refused: chats and mail
scanners look into links before, or instead of, the people they were sent to.
"""

from __future__ import annotations

import re
from html import escape

import msgspec

from eventmill.errors import GatewayError, Reason
from eventmill.model import Registration
from eventmill.web.http import Reply, Request
from eventmill.web.parts import Parts
from eventmill.web.undelivered import undelivered_brief

HTML_TYPE = "text/html; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"

_PURPOSES = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")
"""Headers of browsers that load a page which nobody asked for yet."""
_PREVIEWERS = re.compile(
    r"slackbot|slack-imgproxy|facebookexternalhit|twitterbot|linkedinbot|discordbot|telegrambot|whatsapp|"
    r"skypeuripreview|bingpreview|googlebot|applebot",
    re.IGNORECASE,
)
"""How programs name themselves that show or index what a link leads to."""
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)
_PAGE_STATUSES = frozenset({403, 404, 410})
"""Refusals that people get to see; the others are the gateway's own trouble, and may be tried again."""
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
<title>{title}</title><style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem}}
</style></head>
<body><h1>{title}</h1><p>{text}</p></body>
</html>
"""


async def open_link(parts: Parts, request: Request) -> Reply:
    """200 once. 404: nothing waits for it. 410: it was opened before, or has expired."""
    registration_id, secret = request.query_value("id") or "", request.query_value("challenge") or ""
    wants_page = "text/html" in request.header(b"accept").lower()
    try:
        if request.method == "HEAD":
            await parts.validations.check(registration_id, secret)
            waiting = ""
        else:
            _refuse_preview(request)
            waiting = await _tell_waiting(parts, await parts.validations.open(registration_id, secret))
    except GatewayError as error:
        if not wants_page or error.reason.status not in _PAGE_STATUSES:
            raise
        return _page(error.reason.status, "Not validated", f"{error.message[0].upper()}{error.message[1:]}.")
    text = f"The webhook of registration {registration_id} is verified. Events are sent to it from now on.{waiting}"
    if wants_page:
        return _page(200, "Validated", text)
    return Reply(200, f"{text}\n".encode(), TEXT_TYPE, _HEADERS)


async def _tell_waiting(parts: Parts, registration: Registration) -> str:
    """What came before it was verified, and how to have it sent."""
    brief = await undelivered_brief(parts, registration)
    if brief.replay is None:
        return ""
    events = "1 event" if brief.total == 1 else f"{brief.total:,} events"
    call = f"{brief.replay.method} {brief.replay.href} {msgspec.json.encode(brief.replay.body).decode()}"
    return f" What it did not get before ({events}) is not sent by itself; this call sends it: {call}"


def _refuse_preview(request: Request) -> None:
    purposes = " ".join(request.header(name) for name in _PURPOSES).lower()
    if "prefetch" in purposes or "preview" in purposes or _PREVIEWERS.search(request.header(b"user-agent")):
        raise GatewayError(Reason.NOT_PERMITTED, "a preview does not validate; open the link itself")


def _page(status: int, title: str, text: str) -> Reply:
    return Reply(status, _PAGE.format(title=escape(title), text=escape(text)).encode(), HTML_TYPE, _HEADERS)
