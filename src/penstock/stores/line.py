"""Calls that wait for their turn at an account that has not enough for them: a line for each such account.

The first in line asks again as soon as its wait is over, and goes on being the first until it is admitted, its time is
over, or somebody more urgent comes: so a call that needs much is not passed by many that need little. Nobody who comes
later asks before those in line that are as urgent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, Protocol

from penstock.clock import Clock, Timer
from penstock.reservation import Reservation, Rule, Shortage, Want
from penstock.stores.fair import FairQueue

__all__ = ["Asking", "Lines", "Purse"]

# Who may wait at one account, and in one process (each holds its request's body).
MOST_AT_ONE = 1000
MOST = 10_000
# The account tells when there would be enough; others may have been quicker.
SHORTEST_WAIT = 0.001

# How a wait ended: ask now; its time is over; somebody else has its place.
Turn = Literal["ask", "late", "shed"]
Account = tuple[str, str]


class Purse(Protocol):
    """What calls are admitted by (`stores/purse.py`)."""

    async def reserve(self, wants: Sequence[Want]) -> Reservation | Shortage:
        """All of it, or what is short."""
        ...


class Asking(NamedTuple):
    """Who asks.

    Attributes:
        rank: of its priority; the lowest goes first.
        tenant, weight: whose it is, and that tenant's part beside others'.
        came: monotonic; from then on a rule's `queue` counts.
        deadline: monotonic; it waits no longer, whatever the rule says.
    """

    rank: int
    tenant: str
    weight: float
    came: float
    deadline: float

    def until(self, rule: Rule) -> float:
        """Until when it may wait because of a rule."""
        return min(self.deadline, self.came + rule.queue)


class _Place:
    """One that waits."""

    __slots__ = ("deadline", "line", "number", "rank", "tenant", "turn", "weight")

    def __init__(self, line: _Line, number: int, asking: Asking, deadline: float) -> None:
        self.line = line
        self.number = number
        self.rank, self.tenant, self.weight = asking.rank, asking.tenant, asking.weight
        self.deadline = deadline
        self.turn: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()

    @property
    def ahead(self) -> int:
        """How many go before it."""
        head = self.line.head
        return 0 if head is self else self.line.queue.ahead(self) + (head is not None)


class _Line:
    """Those that wait at one account.

    Attributes:
        head: who is next, or asks just now.
        asks: it asks just now.
    """

    __slots__ = ("_clock", "_timer", "asks", "head", "queue")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timer: Timer | None = None
        self.queue: FairQueue[_Place] = FairQueue()
        self.head: _Place | None = None
        self.asks = False

    def __len__(self) -> int:
        return len(self.queue) + (self.head is not None)

    def goes_before(self, rank: int) -> bool:
        """Whether somebody waits who is as urgent."""
        if self.head is not None and self.head.rank <= rank:
            return True
        most = self.queue.most_urgent()
        return most is not None and most <= rank

    def add(self, place: _Place, wait: float) -> None:
        """Somebody comes who would have enough after so long, were it alone."""
        self.queue.push(place)
        if self.head is None:
            self._choose()
        if self._timer is None and not self.asks:
            self._wait(wait)
        elif self.head is not None and place.rank < self.head.rank and not self.asks:
            self._choose()
            self._wait(wait)

    def again(self, place: _Place, wait: float) -> None:
        """Who asked has not enough, and would have after so long."""
        place.turn = asyncio.get_running_loop().create_future()
        self.asks = False
        self._choose()
        if self.head is place:
            self._wait(wait)
        else:
            self._ask()

    def leave(self, place: _Place) -> None:
        """It waits no more; the next one asks at once, for what was too little for one may be enough for another."""
        if self.head is place:
            self.head, self.asks = None, False
            self._choose()
            self._ask()
        else:
            self.queue.remove(place)

    def _choose(self) -> None:
        """The first is the most urgent; who was, goes on being it among equals."""
        most, head = self.queue.most_urgent(), self.head
        if most is None or (head is not None and head.rank <= most):
            return
        self.head = self.queue.pop()
        if head is not None:
            self.queue.push(head)

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(max(seconds, SHORTEST_WAIT), self._ask)

    def _ask(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.head is not None and not self.head.turn.done():
            self.asks = True
            self.head.turn.set_result("ask")


class Lines:
    """The lines of one process.

    Args:
        purse: who admits.
        most: how many may wait at one account.

    Attributes:
        open: the lines at which somebody waits, by account.
    """

    def __init__(self, purse: Purse, clock: Clock, most: int = MOST_AT_ONE) -> None:
        self._purse = purse
        self._clock = clock
        self._most = most
        self.open: dict[Account, _Line] = {}
        self._number = 0
        self._waiting = 0

    def __repr__(self) -> str:
        return f"<Lines {self._waiting} waiting at {len(self.open)} accounts>"

    def __len__(self) -> int:
        """How many wait."""
        return self._waiting

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self.open)

    def before(self, wants: Sequence[Want], rank: int) -> Shortage | None:
        """The account at which others wait who go before one of that rank that comes now; None where none do."""
        for want in wants:
            line = self.open.get((want.rule.id, want.value))
            if line is not None and line.goes_before(rank):
                return Shortage(want.rule, want.value, 0, 0.0)
        return None

    def expected(self, want: Want) -> float:
        """A guess at how many seconds it takes until all who wait there have had as much, and this one too."""
        line = self.open.get((want.rule.id, want.value))
        ahead = len(line) if line is not None else 0
        return (ahead + 1) * want.amount * want.rule.seconds / max(1, want.rule.limit)

    async def reserve(
        self,
        wants: Sequence[Want],
        short: Shortage,
        asking: tuple[int, str, float, float, float],
        tell: Callable[[Callable[[], int] | None], None],
    ) -> Reservation | Shortage:
        """Wait for enough of everything; or what was short when its time was over, or there was no place to wait.

        Args:
            short: of which account there was not enough, or where others wait (then `wait` is 0).
            asking: who asks, as `Asking` has it.
            tell: is given what tells its place in the line, and None once it has none.
        """
        who = Asking._make(asking)
        found: Reservation | Shortage = short
        while isinstance(found, Shortage) and self._may_wait(found, who):
            account = (found.rule.id, found.value)
            place = self._enter(account, found, who)
            if place is None:
                break
            timer = self._clock.call_later(place.deadline - self._clock.monotonic(), partial(_late, place))
            try:
                tell(partial(_position, place))
                found = await self._turn(wants, place, found, who)
            finally:
                tell(None)
                timer.cancel()
                self._leave(account, place)
            if place.turn.result() != "ask":
                break
        return found

    async def _turn(
        self, wants: Sequence[Want], place: _Place, short: Shortage, asking: Asking
    ) -> Reservation | Shortage:
        """What comes of asking, until it is admitted, short of something else, or out of time."""
        while await place.turn == "ask":
            found = await self._purse.reserve(wants)
            if isinstance(found, Reservation):
                return found
            elsewhere = (found.rule.id, found.value) != (short.rule.id, short.value)
            short = found
            if elsewhere or not self._may_wait(found, asking):
                break
            place.line.again(place, found.wait)
        return short

    def _may_wait(self, short: Shortage, asking: Asking) -> bool:
        return short.rule.queue > 0 and self._clock.monotonic() + short.wait < asking.until(short.rule)

    def _enter(self, account: Account, short: Shortage, asking: Asking) -> _Place | None:
        line = self.open.get(account) or _Line(self._clock)
        if len(line) >= self._most:
            last = line.queue.yields_to(asking.rank, asking.tenant, asking.weight)
            if last is None:
                return None
            line.queue.remove(last)
            if not last.turn.done():
                last.turn.set_result("shed")
        elif self._waiting >= MOST:
            return None
        self.open[account] = line
        self._number += 1
        self._waiting += 1
        place = _Place(line, self._number, asking, asking.until(short.rule))
        line.add(place, short.wait)
        return place

    def _leave(self, account: Account, place: _Place) -> None:
        self._waiting -= 1
        place.line.leave(place)
        if not len(place.line) and self.open.get(account) is place.line:
            del self.open[account]


def _position(place: _Place) -> int:
    return place.ahead + 1


def _late(place: _Place) -> None:
    if not place.turn.done():
        place.turn.set_result("late")
