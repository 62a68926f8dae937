"""So many calls at a time of each value of a scope: a tenant, a user, a provider.

Each value has a gate (`stores/gate.py`), which counts over all workers by permits of the centre's and keeps a queue in
which tenants take turns. Who needs seats at several takes them in one step where they are free; else one after the
other, from the narrowest scope to the widest. So nobody waits in a ring, and whoever holds a user's seat while it waits
for the tenant's keeps out only those that would wait for the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from penstock.clock import Clock
from penstock.reservation import SCOPES, Rule, Shortage
from penstock.stores.gate import Gate, GateRules, Permits, Place
from penstock.stores.line import Asking

__all__ = ["Seat", "Seats"]

# How many may wait at one gate.
MOST_WAITING = 1000
# Gates of so many values are kept although nobody is there; beyond that they go when the last one leaves.
MOST_IDLE = 1000
# Where a rule has no queue, the centre's word is waited for so long: it has one at once, or none is free.
WORD_SECONDS = 0.25
# And until it was heard at all: that it is late, or this worker was, is no reason to say that others are under way.
LONGEST_WORD_SECONDS = 2.0
# What one more call's time counts in the mean.
SHARE = 0.1
# By how many the narrower scopes come first.
_WIDTH = {scope: -number for number, scope in enumerate(SCOPES)}


class _Count:
    """Those at one gate, as a deployment's pace counts them.

    Attributes:
        in_flight: running and waiting.
        limited: the gate has a limit, as all of these have.
        ewma: how long they stay, in seconds.
    """

    __slots__ = ("ewma", "gate", "id", "in_flight", "limited")

    def __init__(self, id: str) -> None:
        self.id = id
        self.in_flight = 0
        self.limited = False
        self.ewma: float | None = None
        self.gate = Gate(self)

    def ended(self) -> None:
        self.in_flight -= 1
        self.gate.ended()


class Seat:
    """What a call has taken: `leave` gives all of it back, once."""

    __slots__ = ("_counts", "_seats", "_since")

    def __init__(self, seats: Seats, counts: list[_Count], since: float) -> None:
        self._seats = seats
        self._counts = counts
        self._since = since

    def leave(self) -> None:
        """The call is over; further calls do nothing."""
        counts, self._counts = self._counts, []
        if counts:
            self._seats.left(counts, self._since)


class Seats:
    """The seats of one process.

    Args:
        permits: shared with other workers; None: all seats are this process's.

    Attributes:
        own: of rules that each process keeps by itself, by their ids, what their gates go by.
    """

    def __init__(self, clock: Clock, permits: Permits | None = None) -> None:
        self.own: dict[str, GateRules] = {}
        self._clock = clock
        self._now = clock.monotonic
        self._permits = permits
        self._counts: dict[tuple[str, str], _Count] = {}

    def __repr__(self) -> str:
        return f"<Seats at {len(self._counts)} gates, {sum(each.in_flight for each in self._counts.values())} calls>"

    def adopt(self, rules: Sequence[Rule]) -> None:
        """Go by these rules from now on; who runs and who waits stays."""
        known = {rule.id: rule for rule in rules if rule.kind == "concurrency"}
        for (id, _), count in self._counts.items():
            if id in known:
                self._set(count, known[id])

    def running(self, rule: Rule, value: str) -> int:
        """How many calls run there, as far as this process knows."""
        count = self._counts.get((rule.id, value))
        return count.gate.running if count is not None else 0

    def full(self, rule: Rule) -> float | None:
        """Of a rule of this process's own: seconds until there may be a seat; None where one is free."""
        count = self._counts.get((rule.id, ""))
        if count is None or count.gate.limit is None or count.in_flight < count.gate.limit:
            return None
        return count.gate.expected()

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return sum(count.in_flight - count.gate.running for count in self._counts.values())

    def try_take(self, held: Sequence[tuple[Rule, str]]) -> Seat | None:
        """A seat at all of them at once, or none at any."""
        counts: list[_Count] = []
        for rule, value in held:
            count = self._counts.get((rule.id, value)) or self._make(rule, value)
            count.in_flight += 1
            counts.append(count)
            if not count.gate.try_enter():
                self._put_back(counts)
                return None
        return Seat(self, counts, self._now())

    async def take(
        self,
        held: Sequence[tuple[Rule, str]],
        asking: tuple[int, str, float, float, float],
        tell: Callable[[Callable[[], int] | None], None],
    ) -> Seat | Shortage:
        """A seat at all of them, after a wait where the rules have a queue; or where there was none in time.

        Args:
            asking: who asks, as `stores/line.Asking` has it.
            tell: is given what tells its place in a queue, and None once it has none.
        """
        who = Asking._make(asking)
        counts: list[_Count] = []
        try:
            for rule, value in sorted(held, key=lambda each: _WIDTH[each[0].scope]):
                count = self._counts.get((rule.id, value)) or self._make(rule, value)
                count.in_flight += 1
                counts.append(count)
                if not count.gate.try_enter() and not await self._wait(count, rule, who, tell):
                    wait = count.gate.expected()
                    self._put_back(counts)
                    return Shortage(rule, value, 0, wait)
        except BaseException:
            self._put_back(counts)
            raise
        return Seat(self, counts, self._now())

    async def _wait(
        self, count: _Count, rule: Rule, who: Asking, tell: Callable[[Callable[[], int] | None], None]
    ) -> bool:
        """Whether its turn comes in time."""
        gate, now = count.gate, self._now()
        until = last = who.until(rule)
        if self._permits is not None and rule.id not in self.own:
            until = max(until, min(now + WORD_SECONDS, who.deadline))
            last = max(until, min(now + LONGEST_WORD_SECONDS, who.deadline))
        place = gate.queue(who.rank, until, who.tenant, who.weight) if until > now else None
        if place is None:
            return False
        place.timer = self._clock.call_later(until - now, partial(self._late, gate, place, last))
        tell(lambda: place.ahead + 1)
        try:
            return await place.turn == "go"
        except BaseException:
            gate.leave(place)
            raise
        finally:
            tell(None)
            place.timer.cancel()

    def _late(self, gate: Gate, place: Place, last: float) -> None:
        """Its time is over, unless the centre's word has not come; or that is waited for no longer either."""
        left = last - self._now()
        if left > 0 and self._permits is not None and not place.turn.done() and self._permits.unheard(gate.guard):
            place.timer = self._clock.call_later(min(WORD_SECONDS, left), partial(self._late, gate, place, last))
        else:
            gate.late(place)

    def left(self, counts: Sequence[_Count], since: float) -> None:
        """Calls have left."""
        took = self._now() - since
        for count in counts:
            count.ewma = took if count.ewma is None else count.ewma + SHARE * (took - count.ewma)
        self._put_back(counts)

    def _put_back(self, counts: Sequence[_Count]) -> None:
        for count in counts:
            count.ended()
            if not count.in_flight and len(self._counts) > MOST_IDLE:
                rule, _, value = count.id.partition("|")
                self._counts.pop((rule, value), None)

    def _make(self, rule: Rule, value: str) -> _Count:
        count = self._counts[rule.id, value] = _Count(f"{rule.id}|{value}")
        self._set(count, rule)
        return count

    def _set(self, count: _Count, rule: Rule) -> None:
        own = self.own.get(rule.id)
        if own is not None:
            count.gate.set_rules(own, None)
        else:
            count.gate.set_rules(GateRules(rule.limit, MOST_WAITING), self._permits)
