"""Turns between tenants: in the ratio of their weights, whoever floods, and whoever was away."""

from __future__ import annotations

from collections import Counter
from itertools import count
from random import Random
from typing import Any, NamedTuple

import pytest

from penstock.stores.fair import REMEMBERED, FairQueue, _Flow, _Rank
from penstock.stores.gate import Gate, GateRules
from penstock.stores.pace import Pace
from penstock.testing import SimLoop, run


class Waits(NamedTuple):
    rank: int
    tenant: str
    weight: float
    deadline: float
    number: int


def queue_of(*waiting: Waits) -> FairQueue[Waits]:
    queue: FairQueue[Waits] = FairQueue()
    for each in waiting:
        queue.push(each)
    return queue


def drained(queue: FairQueue[Waits]) -> list[Waits]:
    return [queue.pop() for _ in range(len(queue))]


# --- the order


def test_tenants_take_turns_in_the_ratio_of_their_weights() -> None:
    queue = queue_of(
        *(Waits(2, "a", 1, 0, number) for number in range(12)), *(Waits(2, "b", 3, 0, 50 + n) for n in range(36))
    )
    for _ in range(12):
        assert Counter(queue.pop().tenant for _ in range(4)) == {"a": 1, "b": 3}


def test_the_more_urgent_go_first_whose_ever_they_are() -> None:
    queue = queue_of(Waits(2, "a", 1, 0, 1), Waits(0, "b", 1, 9, 2), Waits(4, "a", 1, 0, 3), Waits(0, "b", 1, 5, 4))
    assert queue.most_urgent() == 0
    assert [each.number for each in drained(queue)] == [4, 2, 1, 3]
    assert queue.most_urgent() is None


def test_of_one_tenant_goes_who_has_less_time_left() -> None:
    queue = queue_of(Waits(2, "a", 1, 9, 1), Waits(2, "a", 1, 3, 2), Waits(2, "b", 1, 99, 3))
    assert [each.number for each in drained(queue)] == [2, 3, 1]


def test_who_was_away_has_its_turn_but_no_more_of_them() -> None:
    queue = queue_of(*(Waits(2, "a", 1, 0, number) for number in range(40)))
    for _ in range(20):
        assert queue.pop().tenant == "a"
    for number in range(20):
        queue.push(Waits(2, "b", 1, 0, 100 + number))
    assert abs(Counter(queue.pop().tenant for _ in range(20))["b"] - 10) <= 1


def test_who_always_has_a_single_one_waiting_is_not_forgotten() -> None:
    queue = queue_of(*(Waits(2, "a", 1, 0, number) for number in range(40)), Waits(2, "b", 1, 0, 100))
    went = []
    for number in range(30):
        went.append(queue.pop().tenant)
        if went[-1] == "b":
            queue.push(Waits(2, "b", 1, 0, 101 + number))
    assert Counter(went) == {"a": 15, "b": 15}


def test_the_place_that_is_told_is_the_one_that_comes() -> None:
    chance, numbers = Random(5), count()
    for _ in range(200):
        queue: FairQueue[Waits] = FairQueue()
        for _ in range(chance.randrange(1, 30)):
            tenant = chance.choice("abc")
            weight = {"a": 1, "b": 2, "c": 4}[tenant]  # parts that add up exactly
            queue.push(Waits(chance.choice((1, 2)), tenant, weight, chance.random(), next(numbers)))
        for _ in range(chance.randrange(len(queue))):
            queue.pop()
        told = {each.number: queue.ahead(each) for each in queue}
        assert {each.number: at for at, each in enumerate(drained(queue))} == told


def test_who_leaves_is_charged_nothing_and_gone() -> None:
    queue: FairQueue[Waits] = FairQueue()
    mine = [Waits(2, "a", 1, 0, number) for number in range(10)]
    for each in (*mine, *(Waits(2, "b", 1, 0, 100 + number) for number in range(10))):
        queue.push(each)
    for each in mine[:5]:
        queue.remove(each)
        queue.remove(each)
    assert len(queue) == 15
    assert Counter(queue.pop().tenant for _ in range(10)) == {"a": 5, "b": 5}


# --- whose place is taken


