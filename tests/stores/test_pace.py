"""How fast and how busy a deployment is."""

from __future__ import annotations

import math
from random import Random

import pytest

from penstock.stores.pace import BANDS, DECAY_SECONDS, ENOUGH, KEPT, Pace


def told(pace: Pace, seconds: list[float], *, tokens: float = 100, now: float = 1000.0, stream: bool = True) -> None:
    for number, each in enumerate(seconds):
        pace.first_output(each, tokens, now + number * 0.01, stream=stream)


# --- the mean


def test_before_the_first_output_there_is_no_mean() -> None:
    pace = Pace("a")
    assert pace.ewma is None
    assert repr(pace) == "<Pace a: 0 in flight, no output yet>"


def test_all_that_came_in_one_moment_count_alike() -> None:
    pace = Pace("a")
    for seconds in (0.1, 0.2, 0.6):
        pace.first_output(seconds, 0, 1000.0, stream=True)
    assert pace.ewma == pytest.approx(0.3)
    assert repr(pace) == "<Pace a: 0 in flight, first output after 0.300 s>"


def test_a_sample_loses_its_weight_with_time_alone() -> None:
    pace = Pace("a")
    pace.first_output(1.0, 0, 1000.0, stream=True)
    assert pace.ewma == 1.0
    pace.first_output(0.2, 0, 1000.0 + DECAY_SECONDS, stream=True)
    old = math.exp(-1)
    assert pace.ewma == pytest.approx((1.0 * old + 0.2) / (old + 1))
    # A day later the only one that counts is the new one.
    pace.first_output(0.5, 0, 1000.0 + 86_400, stream=True)
    assert pace.ewma == pytest.approx(0.5)


def test_an_outage_of_a_minute_is_forgotten_a_minute_later() -> None:
    pace, now = Pace("a"), 1000.0
    for _ in range(600):
        pace.first_output(10.0, 0, now, stream=True)
        now += 0.1
    for _ in range(600):
        pace.first_output(0.2, 0, now, stream=True)
        now += 0.1
    assert pace.ewma is not None
    assert 0.2 < pace.ewma < 0.23


# --- the p95


def test_no_p95_from_fewer_than_200() -> None:
    pace = Pace("a")
    told(pace, [0.1] * (ENOUGH - 1))
    assert pace.p95(100, stream=True) is None
    told(pace, [0.1])
    assert pace.p95(100, stream=True) == 0.1


def test_it_is_the_nearest_rank_of_the_last_1000() -> None:
    pace = Pace("a")
    told(pace, [9.0] * 2000)
    assert pace.p95(100, stream=True) == 9.0
    told(pace, [number / 1000 for number in range(1, KEPT + 1)])
    assert pace.p95(100, stream=True) == 0.95
    tail = pace.tail(100, stream=True)
    assert tail is not None
    assert tail.samples == [number / 1000 for number in range(950, 1001)]


def test_it_is_near_the_true_one() -> None:
    chance, pace = Random(7), Pace("a")
    told(pace, [chance.lognormvariate(-1, 0.5) for _ in range(KEPT)])
    true = math.exp(-1 + 0.5 * 1.6449)
    p95 = pace.p95(100, stream=True)
    assert p95 is not None
    assert abs(p95 / true - 1) < 0.15


def test_it_follows_new_samples_within_50() -> None:
    pace = Pace("a")
    told(pace, [0.1] * 950)
    assert pace.p95(100, stream=True) == 0.1
    told(pace, [5.0] * 49)
    assert pace.p95(100, stream=True) == 0.1
    told(pace, [5.0] * 2)
    assert pace.p95(100, stream=True) == 5.0


@pytest.mark.parametrize(
    ("tokens", "alike", "apart"),
    [(0, 1023, 1024), (1024, 4095, 4096), (4096, 16_383, 16_384), (65_536, 262_143, 65_535), (262_144, 10_000_000, 0)],
)
def test_prompts_are_compared_with_those_about_as_large(tokens: int, alike: int, apart: int) -> None:
    pace = Pace("a")
    told(pace, [0.25] * ENOUGH, tokens=tokens)
    assert pace.p95(alike, stream=True) == 0.25
    assert pace.p95(apart, stream=True) is None


def test_streams_and_unary_answers_are_not_mixed() -> None:
    pace = Pace("a")
    told(pace, [0.25] * ENOUGH, stream=True)
    assert pace.p95(100, stream=False) is None
    told(pace, [4.0] * ENOUGH, stream=False)
    assert (pace.p95(100, stream=True), pace.p95(100, stream=False)) == (0.25, 4.0)


def test_it_holds_no_more_than_so_many_samples() -> None:
    pace = Pace("a")
    for power in range(26):
        told(pace, [0.1] * (2 * KEPT), tokens=2**power, stream=power % 2 == 0)
        told(pace, [0.1], tokens=2**power, stream=power % 2 == 1)
    held = sum(len(band.samples) for band in pace._bands.values())
    assert held <= 2 * BANDS * KEPT


# --- how busy


def test_what_begins_ends() -> None:
    pace = Pace("a")
    pace.in_flight += 2
    pace.ended()
    assert pace.in_flight == 1
