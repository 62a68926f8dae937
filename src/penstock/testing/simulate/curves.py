"""How many callers come when: a rate over time, and the moments at which they come. Pure.

Callers come independently of each other (a Poisson process), as those of a real application do; a replayed list is
taken as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import Literal

import msgspec

__all__ = ["Rate", "Spike", "arrivals"]

DAY = 86_400.0


class Spike(msgspec.Struct, frozen=True):
    """For a while there are `times` as many."""

    start: float
    end: float
    times: float


class Rate(msgspec.Struct, frozen=True):
    """Requests a second.

    Attributes:
        kind: `constant`: `low`. `ramp`: from `low` at the beginning to `high` at the end. `day`: a sine between `low`
            and `high`, the latter at `peak` seconds after midnight (a scenario begins at midnight). `replay`: requests
            at `moments`.
    """

    kind: Literal["constant", "ramp", "day", "replay"] = "constant"
    low: float = 1.0
    high: float = 1.0
    peak: float = 14 * 3600.0
    spikes: tuple[Spike, ...] = ()
    moments: tuple[float, ...] = ()

    @property
    def most(self) -> float:
        """No moment has a higher rate."""
        base = self.low if self.kind == "constant" else max(self.low, self.high)
        return base * max(1.0, *(self._times(spike.start) for spike in self.spikes), 0.0)

    def at(self, now: float, start: float, end: float) -> float:
        """The rate at a moment of traffic that goes from `start` to `end`."""
        if self.kind == "ramp":
            rate = self.low + (self.high - self.low) * (now - start) / (end - start)
        elif self.kind == "day":
            swing = (1 + math.cos(2 * math.pi * (now - self.peak) / DAY)) / 2
            rate = self.low + (self.high - self.low) * swing
        else:
            rate = self.low
        return rate * self._times(now)

    def _times(self, now: float) -> float:
        return math.prod(spike.times for spike in self.spikes if spike.start <= now < spike.end)


def arrivals(rate: Rate, start: float, end: float, random: Random) -> Iterator[float]:
    """The moments from `start` to `end` at which callers come, in order."""
    if rate.kind == "replay":
        yield from sorted(moment + start for moment in rate.moments if moment + start < end)
        return
    most, now = rate.most, start
    if most <= 0:
        return
    while True:
        # Thinning (Lewis and Shedler, 1979): as often as the highest rate has it, and then some are left out.
        now += random.expovariate(most)
        if now >= end:
            return
        if random.random() * most <= rate.at(now, start, end):
            yield now
