"""Business time, and what of it people are waited for by."""

from __future__ import annotations

from eventmill.clock import VirtualClock


class Machine(VirtualClock):
    """Its machine time moves by hand."""

    machine_now_ms = 1_000_000

    def machine_ms(self) -> int:
        return self.machine_now_ms


def test_an_advance_moves_both_times() -> None:
    """An hour forward is an hour for everybody."""
    clock = Machine()
    before = clock.now_ms(), clock.patient_ms()
    clock.advance(3_600_000)
    assert (clock.now_ms() - before[0], clock.patient_ms() - before[1]) == (3_600_000, 3_600_000)


def test_a_rate_hurries_business_but_not_people() -> None:
    """Ten machine seconds at a thousandfold rate are ten seconds to whoever has a link to open; none at rate 0, too."""
    clock = Machine(rate=1000)
    before = clock.now_ms(), clock.patient_ms()
    clock.machine_now_ms += 10_000
    assert (clock.now_ms() - before[0], clock.patient_ms() - before[1]) == (10_000_000, 10_000)
    clock.set_rate(0)
    clock.machine_now_ms += 10_000
    assert (clock.now_ms() - before[0], clock.patient_ms() - before[1]) == (10_000_000, 20_000)


def test_both_times_go_on_after_a_restart() -> None:
    """Of an offset, only what advances made of it counts for people; nothing is turned back."""
    clock = Machine()
    clock.follow(5_000_000, 3_000_000)
    assert (clock.offset_ms, clock.patient_ms() - clock.machine_ms()) == (5_000_000, 3_000_000)
    clock.follow(1_000_000, 500_000)
    assert (clock.offset_ms, clock.patient_ms() - clock.machine_ms()) == (5_000_000, 3_000_000)