def test_a_tenant_that_fills_the_queue_makes_place_for_others() -> None:
    queue = queue_of(*(Waits(2, "flood", 1, number, number) for number in range(50)))
    last = queue.yields_to(2, "other", 1)
    assert last is not None
    assert (last.tenant, last.number) == ("flood", 49)
    assert queue.yields_to(2, "flood", 1) is None
    assert queue.yields_to(3, "other", 1) is None
    assert queue.yields_to(1, "flood", 1) is last


def test_places_are_shared_in_the_ratio_of_weights_too() -> None:
    queue = queue_of(
        *(Waits(2, "a", 1, 0, number) for number in range(10)), *(Waits(2, "b", 3, 0, 50 + n) for n in range(30))
    )
    for tenant, weight in (("a", 1), ("b", 3)):
        assert queue.yields_to(2, tenant, weight) is None
    assert queue.yields_to(2, "c", 1) is not None


def test_nobody_waits_nobody_yields() -> None:
    assert FairQueue[Any]().yields_to(4, "a", 1) is None


# --- whatever happens


def test_it_is_what_the_plainest_account_says() -> None:
    """Against a list that is searched anew each time."""
    for seed in range(60):
        chance, numbers = Random(seed), count(1)
        queue: FairQueue[Waits] = FairQueue()
        waiting: list[Waits] = []
        for _ in range(400):
            draw = chance.random()
            if draw < 0.55 or not waiting:
                tenant = f"t{chance.randrange(8)}"
                made = Waits(chance.randrange(3), tenant, 1 + int(tenant[1]) % 3, chance.random(), next(numbers))
                queue.push(made)
                waiting.append(made)
            elif draw < 0.85:
                went = queue.pop()
                assert went.rank == min(each.rank for each in waiting)
                mine = [each for each in waiting if (each.rank, each.tenant) == (went.rank, went.tenant)]
                assert went == min(mine, key=lambda each: (each.deadline, each.number))
                waiting.remove(went)
            else:
                gone = chance.choice(waiting)
                queue.remove(gone)
                waiting.remove(gone)
            assert len(queue) == len(waiting)
            assert sorted(queue) == sorted(waiting)


def test_tenants_of_the_past_take_no_room_for_long() -> None:
    queue = queue_of(Waits(2, "stays", 0.0001, 0, 0), Waits(2, "stays", 0.0001, 1, 1))
    for number in range(20_000):
        queue.push(Waits(2, f"passes {number}", 1, 0, 10 + number))
        queue.push(Waits(2, "busy", 1, 0, 100_000 + number))
        for _ in range(2):
            if len(queue) > 2:
                queue.pop()
    [rank] = queue._ranks.values()
    assert len(rank._flows) < 4 * REMEMBERED
    assert len(rank._heap) < 8 * REMEMBERED


# --- in virtual time


class Crowd:
    """Tenants at one gate that takes four at a time, each call a second or so, each tenant with so many callers."""

    def __init__(self, loop: SimLoop, queue: int = 1000) -> None:
        self.loop = loop
        self.pace = Pace("a/b")
        self.gate = self.pace.gate = Gate(self.pace)
        self.gate.set_rules(GateRules(4, queue), None)
        self.chance = Random(7)
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.longest: Counter[str] = Counter()
        self.tasks: list[Any] = []

    async def call(self, tenant: str, weight: float) -> None:
        self.pace.in_flight += 1
        began = self.loop.time()
        try:
            if not self.gate.try_enter():
                place = self.gate.queue(2, began + 1e6, tenant, weight)
                if place is None or await place.turn != "go":
                    self.refused[tenant] += 1
                    return
            self.longest[tenant] = max(self.longest[tenant], int(self.loop.time() - began))
            await self.loop.clock.sleep(0.5 + self.chance.random())
            self.done[tenant] += 1
        finally:
            self.pace.ended()

    def add(self, tenant: str, callers: int, weight: float = 1.0) -> None:
        async def caller() -> None:
            while True:
                before = self.refused[tenant]
                await self.call(tenant, weight)
                if self.refused[tenant] > before:
                    await self.loop.clock.sleep(0.5)

        self.tasks += [self.loop.create_task(caller()) for _ in range(callers)]

    async def last(self, seconds: float) -> Counter[str]:
        """What each has had in so many seconds."""
        before = self.done.copy()
        await self.loop.clock.sleep(seconds)
        return self.done - before

    def end(self) -> None:
        for task in self.tasks:
            task.cancel()


