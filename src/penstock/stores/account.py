"""One account at the centre: what a rule lets one value of its scope have, what was taken of it, and by whom.

A budget's account counts in a window of the calendar: what was settled, and what holders have in hand, which is theirs
to spend. A rate's account forgets by time, so that nobody need be remembered. An account decides nothing: it says what
is left, and takes and gives back what it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple, Protocol

from penstock.clock import Clock
from penstock.reservation import Rule
from penstock.stores.calendar import Window, window_at
from penstock.stores.gcra import Gcra
from penstock.stores.strict import Strict

__all__ = ["Account", "Budget", "Moment", "Rate", "Spent", "Steady", "moment", "open_account"]

# So long a lease lives (semantics.md: Leases).
LIFE_SECONDS = 30.0
# Of a rate: what is in hand was taken from the rate when it was leased, and time gives that back. So that what comes
# at once is never more than a twentieth above the burst, it lives for that part of the rate's length.
RATE_LIFE = 20
# A clock that jumps finds the windows that it comes back to.
MOST_WINDOWS = 4
# What is told as seconds is rounded up, so that whoever waits as long does not come a moment too early.
_NANO = 1e-9
_SLACK = 1_000

# What was spent of a rule's value since a window began, as the books of before this process have it.
Spent = Callable[[Rule, str, int], int]


class Moment(NamedTuple):
    """A moment on both clocks.

    Attributes:
        now: nanoseconds on the one that never jumps.
        wall: Unix seconds.
    """

    now: int
    wall: float


def moment(clock: Clock) -> Moment:
    """This one."""
    return Moment(int(clock.monotonic() * 1e9), clock.wall())


class Account(Protocol):
    """What a rule lets one value have.

    Attributes:
        whole: how much there is when nothing is taken.
        leased: whether holders may have more in hand than they need at once.
    """

    rule: Rule
    value: str
    leased: bool

    @property
    def whole(self) -> int: ...

    def adopt(self, rule: Rule, at: Moment) -> None:
        """Its rule has changed; what was taken stays taken."""

    def left(self, at: Moment) -> int:
        """What can be had; negative where more was taken than there was."""
        ...

    def take(self, holder: Hashable, amount: int, at: Moment) -> int:
        """A holder has so much more in hand; the window it is from."""
        ...

    def told(self, holder: Hashable, window: int, spent: int, returned: int, at: Moment) -> None:
        """Of what a holder had in hand so much is spent, and so much is given back; negative: it took that beyond."""

    def wait(self, amount: int, at: Moment) -> float:
        """Seconds until so much can be had for certain, if nobody takes more; infinite for never."""
        ...

    def life(self, at: Moment) -> float:
        """Seconds that what is taken now may be spent in."""
        ...

    def resets(self, at: Moment) -> float:
        """Seconds until everything can be had again."""
        ...

    def holders(self) -> int:
        """How many have something in hand, as far as that is counted."""
        ...

    def idle(self, at: Moment) -> bool:
        """Whether nothing is lost when it is forgotten and opened anew."""
        ...


class _Page:
    """A window of a budget."""

    __slots__ = ("hands", "settled", "spent", "window")

    def __init__(self, window: Window, spent: int) -> None:
        self.window = window
        self.spent = spent
        # What each holder has in hand; and what it has said that it spent.
        self.hands: dict[Hashable, int] = {}
        self.settled: dict[Hashable, int] = {}


class Budget:
    """So much in a window of the calendar.

    Args:
        spent: what was spent in a window before; None: nothing is known of before.
    """

    leased = True

    def __init__(self, rule: Rule, value: str, at: Moment, spent: Spent | None) -> None:
        self.rule = rule
        self.value = value
        self._spent = spent
        self._pages: dict[int, _Page] = {}
        self._page = self._turn(at)
        self._touched = at.now

    def __repr__(self) -> str:
        page = self._page
        return f"<Budget {self.rule.id}|{self.value}: {page.spent} spent, {sum(page.hands.values())} in hands>"

    @property
    def whole(self) -> int:
        return self.rule.limit

    def adopt(self, rule: Rule, at: Moment) -> None:
        self.rule = rule

    def left(self, at: Moment) -> int:
        page = self._current(at)
        return self.rule.limit - page.spent - sum(page.hands.values())

    def take(self, holder: Hashable, amount: int, at: Moment) -> int:
        page = self._current(at)
        page.hands[holder] = page.hands.get(holder, 0) + amount
        self._touched = at.now
        return page.window.start

    def told(self, holder: Hashable, window: int, spent: int, returned: int, at: Moment) -> None:
        page = self._pages.get(window)
        if page is None:
            return  # long over
        page.spent += spent
        page.settled[holder] = page.settled.get(holder, 0) + spent
        left = page.hands.get(holder, 0) - spent - returned
        if left:
            page.hands[holder] = left
        else:
            page.hands.pop(holder, None)
        self._touched = at.now

    def wait(self, amount: int, at: Moment) -> float:
        if amount <= self.left(at):
            return 0.0
        if amount > self.rule.limit:
            return float("inf")
        return self._current(at).window.end - at.wall + _SLACK * _NANO

    def life(self, at: Moment) -> float:
        return min(LIFE_SECONDS, self._current(at).window.end - at.wall)

    def resets(self, at: Moment) -> float:
        return self._current(at).window.end - at.wall

    def holders(self) -> int:
        return len(self._page.hands)

    def idle(self, at: Moment) -> bool:
        """Nothing is in anybody's hands, and what was spent is on record, or nothing was."""
        page = self._current(at)
        if page.hands or any(other.hands for other in self._pages.values()):
            return False
        # What was settled a moment ago may not be in the books yet.
        return page.spent <= 0 or (self._spent is not None and at.now - self._touched > 60_000_000_000)

    @property
    def id(self) -> str:
        """As the ledger knows it."""
        return f"{self.rule.id}|{self.value}"

    @property
    def windows(self) -> list[int]:
        """Those that are remembered, by their beginnings."""
        return list(self._pages)

    # --- who is gone

    def post(self, holder: Hashable) -> None:
        """A holder is gone and left no books: what it had in hand counts as spent."""
        for page in self._pages.values():
            page.spent += max(0, page.hands.pop(holder, 0))
            page.settled.pop(holder, None)

    def reconcile(self, holder: Hashable, settled: Mapping[int, int]) -> None:
        """A holder is gone, and its books say what it spent in each window: that is spent, and the rest is free."""
        for start, page in self._pages.items():
            page.hands.pop(holder, None)
            page.spent += max(0, settled.get(start, 0) - page.settled.pop(holder, 0))

    def has(self, holder: Hashable) -> bool:
        """Whether a holder has something in hand."""
        return any(page.hands.get(holder) for page in self._pages.values())

    # ---

    def _current(self, at: Moment) -> _Page:
        page = self._page
        if not page.window.start <= at.wall < page.window.end:
            page = self._page = self._turn(at)
        return page

    def _turn(self, at: Moment) -> _Page:
        window = window_at(self.rule.period, self.rule.zone, at.wall)
        page = self._pages.pop(window.start, None)
        if page is None:
            # In a window that has begun since, nobody has spent anything but from here.
            began = all(window.start > known for known in self._pages) and bool(self._pages)
            ask = self._spent if not began else None
            page = _Page(window, ask(self.rule, self.value, window.start) if ask is not None else 0)
        self._pages[window.start] = page
        if len(self._pages) > MOST_WINDOWS:
            del self._pages[next(iter(self._pages))]
        return page


