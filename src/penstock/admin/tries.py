"""Who tries wrong credentials at the control plane's door again and again: how they are answered, and who is told.

Nobody guesses a key of 190 bits; but the operator may have chosen another. Whoever has a right one is let in at once,
whatever else comes from the same address: on loopback, and through a tunnel, everybody has the same.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from penstock.clock import Clock
from penstock.routing.strikes import Strikes, network_of

__all__ = ["Tries", "Unanswered"]

log = logging.getLogger("penstock.admin")

# From one address, and from all together, so many a minute are answered as what they are.
MOST, OVERALL = 10, 100
# Each one beyond doubles the wait, up to a quarter of an hour.
LONGEST = 900.0
_DOUBLINGS = 10
_MOST_KNOWN = 10_000
# Somebody is told of an address once in an hour, and of so many addresses at most.
QUIET, MOST_TOLD = 3600.0, 10


class Unanswered(NamedTuple):
    """Tries from one address are no longer answered.

    Attributes:
        address: as it was first seen.
        seconds: how long the next must wait.
    """

    address: str
    seconds: float


class _Waiting:
    """An address that must wait."""

    __slots__ = ("tries", "until")

    def __init__(self, until: float) -> None:
        self.tries = 0
        self.until = until


class Tries:
    """Counts them, by address: of IPv6 by network of 64 bits.

    Args:
        tell: is told when an address is no longer answered: not more often than somebody can read.
    """

    def __init__(self, clock: Clock, tell: Callable[[Unanswered], Awaitable[None]] | None = None) -> None:
        self._clock = clock
        self._tell = tell
        self._strikes = Strikes(MOST, OVERALL)
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._told: OrderedDict[str, float] = OrderedDict()

    async def wrong(self, address: str) -> float:
        """One more that was wrong: 0 if it is answered as such, or how many seconds the next must wait."""
        now, whose = self._clock.monotonic(), network_of(address)
        waiting = self._waiting.get(whose)
        if waiting is None or now >= waiting.until:
            wait = self._strikes.strike(address, now)
            if not wait:
                return 0.0
            if waiting is None or now >= waiting.until + LONGEST:  # it has been quiet since
                waiting = self._waiting[whose] = _Waiting(now)
        else:
            wait = waiting.until - now
        waiting.tries += 1
        waiting.until = now + min(LONGEST, max(wait, 2.0 ** min(waiting.tries, _DOUBLINGS)))
        self._waiting.move_to_end(whose)
        if len(self._waiting) > _MOST_KNOWN:
            self._waiting.popitem(last=False)
        found = Unanswered(address, waiting.until - now)
        if self._is_new(whose, now):
            log.warning("wrong admin keys come from %s again and again", address or "an unknown address")
            if self._tell is not None:
                await self._tell(found)
        return found.seconds

    def _is_new(self, whose: str, now: float) -> bool:
        """Whether somebody should hear of it."""
        while self._told and now - next(iter(self._told.values())) >= QUIET:
            self._told.popitem(last=False)
        if whose in self._told or len(self._told) >= MOST_TOLD:
            return False
        self._told[whose] = now
        return True
