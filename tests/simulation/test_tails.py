"""What hedging does for the slowest requests; `make soak` has ten times as many, with intervals."""

from __future__ import annotations

from tests.simulation.tails import play


def test_hedging_halves_the_p99_for_two_in_a_hundred_more_requests() -> None:
    plain, hedged = play(2000, 7, hedge=False), play(2000, 7, hedge=True)
    assert plain.extra == 0
    assert 0 < hedged.extra <= 0.02
    assert hedged.quantile(0.99)[0] <= plain.quantile(0.99)[0] / 2
