"""Dev mode's mail server: takes every mail, and keeps the newest to be looked at. In memory only."""

from __future__ import annotations

from eventmill.core.notice import Mail
from eventmill.send.mail import Posted

MAILS_MAX = 200


class Mailbox:
    def __init__(self) -> None:
        self._mails: dict[str, Mail] = {}

    async def send(self, mail: Mail, recipients: tuple[str, ...]) -> Posted:
        """A `Post`. A mail that comes again replaces the one before."""
        self._mails.pop(mail.id, None)
        self._mails[mail.id] = mail
        if len(self._mails) > MAILS_MAX:
            del self._mails[next(iter(self._mails))]
        return Posted(taken=recipients)

    def mails(self) -> list[Mail]:
        """Newest first."""
        return list(reversed(self._mails.values()))

    def mail(self, mail_id: str) -> Mail | None:
        return self._mails.get(mail_id)

    def clear(self) -> None:
        self._mails.clear()
