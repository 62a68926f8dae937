"""The garbage collector in a process that serves.

What a request, an ended connection or a failed call leaves behind is freed by its reference count
(`tests/server/test_garbage.py`); cycles are what rare failures leave. Going over a hundred thousand objects, which is
what a few hundred new streams are, holds everybody up for 100 ms. So only the youngest are gone over as they come, few
at a time; the older ones when nobody is being answered, or, where somebody always is, every few minutes, and the more
seldom the less it finds.
"""

from __future__ import annotations

import gc

from penstock.clock import Clock

__all__ = ["Collector", "settle_collector"]

# Allocations less frees between two looks at the youngest objects. In a process where nobody looks after the older
# ones, and few are answered: so many that what waits in batches (log lines, ended requests) does not count.
YOUNG = 700
YOUNG_UNATTENDED = 20_000
_NEVER = 1 << 30

# Looks at the youngest before the older ones are worth one.
WORTH = 100
# Between two where somebody is always being answered: one takes 0.1 s where there are thousands of connections, and
# nearly always finds nothing. Twice as long after each that found little, and the least again after one that found so
# many objects.
FIRST_SECONDS = 120.0
LEAST_SECONDS = 30.0
MOST_SECONDS = 600.0
MUCH = 10_000
SHARE = 200.0
# One look of so many is at all that there is.
ALL_OF = 10


def settle_collector(*, attended: bool) -> None:
    """What lives now lives as long as the process: have it left alone, and the rest looked at as said above.

    Args:
        attended: a `Collector` looks after what is not young.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*((YOUNG, _NEVER, 10) if attended else (YOUNG_UNATTENDED, 10, 10)))


class Collector:
    """Looks after what is not young, where `settle_collector` left that to it."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._pause = FIRST_SECONDS
        self._due = self._now() + self._pause
        self._looks = 0

    def look(self, *, calm: bool) -> bool:
        """To be called every second; whether there was a look at the older objects.

        Args:
            calm: nobody is being answered.
        """
        began = self._now()
        if gc.get_count()[1] < WORTH or not (calm or began >= self._due):
            return False
        self._looks += 1
        found = gc.collect(1 if self._looks % ALL_OF else 2)
        self._pause = LEAST_SECONDS if found >= MUCH else self._pause * 2
        took = self._now() - began
        self._due = began + min(max(self._pause, took * SHARE), MOST_SECONDS)
        return True
