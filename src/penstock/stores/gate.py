"""How many calls run at a deployment at a time (semantics.md: Concurrency).

A gate has no count of its own: what runs is what its deployment's pace counts, less those that wait here. So no way of
ending a call can forget to tell it, and hedges and streams count like any other. Where other workers share `most`, each
call that runs is covered by a permit of the centre's (`stores/permits.py`).
"""

from __future__ import annotations

import asyncio
from typing import Literal, Protocol

import msgspec

from penstock.clock import Timer
from penstock.stores.fair import FairQueue

__all__ = ["Gate", "GateRules", "Permits", "Place", "Turn"]

# What a refusal leaves of what was in flight (semantics.md: AIMD on 429/529).
LEFT = 0.9
# A limit that was learnt is forgotten when nobody refused anything for so long and nobody waits: as the breaker's calm.
CALM_SECONDS = 300.0

# How a wait ended: it may go; its time was over; a more urgent call has its place, or one of a tenant with fewer.
Turn = Literal["go", "late", "shed"]


class GateRules(msgspec.Struct, frozen=True):
    """How many calls may run at a time.

    Attributes:
        most: the most that are ever let in, None: as many as come until the provider says that it is too much.
        queue: how many may wait.
    """

    most: int | None = None
    queue: int = 1000


class Counted(Protocol):
    """What counts a gate's calls: a deployment's pace, or a scope's seats.

    Attributes:
        id: whose they are.
        in_flight: those that run and those that wait.
        limited: whether the gate has a limit, as the gate says.
    """

    id: str
    in_flight: int
    limited: bool

    @property
    def ewma(self) -> float | None:
        """How long one takes, in seconds; None where that is not known."""
        ...


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

    def ask(self, guard: str, total: int, user: Gate) -> None:
        """Somebody waits for one, of `total` there are in all; `user.permits_came` is called when some come."""

    def unheard(self, guard: str) -> bool:
        """Whether the centre was asked and has said nothing yet."""
        ...

    def leave(self, user: Gate) -> None:
        """Somebody uses permits no more."""


class Place:
    """A call's place in the queue; who goes before it is said in `stores/fair.py`.

    Attributes:
        rank: of its priority.
        deadline: monotonic; of one tenant, who has less time left goes first.
        tenant, weight: whose it is, and that tenant's part beside others'.
        number: in which they came.
        turn: done when the wait is over.
        timer: ends it, where whoever waits has set one.
    """

    __slots__ = ("_queue", "deadline", "number", "rank", "tenant", "timer", "turn", "weight")

    def __init__(
        self, queue: FairQueue[Place], number: int, rank: int, deadline: float, tenant: str, weight: float
    ) -> None:
        self._queue = queue
        self.number = number
        self.rank = rank
        self.deadline = deadline
        self.tenant = tenant
        self.weight = weight
        self.turn: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self.timer: Timer | None = None

    @property
    def ahead(self) -> int:
        """How many go before it, if nobody else comes."""
        return self._queue.ahead(self)


class _Cover:
    """The permits that cover what runs."""

    __slots__ = ("_guard", "held", "permits")

    def __init__(self, guard: str, permits: Permits | None) -> None:
        self._guard = guard
        self.permits = permits
        self.held = 0

    @property
    def owed(self) -> bool:
        """Whether the next one that is freed is somebody else's."""
        return self.permits is not None and self.permits.owes(self._guard)

    def reach(self, running: int) -> bool:
        """Hold as many as calls run, if they are to be had."""
        permits = self.permits
        if permits is None:
            return True
        while self.held < running:
            if not permits.try_acquire(self._guard):
                return False
            self.held += 1
        return True

    def shrink(self, running: int) -> None:
        """Hold no more than calls run."""
        while self.held > running and self.permits is not None:
            self.held -= 1
            self.permits.release(self._guard)


