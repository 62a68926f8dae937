"""One of several by weight."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from penstock.routing.weights import Weighted


@pytest.mark.parametrize(
    ("chance", "chosen"), [(0.0, "a"), (0.7499, "a"), (0.75, "b"), (0.9999, "b"), (1 - 2**-53, "b")]
)
def test_each_has_its_part(chance: float, chosen: str) -> None:
    assert Weighted([("a", 3), ("b", 1)]).choose(chance) == chosen


def test_one_is_always_chosen() -> None:
    assert {Weighted([("a", 7)]).choose(chance) for chance in (0.0, 0.5, 1 - 2**-53)} == {"a"}


def test_large_and_small_weights() -> None:
    weights = {"a": 1, "b": 1_000_000, "c": 500_000}
    choice, chance = Weighted(weights.items()), random.Random(4)
    drawn = Counter(choice.choose(chance.random()) for _ in range(30_000))
    assert 19_600 < drawn["b"] < 20_400
    assert drawn["a"] < 5
    assert choice.choose(1 - 2**-53) == "c"
