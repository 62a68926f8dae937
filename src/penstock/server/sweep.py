"""Goes over a server's connections again and again, and has those closed that wait for longer than they may.

Thousands that were slow together are late together, and come back together. Refusing one takes as long as a request;
one that did not read its answer has cost little itself, but comes back for another, which is read from a provider up
to where it stops again: as long as ten. So as long as there is room for others, few are cut at a time, and those that
do not read fewest of all: it is they that wait then, and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import IntEnum
from typing import Protocol

from penstock.clock import Clock, Timer

__all__ = ["SWEEP_SECONDS", "Found", "Sweep"]

SWEEP_SECONDS = 1.0
# Looked at before others have their turn.
SWEPT_AT_ONCE = 100
SWEEP_PAUSE = 0.001
# At most 250 are refused a second, and 60 are reset; where there is no room, four in a turn of the loop.
CUT_PAUSE = 0.004
CUT_AT_ONCE = 4
RESET_PAUSE = 1 / 60


class Found(IntEnum):
    """What a look at a connection has come to."""

    WELL = 0
    CUT = 1
    STUCK = 2


class Swept(Protocol):
    """A connection."""

    def enforce(self, now: float, *, spare: bool) -> Found:
        """Close it if it waits for longer than it may, but `spare` it where it only does not read."""
        ...


class Sweep:
    """The one timer of a server's connections.

    Args:
        connections: all that there are.
        hurried: whether there is no room for others, so that all that are late are cut at once.
        tell: is called every second while there are connections.
    """

    def __init__(
        self,
        clock: Clock,
        connections: Collection[Swept],
        hurried: Callable[[], bool],
        tell: Callable[[], object],
    ) -> None:
        self._clock = clock
        self._connections = connections
        self._hurried = hurried
        self._tell = tell
        self._due: list[Swept] = []  # of the round under way
        self._stuck: dict[Swept, None] = {}  # to be reset in their turn
        self._timer: Timer | None = None
        self._told_at = self._round_at = self._cut_at = self._reset_at = 0.0

    def begin(self) -> None:
        """There are connections; does nothing where that is known."""
        if self._timer is None:
            now = self._clock.monotonic()
            self._tell_time(now)
            self._round_at = now + SWEEP_SECONDS
            self._timer = self._clock.call_later(SWEEP_SECONDS, self._turn)

    def end(self) -> None:
        """Look at nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due, self._stuck = [], {}

    def _turn(self) -> None:
        now, hurried = self._clock.monotonic(), self._hurried()
        if now - self._told_at >= SWEEP_SECONDS:
            self._tell_time(now)  # a round may take many seconds
        if not self._due and now >= self._round_at:
            self._due = list(self._connections)[::-1]
            self._cut_at = max(self._cut_at, self._round_at - CUT_PAUSE)
        cut = self._look(now, hurried=hurried) if self._due else 0
        if not self._connections:
            self._stuck.clear()
        if self._stuck and now >= self._reset_at:
            stuck = next(iter(self._stuck))
            del self._stuck[stuck]
            self._reset_at = max(self._reset_at, now - RESET_PAUSE / 2) + RESET_PAUSE
            stuck.enforce(now, spare=False)
        self._timer = None
        if self._due:
            pause = CUT_PAUSE if cut and not hurried else SWEEP_PAUSE
        elif self._stuck:
            pause = max(self._reset_at - now, SWEEP_PAUSE)
        elif self._connections:
            pause = max(self._round_at - now, SWEEP_PAUSE)
        else:
            return
        self._timer = self._clock.call_later(pause, self._turn)

    def _tell_time(self, now: float) -> None:
        self._told_at = now
        self._tell()

    def _look(self, now: float, *, hurried: bool) -> int:
        """Go on with the round; returns how many were cut."""
        due = self._due
        # A loop that is late is owed those that it could not cut meanwhile.
        most = CUT_AT_ONCE if hurried else max(1, min(CUT_AT_ONCE, int((now - self._cut_at) / CUT_PAUSE)))
        cut = 0
        for _ in range(min(SWEPT_AT_ONCE, len(due))):
            connection = due.pop()
            found = connection.enforce(now, spare=not hurried)
            if found is Found.STUCK and not hurried:
                self._stuck[connection] = None
            elif found is not Found.WELL:
                cut += 1
                if cut == most:
                    break
        # Where nobody was late nothing is owed.
        self._cut_at = now if cut else max(self._cut_at, now - CUT_PAUSE)
        if not due:
            self._round_at = now + SWEEP_SECONDS
        return cut
