"""What a receiver check finds out, as its report has it."""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["pass", "fail", "skip"]


class CheckResult(msgspec.Struct, frozen=True):
    """What came of one check."""

    name: str
    title: str
    verdict: Verdict
    why: str
    status: int | None
    """The receiver's HTTP status; null: it gave no answer, or was not asked."""
    ms: int | None


class ReceiverReport(msgspec.Struct, frozen=True):
    """What there is to know of a receiver."""

    url: str
    delivery_type: Literal["webhook", "webhook_batch"]
    keys_url: str
    """Where the receiver was to get the public keys; empty: from a gateway."""
    keys_fetched: bool | None
    """Whether it did; null: they were a gateway's."""
    passed: int
    failed: int
    skipped: int
    checks: list[CheckResult]
