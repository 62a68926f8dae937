"""Whether an hour's spend is unusual, measured against the same hours of the weeks before. Pure.

Each hour has a usual amount: the median of the same hour of the week, of the hour before it and of the one after it,
over up to eight weeks. How far hours stray from it is the median of the absolute deviations (MAD), over the last
week's hours. Both shrug off the few odd hours that the past has in it. All is done in logarithms, where twice as much
strays as far from the usual on a quiet Sunday as on a busy Monday; and what grew as a whole since then is taken off,
so that growth alone is no anomaly and a new level is usual after some days.

One hour that is far off tells at once, before it is over if need be; several that are each a little off tell together:
their mean over 3, 6 and 24 hours is measured by how far such means strayed, since busy hours come in company.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate
from statistics import median

import msgspec

__all__ = ["Odd", "Usual", "usual_of"]

WEEK = 168
WEEKS = 8
# Without so many weeks of history nothing is called unusual.
LEAST_WEEKS = 3
# How far, in standard deviations; chosen by simulation (tests/routing/test_anomaly.py has the figures).
FAR = 5.0
RUNS = (1, 3, 6, 24)
# Hours that always cost the same to the cent would make a cent unusual: deviations count as at least 15 %.
LEAST_SPREAD = 0.15
# Of a run of hours the mean must be above the usual by so much: what is sure need not be worth telling.
LEAST_EXCESS = math.log(1.5)
# From the MAD of a normal distribution to its standard deviation.
_SIGMA = 1.4826
# What was so lately may be the anomaly itself, and is not yet held against what is looked at.
_RECENT = 24


class Odd(msgspec.Struct, frozen=True):
    """An unusual spend.

    Attributes:
        hour: the last of its hours, in hours since the Unix epoch.
        hours: over how many it was looked at.
        spent: in them together.
        usual: what would have been usual in them.
        score: how far off, in standard deviations.
    """

    hour: int
    hours: int
    spent: int
    usual: int
    score: float


class Usual:
    """What is usual in an hour to come and in the day before it; `look` may be asked again as that hour fills.

    Args:
        least: spend below this is as good as none: an hour with less is never unusual, and among quiet hours that
            much is what deviations are measured by.
    """

    def __init__(
        self, hour: int, levels: list[float], strayed: list[float], spreads: Mapping[int, float], least: int
    ) -> None:
        self.hour = hour
        self._levels = levels
        self._strayed = strayed
        self._spreads = spreads
        self._least = least
        self._spent: list[int] = []

    def remember(self, spent: list[int]) -> None:
        """What the hours before this one cost, the latest last."""
        self._spent = spent

    def look(self, spent: int) -> Odd | None:
        """Whether that much in this hour, so far, is unusual by itself or with those before it; None where it is not.

        An hour that is not over has cost less than it will: what is called unusual stays so.
        """
        least = self._least
        strayed = [*self._strayed, math.log(spent + least) - self._levels[-1]]
        if strayed[-1] <= 0.0:
            return None  # whatever was before, it is over
        costs = [*self._spent, spent]
        worst: Odd | None = None
        for run in RUNS:
            mean = sum(strayed[-run:]) / run
            score = mean / self._spreads[run]
            if score < FAR or mean < LEAST_EXCESS or (worst is not None and score <= worst.score):
                continue
            paid = sum(costs[-run:])
            usual = sum(max(0, round(math.exp(level)) - least) for level in self._levels[-run:])
            if paid - usual >= least * run:
                worst = Odd(self.hour, run, paid, usual, round(score, 1))
        return worst


def usual_of(spends: Mapping[int, int], hour: int, least: int) -> Usual | None:
    """What is usual in an hour, from what those before it cost; None where there is too little history.

    Args:
        spends: by hour since the Unix epoch; an hour that is not there cost nothing. History begins with the first.
        hour: the one to look at.
        least: as `Usual`'s.
    """
    begin = min(spends, default=hour)
    # The hours that deviations are measured on need their history too.
    if hour - begin < (LEAST_WEEKS + 1) * WEEK:
        return None
    logs = {at: math.log(spends.get(at, 0) + least) for at in range(max(begin, hour - (WEEKS + 2) * WEEK), hour)}
    usual = {at: _usual(logs, at, hour) for at in range(hour - WEEK - _RECENT, hour + 1)}
    past = range(hour - WEEK - _RECENT, hour - _RECENT)
    off = [logs[at] - usual[at] for at in past]
    level = median(off)
    spreads = _spreads([each - level for each in off])
    day = range(hour - max(RUNS) + 1, hour)
    found = Usual(
        hour,
        [usual[at] + level for at in (*day, hour)],
        [logs[at] - usual[at] - level for at in day],
        spreads,
        least,
    )
    found.remember([spends.get(at, 0) for at in day])
    return found


def _spreads(off: list[float]) -> dict[int, float]:
    """How far the mean of so many hours strays: at least as far as if each hour strayed by itself."""
    alone = max(LEAST_SPREAD, _SIGMA * median(abs(each) for each in off))
    sums = [0.0, *accumulate(off)]
    found = {}
    for run in RUNS:
        means = [(sums[at] - sums[at - run]) / run for at in range(run, len(sums))]
        found[run] = max(alone / math.sqrt(run), _SIGMA * median(abs(each) for each in means))
    return found


def _usual(logs: Mapping[int, float], at: int, hour: int) -> float:
    """The median of the same hour of the week and of its neighbours, in the weeks before."""
    found = [
        logs[each]
        for week in range(1, WEEKS + 1)
        for each in (at - week * WEEK - 1, at - week * WEEK, at - week * WEEK + 1)
        if each in logs and each < hour
    ]
    return median(found)
