"""/_dev/clock, /_dev/mailbox, /_dev/snapshot, /_dev/restore and /_dev/reset: the virtual clock, mails that nobody gets,
all data in a file and back, and a fresh start; in dev mode and from this machine only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import structlog

from eventmill import telemetry
from eventmill.config import is_loopback
from eventmill.core.envelope import format_time
from eventmill.core.notice import Mail
from eventmill.errors import GatewayError, Reason
from eventmill.web.checks import invalid, read_object, show
from eventmill.web.http import NO_CONTENT, Reply, Request, json_reply
from eventmill.web.parts import DevHooks, Parts
from eventmill.web.shapes import ClockBody

ADVANCE_SECONDS_MAX = 10 * 366 * 86400
RATE_MAX = 1_000_000
GZIP = "application/gzip"
SNAPSHOT_BYTES_MAX = 1 << 30

log = structlog.get_logger()


_HARMLESS = ((b"content-security-policy", b"default-src 'none'; sandbox"), (b"vary", b"accept"))
"""Should a name get past its escaping after all."""


class MailItem(msgspec.Struct, frozen=True, rename={"sender": "from", "recipients": "to"}):
    id: Annotated[str, msgspec.Meta(description="That of its `Message-ID`, before the @.")]
    time: Annotated[str, msgspec.Meta(description="Business time.")]
    sender: str
    recipients: list[str]
    subject: str
    href: str


class ClockForm(msgspec.Struct, frozen=True):
    """One of the two."""

    advance_seconds: int | float | None = None
    rate: int | float | None = None


async def get_clock(parts: Parts, request: Request) -> Reply:
    return _clock_reply(dev_hooks(parts, request))


async def post_clock(parts: Parts, request: Request) -> Reply:
    hooks = dev_hooks(parts, request)
    form = read_object(await request.body(parts.config.request_bytes_max), ClockForm)
    if (form.advance_seconds is None) == (form.rate is None):
        raise invalid("the body", "give either advance_seconds or rate")
    if form.advance_seconds is not None:
        _check_range("advance_seconds", form.advance_seconds, ADVANCE_SECONDS_MAX)
        await hooks.advance(form.advance_seconds)
        log.info(telemetry.CLOCK_ADVANCED, seconds=form.advance_seconds)
    if form.rate is not None:
        _check_range("rate", form.rate, RATE_MAX)
        await hooks.set_rate(form.rate)
    return _clock_reply(hooks)


async def post_reset(parts: Parts, request: Request) -> Reply:
    await dev_hooks(parts, request).reset()
    await parts.catalogue.refresh()
    log.info(telemetry.STORE_RESET)
    return NO_CONTENT


async def get_snapshot(parts: Parts, request: Request) -> Reply:
    """GET /_dev/snapshot: everything, to begin another gateway with."""
    snapshot = dev_hooks(parts, request).snapshot
    if snapshot is None:
        raise GatewayError(Reason.NOT_FOUND, "there is no data directory to make a snapshot of")
    name = f"eventmill-{datetime.fromtimestamp(parts.clock.machine_ms() / 1000, UTC):%Y%m%d-%H%M%S}.tar.gz"
    headers = ((b"content-disposition", f'attachment; filename="{name}"'.encode()), (b"cache-control", b"no-store"))
    return Reply(200, await snapshot(), GZIP, headers)


async def post_restore(parts: Parts, request: Request) -> Reply:
    """POST /_dev/restore: such a file in place of everything; the gateway then begins anew."""
    restore = dev_hooks(parts, request).restore
    if restore is None:
        raise GatewayError(Reason.NOT_FOUND, "there is no data directory to restore a snapshot to")
    await restore(await request.body(SNAPSHOT_BYTES_MAX))
    return NO_CONTENT


async def list_mails(parts: Parts, request: Request) -> Reply:
    """GET /_dev/mailbox: newest first."""
    return json_reply(200, [_mail_item(parts, each) for each in dev_hooks(parts, request).mailbox.mails()])


async def get_mail(parts: Parts, request: Request) -> Reply:
    """GET /_dev/mailbox/{mail}: as text, or as `accept` says, as HTML or as the message that would be sent."""
    mail = dev_hooks(parts, request).mailbox.mail(request.params["mail"])
    if mail is None:
        raise GatewayError(Reason.NOT_FOUND, f"mail {show(request.params['mail'])} is not in the mailbox")
    wanted = request.header(b"accept")
    if "text/html" in wanted:
        return Reply(200, mail.html.encode(), "text/html; charset=utf-8", _HARMLESS)
    if "message/rfc822" in wanted:
        return Reply(200, mail.encode(), "message/rfc822", _HARMLESS)
    return Reply(200, mail.text.encode(), "text/plain; charset=utf-8", _HARMLESS)


async def empty_mailbox(parts: Parts, request: Request) -> Reply:
    dev_hooks(parts, request).mailbox.clear()
    return NO_CONTENT


def _mail_item(parts: Parts, mail: Mail) -> MailItem:
    href = f"{parts.config.url}/_dev/mailbox/{mail.id}"
    return MailItem(mail.id, format_time(mail.at_ms), mail.sender, list(mail.recipients), mail.subject, href)


def dev_hooks(parts: Parts, request: Request) -> DevHooks:
    if parts.dev is None:
        raise GatewayError(Reason.NOT_FOUND, "/_dev is served in dev mode only")
    if not is_loopback(request.peer):
        raise GatewayError(Reason.LOOPBACK_ONLY, "/_dev may be used from this machine only")
    origin = request.header(b"origin")
    if origin and origin not in _own_origins(parts):  # a page of another site, in a browser on this machine
        raise GatewayError(Reason.LOOPBACK_ONLY, f"/_dev may not be used by pages of {show(origin)}")
    return parts.dev


def _own_origins(parts: Parts) -> tuple[str, ...]:
    """Under whichever name of this machine its pages were opened."""
    port = parts.config.port
    return parts.config.url, f"http://127.0.0.1:{port}", f"http://localhost:{port}", f"http://[::1]:{port}"


def _check_range(member: str, value: float, most: int) -> None:
    if value < 0:
        message = f"{member}: business time never runs backwards, but {value} was asked for"
        raise GatewayError(Reason.CLOCK_BACKWARDS, message)
    if value > most:
        raise invalid(member, f"must be at most {most}, but is {value}")


def _clock_reply(hooks: DevHooks) -> Reply:
    clock = hooks.clock
    body = ClockBody(now=format_time(clock.now_ms()), offset_seconds=clock.offset_ms / 1000, rate=clock.rate)
    return json_reply(200, body)
