"""Hedging over 50,000 requests in virtual time: how long the slowest wait, and what it costs."""

from __future__ import annotations

import pytest

from tests.simulation.tails import SHAPES, play
from tests.soak.figures import tell

pytestmark = pytest.mark.soak

COUNT = 50_000
# Of the p99 without hedging what is left at most, whatever chance had to do with either. Where the usual first tokens
# spread so far that the late and the stuck overlap, two in a hundred more requests cannot rescue three: less is gained.
MOST = {"even": 0.5, "lognormal": 0.75}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_p99_with_its_interval(shape: str) -> None:
    plain = play(COUNT, 1, hedge=False, shape=shape)
    hedged = play(COUNT, 1, hedge=True, shape=shape)
    before, low, _ = plain.quantile(0.99)
    after, _, high = hedged.quantile(0.99)
    tell(
        f"first tokens, {shape}, 3 % at 10 x, {COUNT:,} requests: p99 {before:.2f} s, with hedging {after:.2f} s;"
        f" ratio {after / before:.2f} (95 %: at most {high / low:.2f}); {hedged.extra:.2%} more requests;"
        f" p50 {plain.quantile(0.5)[0]:.2f} and {hedged.quantile(0.5)[0]:.2f} s"
    )
    assert hedged.extra <= 0.02
    assert high / low <= MOST[shape]