def shares(*tenants: tuple[str, int, float], queue: FairQueue[Any] | None = None, room: int = 1000) -> Counter[str]:
    """What tenants get that always have somebody waiting."""
    found: Counter[str] = Counter()

    async def main(loop: SimLoop) -> None:
        crowd = Crowd(loop, room)
        if queue is not None:
            crowd.gate._queue = queue
        for tenant, callers, weight in tenants:
            crowd.add(tenant, callers, weight)
        await crowd.last(20)
        found.update(await crowd.last(500))
        crowd.end()

    run(main)
    return found


def test_two_equal_tenants_that_saturate_get_as_much_as_each_other() -> None:
    had = shares(("a", 40, 1.0), ("b", 8, 1.0))
    assert 0.8 <= had["a"] / had["b"] <= 1.2
    assert sum(had.values()) == pytest.approx(2000, rel=0.05), "nothing stands idle for it"


def test_a_tenant_of_weight_three_gets_three_times_as_much() -> None:
    had = shares(("a", 20, 1.0), ("b", 20, 3.0))
    assert 2.6 <= had["b"] / had["a"] <= 3.4


def test_who_floods_starves_nobody() -> None:
    async def main(loop: SimLoop) -> None:
        crowd = Crowd(loop, queue=50)
        crowd.add("flood", 150)
        crowd.add("good", 1)
        await crowd.last(10)
        crowd.refused.clear()
        had = await crowd.last(100)
        # A caller that comes alone has every second turn, and is never sent away.
        assert crowd.refused["good"] == 0
        assert crowd.longest["good"] <= 3
        assert had["good"] > 50
        crowd.end()

    run(main)


class _Alike(_Rank[Any]):
    """A planted bug: a turn costs everybody the same."""

    def push(self, waiter: Any) -> None:
        super().push(waiter)
        self._flows[waiter.tenant].weight = 1.0


class _Oldest(_Rank[Any]):
    """A planted bug: who came first goes first, whose ever it is."""

    def pop(self) -> Any:
        waiter = min(self.waiters(), key=lambda each: each.number)
        self.remove(waiter)
        return waiter


class _Hoarding(_Rank[Any]):
    """A planted bug: who was away has saved its turns."""

    def push(self, waiter: Any) -> None:
        if waiter.tenant not in self._flows:
            self._flows[waiter.tenant] = _Flow(1, 0.0)
        now, self._now = self._now, 0.0
        super().push(waiter)
        self._now = now


def planted(rank: type[_Rank[Any]]) -> FairQueue[Any]:
    queue: FairQueue[Any] = FairQueue()
    queue._ranks[2] = rank()
    return queue


def test_a_planted_bug_is_seen() -> None:
    had = shares(("a", 40, 1.0), ("b", 8, 1.0), queue=planted(_Oldest))
    assert not 0.8 <= had["a"] / max(1, had["b"]) <= 1.2


def test_a_planted_bug_of_weights_is_seen() -> None:
    had = shares(("a", 20, 1.0), ("b", 20, 3.0), queue=planted(_Alike))
    assert not 2.6 <= had["b"] / had["a"] <= 3.4


def test_a_planted_bug_of_who_comes_late_is_seen() -> None:
    def late(queue: FairQueue[Any] | None) -> Counter[str]:
        found: Counter[str] = Counter()

        async def main(loop: SimLoop) -> None:
            crowd = Crowd(loop)
            if queue is not None:
                crowd.gate._queue = queue
            crowd.add("a", 20)
            await crowd.last(200)
            crowd.add("b", 20)
            found.update(await crowd.last(50))
            crowd.end()

        run(main)
        return found

    right, wrong = late(None), late(planted(_Hoarding))
    assert 0.8 <= right["b"] / right["a"] <= 1.2
    assert wrong["b"] > 2 * wrong["a"]
