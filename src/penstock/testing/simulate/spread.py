"""How sizes and times are spread: always the same, anything in a range, mostly small with a long tail, or a list."""

from __future__ import annotations

import math
from random import Random
from typing import Literal

import msgspec

__all__ = ["Spread"]

# How many standard deviations the 95th percentile of a normal distribution lies above its median.
_P95 = 1.6448536269514722


class Spread(msgspec.Struct, frozen=True):
    """A distribution.

    Attributes:
        kind: `fixed`: the one value. `uniform`: from the first to the second. `lognormal`: its median and its 95th
            percentile. `list`: any of the values.
    """

    kind: Literal["fixed", "uniform", "lognormal", "list"]
    values: tuple[float, ...]

    def draw(self, random: Random) -> float:
        """One value."""
        values = self.values
        if self.kind == "fixed":
            return values[0]
        if self.kind == "uniform":
            return random.uniform(values[0], values[1])
        if self.kind == "list":
            return values[int(random.random() * len(values))]
        return values[0] * math.exp(random.gauss(0.0, 1.0) * math.log(values[1] / values[0]) / _P95)