class Gate:
    """Of one deployment, whose pace counts its calls and says when one has ended; or of one value of a scope.

    Attributes:
        guard: the name under which `most` is kept at the centre.
        limit: how many calls may run in this process now; None: any number, and calls need not come here at all.
        guesses: what holds calls back is only what was learnt, and not what the configuration says.
    """

    __slots__ = (
        *("_cover", "_cut", "_learnt", "_number", "_pace", "_queue", "_rules", "_successes"),
        *("guard", "guesses", "limit"),
    )

    def __init__(self, pace: Counted) -> None:
        self._pace = pace
        self._rules = GateRules()
        self.guard = f"calls:{pace.id}"
        self._cover = _Cover(self.guard, None)
        self._queue: FairQueue[Place] = FairQueue()
        self._number = 0
        self._learnt: int | None = None
        self._successes = 0
        self._cut = float("-inf")
        self.limit: int | None = None
        self.guesses = False

    def __repr__(self) -> str:
        limit = "any number" if self.limit is None else str(self.limit)
        return f"<Gate {self._pace.id}: {self.running} of {limit}, {len(self._queue)} waiting>"

    @property
    def running(self) -> int:
        """Calls that are under way at the deployment; each is an attempt that its pace counts."""
        return self._pace.in_flight - self._queue.size

    @property
    def has_room(self) -> bool:
        """Whether a further call would be let in, as far as is known here without asking the centre."""
        return not self._queue.size and (self.limit is None or self._pace.in_flight < self.limit)

    def set_rules(self, rules: GateRules, permits: Permits | None) -> None:
        """Go by these rules from now on; what was learnt stays, and so does who runs and who waits.

        Args:
            permits: shared with other workers, None where there are none.
        """
        shared = permits if rules.most is not None else None
        cover = self._cover
        if rules == self._rules and shared is cover.permits:
            return
        if cover.permits is not shared:
            self._cover = _Cover(self.guard, shared)
            cover.shrink(0)
            if cover.permits is not None:
                cover.permits.leave(self)
        self._rules = rules
        self._set_limit()
        self._let_in()

    def lift(self) -> None:
        """Hold nobody back any more."""
        self._learnt = None
        self.set_rules(GateRules(), None)
        self._set_limit()
        self._let_in()

    # --- one call, which its pace counts already

    def try_enter(self) -> bool:
        """Let this call in at once, if nobody waits and there is room."""
        running = self._pace.in_flight
        return not self._queue.size and (self.limit is None or running <= self.limit) and self._cover.reach(running)

    def queue(self, rank: int, deadline: float, tenant: str = "", weight: float = 1.0) -> Place | None:
        """A place in the queue; None where it is full and nobody in it is less urgent, or of a tenant with more there.

        Who waits for the `turn` calls `leave` if it gives up before that is done. Of a full queue the last of those
        that are less urgent, or of the tenant that has most there, has its place taken.
        """
        queue = self._queue
        if len(queue) >= self._rules.queue:
            last = queue.yields_to(rank, tenant, weight)
            if last is None:
                return None
            queue.remove(last)
            _tell(last, "shed")
        self._number += 1
        place = Place(queue, self._number, rank, deadline, tenant, weight)
        queue.push(place)
        _ask(self, self._cover.permits, self._rules.most)
        return place

    def leave(self, place: Place) -> None:
        """The call waits no more; safe when it no longer did. If it is over as well, its pace says so."""
        self._queue.remove(place)

    def late(self, place: Place) -> None:
        """Its time is over."""
        if not place.turn.done():
            self.leave(place)
            _tell(place, "late")

    def exceed(self) -> bool:
        """Let a call in that has left the queue, beyond what was learnt: a guess is no reason to wait for ever."""
        running, most = self.running, self._rules.most
        return (most is None or running <= most) and self._cover.reach(running)

    def ended(self) -> None:
        """A call is over, and its pace counts it no more."""
        if self._queue.size and not self._cover.owed:
            self._let_in()
        if self._cover.held:
            self._cover.shrink(self.running)
        if self._queue.size:
            # The one that was owed is gone, and whoever is next here may wait for nothing but another.
            _ask(self, self._cover.permits, self._rules.most)

    def expected(self) -> float:
        """A guess at how many seconds it takes until a call that comes now has its turn, at least one."""
        mean = self._pace.ewma or 0.0
        return max(1.0, mean * (len(self._queue) + 1) / (self.limit or 1))

    # --- what the provider says

    def throttled(self, sent: float, now: float) -> None:
        """It refused a call that was sent then, for there are too many; the call is still counted.

        Those that were under way when the limit was last cut say nothing new: of a burst that is refused as a whole
        the first one counts (as TCP halves once a round trip).
        """
        if sent < self._cut:
            return
        self._cut = now
        self._learnt = max(1, int(self.running * LEFT))
        self._successes = 0
        self._set_limit()

    def passed(self, now: float, *, beyond: bool = False) -> None:
        """A call had its first output: one more at a time after as many of them as the limit is.

        Args:
            beyond: it was let in by `exceed`: there is room for all that run.
        """
        learnt = self._learnt
        if learnt is None:
            return
        if beyond:
            learnt = self._learnt = max(learnt, self.running)
        self._successes += 1
        if self._successes >= learnt:
            self._successes = 0
            most = self._rules.most
            self._learnt = learnt + 1 if most is None or learnt < most else most
        if now - self._cut >= CALM_SECONDS and not self._queue:
            self._learnt = None
        self._set_limit()
        self._let_in()

    # --- what the permits ask and tell

    def waiting(self, guard: str) -> int:
        """How many wait for nothing but a permit."""
        return max(0, min(len(self._queue), (self.limit or 0) - self.running))

    def permits_came(self, guard: str) -> None:
        """Let those go on who wait, as many as there are permits."""
        self._let_in()

    def give_back(self, guard: str, count: int) -> None:
        """None is held without need."""

    # ---

    def _set_limit(self) -> None:
        most, learnt = self._rules.most, self._learnt
        self.limit = most if learnt is None else learnt if most is None else min(learnt, most)
        self.guesses = self.limit is not None and self.limit != most
        self._pace.limited = self.limit is not None

    def _let_in(self) -> None:
        """Those go whom there is room for, the most urgent first."""
        while self._queue:
            running = self.running + 1
            if (self.limit is not None and running > self.limit) or not self._cover.reach(running):
                break
            _tell(self._queue.pop(), "go")
        if self._queue:
            _ask(self, self._cover.permits, self._rules.most)


def _ask(gate: Gate, permits: Permits | None, most: int | None) -> None:
    if permits is not None and most is not None and gate.waiting(gate.guard):
        permits.ask(gate.guard, most, gate)


def _tell(place: Place, how: Turn) -> None:
    # Whoever has just been cancelled has not left yet. It has now, and counts as running until its pace says it ended.
    if not place.turn.done():
        place.turn.set_result(how)
