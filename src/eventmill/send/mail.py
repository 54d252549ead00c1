"""Hands one mail to the mail server of the settings (RFC 5321), and says who of its recipients is done with.

The server is the operator's, so it may be anywhere: the guard of `netguard` is for addresses that tenants name. TLS
that was asked for is demanded, and the certificate checked. Decides nothing about another try.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import msgspec

from eventmill.config import Config
from eventmill.core.notice import Mail
from eventmill.errors import StartupError

_REPLY_CHARS_MAX = 300


class Posted(msgspec.Struct, frozen=True):
    taken: tuple[str, ...] = ()
    """Recipients whose mail the server took."""
    refused: tuple[tuple[str, str], ...] = ()
    """Recipients that it will never take one for, and its words."""
    failure: str = ""
    """Why the others are not done with."""
    is_servers: bool = False
    """Whether another mail would have failed as well."""


class Post(Protocol):
    """Raises nothing but cancellation."""

    async def __call__(self, mail: Mail, recipients: tuple[str, ...]) -> Posted: ...


class MailServer:
    """One connection per mail. Raises `StartupError` when the certificate authorities of the settings are unusable."""

    def __init__(self, config: Config) -> None:
        self._config = config
        try:
            self._tls = ssl.create_default_context(cafile=config.smtp_ca or None)
        except OSError as error:  # ssl.SSLError is one
            raise StartupError(f"EVENTMILL_SMTP_CA={config.smtp_ca} cannot be used: {error}") from error

    async def send(self, mail: Mail, recipients: tuple[str, ...]) -> Posted:
        """A `Post`. Ends within the time limit, whatever the server does.

        After a cut at the very end the server may have taken a mail all the same."""
        session = _Session(self._config, self._tls)
        loop = asyncio.get_running_loop()
        posted: asyncio.Future[Posted] = loop.create_future()

        def settle(outcome: Posted) -> None:
            if not posted.done():
                posted.set_result(outcome)

        def work() -> None:
            outcome = session.post(mail, recipients)
            with suppress(RuntimeError):  # the loop closed meanwhile
                loop.call_soon_threadsafe(settle, outcome)
            session.quit()

        # A thread of its own: a name server that hangs must hold up neither the shared ones nor the end of the process.
        threading.Thread(target=work, name="mail", daemon=True).start()
        limit_s = self._config.smtp_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await posted
        except TimeoutError:
            return Posted(failure=f"the mail server did not finish within {limit_s:g} s", is_servers=True)
        finally:
            if posted.cancelled():
                session.cut()


class _Session:
    """Used by the thread that speaks, but for `cut`."""

    def __init__(self, config: Config, tls: ssl.SSLContext) -> None:
        self._config = config
        self._tls = tls
        self._client: smtplib.SMTP | None = None

    def post(self, mail: Mail, recipients: tuple[str, ...]) -> Posted:
        try:
            self._client = client = self._connect()
            if self._config.smtp_tls == "starttls":
                client.starttls(context=self._tls)
            if self._config.smtp_user:
                client.login(self._config.smtp_user, self._config.smtp_password)
            return _transact(client, mail, recipients)
        except (smtplib.SMTPException, OSError, ValueError) as error:  # ValueError: a host that is no name
            return Posted(failure=_tell(error), is_servers=True)

    def quit(self) -> None:
        """Whatever comes of it, the mail is decided on."""
        if self._client is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._client.quit()
            self._client.close()

    def cut(self) -> None:
        """Let whatever the thread waits for fail now. Before the greeting, the limit of the socket does."""
        sock = None if self._client is None else self._client.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> smtplib.SMTP:
        """Greeted already. The host's full name is not looked up, as it would be by default: that takes time."""
        config = self._config
        name = socket.gethostname()
        own_name = name if "." in name and name.isascii() else "[127.0.0.1]"
        where = (config.smtp_host, config.smtp_port, own_name)
        if config.smtp_tls == "tls":
            return smtplib.SMTP_SSL(*where, timeout=config.smtp_timeout_s, context=self._tls)
        return smtplib.SMTP(*where, timeout=config.smtp_timeout_s)


def _transact(client: smtplib.SMTP, mail: Mail, recipients: tuple[str, ...]) -> Posted:
    client.ehlo_or_helo_if_needed()
    reply = client.mail(mail.sender)
    if reply[0] != 250:
        raise smtplib.SMTPSenderRefused(*reply, mail.sender)
    replies = {each: client.rcpt(each) for each in recipients}
    accepted = tuple(each for each, (code, _) in replies.items() if code in (250, 251))
    refused = {each: _said(reply) for each, reply in replies.items() if 500 <= reply[0] <= 599}
    delayed = [_said(reply) for each, reply in replies.items() if each not in accepted and each not in refused]
    taken: tuple[str, ...] = ()
    if accepted:
        reply = _guarded(lambda: client.data(mail.encode()))
        if reply[0] == 250:
            taken = accepted
        elif 500 <= reply[0] <= 599:
            refused |= dict.fromkeys(accepted, _said(reply))
        else:
            delayed.append(_said(reply))
    return Posted(taken, tuple(refused.items()), delayed[0] if delayed else "")


def _guarded(send: Callable[[], tuple[int, bytes]]) -> tuple[int, bytes]:
    """A refusal to even begin with the data is a reply as well."""
    try:
        return send()
    except smtplib.SMTPDataError as error:
        return error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else error.smtp_error.encode()


def _said(reply: tuple[int, bytes]) -> str:
    return f"{reply[0]} {reply[1].decode('utf-8', 'replace')}"[:_REPLY_CHARS_MAX]


def _tell(error: Exception) -> str:
    """In words for the log. What was sent is not among them, so no password is."""
    if isinstance(error, smtplib.SMTPResponseException):
        words = error.smtp_error
        return _said((error.smtp_code, words if isinstance(words, bytes) else words.encode()))
    if isinstance(error, TimeoutError):
        return "the mail server did not answer in time"
    if isinstance(error, UnicodeError):  # its text may quote the password
        return "a host name, user or password that cannot be sent: it is not ASCII"
    return f"{type(error).__name__}: {error}"[:_REPLY_CHARS_MAX]
