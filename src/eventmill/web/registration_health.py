"""GET of a registration's health: where its webhook stands by the rules, and what comes next. An addition of ours."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventmill.core.envelope import format_time
from eventmill.core.health import Figures, Outlook, RuleSet, judge, tell
from eventmill.flow.health import configured_rules, is_watched, read_case, status_since_ms
from eventmill.model import Caller, Registration, WebhookStatus
from eventmill.web.bodies import UndeliveredBrief
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.metrics import age_s
from eventmill.web.parts import Parts
from eventmill.web.registration_reads import workspace_registration
from eventmill.web.undelivered import undelivered_brief


class WindowBody(msgspec.Struct, frozen=True):
    """Attempts since the registration last became `verified`, as far as they are in the window."""

    attempts: int
    successful: int
    failed: int
    failing: Annotated[bool, msgspec.Meta(description="10 attempts or more, fewer than 20 % of them successful.")]


class RegistrationHealthBody(msgspec.Struct, frozen=True):
    registration_id: str
    webhook_status: WebhookStatus
    enabled: bool
    since: Annotated[str, msgspec.Meta(description="When it took this status; business time.")]
    rules: RuleSet
    oldest_undelivered_age_seconds: Annotated[
        float,
        msgspec.Meta(
            description="How long the oldest event has waited that it is still to get, since it was published or, once "
            "tried, since its first attempt; 0: nothing waits."
        ),
    ]
    last_24_hours: WindowBody
    last_30_minutes: WindowBody
    next_evaluation: Annotated[
        str | None,
        msgspec.Meta(description="When time alone will change the status; null: never, or it is not watched."),
    ]
    next_status: Annotated[
        WebhookStatus | None, msgspec.Meta(description="What it then becomes, should attempts go on as they do.")
    ]
    summary: Annotated[str, msgspec.Meta(description="The same in one sentence, for people.")]
    undelivered: UndeliveredBrief


async def get_health(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /events/{org}/{project}/{workspace}/registrations/{registration}/health"""
    registration = await workspace_registration(parts, request, caller)
    now_ms = parts.clock.now_ms()
    case = await read_case(parts.store, registration, now_ms)
    outlook = judge(case, configured_rules(parts.config), now_ms)
    brief = await undelivered_brief(parts, registration)
    waited_s = age_s(await parts.store.waiting_since(registration.id), now_ms)
    return json_reply(200, _body(registration, outlook, parts.config.state_rules, now_ms, brief, waited_s))


def _body(
    registration: Registration,
    outlook: Outlook,
    rules: RuleSet,
    now_ms: int,
    undelivered: UndeliveredBrief,
    waited_s: float,
) -> RegistrationHealthBody:
    watched = is_watched(registration)
    next_ms = (now_ms if outlook.becomes else outlook.next_ms) if watched else None
    next_evaluation = None if next_ms is None else format_time(next_ms)
    summary = (
        tell(registration.webhook_status, outlook, next_evaluation or "") if watched else _why_unwatched(registration)
    )
    return RegistrationHealthBody(
        registration_id=registration.registration_id,
        webhook_status=registration.webhook_status,
        enabled=registration.enabled,
        since=format_time(status_since_ms(registration)),
        rules=rules,
        oldest_undelivered_age_seconds=waited_s,
        last_24_hours=_window(outlook.day),
        last_30_minutes=_window(outlook.half_hour),
        next_evaluation=next_evaluation,
        next_status=(outlook.becomes or outlook.then) if watched else None,
        summary=summary,
        undelivered=undelivered,
    )


def _window(figures: Figures) -> WindowBody:
    return WindowBody(figures.attempts, figures.attempts - figures.failed, figures.failed, figures.is_failing)


def _why_unwatched(registration: Registration) -> str:
    if registration.webhook_status == "hook_unreachable":
        return (
            "disabled, because too many attempts failed; a change or POST .../challenge asks its webhook and enables it"
        )
    if registration.webhook_status == "verification_failed":
        return "disabled, because its webhook did not agree to be called: see its trace; POST .../challenge asks again"
    if not registration.enabled:
        return "disabled by a change; another one that its webhook agrees to enables it"
    if registration.webhook_status == "accepted":
        return "waits to be validated; until then nothing is pushed"
    return "nothing is pushed: there is no status to change"
