"""How fast budgets burn, and when they will be used up."""

from __future__ import annotations

import math

import pytest

from penstock.routing.burn import HORIZONS, SLICES, Burn, exhausted_at, pressure

DAY = 86_400.0
MIDNIGHT = 1_767_225_600.0  # 2026-01-01 00:00 UTC
DOLLAR = 1_000_000_000


def burnt(spends: list[int], every: float = 900.0, horizon: float = 10_800.0, start: float = MIDNIGHT) -> Burn:
    """A burn that was looked at at the end of each stretch."""
    burn, used = Burn(horizon), 0
    burn.look(start, MIDNIGHT, 0)
    for number, spent in enumerate(spends):
        used += spent
        burn.look(start + (number + 0.5) * every, MIDNIGHT, used)
    return burn


def test_a_steady_burn_is_its_rate() -> None:
    burn = burnt([900] * 12)
    assert burn.rate(MIDNIGHT + 10_800) == 1.0


def test_nothing_burns_and_nothing_known_are_no_rate() -> None:
    assert Burn(10_800).rate(MIDNIGHT) == 0.0
    assert burnt([0] * 12).rate(MIDNIGHT + 10_800) == 0.0
    # One slice alone is not enough, two are.
    assert burnt([900]).rate(MIDNIGHT + 900) == 0.0
    assert burnt([900, 900]).rate(MIDNIGHT + 1800) == 1.0


def test_what_was_used_before_the_first_look_is_no_burn() -> None:
    burn = Burn(10_800)
    burn.look(MIDNIGHT + 3600, MIDNIGHT, 50 * DOLLAR)
    burn.look(MIDNIGHT + 3600 + 450, MIDNIGHT, 50 * DOLLAR + 900)
    burn.look(MIDNIGHT + 3600 + 1350, MIDNIGHT, 50 * DOLLAR + 1800)
    assert burn.rate(MIDNIGHT + 3600 + 1800) == 1.0


def test_one_expensive_call_is_no_rate() -> None:
    calm = burnt([900] * 12).rate(MIDNIGHT + 10_800)
    once = burnt([900] * 6 + [900_000] + [900] * 5).rate(MIDNIGHT + 10_800)
    assert once == calm
    twice = burnt([900] * 6 + [900_000] * 2 + [900] * 4).rate(MIDNIGHT + 10_800)
    assert twice > 100 * calm
    assert burnt([0] * 6 + [900_000] + [0] * 5).rate(MIDNIGHT + 10_800) == 0.0


def test_what_is_no_longer_recent_is_forgotten() -> None:
    burn = burnt([900] * 12)
    assert burn.rate(MIDNIGHT + 10_800 + 6 * 900) == pytest.approx(0.5)
    assert burn.rate(MIDNIGHT + 10_800 + 12 * 900) == 0.0


def test_it_goes_on_over_the_border_of_a_window() -> None:
    burn = Burn(10_800)
    used = 0
    for number in range(13):
        at = MIDNIGHT - 5400 + number * 900
        window = MIDNIGHT - DAY if at < MIDNIGHT else MIDNIGHT
        used = used + 900 if at != MIDNIGHT else 900
        burn.look(at, window, used)
    assert burn.rate(MIDNIGHT + 5400) == pytest.approx(1.0, rel=0.1)


def test_what_was_reserved_and_given_back_did_not_burn() -> None:
    burn = Burn(10_800)
    for number in range(12):
        at = MIDNIGHT + number * 900
        burn.look(at, MIDNIGHT, 0)
        burn.look(at + 100, MIDNIGHT, 5 * DOLLAR)
        burn.look(at + 200, MIDNIGHT, 0)
    assert burn.rate(MIDNIGHT + 10_800) == 0.0


def test_a_clock_that_is_set_back_begins_anew() -> None:
    burn = burnt([900] * 12)
    burn.look(MIDNIGHT - 3600, MIDNIGHT - DAY, 77)
    assert burn.rate(MIDNIGHT - 3600) == 0.0
    burn.look(MIDNIGHT - 3600 + 450, MIDNIGHT - DAY, 77 + 900)
    burn.look(MIDNIGHT - 3600 + 1350, MIDNIGHT - DAY, 77 + 1800)
    assert burn.rate(MIDNIGHT - 3600 + 1800) == 1.0


def test_memory_is_bounded() -> None:
    burn = Burn(HORIZONS["day"])
    for minute in range(3 * 1440):
        burn.look(MIDNIGHT + 60 * minute, MIDNIGHT, minute)
    assert len(burn._burnt) <= SLICES + 1


def test_when_it_will_be_used_up() -> None:
    now, ends = MIDNIGHT + 6 * 3600, MIDNIGHT + DAY
    assert exhausted_at(3600, 1.0, now, ends) == now + 3600
    assert exhausted_at(0, 1.0, now, ends) == exhausted_at(-5, 0.0, now, ends) == now
    assert exhausted_at(3600, 0.0, now, ends) == math.inf
    # Within the window only: what would come after its end never comes.
    assert exhausted_at(18 * 3600, 1.0, now, ends) == math.inf
    assert exhausted_at(18 * 3600 - 1, 1.0, now, ends) == ends - 1


def test_how_hard_to_throttle() -> None:
    now, ends = MIDNIGHT + DAY / 2, MIDNIGHT + DAY
    rest = int(ends - now)
    assert pressure(rest, 1.0, now, ends) == 0.0
    assert pressure(rest, 0.0, now, ends) == 0.0
    assert pressure(rest // 2, 1.0, now, ends) == 0.5
    assert pressure(rest // 2, 2.0, now, ends) == 0.75
    assert pressure(0, 0.0, now, ends) == 1.0
    # Whoever slows down by just that much reaches the end of the window and not an hour less.
    slowed = 2.0 * (1 - pressure(rest // 2, 2.0, now, ends))
    assert now + (rest // 2) / slowed == pytest.approx(ends)
