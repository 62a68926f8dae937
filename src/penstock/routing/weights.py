"""One of several by weight. Pure: the chance comes from who asks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Generic, TypeVar

__all__ = ["Weighted"]

T = TypeVar("T")


class Weighted(Generic[T]):
    """Things with weights, at least one.

    Args:
        items: each thing, and its weight: more than nothing.
    """

    def __init__(self, items: Iterable[tuple[T, int]]) -> None:
        things, weights = zip(*items, strict=True)
        self._things: tuple[T, ...] = things
        bounds = list(accumulate(weights))
        self._sum = bounds[-1]
        # Without the last, so that no rounding can lead beyond it.
        self._bounds = bounds[:-1]

    def choose(self, chance: float) -> T:
        """The one whose part of [0, 1) holds `chance`; the parts are as large as the weights, in the given order."""
        return self._things[bisect_right(self._bounds, chance * self._sum)]
