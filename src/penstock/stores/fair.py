"""Who goes next of those that wait: the most urgent; among equals the tenants take turns; of one tenant, who has least
time left.

Between tenants it is start-time fair queueing (Goyal, Vin, Cheng: SIGCOMM 1996) with each call as one unit of work: a
tenant's next call starts at max(the queue's time, the end of its last one), takes 1/weight, and the lowest start goes
first. So tenants that always have somebody waiting get parts in the ratio of their weights, whatever the others send,
and who was away for a while gains nothing by it. Pure.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import chain
from math import ceil
from typing import Generic, Protocol, TypeVar

__all__ = ["FairQueue", "Waiter"]

# So many tenants may be remembered before those that nothing is known of but their past are looked for.
REMEMBERED = 64


class Waiter(Protocol):
    """Who waits.

    Attributes:
        rank: of its priority; the lowest goes first.
        tenant: with whom it shares its turns.
        weight: that tenant's part, beside others'; above 0.
        deadline: monotonic; of one tenant, who has less time left goes first.
        number: in which they came.
    """

    @property
    def rank(self) -> int: ...
    @property
    def tenant(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def deadline(self) -> float: ...
    @property
    def number(self) -> int: ...


W = TypeVar("W", bound=Waiter)


def _order(waiter: Waiter) -> tuple[float, int]:
    return waiter.deadline, waiter.number


class _Flow(Generic[W]):
    """One tenant's, of one rank.

    Attributes:
        number: in which they came.
        start: when its next one starts, in the queue's own time.
        entry: its place in the heap, by number; 0: it has none.
    """

    __slots__ = ("entry", "number", "start", "waiters", "weight")

    def __init__(self, number: int, start: float) -> None:
        self.number = number
        self.start = start
        self.weight = 1.0
        self.waiters: list[W] = []
        self.entry = 0

    @property
    def backlog(self) -> float:
        """How much waits, for its weight."""
        return len(self.waiters) / self.weight


class _Rank(Generic[W]):
    """Those of one rank."""

    def __init__(self) -> None:
        self.size = 0
        self._now = 0.0
        self._entries = 0
        self._remembered = REMEMBERED
        self._flows: dict[str, _Flow[W]] = {}
        self._heap: list[tuple[float, int, int, _Flow[W]]] = []

    def push(self, waiter: W) -> None:
        flow = self._flows.get(waiter.tenant)
        if flow is None:
            self._entries += 1
            flow = self._flows[waiter.tenant] = _Flow(self._entries, self._now)
        flow.weight = waiter.weight
        if not flow.waiters:
            flow.start = max(flow.start, self._now)
            self._enter(flow)
        insort(flow.waiters, waiter, key=_order)
        self.size += 1

    def pop(self) -> W:
        while True:
            start, _, entry, flow = heappop(self._heap)
            if flow.entry == entry:
                break
        waiter = flow.waiters.pop(0)
        flow.entry = 0
        self._now = start
        flow.start = start + 1.0 / flow.weight
        if flow.waiters:
            self._enter(flow)
        self._shrink()
        return waiter

    def remove(self, waiter: W) -> bool:
        flow = self._flows.get(waiter.tenant)
        if flow is None:
            return False
        at = bisect_left(flow.waiters, _order(waiter), key=_order)
        if at >= len(flow.waiters) or flow.waiters[at] is not waiter:
            return False
        del flow.waiters[at]
        if not flow.waiters:
            flow.entry = 0
        self._shrink()
        return True

    def longest(self) -> _Flow[W]:
        """The tenant of which most waits, for its weight."""
        return max(self._flows.values(), key=lambda flow: flow.backlog)

    def backlog(self, tenant: str) -> float:
        """How much of a tenant's waits, for its weight."""
        flow = self._flows.get(tenant)
        return flow.backlog if flow is not None else 0.0

    def ahead(self, waiter: W) -> int:
        """How many go before it, if nobody else comes."""
        own = self._flows.get(waiter.tenant)
        if own is None:
            return 0
        at = bisect_left(own.waiters, _order(waiter), key=_order)
        start = own.start + at / own.weight
        before = at
        for flow in self._flows.values():
            if flow is not own and flow.waiters:
                turns = ceil((start - flow.start) * flow.weight - 1e-9)
                tie = flow.start + turns / flow.weight - start
                turns += turns >= 0 and abs(tie) < 1e-9 and flow.number < own.number
                before += min(len(flow.waiters), max(0, turns))
        return before

    def waiters(self) -> Iterator[W]:
        return chain.from_iterable(flow.waiters for flow in self._flows.values())

    def _enter(self, flow: _Flow[W]) -> None:
        self._entries += 1
        flow.entry = self._entries
        heappush(self._heap, (flow.start, flow.number, flow.entry, flow))
        if len(self._heap) > 2 * len(self._flows) + REMEMBERED:  # mostly of those that left
            self._heap = [each for each in self._heap if each[3].entry == each[2]]
            heapify(self._heap)

    def _shrink(self) -> None:
        """One fewer waits. Once nobody does, all have had what they asked for, and the past is forgotten."""
        self.size -= 1
        if not self.size:
            self._now = 0.0
            self._flows.clear()
            self._heap.clear()
        elif len(self._flows) > self._remembered:
            kept = {name: flow for name, flow in self._flows.items() if flow.waiters or flow.start > self._now}
            self._flows = kept
            self._remembered = max(REMEMBERED, 2 * len(kept))


class FairQueue(Generic[W]):
    """All that wait for one thing.

    Attributes:
        size: how many; costs less to ask than its length.
    """

    __slots__ = ("_ranks", "size")

    def __init__(self) -> None:
        self._ranks: dict[int, _Rank[W]] = {}
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[W]:
        """All of them, in no order."""
        return chain.from_iterable(rank.waiters() for rank in self._ranks.values())

    def push(self, waiter: W) -> None:
        """It waits from now on."""
        rank = self._ranks.get(waiter.rank)
        if rank is None:
            rank = self._ranks[waiter.rank] = _Rank()
        rank.push(waiter)
        self.size += 1

    def pop(self) -> W:
        """Take out who goes next; there must be one."""
        waiter = self._ranks[min(number for number, rank in self._ranks.items() if rank.size)].pop()
        self.size -= 1
        return waiter

    def remove(self, waiter: W) -> None:
        """It waits no more; safe when it no longer did."""
        rank = self._ranks.get(waiter.rank)
        if rank is not None and rank.remove(waiter):
            self.size -= 1

    def ahead(self, waiter: W) -> int:
        """How many go before it, if nobody else comes."""
        more_urgent = sum(rank.size for number, rank in self._ranks.items() if number < waiter.rank)
        rank = self._ranks.get(waiter.rank)
        return more_urgent + (rank.ahead(waiter) if rank is not None else 0)

    def most_urgent(self) -> int | None:
        """The rank of who goes next; None where nobody waits."""
        return min((number for number, rank in self._ranks.items() if rank.size), default=None)

    def yields_to(self, rank: int, tenant: str, weight: float) -> W | None:
        """Whose place one that comes now may have where there is no more: the last of the least urgent, of the tenant
        that has most of them; None where it is itself no more urgent, nor of a tenant that has less."""
        last = max((number for number, each in self._ranks.items() if each.size), default=-1)
        if last < rank:
            return None
        least = self._ranks[last]
        longest = least.longest()
        if last == rank and longest.backlog <= least.backlog(tenant) + 1.0 / weight:
            return None
        return longest.waiters[-1]
