"""`eventmill.web.recent`: bounded, and a flood of new keys forgets only what nobody asks for."""

from __future__ import annotations

from eventmill.web.recent import Recent


def test_bounded_and_the_busy_stay() -> None:
    """Ten thousand others come by: never more than twice the size is held, and the one in use is always there."""
    recent: Recent[int, str] = Recent(100)
    recent.put(-1, "busy")
    for number in range(10_000):
        recent.put(number, "flood")
        assert recent.get(-1) == "busy"
        assert len(recent) <= 200
    assert recent.get(1) is None


def test_newer_value_wins() -> None:
    """Also while the older one sits in the older generation."""
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    for name in ("b", "c"):
        recent.put(name, 0)
    recent.put("a", 2)

    assert recent.get("a") == 2


def test_clear() -> None:
    """Nothing is left, of either generation."""
    recent: Recent[int, int] = Recent(2)
    for number in range(3):
        recent.put(number, number)
    recent.clear()

    assert len(recent) == 0 and recent.get(0) is None
