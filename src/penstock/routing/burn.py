"""How fast a budget burns, when it will be used up, and how hard to throttle so that it lasts. Pure.

The recent past is cut into twelve slices, and of what they burnt the highest counts no more than the second highest:
one expensive call is no rate. What goes on for two slices is. A rate is an estimate, so it may be a float; amounts are
whole numbers as ever.
"""

from __future__ import annotations

import math

__all__ = ["HORIZONS", "SLICES", "Burn", "exhausted_at", "pressure"]

SLICES = 12
# How much of the past is recent, in seconds, by the budget's period. A month's is a week, so that a quiet weekend
# does not promise a quiet month; a day's is three hours.
HORIZONS = {"minute": 60, "hour": 15 * 60, "day": 3 * 3600, "week": 24 * 3600, "month": 7 * 24 * 3600}
# Fewer whole slices say nothing about a rate.
LEAST_SLICES = 2


class Burn:
    """What one account burnt lately, from looks at how much of its window is used.

    A look at another window than the one before begins at nothing used; the burning itself goes on over the border,
    since traffic knows nothing of windows.

    Args:
        horizon: seconds that are recent.
    """

    __slots__ = ("_began", "_burnt", "_slice", "_used", "_window", "seconds")

    def __init__(self, horizon: float) -> None:
        self.seconds = horizon / SLICES
        self._burnt: dict[int, int] = {}
        self._began = 0.0
        self._slice = -1
        self._used = 0
        self._window = -1.0

    def look(self, now: float, window: float, used: int) -> None:
        """So much of the window that began then is used now (Unix time).

        Less than before is what was reserved and not spent after all: it burns backwards, within its slice.
        """
        at = int(now // self.seconds)
        if self._slice < 0:
            # What was used before the first look may have been burnt at any time.
            self._began, self._slice, self._used, self._window = now, at, used, window
            return
        if at < self._slice:  # the clock was set back: what is recent is not known any more
            self._burnt.clear()
            self._began = now
        before = self._used if window == self._window else 0
        self._slice, self._used, self._window = at, used, window
        self._burnt[at] = self._burnt.get(at, 0) + used - before
        for old in [each for each in self._burnt if each < at - SLICES]:
            del self._burnt[old]

    def rate(self, now: float) -> float:
        """Amount a second; 0.0 where nothing burns, or too little is known yet.

        Looked at are the whole slices before this one. Those that no look fell into burnt nothing, or what the next
        look found.
        """
        at = int(now // self.seconds)
        first = max(math.ceil(self._began / self.seconds), at - SLICES)
        count = at - first
        if self._slice < 0 or count < LEAST_SLICES:
            return 0.0
        burnt = sorted(max(0, self._burnt.get(each, 0)) for each in range(first, at))
        return (sum(burnt) - burnt[-1] + burnt[-2]) / (count * self.seconds)


def exhausted_at(left: int, rate: float, now: float, ends: float) -> float:
    """When nothing will be left, in Unix time; infinite where the window ends first, or nothing burns.

    Args:
        left: of the window that ends at `ends`.
        rate: a second.
    """
    if left <= 0:
        return now
    if rate <= 0.0:
        return math.inf
    at = now + left / rate
    return at if at < ends else math.inf


def pressure(left: int, rate: float, now: float, ends: float) -> float:
    """By which part the burning would have to slow down for the rest to last until the window ends: 0.0 not at all,
    1.0 altogether."""
    if left <= 0:
        return 1.0
    if exhausted_at(left, rate, now, ends) == math.inf:
        return 0.0
    return min(1.0, max(0.0, 1.0 - left / (rate * (ends - now))))
