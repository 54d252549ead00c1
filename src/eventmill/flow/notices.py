"""Tells people what `flow.health` found: a mail for each notice, tried again until every recipient is done with.

The notices in the store are the outbox: one is written with the change of status that it tells of, and deleted once its
mail is sent, or nobody is to be told any more. Whoever sends it claims it before, so that of several nodes one does. A
crash between sending and deleting sends the same mail again, with the same `Message-ID`. Business time: retries and
expiry take part in advances of the clock.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.notice import compose, retry_delay_ms
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.outbox import NoticeStore, Outbox, Waiting
from eventmill.flow.presiding import while_presiding
from eventmill.flow.stage import repeat
from eventmill.model import Notice, Organization, OrgId, Project
from eventmill.send.mail import Post
from eventmill.store.control import Delete, Replace

log = structlog.get_logger()

CAPTURED_FROM, CAPTURED_TO = "eventmill@localhost", "developer@localhost"
"""Of mails that dev mode shows instead of sending them, where the settings name nobody."""
_DAY_MS = 86_400_000
_LOOK_S = 0.5
_ALL = 1 << 31


class Notices:
    """One per front. `catalogue` is the front's; `post` None: there is no mail server."""

    def __init__(
        self, store: NoticeStore, catalogue: Catalogue, clock: Clock, config: Config, post: Post | None
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._clock = clock
        self._config = config
        self._post = post
        self._keep_ms = config.notice_days * _DAY_MS
        self._outbox = Outbox(store, clock, int(config.smtp_timeout_s * 1000))
        self._sender = config.mail_from or CAPTURED_FROM
        self._failures = 0
        """Of the mail server, in a row."""
        self._resume_ms = 0
        """Until then the mail server is left alone."""
        self._said: set[OrgId] = set()
        """Organizations of which the log knows that nobody is mailed."""
        self._stepping = asyncio.Lock()

    def next_due_ms(self) -> int | None:
        """When a mail is tried next, or a notice expires."""
        return min(
            (self._due_ms(each) for each in self._outbox.waiting() if not self._outbox.is_anothers(each)), default=None
        )

    async def run(self) -> None:
        await repeat("notices", while_presiding(self._store, self.step), _LOOK_S)

    async def step(self, limit: int = _ALL) -> int:
        """See to what is due, `limit` notices at most; returns how many that were."""
        async with self._stepping:
            await self._catalogue.refresh()
            await self._outbox.gather()
            await self._drop_excess()
            attended = 0
            for each in self._outbox.waiting():
                if attended >= limit:
                    break
                attended += await self._attend(each)
            return attended

    async def _drop_excess(self) -> None:
        counts = Counter(each.notice.org for each in self._outbox.waiting())
        for each in self._outbox.waiting():
            if counts[each.notice.org] > self._config.notices_per_org:
                counts[each.notice.org] -= 1
                await self._drop(each, "too_many")

    # --- One notice ---

    async def _attend(self, waiting: Waiting) -> bool:
        """Whether there was anything to do."""
        if self._outbox.is_anothers(waiting):
            return False
        notice, now_ms = waiting.notice, self._clock.now_ms()
        organization = self._catalogue.organization(notice.org)
        project = self._catalogue.project(notice.org, notice.project_id)
        registration = self._catalogue.registration(notice.org, notice.registration_id)
        if organization is None or project is None or registration is None:
            await self._drop(waiting, "registration_deleted")
        elif project.pause_notices:
            await self._drop(waiting, "paused")
        elif now_ms >= notice.at_ms + self._keep_ms:
            await self._drop(waiting, "expired")
        elif not (recipients := self._recipients(organization)):
            self._say_once(notice)
            return False
        elif now_ms < self._due_ms(waiting):
            return False
        elif left := tuple(each for each in recipients if each not in notice.told):
            if await self._outbox.claim(waiting):
                await self._mail(waiting, organization, project, recipients, left)
        else:
            await self._outbox.write(waiting, Delete("notice", notice.org, notice.id))
        return True

    def _recipients(self, organization: Organization) -> tuple[str, ...]:
        """Empty: nobody is mailed."""
        if self._post is None:
            return ()
        captured = (CAPTURED_TO,) if self._config.captures_mail else ()
        return organization.notice_recipients or self._config.notice_recipients or captured

    def _due_ms(self, waiting: Waiting) -> int:
        """Of the next try; of the end while nobody is mailed."""
        notice = waiting.notice
        organization = self._catalogue.organization(notice.org)
        ends_ms = notice.at_ms + self._keep_ms
        if organization is None or not self._recipients(organization):
            return ends_ms
        return min(max(waiting.due_ms, self._resume_ms), ends_ms)

    async def _mail(
        self,
        waiting: Waiting,
        organization: Organization,
        project: Project,
        recipients: tuple[str, ...],
        left: tuple[str, ...],
    ) -> None:
        notice = waiting.notice
        assert self._post is not None, "else there are no recipients"
        base = (self._config.console_url or self._config.url).rstrip("/")
        mail = compose(notice, organization, project, base, (self._sender, recipients))
        posted = await self._post(mail, left)
        told = (*posted.taken, *(recipient for recipient, _ in posted.refused))
        # Known before it is stored: a store that cannot be written to must not have the mail sent again.
        waiting.notice = msgspec.structs.replace(notice, told=(*notice.told, *told), claimed_by=0, claimed_ms=0)
        about = {"registration": notice.registration_id, "notice": notice.id}
        for recipient, cause in posted.refused:
            log.warning(telemetry.NOTICE_REFUSED, recipient=recipient, cause=cause, **about)
        if posted.taken:
            log.info(telemetry.NOTICE_MAILED, recipients=len(posted.taken), **about)
        if len(told) < len(left):
            due_ms = self._postpone(waiting, is_servers=posted.is_servers)
            retry_in_s = (due_ms - self._clock.now_ms()) // 1000
            log.warning(telemetry.NOTICE_DELAYED, cause=posted.failure, retry_in_s=retry_in_s, **about)
            if told:
                encoded = msgspec.json.encode(waiting.notice)
                await self._outbox.write(
                    waiting, Replace("notice", notice.org, notice.id, encoded, waiting.version, None)
                )
            return
        self._failures = self._resume_ms = 0
        await self._outbox.write(waiting, Delete("notice", notice.org, notice.id))

    def _postpone(self, waiting: Waiting, *, is_servers: bool) -> int:
        """When the next try is due: of this mail, or of all when it was the server's fault."""
        now_ms = self._clock.now_ms()
        if is_servers:
            self._failures += 1
            self._resume_ms = now_ms + retry_delay_ms(self._failures)
            return self._resume_ms
        self._failures = 0
        waiting.tries += 1
        waiting.due_ms = now_ms + retry_delay_ms(waiting.tries)
        return waiting.due_ms

    async def _drop(self, waiting: Waiting, cause: str) -> None:
        notice = waiting.notice
        if not await self._outbox.write(waiting, Delete("notice", notice.org, notice.id)):
            return
        log.warning(
            telemetry.NOTICE_DROPPED,
            registration=notice.registration_id,
            notice=notice.id,
            status=notice.after,
            cause=cause,
        )

    def _say_once(self, notice: Notice) -> None:
        if notice.org not in self._said:
            self._said.add(notice.org)
            missing = "EVENTMILL_SMTP_HOST" if self._post is None else "EVENTMILL_NOTICE_RECIPIENTS"
            log.warning(telemetry.NOTICE_KEPT, org=notice.org, remedy=missing)
