"""Whether a process has more to do than it can: by how late its loop is with its own work, and by its memory.

A loop that is late once has had one large thing to do. Only what lasts counts: the middle one of the delays of the last
five looks, half a second. (Not the least, as CoDel has it of queues: a timer's moment falls anywhere in a turn of the
loop.) As long as that is above the bound, more and more is refused, the least urgent first; as soon as it is not, less
and less.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from penstock.clock import Clock, Timer

__all__ = ["Strain"]

TICK_SECONDS = 0.1
# Most of so many looks must find the loop late.
LOOKS = 5
# Ranks of priority a second by which more, or less, is refused.
RISE = 1.0
FALL = 2.0
# The most urgent rank is never refused for a late loop or for memory, and the others one after the other.
RANKS = 5
# From this part of the memory that the process may have on the least urgent are refused, and up to that one all but
# the most urgent.
TIGHT = 0.90
FULL = 0.97
MEMORY_SECONDS = 1.0


class Strain:
    """Of one process, while it has requests: in between nothing is measured.

    Args:
        memory: tells the part in use of the memory that it may have; None: nothing bounds it.

    Attributes:
        lag: seconds that the loop may be late; None: that is not looked at.
        level: how much is refused: 0.0 nothing, 1.0 what is `sheddable`, 2.0 also what is `low`, and so on; in between
            the same part of the next rank's.
        late: the middle one of the delays of the last half second, in seconds.
        seen: a request has come since the last look: until the next one `watch` has nothing to do.
    """

    __slots__ = (
        *("_clock", "_due", "_looked", "_looks", "_memory", "_now", "_owed"),
        *("_rise", "_timer", "_turns", "full", "lag", "late", "level", "seen"),
    )

    def __init__(self, clock: Clock, lag: float | None = None, memory: Callable[[], float] | None = None) -> None:
        self.lag = lag
        self.level = 0.0
        self.late = 0.0
        # The part of its memory that is in use.
        self.full = 0.0
        self._clock = clock
        self._now = clock.monotonic
        self._memory = memory
        self._looked = float("-inf")
        self._looks: deque[float] = deque(maxlen=LOOKS)
        self._rise = 0.0
        self._owed = [0.0] * RANKS
        self._timer: Timer | None = None
        self._due = 0.0
        self.seen = False
        self._turns = 0

    def __repr__(self) -> str:
        return f"<Strain {self.level:.2f}, {self.late * 1000:.0f} ms late, {self.full:.0%} of memory>"

    def watch(self) -> None:
        """A request has come."""
        self.seen = True
        if self._timer is None:
            self._wait()

    def rest(self) -> None:
        """Measure nothing until the next request."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.seen = False
        self._looks.clear()
        self.level = self._rise = self.late = 0.0

    def shuts_out(self, rank: int) -> bool:
        """Whether all of that rank are refused."""
        return self.level >= RANKS - rank

    def sheds(self, rank: int) -> bool:
        """Whether this one of that rank is refused: of those of which a part is, they are spread evenly."""
        part = self.level - (RANKS - 1 - rank)
        if part <= 0.0 or not rank:
            return False
        owed = self._owed[rank] + min(part, 1.0)
        self._owed[rank] = owed - 1.0 if owed >= 1.0 else owed
        return owed >= 1.0

    def wait(self) -> float:
        """How long one that is refused should wait, in seconds: not all as long as each other."""
        self._turns = (self._turns + 1) % 3
        return 1.0 + self._turns

    def _wait(self) -> None:
        self._due = self._now() + TICK_SECONDS
        self._timer = self._clock.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._now()
        delay = now - self._due
        looks = self._looks
        looks.append(delay)
        self.late = sorted(looks)[LOOKS // 2] if len(looks) == LOOKS else 0.0
        if self.lag is not None:
            step = min(TICK_SECONDS + delay, 1.0)
            rise = self._rise + step * RISE if self.late > self.lag else self._rise - step * FALL
            self._rise = min(max(rise, 0.0), RANKS - 1.0)
        if self._memory is not None and now - self._looked >= MEMORY_SECONDS:
            self._looked, self.full = now, self._memory()
        tight = (self.full - TIGHT) / (FULL - TIGHT) * (RANKS - 1) if self.full > TIGHT else 0.0
        self.level = min(max(self._rise, tight), RANKS - 1.0)
        if self.seen or self.level:
            self.seen = False
            self._wait()
        else:
            looks.clear()
            self.late = 0.0
