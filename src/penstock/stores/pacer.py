"""Slows calls down as a budget that they draw on runs short: to a part of the rate at which they came before.

How much is another's word (the pressure: by which part the burning would have to slow down). Calls are spread evenly,
each a little later than it would have been; one that would have to wait for long is refused instead, with the exact
wait. A soft budget stops nobody altogether.
"""

from __future__ import annotations

from math import exp

__all__ = ["LONGEST_SECONDS", "Pacer"]

# In the rate at which calls come one so old counts 1/e of a new one.
DECAY_SECONDS = 30.0
FOLLOW_SECONDS = 300.0
# A call is held up for so long at most.
LONGEST_SECONDS = 10.0
# However short the budget is, so many a second are let through.
LEAST_RATE = 1 / 60
# What is remembered of accounts must end somewhere.
MOST = 10_000


class _Flow:
    """Those of one account.

    Attributes:
        rate: at which they come, in a second; `usual`: as they did when nothing was short.
        free: when the next one may go.
    """

    __slots__ = ("at", "free", "rate", "usual")

    def __init__(self, now: float) -> None:
        self.at = now
        self.rate = 0.0
        self.usual = 0.0
        self.free = now


class Pacer:
    """Of one process."""

    def __init__(self) -> None:
        self._flows: dict[str, _Flow] = {}

    def __repr__(self) -> str:
        return f"<Pacer of {len(self._flows)} accounts>"

    def came(self, account: str, pressure: float, now: float) -> float:
        """A call comes; after how many seconds it may go: if more than ten, not at all, and it counts for nothing.

        Args:
            pressure: 0.0 nothing is held up, 1.0 all but the least.
        """
        flow = self._flows.get(account)
        if flow is None:
            if len(self._flows) >= MOST:
                del self._flows[next(iter(self._flows))]
            flow = self._flows[account] = _Flow(now)
        since, flow.at = now - flow.at, now
        flow.rate = flow.rate * exp(-since / DECAY_SECONDS) + 1 / DECAY_SECONDS
        if pressure <= 0.0:
            flow.usual = flow.rate
            flow.free = now
            return 0.0
        # Who is refused comes again: that is no reason to let more through. Where fewer come, it slowly follows.
        usual = flow.usual or flow.rate
        if flow.rate < usual:
            usual = flow.rate + (usual - flow.rate) * exp(-since / FOLLOW_SECONDS)
        flow.usual = usual
        wait = max(0.0, flow.free - now)
        if wait <= LONGEST_SECONDS:
            flow.free = now + wait + 1 / max(LEAST_RATE, usual * (1.0 - min(pressure, 1.0)))
        return wait
