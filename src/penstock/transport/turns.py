"""How much of providers' answers is gone over in one turn of the loop: all others wait that long."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

__all__ = ["MOST_FULL", "Turns"]

# Reads that fill the buffer (32 KiB), each of which takes 0.1 ms. A single connection may be read 32 times in a turn,
# and where a hundred streams begin at once they were held against everybody for 25 ms.
MOST_FULL = 4


class Reading(Protocol):
    """What is read: a connection."""

    def hold(self) -> None:
        """Have nothing more read."""

    def go_on(self) -> None:
        """Have it read again, unless something else holds it."""


class Turns:
    """The connections of one loop that have more to be read than others should wait for."""

    __slots__ = ("_count", "_held", "_next_comes")

    def __init__(self) -> None:
        self._count = 0
        self._held: deque[Reading] = deque()
        self._next_comes = False

    def note(self, connection: Reading) -> None:
        """A connection has filled its buffer, and could at once do so again: it is held once that is too much."""
        if not self._next_comes:
            self._next_comes = True
            asyncio.get_running_loop().call_soon(self._begin)
        self._count += 1
        if self._count >= MOST_FULL:
            connection.hold()
            self._held.append(connection)

    def _begin(self) -> None:
        """The next turn: those that have been held for the longest time go on, as many as can be read in it."""
        held = self._held
        self._count, self._next_comes = 0, bool(held)
        if held:
            asyncio.get_running_loop().call_soon(self._begin)
        for _ in range(min(MOST_FULL, len(held))):
            held.popleft().go_on()