class Rate:
    """So much in so many seconds, by GCRA: `burst` and `leaky`. What comes evenly is never leased ahead."""

    def __init__(self, rule: Rule, value: str, at: Moment) -> None:
        self.rule = rule
        self.value = value
        self.leased = rule.kind != "leaky"
        self._gcra = Gcra(rule, at.now)

    def __repr__(self) -> str:
        return f"<Rate {self.rule.id}|{self.value}: {self._gcra!r}>"

    @property
    def whole(self) -> int:
        return self._gcra.whole

    def adopt(self, rule: Rule, at: Moment) -> None:
        self.rule = rule
        self._gcra.adopt(rule, at.now)

    def left(self, at: Moment) -> int:
        return self._gcra.left(at.now)

    def take(self, holder: Hashable, amount: int, at: Moment) -> int:
        self._gcra.take(amount, at.now)
        return 0

    def told(self, holder: Hashable, window: int, spent: int, returned: int, at: Moment) -> None:
        if returned > 0:
            self._gcra.give(returned, at.now)
        elif returned < 0:
            self._gcra.take(-returned, at.now)

    def wait(self, amount: int, at: Moment) -> float:
        return _seconds(self._gcra.wait(amount, at.now))

    def life(self, at: Moment) -> float:
        return min(LIFE_SECONDS, self.rule.seconds / RATE_LIFE)

    def resets(self, at: Moment) -> float:
        return self._gcra.resets(at.now) * _NANO

    def holders(self) -> int:
        return 0

    def idle(self, at: Moment) -> bool:
        return self._gcra.left(at.now) >= self._gcra.whole


class Steady:
    """So much in any window of its length: `strict`. Every reservation is the centre's, and is a window of its own."""

    leased = False

    def __init__(self, rule: Rule, value: str, at: Moment) -> None:
        self.rule = rule
        self.value = value
        self._log = Strict(rule, at.now)

    def __repr__(self) -> str:
        return f"<Steady {self.rule.id}|{self.value}: {self._log!r}>"

    @property
    def whole(self) -> int:
        return self._log.whole

    def adopt(self, rule: Rule, at: Moment) -> None:
        self.rule = rule
        self._log.adopt(rule, at.now)

    def left(self, at: Moment) -> int:
        return self._log.left(at.now)

    def take(self, holder: Hashable, amount: int, at: Moment) -> int:
        return self._log.take(amount, at.now)

    def told(self, holder: Hashable, window: int, spent: int, returned: int, at: Moment) -> None:
        if returned > 0:
            self._log.give(returned, window, at.now)
        elif returned < 0:
            self._log.take(-returned, at.now)

    def wait(self, amount: int, at: Moment) -> float:
        return _seconds(self._log.wait(amount, at.now))

    def life(self, at: Moment) -> float:
        return LIFE_SECONDS

    def resets(self, at: Moment) -> float:
        return self._log.resets(at.now) * _NANO

    def holders(self) -> int:
        return 0

    def idle(self, at: Moment) -> bool:
        return self._log.left(at.now) >= self._log.whole


def open_account(rule: Rule, value: str, at: Moment, spent: Spent | None) -> Account:
    """An account of a rule, as it stands when it is first asked for.

    Raises:
        ValueError: the rule's calls are counted as they run, and nothing is kept of them (`concurrency`).
    """
    if rule.kind == "budget":
        return Budget(rule, value, at, spent)
    if rule.kind == "strict":
        return Steady(rule, value, at)
    if rule.kind == "concurrency":
        raise ValueError(f"{rule.id}: how many calls run is counted by permits, not kept in an account")
    return Rate(rule, value, at)


def _seconds(nanos: int | None) -> float:
    if nanos is None:
        return float("inf")
    return (nanos + _SLACK) * _NANO if nanos > 0 else 0.0
