"""Unusual spend, on synthetic years: how soon it is found, and how often something is called unusual that is not.

Busy days, calm nights, weekends at 30 %; hours stray by a factor of e^0.3. Each test is one claim of docs/alerts.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

import pytest

from penstock.routing.anomaly import WEEK, Odd, usual_of

DOLLAR = 1_000_000_000
LEAST = DOLLAR // 10


def shape(hour: int) -> float:
    """What is usual: dollars an hour."""
    day, at = hour // 24 % 7, hour % 24
    busy = 2.5 + 7.5 * (1 + math.sin((at - 6) / 12 * math.pi))
    return busy * (0.3 if day >= 5 else 1.0)


def noise(random: Random, sigma: float, company: float) -> Iterator[float]:
    """Factors around 1; `company`: how much of an hour's stray is the hour before's."""
    stray = 0.0
    while True:
        stray = company * stray + random.gauss(0.0, sigma * math.sqrt(1 - company * company))
        yield math.exp(stray)


def series(seed: int, weeks: int, *, sigma: float = 0.3, growth: float = 0.0, company: float = 0.0) -> dict[int, int]:
    strays = noise(Random(seed), sigma, company)
    return {
        hour: int(shape(hour) * (1 + growth) ** (hour / WEEK) * next(strays) * DOLLAR) for hour in range(weeks * WEEK)
    }


def watched(spends: dict[int, int], begin: int, end: int, factor: float = 1.0) -> list[tuple[int, Odd]]:
    """What was called unusual in each of these hours, where all of them cost `factor` as much."""
    seen = {hour: spent for hour, spent in spends.items() if hour < begin}
    found = []
    for hour in range(begin, end):
        spent = int(spends[hour] * factor)
        usual = usual_of(seen, hour, LEAST)
        assert usual is not None
        odd = usual.look(spent)
        if odd is not None:
            found.append((hour, odd))
        seen[hour] = spent
    return found


def hours_until(factor: float, seed: int, **how: float) -> float:
    begin = 8 * WEEK + Random(seed).randrange(6 * 24)
    found = watched(series(seed, 9, **how), begin, begin + 24, factor)
    return found[0][0] - begin + 1 if found else math.inf


@pytest.mark.parametrize(("factor", "within", "usually"), [(10.0, 2, 1), (5.0, 4, 2), (3.0, 10, 4), (2.0, 20, 9)])
def test_more_than_usual_is_found_within_hours(factor: float, within: int, usually: int) -> None:
    taken = sorted(hours_until(factor, seed) for seed in range(9))
    assert taken[-1] <= within
    assert taken[len(taken) // 2] <= usually


def test_calm_traffic_is_found_sooner() -> None:
    taken = sorted(hours_until(3.0, seed, sigma=0.15) for seed in range(8))
    assert taken[-1] <= 2
    taken = sorted(hours_until(2.0, seed, sigma=0.15) for seed in range(8))
    assert taken[-1] <= 6


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"sigma": 0.15},
        {"sigma": 0.5},
        {"growth": 0.10},
        {"company": 0.7},
        {"company": 0.7, "growth": 0.10},
    ],
)
def test_two_weeks_of_the_usual_have_no_false_alarm(how: dict[str, float]) -> None:
    """Nights, weekends, growth of 10 % a week, and busy hours in company are nothing unusual."""
    assert watched(series(1, 10, **how), 8 * WEEK, 10 * WEEK) == []


def test_a_busy_monday_is_usual_and_a_busy_sunday_is_not() -> None:
    spends = series(3, 9, sigma=0.1)
    monday, sunday = 8 * WEEK + 12, 8 * WEEK + 6 * 24 + 12
    of_monday = spends[monday]
    usual = usual_of({hour: spent for hour, spent in spends.items() if hour < sunday}, sunday, LEAST)
    assert usual is not None
    assert usual.look(spends[sunday]) is None
    odd = usual.look(of_monday)
    assert odd is not None
    assert (odd.hour, odd.hours, odd.spent) == (sunday, 1, of_monday)
    assert odd.usual == pytest.approx(0.3 * of_monday, rel=0.3)
    assert odd.score >= 5.0


def test_an_hour_is_told_before_it_is_over_and_stays_so() -> None:
    spends = series(4, 8, sigma=0.2)
    usual = usual_of(spends, 8 * WEEK, LEAST)
    assert usual is not None
    told = [usual.look(int(part / 60 * 10 * shape(8 * WEEK) * DOLLAR)) is not None for part in range(61)]
    first = told.index(True)
    assert 10 <= first <= 40
    assert all(told[first:])


def test_old_anomalies_do_not_hide_new_ones() -> None:
    spends = series(5, 9, sigma=0.2)
    for hour in range(5 * WEEK, 5 * WEEK + 36):
        spends[hour] *= 20
    begin = 8 * WEEK
    found = watched(spends, begin, begin + 6, 5.0)
    assert found
    assert found[0][0] - begin <= 1
    assert watched(spends, begin, begin + 36) == []


def test_a_new_level_is_told_and_then_is_usual() -> None:
    spends = series(6, 12, sigma=0.2)
    changed = {hour: spent * (3 if hour >= 8 * WEEK else 1) for hour, spent in spends.items()}
    hours = [hour - 8 * WEEK for hour, _ in watched(changed, 8 * WEEK, 10 * WEEK)]
    assert hours[0] <= 3
    assert max(hours) <= 7 * 24
    assert watched(changed, 10 * WEEK, 11 * WEEK) == []


def test_without_history_nothing_is_unusual() -> None:
    spends = series(7, 5)
    assert usual_of({}, 100, LEAST) is None
    assert usual_of(spends, 4 * WEEK - 1, LEAST) is None
    assert usual_of(spends, 4 * WEEK, LEAST) is not None
    # What began a week ago has a history of a week, however long the others' is.
    assert usual_of({hour: spent for hour, spent in spends.items() if hour > 4 * WEEK}, 5 * WEEK, LEAST) is None


def test_quiet_hours_and_cents() -> None:
    nothing = dict.fromkeys(range(5 * WEEK), 0)
    usual = usual_of(nothing, 5 * WEEK, LEAST)
    assert usual is not None
    assert usual.look(0) is None
    assert usual.look(LEAST // 2) is None
    odd = usual.look(20 * LEAST)
    assert odd is not None
    assert odd.usual == 0
    # To the cent the same in each hour: a cent more is nothing.
    same = usual_of(dict.fromkeys(range(5 * WEEK), 10 * DOLLAR), 5 * WEEK, LEAST)
    assert same is not None
    assert same.look(10 * DOLLAR + DOLLAR // 100) is None
    assert same.look(14 * DOLLAR) is None
    assert same.look(30 * DOLLAR) is not None
    # Nothing at all is less than usual, not more.
    assert same.look(0) is None
