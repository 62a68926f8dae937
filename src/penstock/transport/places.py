"""Who may have a connection to an origin, and who waits for one: so many each, also over all workers of a gateway.

A call that finds no place waits, in the order in which calls came, for a place or for a connection that comes back.
Where several workers share an origin's limit, a place needs a permit as well; who hands them out is not known here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from penstock.errors import Overloaded
from penstock.transport.connection import Connection
from penstock.transport.origin import Origin

__all__ = ["Permits", "Places", "no_place"]

# What a call is told to wait that found no place.
BUSY_SECONDS = 1.0


class Permits(Protocol):
    """Permits of which all workers together have so many for each guarded thing (`stores/permits.py`)."""

    def try_acquire(self, guard: str) -> bool:
        """Take one, if one is here."""
        ...

    def release(self, guard: str) -> None:
        """Give one back."""

    def owes(self, guard: str) -> bool:
        """Whether the next one that is freed is somebody else's."""
        ...

    def ask(self, guard: str, total: int, user: Places) -> None:
        """Somebody waits for one, of `total` there are in all; `user.permits_came` is called when some come."""

    def leave(self, user: Places) -> None:
        """Somebody uses permits no more."""


class Places:
    """The places of one pool.

    Args:
        come_back: takes a connection that was given to a call in the moment in which that gave up.
        close_idle: closes up to so many idle connections to origins under a guard.
        permits: None where nobody else shares the limits.

    Attributes:
        queues: calls that wait, by origin; origins that nobody waits for are not in it.
    """

    def __init__(
        self,
        come_back: Callable[[Connection], object],
        close_idle: Callable[[str, int], object],
        permits: Permits | None,
    ) -> None:
        self.queues: dict[Origin, deque[asyncio.Future[Connection | None]]] = {}
        self._taken: dict[Origin, int] = {}
        self._come_back = come_back
        self._close_idle = close_idle
        self._permits = permits

    async def take(self, origin: Origin) -> Connection | None:
        """A place for a new connection (None), or a connection that has one.

        Raises:
            Overloaded: as many calls wait as there are places.
        """
        while True:
            waiting = self.queues.get(origin)
            if not waiting and self._try(origin):
                return None
            if waiting is None:
                waiting = self.queues[origin] = deque()
            if len(waiting) >= origin.limit:
                raise no_place(origin)
            turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
            waiting.append(turn)
            if self._permits is not None:
                self._permits.ask(origin.guard, origin.limit, self)
            given = await self._turn(origin, turn)
            if given is None or not given.closed:
                return given

    def leave(self, origin: Origin) -> None:
        """Give a place up, to whoever waits first."""
        owed = self._permits is not None and self._permits.owes(origin.guard)
        turn = None if owed else self.next_turn(origin)
        if turn is not None:
            turn.set_result(None)
            return
        left = self._taken[origin] - 1
        if left:
            self._taken[origin] = left
        else:
            del self._taken[origin]
        if self._permits is not None:
            self._permits.release(origin.guard)

    def next_turn(self, origin: Origin) -> asyncio.Future[Connection | None] | None:
        """Who waits first, and waits no more from now on."""
        waiting = self.queues.get(origin)
        found = None
        while waiting and found is None:
            turn = waiting.popleft()
            found = None if turn.done() else turn
        if waiting is not None and not waiting:
            del self.queues[origin]
        return found

    def must_yield(self, origin: Origin) -> bool:
        """Whether a connection that comes back is to be closed, though calls wait here: its permit is owed."""
        return self._permits is not None and self._permits.owes(origin.guard)

    def close(self) -> None:
        """Every connection is closed."""
        if self._permits is not None:
            self._permits.leave(self)

    # --- what the permits ask and tell

    def waiting(self, guard: str) -> int:
        """How many calls wait for an origin under that guard."""
        return sum(len(queue) for origin, queue in self.queues.items() if origin.guard == guard)

    def permits_came(self, guard: str) -> None:
        """Let those go on who wait, as many as there are permits."""
        for origin in [one for one in self.queues if one.guard == guard]:
            while origin in self.queues and self._try(origin):
                turn = self.next_turn(origin)
                if turn is None:
                    self.leave(origin)
                else:
                    turn.set_result(None)

    def give_back(self, guard: str, count: int) -> None:
        """Close what is open without need."""
        self._close_idle(guard, count)

    def _try(self, origin: Origin) -> bool:
        taken = self._taken.get(origin, 0)
        if taken >= origin.limit or (self._permits is not None and not self._permits.try_acquire(origin.guard)):
            return False
        self._taken[origin] = taken + 1
        return True

    async def _turn(self, origin: Origin, turn: asyncio.Future[Connection | None]) -> Connection | None:
        try:
            return await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                # Given in the moment of giving up.
                given = turn.result()
                if given is None:
                    self.leave(origin)
                elif not given.closed:
                    self._come_back(given)
            else:
                waiting = self.queues.get(origin)
                if waiting is not None and turn in waiting:
                    waiting.remove(turn)
                    if not waiting:
                        del self.queues[origin]
            raise


def no_place(origin: Origin) -> Overloaded:
    """What a call is told that found no place."""
    return Overloaded(
        f"all {origin.limit} connections to the provider are busy",
        do="Try again in a moment.",
        retry_after=BUSY_SECONDS,
    )
