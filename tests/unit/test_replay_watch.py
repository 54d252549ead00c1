"""How the command line words what is undelivered, and how far a replay is."""

from __future__ import annotations

from typing import Any

import pytest

from eventmill.cli.replay_watch import Pace, describe_progress, progress_bar, show_time
from eventmill.cli.undelivered import summarize

REGISTRATION = {"registration_id": "0b7e4f0c-5a3e-4c0e-9d7b-2f4f5a1c9e11", "name": "Stock to ERP"}


NOTHING = {"total": 0, "handed": 0, "waiting": 0, "delivered": 0}


def job(**members: Any) -> dict[str, Any]:
    return {
        "state": "running",
        "reason": None,
        "total": 500,
        "handed": 130,
        "waiting": 10,
        "delivered": 120,
        "failed": 0,
        "retrying": 0,
        "percent": 24.0,
        **members,
    }


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, "120 of 500 sent (24 %): 120 delivered"),
        ({"delivered": 115, "failed": 5}, "120 of 500 sent (24 %): 115 delivered, 5 failed"),
        ({"delivered": 117, "retrying": 3}, "120 of 500 sent (24 %): 117 delivered, 3 being retried"),
        ({**NOTHING, "percent": 100.0}, "0 of 0 sent (100 %): 0 delivered"),
        (
            {"total": 12_000, "handed": 1_510, "delivered": 1_500, "percent": 12.5},
            "1,500 of 12,000 sent (12.5 %): 1,500 delivered",
        ),
    ],
)
def test_progress_in_words(members: dict[str, Any], expected: str) -> None:
    """What was sent out of all, what became of it, and nothing about what there is none of."""
    assert describe_progress(job(**members)) == expected


def test_bar() -> None:
    """As full as what was sent; with the time left where it is known."""
    assert progress_bar(job(handed=260), 90.0).startswith("  " + "█" * 15 + "░" * 15 + "  250 of 500")
    assert progress_bar(job(), 90.0).endswith("120 delivered   1 min 30 s left")
    assert progress_bar(job(), None).endswith("120 delivered")
    assert "█" * 30 in progress_bar(job(**NOTHING), None)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "0 s"), (42.4, "42 s"), (60, "1 min 0 s"), (185, "3 min 5 s"), (7_800, "2 h 10 min"), (-3, "0 s")],
)
def test_time_left(seconds: float, expected: str) -> None:
    """In the two largest units."""
    assert show_time(seconds) == expected


def test_pace() -> None:
    """By what was sent since the first look; nothing is said before anything was."""
    pace = Pace()

    assert pace.left_s(job(handed=110), 10.0) is None
    assert pace.left_s(job(handed=110), 12.0) is None
    assert pace.left_s(job(handed=210), 20.0) == pytest.approx(30.0)


def test_summary() -> None:
    """How many, why, since when, and the one command that sends them; or that there is nothing."""
    causes = {"disabled": 1_200, "refused": 3}
    body = {"total": 1_203, "oldest": "2026-03-01T10:00:00.000Z", "causes": causes, "items": [], "next": None}

    first, second = summarize(body, REGISTRATION).splitlines()
    assert first.startswith(
        "Stock to ERP: 1,203 events undelivered (1,200 disabled, 3 refused), the oldest of 2026-03-01T"
    )
    assert first.endswith("Nothing of it is sent by itself; to send it:")
    assert second == "  eventmill replay start 0b7e4f0c-5a3e-4c0e-9d7b-2f4f5a1c9e11"
    assert "1 event undelivered (1 gave_up)" in summarize({**body, "total": 1, "causes": {"gave_up": 1}}, REGISTRATION)
    assert summarize({**body, "total": 0}, REGISTRATION).startswith("Stock to ERP: everything was delivered")
    gone = summarize({**body, "total": 2, "causes": {"expired": 2}}, REGISTRATION)
    assert gone.endswith("It is kept no longer, and cannot be sent")
