"""Whatever is done in whatever order: nobody has more than there is, and in the end all adds up."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.reservation import Reservation, Rule, Shortage
from penstock.stores.purse import Purse, open_purse
from penstock.stores.treasury import Treasury
from penstock.testing import FakeClock
from tests.stores.bank import want

amounts = st.integers(0, 60)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 2), amounts, amounts),
        st.tuples(st.just("settle"), st.integers(0, 9), amounts, amounts),
        st.tuples(st.just("void"), st.integers(0, 9)),
        st.tuples(st.just("beat"), st.integers(0, 2)),
        st.tuples(st.just("pass"), st.sampled_from([0.5, 3.0, 31.0])),
        st.tuples(st.just("die"), st.integers(0, 2)),
    ),
    max_size=60,
)


class Ledger:
    """Three purses at one treasury, in one process; what they hold, and what was settled."""

    def __init__(self, limit: int) -> None:
        self.clock = FakeClock()
        self.money = Rule("money", "tenant", "budget", "usd", limit, period="month")
        self.tokens = Rule("tokens", "key", "budget", "tokens", 2 * limit, period="month")
        self.treasury = Treasury(self.clock)
        self.treasury.adopt([self.money, self.tokens])
        self.hired = 0
        self.names: dict[Purse, str] = {}
        self.purses = [self.hire() for _ in range(3)]
        self.open: list[tuple[Purse, Reservation]] = []
        self.settled = [0, 0]
        # What the dead had in hand, and settled and not told: it counts as spent.
        self.lost = [0, 0]

    def hire(self) -> Purse:
        self.hired += 1
        name = f"w{self.hired}"
        purse = open_purse(self.treasury, self.clock, name)
        self.names[purse] = name
        return purse

    @property
    def taken(self) -> list[int]:
        sums = list(self.settled)
        for _, held in self.open:
            for which, each in enumerate(held.wants):
                sums[which] += each.amount
        return sums

    def left(self, rule: Rule) -> int:
        stand = self.treasury.stand(rule.id, "")
        assert stand is not None
        return stand.left

    async def reserve(self, which: int, money: int, tokens: int) -> None:
        purse = self.purses[which]
        came = await purse.reserve([want(self.money, money, ""), want(self.tokens, tokens, "")])
        if isinstance(came, Reservation):
            self.open.append((purse, came))
        else:
            assert isinstance(came, Shortage)
            asked, rule = (money, self.money) if came.rule is self.money else (tokens, self.tokens)
            which = 0 if rule is self.money else 1
            assert rule.limit - self.taken[which] - self.lost[which] < asked, "refused though it was free"

    async def settle(self, which: int, *amounts: int) -> None:
        if self.open:
            purse, held = self.open.pop(which % len(self.open))
            actual = [min(n, each.amount) for n, each in zip(amounts, held.wants, strict=True)]
            purse.settle(held, actual)
            self.settled = [sum(pair) for pair in zip(self.settled, actual, strict=True)]

    async def void(self, which: int) -> None:
        await self.settle(which, 0, 0)

    async def beat(self, which: int) -> None:
        self.purses[which].beat()

    async def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def die(self, which: int) -> None:
        """Without books: all that it had in hand is spent, idle or not."""
        purse = self.purses[which]
        for each in [each for each in self.open if each[0] is purse]:
            self.open.remove(each)
            for number, wanted in enumerate(each[1].wants):
                self.lost[number] += wanted.amount
        for lease in purse._leases.values():
            self.lost[0 if lease.rule == "money" else 1] += lease.idle
        self.treasury.left(self.names[purse])
        self.purses[which] = self.hire()


async def play(limit: int, steps: list[Any]) -> None:
    ledger = Ledger(limit)
    for name, *arguments in steps:
        await getattr(ledger, "passes" if name == "pass" else name)(*arguments)
        for which, rule in enumerate((ledger.money, ledger.tokens)):
            assert ledger.taken[which] + ledger.lost[which] <= rule.limit
    while ledger.open:
        await ledger.void(0)
    for purse in ledger.purses:
        purse.close()
    for which, rule in enumerate((ledger.money, ledger.tokens)):
        assert ledger.left(rule) == rule.limit - ledger.settled[which] - ledger.lost[which]


@given(st.integers(1, 300), steps)
@settings(max_examples=60, deadline=None)
def test_nobody_has_more_than_there_is_and_all_adds_up(limit: int, steps: list[Any]) -> None:
    asyncio.run(play(limit, steps))
