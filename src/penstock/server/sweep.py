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
# At most 250 are refused a second, and 80 are reset; what a late loop is owed, and all where there is no room: four in
# one of its turns.
CUT_PAUSE = 0.004
RESET_PAUSE = 1 / 80
CUT_AT_ONCE = 4


class Found(IntEnum):
    """What a look at a connection has come to: it is well, its request is late, or it does not read its answer."""

    WELL = 0
    LATE = 1
    STUCK = 2


class Swept(Protocol):
    """A connection."""

    def enforce(self, now: float, *, spare: bool) -> Found:
        """Close it if it waits for longer than it may, but not one that is late or stuck where they are spared."""
        ...


class _Line:
    """Connections that are to be closed one after the other.

    Args:
        pause: between two, in seconds.
        most: in a turn of the loop, where it was late.

    Attributes:
        at: when the next one is due.
    """

    def __init__(self, pause: float, most: int) -> None:
        self.waiting: dict[Swept, None] = {}
        self.at = 0.0
        self._pause = pause
        self._most = most

    def add(self, connection: Swept, now: float) -> None:
        if not self.waiting:
            self.at = max(self.at, now)
        self.waiting[connection] = None

    def close_due(self, now: float) -> None:
        """Close those whose turn it is, and that have not got well meanwhile."""
        self.at = max(self.at, now - (self._most - 0.5) * self._pause)
        for _ in range(SWEPT_AT_ONCE):
            if not self.waiting or self.at > now:
                break
            connection = next(iter(self.waiting))
            del self.waiting[connection]
            if connection.enforce(now, spare=False) is not Found.WELL:
                self.at += self._pause


class Sweep:
    """The one timer of a server's connections.

    Args:
        connections: all that there are.
        hurried: whether there is no room for others, so that all that are late are closed at once.
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
        self._lines = {Found.LATE: _Line(CUT_PAUSE, CUT_AT_ONCE), Found.STUCK: _Line(RESET_PAUSE, 1)}
        self._timer: Timer | None = None
        self._told_at = self._round_at = 0.0

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
        self._forget()

    def _turn(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        if now - self._told_at >= SWEEP_SECONDS:
            self._tell_time(now)
        if not self._connections:
            self._forget()
            return
        if not self._due and now >= self._round_at:
            self._due, self._round_at = list(self._connections)[::-1], now + SWEEP_SECONDS
        if self._due:
            self._look(now, hurried=self._hurried())
        next_at = now if self._due else self._round_at
        for line in self._lines.values():
            if line.waiting:
                line.close_due(now)
                next_at = min(next_at, line.at)
        self._timer = self._clock.call_later(max(next_at - now, SWEEP_PAUSE), self._turn)

    def _tell_time(self, now: float) -> None:
        self._told_at = now
        self._tell()

    def _look(self, now: float, *, hurried: bool) -> None:
        """Go on with the round."""
        due, cut = self._due, 0
        for _ in range(min(SWEPT_AT_ONCE, len(due))):
            connection = due.pop()
            found = connection.enforce(now, spare=not hurried)
            if found is Found.WELL:
                continue
            if not hurried:
                self._lines[found].add(connection, now)
            elif (cut := cut + 1) == CUT_AT_ONCE:
                break

    def _forget(self) -> None:
        """Nobody is left, or of interest."""
        self._due = []
        for line in self._lines.values():
            line.waiting.clear()
