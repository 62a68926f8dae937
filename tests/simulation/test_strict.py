"""A strict limit over four workers: whatever callers do, no minute anywhere has more than it, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from penstock.reservation import Reservation, Rule, Shortage
from penstock.testing import SimLoop, run
from tests.simulation.planted import planted
from tests.simulation.spending_bugs import BUGS
from tests.stores.bank import Bank, want

LIMIT = 1000
RULE = Rule("strict", "tenant", "strict", "tokens", LIMIT, seconds=60)
MINUTES = 6


class Arrivals:
    """What adversaries do: all at the edges of seconds, in floods, or as soon as they are let in again."""

    def __init__(self, loop: SimLoop, seed: int) -> None:
        self.random = Random(f"strict {seed}")
        self.bank = Bank(loop, [RULE], 4, None, loop.clock)
        self.end = loop.time() + MINUTES * 60
        # When each was let through, and what it took in the end.
        self.admitted: list[list[float]] = []

    async def adversary(self, pause: Callable[[], float]) -> None:
        loop, random = self.bank.loop, self.random
        while loop.time() < self.end:
            await loop.clock.sleep(pause())
            purse = random.choice(self.bank.branches).purse
            # Whatever there is, to the last; or any amount.
            amount = random.choice(
                [min(LIMIT, self.bank.left(RULE) or 1), random.choice([1, 10, 100, LIMIT // 3, LIMIT])]
            )
            came = await purse.reserve([want(RULE, amount)])
            if isinstance(came, Reservation):
                entry = [loop.time(), amount]
                self.admitted.append(entry)
                await loop.clock.sleep(random.choice([0.0, 0.5, 20.0, 61.0]))
                entry[1] = random.choice([0, amount // 2, amount, amount, amount, amount])
                purse.settle(came, [int(entry[1])])
            elif random.random() < 0.8:
                assert isinstance(came, Shortage)
                await loop.clock.sleep(came.wait)

    def to_the_edge(self) -> float:
        """Just before the next second, at it, or just after."""
        return 1.0 - self.bank.loop.time() % 1 + self.random.choice([-1e-6, 0.0, 1e-6])

    def after_a_minute(self) -> float:
        """About as long as a minute, by the second."""
        return self.random.choice([58, 59, 60]) + self.to_the_edge()

    def worst(self) -> float:
        """The most that any minute has: one that ends as somebody is let through."""
        first, total, worst = 0, 0.0, 0.0
        for at, amount in self.admitted:
            total += amount
            while self.admitted[first][0] <= at - 60:
                total -= self.admitted[first][1]
                first += 1
            worst = max(worst, total)
        return worst


def attack(seed: int) -> Arrivals:
    async def main(loop: SimLoop) -> Arrivals:
        arrivals = Arrivals(loop, seed)
        random = arrivals.random
        pauses = [arrivals.to_the_edge] * 6 + [lambda: 0.0] * 4 + [lambda: random.expovariate(0.2)] * 6
        if seed % 2:
            pauses = [arrivals.after_a_minute] * 5
        await asyncio.gather(*(arrivals.adversary(pause) for pause in pauses))
        for branch in arrivals.bank.branches:
            branch.leave()
        arrivals.bank.treasury.close()
        return arrivals

    return run(main, seed, max_seconds=10_000.0)


@pytest.mark.parametrize("seed", range(12))
def test_no_minute_has_more_than_the_limit(seed: int) -> None:
    arrivals = attack(seed)
    assert arrivals.worst() <= LIMIT
    whole = sum(amount for _, amount in arrivals.admitted)
    assert whole > LIMIT * (MINUTES * 0.6 if seed % 2 == 0 else 1), "and they were let through, as far as may be"


@pytest.mark.parametrize("name", [name for name in BUGS if name.startswith("strict")])
def test_what_is_wrong_with_it_is_found(name: str) -> None:
    with planted(BUGS[name]):
        assert max(attack(seed).worst() for seed in range(8)) > LIMIT
