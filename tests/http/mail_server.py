"""A real mail server (aiosmtpd) on a loopback port: takes mails, or refuses and hangs as the test says."""

from __future__ import annotations

import asyncio
import email
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default as MODERN
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "events", "p8e-of-the-mail-server"


@dataclass
class Received:
    sender: str
    recipients: list[str]
    message: EmailMessage
    raw: bytes
    encrypted: bool
    user: str


@dataclass
class Mails:
    """What a mail server is told to do, and what came. The methods are aiosmtpd's hooks."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    replies: dict[str, str] = field(default_factory=dict)
    """By recipient: what it is answered with in place of 250."""
    data_reply: str = "250 OK"
    hangs_at: str = ""
    """`MAIL` or `DATA`."""
    asked: int = 0
    """How often somebody began to hand a mail over."""
    came: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def settings(self) -> dict[str, Any]:
        """Of a gateway that sends through it."""
        return {
            "smtp_host": "127.0.0.1",
            "smtp_port": self.port,
            "smtp_tls": "off",
            "smtp_timeout_s": 10.0,
            "mail_from": "events@gw.example",
            "notice_recipients": ("ops@acme.example",),
        }

    def subjects(self) -> list[str]:
        return [each.message["Subject"] for each in self.received]

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked += 1
        self.came.set()
        if self.hangs_at == "MAIL":
            await self.released.wait()
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.replies:
            return self.replies[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.hangs_at == "DATA":
            await self.released.wait()
        if self.data_reply.startswith("250"):
            raw = envelope.content
            assert isinstance(raw, bytes)
            message = email.message_from_bytes(raw, policy=MODERN)
            assert isinstance(message, EmailMessage)
            assert server.transport is not None
            encrypted = server.transport.get_extra_info("ssl_object") is not None
            user = str(vars(session).get("auth_data") or "")
            self.received.append(Received(str(envelope.mail_from), envelope.rcpt_tos, message, raw, encrypted, user))
        return self.data_reply


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
    assert isinstance(given, LoginPassword)
    is_right = (given.login, given.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False, auth_data=given.login.decode())


@asynccontextmanager
async def mail_server(
    *,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    needs_auth: bool = False,
    port: int = 0,
) -> AsyncIterator[Mails]:
    """`starttls` demands it, `tls` speaks it from the first byte on; `needs_auth` demands user and password."""
    mails = Mails()
    options: dict[str, Any] = {"tls_context": starttls, "require_starttls": starttls is not None}
    if needs_auth:
        options |= {"authenticator": _authenticate, "auth_required": True, "auth_require_tls": False}
    loop = asyncio.get_running_loop()
    spoken: list[SMTP] = []

    def speak() -> SMTP:
        with warnings.catch_warnings(action="ignore"):  # of passwords without TLS: it is loopback
            spoken.append(SMTP(mails, hostname="mail.example", loop=loop, **options))
        return spoken[-1]

    server = await loop.create_server(speak, "127.0.0.1", port, ssl=tls)
    mails.port = server.sockets[0].getsockname()[1]
    try:
        yield mails
    finally:
        mails.released.set()
        server.close()
        for each in spoken:
            if isinstance(each.transport, asyncio.WriteTransport):
                each.transport.abort()
        await asyncio.sleep(0)  # the transports close with the next turn of the loop
