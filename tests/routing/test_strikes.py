"""Wrong keys again and again: ten a minute from an address, a thousand in all, and a bounded memory."""

from __future__ import annotations

import pytest

from penstock.routing.strikes import MOST_KNOWN, Strikes


def test_ten_a_minute_and_whoever_waits_is_answered() -> None:
    strikes = Strikes()
    assert [strikes.strike("10.0.0.1", 1000.0) for _ in range(10)] == [0.0] * 10
    wait = strikes.strike("10.0.0.1", 1000.0)
    assert wait == pytest.approx(6.0)
    # One that is refused costs nothing: the wait is no longer for it.
    assert strikes.strike("10.0.0.1", 1000.0) == wait
    assert strikes.strike("10.0.0.1", 1000.0 + wait - 0.01) > 0
    assert strikes.strike("10.0.0.1", 1000.0 + wait) == 0
    assert strikes.strike("10.0.0.1", 1000.0 + wait) > 0


def test_no_minute_has_more_than_twenty() -> None:
    """A burst of ten, and what comes back in the minute after it."""
    strikes = Strikes()
    answered = [at / 10 for at in range(3000) if strikes.strike("10.0.0.1", at / 10) == 0]
    assert max(sum(1 for at in answered if begin <= at < begin + 60) for begin in answered) <= 20


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        (None, "/run/socket", True),
    ],
)
def test_who_counts_as_one(one: str | None, other: str | None, same: bool) -> None:
    strikes = Strikes(most=1)
    assert strikes.strike(one, 1.0) == 0
    assert (strikes.strike(other, 1.0) > 0) == same


def test_all_of_them_together_are_bounded_too() -> None:
    strikes = Strikes()
    answered = sum(strikes.strike(f"10.{number >> 8}.{number & 255}.1", 5.0) == 0 for number in range(5000))
    assert answered == 1000


def test_what_is_remembered_is_bounded() -> None:
    strikes = Strikes(overall=10**9)
    for number in range(3 * MOST_KNOWN):
        strikes.strike(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", float(number))
    assert len(strikes._known) == MOST_KNOWN
